//! The ticket machine: what may follow what, and what a history adds up to.
//!
//! [`plan`] decides, [`fold`] remembers: a ticket's progress is always `fold` of its events.

use chrono::TimeDelta;
use common::time::Timestamp;

use super::Named;

/// What a ticket is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketType {
    /// Something went wrong.
    Complaint,
    /// Something could be better.
    Suggestion,
    /// A question.
    Consultation,
}

impl Named for TicketType {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Complaint, "COMPLAINT"),
        (Self::Suggestion, "SUGGESTION"),
        (Self::Consultation, "CONSULTATION"),
    ];
}

/// How soon a ticket needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// When there is time.
    Low,
    /// In its turn.
    Normal,
    /// Before the others.
    High,
    /// Now.
    Urgent,
}

impl Named for Priority {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Low, "LOW"),
        (Self::Normal, "NORMAL"),
        (Self::High, "HIGH"),
        (Self::Urgent, "URGENT"),
    ];
}

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has it yet.
    New,
    /// Somebody has it.
    Assigned,
    /// Somebody works on it.
    InProgress,
    /// Answered.
    Resolved,
    /// Done.
    Closed,
}

impl Named for State {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::New, "NEW"),
        (Self::Assigned, "ASSIGNED"),
        (Self::InProgress, "IN_PROGRESS"),
        (Self::Resolved, "RESOLVED"),
        (Self::Closed, "CLOSED"),
    ];
}

/// What happens to a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It begins.
    Opened,
    /// Somebody gets it.
    Assigned,
    /// Work begins.
    Started,
    /// It is answered.
    Resolved,
    /// The answer did not hold.
    Reopened,
    /// It ends.
    Closed,
}

impl Named for Action {
    const NAMES: &'static [(Self, &'static str)] = &[
        (Self::Opened, "OPENED"),
        (Self::Assigned, "ASSIGNED"),
        (Self::Started, "STARTED"),
        (Self::Resolved, "RESOLVED"),
        (Self::Reopened, "REOPENED"),
        (Self::Closed, "CLOSED"),
    ];
}

impl Action {
    /// Where it leads.
    pub fn leads_to(self) -> State {
        match self {
            Self::Opened => State::New,
            Self::Assigned => State::Assigned,
            Self::Started | Self::Reopened => State::InProgress,
            Self::Resolved => State::Resolved,
            Self::Closed => State::Closed,
        }
    }
}

/// What may follow each state: the whole machine.
pub fn allowed(from: State) -> &'static [Action] {
    match from {
        State::New => &[Action::Assigned],
        State::Assigned => &[Action::Assigned, Action::Started],
        State::InProgress => &[Action::Assigned, Action::Resolved],
        State::Resolved => &[Action::Closed, Action::Reopened],
        State::Closed => &[Action::Reopened],
    }
}

/// How a ticket was resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The enterprise's own code.
    pub code: String,
    /// In words.
    pub text: String,
}

/// An action with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Only as the first step.
    Open,
    /// Gives it to somebody.
    Assign {
        /// A person or a department.
        assignee: String,
    },
    /// Begins work.
    Start,
    /// Answers.
    Resolve(Resolution),
    /// Takes work up again.
    Reopen,
    /// Ends.
    Close,
}

impl Step {
    /// Without what belongs to it.
    pub fn action(&self) -> Action {
        match self {
            Self::Open => Action::Opened,
            Self::Assign { .. } => Action::Assigned,
            Self::Start => Action::Started,
            Self::Resolve(_) => Action::Resolved,
            Self::Reopen => Action::Reopened,
            Self::Close => Action::Closed,
        }
    }
}

/// A step with the circumstances it is taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// What is done.
    pub step: Step,
    /// Who does it.
    pub actor: String,
    /// Why; may be empty.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// One entry of a ticket's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// 1 for the opening, one more for each step.
    pub version: i64,
    /// Where the ticket stood before; `None` for the opening.
    pub from: Option<State>,
    /// What happened.
    pub act: Act,
}

/// How far a ticket has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Of the last event.
    pub version: i64,
    /// Where it stands.
    pub state: State,
    /// Who has it; empty while nobody does.
    pub assignee: String,
    /// How it is resolved, while it is.
    pub resolution: Option<Resolution>,
    /// How often it was reopened.
    pub reopen_count: i64,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it was resolved, while it is.
    pub resolved_at: Option<Timestamp>,
    /// When it was closed, while it is.
    pub closed_at: Option<Timestamp>,
}

/// Settings of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long after closing a ticket may be reopened; the end is excluded.
    pub reopen_window: TimeDelta,
}

/// Why a step may not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It does not follow the state the ticket is in.
    IllegalTransition {
        /// Where the ticket stands.
        from: State,
        /// What was to happen.
        action: Action,
    },
    /// A transfer needs a reason.
    ReasonRequired,
    /// Closed too long ago.
    ReopenWindowPassed {
        /// When it was closed.
        closed_at: Timestamp,
    },
}

/// The event of opening a ticket.
pub fn open(actor: String, at: Timestamp) -> Event {
    Event {
        version: 1,
        from: None,
        act: Act {
            step: Step::Open,
            actor,
            reason: String::new(),
            at,
        },
    }
}

/// Decides whether a step may be taken now, and gives the event that records it.
pub fn plan(progress: &Progress, act: Act, policy: Policy) -> Result<Event, Refused> {
    let (from, action) = (progress.state, act.step.action());
    if !allowed(from).contains(&action) {
        return Err(Refused::IllegalTransition { from, action });
    }
    let transfer = action == Action::Assigned && from != State::New;
    if transfer && act.reason.trim().is_empty() {
        return Err(Refused::ReasonRequired);
    }
    if let Some(closed_at) = progress.closed_at
        && act.at >= closed_at + policy.reopen_window
    {
        return Err(Refused::ReopenWindowPassed { closed_at });
    }
    Ok(Event {
        version: progress.version + 1,
        from: Some(from),
        act,
    })
}

/// What a history adds up to; `None` for one without events.
pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Option<Progress> {
    let mut events = events.into_iter();
    let first = begin(events.next()?);
    Some(events.fold(first, Progress::after))
}

/// The progress of a ticket that was just opened.
pub fn begin(opening: &Event) -> Progress {
    Progress {
        version: opening.version,
        state: opening.act.step.action().leads_to(),
        assignee: String::new(),
        resolution: None,
        reopen_count: 0,
        updated_at: opening.act.at,
        resolved_at: None,
        closed_at: None,
    }
}

impl Progress {
    /// One event further.
    #[must_use]
    pub fn after(mut self, event: &Event) -> Self {
        let at = event.act.at;
        self.version = event.version;
        self.state = event.act.step.action().leads_to();
        self.updated_at = at;
        match &event.act.step {
            Step::Open | Step::Start => {}
            Step::Assign { assignee } => self.assignee.clone_from(assignee),
            Step::Resolve(resolution) => {
                self.resolution = Some(resolution.clone());
                self.resolved_at = Some(at);
            }
            Step::Reopen => {
                self.resolution = None;
                self.resolved_at = None;
                self.closed_at = None;
                self.reopen_count += 1;
            }
            Step::Close => self.closed_at = Some(at),
        }
        self
    }
}

#[cfg(test)]
mod tests;
