//! Private servers start, fail on demand, and never outlive the tests.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use testkit::PostgresDatabase;
use testkit::postgres::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_dropped_with_its_test() {
    let database = PostgresDatabase::empty().await;
    PgConnection::connect(database.url())
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    let url = database.url().to_owned();
    drop(database);
    let error = PgConnection::connect(&url)
        .await
        .expect_err("the database is gone")
        .to_string();
    assert!(error.contains("does not exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_recovers_what_was_committed_before_a_crash() {
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    let url = cluster.url("postgres");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept (id BIGINT)")
        .execute(&mut connection)
        .await
        .unwrap();
    cluster.kill_hard();
    cluster.restart();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("SELECT id FROM kept")
        .execute(&mut connection)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_stops_starts_and_forgets() {
    let redis = testkit::redis().await;
    redis.cli(&["set", "key", "value"]);
    redis.flush();
    assert_eq!(redis.cli(&["exists", "key"]).trim(), "0");
    redis.stop();
    redis.start();
    assert_eq!(redis.cli(&["ping"]).trim(), "PONG");
}

/// The worst end a run can have: nothing of ours gets to run any more.
#[test]
fn servers_end_when_the_process_that_started_them_is_killed() {
    let mut testkit = Command::new(env!("CARGO_BIN_EXE_testkit"))
        .args(["sh", "-c", "echo $TESTKIT_POSTGRES; read -r line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(testkit.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let folder = Path::new(
        url.trim()
            .split("host=")
            .nth(1)
            .expect("the URL names the socket"),
    );
    assert!(folder.join("data/postmaster.pid").exists());

    testkit.kill().unwrap();
    testkit.wait().unwrap();
    let started = Instant::now();
    while folder.exists() {
        assert!(
            started.elapsed() < testkit::PATIENCE,
            "{} is left",
            folder.display()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_exit_code_of_the_command_is_passed_on() {
    let status = Command::new(env!("CARGO_BIN_EXE_testkit"))
        .args([
            "sh",
            "-c",
            "redis-cli -u $TESTKIT_REDIS ping >/dev/null && exit 7",
        ])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}
