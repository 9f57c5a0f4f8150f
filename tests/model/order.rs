//! The order in which changes were made: each history's by revision, transfers in two customers' at once.

use std::collections::{BTreeMap, VecDeque};

use crate::history::Event;
use crate::operations::Request;

/// Which changes came when, by their place among the events.
pub struct Order {
    /// One order of all that agrees with everybody's.
    pub all: Vec<usize>,
    /// That of each history: of customers, and of the limits of programs.
    pub of: BTreeMap<String, Vec<usize>>,
    /// The place of each change in each history.
    places: BTreeMap<String, BTreeMap<usize, usize>>,
}

/// Where a change stands in a customer's history.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The last revision of the change.
    revision: i64,
    may_be_none: bool,
    event: usize,
    /// The revision of the posting asked for.
    first: i64,
}

impl Order {
    /// Orders the changes, or tells why there is no order that callers and revisions agree on.
    pub fn of(events: &[Event]) -> Result<Self, String> {
        let mut keyed: BTreeMap<String, Vec<Key>> = BTreeMap::new();
        let mut unnumbered = Vec::new();
        for (n, event) in events.iter().enumerate() {
            let Ok(response) = &event.answer else {
                continue;
            };
            let revisions = response.revisions();
            if !event.is_change() {
                continue;
            }
            if event.request.is_alone() && revisions.is_empty() {
                unnumbered.push(n);
                continue;
            }
            let histories = event.request.histories();
            // What is refused of several things leaves no revision.
            let is_told = |whose: &str| revisions.contains_key(whose);
            let all_told = match &event.request {
                request if matches!(request.plain(), Request::Batch(_) | Request::Import(_)) => {
                    true
                }
                // Nor does what another one had no part in.
                Request::Elsewhere(it) => it.asked.customers().into_iter().all(is_told),
                Request::Sweep(it) => it.of.iter().all(|(_, whose)| is_told(whose)),
                _ => histories.iter().all(|it| is_told(it)),
            };
            if !all_told {
                return Err(format!("a change without revision: {event:#?}"));
            }
            for (customer_id, revision) in revisions {
                if !histories.contains(&customer_id) {
                    return Err(format!("a change with another's revision: {event:#?}"));
                }
                let first = response.first_revision(&customer_id);
                let key = Key {
                    revision,
                    // Who was a member before is told the revision of the latest change.
                    // So is who was asked, where nothing came or went.
                    may_be_none: match &event.request {
                        Request::Enroll(_) => true,
                        Request::Elsewhere(_) => response.is_elsewhere(&customer_id),
                        _ => false,
                    },
                    event: n,
                    first,
                };
                keyed.entry(customer_id).or_default().push(key);
            }
        }
        let mut steps = BTreeMap::new();
        for (customer_id, mut keys) in keyed {
            keys.sort_unstable();
            for pair in keys.windows(2) {
                let [earlier, later] = [&pair[0], &pair[1]];
                let overlap = later.first <= earlier.revision || later.first > later.revision;
                if overlap && !later.may_be_none {
                    let both = (&events[earlier.event], &events[later.event]);
                    return Err(format!("two changes with the same revisions: {both:#?}"));
                }
            }
            let order: Vec<_> = keys.iter().map(|key| key.event).collect();
            check_real_time(events, &order)?;
            steps.insert(customer_id, together(&keys));
        }
        for n in unnumbered {
            for history in events[n].request.histories() {
                insert(events, steps.entry(history).or_default(), n)?;
            }
        }
        let all = merge(events, &steps)?;
        let mut of: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for n in &all {
            for history in events[*n].changed() {
                of.entry(history).or_default().push(*n);
            }
        }
        let places = |order: &Vec<usize>| order.iter().copied().zip(0..).collect();
        let places = of
            .iter()
            .map(|(history, order)| (history.clone(), places(order)));
        let places = places.collect();
        Ok(Self { all, of, places })
    }
}

