//! The service under test, which may be killed and started again while callers go on.

mod feed;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::customer::v1::{CustomerCreated, CustomerFacts};
use api::loyalty::v1 as pb;
use common::consumer;
use common::service::Service as _;
use journeys::process::{Launch, Process, free_address};
use loyalty_points::Loyalty;
use loyalty_points::config::Config;
use pb::limit_service_client::LimitServiceClient;
use pb::loyalty_service_client::LoyaltyServiceClient;
use testkit::{Backend, Database, FeedSource, Setup, TestServer, Upstream as _};
use tokio::sync::{Mutex, RwLock};
use tonic::transport::{Channel, Endpoint};

use crate::history::Time;
use crate::model::{DAY, GRACE};

/// The program with several currencies, in the first of which points never expire by themselves. Nobody is a member of
/// it from the start.
pub const CLUB: &str = "club";
/// Its currencies.
pub const CLUB_CURRENCIES: [&str; 2] = ["CLB", "STR"];

/// Its tiers, with the points that each is earned by, and what purchases earn in it, in basis points.
pub const CLUB_TIERS: [(&str, i64, i32); 3] = [
    ("Member", 0, 10_000),
    ("Star", 150, 15_000),
    ("Sun", 400, 25_500),
];

/// When it all begins, where the clock obeys.
const LEAP_DAY: &str = "2028-02-29T10:00:00Z";
/// So long the feed is followed by nobody after a kill.
const LEASE: Duration = Duration::from_millis(300);

/// What members may earn: the limit, program, currency, points, whose, when, and what becomes of more.
pub const LIMITS: [Limit; 6] = [
    (
        ("a-day", "default", "PTS", 300),
        (pb::LimitScope::Member, pb::LimitWindow::Day),
        pb::LimitExcess::Clamp,
    ),
    (
        ("a-month", "default", "PTS", 250),
        (pb::LimitScope::Member, pb::LimitWindow::Month),
        pb::LimitExcess::Clamp,
    ),
    (
        ("a-year", "default", "PTS", 600),
        (pb::LimitScope::Member, pb::LimitWindow::Year),
        pb::LimitExcess::Refuse,
    ),
    (
        ("together", "default", "PTS", 3_000),
        (pb::LimitScope::Program, pb::LimitWindow::Week),
        pb::LimitExcess::Refuse,
    ),
    (
        ("life", CLUB, CLUB_CURRENCIES[1], 500),
        (pb::LimitScope::Member, pb::LimitWindow::Lifetime),
        pb::LimitExcess::Refuse,
    ),
    (
        ("fund", CLUB, CLUB_CURRENCIES[1], 600),
        (pb::LimitScope::Program, pb::LimitWindow::Day),
        pb::LimitExcess::Clamp,
    ),
];

