//! What limits made of earnings: changes are replayed with what they say that limits left, which is looked into here.
//!
//! Limits are set while callers earn, and all members use a budget together: no answer tells which of several calls at
//! the same time came first. So some state must explain the answer that there can have been while it was called.

use std::collections::{BTreeMap, BTreeSet};

use api::loyalty::v1 as pb;

use super::Replay;
use crate::history::Event;
use crate::model::{Around, Customer, Limits, Usage, World, history_of};
use crate::operations::{Request, Response, Told};

impl Replay<'_> {
    /// Every earning that was decided came to what limits left of it.
    pub(super) fn grants(&self) -> Result<(), String> {
        let events = self.events.iter().enumerate();
        for (number, event) in events.filter(|(_, event)| event.is_change()) {
            let programs = event.request.limited_by();
            if programs.is_empty() || !event.request.is_earning() {
                continue;
            }
            let place = |customer_id: &str| {
                let order = self.order.of.get(customer_id)?;
                order.iter().position(|other| *other == number)
            };
            let mut ranges = Vec::new();
            for customer_id in event.request.customers() {
                let before = place(customer_id).map(|place| (place, place));
                ranges.push(before.unwrap_or_else(|| self.versions_known_to(event, customer_id)));
            }
            if self.explain(event, &ranges).is_none() {
                let told = self.unexplained(event, &ranges);
                return Err(format!("no state of the limits explains: {told}"));
            }
        }
        Ok(())
    }

    /// What is told of postings, and what they are counted against.
    pub(super) fn traced(&self, mut told: Told) -> Told {
        told.decided = self.decided.get(&told.transaction_id).cloned();
        let items = told.items.into_iter();
        told.items = items.map(|item| self.traced(item)).collect();
        told
    }

    /// What there can have been around the customers of a call while it was made.
    pub(super) fn around(&self, event: &Event) -> Vec<Around> {
        let programs = event.request.limited_by();
        let mut all = vec![Around::default()];
        for program_id in &programs {
            let history = history_of(program_id);
            let Some(known) = self.limits.get(&history) else {
                continue;
            };
            let (from, to) = self.versions_known_to(event, &history);
            let mut more = Vec::new();
            for around in all {
                for set in sets(program_id, &known[from..=to], event.request.items()) {
                    let mut around: Around = around.clone();
                    around.limits.extend(set.limits);
                    around.then.extend(set.then);
                    more.push(around);
                }
            }
            all = more;
        }
        if programs.is_empty() {
            return all;
        }
        let mut more = Vec::new();
        for elsewhere in self.elsewhere(event, &programs) {
            for mut around in all.clone() {
                around.elsewhere = elsewhere.clone();
                more.push(around);
            }
        }
        more
    }

    /// What others may have used of the budgets of programs.
    fn elsewhere(&self, event: &Event, programs: &[&str]) -> BTreeSet<Usage> {
        let is_asked_for = |counter: &(String, String, i64)| {
            let is_of_program = programs.contains(&counter.0.as_str());
            is_of_program && self.world.around.budget(counter).is_some()
        };
        let mut base = self.base.clone();
        base.retain(|counter, _| is_asked_for(counter));
        let mut all = BTreeSet::from([base]);
        let customers = event.request.customers();
        let others = self.versions.keys();
        for other in others.filter(|other| !customers.contains(&other.as_str())) {
            let (from, to) = self.versions_known_to(event, other);
            let states = self.versions[other][from..=to].iter().flatten();
            let mut more = BTreeSet::new();
            for used in states
                .map(|it| used(&it.customer))
                .collect::<BTreeSet<Usage>>()
            {
                for mut sum in all.clone() {
                    for (counter, points) in used.iter().filter(|(it, _)| is_asked_for(it)) {
                        *sum.entry(counter.clone()).or_default() += points;
                    }
                    more.insert(sum);
                }
            }
            all = more;
        }
        all
    }
}

/// The limits that a call of so many items can have seen: the same for all of it, or others from one item on.
fn sets(program_id: &str, versions: &[Limits], items: usize) -> Vec<Around> {
    let with = |limits: &Limits, then: Option<(usize, &Limits)>| Around {
        limits: BTreeMap::from([(program_id.to_owned(), limits.clone())]),
        then: then
            .into_iter()
            .map(|(item, limits)| (item, program_id.to_owned(), limits.clone()))
            .collect(),
        ..Around::default()
    };
    let mut sets: Vec<_> = versions.iter().map(|limits| with(limits, None)).collect();
    for (n, before) in versions.iter().enumerate() {
        for after in &versions[n + 1..] {
            sets.extend((1..items).map(|item| with(before, Some((item, after)))));
        }
    }
    sets
}

/// What is used of limits by a customer.
pub fn used(customer: &Customer) -> Usage {
    let mut all = Usage::new();
    for (counter, points) in customer.accounts().flat_map(|account| &account.counted) {
        *all.entry(counter.clone()).or_default() += points;
    }
    all
}

/// What is left of a world for the next customers.
pub fn left(world: &World) -> Around {
    let mut around = world.around.clone();
    for (counter, points) in world.customers.values().flat_map(used) {
        if around.budget(&counter).is_some() {
            *around.elsewhere.entry(counter).or_default() += points;
        }
    }
    around
}

/// What traces tell that limits made of postings, which nothing changes any more.
pub fn decided(events: &[Event]) -> Result<BTreeMap<String, Vec<pb::DecisionLimit>>, String> {
    let mut all: BTreeMap<String, Vec<pb::DecisionLimit>> = BTreeMap::new();
    for event in events {
        let (Request::Trace(asked), Ok(Response::Trace(told))) = (&event.request, &event.answer)
        else {
            continue;
        };
        let before = all.insert(asked.transaction_id.clone(), told.limits.clone());
        if before.is_some_and(|before| before != told.limits) {
            return Err(format!("it was decided otherwise before: {event:#?}"));
        }
    }
    Ok(all)
}

/// The limits of each program as they are before anything happens.
pub fn at_first(world: &World) -> BTreeMap<String, Vec<Limits>> {
    let mut all = BTreeMap::new();
    for program_id in world.programs.keys() {
        let limits = world.around.limits.get(program_id);
        all.insert(
            history_of(program_id),
            vec![limits.cloned().unwrap_or_default()],
        );
    }
    all
}
