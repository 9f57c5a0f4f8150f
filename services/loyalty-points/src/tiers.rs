//! Tiers: decided anew with every posting, and by reads once time has moved points out of the window, a tier given by
//! hand has ended, or another version of the policy holds.

pub mod basis;
pub mod counts;
pub mod overrides;
pub mod policies;
pub mod progress;
pub mod reads;
pub mod recalculation;
mod standing;

use std::sync::Arc;

use common::cache::{Key, Versioned};
use common::db::Tx;
use common::ids::CustomerId;
use common::time::Timestamp;

use self::basis::Basis;
pub use self::standing::{Given, TierStanding};
use crate::domain::overrides::{self as given, TierOverride};
use crate::domain::program::{Program, ProgramId};
use crate::domain::tiers::TierPolicy;
use crate::store::members::{self, Lock, Standing, StoredTier};
use crate::store::tier_overrides::{self, OpenColumns};
use crate::store::tiers::{self, TierChangeRow};
use crate::work::Work;
use crate::{State, events};

/// Why a tier is decided anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Points were posted, a purchase was recorded, or time has passed.
    Usual,
    /// An earning was reversed.
    Reversal,
}

/// Who asked for a tier to be decided anew, and why; empty where nobody did.
#[derive(Debug, Clone, Copy, Default)]
pub struct By<'a> {
    /// Who.
    pub actor: &'a str,
    /// Why.
    pub remark: &'a str,
}

/// Decides a member's tier anew, and returns the change if there is one. Changes `standing` only; the caller
/// writes it.
pub async fn requalify(
    tx: &mut Tx,
    lock: &mut Lock,
    standing: &mut Standing,
    basis: &Basis,
    cause: Cause,
) -> Result<Option<TierChangeRow>, common::Error> {
    requalify_by(tx, lock, standing, basis, cause, By::default()).await
}

