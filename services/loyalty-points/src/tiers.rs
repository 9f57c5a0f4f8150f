//! Tiers: decided anew with every posting, and by reads once time has moved points out of the window or a tier
//! given by hand has ended.

pub mod overrides;
pub mod progress;
pub mod recalculation;

use std::collections::HashMap;
use std::sync::Arc;

use common::cache::{Key, Versioned};
use common::db::Tx;
use common::ids::CustomerId;
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::overrides::{self as given, TierOverride};
use crate::domain::program::{Program, ProgramId};
use crate::domain::tiers::{Qualification, TierPolicy};
use crate::error::Error;
use crate::store::members::{self, Lock, Standing, StoredTier};
use crate::store::tier_overrides::{self, OpenColumns};
use crate::store::tiers::{self, TierChangeRow};
use crate::{State, events};

/// A member's tier as cached. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierStanding {
    /// Name of the tier.
    pub tier: String,
    /// Points that count.
    pub points: i64,
    /// Since when; absent for another instant than now.
    pub since: Option<i64>,
    /// Until when the points are these and the tier is this one.
    pub valid_until: Option<i64>,
    /// Set while the tier is one given by hand.
    pub given: Option<Given>,
}

/// How a tier was given by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// From when on.
    pub from: i64,
    /// Until when; absent: until it is cleared.
    pub until: Option<i64>,
}

impl From<TierOverride> for Given {
    fn from(given: TierOverride) -> Self {
        Self {
            actor: given.actor,
            reason: given.reason,
            from: given.created_at.micros(),
            until: given.ends_at.map(Timestamp::micros),
        }
    }
}

impl TierStanding {
    /// As it was decided and written.
    fn of(standing: &Standing) -> Self {
        let winning = standing.tier_override.clone().found();
        Self {
            tier: standing.tier.clone(),
            points: standing.tier_points,
            since: Some(standing.tier_since.micros()),
            valid_until: standing.tier_valid_until.map(Timestamp::micros),
            given: winning.map(|(_, given)| given.into()),
        }
    }
}

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

/// A member's tier: now, from the cache where it is new enough, or at another instant.
pub async fn get(
    state: &State,
    wanted: &Wanted,
) -> Result<(Arc<Program>, Versioned<TierStanding>), Error> {
    let Wanted {
        program_id,
        customer_id,
        as_of,
        at_least,
    } = wanted;
    let program = program(state, program_id).await?;
    let own = state.platform.own_revision(at_least, customer_id)?;
    let load = || async { Ok(load(state, &program, &[customer_id]).await?.pop().flatten()) };
    let found = if let Some(as_of) = as_of {
        load_at(state, &program, customer_id, *as_of).await?
    } else if own == 0 && !at_least.is_empty() {
        // What a token of another service stands for has been applied here, but nobody knows as which revision.
        load().await?
    } else {
        let holds = holds_at(state.platform.now());
        state
            .tiers
            .get_valid(&key(program_id, customer_id), own, holds, load)
            .await?
    };
    let not_a_member = || Error::MemberNotFound {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
    };
    let found = found.ok_or_else(not_a_member)?;
    Ok((program, found))
}

/// Many members' tiers, now or at another instant, in the order asked for.
pub async fn get_many(
    state: &State,
    program_id: &ProgramId,
    customer_ids: &[CustomerId],
    as_of: Option<Timestamp>,
) -> Result<(Arc<Program>, Vec<Option<Versioned<TierStanding>>>), Error> {
    let program = program(state, program_id).await?;
    if let Some(as_of) = as_of {
        let mut found = Vec::with_capacity(customer_ids.len());
        for customer_id in customer_ids {
            found.push(load_at(state, &program, customer_id, as_of).await?);
        }
        return Ok((program, found));
    }
    let wanted: Vec<_> = customer_ids
        .iter()
        .map(|id| (key(program_id, id), 0))
        .collect();
    let load = |missing: Vec<usize>| {
        let missing: Vec<_> = missing
            .into_iter()
            .map(|position| &customer_ids[position])
            .collect();
        let program = &program;
        async move { load(state, program, &missing).await }
    };
    let holds = holds_at(state.platform.now());
    let found = state.tiers.get_many(&wanted, holds, load).await?;
    Ok((program, found))
}

async fn program(state: &State, program_id: &ProgramId) -> Result<Arc<Program>, Error> {
    match state.programs.known(program_id) {
        Some(program) => Ok(program),
        None => {
            state
                .programs
                .get(&mut state.platform.reader().await?, program_id)
                .await
        }
    }
}

