//! Tickets and their history.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::page::PageRequest;
use common::time::Timestamp;

use super::Below;
use super::ticket_rows::{EventRow, TicketRow};
use crate::domain::ticket::{Event, Priority, Progress, Resolution, State, Step, TicketType};
use crate::domain::{Named as _, TicketId};
use crate::error::Error;

/// What a customer complains about, suggests or asks.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Its id.
    pub ticket_id: TicketId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// What never changes.
    pub details: Details,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How far it has come.
    pub progress: Progress,
}

/// What is said when opening a ticket.
#[derive(Debug, Clone)]
pub struct Details {
    /// What it is about.
    pub ticket_type: TicketType,
    /// How soon it needs attention.
    pub priority: Priority,
    /// In one line.
    pub subject: String,
    /// In full.
    pub description: String,
}

/// Which tickets to list: all given conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// In this state.
    pub state: Option<State>,
    /// With this assignee.
    pub assignee: Option<String>,
    /// Of this type.
    pub ticket_type: Option<TicketType>,
}

const SELECT: &str = "
    SELECT ticket_id, customer_id, ticket_type, priority, subject, description, opened_at, version, state, assignee,
        resolution_code, resolution_text, reopen_count, updated_at, resolved_at, closed_at
    FROM ticket";

/// The ticket, or `TicketNotFound`.
pub async fn get(db: &mut impl Access, id: &TicketId) -> Result<Ticket, Error> {
    let row = on!(db, |conn| {
        let mut query = sqlx::QueryBuilder::new(SELECT);
        query.push(" WHERE ticket_id = ").push_bind(id.as_str());
        query
            .build_query_as::<TicketRow>()
            .fetch_optional(conn)
            .await
    })?;
    row.map(Ticket::from)
        .ok_or_else(|| Error::TicketNotFound(id.clone()))
}

/// A page of tickets, newest first, and the token of the next.
pub async fn list(
    db: &mut impl Access,
    filter: &Filter,
    page: &PageRequest,
) -> Result<(Vec<Ticket>, String), Error> {
    let below = page.after().unwrap_or_else(Below::top);
    // Only the conditions asked for are in the text, so that each combination finds its index.
    let mut rows = on!(db, |conn| {
        let mut query = sqlx::QueryBuilder::new(SELECT);
        query
            .push(" WHERE (opened_at, ticket_id) < (")
            .push_bind(below.at);
        query.push(", ").push_bind(&below.id).push(")");
        if let Some(customer) = &filter.customer {
            query.push(" AND customer_id = ").push_bind(customer);
        }
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.name());
        }
        if let Some(assignee) = &filter.assignee {
            query.push(" AND assignee = ").push_bind(assignee);
        }
        if let Some(ticket_type) = filter.ticket_type {
            query
                .push(" AND ticket_type = ")
                .push_bind(ticket_type.name());
        }
        query
            .push(" ORDER BY opened_at DESC, ticket_id DESC LIMIT ")
            .push_bind(page.size + 1);
        query.build_query_as::<TicketRow>().fetch_all(conn).await
    })?
    .into_iter()
    .map(Ticket::from)
    .collect();
    let next = page.cut(&mut rows, |row: &Ticket| {
        Below::new(row.opened_at, row.ticket_id.as_str())
    });
    Ok((rows, next))
}

/// Adds a ticket and its opening.
pub async fn insert(tx: &mut Tx, ticket: &Ticket, opening: &Event) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO ticket (
            customer_id, ticket_id, ticket_type, priority, subject, description, opened_at,
            version, state, assignee, reopen_count, updated_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    let Ticket {
        details, progress, ..
    } = ticket;
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(&ticket.customer_id)
        .bind(ticket.ticket_id.as_str())
        .bind(details.ticket_type.name())
        .bind(details.priority.name())
        .bind(&details.subject)
        .bind(&details.description)
        .bind(ticket.opened_at)
        .bind(progress.version)
        .bind(progress.state.name())
        .bind(&progress.assignee)
        .bind(progress.reopen_count)
        .bind(progress.updated_at)
        .execute(conn)
        .await
        .map(drop))?;
    insert_event(tx, ticket, opening).await
}

/// Stores how far a ticket has come, and the event that brought it there.
pub async fn update(tx: &mut Tx, ticket: &Ticket, event: &Event) -> Result<(), Error> {
    const UPDATE: &str = "
        UPDATE ticket
        SET version = $3,
            state = $4,
            assignee = $5,
            resolution_code = $6,
            resolution_text = $7,
            reopen_count = $8,
            updated_at = $9,
            resolved_at = $10,
            closed_at = $11
        WHERE customer_id = $1 AND ticket_id = $2";
    let progress = &ticket.progress;
    let (code, text) = columns(progress.resolution.as_ref());
    on!(tx, |conn| sqlx::query(UPDATE)
        .bind(&ticket.customer_id)
        .bind(ticket.ticket_id.as_str())
        .bind(progress.version)
        .bind(progress.state.name())
        .bind(&progress.assignee)
        .bind(code)
        .bind(text)
        .bind(progress.reopen_count)
        .bind(progress.updated_at)
        .bind(progress.resolved_at)
        .bind(progress.closed_at)
        .execute(conn)
        .await
        .map(drop))?;
    insert_event(tx, ticket, event).await
}

async fn insert_event(tx: &mut Tx, ticket: &Ticket, event: &Event) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO ticket_event (
            customer_id, ticket_id, version, action, from_state, actor, reason, assignee,
            resolution_code, resolution_text, occurred_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let (assignee, resolution) = match &event.act.step {
        Step::Assign { assignee } => (Some(assignee), None),
        Step::Resolve(resolution) => (None, Some(resolution)),
        Step::Open | Step::Start | Step::Reopen | Step::Close => (None, None),
    };
    let (code, text) = columns(resolution);
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(&ticket.customer_id)
        .bind(ticket.ticket_id.as_str())
        .bind(event.version)
        .bind(event.act.step.action().name())
        .bind(event.from.map(State::name))
        .bind(&event.act.actor)
        .bind(&event.act.reason)
        .bind(assignee)
        .bind(code)
        .bind(text)
        .bind(event.act.at)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

fn columns(resolution: Option<&Resolution>) -> (Option<&str>, Option<&str>) {
    (
        resolution.map(|r| r.code.as_str()),
        resolution.map(|r| r.text.as_str()),
    )
}

/// A page of a ticket's history, oldest first, and the token of the next.
pub async fn list_events(
    db: &mut impl Access,
    ticket: &Ticket,
    page: &PageRequest,
) -> Result<(Vec<Event>, String), Error> {
    const LIST: &str = "
        SELECT version, action, from_state, actor, reason, assignee, resolution_code, resolution_text, occurred_at
        FROM ticket_event
        WHERE customer_id = $1 AND ticket_id = $2 AND version > $3
        ORDER BY version
        LIMIT $4";
    let rows = on!(db, |conn| sqlx::query_as::<_, EventRow>(LIST)
        .bind(&ticket.customer_id)
        .bind(ticket.ticket_id.as_str())
        .bind(page.after().unwrap_or(0_i64))
        .bind(page.size + 1)
        .fetch_all(conn)
        .await)?;
    let mut events = rows
        .into_iter()
        .map(Event::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    let next = page.cut(&mut events, |event| event.version);
    Ok((events, next))
}
