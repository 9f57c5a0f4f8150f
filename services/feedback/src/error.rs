//! Everything that can go wrong here, and what callers see of it.

use common::Refusal;
use common::ids::CustomerId;
use common::time::Timestamp;
use tonic::{Code, Status};

use crate::domain::ticket::{Action, Refused, State, allowed};
use crate::domain::{InvitationId, Named as _, SurveyId, TicketId};

/// Why a request of this service fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Never heard of, or deleted.
    #[error("customer {0} not found")]
    CustomerNotFound(CustomerId),
    /// No such survey.
    #[error("survey {0} not found")]
    SurveyNotFound(SurveyId),
    /// The survey takes nothing any more.
    #[error("survey {survey_id} was closed at {closed_at}")]
    SurveyClosed {
        /// The survey.
        survey_id: SurveyId,
        /// When it ended.
        closed_at: Timestamp,
    },
    /// No such invitation.
    #[error("invitation {0} not found")]
    InvitationNotFound(InvitationId),
    /// The token belongs to no invitation. It is a secret, so it is not repeated.
    #[error("no invitation has this token")]
    TokenNotFound,
    /// The invitation was taken back.
    #[error("invitation {0} was revoked")]
    InvitationRevoked(InvitationId),
    /// The invitation's time is up.
    #[error("invitation {invitation_id} expired at {expires_at}")]
    InvitationExpired {
        /// The invitation.
        invitation_id: InvitationId,
        /// When its time was up.
        expires_at: Timestamp,
    },
    /// The invitation has its response.
    #[error("invitation {0} already has its response")]
    ResponseAlreadySubmitted(InvitationId),
    /// No such ticket.
    #[error("ticket {0} not found")]
    TicketNotFound(TicketId),
    /// The step does not follow the ticket's state.
    #[error(
        "ticket {ticket_id} is {} and cannot be {} (which leads to {}); allowed: {}",
        from.name(), action.name(), action.leads_to().name(), list(*from)
    )]
    IllegalTransition {
        /// The ticket.
        ticket_id: TicketId,
        /// Where it stands.
        from: State,
        /// What was to happen.
        action: Action,
    },
    /// A transfer came without its reason.
    #[error("transferring ticket {0} needs a reason")]
    ReasonRequired(TicketId),
    /// The ticket was closed too long ago.
    #[error("ticket {ticket_id} was closed at {closed_at}, too long ago to reopen: open a new one")]
    ReopenWindowPassed {
        /// The ticket.
        ticket_id: TicketId,
        /// When it was closed.
        closed_at: Timestamp,
    },
    /// What the platform refuses or fails at.
    #[error(transparent)]
    Platform(#[from] common::Error),
}

impl Error {
    /// The database holds what this service never wrote.
    pub(crate) fn corrupt(what: String) -> Self {
        Self::Platform(common::Error::Internal(what))
    }

    /// The machine's refusal, about a ticket.
    pub(crate) fn of_ticket(ticket_id: TicketId, refused: Refused) -> Self {
        match refused {
            Refused::IllegalTransition { from, action } => Self::IllegalTransition {
                ticket_id,
                from,
                action,
            },
            Refused::ReasonRequired => Self::ReasonRequired(ticket_id),
            Refused::ReopenWindowPassed { closed_at } => Self::ReopenWindowPassed {
                ticket_id,
                closed_at,
            },
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Platform(error.into())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let refusal = |code, reason| Refusal::new(code, reason, &message);
        match error {
            Error::CustomerNotFound(customer_id) => {
                refusal(Code::NotFound, CUSTOMER_NOT_FOUND).with("customer_id", customer_id)
            }
            Error::SurveyNotFound(survey_id) => {
                refusal(Code::NotFound, "SURVEY_NOT_FOUND").with("survey_id", survey_id)
            }
            Error::SurveyClosed {
                survey_id,
                closed_at,
            } => refusal(Code::FailedPrecondition, "SURVEY_CLOSED")
                .with("survey_id", survey_id)
                .with("closed_at", closed_at),
            Error::InvitationNotFound(invitation_id) => {
                refusal(Code::NotFound, "INVITATION_NOT_FOUND").with("invitation_id", invitation_id)
            }
            Error::TokenNotFound => refusal(Code::NotFound, "INVITATION_NOT_FOUND"),
            Error::InvitationRevoked(invitation_id) => {
                refusal(Code::FailedPrecondition, "INVITATION_REVOKED")
                    .with("invitation_id", invitation_id)
            }
            Error::InvitationExpired {
                invitation_id,
                expires_at,
            } => refusal(Code::FailedPrecondition, "INVITATION_EXPIRED")
                .with("invitation_id", invitation_id)
                .with("expires_at", expires_at),
            Error::ResponseAlreadySubmitted(invitation_id) => {
                refusal(Code::AlreadyExists, "RESPONSE_ALREADY_SUBMITTED")
                    .with("invitation_id", invitation_id)
            }
            Error::TicketNotFound(ticket_id) => {
                refusal(Code::NotFound, "TICKET_NOT_FOUND").with("ticket_id", ticket_id)
            }
            Error::IllegalTransition {
                ticket_id,
                from,
                action,
            } => refusal(Code::FailedPrecondition, "ILLEGAL_TRANSITION")
                .with("ticket_id", ticket_id)
                .with("from", from.name())
                .with("to", action.leads_to().name())
                .with("action", action.name())
                .with("allowed", list(from)),
            Error::ReasonRequired(ticket_id) => {
                refusal(Code::FailedPrecondition, "REASON_REQUIRED").with("ticket_id", ticket_id)
            }
            Error::ReopenWindowPassed {
                ticket_id,
                closed_at,
            } => refusal(Code::FailedPrecondition, "REOPEN_WINDOW_PASSED")
                .with("ticket_id", ticket_id)
                .with("closed_at", closed_at),
            Error::Platform(error) => return error.into(),
        }
        .into_status()
    }
}

/// Also the reason of a customer's outcome in a batch.
pub(crate) const CUSTOMER_NOT_FOUND: &str = "CUSTOMER_NOT_FOUND";

/// What may follow a state: `ACTION:STATE` pairs.
fn list(from: State) -> String {
    let pair = |action: &Action| format!("{}:{}", action.name(), action.leads_to().name());
    allowed(from).iter().map(pair).collect::<Vec<_>>().join(",")
}
