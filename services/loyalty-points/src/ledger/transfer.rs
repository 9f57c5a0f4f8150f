//! Transfers: points given to another member of the program.

use common::ids::CustomerId;

use super::{Account, Change, Origin, Posted, Source, commit, standing};
use crate::State;
use crate::domain::Points;
use crate::domain::transfer as decide;
use crate::error::Error;
use crate::store::members::Lock;
use crate::work::{Needs, Work};

/// Source type of points received.
const TRANSFER: &str = "transfer";
/// The rule by which they are.
const RECEIVED_RULE: &str = "received";

/// A request to give points.
#[derive(Debug, Clone)]
pub struct TransferPoints {
    /// Who gives.
    pub account: Account,
    /// Who receives; another customer.
    pub to: CustomerId,
    /// How many.
    pub points: Points,
    /// Why.
    pub reason: String,
}

/// A transfer that was posted.
#[derive(Debug)]
pub struct Transferred {
    /// In the ledger of who gives.
    pub sent: Posted,
    /// In the ledger of who receives.
    pub received: Posted,
}

/// Gives points to another member.
pub async fn transfer(
    state: &State,
    work: &mut Work<'_>,
    transfer: TransferPoints,
) -> Result<Transferred, Error> {
    let TransferPoints {
        account: from,
        to,
        points,
        reason,
    } = transfer;
    let to = Account {
        program_id: from.program_id.clone(),
        customer_id: to,
        currency: from.currency.clone(),
        at_least: String::new(),
        actor: from.actor.clone(),
    };
    let program = state.programs.get(work.tx(), &from.program_id).await?;
    // Both at once, in the order of their ids: transfers in opposite directions wait for each other rather than
    // for ever.
    let needs = Needs {
        customers: vec![from.customer_id.clone(), to.customer_id.clone()],
        sources: Vec::new(),
    };
    work.read(&needs).await?;
    let mut from_lock = lock(work, &from).await?;
    let mut to_lock = lock(work, &to).await?;
    let sender = standing(state, work, &mut from_lock, &program, &from).await?;
    let recipient = standing(state, work, &mut to_lock, &program, &to).await?;

    let now = work.now();
    let lots = work.open_lots(sender.key()).await?;
    let sent = decide::send(sender.holding(), lots, points, now)?;
    let arriving = decide::arriving(&sent, || state.platform.ids.uuid());
    let received = decide::receive(recipient.holding(), arriving, now)?;
    let change = Change {
        program: &program,
        standing: sender,
        plan: sent,
        origin: Origin {
            reason: reason.clone(),
            counterparty: Some(to.customer_id.clone()),
            actor: from.actor.clone(),
            ..Origin::default()
        },
    };
    let sent = commit(state, work, &mut from_lock, change).await?;
    let change = Change {
        program: &program,
        standing: recipient,
        plan: received,
        origin: Origin {
            source: Some(Source {
                source_type: TRANSFER.to_owned(),
                source_ref: sent.written.posting.posting_id.clone(),
            }),
            rule: RECEIVED_RULE.to_owned(),
            reason,
            counterparty: Some(from.customer_id),
            actor: from.actor,
            ..Origin::default()
        },
    };
    let received = commit(state, work, &mut to_lock, change).await?;
    Ok(Transferred { sent, received })
}

async fn lock(work: &mut Work<'_>, account: &Account) -> Result<Lock, Error> {
    let lock = work.lock(&account.customer_id).await?;
    lock.ok_or_else(|| account.not_found())
}
