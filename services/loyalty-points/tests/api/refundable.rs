//! What is left to return, what waits and what a merged member has: changes of it behind the service's back are named.

use api::loyalty::v1 as pb;
use pb::DivergenceKind;
use pb::reverse_transaction_request::Extent;
use rstest::rstest;
use testkit::Backend;

use crate::audit::{divergence, head, success};
use crate::shop::{Purchase, Shop, earn};

/// A purchase and an earning by lines of which parts came back, points whose event came and others whose event was
/// called off, an account in another currency, and a member who was merged.
async fn shop(backend: Backend) -> Shop {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    for (id, dollars) in [("t1", 80), ("t2", 30), ("t3", 20)] {
        let purchase = Purchase::dollars(id, "1998-07-01T00:00:00Z", dollars);
        shop.bought("c1", purchase).await;
    }
    let third = Purchase::dollars("t3", "1998-07-01T00:00:00Z", 20);
    shop.voided("c1", third).await;
    shop.caught_up().await;
    let postings = shop.transactions("c1").await;
    let of = |source: &str| {
        let mut postings = postings.iter();
        let found = postings.find(|it| it.source_ref == source);
        found.unwrap().transaction_id.clone()
    };
    shop.take_back("c1", &of("t1"), Extent::Points(20)).await;

    let line = |line_id: &str| pb::EarnedLine {
        line_id: line_id.to_owned(),
        weight: 10,
        quantity: 2,
    };
    let lined = pb::EarnPointsRequest {
        lines: vec![line("a"), line("b")],
        ..earn("c1", 40, "lined")
    };
    let lined = shop.try_earn(lined).await.unwrap();
    let returned = pb::ReturnedLine {
        line_id: "a".to_owned(),
        share: Some(pb::returned_line::Share::Quantity(1)),
    };
    let lines = Extent::Lines(pb::ReturnedLines {
        lines: vec![returned],
    });
    shop.take_back("c1", &lined.transaction.unwrap().transaction_id, lines)
        .await;

    for source in ["came", "called off"] {
        let waiting = pb::EarnPointsRequest {
            activates_on_event: true,
            ..earn("c1", 7, source)
        };
        shop.try_earn(waiting).await.unwrap();
    }
    let activate = pb::ActivatePendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "came".to_owned(),
        ..Default::default()
    };
    shop.client.activate_pending(activate).await.unwrap();
    let cancel = pb::CancelPendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "called off".to_owned(),
        ..Default::default()
    };
    shop.client.cancel_pending(cancel).await.unwrap();

    shop.earn("c2", 9, "of c2").await;
    let merge = pb::MergeMembersRequest {
        survivor_id: "c1".to_owned(),
        absorbed_id: "c2".to_owned(),
        reason: "the same person".to_owned(),
        ..Default::default()
    };
    shop.client.merge_members(merge).await.unwrap();
    shop.redeem("c1", 70).await.unwrap();
    head(&shop).await;
    success(&shop).await;
    shop
}

#[rstest]
#[case::less_left("UPDATE purchases SET remaining = remaining - 1 WHERE transaction_id = 't1'")]
#[case::more_left("UPDATE purchases SET remaining = spend WHERE transaction_id = 't1'")]
#[case::untouched("UPDATE purchases SET remaining = 0 WHERE transaction_id = 't2'")]
#[case::voided("UPDATE purchases SET remaining = spend WHERE transaction_id = 't3'")]
#[case::paid("UPDATE purchases SET spend = spend + 1 WHERE transaction_id = 't2'")]
#[case::later("UPDATE purchases SET occurred_at = occurred_at + 1 WHERE transaction_id = 't2'")]
#[case::base("UPDATE purchases SET base_points = base_points + 1 WHERE transaction_id = 't2'")]
#[case::tier("UPDATE purchases SET tier = 'another' WHERE transaction_id = 't2'")]
#[case::multiplied("UPDATE purchases SET multiplier = 20000 WHERE transaction_id = 't2'")]
#[case::version("UPDATE purchases SET policy_version = 7 WHERE transaction_id = 't2'")]
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_purchase_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
) {
    let found = after(backend, statement).await;
    assert_eq!(found.kind(), DivergenceKind::Purchase, "{found:?}");
    assert_eq!(
        (found.customer_id.as_str(), found.program_id.as_str()),
        ("c1", "default")
    );
    assert!(!found.transaction_id.is_empty(), "{found:?}");
}

