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
mod reverse;
pub mod statement;
pub mod sweep;
pub mod transfer;
mod write;

use common::time::Timestamp;
use common::validate::Violations;

use crate::State;
use crate::domain::Points;
use crate::domain::balance::Balance;
use crate::domain::currency::Wallet;
use crate::domain::decision::Decision;
use crate::domain::limits::Applied;
use crate::domain::lines::Line;
use crate::domain::plan::{self, Plan};
use crate::domain::program::Program;
use crate::error::Error;
use crate::store::members::{Lock, Standing};
use crate::store::postings::SourceKey;
use crate::work::Work;

use account::{balance, open, standing, turn_to};
use reverse::{Reversal, is_taken_back, plan_reversal};

pub use account::Account;
pub use reverse::{Asked, ReverseTransaction, Reversed, lock_ahead, reverse};
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
