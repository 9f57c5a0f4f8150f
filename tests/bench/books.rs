//! What the ledger says after a slice, and waiting until nothing works on it any more.

use std::time::{Duration, Instant};

use common::db::{Access as _, Db, Dialect};
use common::on;

/// Panics unless members have exactly this many points, in balances, in lots and in entries alike, and every
/// posting adds up to zero.
pub async fn check(db: &Db, whose: &str, points: i64) {
    const SELECT: &str = "
        SELECT CAST((SELECT COALESCE(SUM(points - debt), 0) FROM accounts) AS BIGINT),
               CAST((SELECT COALESCE(SUM(remaining + held), 0) FROM lots) AS BIGINT),
               CAST((SELECT COALESCE(SUM(points), 0) FROM postings) AS BIGINT),
               CAST((SELECT COALESCE(SUM(points) FILTER (WHERE account = 'member'), 0) FROM entries) AS BIGINT),
               CAST((SELECT COALESCE(SUM(points), 0) FROM entries) AS BIGINT)";
    let mut reader = db.reader().await.expect("the database can be read");
    let books: (i64, i64, i64, i64, i64) = on!(&mut reader, |conn| {
        let select = sqlx::query_as(SELECT).fetch_one(conn).await;
        select.expect("the ledger can be added up")
    });
    assert_eq!(
        books,
        (points, points, points, points, 0),
        "{whose}: balances, lots, postings and entries of members, and all entries, against what was acknowledged"
    );
}

/// Returns once everything posted has its position in the feed and is sealed, so that no work for one slice is
/// done at the cost of the next.
pub async fn settled(db: &Db) {
    const WAITING: &str = "
        SELECT (SELECT position FROM feed_head) - (SELECT feed_position FROM seal_head)";
    const OUTBOX: &str = "SELECT COUNT(*) FROM outbox";
    let began = Instant::now();
    loop {
        let mut reader = db.reader().await.expect("the database can be read");
        let mut waiting: i64 = on!(&mut reader, |conn| {
            let select = sqlx::query_scalar(WAITING).fetch_one(conn).await;
            select.expect("both heads are there")
        });
        if reader.dialect() == Dialect::Postgres {
            waiting += on!(&mut reader, |conn| {
                let select = sqlx::query_scalar::<_, i64>(OUTBOX).fetch_one(conn).await;
                select.expect("the outbox is there")
            });
        }
        if waiting == 0 {
            return;
        }
        assert!(
            began.elapsed() < testkit::PATIENCE,
            "{waiting} changes are not sealed"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How large the service's rows are, in bytes, for those who write rows like them.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Sizes {
    pub fingerprint: i64,
    pub response: i64,
    pub payload: i64,
}

/// The sizes of what an earning wrote.
pub async fn sizes(db: &Db) -> Sizes {
    const SELECT: &str = "
        SELECT CAST(LENGTH(i.fingerprint) AS BIGINT) AS fingerprint,
               CAST(LENGTH(i.response) AS BIGINT) AS response,
               CAST((SELECT MAX(LENGTH(payload)) FROM feed WHERE type_url LIKE '%PointsPosted') AS BIGINT)
                   AS payload
        FROM idempotency i
        WHERE i.method LIKE '%EarnPoints'
        LIMIT 1";
    let mut reader = db.reader().await.expect("the database can be read");
    on!(&mut reader, |conn| {
        let select = sqlx::query_as(SELECT).fetch_one(conn).await;
        select.expect("something was earned")
    })
}
