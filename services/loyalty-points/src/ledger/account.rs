//! The account that is posted to.

use std::sync::Arc;

use common::ids::CustomerId;

use super::{holds, merges};
use crate::State;
use crate::domain::balance::Balance;
use crate::domain::currency::{CurrencyCode, Wallet};
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::programs;
use crate::store::accounts::AccountKey;
use crate::store::members::{Lock, Standing};
use crate::tiers;
use crate::work::Work;

/// Whose ledger to post to.
#[derive(Debug, Clone)]
pub struct Account {
    /// The program.
    pub program_id: ProgramId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The currency; absent: the program's first, or that of what the request names.
    pub currency: Option<CurrencyCode>,
    /// Token to wait for.
    pub at_least: String,
    /// Who asks for it; absent: the service itself.
    pub actor: Option<String>,
}

impl Account {
    /// The currency in a program.
    fn wallet_of(&self, program: &Program) -> Result<Wallet, Error> {
        programs::wallet_of(program, self.currency.as_ref())
    }

    fn key<'a>(&'a self, wallet: &'a Wallet) -> AccountKey<'a> {
        AccountKey {
            customer_id: &self.customer_id,
            program_id: self.program_id.as_str(),
            wallet,
        }
    }

    pub(super) fn not_found(&self) -> Error {
        Error::MemberNotFound {
            program_id: self.program_id.clone(),
            customer_id: self.customer_id.clone(),
        }
    }
}

/// Locks the customer and reads what any decision about the member needs.
pub(super) async fn open(
    state: &State,
    work: &mut Work<'_>,
    account: &Account,
) -> Result<(Arc<Program>, Lock, Standing), Error> {
    let (program, mut lock) = lock(state, work, account).await?;
    let standing = standing(state, work, &mut lock, &program, account).await?;
    Ok((program, lock, standing))
}

/// The same, also of a member who was merged: for what began before.
pub(super) async fn open_begun(
    state: &State,
    work: &mut Work<'_>,
    account: &Account,
) -> Result<(Arc<Program>, Lock, Standing), Error> {
    let (program, mut lock) = lock(state, work, account).await?;
    merges::lock_on(work, &program, &account.customer_id).await?;
    let standing = begun(state, work, &mut lock, &program, account).await?;
    Ok((program, lock, standing))
}

async fn lock(
    state: &State,
    work: &mut Work<'_>,
    account: &Account,
) -> Result<(Arc<Program>, Lock), Error> {
    let program = state.programs.get(work.tx(), &account.program_id).await?;
    let lock = work.lock(&account.customer_id).await?;
    Ok((program, lock.ok_or_else(|| account.not_found())?))
}

/// Reads what any decision about the member needs. The customer is locked.
pub(super) async fn standing(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    program: &Program,
    account: &Account,
) -> Result<Standing, Error> {
    let wallet = account.wallet_of(program)?;
    if let Some(standing) = work.standing(account.key(&wallet)).await? {
        merges::check_stands(&standing)?;
    }
    begun(state, work, lock, program, account).await
}

/// The same, also of a member who was merged.
async fn begun(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    program: &Program,
    account: &Account,
) -> Result<Standing, Error> {
    let wallet = account.wallet_of(program)?;
    let standing = work.standing(account.key(&wallet)).await?;
    let mut standing = standing.ok_or_else(|| account.not_found())?;
    if standing.member.is_closed() {
        return Err(Error::MemberClosed(account.customer_id.clone()));
    }
    tiers::follow(state, work, lock, &mut standing).await?;
    holds::let_go_timed_out(state, work, lock, program, standing).await
}

/// What a locked member can spend now in one currency.
pub(super) async fn balance(
    work: &mut Work<'_>,
    account: AccountKey<'_>,
) -> Result<Balance, Error> {
    let standing = work.standing(account).await?;
    let debt = standing.map_or(0, |standing| standing.holding().debt);
    let now = work.now();
    Ok(Balance::of(work.each_open_lot(account).await?, debt, now))
}

/// Turns a member to the account of what a request names.
pub(super) async fn turn_to(
    work: &mut Work<'_>,
    standing: &mut Standing,
    wallet: &Wallet,
) -> Result<(), Error> {
    if standing.wallet() == wallet {
        return Ok(());
    }
    let account = AccountKey {
        wallet,
        ..standing.key()
    };
    let turned = work.standing(account).await?;
    *standing = turned.expect("the member is locked");
    Ok(())
}
