//! Tier lookups against a bare tonic echo: `cargo bench -p journeys --bench tiers`.
//!
//! Servers, callers and Redis share this machine, most of them this process, so only the ratios mean anything.
//! Slices of all servers are interleaved, and what all of each come to is printed as Markdown: first the tiers of a
//! thousand members, found in the process or only in Redis; then, by the number of members, those found in the
//! process, those of members chosen among all, and those read from the database each time.
//!
//! `TIERS_ROUNDS` and `TIERS_SECONDS` (of a slice) change the usual ones; `TIERS_MEMBERS_MAX` leaves out what has
//! more members.

mod echo;
mod load;
mod members;

use std::time::{Duration, Instant};

use api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use api::loyalty::v1::{GetTierRequest, GetTierResponse};
use load::{Load, Measured, Turn, setting, turns};
use loyalty_points::Loyalty;
use loyalty_points::config::Config;
use testkit::{Backend, Setup, TestServer, Upstream as _};
use tonic::Status;
use tonic::transport::Channel;

const FEW: u64 = 1_000;
/// Sizes of the member base.
const MANY: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Members that are asked for again and again, whatever the size.
const HOT: u64 = 10_000;
/// Connections and calls in flight on each.
const LOADS: [(usize, usize); 3] = [(1, 1), (4, 16), (8, 64)];
const LOAD: (usize, usize) = (4, 16);
/// The machine is faster one second and slower the next: slices are cut, so that the servers take more turns.
const PARTS: u32 = 8;

fn main() {
    common::process::block_on(run());
}

async fn run() {
    let began = Instant::now();
    levels().await;
    println!();
    sizes().await;
    println!("\n{:.0} s in all.", began.elapsed().as_secs_f64());
}

/// A server to be asked, and for how many members' tiers.
struct Target {
    name: String,
    url: String,
    members: u64,
}

impl Target {
    fn new(name: impl Into<String>, url: impl Into<String>, members: u64) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            members,
        }
    }

    async fn measure(&self, load: Load) -> Measured {
        let members = self.members;
        let call = move |channel, Turn { caller, number }: Turn| {
            let place = ((caller << 40) + number) as u64;
            get_tier(channel, members::scatter(place, members))
        };
        load.measure(&self.url, call).await
    }
}

/// All targets in turns.
async fn measure(targets: &[Target], load: Load) -> Vec<Measured> {
    let mut slices = vec![Vec::new(); targets.len()];
    for round in 0..setting("TIERS_ROUNDS", 6) * u64::from(PARTS) {
        for (target, slices) in turns(targets.iter().zip(&mut slices), round) {
            slices.push(target.measure(load).await);
        }
    }
    slices.iter().map(|slices| Measured::all(slices)).collect()
}

/// Where a tier is found.
async fn levels() {
    let redis = testkit::redis().await;
    let in_process = start(Setup::default(), FEW).await;
    let in_redis = start(
        Setup {
            redis: Some(redis.url.clone()),
            ..uncached()
        },
        FEW,
    )
    .await;
    let answer = get_tier(in_process.channel(), 0).await;
    let echo = echo::start(answer.expect("the member is enrolled")).await;
    let targets = [
        Target::new("bare echo", echo, FEW),
        Target::new("GetTier, in the process", in_process.url(), FEW),
        Target::new("GetTier, in Redis", in_redis.url(), FEW),
    ];
    println!(
        "| connections × in flight | | calls/s | p50 µs | p99 µs | ÷ echo calls/s | ÷ echo p99 |\n\
         |---|---|---|---|---|---|---|"
    );
    for load in LOADS.map(load) {
        let measured = measure(&targets, load).await;
        let bare = measured[0];
        for (target, measured) in targets.iter().zip(&measured) {
            println!(
                "| {}×{} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} |",
                load.connections,
                load.in_flight,
                target.name,
                measured.per_second,
                measured.p50_us,
                measured.p99_us,
                measured.per_second / bare.per_second,
                measured.p99_us / bare.p99_us,
            );
        }
    }
}

/// What a lookup costs by the size of the member base.
async fn sizes() {
    const KINDS: usize = 3;
    let most = setting("TIERS_MEMBERS_MAX", u64::MAX);
    let counts: Vec<_> = MANY.into_iter().filter(|count| *count <= most).collect();
    let mut servers = Vec::new();
    let mut targets = Vec::new();
    for count in &counts {
        let cold = start(Setup::default(), *count).await;
        // A process of its own, so to say: what is asked of the other does not push out what it keeps.
        let hot = cold.replica().await;
        let uncached = start(uncached(), *count).await;
        targets.extend([
            Target::new("hot: 10,000 of them", hot.url(), HOT),
            Target::new("cold: any", cold.url(), *count),
            Target::new("from the database: any", uncached.url(), *count),
        ]);
        servers.extend([cold, hot, uncached]);
    }
    println!(
        "| members | asked for | calls/s | µs each | p50 µs | p99 µs | cost ÷ at 10,000 |\n\
         |---|---|---|---|---|---|---|"
    );
    let measured = measure(&targets, load(LOAD)).await;
    for (place, (target, slice)) in targets.iter().zip(&measured).enumerate() {
        let fewest = measured[place % KINDS];
        println!(
            "| {} | {} | {:.0} | {:.1} | {:.0} | {:.0} | {:.2} |",
            counts[place / KINDS],
            target.name,
            slice.per_second,
            1e6 / slice.per_second,
            slice.p50_us,
            slice.p99_us,
            fewest.per_second / slice.per_second,
        );
    }
}

fn load((connections, in_flight): (usize, usize)) -> Load {
    Load {
        connections,
        in_flight,
        length: Duration::from_secs(setting("TIERS_SECONDS", 2)) / PARTS,
    }
}

/// Keeps no tiers in the process.
fn uncached() -> Setup<Loyalty> {
    Setup {
        config: Config {
            tiers_in_memory_max: 0,
            ..Config::default()
        },
        ..Setup::default()
    }
}

async fn start(setup: Setup<Loyalty>, members: u64) -> TestServer<Loyalty> {
    let server = TestServer::start_as(Backend::Sqlite, &[], setup).await;
    members::seed(&server.platform.db, members).await;
    server
}

/// One lookup, at any server.
async fn get_tier(channel: Channel, member: u64) -> Result<GetTierResponse, Status> {
    let request = GetTierRequest {
        program_id: "default".to_owned(),
        customer_id: members::name(member),
        ..Default::default()
    };
    Ok(LoyaltyServiceClient::new(channel)
        .get_tier(request)
        .await?
        .into_inner())
}
