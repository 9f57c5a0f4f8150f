//! Tiers as they are read: from the cache where it is new enough, else from the database, decided anew where time
//! or another version of the policy has overtaken what is stored.

use std::collections::HashMap;
use std::sync::Arc;

use common::cache::{Key, Versioned};
use common::db::Access;
use common::ids::CustomerId;
use common::server::{Looked, NotAtHand};
use common::time::Timestamp;
use common::token::{ConsistencyToken, SharedToken};

use super::basis::{self, Basis, version_in};
use super::standing::{Given, TierStanding};
use super::{Cause, catch_up};
use crate::State;
use crate::domain::overrides as given;
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::store::members::{self, StoredTier};
use crate::store::tier_overrides;

/// Which members' tiers, and how new.
#[derive(Debug)]
pub struct Wanted {
    /// The program.
    pub program_id: ProgramId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The instant, if not now.
    pub as_of: Option<Timestamp>,
    /// Consistency token.
    pub at_least: String,
}

/// How new an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needed {
    /// Whatever the caches hold.
    Any,
    /// A version of the program's tier policy must be known.
    Policy(i64),
    /// The database must be asked, or a customer's revision.
    Customer,
}

/// What the token of a publication in a program is about.
pub fn subject(program_id: &ProgramId) -> String {
    format!("policy/{program_id}")
}

fn needed(state: &State, at_least: &str, program_id: &ProgramId) -> Needed {
    match SharedToken::decode(at_least) {
        None if at_least.is_empty() => Needed::Any,
        None => Needed::Customer,
        Some(token) => {
            let own = token.source == state.platform.source && token.subject == subject(program_id);
            if own {
                Needed::Policy(token.revision)
            } else {
                Needed::Any
            }
        }
    }
}

/// A program with the tier policies that a token asks for; those of a program that is not cached are all known.
async fn program(
    state: &State,
    program_id: &ProgramId,
    needed: Needed,
) -> Result<Arc<Program>, Error> {
    let at_least = match needed {
        Needed::Policy(version) => version,
        Needed::Any | Needed::Customer => 0,
    };
    state
        .programs
        .recent(&state.platform, program_id, at_least)
        .await
}

/// A member's tier: now, from the cache where it is new enough, or at another instant. `looked` tells that [`find`] has
/// just missed it.
pub async fn get(
    state: &State,
    wanted: &Wanted,
    looked: Option<NotAtHand>,
) -> Result<(Arc<Program>, Versioned<TierStanding>), Error> {
    let Wanted {
        program_id,
        customer_id,
        as_of,
        at_least,
    } = wanted;
    let needed = needed(state, at_least, program_id);
    let program = program(state, program_id, needed).await?;
    let own = state.platform.own_revision(at_least, customer_id)?;
    let load = || async {
        Ok(load(state, program_id, &[customer_id])
            .await?
            .pop()
            .flatten())
    };
    let found = if let Some(as_of) = as_of {
        let mut db = state.platform.snapshot().await?;
        standing_at(state, &mut db, program_id, customer_id, *as_of).await?
    } else if own == 0 && needed == Needed::Customer {
        // What a token of another service stands for has been applied here, but nobody knows as which revision.
        load().await?
    } else {
        let holds = holds_at(&program, state.platform.now());
        let key = key(program_id, customer_id);
        match looked {
            None => state.tiers.get_valid(&key, own, holds, load).await?,
            Some(NotAtHand) => state.tiers.load_valid(&key, own, holds, load).await?,
        }
    };
    let not_a_member = || Error::MemberNotFound {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
    };
    let found = found.ok_or_else(not_a_member)?;
    let program = telling(state, program, found.value.policy).await?;
    Ok((program, found))
}

