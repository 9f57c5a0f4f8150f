//! What happened: calls with their answers, when each began and ended, and what the clock showed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::time::{Clock as _, SystemClock};
use testkit::FakeClock;

use crate::answers::Answer;
use crate::operations::{Request, Response};

/// A call that came to an end.
#[derive(Debug, Clone)]
pub struct Event {
    pub request: Request,
    pub answer: Answer,
    /// Ticks of one counter for all callers: who ended before another began is known for sure.
    pub started: u64,
    pub ended: u64,
    pub window: Window,
}

impl Event {
    /// Whether it left anything behind.
    pub fn is_change(&self) -> bool {
        let has_posted = match &self.answer {
            Ok(Response::Batch(it)) => it.posted > 0,
            Ok(Response::Import(it)) => it.postings.iter().any(Option::is_some),
            Ok(Response::Announce(it)) => {
                self.request.is_alone() || it.postings.iter().any(Option::is_some)
            }
            // All of it has no place of its own, and whom it did nothing for none in its history.
            Ok(Response::Sweep(it)) => self.is_of_one() && it.member().is_some(),
            Ok(Response::Recalculate(it)) => self.is_of_one() && it.change().is_some(),
            answer => answer.is_ok(),
        };
        has_posted && self.request.has_effect()
    }

    /// Whether it is about one member of many that something was asked for at once.
    fn is_of_one(&self) -> bool {
        match &self.request {
            Request::Sweep(it) => it.of.is_some(),
            Request::Recalculate(it) => it.of.is_some(),
            _ => false,
        }
    }

    /// In whose histories: of those whose items are refused in a batch there is none.
    pub fn changed(&self) -> Vec<String> {
        match &self.answer {
            Ok(_) if self.request.is_alone() => self.request.histories(),
            Ok(response) if self.is_change() => response.revisions().into_keys().collect(),
            _ => Vec::new(),
        }
    }
}

/// The instants at which a call may have been decided.
#[derive(Debug, Clone)]
pub enum Window {
    /// One of those that the clock showed.
    Shown(Vec<i64>),
    /// Any between two, both included.
    Between(i64, i64),
}

impl Window {
    pub fn contains(&self, instant: i64) -> bool {
        match self {
            Self::Shown(instants) => instants.contains(&instant),
            Self::Between(from, to) => (*from..=*to).contains(&instant),
        }
    }

    /// The latest of them.
    pub fn last(&self) -> i64 {
        match self {
            Self::Shown(instants) => instants.iter().max().copied().unwrap_or(0),
            Self::Between(_, to) => *to,
        }
    }

    /// Instants that stand for all: nothing turns between two of the turning points.
    pub fn instants(&self, turning_points: impl IntoIterator<Item = i64>) -> Vec<i64> {
        match self {
            Self::Shown(instants) => instants.clone(),
            Self::Between(from, to) => {
                let within = turning_points.into_iter();
                let within = within.filter(|instant| from < instant && instant <= to);
                std::iter::once(*from).chain(within).collect()
            }
        }
    }
}

/// The clock that the service goes by.
pub enum Time {
    /// One that obeys, with all that it ever showed.
    Fake(FakeClock, Mutex<Vec<i64>>),
    /// The machine's.
    Machine,
}

/// When a call began.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    tick: u64,
    /// How often a fake clock was set by then, or what the machine's showed.
    clock: i64,
}

impl Time {
    pub fn fake(clock: FakeClock) -> Self {
        let shown = Mutex::new(vec![clock.now().micros()]);
        Self::Fake(clock, shown)
    }

    pub fn now(&self) -> i64 {
        match self {
            Self::Fake(clock, _) => clock.now().micros(),
            Self::Machine => SystemClock.now().micros(),
        }
    }

    /// Moves a clock that obeys.
    pub fn jump(&self, by: TimeDelta) {
        if let Self::Fake(clock, shown) = self {
            // Under the lock, so that no call misses an instant that it may have seen.
            let mut shown = shown.lock().expect("nobody panics here");
            clock.advance(by);
            shown.push(clock.now().micros());
        }
    }

