//! A database from before there were accounts keeps its balances.

use api::loyalty::v1 as pb;
use common::config::DatabaseConfig;
use common::db::{Db, Migrations};
use common::on;
use common::service::Service as _;
use loyalty_points::Loyalty;
use rstest::rstest;
use sqlx::migrate::Migrator;
use testkit::{Backend, Database, FeedSource, Setup, TestServer};

use crate::audit::success;
use crate::shop::{NOW, Shop};

/// The migration that makes accounts.
const ACCOUNTS: i64 = 1040;

/// What was there before it.
fn before() -> Migrations {
    let earlier = |all: Migrator| {
        let earlier = all.iter().filter(|it| it.version < ACCOUNTS).cloned();
        Migrator::with_migrations(earlier.collect())
    };
    let all = Loyalty::migrations();
    Migrations {
        postgres: earlier(all.postgres),
        sqlite: earlier(all.sqlite),
    }
}

/// A day before tests begin: c1 has earned 100 points and holds 30 of them, c2 owes 10 that were spent and taken back.
const LEDGER: [&str; 9] = [
    "INSERT INTO customers (customer_id, revision)
    SELECT 'c1', 5 WHERE $1 > 0 UNION ALL SELECT 'c2', 4",
    "INSERT INTO members
        (customer_id, program_id, state, enrolled_at, points, held, debt, tier, tier_points, tier_since,
         tier_valid_until)
    VALUES ('c1', 'default', 'active', $1, 70, 30, 0, 'Silver', 100, $1, $1 + 31536000000000),
           ('c2', 'default', 'active', $1, 0, 0, 10, 'Bronze', 0, $1, NULL)",
    "INSERT INTO tier_changes
        (customer_id, revision, program_id, from_tier, to_tier, reason, points, changed_at)
    VALUES ('c1', 1, 'default', '', 'Bronze', 'enrolled', 0, $1),
           ('c1', 3, 'default', 'Bronze', 'Silver', 'earned', 100, $1),
           ('c2', 1, 'default', '', 'Bronze', 'enrolled', 0, $1)",
    "INSERT INTO postings
        (customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref, rule, reason,
         reverses, occurred_at, posted_at)
    VALUES ('c1', 'earned', 'default', 2, 'earn', 100, 'promotion', 's1', 'direct', '', NULL, $1, $1),
           ('c1', 'held', 'default', 4, 'hold', 0, NULL, NULL, NULL, '', NULL, $1, $1),
           ('c2', 'earned', 'default', 2, 'earn', 10, 'promotion', 's2', 'direct', '', NULL, $1, $1),
           ('c2', 'spent', 'default', 3, 'redeem', -10, NULL, NULL, NULL, '', NULL, $1, $1),
           ('c2', 'reversed', 'default', 4, 'reverse', -10, 'promotion', 's2', 'reversal/direct', '', 'earned',
            $1, $1)",
    "INSERT INTO lots
        (customer_id, lot_id, program_id, posting_id, original, remaining, held, consumed, expired, reversed,
         qualifying, earned_at, activates_at)
    VALUES ('c1', 'l1', 'default', 'earned', 100, 70, 30, 0, 0, 0, 100, $1, $1),
           ('c2', 'l2', 'default', 'earned', 10, 0, 0, 10, 0, 0, 0, $1, $1)",
    "INSERT INTO entries
        (customer_id, posting_id, line, program_id, account, lot_id, hold_id, points, effective_at)
    VALUES ('c1', 'earned', 0, 'default', 'issuance', NULL, NULL, -100, $1),
           ('c1', 'earned', 1, 'default', 'member', 'l1', NULL, 100, $1),
           ('c1', 'held', 0, 'default', 'member', 'l1', NULL, -30, $1),
           ('c1', 'held', 1, 'default', 'held', 'l1', 'h1', 30, $1),
           ('c2', 'earned', 0, 'default', 'issuance', NULL, NULL, -10, $1),
           ('c2', 'earned', 1, 'default', 'member', 'l2', NULL, 10, $1),
           ('c2', 'spent', 0, 'default', 'member', 'l2', NULL, -10, $1),
           ('c2', 'spent', 1, 'default', 'redeemed', NULL, NULL, 10, $1),
           ('c2', 'reversed', 0, 'default', 'issuance', NULL, NULL, 10, $1),
           ('c2', 'reversed', 1, 'default', 'debt', NULL, NULL, -10, $1)",
    "INSERT INTO holds
        (customer_id, hold_id, program_id, revision, state, points, held, captured, released, reason,
         created_at, expires_at)
    VALUES ('c1', 'h1', 'default', 4, 'authorized', 30, 30, 0, 0, '', $1, $1 + 604800000000)",
    "INSERT INTO hold_lots (customer_id, hold_id, lot_id, points, held, captured, released)
    SELECT 'c1', 'h1', 'l1', 30, 30, 0, 0 WHERE $1 > 0",
    "UPDATE members SET earned_tier = tier WHERE $1 > 0",
];

/// A row of an account: customer, currency, points, held and debt.
type Stored = (String, String, i64, i64, i64);

/// Writes the ledger with what knew of no accounts, and lets the migration have it.
async fn migrated(backend: Backend) -> Database {
    let database = Database::fresh(backend, "before_accounts", before).await;
    let config = DatabaseConfig {
        pool_max: 1,
        ..DatabaseConfig::default()
    };
    let db = Db::open(&database.url(), &config).await.unwrap();
    let day_before = testkit::time(NOW) - chrono::TimeDelta::days(1);
    for statement in LEDGER {
        match &db {
            Db::Postgres(pool) => drop(
                sqlx::query(statement)
                    .bind(day_before)
                    .execute(pool)
                    .await
                    .unwrap(),
            ),
            Db::Sqlite { writer, .. } => drop(
                sqlx::query(statement)
                    .bind(day_before)
                    .execute(writer)
                    .await
                    .unwrap(),
            ),
        }
    }
    db.migrate(Loyalty::migrations()).await.unwrap();
    db.close().await;
    database
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn balances_move_to_accounts_and_go_on(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let database = migrated(backend).await;
    let customers = FeedSource::start("customer", backend).await;
    let server = TestServer::start_in(database, &[&customers], Setup::default()).await;
    server.clock.set(testkit::time(NOW));
    let mut shop = Shop::over(customers, server);
    let verified = success(&shop).await.verified.unwrap();
    assert_eq!(verified.members, 2);
    assert_eq!(shop.balance("c1").await, (70, 0, 0));
    assert_eq!(shop.balance("c2").await, (0, 0, 10));
    let capture = pb::CaptureHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: "h1".to_owned(),
        points: 25,
        r#final: true,
        ..Default::default()
    };
    let captured = shop.client.capture_hold(capture).await.unwrap();
    let captured = captured.into_inner();
    assert_eq!(captured.transaction.unwrap().points_currency, "PTS");
    assert_eq!(shop.balance("c1").await, (75, 0, 0));
    shop.earn("c2", 15, "s3").await;
    assert_eq!(shop.balance("c2").await, (5, 0, 0));
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    let mut db = shop.server.platform.reader().await.unwrap();
    let stored =
        "SELECT customer_id, currency, points, held, debt FROM accounts ORDER BY customer_id";
    let stored: Vec<Stored> =
        on!(&mut db, |conn| sqlx::query_as(stored).fetch_all(conn).await).unwrap();
    let account = |customer_id: &str, points| (customer_id.to_owned(), String::new(), points, 0, 0);
    assert_eq!(stored, [account("c1", 75), account("c2", 5)]);
}
