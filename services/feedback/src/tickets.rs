//! Opening tickets and leading them on.

use common::db::Tx;
use common::ids::CustomerId;
use common::platform::Platform;
use common::{etag, identity};

use crate::domain::TicketId;
use crate::domain::ticket::{self, Act, Policy, Step};
use crate::error::Error;
use crate::store::tickets::{Details, Ticket};
use crate::{events, store};

/// A ticket to open.
#[derive(Debug)]
pub struct Open {
    /// Whose it is.
    pub customer: CustomerId,
    /// What is said.
    pub details: Details,
}

/// A step to take.
#[derive(Debug)]
pub struct Move {
    /// Of this ticket.
    pub ticket_id: TicketId,
    /// As the caller saw it; empty: whatever it is now.
    pub etag: String,
    /// What to do.
    pub step: Step,
    /// Why; may be empty.
    pub reason: String,
}

/// A changed ticket, with its customer's revision after the change.
#[derive(Debug)]
pub struct Changed {
    /// As it is now.
    pub ticket: Ticket,
    /// The customer's revision.
    pub revision: i64,
}

/// Opens a ticket for a known customer.
pub async fn open(platform: &Platform, tx: &mut Tx, open: Open) -> Result<Changed, Error> {
    let revision = store::customers::advance_living(tx, &open.customer).await?;
    let opening = ticket::open(actor(), platform.now());
    let ticket = Ticket {
        ticket_id: TicketId::new(&platform.ids),
        customer_id: open.customer,
        details: open.details,
        opened_at: opening.act.at,
        progress: ticket::begin(&opening),
    };
    store::tickets::insert(tx, &ticket, &opening).await?;
    tx.emit(
        &ticket.customer_id,
        revision,
        &events::ticket_opened(&ticket),
    );
    Ok(Changed { ticket, revision })
}

/// Takes a step if the ticket's state allows it. Tickets of deleted customers can still be worked
/// off.
pub async fn take(
    platform: &Platform,
    tx: &mut Tx,
    policy: Policy,
    step: Move,
) -> Result<Changed, Error> {
    let Move {
        ticket_id,
        etag,
        step,
        reason,
    } = step;
    let customer = store::tickets::get(tx, &ticket_id).await?.customer_id;
    let held = store::customers::advance(tx, &customer).await?;
    let revision = held.ok_or(Error::CustomerNotFound(customer))?.revision;
    // Read again: only now nobody else changes it.
    let mut ticket = store::tickets::get(tx, &ticket_id).await?;
    etag::check(&etag, ticket.progress.version)?;

    let act = Act {
        step,
        actor: actor(),
        reason,
        at: platform.now(),
    };
    let event = ticket::plan(&ticket.progress, act, policy)
        .map_err(|refused| Error::of_ticket(ticket_id, refused))?;
    ticket.progress = ticket.progress.after(&event);
    store::tickets::update(tx, &ticket, &event).await?;
    tx.emit(
        &ticket.customer_id,
        revision,
        &events::ticket_changed(&ticket, &event),
    );
    Ok(Changed { ticket, revision })
}

/// Who acts is who is authenticated, never what a request says.
fn actor() -> String {
    identity::current().subject.to_string()
}

#[cfg(test)]
mod tests {
    use common::identity::Identity;

    use super::*;

    #[tokio::test]
    async fn the_actor_is_who_is_authenticated() {
        let agent = Identity::new("agent-7", []);
        assert_eq!(identity::scope(agent, async { actor() }).await, "agent-7");
        assert_eq!(actor(), "anonymous");
    }
}
