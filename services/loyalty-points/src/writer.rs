//! Postings that were asked for at the same time are committed together.
//!
//! Whoever finds a line empty commits at once, in its own task: one caller alone pays nothing. Whatever joins
//! the line meanwhile is the next batch; nobody waits for more to come. A batch locks and reads in one go all
//! that its postings need, decides one after the other, writes sets and commits once; each caller gets an answer
//! of its own. What is refused leaves no trace in the others.
//!
//! Invariants: of one line one batch at a time is under way, and whoever is in line has somebody who will work on
//! it. The number in line is bounded by the calls that the server lets in.

mod batch;
mod posting;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::db::Dialect;
use common::ids::CustomerId;
use common::mutation::Call;
use prost::{Message, Name};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tonic::{Response, Status};

use crate::State;
use crate::error::Error;
use crate::work::{Care, Work};
use posting::{Job, Waiting};

pub use posting::{Posting, Run};

/// PostgreSQL works on one batch while another's commit is on its way to the disk.
const LINES_POSTGRES: usize = 2;

/// Commits postings, many at a time.
#[derive(Clone)]
pub struct Writer {
    lines: Arc<[Arc<Line>]>,
    batch_max: usize,
}

/// Postings in the order in which they came. Those of one customer are in one line.
#[derive(Default)]
struct Line {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Box<dyn Job>>,
    is_led: bool,
}

/// What a caller sent around the posting itself.
pub struct Order {
    call: Call,
    run: Run,
}

impl Order {
    /// `method` is the full name. A dry run uses up no request id.
    pub fn new<M: Message + Name>(
        method: &'static str,
        request: &M,
        (request_id, dry_run): (&str, bool),
    ) -> Self {
        let run = Run::from(dry_run);
        let call = Call::new(method, request, run.request_id(request_id));
        Self { call, run }
    }
}

impl Writer {
    /// `batch_max` postings at most are committed together.
    pub fn new(dialect: Dialect, batch_max: usize) -> Self {
        let lines = match dialect {
            Dialect::Postgres => LINES_POSTGRES,
            Dialect::Sqlite => 1,
        };
        Self {
            lines: (0..lines).map(|_| Arc::default()).collect(),
            batch_max,
        }
    }

    /// Posts, or tells what posting would come to.
    pub async fn post<P: Posting>(
        &self,
        state: &State,
        order: Order,
        posting: P,
    ) -> Result<Response<P::Answer>, Status> {
        if order.run == Run::Dry {
            return rehearse(state, posting).await;
        }
        let line = self.line(&posting);
        let (waiting, answered) = Waiting::new(order.call, posting);
        let waiting = Box::new(waiting);
        if self.batch_max == 1 {
            batch::work_off(state, vec![waiting]).await;
        } else if let Some(lead) = line.join(waiting) {
            lead.work(state, self.batch_max).await;
        }
        let lost = |_| common::Error::Internal("the batch of a posting ended early".to_owned());
        answered.await.map_err(lost)?
    }

    fn line(&self, posting: &impl Posting) -> &Arc<Line> {
        let mut hasher = DefaultHasher::new();
        let customers = posting.needs().customers;
        customers
            .iter()
            .min()
            .map(CustomerId::as_str)
            .hash(&mut hasher);
        let place = hasher.finish() % self.lines.len() as u64;
        &self.lines[usize::try_from(place).unwrap_or_default()]
    }
}

/// Decides like the real thing, answers, and leaves no trace.
async fn rehearse<P: Posting>(state: &State, posting: P) -> Result<Response<P::Answer>, Status> {
    let mut tx = state.platform.tx().await?;
    let mut work = Work::with(&mut tx, Care::Thorough);
    work.read(&posting.needs()).await.map_err(Error::from)?;
    let answer = posting.decide(state, &mut work, Run::Dry).await?;
    work.flush().await?;
    Ok(Response::new(answer))
}

impl Line {
    /// Joins the line. Whoever finds nobody leading it leads.
    fn join(self: &Arc<Self>, job: Box<dyn Job>) -> Option<Lead> {
        let mut queue = self.queue();
        queue.waiting.push_back(job);
        if queue.is_led {
            return None;
        }
        queue.is_led = true;
        let line = Arc::clone(self);
        Some(Lead { line, ended: false })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to work a line off.
struct Lead {
    line: Arc<Line>,
    ended: bool,
}

impl Lead {
    /// Works one batch off and leaves the rest, if any, to a task of its own.
    async fn work(mut self, state: &State, batch_max: usize) {
        self.next_batch(state, batch_max).await;
        if self.is_done() {
            return;
        }
        let (mut lead, state) = (self, state.clone());
        let dialect = state.platform.db.dialect();
        let rest = async move {
            while !lead.is_done() {
                lead.next_batch(&state, batch_max).await;
            }
        };
        match dialect {
            Dialect::Postgres => drop(tokio::spawn(rest)),
            // SQLite answers from a thread of its own, some twenty times in a batch. A thread that does nothing but wait
            // for it is woken at once; a task would stand behind all calls that a worker of the runtime has at hand.
            Dialect::Sqlite => {
                let runtime = Handle::current();
                drop(spawn_blocking(move || runtime.block_on(rest)));
            }
        }
    }

    async fn next_batch(&self, state: &State, batch_max: usize) {
        let jobs: Vec<_> = {
            let mut queue = self.line.queue();
            let count = queue.waiting.len().min(batch_max);
            queue.waiting.drain(..count).collect()
        };
        batch::work_off(state, jobs).await;
    }

    /// Gives the lead up where nobody is waiting.
    fn is_done(&mut self) -> bool {
        let mut queue = self.line.queue();
        queue.is_led = !queue.waiting.is_empty();
        self.ended = !queue.is_led;
        self.ended
    }
}

impl Drop for Lead {
    /// After a panic, those who still wait are told instead of waiting for ever.
    fn drop(&mut self) {
        if !self.ended {
            let mut queue = self.line.queue();
            queue.is_led = false;
            queue.waiting.clear();
        }
    }
}
