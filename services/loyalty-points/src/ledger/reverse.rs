//! Taking back what was posted: earnings whole, in part or by lines, and redemptions, which are refunded.

use std::sync::Arc;

use super::account::{balance, open, open_begun, turn_to};
use super::merges::Passing;
use super::{
    Account, Change, Origin, PURCHASE, Posted, Source, commit, limits, lines, merges, purchases,
    refunds,
};
use crate::State;
use crate::domain::decision::Decision;
use crate::domain::lines::{Line, Return};
use crate::domain::lots::Allocation;
use crate::domain::plan;
use crate::domain::program::Program;
use crate::domain::refund::Late;
use crate::domain::reversal::{Before, Extent, Part, Policy};
use crate::error::Error;
use crate::store::accounts::AccountKey;
use crate::store::earning_lines;
use crate::store::lots;
use crate::store::members::{Lock, Standing};
use crate::store::postings::{self, PostingRow};
use crate::store::purchases::PurchaseKey;
use crate::store::reversals;
use crate::tiers::Cause;
use crate::work::Work;

/// A request to take an earning back.
#[derive(Debug, Clone)]
pub struct ReverseTransaction {
    /// Whose.
    pub account: Account,
    /// The earning.
    pub posting_id: String,
    /// How much of it.
    pub asked: Asked,
    /// Where from.
    pub policy: Policy,
    /// What becomes of refunded points whose lots have expired.
    pub late: Late,
    /// Why.
    pub reason: String,
}

/// How much of a posting is to be taken back.
#[derive(Debug, Clone)]
pub enum Asked {
    /// So much.
    Extent(Extent),
    /// What belongs to these lines of an earning; at least one.
    Lines(Vec<Return>),
}

/// An earning or redemption that was taken back.
#[derive(Debug)]
pub struct Reversed {
    /// The posting.
    pub posted: Posted,
    /// The lots that points of a redemption returned to.
    pub restored: Vec<Allocation>,
    /// Points among those that expired at once.
    pub expired: i64,
    /// The lines of the earning as they are now, where it was taken back by lines.
    pub lines: Vec<Line>,
    /// What was moved beside it, where the posting is in another one's ledger than who was asked.
    pub passing: Option<Passing>,
}

/// Locks all whom it will be about, so that whatever is decided before it in the same transaction is at the same instant.
/// What it will be refused for is no matter yet.
pub async fn lock_ahead(
    state: &State,
    work: &mut Work<'_>,
    reverse: &ReverseTransaction,
) -> Result<(), Error> {
    let program = state.programs.get(work.tx(), &reverse.account.program_id);
    let locked = match program.await {
        Ok(program) => {
            let asked = (&reverse.account.customer_id, reverse.posting_id.as_str());
            merges::owner_of(work, &program, asked).await.map(drop)
        }
        Err(error) => Err(error),
    };
    locked.or_else(|error| {
        if error.is_refusal() {
            Ok(())
        } else {
            Err(error)
        }
    })
}

/// Takes an earning back, or refunds a redemption; also one of a member who was merged into the one that is asked.
pub async fn reverse(
    state: &State,
    work: &mut Work<'_>,
    mut reverse: ReverseTransaction,
) -> Result<Reversed, Error> {
    let asked = reverse.account.customer_id.clone();
    let program = &state.programs;
    let program = program.get(work.tx(), &reverse.account.program_id).await?;
    let owner = merges::owner_of(work, &program, (&asked, &reverse.posting_id)).await?;
    let opened = open(state, work, &reverse.account).await?;
    let Some(owner) = owner else {
        return reverse_own(state, work, reverse, opened).await;
    };
    // What was let go is in the ledger of who was asked, before anything leaves it.
    work.settle(&opened.1);
    reverse.account.customer_id = owner.clone();
    work.flush().await?;
    let earned = lots::find_id_of_posting(work.tx(), &owner, &reverse.posting_id).await?;
    let mut steps = Vec::new();
    if let Some(lot_id) = earned {
        steps.extend(merges::recall(state, work, &program, &owner, &lot_id).await?);
    }
    let opened = open_begun(state, work, &reverse.account).await?;
    let mut reversed = reverse_own(state, work, reverse, opened).await?;
    steps.extend(merges::pass_on_earned(state, work, &program, &owner, Cause::Reversal).await?);
    let key = AccountKey {
        customer_id: &asked,
        ..reversed.posted.written.posting.account()
    };
    reversed.posted.balance = balance(work, key).await?;
    reversed.passing = Some(Passing::of(work, program, (asked, steps)).await?);
    Ok(reversed)
}

async fn reverse_own(
    state: &State,
    work: &mut Work<'_>,
    reverse: ReverseTransaction,
    (program, mut lock, standing): (Arc<Program>, Lock, Standing),
) -> Result<Reversed, Error> {
    let mut standing = standing;
    work.flush().await?;
    let Some(posting) = find_posting(work, &standing, &reverse.posting_id).await? else {
        return Err(Error::TransactionNotFound(reverse.posting_id));
    };
    turn_to(work, &mut standing, &posting.wallet).await?;
    if matches!(posting.kind.as_str(), "redeem" | "capture") {
        let spent = posting;
        let (change, refund) =
            refunds::plan(state, work, (&program, standing), spent, reverse).await?;
        let posted = commit(state, work, &mut lock, change).await?;
        return Ok(Reversed {
            posted,
            restored: refund.restored,
            expired: refund.expired,
            lines: Vec::new(),
            passing: None,
        });
    }
    let by_lines = matches!(reverse.asked, Asked::Lines(_));
    let earned = reverse.posting_id.clone();
    let change = Reversal {
        posting_id: reverse.posting_id,
        asked: reverse.asked,
        policy: reverse.policy,
        reason: reverse.reason,
        actor: reverse.account.actor,
    };
    let change = plan_reversal(work, &program, standing, change).await?;
    let posted = commit(state, work, &mut lock, change).await?;
    let lines = if by_lines {
        earning_lines::list(work.tx(), &posted.written.posting.customer_id, &earned).await?
    } else {
        Vec::new()
    };
    Ok(Reversed {
        posted,
        restored: Vec::new(),
        expired: 0,
        lines,
        passing: None,
    })
}

