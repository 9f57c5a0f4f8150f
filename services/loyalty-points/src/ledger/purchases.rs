//! Purchases that the customer service recorded or voided.

mod voided;

use std::sync::Arc;

use common::ids::CustomerId;
use common::money::Money;
use common::time::Timestamp;

use super::holds::let_go_timed_out;
use super::limits::Expected;
use super::{Change, Origin, PURCHASE, Source, limits, lines, merges, write};
use crate::State;
use crate::domain::Points;
use crate::domain::currency::Wallet;
use crate::domain::decision::Decision;
use crate::domain::limits::Applied;
use crate::domain::lines::Line;
use crate::domain::multiplier::multiplied;
use crate::domain::plan;
use crate::domain::program::{Earning, EarningRule, Program, ProgramId};
use crate::domain::tiers::{Metric, ONE_IN_BASIS_POINTS};
use crate::error::Error;
use crate::store::members::{Lock, Standing};
use crate::store::postings::SourceKey;
use crate::store::purchases::{self, NewPurchase, PurchaseKey};
use crate::store::voided_purchases;
use crate::tiers::{self, Cause, basis, reads};
use crate::work::Work;

pub(super) use voided::returned;
pub use voided::voided;

/// The rule of purchases.
pub const BASE_RULE: &str = "base";

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

/// What a purchase may earn, for reading ahead. The customer was read.
pub async fn expected(
    work: &mut Work<'_>,
    customer_id: &CustomerId,
    purchase: &Purchase,
) -> Result<Vec<Expected>, Error> {
    let mut expected = Vec::new();
    for standing in work.standings(customer_id, "").await? {
        let program_id = ProgramId::parse(&standing.member.program_id);
        expected.push(Expected {
            program_id: program_id.map_err(common::Error::Internal)?,
            customer_id: customer_id.clone(),
            currency: None,
            earned_at: Some(purchase.occurred_at),
        });
    }
    Ok(expected)
}

fn source_key(program_id: &str, transaction_id: &str) -> SourceKey {
    SourceKey {
        program_id: program_id.to_owned(),
        source_type: PURCHASE.to_owned(),
        source_ref: transaction_id.to_owned(),
        rule: BASE_RULE.to_owned(),
    }
}

/// Earns by the base rule for a purchase, in the first currency of every program the customer is an active member of, multiplied by what
/// the tier that the member had when it happened makes of it. A purchase in another currency, voided before, or of
/// a customer who is no member, earns nothing; one of less than a unit earns nothing, but counts for tiers by
/// spend or frequency. One of which limits leave nothing earns nothing for ever: that is posted. Where it was recorded
/// before, or neither earns nor counts, nothing is touched.
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
    let standings = locked(state, work, customer_id).await?;
    // After the lock: what others posted while this waited for it lies in the past.
    let now = work.now();
    let mut touched = Vec::new();
    for mut standing in standings {
        let program = program_of(state, work, &standing).await?;
        let program_id = program.program_id.as_str();
        let base = program.earning_rule.earn(&purchase.total);
        let is_money = base != Earning::OtherCurrency && purchase.total.micros > 0;
        if !is_money || standing.member.is_closed() {
            continue;
        }
        let source = source_key(program_id, &purchase.transaction_id);
        if work.find_source(&source).await?.is_some() {
            continue;
        }
        let counted = counted(state, work, &standing, &program, (purchase, base)).await?;
        let points = match counted.earning {
            Earning::Points(points) => Some(points),
            Earning::Nothing | Earning::OtherCurrency => None,
            Earning::TooMuch => return Err(Error::PointsLimit),
        };
        let key = PurchaseKey {
            customer_id,
            program_id,
            transaction_id: &purchase.transaction_id,
        };
        // What has earned is known by its source.
        if points.is_none() && find(work, key).await?.is_some() {
            continue;
        }
        touched.push(program_id.to_owned());
        tiers::follow(state, work, &mut lock, &mut standing).await?;
        note(work, &standing, purchase, &counted);
        let Some(points) = points else {
            recount(state, work, &mut lock, standing, Cause::Usual).await?;
            continue;
        };
        let standing = let_go_timed_out(state, work, &mut lock, &program, standing).await?;
        let earned_at = purchase.occurred_at;
        let granted = limits::grant(state, work, &standing, (points, earned_at)).await?;
        let (points, applied) = match granted {
            Some(granted) => (Points::parse(granted.points).ok(), granted.applied),
            None => (Some(points), Vec::new()),
        };
        let earning = |points| plan::Earn {
            lot_id: state.platform.ids.uuid(),
            wallet: Wallet::first(),
            points,
            earned_at,
            activates_at: Some(earned_at),
            expires_at: program.expiry_of(&Wallet::first(), earned_at),
        };
        let plan = match points {
            Some(points) => plan::earn(standing.holding(), earning(points), now)?,
            None => plan::earn_nothing(standing.holding(), earned_at),
        };
        let used = points.map_or(0, Points::get);
        let usage = limits::counted(standing.key(), &applied, used);
        let decided = decision(&program.earning_rule, &purchase.total, (counted, applied));
        let origin = Origin {
            source: Some(Source {
                source_type: PURCHASE.to_owned(),
                source_ref: purchase.transaction_id.clone(),
            }),
            rule: BASE_RULE.to_owned(),
            decision: Some(decided),
            usage,
            ..Origin::default()
        };
        let change = Change {
            program: &program,
            standing,
            plan,
            origin,
        };
        let written = write::write(state, work, &mut lock, change).await?;
        // What earned nothing has no lines to be taken back by.
        if !written.lots.is_empty() {
            lines::insert(work, &written.posting, &purchase.lines).await?;
        }
    }
    work.settle(&lock);
    pass_on(state, work, customer_id, (&touched, Cause::Usual)).await
}

