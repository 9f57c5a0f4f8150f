//! Programs: kept in memory. They never change, but for tier policies that are published, and limits.
//!
//! A version that another replica has published becomes known here in one of three ways. Whatever reads a member's
//! standing or stored tier from the database reads the number of the version in force in the same statement, and
//! asks [`Programs::holding`] for it. A read with the token of the publication has [`Programs::recent`] ask the
//! database. And a tier from a cache is told by a policy that was checked at most [`CHECK_INTERVAL`] ago; while the
//! database does not answer, by what is known.
//!
//! Limits are decided on only where a member's standing was read under the lock: the same statement reads the number of
//! their latest change, and [`Programs::limited`] is asked for it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use common::db::{Access, Tx};
use common::page::PageRequest;
use common::platform::Platform;
use common::time::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::State;
use crate::domain::currency::{CurrencyCode, Wallet};
use crate::domain::known::Instants;
use crate::domain::program::{Program, ProgramId};
use crate::domain::tiers::versions::PolicyVersions;
use crate::error::Error;
use crate::ledger::reads;
use crate::store::accounts::AccountKey;
use crate::store::summary::{self, CurrencyOf};
use crate::store::{self, policies};
use crate::tiers::counts;

/// Without a token, a cached tier may be told by a policy that was replaced so long ago.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A cached tier waits no longer for such a check.
const CHECK_PATIENCE: Duration = Duration::from_millis(250);

/// The programs read so far.
#[derive(Debug, Clone, Default)]
pub struct Programs(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: RwLock<HashMap<ProgramId, Known>>,
    /// One caller checks, the others wait for what it finds.
    checking: Mutex<()>,
}

#[derive(Debug)]
struct Known {
    program: Arc<Program>,
    /// When its tier policies were last found to be all there are.
    checked: Option<Instant>,
}

impl Programs {
    /// A program, from memory or else from the database. Its latest tier policies may be missing.
    pub async fn get(
        &self,
        db: &mut impl Access,
        program_id: &ProgramId,
    ) -> Result<Arc<Program>, Error> {
        match self.known(program_id) {
            Some(program) => Ok(program),
            None => self.read(db, program_id).await,
        }
    }

    /// A program with all tier policies that the database has.
    pub async fn current(
        &self,
        db: &mut impl Access,
        program_id: &ProgramId,
    ) -> Result<Arc<Program>, Error> {
        let latest = policies::find_latest(db, program_id.as_str()).await?;
        let latest = latest.ok_or_else(|| Error::ProgramNotFound(program_id.clone()))?;
        match self.known(program_id) {
            Some(known) if known.policies.latest().version >= latest => Ok(known),
            _ => self.read(db, program_id).await,
        }
    }

    /// The tier policies of a program that a snapshot has: memory may know of a later one.
    pub async fn policies_in(
        &self,
        db: &mut impl Access,
        program_id: &ProgramId,
    ) -> Result<PolicyVersions, Error> {
        let latest = policies::find_latest(db, program_id.as_str()).await?;
        let latest = latest.ok_or_else(|| Error::ProgramNotFound(program_id.clone()))?;
        let program = self.holding(db, program_id.as_str(), latest).await?;
        Ok(program.policies.up_to(latest))
    }

    /// A program that exists, with a version of its tier policy that the database has.
    pub async fn holding(
        &self,
        db: &mut impl Access,
        program_id: &str,
        version: i64,
    ) -> Result<Arc<Program>, common::Error> {
        let program_id = ProgramId::parse(program_id).map_err(common::Error::Internal)?;
        let known = self.known(&program_id);
        if let Some(known) = known.filter(|known| known.policies.latest().version >= version) {
            return Ok(known);
        }
        self.read(db, &program_id)
            .await
            .map_err(|error| match error {
                Error::Platform(error) => error,
                missing => common::Error::Internal(missing.to_string()),
            })
    }

