//! Replays a history on the model and compares every answer.
//!
//! Changes are replayed in the order of their revisions, each with every version of a tier policy that can have been known
//! to it (`knowledge`). Everything else, refusals, dry runs and reads, must be what
//! the model says at some version of the customer between those that the caller can know to be past and those that
//! began only afterwards, and never at an older version than an answer given before it began.

mod budgets;
mod explain;
mod knowledge;
mod limits;
mod met;
mod runs;
mod sources;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use api::loyalty::v1 as pb;

use crate::answers::{Answer, agrees, comparable};
use crate::history::Event;
use crate::model::{Around, Limits, Micros, Policies, Usage, World, apply, program};
use crate::operations::{Request, Response, batches};
use crate::order::Order;
use crate::statements;
use knowledge::{Finding, Known, Possible, States};

/// What was compared.
#[derive(Debug, Default)]
pub struct Compared {
    pub changes: usize,
    pub refusals: usize,
    /// Members for whom a sweep or a recalculation found nothing to do, and purchases of which nothing came.
    pub idle: usize,
    pub dry_runs: usize,
    pub reads: usize,
    /// Earnings that limits cut.
    pub cuts: usize,
    pub reasons: BTreeMap<String, usize>,
    /// What else was met.
    pub met: BTreeMap<String, usize>,
    /// What is left around the customers for those who come next.
    pub left: Around,
    /// Which policies they come under.
    pub policies: Policies,
}

impl Compared {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.changes += other.changes;
        self.refusals += other.refusals;
        self.idle += other.idle;
        self.dry_runs += other.dry_runs;
        self.reads += other.reads;
        self.cuts += other.cuts;
        self.left = other.left;
        self.policies = other.policies;
        for (reason, times) in other.reasons {
            *self.reasons.entry(reason).or_default() += times;
        }
        for (met, times) in other.met {
            *self.met.entry(met).or_default() += times;
        }
    }
}

/// A history that is being replayed.
struct Replay<'a> {
    events: &'a [Event],
    order: Order,
    world: World,
    /// Each customer after none, one, two … changes, as it may have been.
    versions: BTreeMap<String, Vec<States>>,
    /// The limits of each program that has a history of them, likewise.
    limits: BTreeMap<String, Vec<Limits>>,
    /// What earnings are counted against, by their postings, as far as it was read.
    decided: BTreeMap<String, Vec<pb::DecisionLimit>>,
    /// What was used of budgets before.
    base: Usage,
    /// The latest version of each program's tier policy before anything happens.
    at_first: Known,
    /// The versions that were told by program, with when they were at the latest.
    told: BTreeMap<String, Vec<(u64, i64)>>,
    /// By customer and program how the tier has moved, as it was told last, and when that was.
    moves: BTreeMap<(String, String), (u64, Vec<pb::TierChange>)>,
}

/// Compares everything; the error tells the first difference.
pub fn check(world: World, events: &[Event]) -> Result<Compared, String> {
    let at_first = world.policies.latest();
    let versions = world.customers.iter();
    let versions = versions
        .map(|(id, customer)| {
            (
                id.clone(),
                vec![vec![Possible::at_first(customer, &at_first)]],
            )
        })
        .collect();
    let mut replay = Replay {
        events,
        order: Order::of(events)?,
        limits: limits::at_first(&world),
        decided: limits::decided(events)?,
        base: world.around.elsewhere.clone(),
        world,
        versions,
        at_first,
        told: BTreeMap::new(),
        moves: BTreeMap::new(),
    };
    replay.publications()?;
    replay.changes()?;
    replay.look_back();
    sources::check(&replay.world, events)?;
    replay.budgets()?;
    replay.grants()?;
    replay.observations()
}