/// What [`get`] answers, if the database need not be asked.
pub async fn find(
    state: &State,
    wanted: &Wanted,
) -> Looked<(Arc<Program>, Versioned<TierStanding>)> {
    let Some((program, own)) = cacheable(state, wanted) else {
        return Looked::Unknown;
    };
    let holds = holds_at(&program, state.platform.now());
    let key = key(&wanted.program_id, &wanted.customer_id);
    match state.tiers.find(&key, own, holds).await {
        None => Looked::Missed,
        Some(found) if program.policies.latest().version < found.value.policy => Looked::Unknown,
        Some(found) => Looked::Found((program, found)),
    }
}

/// The program and the customer's revision that an answer must have, where a cache may hold one.
fn cacheable(state: &State, wanted: &Wanted) -> Option<(Arc<Program>, i64)> {
    let Wanted {
        program_id,
        customer_id,
        as_of: None,
        at_least,
    } = wanted
    else {
        return None;
    };
    let own = match ConsistencyToken::decode(at_least).ok()? {
        None if at_least.is_empty() => 0,
        Some(token)
            if token.source == state.platform.source && token.customer_id == *customer_id =>
        {
            token.revision
        }
        _ => return None,
    };
    let program = state.programs.checked(program_id, 0)?;
    Some((program, own))
}

/// Which members' tiers.
#[derive(Debug)]
pub struct WantedMany {
    /// The program.
    pub program_id: ProgramId,
    /// The customers, each once.
    pub customer_ids: Vec<CustomerId>,
    /// The instant, if not now.
    pub as_of: Option<Timestamp>,
    /// Consistency token.
    pub at_least: String,
}

/// Many members' tiers, now or at another instant, in the order asked for.
pub async fn get_many(
    state: &State,
    wanted: &WantedMany,
) -> Result<(Arc<Program>, Vec<Option<Versioned<TierStanding>>>), Error> {
    let WantedMany {
        program_id,
        customer_ids,
        as_of,
        at_least,
    } = wanted;
    let needed = needed(state, at_least, program_id);
    let program = program(state, program_id, needed).await?;
    let found = if let Some(as_of) = *as_of {
        let mut db = state.platform.snapshot().await?;
        let mut found = Vec::with_capacity(customer_ids.len());
        for customer_id in customer_ids {
            found.push(standing_at(state, &mut db, program_id, customer_id, as_of).await?);
        }
        found
    } else if needed == Needed::Customer {
        // A token stands for one customer, and may be of another service: the database answers for all.
        let customer_ids: Vec<_> = customer_ids.iter().collect();
        load(state, program_id, &customer_ids).await?
    } else {
        let keys: Vec<_> = customer_ids
            .iter()
            .map(|id| (key(program_id, id), 0))
            .collect();
        let load = |missing: Vec<usize>| {
            let missing: Vec<_> = missing
                .into_iter()
                .map(|position| &customer_ids[position])
                .collect();
            async move { load(state, program_id, &missing).await }
        };
        let holds = holds_at(&program, state.platform.now());
        state.tiers.get_many(&keys, holds, load).await?
    };
    let latest = found.iter().flatten().map(|found| found.value.policy).max();
    let program = telling(state, program, latest.unwrap_or(1)).await?;
    Ok((program, found))
}

/// The program with a version that a tier was decided under: another replica may know of more than this one.
async fn telling(
    state: &State,
    program: Arc<Program>,
    version: i64,
) -> Result<Arc<Program>, Error> {
    if program.policies.latest().version >= version {
        return Ok(program);
    }
    let mut db = state.platform.reader().await?;
    let program_id = program.program_id.as_str();
    Ok(state.programs.holding(&mut db, program_id, version).await?)
}

fn holds_at(
    program: &Program,
    now: Timestamp,
) -> impl Fn(&TierStanding) -> bool + Send + Sync + use<> {
    let in_force = program.policy_at(now).version;
    move |standing| {
        standing.policy >= in_force
            && standing
                .valid_until
                .is_none_or(|until| now.micros() < until)
    }
}

