//! Callers that do random things at once, and deliver their requests in every way that networks have.
//!
//! Requests are sent once, twice at the same time, against another request with the same id, or cut off in the
//! middle; whatever has no answer is sent again with the same id until it has one. Earlier requests come back later.
//! Meanwhile the clock jumps and the service is killed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use common::mutation::REPLAYED;
use futures::future::join_all;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use crate::answers::{Answer, Refusal};
use crate::generate::{Generator, Seen};
use crate::history::History;
use crate::operations::{Request, placed};
use crate::service::Service;

/// A call that is cut is given up after at most this many microseconds.
const CUT_MICROS_MAX: u64 = 4_000;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Operations of all callers together.
    pub operations: usize,
    /// How many of them come between two kills.
    pub kill_every: usize,
}

/// A number of random operations on some customers.
pub struct Drive<'a> {
    service: &'a Service,
    history: &'a History,
    load: Load,
    next: AtomicUsize,
    seen: Mutex<Seen>,
    sent: Mutex<Vec<(Request, Answer)>>,
    wrong: Mutex<Vec<String>>,
}

impl<'a> Drive<'a> {
    pub fn new(service: &'a Service, history: &'a History, load: Load) -> Self {
        Self {
            service,
            history,
            load,
            next: AtomicUsize::new(0),
            seen: Mutex::default(),
            sent: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Lets callers loose, one for each generator; returns what of exactly-once was broken.
    pub async fn run(self, callers: Vec<Generator>) -> Vec<String> {
        join_all(callers.into_iter().map(|caller| self.calls(caller))).await;
        // Whatever has happened since: who asks again is told the same.
        let sent = self.sent.lock().expect("nobody panics here").clone();
        join_all(sent.iter().step_by(4).map(|sent| self.again(sent))).await;
        self.wrong.into_inner().expect("nobody panics here")
    }

    async fn calls(&self, mut caller: Generator) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.load.operations {
                return;
            }
            if number % self.load.kill_every == self.load.kill_every - 1 {
                self.service.kill_and_restart().await;
            }
            match caller.rng.random_range(0..100) {
                0..5 => self.jump(&mut caller),
                5..10 => {
                    let earlier = self.earlier(&mut caller);
                    join_all(earlier.iter().map(|sent| self.again(sent))).await;
                }
                10..13 => {
                    let earlier = self.earlier(&mut caller);
                    join_all(earlier.iter().map(|(request, _)| self.conflict(request))).await;
                }
                _ => self.fresh(&mut caller).await,
            }
        }
    }

    /// Mostly on, by anything between nothing and a good deal; now and then a little back.
    fn jump(&self, caller: &mut Generator) {
        let unit = caller.unit;
        let by = match caller.rng.random_range(0..6) {
            0 => -caller.rng.random_range(0..unit / 60),
            _ => caller.rng.random_range(0..unit * 3),
        };
        self.history.time.jump(TimeDelta::microseconds(by));
    }

    fn earlier(&self, caller: &mut Generator) -> Option<(Request, Answer)> {
        let sent = self.sent.lock().expect("nobody panics here");
        sent.choose(&mut caller.rng).cloned()
    }

    /// A request that was not made before. A dry one may be followed by the real one, with the same id.
    async fn fresh(&self, caller: &mut Generator) {
        let now = self.history.time.now();
        let seen = || self.seen.lock().expect("nobody panics here");
        let mut request = caller.request(&seen(), now);
        self.deliver(caller, &request).await;
        if let Some(dry_run) = request.dry_run()
            && std::mem::take(dry_run)
            && caller.rng.random_bool(0.5)
        {
            self.deliver(caller, &request).await;
        }
    }

