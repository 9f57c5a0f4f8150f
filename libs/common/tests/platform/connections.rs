//! Connections of the pool, as operators see them.

use common::db::Access;
use common::on;
use futures::FutureExt as _;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};

use crate::subject::{bump, writer};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn how_long_connections_are_waited_for_is_measured(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let mut tx = writer.platform.tx().await.unwrap();
    bump(&mut tx, "a").await;
    tx.commit().await.unwrap();
    let text = common::telemetry::metrics::text();
    let series = "asterism_db_pool_wait_seconds_count{pool=\"customer\"";
    assert!(text.contains(series), "{text}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_while_a_transaction_begins_leaves_none_behind(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let platform = &writer.platform;
    for _ in 0..20 {
        // Polled once: what begins it is on its way.
        assert!(platform.tx().now_or_never().is_none_or(|tx| tx.is_ok()));
        assert!(
            platform
                .snapshot()
                .now_or_never()
                .is_none_or(|it| it.is_ok())
        );
        assert_answers(platform.reader().await.unwrap()).await;
        assert_answers(platform.snapshot().await.unwrap()).await;
    }
}

async fn assert_answers(mut db: impl Access) {
    let one: i32 = on!(&mut db, |conn| sqlx::query_scalar("SELECT 1")
        .fetch_one(conn)
        .await)
    .unwrap();
    assert_eq!(one, 1);
}
