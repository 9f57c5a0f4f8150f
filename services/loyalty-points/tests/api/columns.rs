//! Whatever column of the stored ledger somebody changes behind the service's back, the first divergence is named.

use std::collections::BTreeSet;

use api::loyalty::v1 as pb;
use common::db::{Db, Dialect};
use common::on;
use pb::DivergenceKind;
use rstest::rstest;
use sqlx::AssertSqlSafe;
use testkit::{Backend, time};

use crate::audit::{divergence, success};
use crate::imports::{header, import, row};
use crate::merges::merge;
use crate::shop::{Purchase, Shop, at, earn, redeem};

const SOON: &str = "1998-07-05T00:00:00Z";

/// A lot made in each way that there is, and holds that are open and closed, of the members c1 and c2.
async fn varied(backend: Backend) -> Shop {
    let mut shop = Shop::open(backend).await;
    for customer_id in ["c1", "c2", "c3"] {
        shop.created(customer_id).await;
    }
    shop.caught_up().await;
    let imported = pb::ImportRow {
        expires_at: at("2000-01-01T00:00:00Z"),
        ..row(1, pb::ImportKind::Earn, 70, "1998-03-01T00:00:00Z")
    };
    let by_program = row(2, pb::ImportKind::Earn, 71, "1998-03-02T00:00:00Z");
    import(&shop, header(), &[imported, by_program]).await;
    let purchase = Purchase::dollars("t1", "1998-06-01T00:00:00Z", 80);
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    let ordinary = earn("c1", 110, "ordinary");
    let endless = pb::EarnPointsRequest {
        points: 30,
        activates_at: at(SOON),
        expires_at: at("1999-07-05T00:00:00Z"),
        ..earn("c1", 30, "later")
    };
    let on_event = |points, source_ref| pb::EarnPointsRequest {
        activates_on_event: true,
        ..earn("c1", points, source_ref)
    };
    let short = pb::EarnPointsRequest {
        expires_at: at("1998-07-02T00:00:00Z"),
        ..earn("c1", 12, "short")
    };
    for earned in [
        short,
        ordinary,
        endless,
        on_event(20, "waits"),
        on_event(40, "came"),
        on_event(50, "never came"),
    ] {
        shop.try_earn(earned).await.unwrap();
    }
    settled(&mut shop).await;
    given_and_held(&mut shop).await;
    merged(&mut shop).await;
    shop
}

/// Points that waited, spent ones that come back into a lot of their own, and one that lasts longer.
async fn settled(shop: &mut Shop) {
    let spent = shop.redeem("c1", 5).await.unwrap();
    shop.server.clock.set(time("1998-07-03T00:00:00Z"));
    let refund = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: spent.transaction.unwrap().transaction_id,
        refund_policy: pb::RefundPolicy::Grace.into(),
        grace_days: 14,
        ..Default::default()
    };
    shop.client.reverse_transaction(refund).await.unwrap();
    let came = pb::ActivatePendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "came".to_owned(),
        ..Default::default()
    };
    shop.client.activate_pending(came).await.unwrap();
    let never_came = pb::CancelPendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "never came".to_owned(),
        ..Default::default()
    };
    shop.client.cancel_pending(never_came).await.unwrap();
    let lots = shop.lots("c1").await;
    let extended = lots.iter().find(|lot| lot.original == 40).unwrap();
    for expires_at in ["2001-01-01T00:00:00Z", "2002-01-01T00:00:00Z"] {
        let extend = pb::ExtendExpiryRequest {
            customer_id: "c1".to_owned(),
            lot_id: extended.lot_id.clone(),
            expires_at: at(expires_at),
            reason: "a strike at the post".to_owned(),
            ..Default::default()
        };
        shop.client.extend_expiry(extend).await.unwrap();
    }
}

