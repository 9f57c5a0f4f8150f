//! Purchases that the customer service recorded or voided.

use std::sync::Arc;

use common::db::Tx;
use common::ids::CustomerId;
use common::money::Money;
use common::time::Timestamp;

use super::holds::let_go_timed_out;
use super::{Asked, Change, Origin, PURCHASE, Reversal, Source, plan_reversal, write};
use crate::State;
use crate::domain::lines::Line;
use crate::domain::plan;
use crate::domain::program::{Earning, Program, ProgramId};
use crate::domain::reversal::{Extent, Policy};
use crate::error::Error;
use crate::store::earning_lines;
use crate::store::members::{self, Standing};
use crate::store::postings::{self, SourceKey};
use crate::store::voided_purchases;

/// The rule of purchases.
const BASE_RULE: &str = "base";

/// A purchase, as far as points go.
#[derive(Debug)]
pub struct Purchase {
    /// Its identifier in the customer service.
    pub transaction_id: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What was paid.
    pub total: Money,
    /// What was bought.
    pub lines: Vec<Line>,
}

/// Earns by the base rule for a purchase, in every program the customer is an active member of. A purchase
/// in another currency, of less than a unit, voided before, or of a customer who is no member, earns nothing.
pub async fn recorded(
    state: &State,
    tx: &mut Tx,
    customer_id: &CustomerId,
    purchase: &Purchase,
) -> Result<(), Error> {
    let Some(mut lock) = members::lock(tx, customer_id).await? else {
        return Ok(());
    };
    if voided_purchases::exists(tx, customer_id, &purchase.transaction_id).await? {
        return Ok(members::settle(tx, &lock).await?);
    }
    // After the lock: what others posted while this waited for it lies in the past.
    let now = tx.now();
    for standing in members::list_standings(tx, customer_id, "", now).await? {
        let program = program_of(state, tx, &standing).await?;
        let points = match program.earning_rule.earn(&purchase.total) {
            Earning::Points(points) if !standing.member.is_closed() => points,
            Earning::Points(_) | Earning::Nothing | Earning::OtherCurrency => continue,
            Earning::TooMuch => return Err(Error::PointsLimit),
        };
        let standing = let_go_timed_out(state, tx, &mut lock, &program, standing).await?;
        let earning = plan::Earn {
            lot_id: state.platform.ids.uuid(),
            points,
            earned_at: purchase.occurred_at,
            activates_at: Some(purchase.occurred_at),
            expires_at: program.expiry_of(purchase.occurred_at),
        };
        let plan = plan::earn(standing.holding(), earning, now)?;
        let origin = Origin {
            source: Some(Source {
                source_type: PURCHASE.to_owned(),
                source_ref: purchase.transaction_id.clone(),
            }),
            rule: BASE_RULE.to_owned(),
            ..Origin::default()
        };
        let change = Change {
            program: &program,
            standing,
            plan,
            origin,
        };
        match write::write(state, tx, &mut lock, change).await {
            Ok(written) => {
                let posting_id = &written.posting.posting_id;
                earning_lines::insert(tx, customer_id, posting_id, &purchase.lines).await?;
            }
            // Recorded before: it has its points.
            Err(Error::SourceAlreadyPosted(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(members::settle(tx, &lock).await?)
}

/// Takes back what a purchase earned, in every program. Nothing happens where it earned nothing or was
/// taken back before.
pub async fn voided(
    state: &State,
    tx: &mut Tx,
    customer_id: &CustomerId,
    transaction_id: &str,
) -> Result<(), Error> {
    let Some(mut lock) = members::lock(tx, customer_id).await? else {
        return Ok(());
    };
    // A recording that was parked is applied after the void, if ever.
    voided_purchases::insert(tx, customer_id, transaction_id).await?;
    let now = tx.now();
    for standing in members::list_standings(tx, customer_id, "", now).await? {
        let program = program_of(state, tx, &standing).await?;
        let key = SourceKey {
            program_id: program.program_id.as_str(),
            source_type: PURCHASE,
            source_ref: transaction_id,
            rule: BASE_RULE,
        };
        let earned = postings::find_by_source(tx, key).await?;
        let Some(posting_id) = earned.filter(|_| !standing.member.is_closed()) else {
            continue;
        };
        let standing = let_go_timed_out(state, tx, &mut lock, &program, standing).await?;
        let reversal = Reversal {
            posting_id,
            asked: Asked::Extent(Extent::Whole),
            policy: Policy::AllowDebt,
            reason: "purchase voided".to_owned(),
        };
        match plan_reversal(tx, &program, standing, reversal).await {
            Ok(change) => drop(write::write(state, tx, &mut lock, change).await?),
            Err(Error::AlreadyReversed(_) | Error::TransactionNotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(members::settle(tx, &lock).await?)
}

async fn program_of(
    state: &State,
    tx: &mut Tx,
    standing: &Standing,
) -> Result<Arc<Program>, Error> {
    let program_id = ProgramId::parse(&standing.member.program_id);
    state
        .programs
        .get(tx, &program_id.map_err(common::Error::Internal)?)
        .await
}