    /// A program that exists, with a change of its limits that the database has.
    pub async fn limited(
        &self,
        db: &mut impl Access,
        program_id: &ProgramId,
        version: i64,
    ) -> Result<Arc<Program>, Error> {
        match self.known(program_id) {
            Some(known) if known.limits.version() >= version => Ok(known),
            _ => self.read(db, program_id).await,
        }
    }

    /// A program whose tier policies were checked not long ago, and are as many as a token asks for.
    pub async fn recent(
        &self,
        platform: &Platform,
        program_id: &ProgramId,
        at_least: i64,
    ) -> Result<Arc<Program>, Error> {
        if let Some(program) = self.checked(program_id, at_least) {
            return Ok(program);
        }
        let _turn = self.0.checking.lock().await;
        if let Some(program) = self.checked(program_id, at_least) {
            return Ok(program);
        }
        let check = async {
            let mut db = platform.reader().await?;
            let begun = Instant::now();
            let program = self.current(&mut db, program_id).await?;
            self.keep(Arc::clone(&program), Some(begun));
            Ok::<_, Error>(program)
        };
        let enough = |program: &Arc<Program>| program.policies.latest().version >= at_least;
        let Some(known) = self.known(program_id).filter(enough) else {
            let program = check.await?;
            return if enough(&program) {
                Ok(program)
            } else {
                Err(common::Error::Behind.into())
            };
        };
        let failed = match tokio::time::timeout(CHECK_PATIENCE, check).await {
            Ok(Ok(program)) => return Ok(program),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(program.id = %program_id, error = failed, "tier policies could not be checked");
        self.keep(Arc::clone(&known), Some(Instant::now()));
        Ok(known)
    }

    /// Makes a program known with a tier policy that was committed.
    pub fn published(&self, program: Program) {
        self.keep(Arc::new(program), None);
    }

    /// As [`recent`](Self::recent), if nothing need be asked for it.
    pub fn checked(&self, program_id: &ProgramId, at_least: i64) -> Option<Arc<Program>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(program_id)?;
        let holds = known.program.policies.latest().version >= at_least
            && known
                .checked
                .is_some_and(|checked| checked.elapsed() < CHECK_INTERVAL);
        holds.then(|| Arc::clone(&known.program))
    }

    fn known(&self, program_id: &ProgramId) -> Option<Arc<Program>> {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .get(program_id)
            .map(|known| Arc::clone(&known.program))
    }

    async fn read(
        &self,
        db: &mut impl Access,
        program_id: &ProgramId,
    ) -> Result<Arc<Program>, Error> {
        let program = store::programs::find(db, program_id).await?;
        let program = program.ok_or_else(|| Error::ProgramNotFound(program_id.clone()))?;
        let program = Arc::new(program);
        self.keep(Arc::clone(&program), None);
        Ok(program)
    }

    /// Remembers a program, with the latest that is known of its tier policies and its limits.
    fn keep(&self, program: Arc<Program>, checked: Option<Instant>) {
        let latest = |program: &Program| program.policies.latest().version;
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(&program.program_id) {
            Some(before) if latest(&before.program) > latest(&program) => {
                if before.program.limits.version() < program.limits.version() {
                    Arc::make_mut(&mut before.program).limits = program.limits.clone();
                }
            }
            Some(before) => {
                before.checked = before.checked.max(checked);
                let known = std::mem::replace(&mut before.program, program);
                if known.limits.version() > before.program.limits.version() {
                    Arc::make_mut(&mut before.program).limits = known.limits.clone();
                }
            }
            None => {
                let program_id = program.program_id.clone();
                known.insert(program_id, Known { program, checked });
            }
        }
    }
}

/// The wallet of a currency of a program; of its first one where none is named.
pub fn wallet_of(program: &Program, currency: Option<&CurrencyCode>) -> Result<Wallet, Error> {
    let Some(currency) = currency else {
        return Ok(Wallet::first());
    };
    let unknown = || Error::CurrencyNotFound {
        program_id: program.program_id.clone(),
        currency: currency.clone(),
    };
    program.wallet(currency).ok_or_else(unknown)
}