impl Replay<'_> {
    fn changes(&mut self) -> Result<(), String> {
        for n in std::mem::take(&mut self.order.all) {
            let event = &self.events[n];
            if matches!(event.request, Request::Publish(_)) {
                continue;
            }
            let made = self.made(event)?;
            for (_, after) in &made {
                after.assert_sound();
            }
            for history in event.changed() {
                if self.world.customers.contains_key(&history) {
                    let made = made.iter().map(|(finding, after)| (finding, after));
                    let states = self.states(&history, made);
                    self.versions.entry(history).or_default().push(states);
                } else if let Some(limits) = made[0].1.limits_in(&history) {
                    self.limits.entry(history).or_default().push(limits);
                }
            }
            let policies = self.world.policies.clone();
            let first = made.into_iter().next();
            self.world = first.expect("something explains it").1;
            self.world.policies = policies;
        }
        Ok(())
    }

    /// Whatever explains a change: what it may have found, and what it left.
    fn made(&self, event: &Event) -> Result<Vec<(Finding, World)>, String> {
        let told = event.answer.as_ref().map(|it| (it.told(), it.instant()));
        let (told, instant) = told.expect("changes were made");
        let told = self.traced(told);
        let instants = match instant {
            Some(instant) => vec![instant],
            // What does not tell was at any that explains it.
            None => event.window.instants(self.world.turning_points()),
        };
        let customers = event.request.customers();
        let latest = |customer_id: &&str| self.versions[*customer_id].len() - 1;
        let versions: Vec<_> = customers.iter().map(latest).collect();
        let version_of = customers.iter().copied().zip(versions.iter().copied());
        let version_of = version_of.collect();
        let mut made = Vec::new();
        let mut other = None;
        for finding in self.findings(event, &versions) {
            let mut before = self.world.clone();
            self.found(&mut before, &finding, &version_of);
            for now in &instants {
                let mut after = before.clone();
                let expected = apply(&mut after, &event.request, &told, *now);
                // Who was a member before is told since when.
                let is_within =
                    event.window.contains(*now) || matches!(event.request, Request::Enroll(_));
                if is_within && agrees(&expected, &event.answer) {
                    made.push((finding, after));
                    break;
                }
                other.get_or_insert((*now, expected));
            }
        }
        match other {
            Some((now, expected)) if made.is_empty() => Err(self.difference(event, now, &expected)),
            None if made.is_empty() => Err(format!("nobody can have known this: {event:#?}")),
            _ => Ok(made),
        }
    }

    /// The digest of a statement is over what the statement tells.
    fn is_digested(&self, event: &Event) -> bool {
        let (Request::Statement(asked), Ok(Response::Statement(told))) =
            (&event.request, &event.answer)
        else {
            return true;
        };
        let program_id = program(&asked.program_id);
        let is_first = self.world.place(program_id, &asked.points_currency) == Some(0);
        told.digest == statements::digest(asked, program_id, told, is_first)
    }

    /// Whatever changed nothing, in the order in which it began.
    fn observations(&mut self) -> Result<Compared, String> {
        let mut compared = Compared::default();
        let events = self.events;
        let mut observations: Vec<_> = events.iter().filter(|it| !it.is_change()).collect();
        observations.sort_by_key(|event| event.started);
        compared.changes = self.events.len() - observations.len();
        compared.cuts = self.events.iter().map(cuts).sum();
        compared.left = limits::left(&self.world);
        compared.policies = self.world.policies.clone();
        let amid = events.iter().filter(|it| self.is_amid_publication(it));
        compared
            .met
            .insert("change amid a publication".to_owned(), amid.count());
        for reason in self.events.iter().flat_map(reasons_of_items) {
            *compared.reasons.entry(reason).or_default() += 1;
        }
        for met in self.events.iter().flat_map(met::met) {
            *compared.met.entry(met).or_default() += 1;
        }
        // By customer: when an answer was given, and at least which version it came from.
        let mut answered: BTreeMap<String, Vec<(u64, usize)>> = BTreeMap::new();
        for event in observations {
            if let Ok(Response::Transactions(page)) = &event.answer
                && !page
                    .transactions
                    .is_sorted_by(|a, b| a.revision > b.revision)
            {
                return Err(format!("the latest does not come first: {event:#?}"));
            }
            if !self.is_digested(event) {
                return Err(format!("the digest is of something else: {event:#?}"));
            }
            if runs::is_whole(event) {
                runs::check(event)?;
                continue;
            }
            match &event.answer {
                Err(refusal) => {
                    compared.refusals += 1;
                    *compared.reasons.entry(refusal.reason.clone()).or_default() += 1;
                }
                Ok(_) if event.request.is_read() => compared.reads += 1,
                Ok(Response::Sweep(_) | Response::Recalculate(_) | Response::Announce(_))
                    if event.request.has_effect() =>
                {
                    compared.idle += 1;
                }
                Ok(_) if event.request.has_effect() => compared.refusals += 1,
                Ok(_) => compared.dry_runs += 1,
            }
            let customers = event.request.customers();
            let mut ranges = Vec::new();
            for customer_id in &customers {
                let (from, to) = self.versions_known_to(event, customer_id);
                let before = answered.get(*customer_id).into_iter().flatten();
                let before = before.filter(|(ended, _)| *ended < event.started);
                let from = before.map(|(_, version)| *version).fold(from, usize::max);
                ranges.push((from, to));
            }
            let Some(versions) = self.explain(event, &ranges) else {
                return Err(self.unexplained(event, &ranges));
            };
            if let ([customer_id], [(from, to)]) = (&customers[..], &ranges[..])
                && from == to
            {
                self.rule_out(event, customer_id, *from);
            }
            if let [customer_id] = customers[..] {
                for (customer_id, version) in self.order.implied(customer_id, versions[0]) {
                    let answers = answered.entry(customer_id.to_owned()).or_default();
                    answers.push((event.ended, version));
                }
            }
        }
        Ok(compared)
    }

    /// The first and last version of a customer that a call can have seen.
    fn versions_known_to(&self, event: &Event, customer_id: &str) -> (usize, usize) {
        let Some(order) = self.order.of.get(customer_id) else {
            return (0, 0);
        };
        let is_past = |n: &usize| self.events[*n].ended < event.started;
        let is_to_come = |n: &usize| self.events[*n].started > event.ended;
        let from = order
            .iter()
            .rposition(is_past)
            .map_or(0, |position| position + 1);
        let to = order.iter().position(is_to_come).unwrap_or(order.len());
        (from, to)
    }

    fn difference(&self, event: &Event, now: Micros, expected: &Answer) -> String {
        let told = match (&event.answer, expected) {
            (Ok(told), Ok(expected)) => Ok(comparable(expected, told)),
            (told, _) => told.clone(),
        };
        let mut text = format!(
            "request: {:#?}\nat {now} of {:?}\n{}",
            event.request,
            event.window,
            differing(&format!("{told:#?}"), &format!("{expected:#?}")),
        );
        for customer_id in event.request.customers() {
            let before = &self.world.customers.get(customer_id);
            write!(text, "{customer_id} before: {before:#?}").expect("texts grow");
        }
        text
    }
}

