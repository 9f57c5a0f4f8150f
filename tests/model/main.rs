//! Model checker of the points ledger.
//!
//! Many callers do random things at once to a few members over gRPC: `driver` delivers what `generate` makes up, in
//! every way networks have, while the clock jumps and the service is killed. Afterwards `check` puts the changes in
//! the order of their revisions (`order`), replays them one by one on a `model` of the contract, and compares every
//! answer, refusals included, and in the end all that can be read. The design is that of Jepsen's checker for
//! `TigerBeetle`.
//!
//! # Running it
//! Each run prints its seed. `MODEL_SEED=7 cargo test -p journeys --test model` makes the same requests again (how
//! they meet is up to the scheduler), and `MODEL_OPERATIONS=100000` makes a longer run. Where service and model part, all
//! calls of the round are in a file that the message names.
//!
//! # Adding an operation
//! - `operations.rs`: an arm of `Request` with its call, and one of `Response` with the ids that it tells. The compiler
//!   names the rest: whose history it touches, where its `request_id`, reason, tokens and postings are.
//! - `generate.rs`: an arm of `Operation` with its weight, and a function that makes a request up in the file of its
//!   family.
//! - `model.rs`: an arm of `apply`, and the rule itself as a function of `Step` in the file of its family.
//!
//! # What is left out
//! - Of merges amid other calls: chains of them, so half of the customers may be merged into the others; and what purchases
//!   of a merged member pass on later: who may be merged buys nothing, and shares no source with the others. What its holds
//!   let go by a void, a final capture or the clock goes on. What it earned or spent is taken back, activated and cancelled
//!   by who stands for it. What a merged person has used of limits is read with who stands for it.
//!   Merges that the customer service announces come at the end of a round, while the service is killed;
//!   `faults/merges.rs` kills it amid many of them.
//! - Purchases that may count for a tier by spend or frequency, or no longer do, without a posting (of less than a
//!   dollar, or taken back by others before they are void) come when nothing else goes on: nothing tells their
//!   place in the order. So do those told of twice in a row, between which customers may join programs. Neither comes in
//!   the processes that are killed: there only points count for tiers, and purchases come amid all other calls.
//! - Versions of tier policies are published amid all other calls, but not in the processes that are killed: where a purchase
//!   of less than a dollar is told of, or one is voided of which no points are left, a tier may follow another version
//!   without a posting, which has no place in the order there. By which version a tier was decided that stays the same
//!   nothing tells: whatever can have been known is tried, and the states of a customer that explain all that was told so
//!   far are kept beside each other (`check/knowledge.rs`). Of several customers in one call each is looked into with one
//!   state of the others, as no such answer depends on a tier; and a read that may have come from several versions of a
//!   customer rules out none of its states. While no version that has held multiplies anything the tier of the trace is
//!   the one that was noted last. Amid other calls a tier is read as of an instant, so never from a cache; from caches only when
//!   nothing else goes on, with the token of the customer's latest change, which nothing older may answer.
//! - Of reads: several customers at once (`BatchGetBalances`, `BatchGetTiers`), balances and forecasts at an instant of the
//!   past or as they were believed then (`posted_by`), and pages after the first.
//! - Of limits that begin and end while callers earn, what each earning is held against is what `GetDecisionTrace` tells at
//!   the end of the round, and some state of the limits while it was called must explain all of it. Whether the states of
//!   different earnings go together is looked into only for the points of budgets: what is not counted in a budget may
//!   come anywhere in its order, and a batch of several items may be counted in a budget whenever.
//! - The sweep in the background goes on only where there are two replicas, of which none is asked to sweep; of notices that
//!   it tells nothing is known, and no hold of who may be merged times out there. Sweeps and recalculations have request
//!   ids: without one whoever is cut off is not told all that was done. Of the history of a tier its steps within one call,
//!   their reasons and amounts are not looked at, except where a recalculation tells them.
//!
//! # Invariant
//! The model shares no code with the service.

mod answers;
mod background;
mod check;
mod closing;
mod driver;
mod generate;
mod history;
mod model;
mod operations;
mod order;
mod service;
mod statements;
mod tampered;

use std::collections::BTreeMap;
use std::rc::Rc;

use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};

use crate::answers::micros;
use crate::check::{Compared, check};
use crate::closing::{close, read_all, read_traces, sweep};
use crate::driver::{Drive, Load};
use crate::generate::Generator;
use crate::history::{History, Time};
use crate::model::{Around, Currency, Customer, DAY, Policies, World};
use crate::service::{CLUB, CLUB_CURRENCIES, Service};

