//! What is posted, and a caller who waits for it.

use common::identity::{self, Identity};
use common::mutation::{Answers, Call};
use futures::future::{BoxFuture, FutureExt as _};
use prost::Message;
use tokio::sync::oneshot;
use tonic::{Response, Status};
use tracing::{Instrument as _, Span};

use crate::State;
use crate::error::Error;
use crate::ledger::Posted;
use crate::ledger::limits::Expected;
use crate::ledger::merges::Passing;
use crate::work::{Needs, Work};

/// A mutation of members' ledgers.
pub trait Posting: Clone + Send + Sync + 'static {
    /// What its caller is told.
    type Answer: Message + Default + 'static;

    /// Token of what it is to be decided on at least.
    fn at_least(&self) -> &str;

    /// What it will read, as far as that is known beforehand.
    fn needs(&self) -> Needs;

    /// What it will earn, as far as that is known beforehand.
    fn earnings(&self) -> Vec<Expected> {
        Vec::new()
    }

    /// Decides it and notes what it does. May be called again where a batch is taken apart.
    fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> impl Future<Output = Result<Self::Answer, Error>> + Send;
}

/// Whether a mutation is meant to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is.
    Real,
    /// Only the answer is wanted.
    Dry,
}

impl From<bool> for Run {
    fn from(dry_run: bool) -> Self {
        if dry_run { Self::Dry } else { Self::Real }
    }
}

impl Run {
    /// The request id that the mutation runs under: a dry run uses up none.
    pub fn request_id(self, request_id: &str) -> &str {
        match self {
            Self::Real => request_id,
            Self::Dry => "",
        }
    }

    /// What is told of a posting: of one that will not have been, no identity.
    pub fn told(self, mut posted: Posted) -> Posted {
        if self == Self::Dry {
            posted.written.posting.posting_id.clear();
            posted.written.posting.revision = 0;
            posted.written.revision = 0;
        }
        posted
    }

    /// What is told of what was passed on, likewise.
    pub fn passing(self, passing: Passing) -> Passing {
        match self {
            Self::Real => passing,
            Self::Dry => passing.unmade(),
        }
    }
}

/// A posting in line.
pub(super) trait Job: Send {
    fn call(&self) -> &Call;
    fn needs(&self) -> &Needs;
    fn earnings(&self) -> Vec<Expected>;

    /// Takes the answer that the call was given before, if it was; true if so.
    fn replay(&mut self, answers: &Answers) -> bool;

    /// Decides. `Ok(false)`: it is refused, and what it noted is to be undone. An error is none of its own.
    fn decide<'a>(
        &'a mut self,
        state: &'a State,
        work: &'a mut Work<'_>,
    ) -> BoxFuture<'a, Result<bool, Error>>;

    /// Notes its answer for those who ask again.
    fn note(&self, answers: &mut Answers);

    /// It failed with the batch.
    fn fail(&mut self, status: Status);

    /// Tells its caller.
    fn tell(self: Box<Self>);
}

type Answered<T> = Result<Response<T>, Status>;

/// A posting with the caller who waits for it.
pub(super) struct Waiting<P: Posting> {
    call: Call,
    posting: P,
    needs: Needs,
    span: Span,
    identity: Identity,
    outcome: Option<Answered<P::Answer>>,
    is_lasting: bool,
    caller: oneshot::Sender<Answered<P::Answer>>,
}

impl<P: Posting> Waiting<P> {
    pub fn new(call: Call, posting: P) -> (Self, oneshot::Receiver<Answered<P::Answer>>) {
        let (caller, answered) = oneshot::channel();
        let waiting = Self {
            call,
            needs: posting.needs(),
            posting,
            span: Span::current(),
            identity: identity::current(),
            outcome: None,
            is_lasting: false,
            caller,
        };
        (waiting, answered)
    }
}

impl<P: Posting> Job for Waiting<P> {
    fn call(&self) -> &Call {
        &self.call
    }

    fn needs(&self) -> &Needs {
        &self.needs
    }

    fn earnings(&self) -> Vec<Expected> {
        self.posting.earnings()
    }

    fn replay(&mut self, answers: &Answers) -> bool {
        self.is_lasting = false;
        self.outcome = match answers.find(&self.call) {
            Ok(found) => found,
            Err(error) => Some(Err(error.into())),
        };
        self.outcome.is_some()
    }

    fn decide<'a>(
        &'a mut self,
        state: &'a State,
        work: &'a mut Work<'_>,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        let posting = self.posting.clone();
        let decided = posting.decide(state, work, Run::Real);
        // Whoever's task the batch is worked off in.
        let decided = identity::scope(self.identity.clone(), decided);
        let decided = decided.instrument(self.span.clone());
        async move {
            let outcome = match decided.await {
                Err(
                    error @ Error::Platform(common::Error::Contended | common::Error::Database(_)),
                ) => {
                    return Err(error);
                }
                outcome => outcome,
            };
            // A customer unknown here may only not have been heard of yet: a retry can succeed.
            self.is_lasting = !matches!(
                outcome,
                Err(Error::CustomerNotFound(_) | Error::MemberNotFound { .. })
            );
            let is_done = outcome.is_ok();
            self.outcome = Some(outcome.map(Response::new).map_err(Status::from));
            Ok(is_done)
        }
        .boxed()
    }

    fn note(&self, answers: &mut Answers) {
        if let Some(outcome) = self.outcome.as_ref().filter(|_| self.is_lasting) {
            answers.note(&self.call, outcome.as_ref().map(Response::get_ref));
        }
    }

    fn fail(&mut self, status: Status) {
        self.outcome = Some(Err(status));
    }

    fn tell(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // Who no longer waits has gone.
            let _ = self.caller.send(outcome);
        }
    }
}
