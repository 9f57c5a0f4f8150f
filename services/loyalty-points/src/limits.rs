//! Earning limits: set, ended, listed, and how much of them is used. What they make of earnings is in `ledger`.

use std::sync::Arc;

use common::db::Tx;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::time::Timestamp;
use common::token::SharedToken;

use crate::State;
use crate::domain::currency::CurrencyCode;
use crate::domain::limits::{
    EarningLimit, Excess, LIMITS_MAX, LimitId, Room, Scope, Window, WindowKind,
};
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::members;
use crate::programs::wallet_of;
use crate::store::limit_usage::{self, Root, UsageKey};
use crate::store::{limits, policies};

/// A request to set a limit.
#[derive(Debug)]
pub struct SetLimit {
    /// Which, and why.
    pub change: Change,
    /// Whose earnings it counts.
    pub scope: Scope,
    /// Points of which currency; absent: the program's first.
    pub currency: Option<CurrencyCode>,
    /// In which windows.
    pub window: WindowKind,
    /// How many may be earned in one.
    pub points: i64,
    /// What becomes of an earning that is more.
    pub excess: Excess,
}

/// A request to change a limit.
#[derive(Debug)]
pub struct Change {
    /// The program.
    pub program_id: ProgramId,
    /// The limit.
    pub limit_id: LimitId,
    /// The version that the caller knows; 0: whichever it is.
    pub expected: i64,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A limit that was changed, with its program as it is then.
pub type Changed = (Arc<EarningLimit>, Arc<Program>);

/// Sets a limit, which holds from now on: whoever locks a member after the commit reads of it.
pub async fn set(state: &State, tx: &mut Tx, set: SetLimit) -> Result<Changed, Error> {
    let program = lock(state, tx, &set.change.program_id).await?;
    let wallet = wallet_of(&program, set.currency.as_ref())?;
    let known = known(&program, &set.change)?;
    if let Some(known) = known {
        let told = [
            ("scope", known.scope == set.scope),
            ("points_currency", known.wallet == wallet),
            ("window", known.window == set.window),
        ];
        let differing = told.into_iter().filter(|(_, same)| !same);
        let fields: Vec<_> = differing.map(|(field, _)| field).collect();
        if !fields.is_empty() {
            let limit_id = set.change.limit_id;
            return Err(Error::LimitFixed { limit_id, fields });
        }
    }
    let holds = known.is_some_and(|known| !known.ended);
    if !holds && program.limits.holding().count() >= LIMITS_MAX {
        return Err(Error::TooManyLimits);
    }
    let limit = EarningLimit {
        limit_id: set.change.limit_id,
        version: program.limits.version() + 1,
        scope: set.scope,
        wallet,
        window: set.window,
        points: set.points,
        excess: set.excess,
        ended: false,
        actor: set.change.actor,
        reason: set.change.reason,
        changed_at: tx.now(),
    };
    limits::insert(tx, program.program_id.as_str(), &limit).await?;
    Ok((Arc::new(limit), program))
}

/// Ends a limit.
pub async fn end(state: &State, tx: &mut Tx, change: Change) -> Result<Changed, Error> {
    let program = lock(state, tx, &change.program_id).await?;
    let Some(known) = known(&program, &change)? else {
        return Err(Error::LimitNotFound(change.limit_id));
    };
    if known.ended {
        return Err(Error::LimitEnded(change.limit_id));
    }
    let limit = EarningLimit {
        version: program.limits.version() + 1,
        ended: true,
        actor: change.actor,
        reason: change.reason,
        changed_at: tx.now(),
        ..EarningLimit::clone(known)
    };
    limits::insert(tx, program.program_id.as_str(), &limit).await?;
    Ok((Arc::new(limit), program))
}

/// The program, whose limits nobody else changes until the transaction ends.
async fn lock(state: &State, tx: &mut Tx, program_id: &ProgramId) -> Result<Arc<Program>, Error> {
    state.programs.get(tx, program_id).await?;
    policies::lock(tx, program_id.as_str()).await?;
    let latest = limits::get_version(tx, program_id.as_str()).await?;
    state.programs.limited(tx, program_id, latest).await
}

/// The limit as it is, if the caller knows it so.
fn known<'a>(
    program: &'a Program,
    change: &Change,
) -> Result<Option<&'a Arc<EarningLimit>>, Error> {
    let known = program.limits.find(&change.limit_id);
    let version = known.map_or(0, |known| known.version);
    if change.expected != 0 && change.expected != version {
        return Err(Error::LimitChanged {
            limit_id: change.limit_id.clone(),
            version,
        });
    }
    Ok(known)
}