impl Order {
    /// The versions that there are of all at least, where one is seen: what is committed as one is seen of everybody who
    /// takes part in it, or of nobody.
    pub fn implied<'a>(&'a self, customer_id: &'a str, version: usize) -> BTreeMap<&'a str, usize> {
        let mut seen = BTreeMap::from([(customer_id, version)]);
        let mut found = vec![(customer_id, version)];
        while let Some((customer_id, version)) = found.pop() {
            let Some(places) = self.places.get(customer_id) else {
                continue;
            };
            for (other, others) in self.of.iter().filter(|(other, _)| *other != customer_id) {
                let is_seen = |n: &usize| places.get(n).is_some_and(|place| *place < version);
                let least = others
                    .iter()
                    .rposition(is_seen)
                    .map_or(0, |place| place + 1);
                let known = seen.entry(other).or_default();
                if *known < least {
                    *known = least;
                    found.push((other, least));
                }
            }
        }
        seen
    }
}

/// Events one after the other. Those of which a history knows nothing but after which change they came have no order in it:
/// they stand together.
type Steps = Vec<Vec<usize>>;

fn together(keys: &[Key]) -> Steps {
    let has_order = |earlier: &Key, later: &Key| {
        earlier.revision != later.revision || !earlier.may_be_none || !later.may_be_none
    };
    let steps = keys.chunk_by(|earlier, later| !has_order(earlier, later));
    let events = |step: &[Key]| step.iter().map(|key| key.event).collect();
    steps.map(events).collect()
}

/// What has no revision comes when nothing else goes on: its place is told by when that was.
fn insert(events: &[Event], order: &mut Steps, n: usize) -> Result<(), String> {
    let event = &events[n];
    let amid = |other: &&usize| {
        let other = &events[**other];
        other.started < event.ended && event.started < other.ended
    };
    if let Some(other) = order.iter().flatten().find(amid) {
        return Err(format!("{event:#?}\ncame amid {:#?}", events[*other]));
    }
    let is_later = |other: &usize| events[*other].started > event.ended;
    let has_later = |step: &Vec<usize>| step.iter().any(is_later);
    let place = order.iter().position(has_later).unwrap_or(order.len());
    let split = order.get_mut(place).map(std::mem::take).unwrap_or_default();
    let (later, earlier): (Vec<_>, Vec<_>) = split.into_iter().partition(is_later);
    let steps = [earlier, vec![n], later]
        .into_iter()
        .filter(|step| !step.is_empty());
    order.splice(place..order.len().min(place + 1), steps);
    Ok(())
}

/// What was answered before something else began has the lower revision.
fn check_real_time(events: &[Event], order: &[usize]) -> Result<(), String> {
    let mut earliest_end: Option<usize> = None;
    for n in order.iter().rev().copied() {
        if let Some(later) = earliest_end
            && events[later].ended < events[n].started
        {
            let (later, earlier) = (&events[later], &events[n]);
            return Err(format!(
                "answered before the other began, but has the higher revision: {later:#?}\n{earlier:#?}"
            ));
        }
        if earliest_end.is_none_or(|later| events[n].ended < events[later].ended) {
            earliest_end = Some(n);
        }
    }
    Ok(())
}

/// Takes what is next for all customers that it touches, until nothing is left.
fn merge(events: &[Event], of: &BTreeMap<String, Steps>) -> Result<Vec<usize>, String> {
    let mut rest: BTreeMap<&str, VecDeque<Vec<usize>>> = BTreeMap::new();
    for (customer_id, order) in of {
        rest.insert(customer_id, order.iter().cloned().collect());
    }
    let mut all = Vec::new();
    loop {
        let heads: Vec<_> = rest
            .values()
            .filter_map(|queue| queue.front())
            .flatten()
            .copied()
            .collect();
        if heads.is_empty() {
            return Ok(all);
        }
        let is_next = |n: &usize| {
            let customers = events[*n].changed();
            customers.iter().all(|customer_id| {
                let step = rest[customer_id.as_str()].front();
                let comes_before = |other: &usize| events[*other].ended < events[*n].started;
                step.is_some_and(|step| step.contains(n) && !step.iter().any(comes_before))
            })
        };
        let next = heads
            .iter()
            .copied()
            .filter(is_next)
            .min_by_key(|n| events[*n].started);
        let Some(next) = next else {
            let heads: Vec<_> = heads.iter().map(|n| &events[*n]).collect();
            return Err(format!("each of these came before another: {heads:#?}"));
        };
        for queue in rest.values_mut() {
            let Some(step) = queue.front_mut() else {
                continue;
            };
            step.retain(|n| *n != next);
            if step.is_empty() {
                queue.pop_front();
            }
        }
        all.push(next);
    }
}
