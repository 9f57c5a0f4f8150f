//! Test servers follow feeds, stop, die and come back on the same database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::customer::v1::CustomerDeleted;
use common::consumer::{ApplyError, Event, Projection};
use common::db::{Migrations, Tx};
use common::platform::Platform;
use common::service::{Assembly, Service};
use rstest::rstest;
use sqlx::migrate::Migrator;
use testkit::{Backend, FeedSource, Setup, TestServer, Upstream as _};

/// A service that follows the customer feed and counts.
struct Follower;

#[derive(Debug, Default, Clone)]
struct Count(Arc<AtomicU64>);

impl clap::FromArgMatches for Count {
    fn from_arg_matches(_: &clap::ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::default())
    }

    fn update_from_arg_matches(&mut self, _: &clap::ArgMatches) -> Result<(), clap::Error> {
        Ok(())
    }
}

impl clap::Args for Count {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        command
    }
}

impl Projection for Count {
    async fn apply(&self, _: &mut Tx, event: &Event) -> Result<(), ApplyError> {
        if event.unpack::<CustomerDeleted>()?.is_some() {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl Service for Follower {
    const NAME: &'static str = "loyalty";
    type Config = Count;

    fn migrations() -> Migrations {
        Migrations {
            postgres: Migrator::with_migrations(Vec::new()),
            sqlite: Migrator::with_migrations(Vec::new()),
        }
    }

    fn build(
        count: &Count,
        platform: &Platform,
        assembly: &mut Assembly,
    ) -> Result<(), common::Error> {
        assembly.consume(platform, "customer", count.clone())
    }
}

async fn delete(customers: &FeedSource, number: u64) {
    let customer_id = format!("c{number}");
    let event = CustomerDeleted {
        customer_id: customer_id.clone(),
    };
    customers.emit(&customer_id, 1, &event).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_feed_says_is_applied_once_caught_up(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let customers = FeedSource::start("customer", backend).await;
    let setup = Setup::default();
    let Count(count) = &setup.config;
    let count = count.clone();
    let server = TestServer::<Follower>::start_as(backend, &[&customers], setup).await;
    for number in 0..5 {
        delete(&customers, number).await;
    }
    server.caught_up(&customers).await;
    assert_eq!(count.load(Ordering::SeqCst), 5);
    server
        .platform
        .at_least(&customers.token("c3", 1))
        .await
        .unwrap();

    let server = server.restart().await;
    delete(&customers, 5).await;
    server.caught_up(&customers).await;
    assert_eq!(
        count.load(Ordering::SeqCst),
        6,
        "the checkpoint survives a restart"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_comes_back_at_its_address(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let customers = FeedSource::start("customer", backend).await;
    let mut server = TestServer::<Follower>::start_with(backend, &[&customers]).await;
    let address = server.url();
    server.kill().await;
    delete(&customers, 0).await;
    let server = server.restart().await;
    assert_eq!(server.url(), address);
    server.caught_up(&customers).await;
    let replica = server.replica().await;
    replica.caught_up(&customers).await;
}
