//! Points that wait for an event: activated when it has come, cancelled when it does not.

use std::sync::Arc;

use common::ids::CustomerId;

use super::merges::{Passed, Passing};
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

/// What was settled: at least one earning.
#[derive(Debug)]
pub struct AllSettled {
    /// The earnings.
    pub settled: Vec<Settled>,
    /// What was moved beside it, where any of them is in another one's ledger than who was asked.
    pub passing: Option<Passing>,
}

/// Settles the points of a source that still wait: the member's own, and then those of members who were merged into it,
/// by their ids.
pub async fn settle(
    state: &State,
    work: &mut Work<'_>,
    settle: SettlePending,
    outcome: Outcome,
) -> Result<AllSettled, Error> {
    let asked = settle.account.customer_id.clone();
    let program = &state.programs;
    let program = program.get(work.tx(), &settle.account.program_id).await?;
    let source = &settle.source;
    let source = (source.source_type.as_str(), source.source_ref.as_str());
    let earners = passing::earners_of(work, &program, &asked, source).await?;
    let (_, lock, first) = open(state, work, &settle.account).await?;
    // What was let go is in the ledger, also where nothing of its own is settled.
    work.settle(&lock);
    let own = (program.as_ref(), lock, first);
    let own = settle_own(state, work, &settle, own, outcome).await?;
    if earners.is_empty() {
        return Ok(AllSettled {
            settled: own.or_refuse(&settle)?,
            passing: None,
        });
    }
    let (mut all, mut steps) = (own, Vec::new());
    for earner in earners {
        let of_earner = of(&settle, &earner);
        let more = settle_merged(state, work, (&program, of_earner), outcome).await?;
        steps.extend(more.1);
        all.add(more.0);
    }
    let mut settled = all.or_refuse(&settle)?;
    for one in &mut settled {
        let key = AccountKey {
            customer_id: &asked,
            ..one.posted.written.posting.account()
        };
        one.posted.balance = balance(work, key).await?;
    }
    let passing = Passing::of(work, program, (asked, steps)).await?;
    Ok(AllSettled {
        settled,
        passing: Some(passing),
    })
}

/// What a member has earned who was merged since is settled there, and what it leaves goes on.
async fn settle_merged(
    state: &State,
    work: &mut Work<'_>,
    (program, settle): (&Arc<Program>, SettlePending),
    outcome: Outcome,
) -> Result<(Found, Vec<Passed>), Error> {
    let earner = settle.account.customer_id.clone();
    let mut steps = Vec::new();
    work.flush().await?;
    for earning in store::list(work.tx(), of_source(&settle)).await? {
        if check(work, of_source(&settle), &earning).await?.is_some() {
            continue;
        }
        let lot_id = &earning.lot.lot_id;
        steps.extend(passing::recall(state, work, program, &earner, lot_id).await?);
    }
    let (_, lock, first) = open_begun(state, work, &settle.account).await?;
    work.settle(&lock);
    let opened = (program.as_ref(), lock, first);
    let found = settle_own(state, work, &settle, opened, outcome).await?;
    let cause = match outcome {
        Outcome::Activate => Cause::Usual,
        Outcome::Cancel => Cause::Reversal,
    };
    steps.extend(passing::pass_on_earned(state, work, program, &earner, cause).await?);
    Ok((found, steps))
}

fn of(settle: &SettlePending, customer_id: &CustomerId) -> SettlePending {
    let mut settle = settle.clone();
    settle.account.customer_id = customer_id.clone();
    settle
}

fn of_source(settle: &SettlePending) -> OfSource<'_> {
    OfSource {
        customer_id: &settle.account.customer_id,
        program_id: settle.account.program_id.as_str(),
        source_type: &settle.source.source_type,
        source_ref: &settle.source.source_ref,
        posting_id: &settle.posting_id,
    }
}

/// Earnings of a source that were settled, and why the last of the others was not.
struct Found {
    settled: Vec<Settled>,
    refused: Option<Error>,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.settled.extend(other.settled);
        self.refused = other.refused.or(self.refused.take());
    }

    fn or_refuse(self, settle: &SettlePending) -> Result<Vec<Settled>, Error> {
        if !self.settled.is_empty() {
            return Ok(self.settled);
        }
        let Source {
            source_type,
            source_ref,
        } = settle.source.clone();
        Err(self.refused.unwrap_or(Error::PendingNotFound {
            source_type,
            source_ref,
        }))
    }
}

/// Settles points of a member, who may have been merged.
async fn settle_own(
    state: &State,
    work: &mut Work<'_>,
    settle: &SettlePending,
    (program, mut lock, first): (&Program, Lock, Standing),
    outcome: Outcome,
) -> Result<Found, Error> {
    let (account, of) = (&settle.account, of_source(settle));
    work.flush().await?;
    let (mut waiting, mut refused) = (Vec::new(), None);
    for earning in store::list(work.tx(), of).await? {
        match check(work, of, &earning).await? {
            None => waiting.push(earning),
            Some(refusal) => refused = Some(refusal),
        }
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
            Outcome::Activate => activate(work, program, standing, (settle, &earning)).await?,
            Outcome::Cancel => cancel(work, program, standing, (settle, &earning)).await?,
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
    Ok(Found { settled, refused })
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
