//! What a service needs of its schema, and of its rights.

use std::sync::Arc;

use common::cache::CacheBackend;
use common::config::DatabaseConfig;
use common::db::{Db, Migrations};
use common::ids::Ids;
use common::platform::{Platform, PlatformOptions};
use common::service::Service as _;
use rstest::rstest;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::{Database, FakeClock, PostgresDatabase, Setup, TestServer};

use crate::subject::{Writer, count};

fn nothing() -> Migrations {
    Migrations {
        postgres: Migrator::with_migrations(Vec::new()),
        sqlite: Migrator::with_migrations(Vec::new()),
    }
}

async fn open(url: &str) -> Result<Platform, common::Error> {
    let clock = Arc::new(FakeClock::default());
    let options = PlatformOptions {
        database_url: url.to_owned(),
        database: DatabaseConfig {
            pool_max: 2,
            ..DatabaseConfig::default()
        },
        migrate: false,
        clock: clock.clone(),
        ids: Ids::new(clock),
        cache: CacheBackend::in_process(),
    };
    Platform::open(Writer::NAME, Writer::migrations, options).await
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_told_from_one_that_is_new_enough(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    // The platform's part is there, the service's is not.
    let database = Database::fresh(backend, "older", nothing).await;
    let refused = open(&database.url()).await.err().unwrap().to_string();
    assert!(refused.contains("run the migrate command"), "{refused}");
    let db = Db::open(&database.url(), &DatabaseConfig::default())
        .await
        .unwrap();
    assert!(!db.is_migrated(Writer::migrations()).await.unwrap());
    assert!(db.is_migrated(nothing()).await.unwrap());
    db.migrate(Writer::migrations()).await.unwrap();
    assert!(db.is_migrated(Writer::migrations()).await.unwrap());
    // A build that knows less is served by a schema that has more.
    assert!(db.is_migrated(nothing()).await.unwrap());
    open(&database.url()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_an_empty_database_leaves_nothing_behind() {
    let database = PostgresDatabase::empty().await;
    assert!(open(database.url()).await.is_err());
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let tables: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'",
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert_eq!(tables, 0);
}

/// Makes a role that may read and write rows, and nothing else; returns the database's URL for it.
async fn role_without_ddl(url: &str, role: &str) -> String {
    let mut admin = PgConnection::connect(url).await.unwrap();
    for statement in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
    ] {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin);
        done.await.unwrap();
    }
    url.replacen("app@", &format!("{role}@"), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_along_with_the_right_to_read_and_write_rows() {
    let database = Database::fresh(Postgres, Writer::NAME, Writer::migrations).await;
    let url = role_without_ddl(&database.url(), "rows_only").await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let forbidden = sqlx::raw_sql("CREATE TABLE mine (id BIGINT)").execute(&mut connection);
    let forbidden = forbidden.await.unwrap_err();
    let code = forbidden
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    assert_eq!(code.as_deref(), Some("42501"), "the role may too much");

    let server: TestServer<Writer> =
        TestServer::start_in(Database::OnCluster(url), &[], Setup::default()).await;
    for _ in 0..3 {
        count(&server.platform, "a").await;
    }
    assert_eq!(server.platform.feed().head().await.unwrap().number, 3);
    let begins = server.platform.renew_feed_epoch().await.unwrap();
    assert_eq!(begins.number, 3);
    server
        .platform
        .compact_feed(server.platform.now())
        .await
        .unwrap();
}
