//! Two tiny services: one writes counters and emits, the other follows and writes down what it saw.

use std::borrow::Cow;
use std::time::Duration;

use api::customer::v1::CustomerDeleted;
use common::consumer::{ApplyError, Event, Options, Projection};
use common::db::{Migrations, Tx};
use common::ids::CustomerId;
use common::on;
use common::platform::Platform;
use common::service::{Assembly, Service};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use testkit::{Backend, Setup, TestServer};

/// Customers whose name begins with this cannot be applied before they are healed.
pub const POISON: &str = "poison";
/// Customers who make the projection panic.
pub const PANIC: &str = "panic";
/// Customers whose numbers exceed 64 bits.
pub const OVERFLOW: &str = "overflow";
/// Customers whose event breaks a constraint, told by the platform's error.
pub const CONSTRAINT: &str = "constraint";

fn schema(postgres: &'static str, sqlite: &'static str) -> Migrations {
    let migrator = |sql: &'static str| {
        let sql = sqlx::SqlStr::from_static(sql);
        let migration = Migration::new(
            1001,
            Cow::Borrowed("subject"),
            MigrationType::Simple,
            sql,
            false,
        );
        Migrator::with_migrations(vec![migration])
    };
    Migrations {
        postgres: migrator(postgres),
        sqlite: migrator(sqlite),
    }
}

/// Owns a counter for each customer.
pub struct Writer;

impl Service for Writer {
    const NAME: &'static str = "customer";
    type Config = ();

    fn migrations() -> Migrations {
        const TABLE: &str =
            "CREATE TABLE counter (customer_id TEXT PRIMARY KEY, revision BIGINT NOT NULL)";
        schema(TABLE, TABLE)
    }

    fn build((): &(), _: &Platform, _: &mut Assembly) -> Result<(), common::Error> {
        Ok(())
    }
}

/// Adds one to a customer's counter and emits it: lock, then emit.
pub async fn count(platform: &Platform, customer: &str) -> i64 {
    let mut tx = platform.tx().await.unwrap();
    let revision = bump(&mut tx, customer).await;
    tx.commit().await.unwrap();
    revision
}

pub async fn bump(tx: &mut Tx, customer: &str) -> i64 {
    const BUMP: &str = "
        INSERT INTO counter (customer_id, revision) VALUES ($1, 1)
        ON CONFLICT (customer_id) DO UPDATE SET revision = counter.revision + 1
        RETURNING revision";
    let revision: i64 = on!(tx, |conn| sqlx::query_scalar(BUMP)
        .bind(customer)
        .fetch_one(conn)
        .await)
    .unwrap();
    let event = CustomerDeleted {
        customer_id: customer.to_owned(),
    };
    tx.emit(&CustomerId::parse(customer).unwrap(), revision, &event);
    revision
}

/// Writes down every event it applies, in the order of applying.
pub struct Recorder;

impl Service for Recorder {
    const NAME: &'static str = "loyalty";
    type Config = ();

    fn migrations() -> Migrations {
        schema(
            "CREATE TABLE applied (
                place BIGINT GENERATED ALWAYS AS IDENTITY, event_id TEXT, customer_id TEXT,
                revision BIGINT, traceparent TEXT);
            CREATE TABLE healed (customer_id TEXT NOT NULL)",
            "CREATE TABLE applied (
                place INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT, customer_id TEXT,
                revision BIGINT, traceparent TEXT);
            CREATE TABLE healed (customer_id TEXT NOT NULL)",
        )
    }

    fn build((): &(), platform: &Platform, assembly: &mut Assembly) -> Result<(), common::Error> {
        assembly.consume(platform, "customer", Records)
    }
}

/// Records, too, under a name that no other test uses: what it tells in metrics is its own.
pub struct Follower;

impl Service for Follower {
    const NAME: &'static str = "segmentation";
    type Config = ();

    fn migrations() -> Migrations {
        Recorder::migrations()
    }

