//! Compares what is stored of holds, and of what they have of which lots, with what was posted.

use std::collections::{BTreeMap, BTreeSet};

use super::divergence::{Kind, Stop, Where, diverged};
use super::histories::{LedgerOf, Ledgers};
use crate::domain::currency::Wallet;
use crate::domain::replay::PinFacts;
use crate::store::histories::{HoldRow, PinRow};

/// Compares all holds of some customers with the ledgers that have them.
pub(super) fn compare(
    ledgers: &mut Ledgers,
    stored: Vec<HoldRow>,
    pins: Vec<PinRow>,
) -> Result<(), Stop> {
    let mut pinned: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    let mut not_held = BTreeSet::new();
    for pin in pins {
        let facts = PinFacts {
            points: pin.points,
            captured: pin.captured,
            released: pin.released,
        };
        if pin.held != facts.held() {
            not_held.insert(pin.hold_id.clone());
        }
        let of_hold: &mut BTreeMap<_, _> =
            pinned.entry((pin.customer_id, pin.hold_id)).or_default();
        of_hold.insert(pin.lot_id, facts);
    }
    for row in stored {
        let member = (
            row.customer_id.clone(),
            row.program_id.clone(),
            row.wallet.clone(),
        );
        let pins = pinned.remove(&(row.customer_id.clone(), row.hold_id.clone()));
        let found = ledgers
            .get_mut(&member)
            .and_then(|ledger| ledger.holds.remove(&row.hold_id));
        let at = at_hold(member, row.hold_id.clone());
        let Some(found) = found else {
            return Err(diverged(Kind::Hold, at, "it is stored and was not posted"));
        };
        let sum = PinFacts {
            points: row.points,
            captured: row.captured,
            released: row.released,
        };
        let told = (&row.reason, &row.actor);
        let is_state = match found.closed(row.expires_at) {
            None => row.state == "authorized" && row.closed_at.is_none(),
            Some((states, closed_at)) => {
                states.contains(&row.state.as_str()) && row.closed_at == Some(closed_at)
            }
        };
        let wrong = if sum != found.sum() {
            Some(format!("{sum:?} is stored, {:?} was posted", found.sum()))
        } else if pins.as_ref() != Some(&found.pins) {
            let posted = &found.pins;
            Some(format!("of lots {pins:?} is stored, {posted:?} was posted"))
        } else if !is_state {
            Some(format!(
                "it is stored as {} at {:?}, which was not posted",
                row.state, row.closed_at
            ))
        } else if (row.revision, row.created_at) != (found.revision, found.created_at) {
            Some("it was made by another posting".to_owned())
        } else if row.held != sum.held() || not_held.contains(&row.hold_id) {
            Some(format!("{} is stored as held, {} is", row.held, sum.held()))
        } else if found
            .expires_at
            .is_some_and(|expires_at| expires_at != row.expires_at)
        {
            Some("it times out at another instant than stored".to_owned())
        } else if told != (&found.reason, &found.actor) {
            Some("its reason or who asked for it is not what was posted".to_owned())
        } else {
            None
        };
        if let Some(description) = wrong {
            return Err(diverged(Kind::Hold, at, description));
        }
    }
    if let Some(((customer_id, hold_id), _)) = pinned.pop_first() {
        let at = at_hold((customer_id, String::new(), Wallet::first()), hold_id);
        return Err(diverged(Kind::Hold, at, "it has lots and is not stored"));
    }
    for (member, ledger) in ledgers {
        if let Some((hold_id, _)) = ledger.holds.first_key_value() {
            let at = at_hold(member.clone(), hold_id.clone());
            return Err(diverged(Kind::Hold, at, "it was posted and is not stored"));
        }
    }
    Ok(())
}

fn at_hold((customer_id, program_id, wallet): LedgerOf, hold_id: String) -> Where {
    Where {
        wallet: Some(wallet),
        customer_id,
        program_id,
        hold_id,
        ..Where::default()
    }
}
