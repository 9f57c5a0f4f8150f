//! Connections of the pool, as operators see them.

use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};

use crate::subject::{bump, writer};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn how_long_connections_are_waited_for_is_measured(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let mut tx = writer.platform.tx().await.unwrap();
    bump(&mut tx, "a").await;
    tx.commit().await.unwrap();
    let text = common::telemetry::metrics::text();
    let series = "asterism_db_pool_wait_seconds_count{pool=\"customer\"";
    assert!(text.contains(series), "{text}");
}
