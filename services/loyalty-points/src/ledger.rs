//! The points ledger: earn, redeem, reverse, by call and from the feed, and what can be read of it.

mod account;
pub mod adjust;
pub mod extensions;
pub mod holds;
pub mod imports;
pub mod limits;
mod lines;
pub mod merges;
pub mod pending;
pub mod purchases;
pub mod reads;
mod refunds;
pub mod statement;
pub mod sweep;
pub mod transfer;
mod write;

use std::sync::Arc;

use common::time::Timestamp;
use common::validate::Violations;

use crate::State;
use crate::domain::Points;
use crate::domain::balance::Balance;
use crate::domain::currency::Wallet;
use crate::domain::decision::Decision;
use crate::domain::limits::Applied;
use crate::domain::lines::{Line, Return};
use crate::domain::lots::Allocation;
use crate::domain::plan::{self, Plan};
use crate::domain::program::Program;
use crate::domain::refund::Late;
use crate::domain::reversal::{Before, Extent, Part, Policy};
use crate::error::Error;
use crate::store::accounts::AccountKey;
use crate::store::earning_lines;
use crate::store::lots;
use crate::store::members::{Lock, Standing};
use crate::store::merges::find_owner;
use crate::store::postings::{self, PostingRow, SourceKey};
use crate::store::purchases::PurchaseKey;
use crate::store::reversals;
use crate::tiers::Cause;
use crate::work::Work;

use account::{balance, open, open_begun, standing, turn_to};

pub use account::Account;
pub use write::{Origin, Source, Written};

/// Source type of purchases that the customer service recorded.
pub const PURCHASE: &str = "transaction";
/// The rule of earnings that callers post.
const CALL_RULE: &str = "direct";

/// A posting that was made for a caller.
#[derive(Debug)]
pub struct Posted {
    /// What was written.
    pub written: Written,
    /// What the member can spend now in the currency of the posting.
    pub balance: Balance,
    /// Code of that currency.
    pub currency: String,
}

/// A request to earn.
#[derive(Debug, Clone)]
pub struct EarnPoints {
    /// Whose.
    pub account: Account,
    /// How many.
    pub points: Points,
    /// What for.
    pub source: Source,
    /// Why.
    pub reason: String,
    /// When; absent means now.
    pub occurred_at: Option<Timestamp>,
    /// Spendable from when on.
    pub activates: Activates,
    /// Spendable until; absent means what the program says.
    pub expires_at: Option<Timestamp>,
    /// What it was earned with, line by line; may be empty.
    pub lines: Vec<Line>,
}

/// From when on what is earned can be spent.
#[derive(Debug, Clone, Copy)]
pub enum Activates {
    /// From when it was earned.
    AtOnce,
    /// From this instant.
    At(Timestamp),
    /// Once an event has come.
    OnEvent,
}

impl EarnPoints {
    /// The permanent key of the posting, for reading ahead.
    pub fn source_key(&self) -> SourceKey {
        SourceKey {
            program_id: self.account.program_id.to_string(),
            source_type: self.source.source_type.clone(),
            source_ref: self.source.source_ref.clone(),
            rule: self.rule(),
        }
    }

    /// The rule, as far as the request tells: where it names the program's first currency, another one than is posted.
    fn rule(&self) -> String {
        let currency = self.account.currency.as_ref();
        currency
            .map_or_else(Wallet::first, Wallet::further)
            .rule(CALL_RULE)
    }
}

/// A request to spend.
#[derive(Debug, Clone)]
pub struct RedeemPoints {
    /// Whose.
    pub account: Account,
    /// How many.
    pub points: Points,
    /// Why.
    pub reason: String,
}

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
}

/// Posts an earning.
pub async fn earn(state: &State, work: &mut Work<'_>, earn: EarnPoints) -> Result<Posted, Error> {
    let (program, mut lock, standing) = open(state, work, &earn.account).await?;
    let now = work.now();
    let earned_at = earn.occurred_at.unwrap_or(now);
    let activates_at = match earn.activates {
        Activates::AtOnce => Some(earned_at),
        Activates::At(at) => Some(at.max(earned_at)),
        Activates::OnEvent => None,
    };
    let wallet = standing.wallet().clone();
    let by_program = activates_at.and_then(|at| program.expiry_of(&wallet, at));
    let expires_at = earn.expires_at.or(by_program);
    let first = activates_at.unwrap_or(earned_at);
    if expires_at.is_some_and(|expires_at| expires_at <= first) {
        let mut violations = Violations::new();
        violations.add("expires_at", "must be after the points become spendable");
        return Err(common::Error::Invalid(violations).into());
    }
    let lot_id = state.platform.ids.uuid();
    let rule = wallet.rule(CALL_RULE);
    let (points, applied) = granted(state, work, &standing, &earn, (&rule, earned_at)).await?;
    let decision = (!applied.is_empty()).then(|| Decision::Limited {
        points: earn.points.get(),
        limits: applied.clone(),
        lots: Vec::new(),
    });
    let earning = plan::Earn {
        lot_id,
        wallet,
        points,
        earned_at,
        activates_at,
        expires_at,
    };
    let plan = plan::earn(standing.holding(), earning, now)?;
    let origin = Origin {
        source: Some(earn.source),
        rule,
        reason: earn.reason,
        decision,
        actor: earn.account.actor,
        usage: limits::counted(standing.key(), &applied, points.get()),
        ..Origin::default()
    };
    let change = Change {
        program: &program,
        standing,
        plan,
        origin,
    };
    let posted = commit(state, work, &mut lock, change).await?;
    lines::insert(work, &posted.written.posting, &earn.lines).await?;
    Ok(posted)
}

