//! Points that wait for an event: activated when it has come, cancelled when it does not.

use super::{
    Account, Asked, Change, Origin, Posted, Reversal, Source, account::open_begun, balance, commit,
    merges as passing, open, plan_reversal,
};
use crate::State;
use crate::domain::lots::Lot;
use crate::domain::pending::{self as decide, Refused};
use crate::domain::program::Program;
use crate::domain::reversal::{Extent, Policy};
use crate::error::Error;
use crate::store::accounts::AccountKey;
use crate::store::members::{Lock, Standing};
use crate::store::merges;
use crate::store::pending::{self as store, Earning, OfSource};
use crate::store::postings::SourceKey;
use crate::store::reversals;
use crate::tiers::Cause;
use crate::work::Work;

/// What has become of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has come.
    Activate,
    /// It does not.
    Cancel,
}

/// A request to settle points that wait.
#[derive(Debug, Clone)]
pub struct SettlePending {
    /// Whose.
    pub account: Account,
    /// What they were earned for.
    pub source: Source,
    /// Only those of this earning; empty means of all earnings of the source.
    pub posting_id: String,
    /// Why.
    pub reason: String,
}

/// One earning that was settled.
#[derive(Debug)]
pub struct Settled {
    /// The posting.
    pub posted: Posted,
    /// The lot as it is now.
    pub lot: Lot,
    /// The posting that made the lot.
    pub earned_by: String,
}

/// Settles the points of a source that still wait; at least one earning.
pub async fn settle(
    state: &State,
    work: &mut Work<'_>,
    settle: SettlePending,
    outcome: Outcome,
) -> Result<Vec<Settled>, Error> {
    let (program, lock, first) = open(state, work, &settle.account).await?;
    let (asked, name) = (
        settle.account.customer_id.clone(),
        program.program_id.as_str(),
    );
    let Source {
        source_type,
        source_ref,
    } = settle.source.clone();
    let earner = if first.absorbs {
        work.flush().await?;
        let own = OfSource {
            customer_id: &asked,
            program_id: name,
            source_type: &source_type,
            source_ref: &source_ref,
            posting_id: &settle.posting_id,
        };
        if store::list(work.tx(), own).await?.is_empty() {
            let source = (source_type.as_str(), source_ref.as_str());
            merges::find_earner(work.tx(), name, &asked, source).await?
        } else {
            None
        }
    } else {
        None
    };
    let Some(earner) = earner else {
        return settle_own(state, work, settle, (&program, lock, first), outcome).await;
    };
    // What a member has earned who was merged since is settled there, and what it leaves comes here.
    let mut settle = settle;
    settle.account.customer_id = earner.clone();
    let found = OfSource {
        customer_id: &earner,
        program_id: name,
        source_type: &source_type,
        source_ref: &source_ref,
        posting_id: &settle.posting_id,
    };
    for earning in store::list(work.tx(), found).await? {
        passing::recall(state, work, &program, &earner, &earning.lot.lot_id).await?;
    }
    let (program, lock, first) = open_begun(state, work, &settle.account).await?;
    let opened = (program.as_ref(), lock, first);
    let mut settled = settle_own(state, work, settle, opened, outcome).await?;
    let cause = match outcome {
        Outcome::Activate => Cause::Usual,
        Outcome::Cancel => Cause::Reversal,
    };
    passing::pass_on(state, work, &program, &earner, cause).await?;
    for one in &mut settled {
        let key = AccountKey {
            customer_id: &asked,
            ..one.posted.written.posting.account()
        };
        one.posted.balance = balance(work, key).await?;
    }
    Ok(settled)
}

