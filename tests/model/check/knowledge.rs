//! Which versions of tier policies a call can know, and the states of customers that it may have found.
//!
//! Of a change that leaves a tier as it is nothing tells by which version that was decided. So every version is tried that
//! can have been known: one whose publication was answered before, or that anybody was told of, is known; one whose
//! publication began later is not. What was known at a change of a customer is known at all that comes after it. Each
//! state that explains what was answered is kept, until something that is told later rules it out.

use std::collections::{BTreeMap, BTreeSet};

use api::loyalty::v1 as pb;

use super::Replay;
use crate::answers::{agrees, changed};
use crate::history::Event;
use crate::model::{Customer, Policies, World, apply, policies_of, program};
use crate::operations::{Request, Response, Told};

/// The latest known version of each program's policy.
pub type Known = BTreeMap<String, i64>;

/// A state that a customer may have been in after so many changes.
#[derive(Debug, Clone)]
pub struct Possible {
    pub customer: Customer,
    /// What was known at its latest change at least.
    pub known: Known,
    /// By their places, the states before the change that it may have come from.
    from: BTreeSet<usize>,
    pub is_ruled_out: bool,
}

/// The states that a customer may have been in at some version.
pub type States = Vec<Possible>;

/// What a call may have found.
#[derive(Debug, Clone, Default)]
pub struct Finding {
    /// Of each customer the place of the state, and what was known as its tiers were decided.
    pub of: BTreeMap<String, (usize, Known)>,
    /// What was known in the end, if that may be more.
    known: Option<Known>,
}

impl Possible {
    /// What a customer is at first.
    pub fn at_first(customer: &Customer, known: &Known) -> Self {
        Self {
            customer: customer.clone(),
            known: known.clone(),
            from: BTreeSet::new(),
            is_ruled_out: false,
        }
    }
}

