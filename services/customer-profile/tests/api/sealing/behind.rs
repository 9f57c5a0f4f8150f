//! What lies in the database, seen past the API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::db::{Access as _, Conn};
use common::on;
use customer_profile::{Config, CustomerProfile, Sealing};
use sqlx::AssertSqlSafe;
use testkit::{Backend, Setup};

use crate::support::{Client, Server};

/// Two keys, and one more.
pub const FIRST: &str = "first AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub const SECOND: &str = "second AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
pub const THIRD: &str = "third AgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICE=";

/// A file of keys that the test writes.
pub struct KeyFile(tempfile::TempDir);

impl KeyFile {
    pub fn with(lines: &[&str]) -> Self {
        let file = Self(tempfile::tempdir().unwrap());
        file.replace(lines);
        file
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    pub fn replace(&self, lines: &[&str]) {
        let new = self.0.path().join("new");
        std::fs::write(&new, lines.join("\n")).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }
}

/// A server on these keys that passes over its tables as often as that.
pub async fn start_on(backend: Backend, keys: &KeyFile, every: Duration) -> (Server, Client) {
    start_as(backend, config(keys, every, Sealing::Now)).await
}

pub fn config(keys: &KeyFile, every: Duration, sealing: Sealing) -> Config {
    Config {
        encryption_keys_file: Some(keys.path()),
        sealing,
        sealing_every: every,
    }
}

pub async fn start_as(backend: Backend, config: Config) -> (Server, Client) {
    let setup = Setup::<CustomerProfile> {
        config,
        ..Setup::default()
    };
    let server = Server::start_as(backend, &[], setup).await;
    let client = Client::new(server.channel());
    (server, client)
}

/// Changes the database as whoever has got hold of it would, or an older version.
pub async fn change(server: &Server, sql: &str) -> Result<u64, sqlx::Error> {
    let mut tx = server.platform.tx().await.unwrap();
    let sql = AssertSqlSafe(sql.to_owned());
    let changed = on!(&mut tx, |conn| sqlx::query(sql)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    tx.commit().await.unwrap();
    Ok(changed)
}

/// One number.
pub async fn count(server: &Server, sql: &'static str) -> i64 {
    let mut reader = server.platform.reader().await.unwrap();
    on!(&mut reader, |conn| sqlx::query_scalar(sql)
        .fetch_one(conn)
        .await)
    .unwrap()
}

/// How many rows are in the clear.
pub async fn plain(server: &Server) -> i64 {
    count(
        server,
        "SELECT (SELECT COUNT(*) FROM personal_data WHERE sealed = 0)
            + (SELECT COUNT(*) FROM interaction WHERE subject_sealed IS NULL)",
    )
    .await
}

/// The encryption keys that data keys are wrapped under.
pub async fn key_ids(server: &Server) -> Vec<String> {
    let mut reader = server.platform.reader().await.unwrap();
    on!(&mut reader, |conn| sqlx::query_scalar(
        "SELECT DISTINCT key_id FROM data_key ORDER BY key_id LIMIT 10"
    )
    .fetch_all(conn)
    .await)
    .unwrap()
}

/// Every value of every column of every table, as bytes.
pub async fn dump(server: &Server) -> Vec<Vec<u8>> {
    const POSTGRES: &str = "
        SELECT table_name::text, column_name::text, data_type::text
        FROM information_schema.columns
        WHERE table_schema = 'public'";
    const SQLITE: &str = "
        SELECT t.name, c.name, c.type
        FROM sqlite_master AS t
        JOIN pragma_table_info(t.name) AS c
        WHERE t.type = 'table'";
    let mut reader = server.platform.reader().await.unwrap();
    let postgres = matches!(reader.conn(), Conn::Postgres(_));
    let columns = if postgres { POSTGRES } else { SQLITE };
    let columns: Vec<(String, String, String)> = on!(&mut reader, |conn| sqlx::query_as(columns)
        .fetch_all(conn)
        .await)
    .unwrap();
    let tables = ["idempotency", "personal_data", "interaction", "data_key"];
    for table in tables {
        assert!(columns.iter().any(|(name, ..)| name == table), "{table}");
    }
    let mut values = Vec::new();
    for (table, column, kind) in columns {
        let bytes = match (postgres, kind.as_str()) {
            (true, "bytea") => format!("\"{column}\""),
            (true, _) => format!("convert_to(\"{column}\"::text, 'UTF8')"),
            (false, _) => format!("CAST(\"{column}\" AS BLOB)"),
        };
        let sql = AssertSqlSafe(format!("SELECT {bytes} FROM \"{table}\""));
        let found: Vec<Option<Vec<u8>>> = on!(&mut reader, |conn| sqlx::query_scalar(sql)
            .fetch_all(conn)
            .await)
        .unwrap();
        values.extend(found.into_iter().flatten());
    }
    values
}

pub fn contains(values: &[Vec<u8>], wanted: &[u8]) -> bool {
    values
        .iter()
        .any(|value| value.windows(wanted.len()).any(|part| part == wanted))
}

/// Where SQLite keeps its files.
pub async fn files(server: &Server) -> Option<PathBuf> {
    let mut reader = server.platform.reader().await.unwrap();
    let Conn::Sqlite(conn) = reader.conn() else {
        return None;
    };
    let file: String =
        sqlx::query_scalar("SELECT file FROM pragma_database_list WHERE name = 'main'")
            .fetch_one(conn)
            .await
            .unwrap();
    Some(Path::new(&file).parent().unwrap().to_owned())
}

/// What is in the files of a folder.
pub fn read_all(folder: &Path) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap();
    let files: Vec<_> = files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    assert!(!files.is_empty());
    files
}
