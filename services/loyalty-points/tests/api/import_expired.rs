//! Imports of points that have expired since.

use api::loyalty::v1 as pb;
use pb::ImportKind::{Adjust, Earn};
use pb::ImportRowStatus::Imported;
use rstest::rstest;
use testkit::Backend;

use crate::import_members::spent_since;
use crate::imports::{header, import, row, statuses, verified};
use crate::shop::at;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_that_had_expired_when_they_came_are_written_off_after_that(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = spent_since(backend).await;
    for (number, kind) in [(2, Adjust), (3, Earn)] {
        let expired = pb::ImportRow {
            expires_at: at("1998-06-01T00:00:00Z"),
            ..row(number, kind, 15, "1998-04-01T00:00:00Z")
        };
        let outcomes = import(&shop, header(), &[expired]).await;
        assert_eq!(statuses(&outcomes), [Imported]);
        let mut postings = shop.transactions("c1").await;
        postings.sort_by_key(|posting| posting.revision);
        let [.., came, went] = &postings[..] else {
            panic!("{postings:#?}");
        };
        assert_eq!(came.transaction_id, outcomes[0].transaction_id);
        assert_eq!((came.points, went.points), (15, -15));
        assert_eq!(went.kind(), pb::TransactionKind::Expire);
    }
    assert_eq!(shop.balance("c1").await, (20, 0, 0));
    verified(&shop).await;
}

/// The second row is dated before the write-off of the first, as it would be in a chunk of its own.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_row_writes_off_is_later_than_the_next_row_of_its_chunk(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = spent_since(backend).await;
    let expired = |number, occurred_at, expires_at| pb::ImportRow {
        expires_at: at(expires_at),
        ..row(number, Earn, 15, occurred_at)
    };
    let rows = [
        expired(2, "1998-04-01T00:00:00Z", "1998-06-01T00:00:00Z"),
        expired(3, "1998-07-03T00:00:00Z", "1998-07-04T00:00:00Z"),
    ];
    let outcomes = import(&shop, header(), &rows).await;
    assert_eq!(statuses(&outcomes), [Imported; 2]);
    let lots = shop.lots("c1").await;
    let mut expired: Vec<_> = lots.iter().map(|lot| lot.expired).collect();
    expired.sort_unstable();
    assert_eq!(expired, [0, 15, 15]);
    verified(&shop).await;
}