/// Settles points of a member, who may have been merged.
async fn settle_own(
    state: &State,
    work: &mut Work<'_>,
    settle: SettlePending,
    (program, mut lock, first): (&Program, Lock, Standing),
    outcome: Outcome,
) -> Result<Vec<Settled>, Error> {
    let account = &settle.account;
    let of = OfSource {
        customer_id: &account.customer_id,
        program_id: program.program_id.as_str(),
        source_type: &settle.source.source_type,
        source_ref: &settle.source.source_ref,
        posting_id: &settle.posting_id,
    };
    work.flush().await?;
    let (mut waiting, mut refused) = (Vec::new(), None);
    for earning in store::list(work.tx(), of).await? {
        match check(work, of, &earning).await? {
            None => waiting.push(earning),
            Some(refusal) => refused = Some(refusal),
        }
    }
    if waiting.is_empty() {
        return Err(refused.unwrap_or(Error::PendingNotFound {
            source_type: settle.source.source_type,
            source_ref: settle.source.source_ref,
        }));
    }
    let mut settled = Vec::new();
    for earning in waiting {
        let own = AccountKey {
            wallet: &earning.lot.wallet,
            ..first.key()
        };
        let standing = work.standing(own).await?;
        let standing = standing.expect("the member is locked");
        let decided = match outcome {
            Outcome::Activate => activate(work, program, standing, (&settle, &earning)).await?,
            Outcome::Cancel => cancel(work, program, standing, (&settle, &earning)).await?,
        };
        let (change, lot) = decided;
        let posted = commit(state, work, &mut lock, change).await?;
        if let Some(at) = lot.cancelled_at {
            // Its points must have been taken back by then.
            work.flush().await?;
            store::cancel(work.direct(), &account.customer_id, &lot.lot_id, at).await?;
        }
        settled.push(Settled {
            posted,
            lot,
            earned_by: earning.posting_id,
        });
    }
    Ok(settled)
}

/// Why an earning cannot be settled, if it cannot.
async fn check(
    work: &mut Work<'_>,
    of: OfSource<'_>,
    earning: &Earning,
) -> Result<Option<Error>, Error> {
    let earlier = reversals::get(work.tx(), of.customer_id, &earning.posting_id).await?;
    // Adjustments take only what can be spent: nothing of a lot that waits.
    let left = earning.lot.original - earlier.points;
    let Err(refused) = decide::check(&earning.lot, left, work.now()) else {
        return Ok(None);
    };
    let key = SourceKey {
        program_id: of.program_id.to_owned(),
        source_type: of.source_type.to_owned(),
        source_ref: of.source_ref.to_owned(),
        rule: rule(earning),
    };
    let settled_by = work.find_source(&key).await?;
    Ok(Some(match (refused, settled_by) {
        (Refused::Activated, Some(by)) => Error::AlreadyActivated(by),
        (Refused::Activated, None) => Error::NotPending(earning.posting_id.clone()),
        (Refused::Cancelled, by) => Error::AlreadyCancelled(by.unwrap_or_default()),
        (Refused::Reversed, _) => Error::AlreadyReversed(earlier.latest.unwrap_or_default()),
        (Refused::Expired, _) => Error::LotExpired,
    }))
}

async fn activate<'a>(
    work: &mut Work<'_>,
    program: &'a Program,
    standing: Standing,
    (settle, earning): (&SettlePending, &Earning),
) -> Result<(Change<'a>, Lot), Error> {
    let (mut lot, now) = (earning.lot.clone(), work.now());
    let plan = decide::activate(
        standing.holding(),
        &mut lot,
        (program.expiry_of(&earning.lot.wallet, now), now),
    );
    let customer_id = &settle.account.customer_id;
    store::activate(work.direct(), customer_id, &lot).await?;
    work.forget(customer_id).await?;
    let origin = Origin {
        source: Some(settle.source.clone()),
        rule: rule(earning),
        reason: settle.reason.clone(),
        actor: settle.account.actor.clone(),
        ..Origin::default()
    };
    let change = Change {
        program,
        standing,
        plan,
        origin,
    };
    Ok((change, lot))
}

async fn cancel<'a>(
    work: &mut Work<'_>,
    program: &'a Program,
    standing: Standing,
    (settle, earning): (&SettlePending, &Earning),
) -> Result<(Change<'a>, Lot), Error> {
    let reversal = Reversal {
        posting_id: earning.posting_id.clone(),
        asked: Asked::Extent(Extent::Whole),
        policy: Policy::AllowDebt,
        reason: settle.reason.clone(),
        actor: settle.account.actor.clone(),
    };
    let mut change = plan_reversal(work, program, standing, reversal).await?;
    let lot = decide::cancel(&mut change.plan, &earning.lot, work.now());
    change.origin.rule = rule(earning);
    Ok((change, lot))
}

/// The rule of the posting that settles an earning: the same for both outcomes, so that the permanent key lets only
/// one of them happen.
fn rule(earning: &Earning) -> String {
    format!("pending/{}", earning.rule)
}
