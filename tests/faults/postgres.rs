//! PostgreSQL is killed under load and comes back, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use api::customer::v1::{CustomerCreated, CustomerFacts};
use api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use api::loyalty::v1::{EarnPointsRequest, GetBalanceRequest, ListTransactionsRequest};
use loyalty_points::Loyalty;
use testkit::postgres::Cluster;
use testkit::{Backend, FeedSource, Setup, TestServer, until};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

const KILLS: usize = 20;
const MEMBERS: u64 = 8;

/// Every caller repeats a posting, with its `request_id`, until it is acknowledged; so at the end each is
/// there exactly once, whatever the kill cut off: the transaction, the commit or only the answer.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_postgres_neither_lose_nor_double_a_posting() {
    let cluster = Cluster::start();
    let customers = FeedSource::start("customer", Backend::Sqlite).await;
    let server = TestServer::<Loyalty>::start_on(&cluster, &[&customers], Setup::default()).await;
    for member in 0..MEMBERS {
        let id = format!("m-{member}");
        let facts = CustomerFacts {
            customer_id: id.clone(),
            ..Default::default()
        };
        customers
            .emit(
                &id,
                1,
                &CustomerCreated {
                    customer: Some(facts),
                },
            )
            .await;
    }
    server.caught_up(&customers).await;

    let load = Arc::new(Load::default());
    let mut callers = JoinSet::new();
    for member in 0..MEMBERS {
        let client = LoyaltyServiceClient::new(server.channel());
        callers.spawn(earn(format!("m-{member}"), client, load.clone()));
    }
    for _ in 0..KILLS {
        load.goes_on().await;
        cluster.kill_hard();
        cluster.restart();
    }
    load.goes_on().await;
    load.stop.store(true, Ordering::Relaxed);
    for (customer_id, acknowledged) in callers.join_all().await {
        assert_posted_once(&server, customer_id, acknowledged).await;
    }
    assert!(
        load.failures.load(Ordering::Relaxed) > 0,
        "no kill was noticed: there was no load"
    );
}

#[derive(Default)]
struct Load {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    failures: AtomicU64,
}

impl Load {
    /// Returns when every member has had some more acknowledgements.
    async fn goes_on(&self) {
        let enough = self.acknowledged.load(Ordering::Relaxed) + 3 * MEMBERS;
        let reached = async || self.acknowledged.load(Ordering::Relaxed) >= enough;
        until("the service recovers", reached).await;
    }
}

/// Earns one point after the other and returns how many were acknowledged.
async fn earn(
    customer_id: String,
    mut client: LoyaltyServiceClient<Channel>,
    load: Arc<Load>,
) -> (String, u64) {
    let mut acknowledged = 0;
    while !load.stop.load(Ordering::Relaxed) {
        let key = format!("{customer_id}-{acknowledged}");
        let request = EarnPointsRequest {
            request_id: key.clone(),
            program_id: "default".to_owned(),
            customer_id: customer_id.clone(),
            points: 1,
            source_type: "test".to_owned(),
            source_ref: key,
            ..Default::default()
        };
        while let Err(status) = client.earn_points(request.clone()).await {
            assert!(
                passes(&status),
                "a killed database is told as passing trouble: {status:?}"
            );
            load.failures.fetch_add(1, Ordering::Relaxed);
        }
        acknowledged += 1;
        load.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    (customer_id, acknowledged)
}

/// What tells a caller to try again.
fn passes(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Aborted | Code::ResourceExhausted | Code::DeadlineExceeded
    )
}

async fn assert_posted_once(server: &TestServer<Loyalty>, customer_id: String, acknowledged: u64) {
    let mut client = LoyaltyServiceClient::new(server.channel());
    let program_id = "default".to_owned();
    let request = GetBalanceRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        ..Default::default()
    };
    let balance = client
        .get_balance(request)
        .await
        .expect("the database is back")
        .into_inner();
    let available = balance.balance.expect("a balance").available;
    assert_eq!(
        available,
        i64::try_from(acknowledged).expect("few"),
        "balance of {customer_id}"
    );
    let mut posted = 0;
    let mut page_token = String::new();
    loop {
        let request = ListTransactionsRequest {
            program_id: program_id.clone(),
            customer_id: customer_id.clone(),
            page_size: 1000,
            page_token,
            ..Default::default()
        };
        let page = client
            .list_transactions(request)
            .await
            .expect("a page")
            .into_inner();
        posted += page.transactions.len() as u64;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(posted, acknowledged, "postings of {customer_id}");
}
