//! Balances, postings and lots.

use std::collections::HashMap;

use common::db::Access;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::time::Timestamp;

use crate::State;
use crate::domain;
use crate::domain::balance::Balance;
use crate::domain::forecast::{self, Forecast, Outlook};
use crate::domain::holds::Hold;
use crate::domain::lots::Lot;
use crate::domain::program::ProgramId;
use crate::error::Error;
use crate::members as use_case;
use crate::store::balances as batches;
use crate::store::entries::{self, EntryRow};
use crate::store::holds;
use crate::store::lots::{self, SpendingKey};
use crate::store::members;
use crate::store::postings::{self, PostingRow};
use crate::store::tiers::{self, TierChangeRow};

/// Whose ledger to read.
#[derive(Debug)]
pub struct Of {
    /// The program.
    pub program_id: ProgramId,
    /// The customer.
    pub customer_id: CustomerId,
    /// Consistency token.
    pub at_least: String,
}

/// What a member can spend now, or at another instant by the entries effective by then.
pub async fn balance(state: &State, of: &Of, as_of: Option<Timestamp>) -> Result<Balance, Error> {
    let mut db = state.platform.snapshot().await?;
    use_case::get(state, &mut db, &of.program_id, &of.customer_id).await?;
    let ledger = ledger(&mut db, of, as_of, state.platform.now()).await?;
    Ok(ledger.balance())
}

/// What each of many members can spend, all from one snapshot, in the order asked for.
pub async fn balances(
    state: &State,
    program_id: &ProgramId,
    customer_ids: &[CustomerId],
    as_of: Option<Timestamp>,
) -> Result<Vec<Option<Balance>>, Error> {
    let mut db = state.platform.snapshot().await?;
    state.programs.get(&mut db, program_id).await?;
    let ids: Vec<_> = customer_ids.iter().map(CustomerId::as_str).collect();
    let debts = batches::list_debts(&mut db, program_id.as_str(), &ids).await?;
    let mut open_lots = match as_of {
        None => batches::list_open_lots(&mut db, program_id.as_str(), &ids).await?,
        Some(_) => HashMap::new(),
    };
    let now = state.platform.now();
    let mut balances = Vec::with_capacity(customer_ids.len());
    for customer_id in customer_ids {
        let Some(debt) = debts.get(customer_id) else {
            balances.push(None);
            continue;
        };
        let lots = open_lots.remove(customer_id).unwrap_or_default();
        let balance = if as_of.is_none() && lots.iter().all(|lot| lot.held == 0) {
            Balance::of(&lots, *debt, now)
        } else {
            let of = Of {
                program_id: program_id.clone(),
                customer_id: customer_id.clone(),
                at_least: String::new(),
            };
            ledger(&mut db, &of, as_of, now).await?.balance()
        };
        balances.push(Some(balance));
    }
    Ok(balances)
}

/// Which of a member's points expire when, seen from now or from another instant.
pub async fn forecast(
    state: &State,
    of: &Of,
    outlook: Outlook,
    as_of: Option<Timestamp>,
) -> Result<Forecast, Error> {
    let mut db = state.platform.snapshot().await?;
    use_case::get(state, &mut db, &of.program_id, &of.customer_id).await?;
    let mut ledger = ledger(&mut db, of, as_of, state.platform.now()).await?;
    ledger.settle();
    Ok(forecast::forecast(&ledger.lots, outlook, ledger.as_of))
}

/// What a member's timed-out holds change by repaying debt, as nothing has noticed them yet.
pub async fn repaid(
    db: &mut impl Access,
    of: &Of,
    as_of: Option<Timestamp>,
    now: Timestamp,
) -> Result<Repaid, Error> {
    let paid = ledger(db, of, as_of, now).await?;
    let debt = paid.debt;
    let unpaid = Ledger {
        debt: 0,
        ..paid.clone()
    };
    let (unpaid, paid) = (unpaid.balance(), paid.balance());
    Ok(Repaid {
        available: unpaid.available - paid.available,
        debt: debt - paid.debt,
    })
}

/// Debt that is repaid, in points available.
#[derive(Debug)]
pub struct Repaid {
    /// So much less is available.
    pub available: i64,
    /// So much less is owed.
    pub debt: i64,
}

/// A member's ledger at an instant.
#[derive(Clone)]
struct Ledger {
    lots: Vec<Lot>,
    open: Vec<Hold>,
    debt: i64,
    as_of: Timestamp,
}