/// The tier a member has at an instant, by what is known now.
pub async fn held_at(
    state: &State,
    db: &mut impl Access,
    program_id: &ProgramId,
    customer_id: &CustomerId,
    as_of: Timestamp,
) -> Result<Option<HeldAt>, common::Error> {
    let name = program_id.as_str();
    let standings = members::list_standings(db, &[customer_id], name, as_of).await?;
    let Some(standing) = standings.first() else {
        return Ok(None);
    };
    let basis = basis::of(state, db, standing, as_of).await?;
    let winning = tier_overrides::find_at(db, customer_id, name, as_of).await?;
    let winning = winning.filter(|given| given::known(basis.policy(), Some(given)).is_some());
    let held = given::held(basis.policy(), basis.earned, winning.as_ref());
    Ok(Some(HeldAt {
        tier: held.tier.to_owned(),
        valid_until: held.valid_until,
        given: winning.map(Given::from),
        basis,
    }))
}

/// A tier at an instant.
#[derive(Debug)]
pub struct HeldAt {
    /// Its name.
    pub tier: String,
    /// What it follows from.
    pub basis: Basis,
    /// Until when it stands.
    pub valid_until: Option<Timestamp>,
    given: Option<Given>,
}

async fn standing_at(
    state: &State,
    db: &mut impl Access,
    program_id: &ProgramId,
    customer_id: &CustomerId,
    as_of: Timestamp,
) -> Result<Option<Versioned<TierStanding>>, common::Error> {
    let held = held_at(state, db, program_id, customer_id, as_of).await?;
    let standing = |held: HeldAt| TierStanding {
        earned: held.basis.earned_tier().to_owned(),
        tier: held.tier,
        points: held.basis.earned.amount,
        policy: held.basis.version.version,
        since: None,
        valid_until: held.valid_until.map(Timestamp::micros),
        given: held.given,
    };
    Ok(held.map(|held| Versioned {
        version: 0,
        value: standing(held),
    }))
}

/// Reads tiers from the database, in the order asked for; those that time or another version has overtaken are
/// decided anew.
async fn load(
    state: &State,
    program_id: &ProgramId,
    customer_ids: &[&CustomerId],
) -> Result<Vec<Option<Versioned<TierStanding>>>, common::Error> {
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    let now = state.platform.now();
    let mut db = state.platform.reader().await?;
    let stored = members::list_tiers(&mut db, program_id.as_str(), &ids, now).await?;
    let versions = stored
        .iter()
        .map(|stored| stored.policy_version.max(stored.tier_policy));
    let latest = versions.max().unwrap_or(1);
    let holding = state.programs.holding(&mut db, program_id.as_str(), latest);
    let mut program = holding.await?;
    // Deciding anew needs a connection that writes: this one goes back first.
    drop(db);
    let mut found: HashMap<_, _> = stored
        .into_iter()
        .map(|stored| (stored.customer_id.clone(), stored))
        .collect();
    let mut answers = Vec::with_capacity(customer_ids.len());
    for customer_id in customer_ids {
        let mut stored = found.remove(*customer_id);
        if stored
            .as_ref()
            .is_some_and(|stored| is_overtaken(stored, now))
        {
            let caught_up = catch_up(state, program_id, customer_id, Cause::Usual).await?;
            stored = caught_up.map(|caught_up| {
                program = caught_up.program;
                caught_up.stored
            });
        }
        let standing = |stored: StoredTier| {
            let version = version_in(&program, stored.tier_policy)?;
            Ok::<_, common::Error>(TierStanding::stored(stored, &version.policy))
        };
        answers.push(stored.map(standing).transpose()?);
    }
    Ok(answers)
}

fn is_overtaken(stored: &StoredTier, now: Timestamp) -> bool {
    stored.tier_policy < stored.policy_version
        || stored.tier_valid_until.is_some_and(|until| until <= now)
}

fn key(program_id: &ProgramId, customer_id: &CustomerId) -> Key {
    Key::new(&[program_id.as_str()], customer_id)
}
