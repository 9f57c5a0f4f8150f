//! The schema is the only thing written twice, and both versions say the same.

use std::collections::BTreeSet;

use common::db::Migrations;
use common::service::Service;
use customer_profile::CustomerProfile;
use feedback::Feedback;
use loyalty_points::Loyalty;
use rstest::rstest;
use segmentation::Segmentation;
use sqlx::{Connection, PgConnection, SqliteConnection};
use testkit::{Backend, Database};

/// Table, column, and what it holds.
type Columns = BTreeSet<(String, String, &'static str)>;

/// SQLite has no outbox: its single writer gives an event its position at once.
const POSTGRES: &str = "
    SELECT table_name::text, column_name::text, data_type::text
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name NOT IN ('_sqlx_migrations', 'outbox')";

const SQLITE: &str = "
    SELECT tables.name, columns.name, columns.type
    FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
    WHERE tables.type = 'table' AND tables.name NOT IN ('_sqlx_migrations', 'sqlite_sequence')";

async fn columns(service: &str, backend: Backend, migrations: fn() -> Migrations) -> Columns {
    let database = Database::fresh(backend, service, migrations).await;
    let url = database.url();
    let rows: Vec<(String, String, String)> = match backend {
        Backend::Postgres => {
            let mut connection = PgConnection::connect(&url).await.expect("it was just made");
            sqlx::query_as(POSTGRES).fetch_all(&mut connection).await
        }
        Backend::Sqlite => {
            let mut connection = SqliteConnection::connect(&url)
                .await
                .expect("it was just made");
            sqlx::query_as(SQLITE).fetch_all(&mut connection).await
        }
    }
    .expect("the catalogue can be read");
    rows.into_iter()
        .map(|(table, column, kind)| (table, column, holds(&kind)))
        .collect()
}

fn holds(kind: &str) -> &'static str {
    match kind.to_ascii_lowercase().as_str() {
        "bigint" | "integer" | "int8" => "integers",
        "text" => "text",
        "boolean" => "truth values",
        "double precision" | "real" => "floating point numbers",
        "bytea" | "blob" => "bytes",
        other => panic!("columns of type {other} do not read alike from both databases"),
    }
}

#[rstest]
#[case::customer(CustomerProfile::NAME, CustomerProfile::migrations)]
#[case::feedback(Feedback::NAME, Feedback::migrations)]
#[case::loyalty(Loyalty::NAME, Loyalty::migrations)]
#[case::segmentation(Segmentation::NAME, Segmentation::migrations)]
#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_same_tables_and_columns(
    #[case] service: &str,
    #[case] migrations: fn() -> Migrations,
) {
    let postgres = columns(service, Backend::Postgres, migrations).await;
    let sqlite = columns(service, Backend::Sqlite, migrations).await;
    let only_postgres: Vec<_> = postgres.difference(&sqlite).collect();
    let only_sqlite: Vec<_> = sqlite.difference(&postgres).collect();
    assert!(
        only_postgres.is_empty() && only_sqlite.is_empty(),
        "PostgreSQL only: {only_postgres:?}\nSQLite only: {only_sqlite:?}"
    );
    assert!(
        postgres.len() > 10,
        "the platform alone has more columns than that"
    );
}