async fn given_and_held(shop: &mut Shop) {
    let given = pb::AdjustPointsRequest {
        customer_id: "c1".to_owned(),
        points: 25,
        reason_code: "GOODWILL".to_owned(),
        reason: "a late parcel".to_owned(),
        ..Default::default()
    };
    shop.client.adjust_points(given).await.unwrap();
    let sent = pb::TransferPointsRequest {
        customer_id: "c1".to_owned(),
        to_customer_id: "c2".to_owned(),
        points: 9,
        ..Default::default()
    };
    shop.client.transfer_points(sent).await.unwrap();
    for (points, captured) in [(6, 0), (8, 3)] {
        let hold = pb::AuthorizeHoldRequest {
            customer_id: "c1".to_owned(),
            points,
            reason: "a night in Paris".to_owned(),
            ..Default::default()
        };
        let held = shop.client.authorize_hold(hold).await.unwrap().into_inner();
        if captured > 0 {
            let capture = pb::CaptureHoldRequest {
                customer_id: "c1".to_owned(),
                hold_id: held.hold.unwrap().hold_id,
                points: captured,
                r#final: true,
                ..Default::default()
            };
            shop.client.capture_hold(capture).await.unwrap();
        }
    }
    shop.client.redeem_points(redeem("c1", 2)).await.unwrap();
}

/// What c3 had is c2's since.
async fn merged(shop: &mut Shop) {
    shop.earn("c3", 15, "of c3").await;
    let waiting = pb::EarnPointsRequest {
        activates_on_event: true,
        ..earn("c3", 16, "of c3, waiting")
    };
    shop.try_earn(waiting).await.unwrap();
    merge(shop, "c2", "c3").await;
}

pub async fn execute(shop: &Shop, statement: String) {
    let told = statement.clone();
    let mut tx = shop.server.platform.tx().await.unwrap();
    on!(&mut tx, |conn| sqlx::query(AssertSqlSafe(statement))
        .execute(conn)
        .await
        .map(drop))
    .unwrap_or_else(|error| panic!("{told}: {error}"));
    tx.commit().await.unwrap();
}

async fn texts(shop: &Shop, select: String) -> Vec<String> {
    let mut db = shop.server.platform.reader().await.unwrap();
    on!(&mut db, |conn| sqlx::query_scalar(AssertSqlSafe(select))
        .fetch_all(conn)
        .await)
    .unwrap()
}

/// What somebody does first who is root on the database: away with triggers, checks and references.
pub async fn disarm(shop: &Shop, table: &str) {
    if let Db::Sqlite { writer, .. } = &shop.server.platform.db {
        for pragma in [
            "PRAGMA foreign_keys = OFF",
            "PRAGMA ignore_check_constraints = ON",
        ] {
            sqlx::query(pragma).execute(writer).await.unwrap();
        }
        let triggers = format!(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"
        );
        for trigger in texts(shop, triggers).await {
            execute(shop, format!("DROP TRIGGER {trigger}")).await;
        }
        return;
    }
    execute(shop, format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await;
    let checks = format!(
        "SELECT CAST(conname AS TEXT) FROM pg_constraint
        WHERE conrelid = '{table}'::regclass AND contype = 'c'"
    );
    for check in texts(shop, checks).await {
        execute(
            shop,
            format!("ALTER TABLE {table} DROP CONSTRAINT \"{check}\""),
        )
        .await;
    }
}

async fn columns(shop: &Shop, table: &str) -> BTreeSet<String> {
    let select = match shop.server.platform.db.dialect() {
        Dialect::Postgres => format!(
            "SELECT CAST(column_name AS TEXT) FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = '{table}'"
        ),
        Dialect::Sqlite => format!("SELECT name FROM pragma_table_info('{table}')"),
    };
    texts(shop, select).await.into_iter().collect()
}

/// Changes one thing after the other and back again; each must be named.
async fn each_is_named(
    shop: &Shop,
    table: &str,
    kind: DivergenceKind,
    changes: impl IntoIterator<Item = String>,
) {
    let listed: Vec<_> = columns(shop, table).await.into_iter().collect();
    let listed = listed.join(", ");
    let keep = format!("CREATE TABLE kept AS SELECT {listed} FROM {table}");
    execute(shop, keep).await;
    let mut missed = Vec::new();
    for change in changes {
        let statement = format!("UPDATE {table} SET {change}");
        execute(shop, statement.clone()).await;
        match crate::audit::replay(shop, None).await.unwrap().pop() {
            Some(pb::verify_ledger_response::Item::Divergence(found)) => {
                assert_eq!(found.kind(), kind, "{statement}: {found:?}");
                let customer = found.customer_id.as_str();
                let known = ["c1", "c2", "c3", "nobody"].contains(&customer);
                assert!(known, "{statement}: {found:?}");
                let of_lot = kind == DivergenceKind::Lot;
                assert_eq!(of_lot, !found.lot_id.is_empty(), "{statement}: {found:?}");
                let of_hold = kind == DivergenceKind::Hold;
                assert_eq!(of_hold, !found.hold_id.is_empty(), "{statement}: {found:?}");
            }
            _ => missed.push(statement),
        }
        execute(shop, format!("DELETE FROM {table}")).await;
        let restore = format!("INSERT INTO {table} ({listed}) SELECT {listed} FROM kept");
        execute(shop, restore).await;
    }
    assert!(missed.is_empty(), "not named: {missed:#?}");
    success(shop).await;
}

/// Each column of a table, what it is changed to, and of which row.
type Changes = &'static [(&'static str, &'static str, &'static str)];

