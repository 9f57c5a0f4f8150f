//! PostgreSQL over TLS, as its URL says.

use std::net::TcpListener;

use common::config::DatabaseConfig;
use common::db::Db;
use testkit::Authority;
use testkit::postgres::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_believed_by_its_authority_and_its_name() {
    let (authority, other) = (Authority::new("ca"), Authority::new("another"));
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, authority: &Authority| {
        let file = folder.path().join(name);
        std::fs::write(&file, authority.pem()).unwrap();
        file.display().to_string()
    };
    let (known, unknown) = (write("ca.pem", &authority), write("other.pem", &other));
    let certificate = authority.issue(&["localhost"]);
    let (_cluster, port) = tokio::task::spawn_blocking(move || {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        (Cluster::start_encrypted(&certificate, port), port)
    })
    .await
    .unwrap();
    let open = async |host: &str, parameters: &str| {
        let url = format!("postgres://app@{host}:{port}/postgres?{parameters}");
        Db::open(&url, &DatabaseConfig::default()).await
    };
    let verified = format!("sslmode=verify-full&sslrootcert={known}");
    let db = open("localhost", &verified).await.unwrap();
    let encrypted: bool = match &db {
        Db::Postgres(pool) => {
            const SELECT: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            sqlx::query_scalar(SELECT).fetch_one(pool).await.unwrap()
        }
        Db::Sqlite { .. } => unreachable!("the URL says otherwise"),
    };
    assert!(encrypted);
    // The certificate is not for the address, the authority is a stranger, plaintext is not spoken.
    assert!(open("127.0.0.1", &verified).await.is_err());
    let stranger = format!("sslmode=verify-full&sslrootcert={unknown}");
    assert!(open("localhost", &stranger).await.is_err());
    assert!(open("localhost", "sslmode=disable").await.is_err());
}
