//! Balances, postings and lots.

use std::collections::HashMap;
use std::sync::Arc;

use common::db::Access;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::time::Timestamp;

use crate::State;
use crate::domain;
use crate::domain::balance::Balance;
use crate::domain::currency::{CurrencyCode, Wallet};
use crate::domain::forecast::{self, Forecast, Outlook};
use crate::domain::holds::Hold;
use crate::domain::known::Instants;
use crate::domain::lots::Lot;
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::members as use_case;
use crate::programs;
use crate::store::accounts::{self, AccountKey, MemberKey};
use crate::store::balances as batches;
use crate::store::entries::{self, EntryRow};
use crate::store::holds;
use crate::store::known;
use crate::store::lots::{self, SpendingKey};
use crate::store::postings::{self, PostingRow};
use crate::store::tiers::{self, TierChangeRow};

/// Whose ledger to read.
#[derive(Debug)]
pub struct Of {
    /// The program.
    pub program_id: ProgramId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The currency, where one is named.
    pub currency: Option<CurrencyCode>,
    /// Consistency token.
    pub at_least: String,
}

impl Of {
    /// The program, and the account: in its first currency where none is named.
    pub(super) async fn account(
        &self,
        state: &State,
        db: &mut impl Access,
    ) -> Result<(Arc<Program>, Wallet), Error> {
        let program = state.programs.get(db, &self.program_id).await?;
        let wallet = programs::wallet_of(&program, self.currency.as_ref())?;
        use_case::get(state, db, &self.program_id, &self.customer_id).await?;
        Ok((program, wallet))
    }

    /// The program, and the accounts: in all of its currencies where none is named.
    pub(super) async fn accounts(
        &self,
        state: &State,
        db: &mut impl Access,
    ) -> Result<(Arc<Program>, Option<Wallet>), Error> {
        let (program, wallet) = self.account(state, db).await?;
        Ok((program, self.currency.is_some().then_some(wallet)))
    }

    /// An account in one currency.
    pub(super) fn key<'a>(&'a self, wallet: &'a Wallet) -> AccountKey<'a> {
        AccountKey {
            customer_id: &self.customer_id,
            program_id: self.program_id.as_str(),
            wallet,
        }
    }

    /// Accounts in one currency or in all.
    pub(super) fn keys<'a>(&'a self, wallet: Option<&'a Wallet>) -> MemberKey<'a> {
        MemberKey {
            customer_id: &self.customer_id,
            program_id: self.program_id.as_str(),
            wallet,
        }
    }
}

/// What is told of an account, and the code of its currency.
pub type InCurrency<T> = (T, String);

/// What a member can spend now, or at another instant by the entries effective by then.
pub async fn balance(state: &State, of: &Of, at: Instants) -> Result<InCurrency<Balance>, Error> {
    let mut db = state.platform.snapshot().await?;
    let (program, wallet) = of.account(state, &mut db).await?;
    let ledger = ledger(state, &mut db, of.key(&wallet), at).await?;
    Ok((ledger.balance(), program.code_of(&wallet).to_owned()))
}

/// What a member can spend in each currency of the program, the first one first, all from one snapshot.
pub async fn all_balances(
    state: &State,
    of: &Of,
    at: Instants,
) -> Result<Vec<InCurrency<Balance>>, Error> {
    let mut db = state.platform.snapshot().await?;
    let (program, _) = of.account(state, &mut db).await?;
    let now = state.platform.now();
    let mut balances = Vec::new();
    for wallet in program.wallets() {
        let mut ledger = ledger(state, &mut db, of.key(&wallet), at).await?;
        ledger.as_of = at.as_of.unwrap_or(now);
        balances.push((ledger.balance(), program.code_of(&wallet).to_owned()));
    }
    Ok(balances)
}

/// Whose balances to read, each in the same currency.
#[derive(Debug)]
pub struct OfMany {
    /// The program.
    pub program_id: ProgramId,
    /// The customers.
    pub customer_ids: Vec<CustomerId>,
    /// The currency; absent: the program's first.
    pub currency: Option<CurrencyCode>,
}

/// What each of many members can spend, all from one snapshot, in the order asked for.
pub async fn balances(
    state: &State,
    of: &OfMany,
    at: Instants,
) -> Result<InCurrency<Vec<Option<Balance>>>, Error> {
    let mut db = state.platform.snapshot().await?;
    let program = state.programs.get(&mut db, &of.program_id).await?;
    let wallet = programs::wallet_of(&program, of.currency.as_ref())?;
    let program_id = of.program_id.as_str();
    let ids: Vec<_> = of.customer_ids.iter().map(CustomerId::as_str).collect();
    let debts = accounts::list_debts(&mut db, program_id, &wallet, &ids).await?;
    let is_present = at == Instants::default();
    let mut open_lots = if is_present {
        batches::list_open_lots(&mut db, program_id, &wallet, &ids).await?
    } else {
        HashMap::new()
    };
    let now = state.platform.now();
    let mut balances = Vec::with_capacity(ids.len());
    for customer_id in &of.customer_ids {
        let Some(debt) = debts.get(customer_id) else {
            balances.push(None);
            continue;
        };
        let lots = open_lots.remove(customer_id).unwrap_or_default();
        let balance = if is_present && lots.iter().all(|lot| lot.held == 0) {
            Balance::of(&lots, *debt, now)
        } else {
            let account = AccountKey {
                customer_id,
                program_id,
                wallet: &wallet,
            };
            ledger(state, &mut db, account, at).await?.balance()
        };
        balances.push(Some(balance));
    }
    Ok((balances, program.code_of(&wallet).to_owned()))
}

