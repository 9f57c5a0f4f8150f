//! Fresh databases: a temporary file, or a clone of a migrated template on the shared cluster.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use common::config::DatabaseConfig;
use common::db::{Db, Migrations};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::postgres::{Cluster, shared, url_of};

/// Which database a test runs on. Every test of a store or an API runs on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file in a temporary folder.
    Sqlite,
    /// A database on the private cluster.
    Postgres,
}

/// A migrated database of one test's own. It goes with this value.
pub enum Database {
    /// A folder with one file.
    Sqlite(tempfile::TempDir),
    /// A clone of a template.
    Postgres(PostgresDatabase),
    /// A database on a cluster that the caller owns, by its URL.
    OnCluster(String),
}

impl Database {
    /// Gives the first database of a fault test's own cluster a service's schema.
    pub async fn on_cluster(cluster: &Cluster, migrations: fn() -> Migrations) -> Self {
        let url = cluster.url("postgres");
        migrate(&url, migrations()).await;
        Self::OnCluster(url)
    }

    /// Makes one more database, with a service's schema, on a cluster that the caller owns.
    pub async fn create_on(cluster: &Cluster, name: &str, migrations: fn() -> Migrations) -> Self {
        let url = cluster.url("postgres");
        let mut admin = PgConnection::connect(&url)
            .await
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        execute(&mut admin, format!("CREATE DATABASE {name}")).await;
        admin.close().await.ok();
        let url = cluster.url(name);
        migrate(&url, migrations()).await;
        Self::OnCluster(url)
    }

    /// Makes a database with a service's schema.
    pub async fn fresh(backend: Backend, service: &str, migrations: fn() -> Migrations) -> Self {
        match backend {
            Backend::Sqlite => {
                let folder = tempfile::Builder::new()
                    .prefix("asterism-sqlite-")
                    .tempdir();
                let database = Self::Sqlite(folder.expect("the temporary folder can be written"));
                migrate(&database.url(), migrations()).await;
                database
            }
            Backend::Postgres => {
                let template = template_name(service, &migrations());
                let fill = async |url: String| migrate(&url, migrations()).await;
                Self::Postgres(PostgresDatabase::cloned(&template, fill).await)
            }
        }
    }

    /// Lets leases that consumers take here end sooner than they ask for, where services run as programs ship: whoever
    /// takes over from a killed one need not wait long. Between two renewals others may take the lease over, too.
    pub async fn shorten_leases(&self, to: Duration) {
        let micros = to.as_micros();
        let url = self.url();
        match self {
            Self::Sqlite(_) => {
                let trigger = format!(
                    "CREATE TRIGGER short_lease AFTER UPDATE OF expires_at ON consumer
                     WHEN NEW.expires_at > CAST(unixepoch('subsec') * 1000000 AS INTEGER) + {micros}
                     BEGIN
                         UPDATE consumer
                         SET expires_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + {micros}
                         WHERE name = NEW.name;
                     END"
                );
                let mut db = SqliteConnection::connect(&url)
                    .await
                    .unwrap_or_else(|error| panic!("{url}: {error}"));
                sqlx::raw_sql(AssertSqlSafe(trigger))
                    .execute(&mut db)
                    .await
                    .unwrap_or_else(|error| panic!("{url}: {error}"));
                db.close().await.ok();
            }
            Self::Postgres(_) | Self::OnCluster(_) => {
                let trigger = format!(
                    "CREATE FUNCTION short_lease() RETURNS trigger LANGUAGE plpgsql AS $$
                     BEGIN
                         NEW.expires_at := LEAST(
                             NEW.expires_at,
                             CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) + {micros});
                         RETURN NEW;
                     END $$;
                     CREATE TRIGGER short_lease BEFORE UPDATE ON consumer
                     FOR EACH ROW EXECUTE FUNCTION short_lease();"
                );
                let mut db = PgConnection::connect(&url)
                    .await
                    .unwrap_or_else(|error| panic!("{url}: {error}"));
                execute(&mut db, trigger).await;
                db.close().await.ok();
            }
        }
    }

    /// Where it is, as a service's setting wants it.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => {
                format!("sqlite:{}", folder.path().join("asterism.sqlite").display())
            }
            Self::Postgres(database) => database.url().to_owned(),
            Self::OnCluster(url) => url.clone(),
        }
    }
}

