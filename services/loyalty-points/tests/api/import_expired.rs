//! Imports of points that have expired since, and of what became debt.

use api::loyalty::v1 as pb;
use pb::ImportKind::{Adjust, Earn, Redeem};
use pb::ImportRowStatus::Imported;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::import_members::spent_since;
use crate::imports::{header, import, row, statuses, verified};
use crate::shop::{NOW, Shop, at, earn};

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

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_became_debt_of_a_forced_row_is_not_refunded(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.try_earn(earn("c1", 20, "s1")).await.unwrap();
    let forced = |number, points| pb::ImportRow {
        force: true,
        reason: "their books are right".to_owned(),
        ..row(number, Redeem, points, NOW)
    };
    let outcomes = import(&shop, header(), &[forced(1, 30)]).await;
    assert_eq!(outcomes[0].debt_incurred, 10);
    let refunded = shop.reverse("c1", &outcomes[0].transaction_id).await;
    let refunded = refunded.unwrap();
    assert_eq!(refunded.restored[0].points, 20);
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
    let again = shop.reverse("c1", &outcomes[0].transaction_id).await;
    let told = assert_refused(again, Code::FailedPrecondition, "ALREADY_REVERSED");
    let refund = refunded.transaction.unwrap().transaction_id;
    assert_eq!(
        told.error_info().unwrap().metadata["transaction_id"],
        refund
    );

    // Of the second row nothing came from any lot.
    let outcomes = import(&shop, header(), &[forced(2, 10), forced(3, 5)]).await;
    assert_eq!(outcomes[1].debt_incurred, 5);
    let of_debt = shop.reverse("c1", &outcomes[1].transaction_id).await;
    assert_refused(of_debt, Code::FailedPrecondition, "NOTHING_TO_REVERSE");
    assert_eq!(shop.balance("c1").await, (0, 0, 5));
    verified(&shop).await;
}
