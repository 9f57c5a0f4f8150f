//! Compares what is stored of lots with what was posted: how each was used up, and from when on and until when it can be
//! spent.

use std::collections::BTreeMap;

use super::divergence::{Kind, Stop, Where, diverged};
use super::histories::{LedgerOf, Ledgers, Programs};
use crate::domain::program::Program;
use crate::domain::replay::LotFacts;
use crate::store::histories::{ExtensionRow, LotRow};

/// The extensions of lots, by customer and lot, those of each lot in order.
type Extensions = BTreeMap<(String, String), Vec<ExtensionRow>>;

/// Compares all lots of some customers with the ledgers that have them.
pub(super) fn compare(
    ledgers: &mut Ledgers,
    programs: &Programs,
    stored: Vec<LotRow>,
    extended: Vec<ExtensionRow>,
) -> Result<(), Stop> {
    let mut extensions = Extensions::new();
    for row in extended {
        let key = (row.customer_id.clone(), row.lot_id.clone());
        extensions.entry(key).or_default().push(row);
    }
    for row in stored {
        let member = (
            row.customer_id.clone(),
            row.program_id.clone(),
            row.wallet.clone(),
        );
        let found = ledgers
            .get_mut(&member)
            .and_then(|ledger| ledger.lots.remove(&row.lot_id));
        let found = found.unwrap_or_default();
        let extended = extensions.remove(&(row.customer_id.clone(), row.lot_id.clone()));
        let program = programs.get(&row.program_id).map(AsRef::as_ref);
        let wrong = wrong_amount(&row, &found)
            .or_else(|| wrong_instant(&row, &found))
            .or_else(|| wrong_terms(&row, &found, (program, &extended.unwrap_or_default())));
        if let Some(description) = wrong {
            return Err(diverged(Kind::Lot, at_lot(member, row.lot_id), description));
        }
    }
    if let Some(((customer_id, lot_id), rows)) = extensions.pop_first() {
        let at = Where {
            customer_id,
            lot_id,
            program_id: rows
                .into_iter()
                .next()
                .map_or_else(String::new, |row| row.program_id),
            ..Where::default()
        };
        return Err(diverged(Kind::Lot, at, "it was extended and is not stored"));
    }
    for (member, ledger) in ledgers {
        if let Some((lot_id, _)) = ledger.lots.first_key_value() {
            let at = at_lot(member.clone(), lot_id.clone());
            return Err(diverged(Kind::Lot, at, "it was posted and is not stored"));
        }
    }
    Ok(())
}

fn wrong_amount(row: &LotRow, found: &LotFacts) -> Option<String> {
    let told = [
        ("original", row.original, found.original),
        ("remaining", row.remaining, found.remaining),
        ("held", row.held, found.held),
        ("consumed", row.consumed, found.consumed),
        ("expired", row.expired, found.expired),
        ("reversed", row.reversed, found.reversed),
        ("qualifying", row.qualifying, found.qualifying),
    ];
    let wrong = told
        .into_iter()
        .find(|(_, stored, posted)| stored != posted);
    wrong.map(|(name, stored, posted)| format!("{name} {stored} is stored, {posted} was posted"))
}

fn wrong_instant(row: &LotRow, found: &LotFacts) -> Option<String> {
    let description = if row.posting_id != found.posting_id {
        return Some(format!("transaction {} made it", found.posting_id));
    } else if found
        .earned_at
        .is_some_and(|earned_at| earned_at != row.earned_at)
    {
        "it was earned at another instant than stored"
    } else if row.cancelled_at != row.cancelled_by {
        "it was cancelled at another instant than stored, or never"
    } else if row.activated_by.is_some() && row.activates_at != row.activated_by {
        "its event came at another instant than stored"
    } else if found
        .spent_at
        .is_some_and(|spent_at| row.activates_at.is_none_or(|from| from > spent_at))
    {
        "it was spent from before it could be"
    } else {
        return None;
    };
    Some(description.to_owned())
}

/// From when on and until when it can be spent: as its posting says, or its activation, or else its extensions, each of
/// which moves on what was before. Postings from before they told say nothing: then only the extensions count.
fn wrong_terms(
    row: &LotRow,
    found: &LotFacts,
    (program, extensions): (Option<&Program>, &[ExtensionRow]),
) -> Option<String> {
    let terms = found.terms.zip(program);
    let terms = terms
        .map(|(terms, program)| terms.once_activated(row.activated_by, (program, &row.wallet)));
    if let Some((activates_at, _)) = terms.filter(|(from, _)| *from != row.activates_at) {
        let posted = activates_at.map_or_else(
            || "it waits for an event".to_owned(),
            |at| format!("it can be spent from {at} on"),
        );
        return Some(match row.activates_at {
            Some(at) => format!("{posted}, {at} is stored"),
            None => format!("{posted}, that it waits for an event is stored"),
        });
    }
    let mut expires_at = terms.map(|(_, expires_at)| expires_at);
    for extension in extensions {
        if row.program_id != extension.program_id {
            return Some("it was extended in another program".to_owned());
        }
        let from = Some(extension.from_expires_at);
        if expires_at.is_some_and(|before| before != from) {
            return Some("it was extended from another instant than it expired at".to_owned());
        }
        expires_at = Some(Some(extension.to_expires_at));
    }
    let expires_at = expires_at.filter(|expires_at| *expires_at != row.expires_at)?;
    let told = expires_at.map_or_else(
        || "never expires".to_owned(),
        |at| format!("expires at {at}"),
    );
    Some(match row.expires_at {
        Some(at) => format!("it {told}, {at} is stored"),
        None => format!("it {told}, that it never does is stored"),
    })
}

fn at_lot((customer_id, program_id, wallet): LedgerOf, lot_id: String) -> Where {
    Where {
        wallet: Some(wallet),
        customer_id,
        program_id,
        lot_id,
        ..Where::default()
    }
}