async fn migrate(url: &str, migrations: Migrations) {
    let config = DatabaseConfig {
        pool_max: 1,
        ..DatabaseConfig::default()
    };
    let db = Db::open(url, &config)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    db.migrate(migrations)
        .await
        .unwrap_or_else(|error| panic!("cannot migrate {url}: {error}"));
    db.close().await;
}

/// Test binaries that share a cluster are built from the same sources, but services that share a name
/// may differ in their schema: a stand-in for a service has none.
fn template_name(service: &str, migrations: &Migrations) -> String {
    let mut hasher = DefaultHasher::new();
    for migration in migrations.postgres.iter() {
        (migration.version, &migration.checksum).hash(&mut hasher);
    }
    format!("template_{service}_{:016x}", hasher.finish())
}

/// A PostgreSQL database of one test's own. It is dropped with this value.
pub struct PostgresDatabase {
    name: String,
    url: String,
}

impl PostgresDatabase {
    /// Creates an empty database.
    pub async fn empty() -> Self {
        Self::copy_of("template0").await
    }

    /// Creates a copy of a template, which is made and filled first if this cluster lacks it. The
    /// name of the template says what is in it, since other test processes may have made it.
    async fn cloned(template: &str, fill: impl AsyncFnOnce(String)) -> Self {
        let mut admin = admin().await;
        if !is_template(&mut admin, template).await {
            // Held until this connection closes, so that a filler who dies leaves no lock behind.
            execute(
                &mut admin,
                format!("SELECT pg_advisory_lock(hashtext('{template}'))"),
            )
            .await;
            if !is_template(&mut admin, template).await {
                execute(
                    &mut admin,
                    format!("DROP DATABASE IF EXISTS {template} (FORCE)"),
                )
                .await;
                execute(&mut admin, format!("CREATE DATABASE {template}")).await;
                fill(url_of(&server().await, template)).await;
                execute(
                    &mut admin,
                    format!("ALTER DATABASE {template} IS_TEMPLATE true"),
                )
                .await;
            }
        }
        admin.close().await.ok();
        Self::copy_of(template).await
    }

    async fn copy_of(template: &str) -> Self {
        let name = format!("test_{:016x}", rand::Rng::random::<u64>(&mut rand::rng()));
        let mut admin = admin().await;
        execute(
            &mut admin,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await;
        admin.close().await.ok();
        Self {
            url: url_of(&server().await, &name),
            name,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Waits until it is gone: hundreds of tests would fill the disk otherwise.
impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} (FORCE)", self.name);
        // The test's own runtime may be ending, and must not be blocked from within.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .expect("a runtime of one thread can be made")
                .block_on(async {
                    if let Ok(mut admin) =
                        PgConnection::connect(&url_of(shared(), "postgres")).await
                    {
                        sqlx::raw_sql(AssertSqlSafe(drop))
                            .execute(&mut admin)
                            .await
                            .ok();
                    }
                });
        });
        dropped.join().ok();
    }
}

async fn server() -> String {
    tokio::task::spawn_blocking(shared)
        .await
        .expect("PostgreSQL could not be started")
        .to_owned()
}

async fn admin() -> PgConnection {
    let url = url_of(&server().await, "postgres");
    PgConnection::connect(&url)
        .await
        .unwrap_or_else(|error| panic!("{url}: {error}"))
}

async fn execute(admin: &mut PgConnection, statement: String) {
    let done = sqlx::raw_sql(AssertSqlSafe(statement.clone()))
        .execute(admin)
        .await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn is_template(admin: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate)",
    )
    .bind(name)
    .fetch_one(admin)
    .await
    .unwrap_or_else(|error| panic!("cannot look for template {name}: {error}"))
}
