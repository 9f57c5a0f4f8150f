//! Callers that go away in the middle of a transaction.
//!
//! tonic drops a handler when its caller goes, and a cut BEGIN poisons a pooled PostgreSQL connection
//! (sqlx #4393). The server runs every handler to completion, so neither happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::customer::v1::customer_profile_service_client::CustomerProfileServiceClient;
use api::customer::v1::{CreateCustomerRequest, Customer, GetCustomerRequest};
use common::config::DatabaseConfig;
use customer_profile::CustomerProfile;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::{Setup, TestServer};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

const CALLS: usize = 2_000;
const AT_ONCE: usize = 40;
const POOL: u32 = 6;

fn create(id: &str) -> CreateCustomerRequest {
    let customer = Customer {
        customer_id: id.to_owned(),
        ..Customer::default()
    };
    CreateCustomerRequest {
        customer: Some(customer),
        request_id: id.to_owned(),
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_cancelled_calls_leave_every_connection_working(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let database = DatabaseConfig {
        pool_max: POOL,
        ..DatabaseConfig::default()
    };
    let setup = Setup {
        database,
        ..Setup::default()
    };
    let server = TestServer::<CustomerProfile>::start_as(backend, &[], setup).await;
    let client = CustomerProfileServiceClient::new(server.channel());
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        callers.spawn(cancel_calls(client.clone(), next.clone()));
    }
    let outcomes = callers.join_all().await;
    let cancelled: usize = outcomes.iter().map(|outcome| outcome.cancelled).sum();
    assert!(
        cancelled > CALLS / 4,
        "only {cancelled} of {CALLS} calls were cancelled"
    );

    // Every connection of the pool is used at once, several times over.
    let mut probes = JoinSet::new();
    for probe in 0..POOL * 8 {
        let mut client = client.clone();
        probes.spawn(async move { admitted(&mut client, &format!("probe-{probe}")).await });
    }
    for probe in probes.join_all().await {
        probe.expect("a connection was poisoned");
    }
    // What was acknowledged is there; what was cancelled is there whole or not at all, and may be repeated.
    for outcome in outcomes {
        for id in outcome.acknowledged {
            let request = GetCustomerRequest {
                customer_id: id,
                ..Default::default()
            };
            client
                .clone()
                .get_customer(request)
                .await
                .expect("an acknowledged customer is lost");
        }
        if let Some(id) = outcome.last_cancelled {
            client
                .clone()
                .create_customer(create(&id))
                .await
                .expect("a repeat has one outcome");
        }
    }
}

/// Calls until the server is no longer too busy with the calls that were given up.
async fn admitted(
    client: &mut CustomerProfileServiceClient<Channel>,
    id: &str,
) -> Result<(), Status> {
    loop {
        match client.create_customer(create(id)).await {
            Err(refused) if refused.code() == Code::ResourceExhausted => {}
            answer => return answer.map(drop),
        }
    }
}

#[derive(Default)]
struct Outcome {
    acknowledged: Vec<String>,
    cancelled: usize,
    last_cancelled: Option<String>,
}

/// Calls that are given up after a time that grows and wraps, so that every stage of a call is cut.
async fn cancel_calls(
    mut client: CustomerProfileServiceClient<Channel>,
    next: Arc<AtomicUsize>,
) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= CALLS {
            return outcome;
        }
        let id = format!("c-{number}");
        let patience = Duration::from_micros(u64::try_from(number % 97).expect("small") * 250);
        match tokio::time::timeout(patience, client.create_customer(create(&id))).await {
            Ok(Ok(_)) => outcome.acknowledged.push(id),
            // Calls whose callers went still run, and count against the limit: that is its job.
            Ok(Err(refused)) => assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}"),
            Err(_) => {
                outcome.cancelled += 1;
                outcome.last_cancelled = Some(id);
            }
        }
    }
}
