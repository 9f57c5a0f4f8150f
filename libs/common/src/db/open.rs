//! Opening a database, migrating it, and reading from it.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Postgres, Sqlite, Transaction};

use super::{Access, Conn, checkpoint};
use crate::config::DatabaseConfig;
use crate::error::Error;
use crate::on;

/// SQLite's cache of the connection that writes, in its own notation: 64 MiB. Keys begin with the customer, so a batch
/// of changes touches pages all over the file.
const WRITER_CACHE: &str = "-65536";
/// Pages in SQLite's log, 256 MiB of them, from which on whoever commits copies them to the file, and everybody else waits.
/// It does not come to that where [`Db::copy_log`] is called now and then.
const COPIED_IN_COMMIT_FROM: &str = "65536";
/// What is deleted is overwritten in its page, and a page that holds nothing more as a whole: what was erased is in no copy
/// of the file made later. (SQLite's log is copied and begun anew now and then; a copy of it may be older than it seems.)
const ERASED: &str = "on";
/// What a statement would have to undo by itself is kept in memory: in a file, a copy of every page that a batch changes
/// would be written a second time.
const UNDONE_FROM: &str = "memory";

/// Rows that SQLite reads ahead of whoever takes them, so that neither waits for the other at every few.
const ROWS_AHEAD: usize = 1024;

/// A connection that has rested longer is tried before it is used: whatever lies between may have cut it. Trying each of
/// them each time would double the round trips of a short read, and each is tried anyway as it comes back.
const TRIED_AFTER: Duration = Duration::from_secs(1);

/// Which database a text is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// A statement that the two databases spell differently.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    /// For PostgreSQL.
    pub postgres: &'static str,
    /// For SQLite.
    pub sqlite: &'static str,
}

impl Sql {
    /// The text for a database.
    pub fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Postgres => self.postgres,
            Dialect::Sqlite => self.sqlite,
        }
    }
}

/// A service's migrations; the versions from 1001 on, below are the platform's own.
#[derive(Debug)]
pub struct Migrations {
    /// For PostgreSQL.
    pub postgres: Migrator,
    /// For SQLite.
    pub sqlite: Migrator,
}

impl Migrations {
    fn platform() -> Self {
        Self {
            postgres: sqlx::migrate!("migrations/postgres"),
            sqlite: sqlx::migrate!("migrations/sqlite"),
        }
    }

    /// The platform's and the service's, in one sequence.
    fn for_dialect(self, dialect: Dialect) -> Migrator {
        let platform = Self::platform();
        let (first, second) = match dialect {
            Dialect::Postgres => (platform.postgres, self.postgres),
            Dialect::Sqlite => (platform.sqlite, self.sqlite),
        };
        Migrator::with_migrations(first.iter().chain(second.iter()).cloned().collect())
    }
}

/// A service's database.
#[derive(Debug, Clone)]
pub enum Db {
    /// A pool of PostgreSQL connections.
    Postgres(PgPool),
    /// One writing connection and a pool of reading ones on a SQLite file.
    Sqlite {
        /// The only connection that writes.
        writer: SqlitePool,
        /// Read-only connections.
        readers: SqlitePool,
    },
}