/// How many earnings limits have cut.
fn cuts(event: &Event) -> usize {
    let mut answer = event.answer.clone();
    let postings = answer.iter_mut().filter(|_| event.is_change());
    let postings = postings.flat_map(Response::postings);
    postings
        .filter(|posting| !posting.limit_cuts.is_empty())
        .count()
}

/// Why items of a batch, or rows of an import, are refused.
fn reasons_of_items(event: &Event) -> Vec<String> {
    let reasons: Vec<_> = match &event.answer {
        Ok(Response::Batch(it)) => {
            let refusals = it.results.iter().filter_map(batches::refusal);
            refusals.map(|refusal| &refusal.reason).collect()
        }
        Ok(Response::Import(it)) => it.answer.outcomes.iter().map(|row| &row.reason).collect(),
        _ => Vec::new(),
    };
    let reasons = reasons.into_iter().filter(|reason| !reason.is_empty());
    reasons.cloned().collect()
}

/// Both texts, with the lines marked in which they differ.
fn differing(told: &str, expected: &str) -> String {
    let (told, expected): (Vec<_>, Vec<_>) = (told.lines().collect(), expected.lines().collect());
    let mut text = String::new();
    for n in 0..told.len().max(expected.len()) {
        let (told, expected) = (told.get(n).unwrap_or(&""), expected.get(n).unwrap_or(&""));
        if told == expected {
            writeln!(text, "  {told}").expect("texts grow");
        } else {
            writeln!(text, "- told     {told}\n+ expected {expected}").expect("texts grow");
        }
    }
    text
}
