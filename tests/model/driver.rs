//! Callers that do random things at once, and deliver their requests in every way that networks have.
//!
//! Requests are sent once, twice at the same time, against another request with the same id, or cut off in the
//! middle; whatever has no answer is sent again with the same id until it has one. Earlier requests come back later.
//! Meanwhile the clock jumps and the service is killed.
//!
//! An answer that is not kept for ever ("no such member") says nothing of an attempt before it, which may still be under
//! way and find the member enrolled meanwhile. So whoever was cut and is told so asks once more when all is quiet.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::mutation::REPLAYED;
use futures::future::join_all;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use tokio::sync::RwLock;

use crate::answers::{Answer, Refusal};
use crate::generate::{Generator, Seen};
use crate::history::{History, Start};
use crate::operations::{Request, Response, Unmerge, placed};
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
    /// Calls of which an attempt may still be under way, and when they began.
    doubtful: Mutex<Vec<(Start, Request)>>,
    wrong: Mutex<Vec<String>>,
    /// Held by all calls; by one that comes alone for itself.
    going_on: RwLock<()>,
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
            doubtful: Mutex::default(),
            wrong: Mutex::default(),
            going_on: RwLock::default(),
        }
    }

    /// Lets callers loose, one for each generator; returns what of exactly-once was broken.
    pub async fn run(self, callers: Vec<Generator>) -> Vec<String> {
        join_all(callers.into_iter().map(|caller| self.calls(caller))).await;
        self.settle_all().await;
        self.undo_merges().await;
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
                0..5 => {
                    let _others = self.going_on.read().await;
                    self.jump(&mut caller);
                }
                5..10 => {
                    let _others = self.going_on.read().await;
                    let earlier = self.earlier(&mut caller);
                    join_all(earlier.iter().map(|sent| self.again(sent))).await;
                }
                10..13 => {
                    let _others = self.going_on.read().await;
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
        let others = self.going_on.read().await;
        let now = self.history.time.now();
        let seen = || self.seen.lock().expect("nobody panics here");
        let mut request = caller.request(&seen(), now);
        if request.is_alone() {
            drop(others);
            let _alone = self.going_on.write().await;
            self.settle_all().await;
            return self.deliver(caller, &request).await;
        }
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
        let is_cut;
        match request.altered().filter(|_| request.has_effect()) {
            Some(_) if way < 12 => {
                let (one, two) =
                    tokio::join!(answer(self.service, request), answer(self.service, request));
                if one.answer != two.answer && is_stored(&one.answer) && is_stored(&two.answer) {
                    self.report(format!(
                        "sent twice at once: {request:#?}\n{:#?}\n{:#?}",
                        one.answer, two.answer
                    ));
                }
                is_cut = one.is_cut || two.is_cut;
                let is_same = one.answer == two.answer;
                answers.push((request.clone(), one.answer));
                if !is_same {
                    answers.push((request.clone(), two.answer));
                }
            }
            Some(other) if way < 18 => {
                let (one, two) =
                    tokio::join!(answer(self.service, request), answer(self.service, &other));
                is_cut = one.is_cut || two.is_cut;
                let both = [(request.clone(), one.answer), (other, two.answer)];
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
            // Of what comes alone nothing is left behind that may still be under way.
            Some(_) if way < 30 && !request.is_alone() => {
                drop(tokio::time::timeout(cut, request.call(self.service)).await);
                is_cut = true;
                answers.push((request.clone(), answer(self.service, request).await.answer));
            }
            _ => {
                let told = answer(self.service, request).await;
                is_cut = told.is_cut;
                answers.push((request.clone(), told.answer));
            }
        }
        let is_decided = answers.iter().any(|(_, answer)| is_stored(answer));
        if is_cut && !is_decided && request.has_effect() && request.has_id() {
            let calls = answers.iter().map(|(request, _)| (start, request.clone()));
            let mut doubtful = self.doubtful.lock().expect("nobody panics here");
            doubtful.extend(calls);
        }
        for (request, answer) in answers {
            if let Some(response) = self.note(start, request.clone(), answer)
                && let Request::Announce(announce) = &request
            {
                caller.remember(announce, &response);
            }
        }
    }

    /// In the end everybody stands for itself again.
    async fn undo_merges(&self) {
        let standing = self.seen.lock().expect("nobody panics here").standing();
        for (program_id, merge_id, whose) in standing {
            let asked = pb::UnmergeMembersRequest {
                request_id: format!("undo-{merge_id}"),
                program_id,
                merge_id,
                reason: "they are two".to_owned(),
                ..Default::default()
            };
            let request = Request::UnmergeMembers(Unmerge { asked, whose });
            let start = self.history.begin();
            let answer = answer(self.service, &request).await.answer;
            self.note(start, request, answer);
        }
    }

    /// Leaves nothing in doubt, where no other call goes on.
    async fn settle_all(&self) {
        let doubtful = std::mem::take(&mut *self.doubtful.lock().expect("nobody panics here"));
        join_all(doubtful.iter().map(|call| self.settle(call))).await;
    }

    /// Asks again for what may have been done after it was refused. Of two with one id one is done.
    async fn settle(&self, (start, request): &(Start, Request)) {
        let answer = answer(self.service, request).await.answer;
        if !is_conflict(request, &answer) {
            self.note(*start, request.clone(), answer);
        }
    }

    /// Remembers an answer; returns the response, if there is one.
    fn note(&self, start: Start, request: Request, answer: Answer) -> Option<Response> {
        let response = answer.clone().ok();
        if request.has_effect() && request.has_id() && is_stored(&answer) {
            let mut sent = self.sent.lock().expect("nobody panics here");
            sent.push((request.clone(), answer.clone()));
        }
        for (request, answer) in placed(request, answer) {
            self.history.end(start, &request, &answer);
            if let Ok(response) = &answer {
                let mut seen = self.seen.lock().expect("nobody panics here");
                seen.remember(&request, response);
            }
        }
        response
    }

    /// K1, K3 and K4: the same request is answered the same, for ever.
    async fn again(&self, (request, before): &(Request, Answer)) {
        let Said {
            answer, replayed, ..
        } = answer(self.service, request).await;
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
        let answer = answer(self.service, &other).await.answer;
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
    drop(ask(service, history, request).await);
}

/// The same, and returns the answer.
pub async fn ask(service: &Service, history: &History, request: &Request) -> Answer {
    let start = history.begin();
    let answer = answer(service, request).await.answer;
    for (request, answer) in placed(request.clone(), answer.clone()) {
        history.end(start, &request, &answer);
    }
    answer
}

/// What a caller was told in the end.
struct Said {
    answer: Answer,
    /// Whether that was decided before.
    replayed: bool,
    /// Whether an attempt before had no answer.
    is_cut: bool,
}

/// Sends a request until something was decided.
async fn answer(service: &Service, request: &Request) -> Said {
    let mut latest = None;
    let answered = async {
        loop {
            service.is_up().await;
            let (answer, metadata) = match Box::pin(request.call(service)).await {
                Ok(reply) => {
                    let (metadata, response, _) = reply.into_parts();
                    (Ok(response), metadata)
                }
                Err(status) => {
                    // Who did not get through, and who was told to try again, tries again.
                    let refusal = Refusal::of(&status).filter(|it| !it.is_passing());
                    let Some(refusal) = refusal else {
                        latest = Some(status);
                        tokio::task::yield_now().await;
                        continue;
                    };
                    (Err(refusal), status.metadata().clone())
                }
            };
            return Said {
                answer,
                replayed: metadata.contains_key(REPLAYED),
                is_cut: latest.is_some(),
            };
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
