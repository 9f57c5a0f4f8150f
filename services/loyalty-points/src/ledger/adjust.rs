//! Adjustments: points given or taken by hand, with a reason code.

use common::time::Timestamp;
use common::validate::Violations;

use super::{Account, Change, Origin, Posted, commit, open};
use crate::State;
use crate::domain::Points;
use crate::domain::adjust::{self as decide, Hands};
use crate::domain::plan::Earn;
use crate::error::Error;
use crate::work::Work;

/// Which way points are adjusted.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// So many are given.
    Credit(Points),
    /// So many are taken.
    Debit(Points),
}

/// A request to adjust.
#[derive(Debug, Clone)]
pub struct AdjustPoints {
    /// Whose.
    pub account: Account,
    /// How many.
    pub amount: Amount,
    /// Why, as reports count it.
    pub reason_code: String,
    /// Why, in words.
    pub reason: String,
    /// Until when points that are given can be spent; absent means what the program says.
    pub expires_at: Option<Timestamp>,
    /// Who else approves of it.
    pub approver: Option<String>,
}

/// Gives or takes points.
pub async fn adjust(
    state: &State,
    work: &mut Work<'_>,
    adjust: AdjustPoints,
) -> Result<Posted, Error> {
    let (program, mut lock, standing) = open(state, work, &adjust.account).await?;
    let (Amount::Credit(points) | Amount::Debit(points)) = adjust.amount;
    let hands = Hands {
        actor: adjust.account.actor.as_deref().unwrap_or_default(),
        approver: adjust.approver.as_deref(),
    };
    decide::approve(points, program.adjustment_approval_limit, hands)?;
    let (holding, now) = (standing.holding(), work.now());
    let plan = match adjust.amount {
        Amount::Credit(points) => {
            let expires_at = adjust.expires_at;
            let expires_at = expires_at.or_else(|| program.expiry_of(standing.wallet(), now));
            if expires_at.is_some_and(|expires_at| expires_at <= now) {
                let mut violations = Violations::new();
                violations.add("expires_at", "must be in the future");
                return Err(common::Error::Invalid(violations).into());
            }
            let given = Earn {
                lot_id: state.platform.ids.uuid(),
                wallet: standing.wallet().clone(),
                points,
                earned_at: now,
                activates_at: Some(now),
                expires_at,
            };
            decide::credit(holding, given, now)?
        }
        Amount::Debit(points) => {
            let lots = work.open_lots(standing.key()).await?;
            decide::debit(holding, lots, points, now)?
        }
    };
    let origin = Origin {
        reason_code: Some(adjust.reason_code),
        reason: adjust.reason,
        actor: adjust.account.actor,
        approver: adjust.approver,
        ..Origin::default()
    };
    let change = Change {
        program: &program,
        standing,
        plan,
        origin,
    };
    commit(state, work, &mut lock, change).await
}