fn holds_at(now: Timestamp) -> impl Fn(&TierStanding) -> bool + Send + Sync {
    move |standing| {
        standing
            .valid_until
            .is_none_or(|until| now.micros() < until)
    }
}

/// The tier a member qualifies for at an instant, by what is known now.
async fn load_at(
    state: &State,
    program: &Program,
    customer_id: &CustomerId,
    as_of: Timestamp,
) -> Result<Option<Versioned<TierStanding>>, Error> {
    let mut db = state.platform.snapshot().await?;
    let program_id = program.program_id.as_str();
    let standings = members::list_standings(&mut db, &[customer_id], program_id, as_of).await?;
    let Some(standing) = standings.first() else {
        return Ok(None);
    };
    let qualification = standing.qualification();
    let winning = tier_overrides::find_at(&mut db, customer_id, program_id, as_of).await?;
    let held = given::held(&program.tier_policy, qualification, winning.as_ref());
    let value = TierStanding {
        tier: held.tier.to_owned(),
        points: qualification.points,
        since: None,
        valid_until: held.valid_until.map(Timestamp::micros),
        given: winning.map(Given::from),
    };
    Ok(Some(Versioned { version: 0, value }))
}

/// Why a tier is decided anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Points were posted, or time has passed.
    Usual,
    /// An earning was reversed.
    Reversal,
}

/// Decides a member's tier anew, and returns the change if there is one. Changes `standing` only; the caller
/// writes it.
pub async fn requalify(
    tx: &mut Tx,
    lock: &mut Lock,
    standing: &mut Standing,
    decision: Decision<'_>,
) -> Result<Option<TierChangeRow>, common::Error> {
    let now = tx.now();
    let verdict = decide(standing, &decision, now);
    if let Some((revision, given)) = &verdict.lapsed {
        let ended_at = given.ends_at.unwrap_or(now);
        tier_overrides::end(tx, &lock.customer_id, *revision, ended_at).await?;
        standing.tier_override = OpenColumns::default();
    }
    standing.tier_points = decision.qualification.points;
    standing.tier_valid_until = verdict.valid_until;
    let Some(reason) = verdict.reason else {
        return Ok(None);
    };
    let moved = Move {
        tier: &verdict.tier,
        reason,
        actor: "",
        remark: "",
    };
    record(tx, lock, standing, moved).await.map(Some)
}

/// What a member's tier comes to.
struct Verdict {
    /// The tier.
    tier: String,
    /// Until when.
    valid_until: Option<Timestamp>,
    /// Why it is another than before; absent: it is not, and no override has ended.
    reason: Option<&'static str>,
    /// The override that has run out without anything having noticed, with its revision.
    lapsed: Option<(i64, TierOverride)>,
}

fn decide(standing: &Standing, decision: &Decision<'_>, now: Timestamp) -> Verdict {
    let Decision {
        policy,
        qualification,
        cause,
    } = *decision;
    let mut winning = standing.tier_override.clone().found();
    let lapsed = winning.take_if(|(_, given)| given.has_ended(now));
    let winning = winning.map(|(_, given)| given);
    let held = given::held(policy, qualification, winning.as_ref());
    let rank = |name: &str| policy.rank_of(name);
    let reason = match (rank(held.tier) > rank(&standing.tier), cause) {
        _ if lapsed.is_some() => Some("override_ended"),
        _ if held.tier == standing.tier => None,
        (true, _) => Some("earned"),
        (false, Cause::Reversal) => Some("reversed"),
        (false, Cause::Usual) => Some("aged_out"),
    };
    Verdict {
        tier: held.tier.to_owned(),
        valid_until: held.valid_until,
        reason,
        lapsed,
    }
}

/// A change of a tier, to be written.
struct Move<'a> {
    tier: &'a str,
    reason: &'static str,
    actor: &'a str,
    remark: &'a str,
}

/// Writes and announces that a member has a tier from now on. An override that begins or ends is told also
/// where the tier is the same as before.
async fn record(
    tx: &mut Tx,
    lock: &mut Lock,
    standing: &mut Standing,
    moved: Move<'_>,
) -> Result<TierChangeRow, common::Error> {
    let now = tx.now();
    let change = TierChangeRow {
        customer_id: lock.customer_id.clone(),
        revision: lock.next(),
        program_id: standing.member.program_id.clone(),
        from_tier: std::mem::replace(&mut standing.tier, moved.tier.to_owned()),
        to_tier: moved.tier.to_owned(),
        reason: moved.reason.to_owned(),
        points: standing.tier_points,
        changed_at: now,
        actor: moved.actor.to_owned(),
        remark: moved.remark.to_owned(),
    };
    if change.from_tier != change.to_tier {
        standing.tier_since = now;
    }
    tiers::insert(tx, &change).await?;
    events::tier_changed(tx, &change);
    Ok(change)
}

