//! Rows of tickets and their history, and the domain values they hold.

use common::ids::CustomerId;
use common::time::Timestamp;

use super::Name;
use super::tickets::{Details, Ticket};
use crate::domain::TicketId;
use crate::domain::ticket::{
    Act, Action, Event, Priority, Progress, Resolution, State, Step, TicketType,
};
use crate::error::Error;

#[derive(sqlx::FromRow)]
pub(super) struct TicketRow {
    #[sqlx(try_from = "String")]
    ticket_id: TicketId,
    customer_id: CustomerId,
    #[sqlx(try_from = "String")]
    ticket_type: Name<TicketType>,
    #[sqlx(try_from = "String")]
    priority: Name<Priority>,
    subject: String,
    description: String,
    opened_at: Timestamp,
    version: i64,
    #[sqlx(try_from = "String")]
    state: Name<State>,
    assignee: String,
    #[sqlx(flatten)]
    resolution: ResolutionColumns,
    reopen_count: i64,
    updated_at: Timestamp,
    resolved_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
}

impl From<TicketRow> for Ticket {
    fn from(row: TicketRow) -> Self {
        Self {
            ticket_id: row.ticket_id,
            customer_id: row.customer_id,
            details: Details {
                ticket_type: row.ticket_type.0,
                priority: row.priority.0,
                subject: row.subject,
                description: row.description,
            },
            opened_at: row.opened_at,
            progress: Progress {
                version: row.version,
                state: row.state.0,
                assignee: row.assignee,
                resolution: row.resolution.into(),
                reopen_count: row.reopen_count,
                updated_at: row.updated_at,
                resolved_at: row.resolved_at,
                closed_at: row.closed_at,
            },
        }
    }
}

#[derive(sqlx::FromRow)]
struct ResolutionColumns {
    resolution_code: Option<String>,
    resolution_text: Option<String>,
}

impl From<ResolutionColumns> for Option<Resolution> {
    fn from(columns: ResolutionColumns) -> Self {
        Some(Resolution {
            code: columns.resolution_code?,
            text: columns.resolution_text?,
        })
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct EventRow {
    version: i64,
    #[sqlx(try_from = "String")]
    action: Name<Action>,
    from_state: Option<String>,
    actor: String,
    reason: String,
    assignee: Option<String>,
    #[sqlx(flatten)]
    resolution: ResolutionColumns,
    occurred_at: Timestamp,
}

impl TryFrom<EventRow> for Event {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self, Error> {
        let missing = |what| Error::corrupt(format!("ticket event {} has no {what}", row.version));
        let step = match row.action.0 {
            Action::Opened => Step::Open,
            Action::Assigned => Step::Assign {
                assignee: row.assignee.ok_or_else(|| missing("assignee"))?,
            },
            Action::Started => Step::Start,
            Action::Resolved => {
                let resolution: Option<Resolution> = row.resolution.into();
                Step::Resolve(resolution.ok_or_else(|| missing("resolution"))?)
            }
            Action::Reopened => Step::Reopen,
            Action::Closed => Step::Close,
        };
        let from = row
            .from_state
            .map(Name::try_from)
            .transpose()
            .map_err(Error::corrupt)?;
        Ok(Self {
            version: row.version,
            from: from.map(|Name(state)| state),
            act: Act {
                step,
                actor: row.actor,
                reason: row.reason,
                at: row.occurred_at,
            },
        })
    }
}