/// Operations on the same customers; then come others, so that histories stay short enough to be looked into.
const ROUND: usize = 400;
const CUSTOMERS: usize = 4;
const CALLERS: usize = 16;
/// So many operations meet every refusal that matters.
const ENOUGH: usize = 2_400;
/// How long points of the default program can be spent.
const VALIDITY: i64 = 730 * DAY;

/// A run as asked for.
struct Run {
    seed: u64,
    operations: usize,
    load: Load,
    /// The length of time that matters, in microseconds.
    unit: i64,
    /// Whether sweeps are asked for; else they go on in the background.
    asks_for_sweeps: bool,
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_that_of_the_model_whatever_the_clock_does(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let run = Run {
        seed: seed(),
        operations: operations(backend, 2_800),
        load: Load {
            operations: ROUND,
            kill_every: 300,
        },
        unit: 3_600_000_000,
        asks_for_sweeps: true,
    };
    let operations = run.operations;
    let compared = start(run, Service::start_here(backend).await).await;
    if operations < ENOUGH {
        return;
    }
    // A run that meets none of these proves nothing about them.
    for reason in [
        "INSUFFICIENT_POINTS",
        "MEMBER_NOT_FOUND",
        "HOLD_EXPIRED",
        "ALREADY_REVERSED",
        "REVERSAL_EXCEEDED",
        "REVERSAL_NOT_COVERED",
        "SOURCE_ALREADY_POSTED",
        "CURRENCY_NOT_FOUND",
        "PENDING_NOT_FOUND",
        "NOT_PENDING",
        "ALREADY_ACTIVATED",
        "ALREADY_CANCELLED",
        "LINE_NOT_FOUND",
        "LINKED_ITEM_FAILED",
        "NOT_OVERRIDDEN",
        "LIMIT_REACHED",
        "IMPORT_CONFLICT",
        "LIMIT_CHANGED",
        "LIMIT_FIXED",
        "LIMIT_ENDED",
        "LIMIT_NOT_FOUND",
        "MEMBER_MERGED",
        "MERGE_NOT_FOUND",
        "MERGE_ALREADY_UNDONE",
        "TIER_POLICY_CHANGED",
        "TIER_POLICY_NOT_LATER",
    ] {
        assert!(
            compared.reasons.contains_key(reason),
            "no {reason}: {compared:#?}"
        );
    }
    for what in [
        "limit ended",
        "limit set that is new",
        "earning under a new limit",
        "purchase",
        "purchase cut",
        "purchase multiplied",
        "purchase by a later policy",
        "change amid a publication",
        "purchase of which nothing is left",
        "purchase told again",
        "purchase voided",
        "purchase voided before",
        "hold swept",
        "hold of a merged member swept, passed on",
        "points swept",
        "notice told",
        "points foretold to expire",
        "fall foretold",
        "tier by a token",
        "tier lost in default",
        "tier lost in club",
        "merge",
        "merge with spending",
        "merge with debt",
        "members merged in default",
        "merge of which something was spent",
        "merge of which something came back",
        "passed on",
        "policy by TIER_METRIC_POINTS_EARNED",
        "policy by TIER_METRIC_SPEND",
        "policy by TIER_METRIC_FREQUENCY",
        "policy in TIER_PERIOD_ROLLING",
        "policy in TIER_PERIOD_CALENDAR_YEAR",
        "policy in TIER_PERIOD_MEMBERSHIP_YEAR",
        "policy with TIER_DOWNGRADE_IMMEDIATE",
        "policy with TIER_DOWNGRADE_TO_EARNED",
        "policy with TIER_DOWNGRADE_ONE_DOWN",
        "tier earned by TIER_METRIC_POINTS_EARNED",
        "tier earned by TIER_METRIC_SPEND",
        "tier earned by TIER_METRIC_FREQUENCY",
    ] {
        assert!(compared.met.contains_key(what), "no {what}: {compared:#?}");
    }
    // In a batch or not.
    let passed_on = "reversal by who stands for the member, passed on";
    let mut met = compared.met.keys();
    assert!(
        met.any(|what| what.starts_with(passed_on)),
        "no {passed_on}: {compared:#?}"
    );
    assert!(compared.cuts > 0, "{compared:#?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_that_of_the_model_however_often_the_service_is_killed(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    start_apart(backend, (1, "0s")).await;
}

/// SQLite has one process. Both sweep in the background.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_that_of_the_model_whichever_of_two_replicas_is_asked() {
    let compared = start_apart(Postgres, (2, "40ms")).await;
    assert!(
        compared.changes < ROUND / 4 || compared.met.contains_key("swept in the background"),
        "{compared:#?}"
    );
}

async fn start_apart(backend: Backend, replicas: (usize, &str)) -> Compared {
    let run = Run {
        seed: seed(),
        operations: operations(backend, 800),
        load: Load {
            operations: ROUND,
            kill_every: 130,
        },
        unit: 20_000,
        asks_for_sweeps: replicas.1 == "0s",
    };
    let is_short = run.operations < ROUND;
    let compared = start(run, Service::start_apart(backend, replicas).await).await;
    assert!(
        is_short || compared.met.contains_key("purchase"),
        "{compared:#?}"
    );
    compared
}

fn seed() -> u64 {
    number("MODEL_SEED").unwrap_or_else(|| StdRng::from_os_rng().next_u64())
}

/// As many as asked for; by default as many as SQLite does in half a minute on a busy machine, and half of that on
/// PostgreSQL, which is asked more often for each.
fn operations(backend: Backend, default: usize) -> usize {
    let default = match backend {
        Sqlite => default,
        Postgres => default / 2,
    };
    let asked = number("MODEL_OPERATIONS").map(|number| usize::try_from(number).expect("few"));
    asked.unwrap_or(default)
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {value}")),
    )
}

