//! The posting path: `cargo bench -p journeys --bench ledger`.
//!
//! Earnings over gRPC against the service as it is configured by default, against (a) the same service with a
//! transaction per request and, on PostgreSQL, (b) pgbench running the equivalent statements. PostgreSQL runs with
//! fsync and `synchronous_commit` on, SQLite with `synchronous = FULL`. Service and callers share this process and
//! the machine with the database, so only the ratios mean anything. Slices of all sides are interleaved; after each
//! one the books must add up to what was acknowledged, else the benchmark panics.
//!
//! `LEDGER_ROUNDS`, `LEDGER_SECONDS` (of a slice), `LEDGER_MEMBERS`, `LEDGER_POOL` (connections of the service) and
//! `LEDGER_CALLERS` (one number: only that many) change the usual ones; `LEDGER_DATABASE=sqlite` or `postgres` leaves
//! the other one out.

mod books;
mod load;
mod members;
mod pgbench;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use api::loyalty::v1::{EarnPointsRequest, RedeemPointsRequest};
use chrono::TimeDelta;
use common::config::DatabaseConfig;
use common::service::Service as _;
use load::{Load, Measured, Turn, setting, turns};
use loyalty_points::Loyalty;
use loyalty_points::config::Config;
use pgbench::Pgbench;
use testkit::postgres::Cluster;
use testkit::{Backend, Database, FakeClock, Setup, TestServer, Upstream as _};
use tonic::Status;
use tonic::transport::Channel;

/// Connections and calls in flight on each: 1, 16, 64 and 256 callers.
const LOADS: [(usize, usize); 4] = [(1, 1), (4, 4), (4, 16), (8, 32)];
/// Those that the targets speak of.
const MANY: usize = 256;
/// One caller waits for the disk, which is faster one second and slower the next: its slices are cut, so that the sides take
/// more turns.
const PARTS_OF_ONE: u32 = 8;

/// The two sides. This is the one place that says how they differ.
fn sides() -> [(&'static str, Config); 2] {
    let apart = Config {
        posting_batch_max: 1,
        ..Config::default()
    };
    [
        ("the service", Config::default()),
        ("(a) a transaction per request", apart),
    ]
}

/// What the callers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Each call earns for a member of its own choice.
    Uniform,
    /// Every second call earns for one and the same member, who is another one in each slice.
    Hot,
    /// Three earnings, then a redemption, by the member of the caller's choice.
    Mixed,
}

/// One slice of one side.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    number: u64,
    members: u64,
    work: Work,
}

impl Slice {
    /// The member of every second call.
    fn hot(self) -> Option<u64> {
        (self.work == Work::Hot).then_some(self.number)
    }
}

fn main() {
    common::process::block_on(run());
}

async fn run() {
    let began = Instant::now();
    let clock = FakeClock::default();
    tokio::spawn(tick(clock.clone()));
    println!(
        "| database | work | callers | | calls/s | p50 ms | p99 ms | calls/s ÷ (a) | ÷ (b) |\n\
         |---|---|---|---|---|---|---|---|---|"
    );
    let only = std::env::var("LEDGER_DATABASE").unwrap_or_default();
    let mut postgres = Vec::new();
    if only != "sqlite" {
        let cluster = tokio::task::spawn_blocking(Cluster::start_durable).await;
        let cluster = cluster.expect("PostgreSQL could not be started");
        postgres = Bench::on_postgres(&cluster, &clock).await.run().await;
    }
    let mut sqlite = Vec::new();
    if only != "postgres" {
        sqlite = Bench::on_sqlite(&clock).await.run().await;
    }
    println!();
    for (target, name, reached) in targets(&postgres, &sqlite) {
        let verdict = if reached >= target {
            "reached"
        } else {
            "missed"
        };
        println!("- {name}: {reached:.2}, to reach {target} — {verdict}");
    }
    println!(
        "\nHot: every second call is for one member, another one in each slice. {:.0} s in all.",
        began.elapsed().as_secs_f64()
    );
}

/// Ids and instants follow each other as they do in production.
async fn tick(clock: FakeClock) {
    let mut last = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    loop {
        ticks.tick().await;
        let now = Instant::now();
        clock.advance(TimeDelta::from_std(now - last).expect("a tick is short"));
        last = now;
    }
}

