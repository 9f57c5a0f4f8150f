//! Far more calls than a service can work on: it says so, and does not grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::customer::v1::{CustomerCreated, CustomerFacts};
use api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use api::loyalty::v1::{EarnPointsRequest, GetBalanceRequest};
use journeys::process::{Launch, Process, free_address};
use testkit::{Backend, FeedSource, Upstream as _, assert_refused};
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// Calls that are all made at once, unless `OVERLOAD_CALLS` says how many.
const CALLS: u64 = 20_000;
const CALLS_PER_CONNECTION: u64 = 1_000;
/// What the service may take of memory beyond what it took before, in KiB, however many the calls.
const GROWTH_MAX_KIB: u64 = 256 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_a_service_can_work_on_are_answered_within_bounds() {
    let wanted = std::env::var("OVERLOAD_CALLS").map(|calls| calls.parse().unwrap());
    let calls = wanted.unwrap_or(CALLS);
    let customers = FeedSource::start("customer", Backend::Sqlite).await;
    let created = CustomerCreated {
        customer: Some(CustomerFacts {
            customer_id: "c1".to_owned(),
            ..Default::default()
        }),
    };
    customers.emit("c1", 1, &created).await;
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch {
        program: "loyalty-points",
        api: free_address(),
        arguments: vec![
            format!("--data={}", folder.path().display()),
            format!("--peer-customer={}", customers.url()),
        ],
        folder: folder.path(),
    };
    let process = Process::start(launch);
    let mut client = LoyaltyServiceClient::new(connect(&process).await);
    let token = customers.token("c1", 1);
    let balance = |at_least: String| GetBalanceRequest {
        customer_id: "c1".to_owned(),
        at_least,
        ..Default::default()
    };
    client.get_balance(balance(token)).await.unwrap();

    let before = process.peak_memory_kib();
    let posted = Arc::new(AtomicU64::new(0));
    let mut answered = JoinSet::new();
    for connection in 0..calls.div_ceil(CALLS_PER_CONNECTION) {
        let client = LoyaltyServiceClient::new(connect(&process).await);
        for call in 0..CALLS_PER_CONNECTION {
            let (mut client, posted) = (client.clone(), Arc::clone(&posted));
            answered.spawn(async move {
                let request = EarnPointsRequest {
                    customer_id: "c1".to_owned(),
                    points: 1,
                    source_type: "promotion".to_owned(),
                    source_ref: format!("{connection}-{call}"),
                    ..Default::default()
                };
                let answer = client.earn_points(request).await;
                if answer.is_ok() {
                    posted.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                // On a slow machine some get as far as waiting for the database in vain.
                let (code, reason) = match &answer {
                    Err(status) if status.code() == Code::Unavailable => {
                        (Code::Unavailable, "DATABASE_UNAVAILABLE")
                    }
                    _ => (Code::ResourceExhausted, "SERVER_OVERLOADED"),
                };
                let refused = assert_refused(answer, code, reason);
                assert!(refused.retry_info().is_some(), "it says when to try again");
            });
        }
    }
    while let Some(call) = answered.join_next().await {
        call.unwrap();
    }

    println!(
        "{calls} calls: peak memory {} KiB",
        process.peak_memory_kib()
    );
    let growth = process.peak_memory_kib() - before;
    assert!(growth < GROWTH_MAX_KIB, "it grew by {growth} KiB");
    let posted = posted.load(Ordering::Relaxed);
    assert!(
        (1..calls).contains(&posted),
        "some were posted, some refused: {posted}"
    );
    let balance = client
        .get_balance(balance(String::new()))
        .await
        .unwrap()
        .into_inner();
    let available = balance.balance.unwrap().available;
    assert_eq!(
        available,
        i64::try_from(posted).unwrap(),
        "what was acknowledged is there, once"
    );
}

async fn connect(process: &Process) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", process.api)).unwrap();
    endpoint.connect().await.unwrap()
}