/// What a tier is decided on.
pub struct Decision<'a> {
    /// The program's policy.
    pub policy: &'a TierPolicy,
    /// What counts now.
    pub qualification: Qualification,
    /// Why.
    pub cause: Cause,
}

/// Tells the cache, once the transaction has committed, what it wrote.
pub fn announce(state: &State, tx: &mut Tx, lock: &Lock, standing: &Standing) {
    let program_id = [standing.member.program_id.as_str()];
    let key = Key::new(&program_id, &lock.customer_id);
    let cache = state.tiers.clone();
    let versioned = Versioned {
        version: lock.revision,
        value: TierStanding::of(standing),
    };
    tx.after_commit(async move { cache.put(&key, &versioned).await });
}

/// Reads tiers from the database, in the order asked for; those that time has overtaken are decided anew.
async fn load(
    state: &State,
    program: &Program,
    customer_ids: &[&CustomerId],
) -> Result<Vec<Option<Versioned<TierStanding>>>, common::Error> {
    let program_id = program.program_id.as_str();
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    let mut db = state.platform.reader().await?;
    let stored = members::list_tiers(&mut db, program_id, &ids).await?;
    // Deciding anew needs a connection that writes: this one goes back first.
    drop(db);
    let mut found: HashMap<_, _> = stored
        .into_iter()
        .map(|stored| (stored.customer_id.clone(), stored))
        .collect();
    let now = state.platform.now();
    let mut answers = Vec::with_capacity(customer_ids.len());
    for customer_id in customer_ids {
        let Some(stored) = found.remove(*customer_id) else {
            answers.push(None);
            continue;
        };
        let stale = stored.tier_valid_until.is_some_and(|until| until <= now);
        let stored = if stale {
            let caught_up = catch_up(state, program, customer_id).await?;
            caught_up.map(|(stored, _)| stored)
        } else {
            Some(stored)
        };
        answers.push(stored.map(versioned));
    }
    Ok(answers)
}

/// Decides a member's tier anew because time has passed, and writes it; returns the change too, if there is one.
async fn catch_up(
    state: &State,
    program: &Program,
    customer_id: &CustomerId,
) -> Result<Option<(StoredTier, Option<TierChangeRow>)>, common::Error> {
    let mut tx = state.platform.tx().await?;
    let program_id = program.program_id.as_str();
    let Some(mut lock) = members::lock(&mut tx, &[customer_id]).await?.pop() else {
        return Ok(None);
    };
    let now = tx.now();
    let standings = members::list_standings(&mut tx, &[customer_id], program_id, now).await?;
    let Some(mut standing) = standings.into_iter().next() else {
        return Ok(None);
    };
    let decision = Decision {
        policy: &program.tier_policy,
        qualification: standing.qualification(),
        cause: Cause::Usual,
    };
    let change = requalify(&mut tx, &mut lock, &mut standing, decision).await?;
    members::update(&mut tx, &[&standing]).await?;
    members::update_revisions(&mut tx, &[(&lock.customer_id, lock.revision)]).await?;
    announce(state, &mut tx, &lock, &standing);
    tx.commit().await?;
    let stored = StoredTier {
        customer_id: lock.customer_id,
        revision: lock.revision,
        tier: standing.tier,
        tier_points: standing.tier_points,
        tier_since: standing.tier_since,
        tier_valid_until: standing.tier_valid_until,
        tier_override: standing.tier_override,
    };
    Ok(Some((stored, change)))
}

fn versioned(stored: StoredTier) -> Versioned<TierStanding> {
    Versioned {
        version: stored.revision,
        value: TierStanding {
            tier: stored.tier,
            points: stored.tier_points,
            since: Some(stored.tier_since.micros()),
            valid_until: stored.tier_valid_until.map(Timestamp::micros),
            given: stored.tier_override.found().map(|(_, given)| given.into()),
        },
    }
}

fn key(program_id: &ProgramId, customer_id: &CustomerId) -> Key {
    Key::new(&[program_id.as_str()], customer_id)
}