/// Token of a change. What is decided under the lock of a member knows of it in any case.
pub fn token(state: &State, program_id: &ProgramId, version: i64) -> String {
    SharedToken {
        source: state.platform.source.to_owned(),
        subject: format!("limits/{program_id}"),
        revision: version,
    }
    .encode()
}

/// A page of limits by id, their program, and the token of the next page.
pub async fn list(
    state: &State,
    program_id: &ProgramId,
    page: &PageRequest,
) -> Result<(Vec<Arc<EarningLimit>>, Arc<Program>, String), Error> {
    let mut db = state.platform.reader().await?;
    state.programs.get(&mut db, program_id).await?;
    let latest = limits::get_version(&mut db, program_id.as_str()).await?;
    let program = state.programs.limited(&mut db, program_id, latest).await?;
    let after: String = page.after().unwrap_or_default();
    let size = usize::try_from(page.size).expect("a page has 1 to 1000 entries");
    let later = program.limits.all().iter();
    let later = later.filter(|limit| limit.limit_id.as_str() > after.as_str());
    let mut listed: Vec<_> = later.take(size + 1).cloned().collect();
    let next = page.cut(&mut listed, |limit| limit.limit_id.to_string());
    Ok((listed, program, next))
}

/// Whose usage is asked for, and when.
#[derive(Debug)]
pub struct Wanted {
    /// The program.
    pub program_id: ProgramId,
    /// The member; absent: only budgets are told.
    pub customer_id: Option<CustomerId>,
    /// An instant in the windows, if not now.
    pub as_of: Option<Timestamp>,
}

/// What is used of the limits that hold, all of one instant, and their program.
pub async fn usage(state: &State, wanted: &Wanted) -> Result<(Vec<Room>, Arc<Program>), Error> {
    let mut db = state.platform.snapshot().await?;
    let program_id = wanted.program_id.as_str();
    state.programs.get(&mut db, &wanted.program_id).await?;
    let latest = limits::get_version(&mut db, program_id).await?;
    let program = state.programs.limited(&mut db, &wanted.program_id, latest);
    let program = program.await?;
    let mut person = Vec::new();
    if let Some(customer_id) = &wanted.customer_id {
        let member = members::get(state, &mut db, &wanted.program_id, customer_id).await?;
        let stands = Root {
            program_id: program_id.to_owned(),
            customer_id: member.survivor.unwrap_or(member.customer_id).to_string(),
        };
        let mut persons = limit_usage::list_persons(&mut db, std::slice::from_ref(&stands)).await?;
        person = persons.remove(&stands).unwrap_or_default();
    }
    let at = wanted.as_of.unwrap_or_else(|| state.platform.now());
    let holding = program.limits.holding();
    let told = holding.filter(|limit| limit.scope == Scope::Program || !person.is_empty());
    let told: Vec<_> = told.map(|limit| (limit, limit.window.at(at))).collect();
    let keys = told
        .iter()
        .flat_map(|(limit, window)| keys(program_id, limit, (*window, &person)));
    let keys: Vec<_> = keys.collect();
    let used = limit_usage::list(&mut db, &keys).await?;
    let room = |(limit, window): (&Arc<EarningLimit>, Window)| Room {
        limit: Arc::clone(limit),
        window,
        used: used
            .iter()
            .filter(|(key, _)| key.limit_id == limit.limit_id.as_str())
            .map(|(_, used)| used)
            .sum(),
    };
    Ok((told.into_iter().map(room).collect(), program))
}

fn keys(
    program_id: &str,
    limit: &EarningLimit,
    (window, person): (Window, &[CustomerId]),
) -> Vec<UsageKey> {
    let key = |customer_id: String| UsageKey {
        program_id: program_id.to_owned(),
        limit_id: limit.limit_id.to_string(),
        customer_id,
        window_start: window.key(),
    };
    match limit.scope {
        Scope::Program => vec![key(String::new())],
        Scope::Member => person.iter().map(|id| key(id.to_string())).collect(),
    }
}
