//! Compares what is stored of members with what their postings come to: how each lot was used up, holds, tiers.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use common::db::Snapshot;
use common::ids::CustomerId;
use common::time::Timestamp;

use super::verify::{Kind, Stop, Where, diverged};
use super::{facts, refundable};
use crate::State;
use crate::domain::currency::Wallet;
use crate::domain::program::ProgramId;
use crate::domain::replay::{Ledger, PinFacts};
use crate::store::histories::{self, HoldRow, LotRow, PinRow, Range, TierRow};
use crate::store::seals;
use crate::tiers::reads;

/// Customers compared in one snapshot.
const CUSTOMERS_AT_ONCE: i64 = 100;
/// Postings read at once.
const POSTINGS_AT_ONCE: i64 = 1000;

/// Whose ledger: customer, program and currency.
type LedgerOf = (String, String, Wallet);
type Ledgers = BTreeMap<LedgerOf, Ledger>;

/// Compares the next customers after one; returns the last of them, or `None` at the end.
pub(super) async fn compare(state: &State, after: &str) -> Result<Option<String>, Stop> {
    let mut db = state.platform.snapshot().await?;
    let customers = histories::list_customers(&mut db, after, CUSTOMERS_AT_ONCE).await?;
    let Some(to) = customers.last() else {
        return Ok(None);
    };
    let range = Range { after, to };
    let mut ledgers = ledgers(&mut db, range).await?;
    let lots = histories::list_lots(&mut db, range).await?;
    compare_lots(&mut ledgers, lots)?;
    let holds = histories::list_holds(&mut db, range).await?;
    let pins = histories::list_pins(&mut db, range).await?;
    compare_holds(&mut ledgers, holds, pins)?;
    refundable::compare(&mut db, range).await?;
    for member in histories::list_tiers(&mut db, range).await? {
        let own = ledgers.iter().filter(|((customer_id, program_id, _), _)| {
            (customer_id, program_id) == (&member.customer_id, &member.program_id)
        });
        let posted_at = own.filter_map(|(_, ledger)| ledger.posted_at).max();
        compare_tier(state, &mut db, &member, posted_at).await?;
    }
    Ok(Some(to.clone()))
}

/// Replays the customers' postings.
async fn ledgers(db: &mut Snapshot, range: Range<'_>) -> Result<Ledgers, Stop> {
    let mut ledgers = Ledgers::new();
    let mut after = (range.after.to_owned(), i64::MAX);
    loop {
        let start = (after.0.as_str(), after.1);
        let page = histories::list_postings(db, start, range.to, POSTINGS_AT_ONCE).await?;
        let Some(last) = page.last() else {
            return Ok(ledgers);
        };
        after = (last.customer_id.to_string(), last.revision);
        let keys: Vec<_> = page.iter().map(seals::key).collect();
        let entries = seals::list_entries(db, &keys).await?;
        for (posting, key) in page.iter().zip(&keys) {
            let wallet = posting.wallet.clone();
            let member = (key.customer_id.clone(), posting.program_id.clone(), wallet);
            let ledger = ledgers.entry(member).or_default();
            let lines = entries.get(key).map_or(&[][..], Vec::as_slice);
            if let Err(description) = facts::apply(ledger, posting, lines) {
                let at = Where {
                    customer_id: key.customer_id.clone(),
                    program_id: posting.program_id.clone(),
                    posting_id: key.posting_id.clone(),
                    wallet: Some(posting.wallet.clone()),
                    ..Where::default()
                };
                return Err(diverged(Kind::PostingImpossible, at, description));
            }
        }
    }
}

fn compare_lots(ledgers: &mut Ledgers, stored: Vec<LotRow>) -> Result<(), Stop> {
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
        let description = if let Some((name, stored, posted)) = wrong {
            Some(format!("{name} {stored} is stored, {posted} was posted"))
        } else if row.posting_id != found.posting_id {
            Some(format!("transaction {} made it", found.posting_id))
        } else if found
            .earned_at
            .is_some_and(|earned_at| earned_at != row.earned_at)
        {
            Some("it was earned at another instant than stored".to_owned())
        } else if row.extended_to.is_some() && row.extended_to != row.expires_at {
            Some("it was extended until another instant than stored".to_owned())
        } else if row.cancelled_at != row.cancelled_by {
            Some("it was cancelled at another instant than stored, or never".to_owned())
        } else if row.activated_by.is_some() && row.activates_at != row.activated_by {
            Some("its event came at another instant than stored".to_owned())
        } else if found
            .spent_at
            .is_some_and(|spent_at| row.activates_at.is_none_or(|from| from > spent_at))
        {
            Some("it was spent from before it could be".to_owned())
        } else {
            None
        };
        if let Some(description) = description {
            return Err(diverged(Kind::Lot, at_lot(member, row.lot_id), description));
        }
    }
    for (member, ledger) in ledgers {
        if let Some((lot_id, _)) = ledger.lots.first_key_value() {
            let at = at_lot(member.clone(), lot_id.clone());
            return Err(diverged(Kind::Lot, at, "it was posted and is not stored"));
        }
    }
    Ok(())
}