/// Drives and checks one set of customers after the other.
async fn start(run: Run, (service, time): (Service, Time)) -> Compared {
    println!(
        "MODEL_SEED={} MODEL_OPERATIONS={}",
        run.seed, run.operations
    );
    let club_since = service.open_club().await;
    let limits = Around::of(service.limit().await);
    let rounds = run.operations.div_ceil(ROUND);
    let mut worlds = Vec::new();
    // Before any kill: a killed service keeps the lease on the feed for a while.
    for round in 0..rounds {
        worlds.push(world(&service, round).await);
    }
    let history = History::new(time);
    let mut seeds = StdRng::seed_from_u64(run.seed);
    let mut compared = Compared {
        left: limits,
        policies: Policies::with_club_since(club_since),
        ..Compared::default()
    };
    for (round, mut world) in worlds.into_iter().enumerate() {
        world.around = compared.left.clone();
        world.policies = compared.policies.clone();
        for customer in world.customers.values_mut() {
            customer.know(&compared.policies);
        }
        let customers: Vec<_> = world.customers.keys().cloned().collect();
        let generator = |seed| Generator {
            rng: StdRng::seed_from_u64(seed),
            customers: customers.clone(),
            unit: run.unit,
            is_here: matches!(history.time, Time::Fake(..)),
            asks_for_sweeps: run.asks_for_sweeps,
            bought: Vec::new(),
        };
        let callers = (0..CALLERS).map(|_| generator(seeds.next_u64())).collect();
        let wrong = Drive::new(&service, &history, run.load).run(callers).await;
        assert!(wrong.is_empty(), "MODEL_SEED={}\n{}", run.seed, wrong[0]);
        if matches!(history.time, Time::Fake(..)) {
            sweep(&service, &history, &customers, run.unit).await;
        }
        read_all(&service, &history, &customers).await;
        if !run.asks_for_sweeps {
            background::note(&service, &history, &customers).await;
        }
        if matches!(history.time, Time::Fake(..)) {
            let number = usize::try_from(run.seed % 1000).expect("below") + 4 * round;
            close(&service, &history, &customers, (run.unit, number)).await;
        }
        read_traces(&service, &history).await;
        let events = history.take();
        match check(world, &events) {
            Ok(more) => compared.add(more),
            Err(difference) => panic!(
                "the service and the model part, MODEL_SEED={}, all calls in {}\n{difference}",
                run.seed,
                history::write_down(&events, run.seed).display()
            ),
        }
    }
    println!("{compared:#?}");
    compared
}

/// New customers, who are members of the default program and nothing else.
async fn world(service: &Service, round: usize) -> World {
    let currency = |code: &str, validity| Currency {
        code: code.to_owned(),
        validity,
    };
    let [first, further] = CLUB_CURRENCIES;
    let programs = [
        ("default".to_owned(), vec![currency("PTS", Some(VALIDITY))]),
        (
            CLUB.to_owned(),
            vec![currency(first, None), currency(further, Some(DAY))],
        ),
    ];
    let programs = Rc::new(BTreeMap::from(programs));
    let mut customers = BTreeMap::new();
    for number in 0..CUSTOMERS {
        let customer_id = format!("c-{round}-{number}");
        let since = service.welcome(&customer_id).await;
        let customer = (customer_id.as_str(), micros(&since));
        let accounts = World::enrolled(&programs, "default", customer);
        let members = BTreeMap::from([("default".to_owned(), accounts)]);
        customers.insert(
            customer_id,
            Customer {
                members,
                ..Customer::default()
            },
        );
    }
    World {
        programs,
        customers,
        around: Around::default(),
        policies: Policies::default(),
    }
}
