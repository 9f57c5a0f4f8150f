//! Purchases that the customer service recorded or voided.

use std::sync::Arc;

use common::ids::CustomerId;
use common::money::Money;
use common::time::Timestamp;

use super::holds::let_go_timed_out;
use super::{Asked, Change, Origin, PURCHASE, Reversal, Source, lines, plan_reversal, write};
use crate::State;
use crate::domain::lines::Line;
use crate::domain::plan;
use crate::domain::program::{Earning, Program, ProgramId};
use crate::domain::reversal::{Extent, Policy};
use crate::error::Error;
use crate::store::members::Standing;
use crate::store::postings::SourceKey;
use crate::store::voided_purchases;
use crate::work::Work;

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

/// The permanent keys of what a purchase may earn or have earned.
pub async fn sources(
    work: &mut Work<'_>,
    customer_id: &CustomerId,
    transaction_id: &str,
) -> Result<Vec<SourceKey>, common::Error> {
    if work.lock(customer_id).await?.is_none() {
        return Ok(Vec::new());
    }
    let standings = work.standings(customer_id, "").await?;
    let key = |standing: &Standing| source_key(&standing.member.program_id, transaction_id);
    Ok(standings.iter().map(key).collect())
}

fn source_key(program_id: &str, transaction_id: &str) -> SourceKey {
    SourceKey {
        program_id: program_id.to_owned(),
        source_type: PURCHASE.to_owned(),
        source_ref: transaction_id.to_owned(),
        rule: BASE_RULE.to_owned(),
    }
}

/// Earns by the base rule for a purchase, in every program the customer is an active member of. A purchase
/// in another currency, of less than a unit, voided before, or of a customer who is no member, earns nothing.
pub async fn recorded(
    state: &State,
    work: &mut Work<'_>,
    customer_id: &CustomerId,
    purchase: &Purchase,
) -> Result<(), Error> {
    let Some(mut lock) = work.lock(customer_id).await? else {
        return Ok(());
    };
    if voided_purchases::exists(work.tx(), customer_id, &purchase.transaction_id).await? {
        return Ok(());
    }
    // After the lock: what others posted while this waited for it lies in the past.
    let now = work.now();
    for standing in work.standings(customer_id, "").await? {
        let program = program_of(state, work, &standing).await?;
        let points = match program.earning_rule.earn(&purchase.total) {
            Earning::Points(points) if !standing.member.is_closed() => points,
            Earning::Points(_) | Earning::Nothing | Earning::OtherCurrency => continue,
            Earning::TooMuch => return Err(Error::PointsLimit),
        };
        let standing = let_go_timed_out(state, work, &mut lock, &program, standing).await?;
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
        match write::write(state, work, &mut lock, change).await {
            Ok(written) => lines::insert(work, &written.posting, &purchase.lines).await?,
            // Recorded before: it has its points.
            Err(Error::SourceAlreadyPosted(_)) => {}
            Err(error) => return Err(error),
        }
    }
    work.settle(&lock);
    Ok(())
}

/// Takes back what a purchase earned, in every program. Nothing happens where it earned nothing or was
/// taken back before.
pub async fn voided(
    state: &State,
    work: &mut Work<'_>,
    customer_id: &CustomerId,
    transaction_id: &str,
) -> Result<(), Error> {
    let Some(mut lock) = work.lock(customer_id).await? else {
        return Ok(());
    };
    // A recording that was parked is applied after the void, if ever.
    voided_purchases::insert(work.direct(), customer_id, transaction_id).await?;
    for standing in work.standings(customer_id, "").await? {
        let program = program_of(state, work, &standing).await?;
        let key = source_key(program.program_id.as_str(), transaction_id);
        let earned = work.find_source(&key).await?;
        let Some(posting_id) = earned.filter(|_| !standing.member.is_closed()) else {
            continue;
        };
        let standing = let_go_timed_out(state, work, &mut lock, &program, standing).await?;
        let reversal = Reversal {
            posting_id,
            asked: Asked::Extent(Extent::Whole),
            policy: Policy::AllowDebt,
            reason: "purchase voided".to_owned(),
        };
        match plan_reversal(work, &program, standing, reversal).await {
            Ok(change) => drop(write::write(state, work, &mut lock, change).await?),
            Err(Error::AlreadyReversed(_) | Error::TransactionNotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    work.settle(&lock);
    Ok(())
}

async fn program_of(
    state: &State,
    work: &mut Work<'_>,
    standing: &Standing,
) -> Result<Arc<Program>, Error> {
    let program_id = ProgramId::parse(&standing.member.program_id);
    state
        .programs
        .get(work.tx(), &program_id.map_err(common::Error::Internal)?)
        .await
}