fn compare_holds(
    ledgers: &mut Ledgers,
    stored: Vec<HoldRow>,
    pins: Vec<PinRow>,
) -> Result<(), Stop> {
    let mut pinned: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for pin in pins {
        let facts = PinFacts {
            points: pin.points,
            captured: pin.captured,
            released: pin.released,
        };
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

/// Decides a tier anew from what counts, all of which was compared before. A stored tier stands for an instant before
/// `tier_valid_until`, and before another version of the policy took over: one that either has overtaken is not
/// wrong, readers notice.
async fn compare_tier(
    state: &State,
    db: &mut Snapshot,
    row: &TierRow,
    posted_at: Option<Timestamp>,
) -> Result<(), Stop> {
    let program_id = ProgramId::parse(&row.program_id).map_err(common::Error::Internal)?;
    let customer_id = CustomerId::parse(&row.customer_id).map_err(common::Error::Internal)?;
    let program = state
        .programs
        .holding(db, &row.program_id, row.tier_policy)
        .await?;
    let later = program.policies.all().iter();
    let later = later.filter(|version| version.version > row.tier_policy);
    let replaced_at = later.map(|version| version.effective_at).min();
    // What a replica whose clock is ahead has written counts.
    let written = posted_at.into_iter().chain(row.changed_at).max();
    let mut as_of = state
        .platform
        .now()
        .max(written.unwrap_or(Timestamp::EPOCH));
    let overtaken = row.tier_valid_until.into_iter().chain(replaced_at).min();
    if let Some(overtaken) = overtaken.filter(|overtaken| *overtaken <= as_of) {
        as_of = overtaken - TimeDelta::microseconds(1);
    }
    if written.is_some_and(|written| written > as_of) {
        // Replaced at the very instant at which it was decided.
        return Ok(());
    }
    let Some(held) = reads::held_at(state, db, &program_id, &customer_id, as_of).await? else {
        return Ok(());
    };
    let earliest = |until: Option<Timestamp>| until.into_iter().chain(replaced_at).min();
    let (amount, version) = (held.basis.earned.amount, held.basis.version.version);
    let description = if row.tier_policy != version {
        let stored = row.tier_policy;
        format!("it is stored as decided by version {stored} of the policy, {version} holds")
    } else if row.tier_points != amount {
        format!("{} qualifying is stored, {amount} counts", row.tier_points)
    } else if row.tier != held.tier {
        format!("{} is stored, the policy says {}", row.tier, held.tier)
    } else if row
        .earned_tier
        .as_ref()
        .is_some_and(|earned| earned != held.basis.earned_tier())
    {
        format!(
            "{:?} is stored as earned, the policy says {}",
            row.earned_tier,
            held.basis.earned_tier()
        )
    } else if earliest(row.tier_valid_until) != earliest(held.valid_until) {
        "it is stored to stand until another instant than the policy says".to_owned()
    } else if row.changed_to.as_ref() != Some(&row.tier) {
        format!(
            "{} is stored, the last change was to {:?}",
            row.tier, row.changed_to
        )
    } else if row.changed_at != Some(row.tier_since) {
        "it is stored to be since another instant than its last change".to_owned()
    } else {
        return Ok(());
    };
    let at = Where {
        customer_id: row.customer_id.clone(),
        program_id: row.program_id.clone(),
        ..Where::default()
    };
    Err(diverged(Kind::Tier, at, description))
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

fn at_hold((customer_id, program_id, wallet): LedgerOf, hold_id: String) -> Where {
    Where {
        wallet: Some(wallet),
        customer_id,
        program_id,
        hold_id,
        ..Where::default()
    }
}
