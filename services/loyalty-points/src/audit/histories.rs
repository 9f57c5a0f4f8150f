//! Replays the postings of members, and compares what is stored of them with what these come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::db::Snapshot;

use super::divergence::{Kind, Stop, Where, diverged};
use super::{facts, holds, lots, refundable, tiers};
use crate::State;
use crate::domain::currency::Wallet;
use crate::domain::program::{Program, ProgramId};
use crate::domain::replay::Ledger;
use crate::error::Error;
use crate::store::histories::{self, Range};
use crate::store::seals;

/// Customers compared in one snapshot.
pub(super) const CUSTOMERS_AT_ONCE: i64 = 100;
/// Postings read at once.
const POSTINGS_AT_ONCE: i64 = 1000;

/// Whose ledger: customer, program and currency.
pub(super) type LedgerOf = (String, String, Wallet);
pub(super) type Ledgers = BTreeMap<LedgerOf, Ledger>;
/// The programs that the ledgers are of.
pub(super) type Programs = BTreeMap<String, Arc<Program>>;

/// Compares the next customers after one; returns the last of them, or `None` at the end.
pub(super) async fn compare(state: &State, after: &str) -> Result<Option<String>, Stop> {
    let mut db = state.platform.snapshot().await?;
    let customers = histories::list_customers(&mut db, after, CUSTOMERS_AT_ONCE).await?;
    let Some(to) = customers.last() else {
        return Ok(None);
    };
    let range = Range { after, to };
    let (mut ledgers, programs) = ledgers(state, &mut db, range).await?;
    let stored = histories::list_lots(&mut db, range).await?;
    let extended = histories::list_extensions(&mut db, range).await?;
    lots::compare(&mut ledgers, &programs, stored, extended)?;
    let stored = histories::list_holds(&mut db, range).await?;
    let pins = histories::list_pins(&mut db, range).await?;
    holds::compare(&mut ledgers, stored, pins)?;
    refundable::compare(&mut db, range).await?;
    for member in histories::list_tiers(&mut db, range).await? {
        let own = ledgers.iter().filter(|((customer_id, program_id, _), _)| {
            (customer_id, program_id) == (&member.customer_id, &member.program_id)
        });
        let posted_at = own.filter_map(|(_, ledger)| ledger.posted_at).max();
        tiers::compare(state, &mut db, &member, posted_at).await?;
    }
    Ok(Some(to.clone()))
}

/// Replays the customers' postings.
async fn ledgers(
    state: &State,
    db: &mut Snapshot,
    range: Range<'_>,
) -> Result<(Ledgers, Programs), Stop> {
    let (mut ledgers, mut programs) = (Ledgers::new(), Programs::new());
    let mut after = (range.after.to_owned(), i64::MAX);
    loop {
        let start = (after.0.as_str(), after.1);
        let page = histories::list_postings(db, start, range.to, POSTINGS_AT_ONCE).await?;
        let Some(last) = page.last() else {
            return Ok((ledgers, programs));
        };
        after = (last.customer_id.to_string(), last.revision);
        let keys: Vec<_> = page.iter().map(seals::key).collect();
        let entries = seals::list_entries(db, &keys).await?;
        for (posting, key) in page.iter().zip(&keys) {
            let at = || Where {
                customer_id: key.customer_id.clone(),
                program_id: posting.program_id.clone(),
                posting_id: key.posting_id.clone(),
                wallet: Some(posting.wallet.clone()),
                ..Where::default()
            };
            let wallet = posting.wallet.clone();
            let member = (key.customer_id.clone(), posting.program_id.clone(), wallet);
            let ledger = ledgers.entry(member).or_default();
            let lines = entries.get(key).map_or(&[][..], Vec::as_slice);
            if !programs.contains_key(&posting.program_id) {
                let program_id = ProgramId::parse(&posting.program_id);
                let program_id = program_id.map_err(common::Error::Internal)?;
                let program = match state.programs.get(db, &program_id).await {
                    Ok(program) => program,
                    Err(Error::Platform(error)) => return Err(error.into()),
                    Err(gone) => {
                        let description = gone.to_string();
                        return Err(diverged(Kind::PostingImpossible, at(), description));
                    }
                };
                programs.insert(posting.program_id.clone(), program);
            }
            let program = &programs[&posting.program_id];
            if let Err(description) = facts::apply(ledger, program, posting, lines) {
                return Err(diverged(Kind::PostingImpossible, at(), description));
            }
        }
    }
}
