//! What is noted of a merge: what went over, and what repaid debt at once.

use std::collections::BTreeMap;

use common::ids::CustomerId;

use super::{Amounts, MovedLot};
use crate::domain::currency::Wallet;
use crate::domain::merge::Repaid;
use crate::store::merge_parts::PartRow;

/// What of a member went along with a merge.
pub(super) fn amounts(parts: &[PartRow], absorbed: &CustomerId) -> Amounts {
    let mut amounts = Amounts::new();
    for part in parts
        .iter()
        .filter(|part| part.customer_id == absorbed.as_str())
    {
        let amount = amounts.entry(part.wallet.clone()).or_default();
        match part.kind.as_str() {
            "lot" => {
                amount.points += part.points;
                amount.lots.push(MovedLot {
                    from_lot_id: part.lot_id.clone().unwrap_or_default(),
                    lot_id: part.to_lot_id.clone().unwrap_or_default(),
                    is_new: false,
                    points: part.points,
                    posting_id: part.received_by.clone().unwrap_or_default(),
                });
            }
            "debt" => amount.debt += part.points,
            _ => {}
        }
    }
    amounts
}

/// What of a member's lots repaid debt when a merge brought it or them.
pub(super) fn repaid(parts: &[PartRow], holder: &CustomerId, wallet: &Wallet) -> Vec<Repaid> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for part in parts {
        let is_own = part.customer_id == holder.as_str() && part.wallet == *wallet;
        if let Some(lot_id) = part
            .lot_id
            .as_deref()
            .filter(|_| is_own && part.kind == "repaid")
        {
            *sums.entry(lot_id).or_default() += part.points;
        }
    }
    let repaid = |(lot_id, points): (&str, i64)| Repaid {
        lot_id: lot_id.to_owned(),
        points,
    };
    sums.into_iter().map(repaid).collect()
}

/// Points that left one lot for another.
pub(super) fn lot_part(
    wallet: &Wallet,
    (from, lot_id): (&CustomerId, &str),
    (to, to_lot_id): (&CustomerId, &str),
    points: i64,
) -> PartRow {
    PartRow {
        kind: "lot".to_owned(),
        wallet: wallet.clone(),
        customer_id: from.to_string(),
        lot_id: Some(lot_id.to_owned()),
        to_customer_id: Some(to.to_string()),
        to_lot_id: Some(to_lot_id.to_owned()),
        points,
        received_by: None,
    }
}

/// Debt that went along with a member; negative where it was given back.
pub(super) fn debt_part(of: &CustomerId, wallet: &Wallet, points: i64) -> PartRow {
    PartRow {
        kind: "debt".to_owned(),
        wallet: wallet.clone(),
        customer_id: of.to_string(),
        lot_id: None,
        to_customer_id: None,
        to_lot_id: None,
        points,
        received_by: None,
    }
}
