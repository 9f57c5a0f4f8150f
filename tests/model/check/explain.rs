//! What changed nothing: whether the model says the same of some versions of the customers, and what that tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Replay;
use super::knowledge::Finding;
use crate::answers::{Answer, agrees};
use crate::history::Event;
use crate::model::{Around, DAY, Micros, World, apply};

impl Replay<'_> {
    /// The earliest versions at which the model says the same; for two customers all combinations are tried.
    pub(super) fn explain(&self, event: &Event, ranges: &[(usize, usize)]) -> Option<Vec<usize>> {
        let all = self.around(event);
        let explains = |versions: &Vec<usize>| {
            let findings = self.findings(event, versions);
            let all_states = if versions.len() > 1 {
                1
            } else {
                findings.len()
            };
            let mut findings = findings.into_iter().take(all_states);
            findings.any(|finding| self.is_explained(event, (versions, &finding), &all))
        };
        combinations(ranges).into_iter().find(explains)
    }

    /// Rules out the states of its customer at which the model says something else.
    pub(super) fn rule_out(&mut self, event: &Event, customer_id: &str, version: usize) {
        let states = self.versions[customer_id][version].iter();
        if states.filter(|state| !state.is_ruled_out).count() < 2 {
            return;
        }
        let all = self.around(event);
        let mut places = BTreeSet::new();
        for finding in self.findings(event, &[version]) {
            let place = finding.of[customer_id].0;
            if !places.contains(&place) && self.is_explained(event, (&[version], &finding), &all) {
                places.insert(place);
            }
        }
        self.keep(customer_id, version, &places);
    }

    /// Whether the model says the same where this was found.
    fn is_explained(&self, event: &Event, found: (&[usize], &Finding), all: &[Around]) -> bool {
        let said = |(_, expected): &(Micros, Answer)| agrees(expected, &event.answer);
        let mut said_at = all.iter().map(|around| self.said_at(event, found, around));
        said_at.any(|answers| answers.iter().any(said))
    }

    /// What the model says to a request at versions of its customers, at each instant that it may have seen.
    fn said_at(
        &self,
        event: &Event,
        (versions, finding): (&[usize], &Finding),
        around: &Around,
    ) -> Vec<(Micros, Answer)> {
        let mut world = World {
            around: around.clone(),
            customers: BTreeMap::new(),
            programs: self.world.programs.clone(),
            policies: self.world.policies.clone(),
        };
        let customers = event.request.customers().into_iter();
        let version_of = customers.zip(versions.iter().copied()).collect();
        self.found(&mut world, finding, &version_of);
        let (told, instant) = match &event.answer {
            Ok(response) => (response.told(), response.instant()),
            Err(refusal) => (refusal.told(), None),
        };
        let told = self.traced(told).without_limits();
        let instants = match instant {
            Some(at) if event.request.as_of().is_some_and(|asked| asked == at) => vec![at],
            Some(at) if event.window.contains(at) && event.request.as_of().is_none() => vec![at],
            Some(_) => Vec::new(),
            None => {
                // At midnight windows of limits begin.
                let mut named = event.request.instants();
                named.push(event.window.last() / DAY * DAY);
                event
                    .window
                    .instants(world.turning_points().into_iter().chain(named))
            }
        };
        let say = |at| (at, apply(&mut world.clone(), &event.request, &told, at));
        instants.into_iter().map(say).collect()
    }

    pub(super) fn unexplained(&self, event: &Event, ranges: &[(usize, usize)]) -> String {
        let mut text = format!("{event:#?}\nversions {ranges:?}:");
        let all = self.around(event);
        for versions in combinations(ranges) {
            for finding in self.findings(event, &versions) {
                for around in &all {
                    for (at, said) in self.said_at(event, (&versions, &finding), around) {
                        write!(
                            text,
                            "\nversions {versions:?} and {finding:?} at {at} amid {around:?}: {said:#?}"
                        )
                        .expect("texts grow");
                    }
                }
            }
        }
        text
    }
}

/// All choices of a version out of each range, the earliest first.
fn combinations(ranges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for (from, to) in ranges {
        let mut more = Vec::new();
        for before in &all {
            for version in *from..=*to {
                more.push([before.as_slice(), &[version]].concat());
            }
        }
        all = more;
    }
    all
}