#[rstest]
#[case::returned_again("UPDATE earning_lines SET returned_weight = 0, returned_quantity = 0")]
#[case::returned_more("UPDATE earning_lines SET returned_weight = 3 WHERE line_id = 'b'")]
#[case::weighs_more("UPDATE earning_lines SET weight = 11 WHERE line_id = 'b'")]
#[case::gone("DELETE FROM earning_lines WHERE line_id = 'b'")]
#[case::of_another("UPDATE earning_lines SET posting_id = 'another'")]
#[tokio::test(flavor = "multi_thread")]
async fn changed_lines_of_an_earning_are_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
) {
    let found = after(backend, statement).await;
    assert_eq!(found.kind(), DivergenceKind::EarningLines, "{found:?}");
    assert_eq!(found.customer_id, "c1");
    assert!(!found.transaction_id.is_empty(), "{found:?}");
}

#[rstest]
#[case::later(
    "UPDATE lots SET activates_at = activates_at + 1 WHERE original = 7 AND cancelled_at IS NULL"
)]
#[case::waits_again(
    "UPDATE lots SET activates_at = NULL WHERE original = 7 AND cancelled_at IS NULL"
)]
#[case::never_cancelled("UPDATE lots SET cancelled_at = NULL WHERE cancelled_at IS NOT NULL")]
#[case::cancelled_later(
    "UPDATE lots SET cancelled_at = cancelled_at + 1 WHERE cancelled_at IS NOT NULL"
)]
#[case::spent_while_it_waited(
    "UPDATE lots SET activates_at = NULL WHERE customer_id = 'c1' AND consumed > 0"
)]
#[tokio::test(flavor = "multi_thread")]
async fn changed_instants_of_a_lot_are_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
) {
    let found = after(backend, statement).await;
    assert_eq!(found.kind(), DivergenceKind::Lot, "{found:?}");
    assert_eq!(found.customer_id, "c1");
    assert!(!found.lot_id.is_empty(), "{found:?}");
}

#[rstest]
#[case::merged_member_has_points(
    "UPDATE members SET merged_into = 'c2', survivor = 'c2' WHERE customer_id = 'c1'",
    "c1"
)]
#[case::account_of_another_currency(
    "INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
    VALUES ('c2', 'default', 'STR', 1, 0, 0)",
    "c2"
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_account_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
    #[case] customer_id: &str,
) {
    let found = after(backend, statement).await;
    assert_eq!(found.kind(), DivergenceKind::Balance, "{found:?}");
    assert_eq!(found.customer_id, customer_id);
}

/// What the replay finds once somebody who is root on the database has done something.
async fn after(backend: Backend, statement: &'static str) -> pb::Divergence {
    let shop = shop(backend).await;
    let guards = match backend {
        Backend::Postgres => vec![
            "ALTER TABLE purchases DISABLE TRIGGER USER",
            "ALTER TABLE earning_lines DISABLE TRIGGER USER",
            "ALTER TABLE lots DISABLE TRIGGER USER",
            "ALTER TABLE members DISABLE TRIGGER USER",
            "ALTER TABLE accounts DISABLE TRIGGER USER",
        ],
        Backend::Sqlite => vec![
            "DROP TRIGGER purchases_only_shrink",
            "DROP TRIGGER purchases_no_rewriting",
            "DROP TRIGGER earning_lines_only_grow",
            "DROP TRIGGER earning_lines_no_delete",
            "DROP TRIGGER earning_lines_no_rewriting",
            "DROP TRIGGER lots_settled_once",
            "DROP TRIGGER members_survivor_stands",
            "DROP TRIGGER accounts_of_a_currency",
        ],
    };
    for statement in guards.into_iter().chain([statement]) {
        shop.execute(statement).await.unwrap();
    }
    divergence(&shop).await
}