    async fn deliver(&self, caller: &mut Generator, request: &Request) {
        let way = caller.rng.random_range(0..100);
        let cut = Duration::from_micros(caller.rng.random_range(0..CUT_MICROS_MAX));
        let start = self.history.begin();
        let mut answers = Vec::new();
        match request.altered().filter(|_| request.has_effect()) {
            Some(_) if way < 12 => {
                let (one, two) =
                    tokio::join!(answer(self.service, request), answer(self.service, request));
                let (one, two) = (one.0, two.0);
                if one != two && is_stored(&one) && is_stored(&two) {
                    self.report(format!(
                        "sent twice at once: {request:#?}\n{one:#?}\n{two:#?}"
                    ));
                }
                answers.push((request.clone(), one.clone()));
                if two != one {
                    answers.push((request.clone(), two));
                }
            }
            Some(other) if way < 18 => {
                let (one, two) =
                    tokio::join!(answer(self.service, request), answer(self.service, &other));
                let both = [(request.clone(), one.0), (other, two.0)];
                answers.extend(
                    both.into_iter()
                        .filter(|(_, answer)| !is_conflict(request, answer)),
                );
                let decided = answers
                    .iter()
                    .filter(|(_, answer)| is_stored(answer))
                    .count();
                if answers.is_empty() || decided > 1 {
                    self.report(format!(
                        "{decided} of two with one id: {request:#?}\n{answers:#?}"
                    ));
                }
            }
            Some(_) if way < 30 => {
                // Whatever became of it, asking again tells.
                drop(tokio::time::timeout(cut, request.call(self.service.channel())).await);
                answers.push((request.clone(), answer(self.service, request).await.0));
            }
            _ => answers.push((request.clone(), answer(self.service, request).await.0)),
        }
        let placed = answers
            .into_iter()
            .flat_map(|(request, answer)| placed(request, answer));
        for (request, answer) in placed {
            self.history.end(start, &request, &answer);
            if let Ok(response) = &answer {
                let mut seen = self.seen.lock().expect("nobody panics here");
                seen.remember(&request, response);
            }
            if request.has_effect() && request.has_id() && is_stored(&answer) {
                self.sent
                    .lock()
                    .expect("nobody panics here")
                    .push((request, answer));
            }
        }
    }

    /// K1, K3 and K4: the same request is answered the same, for ever.
    async fn again(&self, (request, before): &(Request, Answer)) {
        let (answer, replayed) = answer(self.service, request).await;
        if answer != *before || !replayed {
            let told = format!("{request:#?}\nat first: {before:#?}\nlater: {answer:#?}");
            self.report(format!("asked again (replayed: {replayed}): {told}"));
        }
    }

    /// K2: another request with an id that was used is refused, and says what differs.
    async fn conflict(&self, request: &Request) {
        let Some(other) = request.altered() else {
            return;
        };
        let (answer, _) = answer(self.service, &other).await;
        if !is_conflict(request, &answer) {
            self.report(format!("an id used twice: {other:#?}\n{answer:#?}"));
        }
    }

    fn report(&self, wrong: String) {
        self.wrong.lock().expect("nobody panics here").push(wrong);
    }
}

/// Calls once nobody else does, and remembers it.
pub async fn read(service: &Service, history: &History, request: &Request) {
    let start = history.begin();
    let (answer, _) = answer(service, request).await;
    history.end(start, request, &answer);
}

/// Sends a request until something was decided, and tells whether that was before.
async fn answer(service: &Service, request: &Request) -> (Answer, bool) {
    let mut latest = None;
    let answered = async {
        loop {
            service.is_up().await;
            let status = match request.call(service.channel()).await {
                Ok(reply) => {
                    let replayed = reply.metadata().contains_key(REPLAYED);
                    return (Ok(reply.into_inner()), replayed);
                }
                Err(status) => status,
            };
            // Who did not get through, and who was told to try again, tries again.
            if let Some(refusal) = Refusal::of(&status).filter(|it| !it.is_passing()) {
                return (Err(refusal), status.metadata().contains_key(REPLAYED));
            }
            latest = Some(status);
            tokio::task::yield_now().await;
        }
    };
    let answered = tokio::time::timeout(testkit::PATIENCE, answered).await;
    answered.unwrap_or_else(|_| panic!("no answer but {latest:?}: {request:#?}"))
}

/// Whether the service promises the same answer for ever.
fn is_stored(answer: &Answer) -> bool {
    match answer {
        Ok(_) => true,
        Err(refusal) => refusal.is_stored(),
    }
}

/// Whether it says that the id was used by a request that differs as altered ones do.
fn is_conflict(request: &Request, answer: &Answer) -> bool {
    let Err(refusal) = answer else {
        return false;
    };
    let differs = refusal.metadata.get("fields").map(String::as_str);
    refusal.reason == "REQUEST_ID_REUSED" && differs == Some(request.altered_field())
}
