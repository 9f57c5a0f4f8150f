//! What is derived from postings is derived again, and differences are named.

use api::loyalty::v1 as pb;
use common::on;
use pb::DivergenceKind;
use rstest::rstest;
use testkit::Backend;

use crate::audit::{divergence, head, sealed, success, tamper};
use crate::shop::{Shop, at, earn};

/// Lots that were spent from, taken back and expired, holds captured in part, and a tier that was earned.
async fn eventful(backend: Backend) -> Shop {
    let mut shop = Shop::with_member(backend, "c1").await;
    let soon = pb::EarnPointsRequest {
        expires_at: at("1998-07-10T00:00:00Z"),
        ..earn("c1", 40, "soon")
    };
    shop.try_earn(soon).await.unwrap();
    let earned = shop.earn("c1", 110, "s1").await;
    let hold = pb::AuthorizeHoldRequest {
        customer_id: "c1".to_owned(),
        points: 20,
        ..Default::default()
    };
    let held = shop.client.authorize_hold(hold).await.unwrap().into_inner();
    let capture = pb::CaptureHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: held.hold.unwrap().hold_id,
        points: 5,
        ..Default::default()
    };
    shop.client.capture_hold(capture).await.unwrap();
    let reverse = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: earned.transaction.unwrap().transaction_id,
        reason: "returned".to_owned(),
        extent: Some(pb::reverse_transaction_request::Extent::Points(8)),
        ..Default::default()
    };
    shop.client.reverse_transaction(reverse).await.unwrap();
    shop.server.clock.set(testkit::time("1998-07-20T00:00:00Z"));
    shop.redeem("c1", 30).await.unwrap();
    let extend = pb::ExtendExpiryRequest {
        customer_id: "c1".to_owned(),
        lot_id: shop.lots("c1").await.pop().unwrap().lot_id,
        expires_at: at("2001-01-01T00:00:00Z"),
        reason: "a strike at the post".to_owned(),
        ..Default::default()
    };
    shop.client.extend_expiry(extend).await.unwrap();
    head(&shop).await;
    success(&shop).await;
    shop
}

#[rstest]
#[case(
    "UPDATE lots SET consumed = consumed + 1, expired = expired - 1 WHERE expired > 0",
    DivergenceKind::Lot
)]
#[case(
    "UPDATE lots SET consumed = consumed - 1, reversed = reversed + 1 WHERE consumed > 0",
    DivergenceKind::Lot
)]
#[case(
    "UPDATE lots SET qualifying = qualifying - 1 WHERE original = 110",
    DivergenceKind::Lot
)]
#[case(
    "UPDATE lots SET earned_at = earned_at - 1 WHERE original = 110",
    DivergenceKind::Lot
)]
#[case(
    "UPDATE lots SET expires_at = expires_at + 1 WHERE original = 110",
    DivergenceKind::Lot
)]
#[case(
    "UPDATE lots SET posting_id = 'another' WHERE original = 110",
    DivergenceKind::Lot
)]
#[case(
    "UPDATE hold_lots SET captured = captured + 1, released = released - 1",
    DivergenceKind::Hold
)]
#[case("UPDATE hold_lots SET lot_id = 'another'", DivergenceKind::Hold)]
#[case("UPDATE hold_lots SET hold_id = 'another'", DivergenceKind::Hold)]
#[case(
    "UPDATE holds SET captured = captured + 1, released = released - 1 WHERE released > 0",
    DivergenceKind::Hold
)]
#[case("UPDATE holds SET state = 'voided'", DivergenceKind::Hold)]
#[case("UPDATE holds SET closed_at = closed_at + 1", DivergenceKind::Hold)]
#[case("UPDATE holds SET revision = revision + 100", DivergenceKind::Hold)]
#[case("DELETE FROM holds", DivergenceKind::Hold)]
#[case("UPDATE members SET tier = 'Gold'", DivergenceKind::Tier)]
#[case(
    "UPDATE members SET tier_points = tier_points + 1",
    DivergenceKind::Tier
)]
#[case("UPDATE members SET tier_since = tier_since - 1", DivergenceKind::Tier)]
#[case("UPDATE members SET tier_valid_until = NULL", DivergenceKind::Tier)]
#[case(
    "UPDATE members SET tier_valid_until = tier_valid_until + 1",
    DivergenceKind::Tier
)]
#[case(
    "UPDATE tier_changes SET to_tier = 'Gold' WHERE to_tier = 'Silver'",
    DivergenceKind::Tier
)]
#[case(
    "DELETE FROM tier_changes WHERE to_tier = 'Silver'",
    DivergenceKind::Tier
)]
#[case(
    "UPDATE expiry_extensions SET to_expires_at = to_expires_at + 1",
    DivergenceKind::Lot
)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_derived_is_derived_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
    #[case] kind: DivergenceKind,
) {
    let shop = eventful(backend).await;
    for statement in statements_against_guards(backend) {
        shop.execute(statement).await.unwrap();
    }
    shop.execute(statement).await.unwrap();
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), kind, "{found:?}");
    assert_eq!(found.customer_id, "c1");
    assert_eq!(
        kind == DivergenceKind::Lot,
        !found.lot_id.is_empty(),
        "{found:?}"
    );
    assert_eq!(
        kind == DivergenceKind::Hold,
        !found.hold_id.is_empty(),
        "{found:?}"
    );
}