pub type Limit = (
    (&'static str, &'static str, &'static str, i64),
    (pb::LimitScope, pb::LimitWindow),
    pb::LimitExcess,
);

/// The tier policy that it is made with.
pub fn club_policy() -> pb::TierPolicy {
    let tier = |(rank, (name, threshold, multiplier)): (i32, (&str, i64, i32))| pb::Tier {
        name: name.to_owned(),
        rank,
        threshold,
        multiplier_basis_points: multiplier,
        ..Default::default()
    };
    pb::TierPolicy {
        period: pb::TierPeriod::CalendarYear.into(),
        downgrade: pb::TierDowngrade::OneDown.into(),
        grace_days: i32::try_from(GRACE / DAY).expect("few"),
        tiers: (1..).zip(CLUB_TIERS).map(tier).collect(),
        ..Default::default()
    }
}

/// The service under test.
pub struct Service {
    /// One to each replica.
    channels: Vec<Channel>,
    calls: AtomicUsize,
    customers: FeedSource,
    /// What was announced, with the customer's revision there; and the last of these.
    announced: Mutex<(BTreeMap<String, i64>, i64)>,
    host: Mutex<Option<Host>>,
    /// Held by whoever kills it, until it is back.
    up: RwLock<()>,
    // Last: they outlive the service that uses them.
    _kept: Option<(Database, tempfile::TempDir)>,
}

enum Host {
    /// In this process, by a clock that obeys. A kill cuts its background work and refuses new calls.
    Here(Box<TestServer<Loyalty>>),
    /// In processes of their own, by the machine's clock: replicas on one database. A kill is `kill -9`, of the one
    /// that was killed longest ago.
    Apart(VecDeque<Process>),
}

impl Service {
    /// Starts it in this process, with its clock.
    pub async fn start_here(backend: Backend) -> (Self, Time) {
        let customers = FeedSource::start("customer", backend).await;
        let setup = Setup {
            consumers: consumer::Options {
                lease: LEASE,
                ..consumer::Options::default()
            },
            config: Config {
                sweep_every: Duration::ZERO,
                ..Config::default()
            },
            ..Setup::default()
        };
        let server = TestServer::<Loyalty>::start_as(backend, &[&customers], setup).await;
        // Whoever is enrolled now has an anniversary on a day that few years have.
        server.clock.set(testkit::time(LEAP_DAY));
        let time = Time::fake(server.clock.clone());
        let service = Self {
            channels: vec![server.channel()],
            calls: AtomicUsize::new(0),
            customers,
            announced: Mutex::new((BTreeMap::new(), 1)),
            host: Mutex::new(Some(Host::Here(Box::new(server)))),
            up: RwLock::new(()),
            _kept: None,
        };
        (service, time)
    }

    /// Starts so many replicas of it on one database, each in a process of its own.
    pub async fn start_apart(
        backend: Backend,
        (replicas, sweep_every): (usize, &str),
    ) -> (Self, Time) {
        let customers = FeedSource::start("customer", backend).await;
        let database = Database::fresh(backend, Loyalty::NAME, Loyalty::migrations).await;
        database.shorten_leases(LEASE).await;
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let process = |_| {
            Process::start(Launch {
                program: "loyalty-points",
                api: free_address(),
                arguments: vec![
                    format!("--database-url={}", database.url()),
                    format!("--peer-customer={}", customers.url()),
                    format!("--loyalty-sweep-every={sweep_every}"),
                ],
                folder: folder.path(),
            })
        };
        let processes: VecDeque<_> = (0..replicas).map(process).collect();
        let channel = |process: &Process| {
            let endpoint = Endpoint::from_shared(format!("http://{}", process.api));
            endpoint.expect("an address makes a URL").connect_lazy()
        };
        let service = Self {
            channels: processes.iter().map(channel).collect(),
            calls: AtomicUsize::new(0),
            customers,
            announced: Mutex::new((BTreeMap::new(), 1)),
            host: Mutex::new(Some(Host::Apart(processes))),
            up: RwLock::new(()),
            _kept: Some((database, folder)),
        };
        (service, Time::Machine)
    }

    /// The way to one replica after the other.
    pub fn channel(&self) -> &Channel {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        &self.channels[call % self.channels.len()]
    }

    /// Kills it, whatever it is doing, and starts it again on what it left.
    pub async fn kill_and_restart(&self) {
        let mut host = self.host.lock().await;
        // The other replicas answer meanwhile.
        let _down = if self.channels.len() == 1 {
            Some(self.up.write().await)
        } else {
            None
        };
        *host = Some(match host.take().expect("it is put back below") {
            Host::Here(mut server) => {
                server.kill().await;
                Host::Here(Box::new((*server).restart().await))
            }
            Host::Apart(mut processes) => {
                let again = tokio::task::spawn_blocking(move || {
                    let mut process = processes.pop_front().expect("there is at least one");
                    process.kill();
                    process.start_again();
                    processes.push_back(process);
                    processes
                });
                Host::Apart(again.await.expect("it starts again"))
            }
        });
    }

    /// Returns when nobody is killing it.
    pub async fn is_up(&self) {
        drop(self.up.read().await);
    }

    /// Makes a customer known, who is a member of the default program from then on; returns since when.
    pub async fn welcome(&self, customer_id: &str) -> prost_types::Timestamp {
        let facts = CustomerFacts {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        let created = CustomerCreated {
            customer: Some(facts),
        };
        self.customers.emit(customer_id, 1, &created).await;
        let get = pb::GetMemberRequest {
            customer_id: customer_id.to_owned(),
            at_least: self.customers.token(customer_id, 1),
            ..Default::default()
        };
        let heard = async {
            loop {
                let mut client = LoyaltyServiceClient::new(self.channel().clone());
                match client.get_member(get.clone()).await {
                    Ok(reply) => return reply.into_inner().member.expect("a member"),
                    Err(status) => {
                        assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
                    }
                }
            }
        };
        let member = tokio::time::timeout(testkit::PATIENCE, heard).await;
        let member = member.unwrap_or_else(|_| panic!("nobody hears of {customer_id}"));
        member
            .enrolled_at
            .expect("members were enrolled at some time")
    }

    /// Makes the program of which customers become members by call; returns since when its tiers are what they are.
    pub async fn open_club(&self) -> Option<prost_types::Timestamp> {
        let mut client = LoyaltyServiceClient::new(self.channel().clone());
        let club = pb::Program {
            program_id: CLUB.to_owned(),
            display_name: "Club".to_owned(),
            points_currency: CLUB_CURRENCIES[0].to_owned(),
            further_currencies: vec![pb::PointCurrency {
                code: CLUB_CURRENCIES[1].to_owned(),
                display_name: "Stars".to_owned(),
                validity_days: 1,
            }],
            earning_rule: Some(pb::EarningRule {
                unit: Some(api::r#type::v1::Money {
                    currency_code: "USD".to_owned(),
                    micros: 1_000_000,
                }),
                points_per_unit: 1,
            }),
            validity_days: 0,
            tier_policy: Some(club_policy()),
            ..Default::default()
        };
        let request = pb::CreateProgramRequest {
            request_id: CLUB.to_owned(),
            program: Some(club),
            ..Default::default()
        };
        let created = client.create_program(request).await.expect("it is new");
        let program = created.into_inner().program.expect("it was made");
        program.tier_policy.expect("it has one").effective_at
    }

    /// Sets the limits, each by its program.
    pub async fn limit(&self) -> Vec<(&'static str, pb::EarningLimit)> {
        let mut client = LimitServiceClient::new(self.channel().clone());
        let mut set = Vec::new();
        for ((limit_id, program_id, code, points), (scope, window), excess) in LIMITS {
            let limit = pb::EarningLimit {
                limit_id: limit_id.to_owned(),
                scope: scope.into(),
                points_currency: code.to_owned(),
                window: window.into(),
                points,
                excess: excess.into(),
                ..Default::default()
            };
            let request = pb::SetEarningLimitRequest {
                request_id: limit_id.to_owned(),
                program_id: program_id.to_owned(),
                limit: Some(limit),
                reason: "from the start".to_owned(),
                ..Default::default()
            };
            let reply = client.set_earning_limit(request).await.expect("it is new");
            set.push((program_id, reply.into_inner().limit.expect("it was set")));
        }
        set
    }
}