/// The same, asked for by somebody.
async fn requalify_by(
    tx: &mut Tx,
    lock: &mut Lock,
    standing: &mut Standing,
    basis: &Basis,
    cause: Cause,
    by: By<'_>,
) -> Result<Option<TierChangeRow>, common::Error> {
    let now = tx.now();
    let verdict = decide(standing, basis, cause, now);
    if let Some((revision, given)) = &verdict.lapsed {
        let ended_at = given.ends_at.unwrap_or(now);
        tier_overrides::end(tx, &lock.customer_id, *revision, ended_at).await?;
        standing.tier_override = OpenColumns::default();
    }
    standing.tier_points = basis.earned.amount;
    standing.tier_valid_until = verdict.valid_until;
    standing.tier_policy = basis.version.version;
    standing.earned_tier = Some(basis.earned_tier().to_owned());
    let Some(reason) = verdict.reason else {
        return Ok(None);
    };
    let moved = Move {
        tier: &verdict.tier,
        reason,
        actor: by.actor,
        remark: by.remark,
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

fn decide(standing: &Standing, basis: &Basis, cause: Cause, now: Timestamp) -> Verdict {
    let policy = basis.policy();
    let mut winning = standing.tier_override.clone().found();
    let lapsed = winning.take_if(|(_, given)| given.has_ended(now));
    let winning = winning.map(|(_, given)| given);
    let held = given::held(policy, basis.earned, winning.as_ref());
    let rank = |name: &str| policy.rank_of(name);
    let reason = match (rank(held.tier) > rank(&standing.tier), cause) {
        _ if lapsed.is_some() => Some("override_ended"),
        _ if held.tier == standing.tier => None,
        _ if standing.tier_policy != basis.version.version => Some("policy_changed"),
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
        policy_version: standing.tier_policy,
    };
    if change.from_tier != change.to_tier {
        standing.tier_since = now;
    }
    tiers::insert(tx, &change).await?;
    events::tier_changed(tx, &change);
    Ok(change)
}

/// Tells the cache, once the transaction has committed, what it wrote.
pub fn announce(state: &State, tx: &mut Tx, lock: &Lock, standing: &Standing, policy: &TierPolicy) {
    let program_id = [standing.member.program_id.as_str()];
    let key = Key::new(&program_id, &lock.customer_id);
    let cache = state.tiers.clone();
    let versioned = Versioned {
        version: lock.revision,
        value: TierStanding::of(standing, policy),
    };
    tx.after_commit(async move { cache.put(&key, &versioned).await });
}

/// A tier that was decided anew and written.
struct CaughtUp {
    program: Arc<Program>,
    stored: StoredTier,
    /// The change, if there is one.
    change: Option<TierChangeRow>,
}

/// Decides a member's tier anew because time has passed or another version holds, and writes it.
async fn catch_up(
    state: &State,
    program_id: &ProgramId,
    customer_id: &CustomerId,
    cause: Cause,
) -> Result<Option<CaughtUp>, common::Error> {
    let mut tx = state.platform.tx().await?;
    let member = (program_id.as_str(), customer_id);
    let whoever = |_: &Standing| true;
    let caught_up =
        catch_up_within(state, &mut tx, (member, whoever), cause, By::default()).await?;
    if caught_up.is_some() {
        tx.commit().await?;
    }
    Ok(caught_up)
}

/// The same, in a transaction that the caller commits, of a member who is still one of those wanted once it is locked.
async fn catch_up_within(
    state: &State,
    tx: &mut Tx,
    ((program_id, customer_id), is_wanted): ((&str, &CustomerId), impl Fn(&Standing) -> bool),
    cause: Cause,
    by: By<'_>,
) -> Result<Option<CaughtUp>, common::Error> {
    let Some(mut lock) = members::lock(tx, &[customer_id]).await?.pop() else {
        return Ok(None);
    };
    let now = tx.now();
    let standings = members::list_standings(tx, &[customer_id], program_id, now).await?;
    let Some(mut standing) = standings.into_iter().find(is_wanted) else {
        return Ok(None);
    };
    let basis = basis::of(state, tx, &standing, now).await?;
    let change = requalify_by(tx, &mut lock, &mut standing, &basis, cause, by).await?;
    members::update(tx, &[&standing]).await?;
    members::update_revisions(tx, &[(&lock.customer_id, lock.revision)]).await?;
    announce(state, tx, &lock, &standing, basis.policy());
    Ok(Some(CaughtUp {
        program: basis.program,
        stored: StoredTier {
            customer_id: lock.customer_id,
            revision: lock.revision,
            tier: standing.tier,
            tier_points: standing.tier_points,
            tier_since: standing.tier_since,
            tier_valid_until: standing.tier_valid_until,
            tier_policy: standing.tier_policy,
            earned_tier: standing.earned_tier,
            policy_version: standing.policy_version,
            tier_override: standing.tier_override,
        },
        change,
    }))
}

/// Decides a member's tier anew if it was decided under an older version than holds, before anything is posted: the
/// history then tells apart what the version changed and what was earned since.
pub async fn follow(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    standing: &mut Standing,
) -> Result<(), common::Error> {
    if standing.tier_policy < standing.policy_version && !standing.member.is_closed() {
        renew(state, work, lock, standing, Cause::Usual).await?;
    }
    Ok(())
}

/// Decides a member's tier anew by what counts now. The customer is locked.
pub async fn renew(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    standing: &mut Standing,
    cause: Cause,
) -> Result<(), common::Error> {
    let basis = basis::within(state, work, standing).await?;
    let moves = decide(standing, &basis, cause, work.now()).reason.is_some();
    // What moves nobody is undone like any posting.
    let tx = if moves { work.direct() } else { work.tx() };
    requalify(tx, lock, standing, &basis, cause).await?;
    work.put_standing(standing).await?;
    announce(state, work.tx(), lock, standing, basis.policy());
    Ok(())
}
