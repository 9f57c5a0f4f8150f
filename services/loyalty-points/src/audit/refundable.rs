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

/// What is left of a purchase is what its reversals leave, and nothing once it is voided; of a member who is closed
/// nothing is taken back any more.
fn compare_purchase(reversals: &Reversals, purchase: PurchaseRow) -> Result<(), Stop> {
    let PurchaseRow {
        customer_id,
        program_id,
        transaction_id,
        spend,
        remaining,
        voided,
        closed,
        posting_id,
        decision,
    } = purchase;
    let posting_id = posting_id.unwrap_or_default();
    let key = (customer_id, posting_id);
    let taken = reversals.get(&key).into_iter().flatten();
    let left = taken.map(|taken| left_after(spend, taken.as_ref()));
    let by_reversals = left.min().unwrap_or(spend);
    let is_untold = reversals.get(&key).is_some_and(|all| all.contains(&None));
    let posted = if voided { 0 } else { by_reversals };
    let paid = match decision.as_deref().and_then(Decision::from_json) {
        Some(Decision::Purchase { total_micros, .. }) => total_micros,
        _ => spend,
    };
    let description = if paid != spend {
        format!("{spend} is stored as paid for {transaction_id}, the earning says {paid}")
    } else if remaining == posted || (closed && remaining == by_reversals) || is_untold {
        return Ok(());
    } else {
        format!("{remaining} is stored as left of {transaction_id}, {posted} is")
    };
    let (customer_id, posting_id) = key;
    let at = Where {
        customer_id,
        posting_id,
        program_id,
        ..Where::default()
    };
    Err(diverged(Kind::Purchase, at, description))
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