const LOTS: Changes = &[
    ("customer_id", "'nobody'", "original = 110"),
    ("lot_id", "'another'", "original = 110"),
    ("program_id", "'another'", "original = 110"),
    ("currency", "'XYZ'", "original = 110"),
    ("posting_id", "'another'", "original = 110"),
    ("original", "original + 1", "original = 110"),
    ("remaining", "remaining + 1", "original = 110"),
    ("held", "held + 1", "original = 110"),
    ("consumed", "consumed + 1", "original = 110"),
    ("expired", "expired + 1", "original = 110"),
    ("reversed", "reversed + 1", "original = 110"),
    ("qualifying", "qualifying - 1", "original = 110"),
    ("earned_at", "earned_at - 1", "original = 110"),
    ("activates_at", "activates_at - 1", "original = 110"),
    // Made spendable although the event has not come, or before its time.
    ("activates_at", "earned_at", "original = 20"),
    ("activates_at", "earned_at", "original = 30"),
    ("activates_at", "activates_at + 1", "original = 40"),
    ("activates_at", "NULL", "original = 40"),
    ("activates_at", "earned_at", "original = 50"),
    ("expires_at", "expires_at + 1", "original = 110"),
    ("expires_at", "NULL", "original = 110"),
    ("expires_at", "earned_at + 1", "original = 20"),
    ("expires_at", "expires_at - 1", "original = 40"),
    ("cancelled_at", "earned_at", "original = 20"),
    ("cancelled_at", "NULL", "original = 50"),
    ("cancelled_at", "cancelled_at + 1", "original = 50"),
];

const ACCOUNTS: Changes = &[
    ("customer_id", "'nobody'", "customer_id = 'c1'"),
    ("program_id", "'another'", "customer_id = 'c1'"),
    ("currency", "'XYZ'", "customer_id = 'c1'"),
    ("points", "points + 1", "customer_id = 'c1'"),
    ("held", "held + 1", "customer_id = 'c1'"),
    ("debt", "debt + 1", "customer_id = 'c1'"),
];

