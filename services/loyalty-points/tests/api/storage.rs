//! What the database itself refuses.

use rstest::rstest;
use testkit::Backend;

use crate::shop::Shop;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_can_only_be_appended_to(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 10, "s1").await;
    for statement in [
        "UPDATE postings SET points = 1",
        "DELETE FROM postings",
        "UPDATE entries SET points = 1",
        "DELETE FROM entries",
        "UPDATE tier_changes SET to_tier = 'Gold'",
        "DELETE FROM tier_changes",
    ] {
        let refused = shop.execute(statement).await.unwrap_err();
        assert!(
            refused.to_string().contains("append-only"),
            "{statement}: {refused}"
        );
    }
    assert_eq!(shop.transactions("c1").await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn amounts_that_do_not_add_up_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 10, "s1").await;
    for statement in [
        "UPDATE lots SET remaining = remaining - 1",
        "UPDATE lots SET remaining = -1, consumed = 11",
        "UPDATE lots SET qualifying = 11",
        "UPDATE lots SET expires_at = activates_at",
        "UPDATE accounts SET points = -1",
        "UPDATE accounts SET debt = 1",
        "UPDATE members SET state = 'unheard of'",
    ] {
        shop.execute(statement).await.expect_err(statement);
    }
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
}