/// What limits let a caller earn, and what each of them made of it. A source that has earned is told first: whoever asks
/// again hears the same.
async fn granted(
    state: &State,
    work: &mut Work<'_>,
    standing: &Standing,
    earn: &EarnPoints,
    (rule, earned_at): (&str, Timestamp),
) -> Result<(Points, Vec<Applied>), Error> {
    if standing.limits_version > 0 {
        let key = SourceKey {
            rule: rule.to_owned(),
            ..earn.source_key()
        };
        if let Some(posted) = work.find_source(&key).await? {
            return Err(Error::SourceAlreadyPosted(posted));
        }
    }
    limits::grant_asked(state, work, standing, (earn.points, earned_at)).await
}

/// Spends points.
pub async fn redeem(
    state: &State,
    work: &mut Work<'_>,
    redeem: RedeemPoints,
) -> Result<Posted, Error> {
    let (program, mut lock, standing) = open(state, work, &redeem.account).await?;
    let lots = work.open_lots(standing.key()).await?;
    let plan = plan::redeem(standing.holding(), lots, redeem.points, work.now())?;
    let origin = Origin {
        reason: redeem.reason,
        actor: redeem.account.actor,
        ..Origin::default()
    };
    commit(
        state,
        work,
        &mut lock,
        Change {
            program: &program,
            standing,
            plan,
            origin,
        },
    )
    .await
}

/// Takes an earning back, or refunds a redemption; also one of a member who was merged into the one that is asked.
pub async fn reverse(
    state: &State,
    work: &mut Work<'_>,
    mut reverse: ReverseTransaction,
) -> Result<Reversed, Error> {
    let opened = open(state, work, &reverse.account).await?;
    let asked = reverse.account.customer_id.clone();
    let owner = if opened.2.absorbs {
        work.flush().await?;
        let program_id = reverse.account.program_id.as_str();
        find_owner(work.tx(), program_id, &asked, &reverse.posting_id).await?
    } else {
        None
    };
    let Some(owner) = owner else {
        return reverse_own(state, work, reverse, opened).await;
    };
    reverse.account.customer_id = owner.clone();
    let program = opened.0;
    let earned = lots::find_id_of_posting(work.tx(), &owner, &reverse.posting_id).await?;
    if let Some(lot_id) = earned {
        merges::recall(state, work, &program, &owner, &lot_id).await?;
    }
    let opened = open_begun(state, work, &reverse.account).await?;
    let mut reversed = reverse_own(state, work, reverse, opened).await?;
    merges::pass_on(state, work, &program, &owner, Cause::Reversal).await?;
    let key = AccountKey {
        customer_id: &asked,
        ..reversed.posted.written.posting.account()
    };
    reversed.posted.balance = balance(work, key).await?;
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
    })
}

/// A decided change of one member's ledger.
struct Change<'a> {
    program: &'a Program,
    standing: Standing,
    plan: Plan,
    origin: Origin,
}

/// Writes the change and reads the balance that it leaves.
async fn commit(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    change: Change<'_>,
) -> Result<Posted, Error> {
    let currency = change.program.code_of(change.standing.wallet()).to_owned();
    let written = write::write(state, work, lock, change).await?;
    work.settle(lock);
    let balance = balance(work, written.posting.account()).await?;
    Ok(Posted {
        written,
        balance,
        currency,
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

struct Reversal {
    posting_id: String,
    asked: Asked,
    policy: Policy,
    reason: String,
    actor: Option<String>,
}

/// Decides a reversal of what was posted to the account that the member is turned to. Its source is the earning's and its rule says which reversal of it this is: the permanent
/// key makes each happen once.
async fn plan_reversal<'a>(
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