const HOLDS: Changes = &[
    ("customer_id", "'c2'", "points = 6"),
    ("hold_id", "'another'", "points = 6"),
    ("program_id", "'another'", "points = 6"),
    ("currency", "'XYZ'", "points = 6"),
    ("revision", "revision + 100", "points = 6"),
    ("state", "'voided'", "points = 6"),
    ("state", "'authorized'", "points = 8"),
    ("points", "points + 1", "points = 6"),
    ("held", "held + 1", "points = 6"),
    ("captured", "captured + 1", "points = 6"),
    ("released", "released + 1", "points = 8"),
    ("reason", "'none'", "points = 6"),
    ("actor", "'somebody else'", "points = 6"),
    ("created_at", "created_at - 1", "points = 6"),
    ("expires_at", "expires_at + 1", "points = 6"),
    ("closed_at", "created_at", "points = 6"),
    ("closed_at", "closed_at + 1", "points = 8"),
];

const HOLD_LOTS: Changes = &[
    ("customer_id", "'c2'", "points = 6"),
    ("hold_id", "'another'", "points = 6"),
    ("lot_id", "'another'", "points = 6"),
    ("points", "points + 1", "points = 6"),
    ("held", "held - 1", "points = 6"),
    ("captured", "captured + 1", "points = 6"),
    ("released", "released + 1", "points = 6"),
];

#[rstest]
#[case("lots", LOTS, DivergenceKind::Lot)]
#[case("accounts", ACCOUNTS, DivergenceKind::Balance)]
#[case("holds", HOLDS, DivergenceKind::Hold)]
#[case("hold_lots", HOLD_LOTS, DivergenceKind::Hold)]
#[tokio::test(flavor = "multi_thread")]
async fn each_column_that_is_changed_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] table: &str,
    #[case] changes: Changes,
    #[case] kind: DivergenceKind,
) {
    let shop = varied(backend).await;
    crate::audit::seal(&shop).await;
    success(&shop).await;
    let tried = changes.iter().map(|(column, ..)| (*column).to_owned());
    assert_eq!(tried.collect::<BTreeSet<_>>(), columns(&shop, table).await);
    disarm(&shop, table).await;
    let change =
        |(column, to, which): &(&str, &str, &str)| format!("{column} = {to} WHERE {which}");
    each_is_named(&shop, table, kind, changes.iter().map(change)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn when_a_lot_can_be_spent_is_named_however_the_lot_was_made(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = varied(backend).await;
    crate::audit::seal(&shop).await;
    success(&shop).await;
    let kinds = "SELECT DISTINCT p.kind FROM lots l
        JOIN postings p ON p.customer_id = l.customer_id AND p.posting_id = l.posting_id
        ORDER BY p.kind";
    let kinds = texts(&shop, kinds.to_owned()).await;
    assert_eq!(kinds, ["adjust", "earn", "merge", "refund", "transfer"]);
    disarm(&shop, "lots").await;
    let lots = texts(&shop, "SELECT lot_id FROM lots ORDER BY lot_id".to_owned()).await;
    assert_eq!(lots.len(), 17, "{lots:?}");
    let changes = lots.iter().flat_map(|lot_id| {
        [
            "earned_at = earned_at + 1",
            "activates_at = COALESCE(activates_at, earned_at) + 1",
            "expires_at = COALESCE(expires_at, earned_at) + 1",
        ]
        .map(|change| format!("{change} WHERE lot_id = '{lot_id}'"))
    });
    each_is_named(&shop, "lots", DivergenceKind::Lot, changes).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_member_who_is_gone_with_all_that_it_had_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values("c1", "c3")] customer_id: &str,
) {
    let shop = varied(backend).await;
    crate::audit::seal(&shop).await;
    for table in [
        "hold_lots",
        "holds",
        "lots",
        "accounts",
        "members",
        "customers",
    ] {
        disarm(&shop, table).await;
        let delete = format!("DELETE FROM {table} WHERE customer_id = '{customer_id}'");
        execute(&shop, delete).await;
    }
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), DivergenceKind::Balance, "{found:?}");
    assert_eq!(found.customer_id, customer_id);
    assert!(!found.transaction_id.is_empty());
}