/// The memberships of a customer who is locked; and so is by then whoever the points of one that was merged go on to: all
/// is decided, and goes on, at one instant.
async fn locked(
    state: &State,
    work: &mut Work<'_>,
    customer_id: &CustomerId,
) -> Result<Vec<Standing>, Error> {
    let standings = work.standings(customer_id, "").await?;
    for standing in &standings {
        if standing.member.survivor.is_some() {
            let program = program_of(state, work, standing).await?;
            merges::lock_on(work, &program, customer_id).await?;
        }
    }
    Ok(standings)
}

/// What was posted to memberships that were merged, in programs that were touched, goes on to who stands for them.
async fn pass_on(
    state: &State,
    work: &mut Work<'_>,
    customer_id: &CustomerId,
    (touched, cause): (&[String], Cause),
) -> Result<(), Error> {
    for standing in work.standings(customer_id, "").await? {
        let is_touched = touched.contains(&standing.member.program_id);
        if is_touched && standing.member.survivor.is_some() {
            let program = program_of(state, work, &standing).await?;
            merges::pass_on_earned(state, work, &program, customer_id, cause).await?;
        }
    }
    Ok(())
}

/// What a purchase earns, and in which tier.
struct Counted {
    base_points: i64,
    earning: Earning,
    tier: String,
    multiplier: i64,
    policy_version: i64,
}

/// What a purchase, of which anything was paid, earns in the tier that the member had when it happened.
async fn counted(
    state: &State,
    work: &mut Work<'_>,
    standing: &Standing,
    program: &Program,
    (purchase, base): (&Purchase, Earning),
) -> Result<Counted, Error> {
    let base_points = match base {
        Earning::Points(points) => points.get(),
        Earning::Nothing | Earning::OtherCurrency => 0,
        Earning::TooMuch => return Err(Error::PointsLimit),
    };
    let (customer_id, occurred_at) = (&standing.member.customer_id, purchase.occurred_at);
    let program_id = &program.program_id;
    let (known, in_force) = basis::version_of(state, work.tx(), standing).await?;
    // A version that is to hold may not be known here, but one that holds or has held always is.
    let is_ahead = occurred_at > work.now();
    // Without multipliers, the tier stored will do for the record: it changes nothing.
    let (tier, version) = if is_ahead || known.policies.multiply_up_to(in_force.version) {
        work.flush().await?;
        let tx = work.tx();
        // Of a member who was merged, the tier of who stands for it.
        let member = standing.member.survivor.as_ref().unwrap_or(customer_id);
        let held = reads::held_at(state, tx, program_id, member, occurred_at).await?;
        let held = held.expect("the member is locked");
        (held.tier, held.basis.version)
    } else {
        (standing.tier.clone(), in_force)
    };
    let multiplier = version.policy.find(&tier).map(|tier| tier.multiplier);
    let multiplier = multiplier.unwrap_or(ONE_IN_BASIS_POINTS);
    Ok(Counted {
        base_points,
        earning: multiplied(base, multiplier),
        tier,
        multiplier,
        policy_version: version.version,
    })
}

/// Notes a purchase that is new, with what it earns.
fn note(work: &mut Work<'_>, standing: &Standing, purchase: &Purchase, counted: &Counted) {
    let recorded_at = work.now().micros();
    work.add_purchase(NewPurchase {
        customer_id: standing.member.customer_id.to_string(),
        program_id: standing.member.program_id.clone(),
        transaction_id: purchase.transaction_id.clone(),
        occurred_at: purchase.occurred_at.micros(),
        recorded_at,
        spend: purchase.total.micros,
        base_points: counted.base_points,
        tier: counted.tier.clone(),
        multiplier: counted.multiplier,
        policy_version: counted.policy_version,
    });
}

/// What was paid for a purchase that was noted, and what is left of it.
async fn find(
    work: &mut Work<'_>,
    key: PurchaseKey<'_>,
) -> Result<Option<(i64, i64)>, common::Error> {
    work.flush().await?;
    purchases::find(work.tx(), key).await
}

/// Decides the tier anew where it may go by purchases and nothing was posted.
async fn recount(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    mut standing: Standing,
    cause: Cause,
) -> Result<(), Error> {
    let (_, version) = basis::version_of(state, work.tx(), &standing).await?;
    if version.policy.rules().metric != Metric::PointsEarned {
        tiers::renew(state, work, lock, &mut standing, cause).await?;
    }
    Ok(())
}

/// What the points of a purchase are decided on.
fn decision(
    rule: &EarningRule,
    total: &Money,
    (counted, limits): (Counted, Vec<Applied>),
) -> Decision {
    Decision::Purchase {
        currency: rule.unit.currency.to_string(),
        total_micros: total.micros,
        unit_micros: rule.unit.micros,
        points_per_unit: rule.points_per_unit,
        tier: counted.tier,
        multiplier: counted.multiplier,
        policy_version: counted.policy_version,
        limits,
    }
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
