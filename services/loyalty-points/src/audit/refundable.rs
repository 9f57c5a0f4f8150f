//! Compares what is left to return of purchases and of the lines of earnings with the reversals that were posted.

use std::collections::BTreeMap;

use common::db::Snapshot;

use super::divergence::{Kind, Stop, Where, diverged};
use crate::domain::decision::{Asked, Decision};
use crate::domain::multiplier::left;
use crate::store::histories::Range;
use crate::store::refundable::{self, LineSums, PurchaseRow};

/// What the reversals of each earning were decided on, in their order; absent where one does not tell.
type Reversals = BTreeMap<(String, String), Vec<Option<Decision>>>;

/// Compares all of some customers.
pub(super) async fn compare(db: &mut Snapshot, range: Range<'_>) -> Result<(), Stop> {
    let mut reversals = Reversals::new();
    for row in refundable::list_reversals(db, range).await? {
        let of_earning = reversals
            .entry((row.customer_id, row.reverses))
            .or_default();
        of_earning.push(row.decision.as_deref().and_then(Decision::from_json));
    }
    for lines in refundable::list_lines(db, range).await? {
        compare_lines(&reversals, lines)?;
    }
    for purchase in refundable::list_purchases(db, range).await? {
        compare_purchase(&reversals, purchase)?;
    }
    Ok(())
}

/// All that was returned by lines is what the latest reversal by lines says. Reversals that do not tell whether they
/// went by lines may have.
fn compare_lines(reversals: &Reversals, lines: LineSums) -> Result<(), Stop> {
    let LineSums {
        customer_id,
        posting_id,
        weight,
        returned,
        kind,
    } = lines;
    let key = (customer_id, posting_id);
    let (mut by_lines, mut possible) = (None, vec![0]);
    for decision in reversals.get(&key).into_iter().flatten() {
        if let Some(Decision::Reversal {
            asked: Asked::Returned { original, returned },
            by_lines: is_by_lines,
            ..
        }) = decision
        {
            if *is_by_lines {
                by_lines = Some((*original, *returned));
            } else if *original == weight {
                possible.push(*returned);
            }
        }
    }
    let is_untold = reversals.get(&key).is_some_and(|all| all.contains(&None));
    let is_right = match by_lines {
        Some(posted) => posted == (weight, returned),
        None if is_untold => true,
        None => possible.contains(&returned),
    };
    let description = match kind.as_deref() {
        Some("earn") if is_right => return Ok(()),
        Some("earn") => format!(
            "{returned} of {weight} are stored as returned by lines, {:?} was posted",
            by_lines.unwrap_or((weight, 0))
        ),
        _ => "lines are stored of what is no earning".to_owned(),
    };
    let (customer_id, posting_id) = key;
    let at = Where {
        customer_id,
        posting_id,
        ..Where::default()
    };
    Err(diverged(Kind::EarningLines, at, description))
}

/// A purchase is what its earning was decided on. What is left of it is what its reversals leave, and nothing once it is
/// voided; of a member who is closed nothing is taken back any more.
fn compare_purchase(reversals: &Reversals, purchase: PurchaseRow) -> Result<(), Stop> {
    let of = &purchase.transaction_id;
    let spend = purchase.spend;
    let posting_id = purchase.posting_id.clone().unwrap_or_default();
    let key = (purchase.customer_id.clone(), posting_id);
    let taken = reversals.get(&key).into_iter().flatten();
    let left = taken.map(|taken| left_after(spend, taken.as_ref()));
    let by_reversals = left.min().unwrap_or(spend);
    let is_untold = reversals.get(&key).is_some_and(|all| all.contains(&None));
    let posted = if purchase.voided { 0 } else { by_reversals };
    let remaining = purchase.remaining;
    let description = if let Some(different) = undecided(&purchase) {
        format!("{different} is not what the earning of {of} was decided on")
    } else if remaining == posted || (purchase.closed && remaining == by_reversals) || is_untold {
        return Ok(());
    } else {
        format!("{remaining} is stored as left of {of}, {posted} is")
    };
    let (customer_id, posting_id) = key;
    let at = Where {
        customer_id,
        posting_id,
        program_id: purchase.program_id,
        ..Where::default()
    };
    Err(diverged(Kind::Purchase, at, description))
}

/// What of a purchase is not as its earning tells it; `None` too where it earned nothing, of which nobody tells.
fn undecided(purchase: &PurchaseRow) -> Option<String> {
    if let Some(posted_for) = purchase.posted_for
        && posted_for != purchase.occurred_at
    {
        return Some(format!("the instant {}", purchase.occurred_at));
    }
    let decision = Decision::from_json(purchase.decision.as_deref()?)?;
    let base_points = decision.base_points();
    let Decision::Purchase {
        total_micros,
        tier,
        multiplier,
        policy_version,
        ..
    } = decision
    else {
        return None;
    };
    if total_micros != purchase.spend {
        Some(format!("a payment of {}", purchase.spend))
    } else if base_points != Some(purchase.base_points) {
        Some(format!("{} points by the base rule", purchase.base_points))
    } else if (tier.as_str(), policy_version) != (purchase.tier.as_str(), purchase.policy_version) {
        let (tier, version) = (&purchase.tier, purchase.policy_version);
        Some(format!("tier {tier:?} of version {version}"))
    } else if multiplier != purchase.multiplier {
        Some(format!("multiplier {}", purchase.multiplier))
    } else {
        None
    }
}

/// What a reversal leaves of the money.
fn left_after(spend: i64, reversal: Option<&Decision>) -> i64 {
    let Some(Decision::Reversal {
        asked,
        earned,
        reversed,
        adjusted,
        ..
    }) = reversal
    else {
        return spend;
    };
    match *asked {
        Asked::Whole => 0,
        Asked::Returned { original, returned } => left(spend, returned, original.max(1)),
        Asked::Points(points) if points == (earned - reversed - adjusted).max(0) => 0,
        Asked::Points(points) => left(spend, reversed + points, (*earned).max(1)),
    }
}
