//! Hot tier lookups against a bare tonic echo: `cargo bench -p journeys --bench tiers`.
//!
//! Both servers and all callers share this process, so only the ratio means anything. Rounds are
//! interleaved, and the median of each row is printed as a Markdown table.

mod echo;
mod load;

use api::customer::v1::{CustomerCreated, CustomerFacts};
use api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use api::loyalty::v1::{GetTierRequest, GetTierResponse};
use load::{Load, Measured, median};
use loyalty_points::Loyalty;
use testkit::{Backend, FeedSource, TestServer, Upstream as _};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

const MEMBERS: usize = 1_000;
const ROUNDS: usize = 5;
/// Connections and calls in flight on each.
const LOADS: [(usize, usize); 3] = [(1, 1), (4, 16), (8, 64)];

#[tokio::main]
async fn main() {
    let customers = FeedSource::start("customer", Backend::Sqlite).await;
    let server = TestServer::<Loyalty>::start_with(Backend::Sqlite, &[&customers]).await;
    for member in 0..MEMBERS {
        let customer_id = name(member);
        let facts = CustomerFacts {
            customer_id: customer_id.clone(),
            ..Default::default()
        };
        customers
            .emit(
                &customer_id,
                1,
                &CustomerCreated {
                    customer: Some(facts),
                },
            )
            .await;
    }
    server.caught_up(&customers).await;
    let answer = get_tier(server.channel(), 0)
        .await
        .expect("the member is enrolled");
    let echo = echo::start(answer).await;

    println!(
        "| connections × in flight | | calls/s | p50 µs | p99 µs | ÷ echo calls/s | ÷ echo p99 |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (connections, in_flight) in LOADS {
        let load = Load {
            connections,
            in_flight,
        };
        let (mut hot, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            hot.push(load.measure(&server.url(), get_tier).await);
            bare.push(load.measure(&echo, get_tier).await);
        }
        let (hot, bare) = (median(hot), median(bare));
        row(load, "GetTier, L1", hot, bare);
        row(load, "bare echo", bare, bare);
    }
}

fn row(load: Load, what: &str, measured: Measured, bare: Measured) {
    println!(
        "| {}×{} | {what} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} |",
        load.connections,
        load.in_flight,
        measured.per_second,
        measured.p50_us,
        measured.p99_us,
        measured.per_second / bare.per_second,
        measured.p99_us / bare.p99_us,
    );
}

fn name(member: usize) -> String {
    format!("m-{}", member % MEMBERS)
}

/// One lookup, at either server.
async fn get_tier(channel: Channel, call: usize) -> Result<GetTierResponse, Status> {
    let request = GetTierRequest {
        program_id: "default".to_owned(),
        customer_id: name(call),
        ..Default::default()
    };
    Ok(LoyaltyServiceClient::new(channel)
        .get_tier(request)
        .await?
        .into_inner())
}

/// A channel of one connection.
fn connect(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a server's URL");
    endpoint.tcp_nodelay(true).connect_lazy()
}