/// Which of a member's points expire when, seen from now or from another instant.
pub async fn forecast(
    state: &State,
    of: &Of,
    outlook: Outlook,
    at: Instants,
) -> Result<InCurrency<Forecast>, Error> {
    let mut db = state.platform.snapshot().await?;
    let (program, wallet) = of.account(state, &mut db).await?;
    let mut ledger = ledger(state, &mut db, of.key(&wallet), at).await?;
    ledger.settle();
    let forecast = forecast::forecast(&ledger.lots, outlook, ledger.as_of);
    Ok((forecast, program.code_of(&wallet).to_owned()))
}

/// What a member's timed-out holds change by repaying debt, as nothing has noticed them yet.
pub async fn repaid(
    state: &State,
    db: &mut impl Access,
    account: AccountKey<'_>,
    at: Instants,
) -> Result<Repaid, Error> {
    let paid = ledger(state, db, account, at).await?;
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

/// One account of a member at an instant.
#[derive(Clone)]
struct Ledger {
    lots: Vec<Lot>,
    open: Vec<Hold>,
    debt: i64,
    as_of: Timestamp,
}

/// One account of a member as it is, or at another instant by the entries effective by then.
async fn ledger(
    state: &State,
    db: &mut impl Access,
    account: AccountKey<'_>,
    at: Instants,
) -> Result<Ledger, Error> {
    let now = state.platform.now();
    if at == Instants::default() {
        let lots = lots::list_open(db, account.into(), "").await?;
        let debt = accounts::get_debt(db, account).await?;
        let mut open = Vec::new();
        if lots.iter().any(|lot| lot.held > 0) {
            open = holds::list_open(db, account.into()).await?;
        }
        let open = open.into_iter().map(|stored| stored.hold).collect();
        return Ok(Ledger {
            lots,
            open,
            debt,
            as_of: now,
        });
    }
    let as_of = at.as_of.unwrap_or(now);
    let posted_by = at.posted_by.unwrap_or(Timestamp::MAX);
    let mut lots = lots::list_open_at(db, account.into(), as_of, posted_by).await?;
    let debt = entries::get_debt_at(db, account, as_of, posted_by).await?;
    let open = holds::list_open_at(db, account.into(), as_of, posted_by).await?;
    if at.posted_by.is_some() {
        let program_id = ProgramId::parse(account.program_id).map_err(common::Error::Internal)?;
        let program = state.programs.get(db, &program_id).await?;
        let later = known::get_later(db, account, posted_by).await?;
        later.take_back(&mut lots, |at| program.expiry_of(account.wallet, at));
    }
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

/// A page of what a program's members have.
#[derive(Debug)]
pub struct Page<T> {
    /// The program, which tells the codes of currencies.
    pub program: Arc<Program>,
    /// What is on it.
    pub items: Vec<T>,
    /// Token of the next one.
    pub next_token: String,
}

/// A page of postings with their entries, the latest first.
pub async fn transactions(
    state: &State,
    of: &Of,
    page: &PageRequest,
) -> Result<Page<(PostingRow, Vec<EntryRow>)>, Error> {
    let mut db = state.platform.snapshot().await?;
    let (program, wallet) = of.accounts(state, &mut db).await?;
    let before: i64 = page.after().unwrap_or(i64::MAX);
    let keys = of.keys(wallet.as_ref());
    let mut rows = postings::list(&mut db, keys, before, page.size + 1).await?;
    let next_token = page.cut(&mut rows, |row| row.revision);
    let ids: Vec<_> = rows.iter().map(|row| row.posting_id.as_str()).collect();
    let mut lines: HashMap<String, Vec<EntryRow>> = HashMap::new();
    for (posting_id, entry) in entries::list(&mut db, &of.customer_id, &ids).await? {
        lines.entry(posting_id).or_default().push(entry);
    }
    let with_lines = |row: PostingRow| {
        let lines = lines.remove(&row.posting_id).unwrap_or_default();
        (row, lines)
    };
    Ok(Page {
        program,
        items: rows.into_iter().map(with_lines).collect(),
        next_token,
    })
}

/// A page of lots in the order of spending, each with its posting.
pub async fn lots(
    state: &State,
    of: &Of,
    page: &PageRequest,
) -> Result<Page<(Lot, String)>, Error> {
    let mut db = state.platform.snapshot().await?;
    let (program, wallet) = of.accounts(state, &mut db).await?;
    let after: SpendingKey = page.after().unwrap_or((i64::MIN, i64::MIN, String::new()));
    let keys = of.keys(wallet.as_ref());
    let mut items = lots::list(&mut db, keys, &after, page.size + 1).await?;
    let next_token = page.cut(&mut items, |(lot, _)| {
        let (expires_at, earned_at, lot_id) = lot.spending_order();
        (expires_at.micros(), earned_at.micros(), lot_id.to_owned())
    });
    Ok(Page {
        program,
        items,
        next_token,
    })
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