impl Replay<'_> {
    /// Publishes all versions, one after the other, and notes when each was told.
    pub(super) fn publications(&mut self) -> Result<(), String> {
        for program_id in self.at_first.clone().into_keys() {
            let history = policies_of(&program_id);
            for n in self.order.of.get(&history).cloned().unwrap_or_default() {
                let event = &self.events[n];
                let instant = event.answer.as_ref().ok().and_then(Response::instant);
                let now = instant.expect("it tells when it was published");
                let expected = apply(&mut self.world, &event.request, &Told::default(), now);
                if !event.window.contains(now) || !agrees(&expected, &event.answer) {
                    return Err(self.difference(event, now, &expected));
                }
            }
        }
        for event in self.events {
            if let (Request::TierHistory(asked), Ok(Response::TierHistory(told))) =
                (&event.request, &event.answer)
                && told.next_page_token.is_empty()
            {
                let program_id = program(&asked.program_id).to_owned();
                let whose = (asked.customer_id.clone(), program_id);
                let before = self.moves.entry(whose).or_default();
                if before.0 < event.ended {
                    *before = (event.ended, changed(&told.changes));
                }
            }
            for (program_id, version) in versions_told(event) {
                let told = self.told.entry(program_id).or_default();
                told.push((event.ended, version));
            }
        }
        Ok(())
    }

    /// The first and the last version that a call can have known as the latest of a program's policy.
    fn latest_known_to(&self, event: &Event, program_id: &str) -> (i64, i64) {
        let first = self.at_first[program_id];
        let number = |place: usize| first + i64::try_from(place).expect("few");
        let (from, to) = self.versions_known_to(event, &policies_of(program_id));
        let told = self.told.get(program_id).into_iter().flatten();
        // What tells of a version before its time is wrong itself.
        let told = told.filter(|(ended, version)| *ended < event.started && *version <= number(to));
        let told = told.map(|(_, version)| *version).max();
        (number(from).max(told.unwrap_or(first)), number(to))
    }

    /// Whether it is a customer's change of which nobody knows whether it knew a version.
    pub(super) fn is_amid_publication(&self, event: &Event) -> bool {
        let is_amid = |program_id: &String| {
            let (from, to) = self.latest_known_to(event, program_id);
            from < to
        };
        let is_of_customers = !event.request.customers().is_empty();
        event.is_change() && is_of_customers && self.at_first.keys().any(is_amid)
    }

    /// All that a call can have known, if that was at least so much.
    fn all_known_to(&self, event: &Event, least: &Known) -> Vec<Known> {
        let mut all = vec![Known::new()];
        for (program_id, least) in least {
            let (from, to) = self.latest_known_to(event, program_id);
            let known = |before: &Known| {
                let before = before.clone();
                (from.max(*least)..=to).map(move |version| {
                    let mut known = before.clone();
                    known.insert(program_id.clone(), version);
                    known
                })
            };
            all = all.iter().flat_map(known).collect();
        }
        all
    }

    /// All that a call may have found, where its customers were at these versions. Where they are several nothing that is
    /// answered depends on a tier: then each is looked into on its own, with one state of each of the others.
    pub(super) fn findings(&self, event: &Event, versions: &[usize]) -> Vec<Finding> {
        let mut one = Finding::default();
        let mut others = Vec::new();
        for (customer_id, version) in event.request.customers().into_iter().zip(versions) {
            let states = self.versions[customer_id][*version].iter().enumerate();
            let left = states.filter(|(_, state)| !state.is_ruled_out);
            let found = left.flat_map(|(place, state)| {
                let all = self.all_known_to(event, &state.known).into_iter();
                all.map(move |known| (place, known))
            });
            let mut found = found.map(|found| (customer_id.to_owned(), found));
            let Some(first) = found.next() else {
                return Vec::new();
            };
            one.of.extend([first]);
            others.extend(found);
        }
        let with = |other| {
            let mut finding = one.clone();
            finding.of.extend([other]);
            finding
        };
        let others: Vec<_> = others.into_iter().map(with).collect();
        let all = std::iter::once(one).chain(others);
        let in_the_end = |finding: Finding| {
            let least = match &event.request {
                // What a purchase is multiplied by is looked up after what decides the tier.
                Request::Announce(_) => {
                    let mut all = finding.of.values();
                    all.next().map_or(&self.at_first, |(_, known)| known)
                }
                Request::Publish(_) => &self.at_first,
                _ => return vec![finding],
            };
            let all = self.all_known_to(event, least).into_iter();
            all.map(|known| Finding {
                known: Some(known),
                ..finding.clone()
            })
            .collect()
        };
        all.flat_map(in_the_end).collect()
    }

    /// Puts what was found into a world, of customers at these versions.
    pub(super) fn found(
        &self,
        world: &mut World,
        finding: &Finding,
        version_of: &BTreeMap<&str, usize>,
    ) {
        for (customer_id, (place, known)) in &finding.of {
            let version = version_of[customer_id.as_str()];
            let mut customer = self.versions[customer_id][version][*place].customer.clone();
            customer.know(&self.world.policies.up_to(known));
            world.customers.insert(customer_id.clone(), customer);
        }
        if let Some(known) = &finding.known {
            world.policies = self.world.policies.up_to(known);
        }
    }

    /// The states that a customer may be in after a change, but for those that have moved as was never told, unless all
    /// have: then there is something wrong with what was told.
    pub(super) fn states<'b>(
        &self,
        customer_id: &str,
        made: impl Iterator<Item = (&'b Finding, &'b World)>,
    ) -> States {
        let states = merged(customer_id, (made, &self.world.policies));
        let is_told = |state: &Possible| {
            let mut accounts = state.customer.members.values().map(|accounts| &accounts[0]);
            accounts.all(|member| {
                let moves = (customer_id.to_owned(), member.program_id.clone());
                let told = self.moves.get(&moves);
                told.is_none_or(|(_, told)| begin_alike(&member.moves(), told))
            })
        };
        let told: States = states.iter().filter(|it| is_told(it)).cloned().collect();
        if told.is_empty() { states } else { told }
    }

    /// Rules out what nothing leads to that explains all that was told.
    pub(super) fn look_back(&mut self) {
        for versions in self.versions.values_mut() {
            let last = versions.len() - 1;
            follow(versions, last);
        }
    }

    /// Keeps only these states of a customer at a version, and what they come from and lead to.
    pub(super) fn keep(&mut self, customer_id: &str, version: usize, places: &BTreeSet<usize>) {
        let versions = self.versions.get_mut(customer_id);
        let versions = versions.expect("its states were looked at");
        for (place, state) in versions[version].iter_mut().enumerate() {
            state.is_ruled_out |= !places.contains(&place);
        }
        follow(versions, version);
    }
}