impl Db {
    /// Opens `postgres://…` or `sqlite:PATH`; a missing SQLite file is created.
    pub async fn open(url: &str, config: &DatabaseConfig) -> Result<Self, Error> {
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            return Self::open_postgres(url, config).await;
        }
        if url.starts_with("sqlite:") {
            return Self::open_sqlite(url, config).await;
        }
        Err(Error::Config(
            "a database URL starts with postgres:// or sqlite:".to_owned(),
        ))
    }

    async fn open_postgres(url: &str, config: &DatabaseConfig) -> Result<Self, Error> {
        let timeout = format!("{}ms", config.statement_timeout.as_millis());
        let options = PgConnectOptions::from_str(url)?.options([
            ("statement_timeout", timeout.as_str()),
            ("idle_in_transaction_session_timeout", "60s"),
            // A list of keys is one parameter, in which the planner expects a hundred of them. By its default costs, made
            // for disks that turn, it would rather read ten thousand rows than look up a hundred.
            ("random_page_cost", "1.1"),
            // Statements are short: compiling one takes longer than it does.
            ("jit", "off"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(config.pool_max)
            .acquire_timeout(config.pool_wait)
            .test_before_acquire(false)
            .before_acquire(|conn, rested| {
                Box::pin(async move {
                    if rested.idle_for > TRIED_AFTER {
                        conn.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }

    async fn open_sqlite(url: &str, config: &DatabaseConfig) -> Result<Self, Error> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL may lose acknowledged commits on power loss.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .statement_cache_capacity(500)
            .row_buffer_size(ROWS_AHEAD);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(config.pool_wait)
                // A file does not go away.
                .test_before_acquire(false)
        };
        let writer = pool(1)
            .connect_with(
                options
                    .clone()
                    .pragma("cache_size", WRITER_CACHE)
                    .pragma("wal_autocheckpoint", COPIED_IN_COMMIT_FROM)
                    .pragma("temp_store", UNDONE_FROM)
                    .pragma("secure_delete", ERASED),
            )
            .await?;
        let readers = pool(config.pool_max)
            .connect_with(options.pragma("query_only", "true"))
            .await?;
        Ok(Self::Sqlite { writer, readers })
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self, migrations: Migrations) -> Result<(), Error> {
        let migrator = migrations.for_dialect(self.dialect());
        match self {
            Self::Postgres(pool) => migrator.run(pool).await?,
            Self::Sqlite { writer, .. } => migrator.run(writer).await?,
        }
        Ok(())
    }

    /// Whether every migration this build knows has been applied; a newer schema is fine. It only reads, so that
    /// a service gets along without the right to change its schema.
    pub async fn is_migrated(&self, migrations: Migrations) -> Result<bool, Error> {
        const EXISTS: Sql = Sql {
            postgres: "SELECT to_regclass('_sqlx_migrations') IS NOT NULL",
            sqlite: "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')",
        };
        const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success";
        let (migrator, mut reader) = (migrations.for_dialect(self.dialect()), self.reader().await?);
        let exists = EXISTS.text(self.dialect());
        let any: bool = on!(&mut reader, |conn| sqlx::query_scalar(exists)
            .fetch_one(conn)
            .await)?;
        if !any {
            return Ok(false);
        }
        let applied: Vec<i64> = on!(&mut reader, |conn| sqlx::query_scalar(APPLIED)
            .fetch_all(conn)
            .await)?;
        Ok(migrator
            .iter()
            .all(|known| applied.contains(&known.version)))
    }

    /// A connection for single statements.
    pub async fn reader(&self) -> Result<Reader, Error> {
        Ok(match self {
            Self::Postgres(pool) => Reader::Postgres(pool.acquire().await?),
            Self::Sqlite { readers, .. } => Reader::Sqlite(readers.acquire().await?),
        })
    }

    /// A connection on which several statements see one state of the database.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        const POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Ok(match self {
            Self::Postgres(pool) => Snapshot::Postgres(begin(pool, POSTGRES).await?),
            Self::Sqlite { readers, .. } => Snapshot::Sqlite(readers.begin().await?),
        })
    }

    /// Has SQLite's log copied to the file if there is much of it; PostgreSQL sees to that itself.
    pub(crate) async fn copy_log(&self) -> Result<(), Error> {
        match self {
            Self::Postgres(_) => Ok(()),
            Self::Sqlite { writer, readers } => Ok(checkpoint::copy_log(writer, readers).await?),
        }
    }

    /// How many connections are in use, and how many wait for work.
    pub(crate) fn load(&self) -> (u64, u64) {
        match self {
            Self::Postgres(pool) => load(pool.size(), pool.num_idle()),
            Self::Sqlite { writer, readers } => {
                let (writing, may_write) = load(writer.size(), writer.num_idle());
                let (reading, may_read) = load(readers.size(), readers.num_idle());
                (writing + reading, may_write + may_read)
            }
        }
    }

    /// Waits for open transactions and closes every connection.
    pub async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

/// How many connections of a pool are in use, and how many are idle. One that is given back can be taken again before the
/// pool counts it as idle: for a moment it then counts one less than none.
fn load(size: u32, idle: usize) -> (u64, u64) {
    let idle = u32::try_from(idle).map_or(0, |idle| idle.min(size));
    (u64::from(size - idle), u64::from(idle))
}

/// A connection for single statements that read.
pub enum Reader {
    /// PostgreSQL.
    Postgres(PoolConnection<Postgres>),
    /// SQLite.
    Sqlite(PoolConnection<Sqlite>),
}

impl Access for Reader {
    fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Postgres(conn) => Conn::Postgres(conn),
            Self::Sqlite(conn) => Conn::Sqlite(conn),
        }
    }
}

/// A read-only transaction: all its statements see one state of the database.
pub enum Snapshot {
    /// PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
    /// SQLite.
    Sqlite(Transaction<'static, Sqlite>),
}

impl Access for Snapshot {
    fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Postgres(tx) => Conn::Postgres(tx),
            Self::Sqlite(tx) => Conn::Sqlite(tx),
        }
    }
}

/// Begins a transaction in a task of its own. sqlx rolls back only what it knows has begun: a caller who went away amid
/// that would leave the connection within a transaction, for whoever gets it next.
pub(super) async fn begin(
    pool: &PgPool,
    statement: &'static str,
) -> Result<Transaction<'static, Postgres>, Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(statement).await });
    let lost = |error| Error::Internal(format!("a transaction did not begin: {error}"));
    Ok(begun.await.map_err(lost)??)
}

#[cfg(test)]
mod tests {
    use super::load;

    #[test]
    fn no_more_connections_are_idle_than_there_are() {
        assert_eq!(load(5, 2), (3, 2));
        // The count wraps around as it falls below none.
        assert_eq!(load(5, 0_usize.wrapping_sub(1)), (5, 0));
        assert_eq!(load(5, 7), (0, 5));
    }
}