async fn find_posting(
    work: &mut Work<'_>,
    standing: &Standing,
    posting_id: &str,
) -> Result<Option<PostingRow>, Error> {
    let AccountKey {
        customer_id,
        program_id,
        ..
    } = standing.key();
    Ok(postings::find(work.tx(), customer_id, program_id, posting_id).await?)
}

/// An earning to take back.
pub(super) struct Reversal {
    /// The earning.
    pub posting_id: String,
    /// How much of it.
    pub asked: Asked,
    /// Where from.
    pub policy: Policy,
    /// Why.
    pub reason: String,
    /// Who asks for it; absent: the service itself.
    pub actor: Option<String>,
}

/// Whether nothing of an earning is left to take back: all of it was taken back, or limits have left nothing of it.
pub(super) async fn is_taken_back(
    work: &mut Work<'_>,
    of: AccountKey<'_>,
    posting_id: &str,
) -> Result<bool, common::Error> {
    work.flush().await?;
    let customer_id = of.customer_id;
    let Some(lot_id) = lots::find_id_of_posting(work.tx(), customer_id, posting_id).await? else {
        return Ok(true);
    };
    let earlier = reversals::get(work.tx(), customer_id, posting_id).await?;
    if earlier.latest.is_none() {
        return Ok(false);
    }
    let lots = lots::list_open(work.tx(), of.into(), posting_id).await?;
    let lot = lots.iter().find(|lot| lot.lot_id == lot_id);
    let before = Before {
        reversed: earlier.points,
        adjusted: reversals::get_adjusted(work.tx(), customer_id, &lot_id).await?,
    };
    Ok(lot.is_none_or(|lot| before.left_of(lot) == 0))
}

/// Decides a reversal of what was posted to the account that the member is turned to. Its source is the earning's and its
/// rule says which reversal of it this is: the permanent key makes each happen once.
pub(super) async fn plan_reversal<'a>(
    work: &mut Work<'_>,
    program: &'a Program,
    standing: Standing,
    reversal: Reversal,
) -> Result<Change<'a>, Error> {
    let customer_id = &standing.member.customer_id;
    let program_id = program.program_id.as_str();
    work.flush().await?;
    let Reversal {
        posting_id,
        asked,
        policy,
        reason,
        actor,
    } = reversal;
    let found = find_posting(work, &standing, &posting_id).await?;
    let Some(earned) = found.filter(|posting| posting.wallet == *standing.wallet()) else {
        return Err(Error::TransactionNotFound(posting_id));
    };
    let applied = limits::applied_to(&earned);
    let (Some(source_type), Some(source_ref), Some(rule), "earn") = (
        earned.source_type,
        earned.source_ref,
        earned.rule,
        earned.kind.as_str(),
    ) else {
        return Err(Error::NotReversible(posting_id));
    };
    let earlier = reversals::get(work.tx(), customer_id, &posting_id).await?;
    let lots = lots::list_open(work.tx(), standing.key().into(), &posting_id).await?;
    let Some(lot_id) = lots::find_id_of_posting(work.tx(), customer_id, &posting_id).await? else {
        // Limits have left nothing of it.
        return Err(Error::NothingToReverse);
    };
    let lot = lots.iter().find(|lot| lot.lot_id == lot_id);
    let lot = lot.expect("the lot of the posting was read with the others");
    let before = Before {
        reversed: earlier.points,
        adjusted: reversals::get_adjusted(work.tx(), customer_id, &lot_id).await?,
    };
    if let Some(latest) = earlier.latest.filter(|_| before.left_of(lot) == 0) {
        return Err(Error::AlreadyReversed(latest));
    }
    let due = lines::due(work, (customer_id, &posting_id), (asked, lot, before)).await?;
    let part = Part {
        lot_id,
        points: due.points,
        before,
        policy,
    };
    let taken = match part.points {
        all if all == before.left_of(lot) => (lot.original, lot.original),
        some => (before.reversed + some, lot.original),
    };
    let rule = match earlier.times {
        0 => format!("reversal/{rule}"),
        times => format!("reversal/{rule}/{}", times + 1),
    };
    let decision = Decision::Reversal {
        asked: due.extent.into(),
        policy: policy.into(),
        earned: lot.original,
        reversed: before.reversed,
        adjusted: before.adjusted,
        by_lines: !due.lines.is_empty(),
    };
    let plan = plan::reverse(standing.holding(), lots, &part, work.now())?;
    if source_type == PURCHASE {
        let key = PurchaseKey {
            customer_id,
            program_id,
            transaction_id: &source_ref,
        };
        purchases::returned(work, key, due.extent, taken).await?;
    }
    if !due.lines.is_empty() {
        earning_lines::update(work.direct(), customer_id, &posting_id, &due.lines).await?;
    }
    let origin = Origin {
        source: Some(Source {
            source_type,
            source_ref,
        }),
        rule,
        reason,
        reverses: Some(posting_id),
        decision: Some(decision),
        actor,
        usage: limits::counted(standing.key(), &applied, -part.points),
        ..Origin::default()
    };
    Ok(Change {
        program,
        standing,
        plan,
        origin,
    })
}