/// What somebody does first who is root on the database.
fn statements_against_guards(backend: Backend) -> Vec<&'static str> {
    match backend {
        Backend::Postgres => vec![
            "ALTER TABLE holds DISABLE TRIGGER USER",
            "ALTER TABLE hold_lots DISABLE TRIGGER USER",
            "ALTER TABLE tier_changes DISABLE TRIGGER USER",
            "ALTER TABLE expiry_extensions DISABLE TRIGGER USER",
        ],
        Backend::Sqlite => vec![
            "DROP TRIGGER holds_closed_once",
            "DROP TRIGGER holds_no_delete",
            "DROP TRIGGER tier_changes_no_update",
            "DROP TRIGGER tier_changes_no_delete",
            "DROP TRIGGER expiry_extensions_no_update",
        ],
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_posting_that_cannot_follow_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (shop, _) = sealed(backend).await;
    // More is spent than there is, and then given back: every sum is right, before and after.
    let customer_id = common::ids::CustomerId::parse("c1").unwrap();
    let mut tx = shop.server.platform.tx().await.unwrap();
    let forged: [(i64, &str, i64); 4] = [
        (100, "redeem", -15),
        (101, "redeem", -15),
        (102, "refund", 15),
        (103, "refund", 15),
    ];
    for (revision, kind, points) in forged {
        let posting = "INSERT INTO postings
                (customer_id, posting_id, program_id, revision, kind, points, reason, occurred_at, posted_at)
            VALUES ('c1', $2, 'default', $3, $4, $1, '', 0, 0)";
        let of_lot = "INSERT INTO entries
                (customer_id, posting_id, line, program_id, account, lot_id, points, effective_at)
            SELECT 'c1', $2, $3 - $3, 'default', CASE WHEN $4 = '' THEN '' ELSE 'member' END, lot_id, $1, 0
            FROM lots WHERE original = 20";
        let spent = "INSERT INTO entries
                (customer_id, posting_id, line, program_id, account, points, effective_at)
            VALUES ('c1', $2, $3 - $3 + 1, 'default', CASE WHEN $4 = '' THEN '' ELSE 'redeemed' END, -$1, 0)";
        for statement in [posting, of_lot, spent] {
            on!(&mut tx, |conn| sqlx::query(statement)
                .bind(points)
                .bind(format!("bare-{revision}"))
                .bind(revision)
                .bind(kind)
                .execute(conn)
                .await
                .map(drop))
            .unwrap();
        }
        tx.emit(&customer_id, revision, &pb::PointsPosted::default());
    }
    tx.commit().await.unwrap();
    head(&shop).await;
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), DivergenceKind::PostingImpossible, "{found:?}");
    assert_eq!(found.transaction_id, "bare-101");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_subtree_over_the_blocks_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (shop, _) = sealed(backend).await;
    let statement = "UPDATE seal_nodes SET hash = (SELECT root FROM seal_blocks WHERE block = 0)
        WHERE level = 0 AND place = 1";
    tamper(&shop, "seal_nodes", statement).await;
    let found = divergence(&shop).await;
    assert_eq!(
        (found.kind(), found.block),
        (DivergenceKind::BlockBroken, 1)
    );
}