    fn mark(&self) -> i64 {
        match self {
            Self::Fake(_, shown) => {
                let times = shown.lock().expect("nobody panics here").len();
                i64::try_from(times).expect("few")
            }
            Self::Machine => self.now(),
        }
    }

    fn since(&self, mark: i64) -> Window {
        match self {
            Self::Fake(_, shown) => {
                let shown = shown.lock().expect("nobody panics here");
                let first = usize::try_from(mark - 1).expect("one is shown from the start");
                let mut instants = shown[first..].to_vec();
                instants.dedup();
                Window::Shown(instants)
            }
            Self::Machine => Window::Between(mark, self.now()),
        }
    }
}

/// The calls of all callers.
pub struct History {
    pub time: Time,
    ticks: AtomicU64,
    events: Mutex<Vec<Event>>,
}

impl History {
    pub fn new(time: Time) -> Self {
        Self {
            time,
            ticks: AtomicU64::new(0),
            events: Mutex::new(Vec::new()),
        }
    }

    /// A call begins.
    pub fn begin(&self) -> Start {
        Start {
            clock: self.time.mark(),
            tick: self.ticks.fetch_add(1, Ordering::SeqCst),
        }
    }

    /// A call that began then has been answered.
    pub fn end(&self, start: Start, request: &Request, answer: &Answer) {
        let event = Event {
            request: request.clone(),
            answer: answer.clone(),
            started: start.tick,
            ended: self.ticks.fetch_add(1, Ordering::SeqCst),
            window: self.time.since(start.clock),
        };
        self.events.lock().expect("nobody panics here").push(event);
    }

    /// Asks what limits made of each earning so far.
    pub fn traces(&self) -> Vec<Request> {
        let events = self.events.lock().expect("nobody panics here");
        let earned = events
            .iter()
            .filter(|it| it.is_change() && it.request.is_earning());
        let mut traces = BTreeMap::new();
        for event in earned {
            let mut answer = event.answer.clone();
            for posting in answer.iter_mut().flat_map(Response::postings) {
                if posting.kind() == pb::TransactionKind::Earn {
                    let id = posting.transaction_id.clone();
                    let asked = pb::GetDecisionTraceRequest {
                        program_id: posting.program_id.clone(),
                        customer_id: posting.customer_id.clone(),
                        transaction_id: id.clone(),
                    };
                    traces.insert(id, Request::Trace(asked));
                }
            }
        }
        traces.into_values().collect()
    }

    /// Something else was done meanwhile, at an instant.
    pub fn note(&self, request: &Request, answer: &Answer, at: i64) {
        let mut events = self.events.lock().expect("nobody panics here");
        let started = events.iter().map(|event| event.started).min();
        events.push(Event {
            request: request.clone(),
            answer: answer.clone(),
            started: started.unwrap_or(0),
            ended: self.ticks.fetch_add(1, Ordering::SeqCst),
            window: Window::Between(at, at),
        });
    }

    /// Where something was changed by then, and when.
    pub fn done(&self) -> BTreeSet<(String, i64)> {
        let events = self.events.lock().expect("nobody panics here");
        let of = |event: &Event| {
            let at = event.answer.as_ref().ok().and_then(Response::instant);
            let changed = at.map(|at| event.changed().into_iter().map(move |whose| (whose, at)));
            changed.into_iter().flatten().collect::<Vec<_>>()
        };
        events.iter().flat_map(of).collect()
    }

    /// All of them so far; the next ones start from an empty list.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().expect("nobody panics here"))
    }
}

/// Writes calls to a file, for whoever looks into a difference.
pub fn write_down(events: &[Event], seed: u64) -> PathBuf {
    let file = std::env::temp_dir().join(format!("model-{seed}-{}.txt", std::process::id()));
    std::fs::write(&file, format!("{events:#?}")).expect("the folder for temporary files is there");
    file
}
