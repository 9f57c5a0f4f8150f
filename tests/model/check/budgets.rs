//! Budgets: there is an order of all changes in which no earning takes one beyond its points.
//!
//! The order is searched for. It agrees with everybody's history, and what was answered comes before what was asked for
//! afterwards. Whatever makes more room is taken at once; of what takes room one after the other is tried.

use std::collections::{BTreeMap, HashSet};

use api::loyalty::v1 as pb;

use super::knowledge::States;
use super::{Replay, limits};
use crate::model::{Counter, Usage};
use crate::operations::Response;

/// A change, as far as budgets go.
#[derive(Default)]
struct Move {
    started: u64,
    /// The histories that it is a part of.
    queues: Vec<usize>,
    /// Points that it takes of budgets, or gives back.
    takes: Usage,
    /// The budget that it sets, and to how many points; none if it ends.
    sets: Option<((String, String), Option<i64>)>,
    /// Whether it is of several items, between which budgets may begin and end.
    is_of_several: bool,
}

struct Search {
    moves: BTreeMap<usize, Move>,
    /// Each history, with the earliest end of a change from each place in it on.
    queues: Vec<(Vec<usize>, Vec<u64>)>,
    /// Where a search has ended before.
    dead: HashSet<Vec<usize>>,
}

#[derive(Clone)]
struct State {
    places: Vec<usize>,
    used: Usage,
    /// What budgets have that hold, by program and limit.
    points: BTreeMap<(String, String), i64>,
}

impl Replay<'_> {
    pub(super) fn budgets(&self) -> Result<(), String> {
        let mut search = self.search();
        let mut points = BTreeMap::new();
        for (program_id, versions) in &self.limits {
            let program_id = program_id.trim_start_matches("limits/");
            for limit in versions[0].all.values().filter(|limit| !limit.ended) {
                points.insert(
                    (program_id.to_owned(), limit.limit_id.clone()),
                    limit.points,
                );
            }
        }
        let start = State {
            places: vec![0; search.queues.len()],
            used: self.base.clone(),
            points,
        };
        if search.ends(start) {
            return Ok(());
        }
        let farthest = search
            .dead
            .iter()
            .max_by_key(|places| places.iter().sum::<usize>());
        let stuck: Vec<_> = (0..search.queues.len())
            .filter_map(|queue| search.queues[queue].0.get(farthest?[queue]))
            .map(|n| &self.events[*n])
            .collect();
        Err(format!("a budget holds in no order of these: {stuck:#?}"))
    }

    fn search(&self) -> Search {
        let mut moves: BTreeMap<usize, Move> = BTreeMap::new();
        let mut queues = Vec::new();
        let is_counted = |history: &&String| {
            self.versions.contains_key(*history) || self.limits.contains_key(*history)
        };
        for history in self.order.of.keys().filter(is_counted) {
            let order = &self.order.of[history];
            for (place, n) in order.iter().enumerate() {
                let event = &self.events[*n];
                let found = moves.entry(*n).or_default();
                found.started = event.started;
                found.is_of_several = event.request.items() > 1;
                found.queues.push(queues.len());
                if let Some(versions) = self.versions.get(history) {
                    // Whatever decided its tier, it has earned the same.
                    let used = |states: &States| limits::used(&states[0].customer);
                    let before = used(&versions[place]);
                    for (counter, points) in used(&versions[place + 1]) {
                        let more = points - before.get(&counter).copied().unwrap_or(0);
                        if more != 0 && self.world.around.budget(&counter).is_some() {
                            *found.takes.entry(counter).or_default() += more;
                        }
                    }
                } else {
                    let limit = match &event.answer {
                        Ok(Response::SetLimit(it)) => it.limit.as_ref(),
                        Ok(Response::EndLimit(it)) => it.limit.as_ref(),
                        _ => None,
                    };
                    let limit = limit.expect("limits are set and ended");
                    let program_id = history.trim_start_matches("limits/");
                    let of = (program_id.to_owned(), limit.limit_id.clone());
                    let is_budget = limit.scope() == pb::LimitScope::Program;
                    let points = (!limit.ended).then_some(limit.points);
                    found.sets = is_budget.then_some((of, points));
                }
            }
            let mut earliest = u64::MAX;
            let ends = order.iter().rev().map(|n| {
                earliest = earliest.min(self.events[*n].ended);
                earliest
            });
            let mut ends: Vec<_> = ends.collect();
            ends.reverse();
            queues.push((order.clone(), ends));
        }
        Search {
            moves,
            queues,
            dead: HashSet::new(),
        }
    }
}

impl Search {
    /// Whether all that is left can be done in some order.
    fn ends(&mut self, mut state: State) -> bool {
        let choices = loop {
            let next = self.next(&state);
            let Some(free) = next.iter().find(|n| state.gives(&self.moves[n])) else {
                break next;
            };
            state.make(&self.moves[free]);
        };
        if choices.is_empty() {
            let is_end = |(place, (queue, _)): (&usize, &(Vec<usize>, _))| *place == queue.len();
            let is_done = state.places.iter().zip(&self.queues).all(is_end);
            if !is_done {
                self.dead.insert(state.places);
            }
            return is_done;
        }
        if self.dead.contains(&state.places) {
            return false;
        }
        for n in choices {
            if state.has_room(&self.moves[&n]) {
                let mut after = state.clone();
                after.make(&self.moves[&n]);
                if self.ends(after) {
                    return true;
                }
            }
        }
        self.dead.insert(state.places);
        false
    }

    /// What can come next, the first begun first.
    fn next(&self, state: &State) -> Vec<usize> {
        let queues = || self.queues.iter().zip(&state.places);
        let ends = queues().filter_map(|((_, ends), place)| ends.get(*place));
        let earliest = ends.min().copied().unwrap_or(u64::MAX);
        let is_head =
            |n: usize, queue: &usize| self.queues[*queue].0.get(state.places[*queue]) == Some(&n);
        let heads = queues().filter_map(|((queue, _), place)| queue.get(*place).copied());
        let mut next: Vec<_> = heads
            .filter(|n| {
                let it = &self.moves[n];
                it.started <= earliest && it.queues.iter().all(|queue| is_head(*n, queue))
            })
            .collect();
        next.sort_unstable_by_key(|n| (self.moves[n].started, *n));
        next.dedup();
        next
    }
}

impl State {
    /// Whether nothing else has less room after it.
    fn gives(&self, it: &Move) -> bool {
        let lowers =
            |(of, points): &((String, String), Option<i64>)| *points < self.points.get(of).copied();
        !it.sets.as_ref().is_some_and(lowers) && it.takes.values().all(|points| *points <= 0)
    }

    fn has_room(&self, it: &Move) -> bool {
        let fits = |(counter, points): (&Counter, &i64)| {
            let (program_id, limit_id, _) = counter.clone();
            let used = self.used.get(counter).copied().unwrap_or(0);
            let limit = self.points.get(&(program_id, limit_id));
            match limit {
                Some(limit) => *points <= 0 || used + points <= *limit,
                // It is counted only by what holds.
                None => *points <= 0 || it.is_of_several,
            }
        };
        it.takes.iter().all(fits)
    }

    fn make(&mut self, it: &Move) {
        for (counter, points) in &it.takes {
            *self.used.entry(counter.clone()).or_default() += points;
        }
        if let Some((of, points)) = &it.sets {
            match points {
                Some(points) => self.points.insert(of.clone(), *points),
                None => self.points.remove(of),
            };
        }
        for queue in &it.queues {
            self.places[*queue] += 1;
        }
    }
}