/// A service of one configuration on a database of its own.
struct Side {
    name: &'static str,
    server: TestServer<Loyalty>,
    /// Points that members must have after what was acknowledged so far.
    points: Arc<AtomicI64>,
}

impl Side {
    async fn start(
        (name, config): (&'static str, Config),
        database: Database,
        members: u64,
        clock: &FakeClock,
    ) -> Self {
        let usual = DatabaseConfig::default();
        let pool_max = setting("LEDGER_POOL", usual.pool_max.into());
        let setup = Setup {
            config,
            database: DatabaseConfig {
                pool_max: u32::try_from(pool_max).expect("LEDGER_POOL is small"),
                ..usual
            },
            clock: clock.clone(),
            ..Setup::default()
        };
        let server = TestServer::start_in(database, &[], setup).await;
        members::seed(&server.platform.db, members).await;
        Self {
            name,
            server,
            points: Arc::default(),
        }
    }

    async fn run(&mut self, load: Load, slice: Slice) -> Measured {
        let points = Arc::clone(&self.points);
        let call = move |channel, turn| call(channel, turn, slice, Arc::clone(&points));
        let measured = load.measure(&self.server.url(), call).await;
        let db = &self.server.platform.db;
        books::settled(db).await;
        books::check(db, self.name, self.points.load(Ordering::SeqCst)).await;
        measured
    }
}

async fn call(
    channel: Channel,
    turn: Turn,
    slice: Slice,
    points: Arc<AtomicI64>,
) -> Result<(), Status> {
    let Turn { caller, number } = turn;
    let (calls_each, redeems) = match slice.work {
        Work::Mixed => (4, number % 4 == 3),
        Work::Uniform | Work::Hot => (1, false),
    };
    let chosen = (caller << 40) + number / calls_each;
    let chosen = members::scatter(chosen as u64, slice.members);
    let member = slice
        .hot()
        .filter(|_| (caller + number) % 2 == 0)
        .unwrap_or(chosen);
    let customer_id = members::name(member);
    let program_id = "default".to_owned();
    let request_id = format!("{:08}-{caller:08}-{number:018}", slice.number);
    let mut client = LoyaltyServiceClient::new(channel);
    if redeems {
        let request = RedeemPointsRequest {
            request_id,
            program_id,
            customer_id,
            points: 1,
            ..Default::default()
        };
        client.redeem_points(request).await?;
        points.fetch_sub(1, Ordering::SeqCst);
    } else {
        let request = EarnPointsRequest {
            source_type: "promotion".to_owned(),
            source_ref: request_id.clone(),
            request_id,
            program_id,
            customer_id,
            points: 1,
            ..Default::default()
        };
        client.earn_points(request).await?;
        points.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

/// All sides on one database system.
struct Bench {
    database: &'static str,
    sides: Vec<Side>,
    pgbench: Option<Pgbench>,
    members: u64,
    slices: u64,
}

/// The throughput of the service by that of the others.
struct Reached {
    work: Work,
    callers: usize,
    by_single: f64,
    by_pgbench: f64,
}

impl Bench {
    async fn on_postgres(cluster: &Cluster, clock: &FakeClock) -> Self {
        let mut bench = Self::new("PostgreSQL");
        for (place, side) in sides().into_iter().enumerate() {
            let name = format!("side_{place}");
            let database = Database::create_on(cluster, &name, Loyalty::migrations).await;
            let side = Side::start(side, database, bench.members, clock).await;
            bench.sides.push(side);
        }
        bench.warm_up().await;
        let sizes = books::sizes(&bench.sides[0].server.platform.db).await;
        bench.pgbench = Some(Pgbench::create(cluster, bench.members, sizes).await);
        bench
    }

    async fn on_sqlite(clock: &FakeClock) -> Self {
        let mut bench = Self::new("SQLite");
        for side in sides() {
            let name = Loyalty::NAME;
            let database = Database::fresh(Backend::Sqlite, name, Loyalty::migrations).await;
            let side = Side::start(side, database, bench.members, clock).await;
            bench.sides.push(side);
        }
        bench.warm_up().await;
        bench
    }

    fn new(database: &'static str) -> Self {
        Self {
            database,
            sides: Vec::new(),
            pgbench: None,
            members: setting("LEDGER_MEMBERS", 100_000),
            slices: 0,
        }
    }

    async fn warm_up(&mut self) {
        let load = Load {
            connections: 1,
            in_flight: 16,
            length: Duration::from_secs(1),
        };
        let slice = self.next(Work::Mixed);
        for side in &mut self.sides {
            side.run(load, slice).await;
        }
    }

    fn next(&mut self, work: Work) -> Slice {
        self.slices += 1;
        Slice {
            number: self.slices,
            members: self.members,
            work,
        }
    }

    async fn run(mut self) -> Vec<Reached> {
        let only = setting("LEDGER_CALLERS", 0);
        let length = Duration::from_secs(setting("LEDGER_SECONDS", 2));
        let mut reached = Vec::new();
        for (connections, in_flight) in LOADS {
            let load = Load {
                connections,
                in_flight,
                length,
            };
            if only != 0 && only != (connections * in_flight) as u64 {
                continue;
            }
            for work in [Work::Uniform, Work::Hot, Work::Mixed] {
                // The mixed load is for one number of callers only, for the sake of time.
                if work != Work::Mixed || connections * in_flight == 64 {
                    reached.push(self.compare(load, work).await);
                }
            }
        }
        for side in &mut self.sides {
            side.server.stop().await;
        }
        reached
    }

    /// One group of rows: every side, and pgbench, in turns.
    async fn compare(&mut self, load: Load, work: Work) -> Reached {
        let rounds = setting("LEDGER_ROUNDS", 4);
        let mut measured = vec![Vec::new(); self.sides.len()];
        let mut by_pgbench = Vec::new();
        let callers = load.connections * load.in_flight;
        let parts = if callers == 1 { PARTS_OF_ONE } else { 1 };
        let part = Load {
            length: load.length / parts,
            ..load
        };
        for round in 0..rounds {
            let mut slice = self.next(work);
            for place in 0..u64::from(parts) {
                let sides = self.sides.iter_mut().zip(&mut measured);
                for (side, slices) in turns(sides, round + place) {
                    slices.push(side.run(part, slice).await);
                }
                slice = self.next(work);
            }
            if let Some(pgbench) = self.pgbench.as_mut().filter(|_| work != Work::Mixed) {
                by_pgbench.push(pgbench.run(load, slice).await);
            }
        }
        let measured: Vec<_> = measured
            .iter()
            .map(|slices| Measured::all(slices))
            .collect();
        let [service, single] = measured[..] else {
            unreachable!("there are two sides");
        };
        let by_pgbench = (!by_pgbench.is_empty()).then(|| Measured::all(&by_pgbench));
        let row = |name: &str, of: Measured| {
            let ratio = |to: Measured| format!("{:.2}", of.per_second / to.per_second);
            println!(
                "| {} | {work:?} | {callers} | {name} | {:.0} | {:.2} | {:.2} | {} | {} |",
                self.database,
                of.per_second,
                of.p50_us / 1e3,
                of.p99_us / 1e3,
                ratio(single),
                by_pgbench.map(ratio).unwrap_or_default(),
            );
        };
        for (side, measured) in self.sides.iter().zip(measured) {
            row(side.name, measured);
        }
        if let Some(by_pgbench) = by_pgbench {
            row("(b) pgbench", by_pgbench);
        }
        Reached {
            work,
            callers,
            by_single: service.per_second / single.per_second,
            by_pgbench: by_pgbench.map_or(f64::NAN, |to| service.per_second / to.per_second),
        }
    }
}

/// What is to be reached, and what was.
fn targets(postgres: &[Reached], sqlite: &[Reached]) -> Vec<(f64, String, f64)> {
    let mut targets = Vec::new();
    for (database, reached) in [("PostgreSQL", postgres), ("SQLite", sqlite)] {
        for at in reached {
            let name = format!("{database}, {:?}, {} callers", at.work, at.callers);
            match (at.callers, at.work) {
                (_, Work::Mixed) => {}
                (MANY, _) if database == "PostgreSQL" => {
                    targets.push((4.0, format!("{name}, ÷ (a)"), at.by_single));
                    targets.push((3.0, format!("{name}, ÷ (b)"), at.by_pgbench));
                }
                (MANY, _) => targets.push((8.0, format!("{name}, ÷ (a)"), at.by_single)),
                (1, _) => targets.push((0.95, format!("{name}, ÷ (a)"), at.by_single)),
                _ => {}
            }
        }
    }
    targets
}