    fn build((): &(), platform: &Platform, assembly: &mut Assembly) -> Result<(), common::Error> {
        assembly.consume(platform, "customer", Records)
    }
}

#[derive(Clone)]
struct Records;

impl Projection for Records {
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), ApplyError> {
        const HEALED: &str = "SELECT COUNT(*) FROM healed WHERE customer_id = $1";
        const SUM: &str = "
            SELECT CAST(SUM(n) AS BIGINT)
            FROM (SELECT 9223372036854775807 AS n UNION ALL SELECT 1) AS numbers";
        const INSERT: &str = "
            INSERT INTO applied (event_id, customer_id, revision, traceparent)
            VALUES ($1, $2, $3, $4)";
        let id = &event.customer_id;
        on!(tx, |conn| {
            sqlx::query(INSERT)
                .bind(&event.event_id)
                .bind(id)
                .bind(event.revision)
                .bind(common::telemetry::traceparent())
                .execute(conn)
                .await
                .map(drop)
        })?;
        // Refuses only after having written: what a refused event did must be undone.
        let healed: i64 = on!(tx, |conn| sqlx::query_scalar(HEALED)
            .bind(id)
            .fetch_one(conn)
            .await)?;
        assert!(id.as_str() != PANIC, "{id} makes it panic");
        if id.as_str() == OVERFLOW {
            let sum: i64 = on!(tx, |conn| sqlx::query_scalar(SUM).fetch_one(conn).await)?;
            panic!("{sum} is no sum");
        }
        if id.as_str() == CONSTRAINT {
            let again = on!(tx, |conn| {
                sqlx::query("INSERT INTO healed (customer_id) VALUES (NULL)")
                    .execute(conn)
                    .await
                    .map(drop)
            });
            again.map_err(common::Error::from)?;
        }
        if id.as_str().starts_with(POISON) && healed == 0 {
            return Err(ApplyError::Poison(format!("{id} is poisonous")));
        }
        Ok(())
    }
}

/// What was applied.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Applied {
    pub event_id: String,
    pub customer_id: String,
    pub revision: i64,
    pub traceparent: String,
}

pub async fn applied(platform: &Platform) -> Vec<Applied> {
    const SELECT: &str =
        "SELECT event_id, customer_id, revision, traceparent FROM applied ORDER BY place";
    let mut reader = platform.reader().await.unwrap();
    on!(&mut reader, |conn| sqlx::query_as(SELECT)
        .fetch_all(conn)
        .await)
    .unwrap()
}

pub async fn heal(platform: &Platform, customer: &str) {
    let mut tx = platform.tx().await.unwrap();
    on!(&mut tx, |conn| {
        sqlx::query("INSERT INTO healed (customer_id) VALUES ($1)")
            .bind(customer)
            .execute(conn)
            .await
            .map(drop)
    })
    .unwrap();
    tx.commit().await.unwrap();
}

pub async fn writer(backend: Backend) -> TestServer<Writer> {
    TestServer::start(backend).await
}

/// A recorder whose lease is short, so that takeovers need not be waited for.
pub async fn recorder(backend: Backend, writer: &TestServer<Writer>) -> TestServer<Recorder> {
    let consumers = Options {
        lease: Duration::from_millis(600),
        attempts: 3,
    };
    TestServer::start_as(
        backend,
        &[writer],
        Setup {
            consumers,
            ..Setup::default()
        },
    )
    .await
}

/// Takes the feed back to an earlier position, as a restore from a backup does.
pub async fn restore_to(platform: &Platform, position: i64) {
    let mut tx = platform.tx().await.unwrap();
    for undo in [
        "DELETE FROM feed WHERE position > $1",
        "UPDATE feed_head SET position = $1",
    ] {
        on!(&mut tx, |conn| sqlx::query(undo)
            .bind(position)
            .execute(conn)
            .await
            .map(drop))
        .unwrap();
    }
    tx.commit().await.unwrap();
}