/// A member's ledger as it is, or at another instant by the entries effective by then.
async fn ledger(
    db: &mut impl Access,
    of: &Of,
    as_of: Option<Timestamp>,
    now: Timestamp,
) -> Result<Ledger, Error> {
    let (program_id, customer_id) = (of.program_id.as_str(), &of.customer_id);
    let Some(as_of) = as_of else {
        let lots = lots::list_open(db, customer_id, program_id, "").await?;
        let debt = members::get_debt(db, customer_id, program_id).await?;
        let mut open = Vec::new();
        if lots.iter().any(|lot| lot.held > 0) {
            open = holds::list_open(db, customer_id, program_id).await?;
        }
        let open = open.into_iter().map(|stored| stored.hold).collect();
        return Ok(Ledger {
            lots,
            open,
            debt,
            as_of: now,
        });
    };
    let lots = lots::list_open_at(db, customer_id, program_id, as_of).await?;
    let debt = entries::get_debt_at(db, customer_id, program_id, as_of).await?;
    let open = holds::list_open_at(db, customer_id, program_id, as_of).await?;
    Ok(Ledger {
        lots,
        open,
        debt,
        as_of,
    })
}

impl Ledger {
    /// Adds up what is left once the holds that have timed out have let go.
    fn balance(mut self) -> Balance {
        self.settle();
        Balance::of(&self.lots, self.debt, self.as_of)
    }

    /// Lets the holds that have timed out go.
    fn settle(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.debt = domain::holds::settle(&mut self.lots, open, self.debt, self.as_of);
    }
}

/// A page of postings with their entries, the latest first, and the token of the next one.
pub async fn transactions(
    state: &State,
    of: &Of,
    page: &PageRequest,
) -> Result<(Vec<(PostingRow, Vec<EntryRow>)>, String), Error> {
    let mut db = state.platform.snapshot().await?;
    let (program_id, customer_id) = (of.program_id.as_str(), &of.customer_id);
    use_case::get(state, &mut db, &of.program_id, customer_id).await?;
    let before: i64 = page.after().unwrap_or(i64::MAX);
    let mut rows = postings::list(&mut db, customer_id, program_id, before, page.size + 1).await?;
    let next = page.cut(&mut rows, |row| row.revision);
    let ids: Vec<_> = rows.iter().map(|row| row.posting_id.as_str()).collect();
    let mut lines: HashMap<String, Vec<EntryRow>> = HashMap::new();
    for (posting_id, entry) in entries::list(&mut db, customer_id, &ids).await? {
        lines.entry(posting_id).or_default().push(entry);
    }
    let with_lines = |row: PostingRow| {
        let lines = lines.remove(&row.posting_id).unwrap_or_default();
        (row, lines)
    };
    Ok((rows.into_iter().map(with_lines).collect(), next))
}

/// A page of lots in the order of spending, each with its posting, and the token of the next one.
pub async fn lots(
    state: &State,
    of: &Of,
    page: &PageRequest,
) -> Result<(Vec<(Lot, String)>, String), Error> {
    let mut db = state.platform.snapshot().await?;
    let (program_id, customer_id) = (of.program_id.as_str(), &of.customer_id);
    use_case::get(state, &mut db, &of.program_id, customer_id).await?;
    let after: SpendingKey = page.after().unwrap_or((i64::MIN, i64::MIN, String::new()));
    let mut rows = lots::list(&mut db, customer_id, program_id, &after, page.size + 1).await?;
    let next = page.cut(&mut rows, |(lot, _)| {
        let (expires_at, earned_at, lot_id) = lot.spending_order();
        (expires_at.micros(), earned_at.micros(), lot_id.to_owned())
    });
    Ok((rows, next))
}

/// A page of tier changes, the latest first, and the token of the next one.
pub async fn tier_history(
    state: &State,
    of: &Of,
    page: &PageRequest,
) -> Result<(Vec<TierChangeRow>, String), Error> {
    let mut db = state.platform.snapshot().await?;
    let (program_id, customer_id) = (of.program_id.as_str(), &of.customer_id);
    use_case::get(state, &mut db, &of.program_id, customer_id).await?;
    let before: i64 = page.after().unwrap_or(i64::MAX);
    let mut rows = tiers::list(&mut db, customer_id, program_id, before, page.size + 1).await?;
    let next = page.cut(&mut rows, |row| row.revision);
    Ok((rows, next))
}