/// Whether a tier has moved alike as far as both tell, the latest move first. The last one may go on at the same instant.
fn begin_alike(one: &[pb::TierChange], other: &[pb::TierChange]) -> bool {
    let certain = one.len().min(other.len()).saturating_sub(1);
    one[one.len() - certain..] == other[other.len() - certain..]
}

/// Rules out what does not lead to the states of a version, nor comes from them.
fn follow(versions: &mut [States], version: usize) {
    for later in (1..=version).rev() {
        let left = versions[later].iter().filter(|state| !state.is_ruled_out);
        let from: BTreeSet<_> = left.flat_map(|state| state.from.clone()).collect();
        for (place, state) in versions[later - 1].iter_mut().enumerate() {
            state.is_ruled_out |= !from.contains(&place);
        }
    }
    for later in version + 1..versions.len() {
        let left = versions[later - 1].iter().enumerate();
        let left = left.filter(|(_, state)| !state.is_ruled_out);
        let left: BTreeSet<_> = left.map(|(place, _)| place).collect();
        for state in &mut versions[later] {
            state.is_ruled_out |= state.from.is_disjoint(&left);
        }
    }
}

/// The states that a customer may be in after a change: equal ones are one.
fn merged<'a>(
    customer_id: &str,
    (made, policies): (impl Iterator<Item = (&'a Finding, &'a World)>, &Policies),
) -> States {
    let mut states = States::new();
    let mut seen = BTreeSet::new();
    for (finding, world) in made {
        if !seen.insert((&finding.of[customer_id], &finding.known)) {
            continue;
        }
        let mut customer = world.customers[customer_id].clone();
        // What the next change knows is another matter.
        customer.know(policies);
        let (place, known) = &finding.of[customer_id];
        let known = finding.known.as_ref().unwrap_or(known);
        let mut equal = states.iter_mut();
        if let Some(equal) = equal.find(|state| state.customer == customer) {
            equal.from.insert(*place);
            for (program_id, least) in &mut equal.known {
                *least = known[program_id].min(*least);
            }
        } else {
            states.push(Possible {
                customer,
                known: known.clone(),
                from: BTreeSet::from([*place]),
                is_ruled_out: false,
            });
        }
    }
    states
}

/// The versions of programs' policies that an answer names.
fn versions_told(event: &Event) -> Vec<(String, i64)> {
    let of_change = |change: &pb::TierChange| (change.program_id.clone(), change.policy_version);
    match &event.answer {
        Ok(Response::Tier(it)) => {
            let tier = it.tier.iter();
            let told = tier.map(|tier| (tier.program_id.clone(), tier.policy_version));
            told.collect()
        }
        Ok(Response::Progress(it)) => {
            let progress = it.progress.iter();
            let told = progress.map(|it| (it.program_id.clone(), it.policy_version));
            told.collect()
        }
        Ok(Response::TierHistory(it)) => it.changes.iter().map(of_change).collect(),
        Ok(Response::Override(it)) => it.change.iter().map(of_change).collect(),
        Ok(Response::ClearOverride(it)) => it.change.iter().map(of_change).collect(),
        Ok(Response::Recalculate(it)) => it.change().into_iter().map(of_change).collect(),
        Ok(Response::Publish(it)) if event.is_change() => {
            let program_id = match &event.request {
                Request::Publish(asked) => program(&asked.program_id),
                _ => "",
            };
            let told = it.policy.iter();
            told.map(|policy| (program_id.to_owned(), policy.version))
                .collect()
        }
        _ => Vec::new(),
    }
}