/// Creates a program.
pub async fn create(tx: &mut Tx, program: Program) -> Result<Program, Error> {
    if !store::programs::insert(tx, &program).await? {
        return Err(Error::ProgramAlreadyExists(program.program_id));
    }
    Ok(program)
}

/// A page of programs by id, and the token of the next one.
pub async fn list(state: &State, page: &PageRequest) -> Result<(Vec<Arc<Program>>, String), Error> {
    let mut db = state.platform.snapshot().await?;
    let after: String = page.after().unwrap_or_default();
    let mut ids = store::programs::list_ids(&mut db, &after, page.size + 1).await?;
    let next = page.cut(&mut ids, Clone::clone);
    let mut programs = Vec::with_capacity(ids.len());
    for id in ids {
        let id = ProgramId::parse(&id).map_err(common::Error::Internal)?;
        programs.push(state.programs.current(&mut db, &id).await?);
    }
    Ok((programs, next))
}

/// A program, added up.
#[derive(Debug)]
pub struct Summary {
    /// The program.
    pub program_id: ProgramId,
    /// The instant.
    pub as_of: Timestamp,
    /// What members hold and owe in each currency, the first one first.
    pub currencies: Vec<CurrencySummary>,
    /// Members by tier.
    pub tiers: Vec<summary::TierCount>,
}

/// One currency of a program, added up.
#[derive(Debug)]
pub struct CurrencySummary {
    /// Its code.
    pub currency: String,
    /// What members hold.
    pub held: summary::Held,
    /// What members owe.
    pub debt: i64,
}

/// Adds a program up in one snapshot, as it is now or was at another instant.
pub async fn summarise(
    state: &State,
    program_id: ProgramId,
    as_of: Option<Timestamp>,
) -> Result<Summary, Error> {
    let mut db = state.platform.snapshot().await?;
    let program = state.programs.current(&mut db, &program_id).await?;
    let instant = AsOf {
        as_of,
        now: state.platform.now(),
    };
    let mut currencies = Vec::new();
    for wallet in program.wallets() {
        currencies.push(in_currency(state, &mut db, (&program, &wallet), instant).await?);
    }
    let as_of = as_of.unwrap_or(instant.now);
    Ok(Summary {
        currencies,
        tiers: counts::list(state, &mut db, &program, as_of).await?,
        program_id,
        as_of,
    })
}

/// The instant that is asked for, if it is not the present one.
#[derive(Clone, Copy)]
struct AsOf {
    as_of: Option<Timestamp>,
    now: Timestamp,
}

async fn in_currency(
    state: &State,
    db: &mut impl Access,
    (program, wallet): (&Program, &Wallet),
    AsOf { as_of, now }: AsOf,
) -> Result<CurrencySummary, Error> {
    let program_id = program.program_id.as_str();
    let of = CurrencyOf { program_id, wallet };
    let (mut held, mut debt, unsettled) = if let Some(as_of) = as_of {
        let held = summary::get_held_at(db, of, as_of).await?;
        let debt = summary::get_debt_at(db, of, as_of).await?;
        let unsettled = summary::list_unsettled_at(db, of, as_of).await?;
        (held, debt, unsettled)
    } else {
        let held = summary::get_held(db, of, now).await?;
        let debt = summary::get_debt(db, of).await?;
        (held, debt, summary::list_unsettled(db, of, now).await?)
    };
    let at = Instants {
        as_of,
        posted_by: None,
    };
    for customer_id in &unsettled {
        let account = AccountKey {
            customer_id,
            program_id,
            wallet,
        };
        let repaid = reads::repaid(state, db, account, at).await?;
        held.outstanding -= repaid.available;
        debt -= repaid.debt;
    }
    Ok(CurrencySummary {
        currency: program.code_of(wallet).to_owned(),
        held,
        debt,
    })
}
