//! Tiers given by hand, and taken back.

use std::sync::Arc;

use common::cache::Versioned;
use common::db::Tx;
use common::ids::CustomerId;
use common::time::Timestamp;
use common::validate::Violations;

use super::basis::{self, Basis};
use super::{Cause, Move, TierStanding, announce, record, requalify};
use crate::State;
use crate::domain::overrides::{self as given, TierOverride};
use crate::domain::program::Program;
use crate::error::Error;
use crate::ledger::Account;
use crate::ledger::merges;
use crate::store::members::{self, Lock, Standing};
use crate::store::tier_overrides::{self, NewOverride, OpenColumns};
use crate::store::tiers::TierChangeRow;

/// A request to give a tier.
#[derive(Debug)]
pub struct OverrideTier {
    /// Whose.
    pub account: Account,
    /// Which tier.
    pub tier: String,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Until when; absent: until it is cleared.
    pub expires_at: Option<Timestamp>,
}

/// A request to take a given tier back.
#[derive(Debug)]
pub struct ClearOverride {
    /// Whose.
    pub account: Account,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// A tier that was given or taken back.
#[derive(Debug)]
pub struct Changed {
    /// The program.
    pub program: Arc<Program>,
    /// The change.
    pub change: TierChangeRow,
    /// The tier afterwards.
    pub standing: Versioned<TierStanding>,
}

/// Gives a tier, which wins over what is earned until it ends. One given before ends now.
pub async fn override_tier(
    state: &State,
    tx: &mut Tx,
    request: OverrideTier,
) -> Result<Changed, Error> {
    let mut open = open(state, tx, &request.account).await?;
    let now = tx.now();
    if request
        .expires_at
        .is_some_and(|expires_at| expires_at <= now)
    {
        let mut violations = Violations::new();
        violations.add("expires_at", "must be in the future");
        return Err(common::Error::Invalid(violations).into());
    }
    if open.basis.policy().find(&request.tier).is_none() {
        return Err(Error::TierNotFound(request.tier));
    }
    open.end(tx, now).await?;
    let moved = Move {
        tier: &request.tier,
        reason: "overridden",
        actor: &request.actor,
        remark: &request.reason,
    };
    let change = record(tx, &mut open.lock, &mut open.standing, moved).await?;
    let given = TierOverride {
        tier: request.tier,
        actor: request.actor,
        reason: request.reason,
        created_at: now,
        ends_at: request.expires_at,
    };
    let new = NewOverride {
        customer_id: &change.customer_id,
        program_id: &change.program_id,
        revision: change.revision,
        given: &given,
    };
    tier_overrides::insert(tx, new).await?;
    open.standing.tier_override = OpenColumns::inserted(change.revision, given);
    open.commit(state, tx, change).await
}

/// Takes a given tier back: what is earned counts again.
pub async fn clear(state: &State, tx: &mut Tx, request: ClearOverride) -> Result<Changed, Error> {
    let mut open = open(state, tx, &request.account).await?;
    if !open.end(tx, tx.now()).await? {
        return Err(Error::NotOverridden(request.account.customer_id));
    }
    let earned = open.basis.earned_tier().to_owned();
    let moved = Move {
        tier: &earned,
        reason: "override_ended",
        actor: &request.actor,
        remark: &request.reason,
    };
    let change = record(tx, &mut open.lock, &mut open.standing, moved).await?;
    open.commit(state, tx, change).await
}

/// A member whose tier is decided up to now, under the customer's lock.
struct Open {
    basis: Basis,
    lock: Lock,
    standing: Standing,
}

async fn open(state: &State, tx: &mut Tx, account: &Account) -> Result<Open, Error> {
    let customer_id: &CustomerId = &account.customer_id;
    state.programs.get(tx, &account.program_id).await?;
    let not_found = || Error::MemberNotFound {
        program_id: account.program_id.clone(),
        customer_id: customer_id.clone(),
    };
    let lock = members::lock(tx, &[customer_id]).await?.pop();
    let mut lock = lock.ok_or_else(not_found)?;
    let (program_id, now) = (account.program_id.as_str(), tx.now());
    let standings = members::list_standings(tx, &[customer_id], program_id, now).await?;
    let mut standing = standings.into_iter().next().ok_or_else(not_found)?;
    if standing.member.is_closed() {
        return Err(Error::MemberClosed(customer_id.clone()));
    }
    merges::check_stands(&standing)?;
    let basis = basis::of(state, tx, &standing, now).await?;
    requalify(tx, &mut lock, &mut standing, &basis, Cause::Usual).await?;
    Ok(Open {
        basis,
        lock,
        standing,
    })
}

impl Open {
    /// Ends what was given before; false if nothing was.
    async fn end(&mut self, tx: &mut Tx, now: Timestamp) -> Result<bool, Error> {
        let columns = std::mem::take(&mut self.standing.tier_override);
        let Some((revision, given)) = columns.found() else {
            return Ok(false);
        };
        let ended_at = now.max(given.created_at);
        tier_overrides::end(tx, &self.lock.customer_id, revision, ended_at).await?;
        Ok(true)
    }

    /// Writes the tier as it is now.
    async fn commit(
        mut self,
        state: &State,
        tx: &mut Tx,
        change: TierChangeRow,
    ) -> Result<Changed, Error> {
        let winning = self.standing.tier_override.clone().found();
        let winning = winning.map(|(_, given)| given);
        let policy = self.basis.policy();
        let held = given::held(policy, self.basis.earned, winning.as_ref());
        self.standing.tier_valid_until = held.valid_until;
        members::update(tx, &[&self.standing]).await?;
        let revision = (&self.lock.customer_id, self.lock.revision);
        members::update_revisions(tx, &[revision]).await?;
        announce(state, tx, &self.lock, &self.standing, policy);
        let value = TierStanding::of(&self.standing, policy);
        Ok(Changed {
            program: self.basis.program,
            change,
            standing: Versioned {
                version: self.lock.revision,
                value,
            },
        })
    }
}
