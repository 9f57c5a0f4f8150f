//! Versions of a program's tier policy: published once, never changed.

use std::sync::Arc;

use common::db::Tx;
use common::page::PageRequest;
use common::time::Timestamp;
use common::token::SharedToken;
use common::validate::Violations;

use super::reads::subject;
use crate::State;
use crate::domain::program::{Program, ProgramId};
use crate::domain::tiers::TierPolicy;
use crate::domain::tiers::versions::{PolicyVersion, PolicyVersions};
use crate::error::Error;
use crate::store::policies;

/// A request to publish a version.
#[derive(Debug)]
pub struct Publish {
    /// The program.
    pub program_id: ProgramId,
    /// The policy.
    pub policy: TierPolicy,
    /// From when on it is to hold; absent: from now on.
    pub effective_at: Option<Timestamp>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The version that the caller knows as the latest; 0: whichever it is.
    pub expected: i64,
}

/// Publishes a version. It holds from its instant on: readers notice by the clock.
pub async fn publish(
    state: &State,
    tx: &mut Tx,
    publish: Publish,
) -> Result<Arc<PolicyVersion>, Error> {
    state.programs.get(tx, &publish.program_id).await?;
    policies::lock(tx, publish.program_id.as_str()).await?;
    let program = state.programs.current(tx, &publish.program_id).await?;
    let latest = program.policies.latest();
    if publish.expected != 0 && publish.expected != latest.version {
        return Err(Error::PolicyChanged {
            latest: latest.version,
        });
    }
    let now = tx.now();
    let effective_at = publish.effective_at.unwrap_or(now);
    if effective_at < now {
        let mut violations = Violations::new();
        violations.add("effective_at", "must not be in the past");
        return Err(common::Error::Invalid(violations).into());
    }
    if effective_at < latest.effective_at {
        return Err(Error::PolicyNotLater {
            latest: latest.effective_at,
        });
    }
    let new = PolicyVersion {
        version: latest.version + 1,
        effective_at,
        published_at: now,
        actor: publish.actor,
        reason: publish.reason,
        policy: publish.policy,
    };
    policies::insert(tx, publish.program_id.as_str(), &new).await?;
    let mut versions: Vec<_> = program
        .policies
        .all()
        .iter()
        .map(|version| PolicyVersion::clone(version))
        .collect();
    versions.push(new);
    let policies = PolicyVersions::new(versions).map_err(common::Error::Internal)?;
    let published = Arc::clone(policies.latest());
    let programs = state.programs.clone();
    let program = Program {
        policies,
        ..Program::clone(&program)
    };
    tx.after_commit(async move { programs.published(program) });
    Ok(published)
}

/// Token of a version: reads with it know of that version, whichever replica they reach.
pub fn token(state: &State, program_id: &ProgramId, version: i64) -> String {
    SharedToken {
        source: state.platform.source.to_owned(),
        subject: subject(program_id),
        revision: version,
    }
    .encode()
}

/// Which version.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    /// The one of that number.
    Numbered(i64),
    /// The one that holds at an instant; absent means now.
    InForce(Option<Timestamp>),
}

/// A version.
pub async fn get(
    state: &State,
    program_id: &ProgramId,
    which: Which,
) -> Result<Arc<PolicyVersion>, Error> {
    let mut db = state.platform.reader().await?;
    let program = state.programs.current(&mut db, program_id).await?;
    let found = match which {
        Which::Numbered(version) => program.policies.get(version),
        Which::InForce(at) => Some(program.policy_at(at.unwrap_or_else(|| state.platform.now()))),
    };
    match (found, which) {
        (Some(found), _) => Ok(Arc::clone(found)),
        (None, Which::Numbered(version)) => Err(Error::PolicyNotFound(version)),
        (None, Which::InForce(_)) => unreachable!("some version always holds"),
    }
}

/// A page of versions, the latest first, and the token of the next one.
pub async fn list(
    state: &State,
    program_id: &ProgramId,
    page: &PageRequest,
) -> Result<(Vec<Arc<PolicyVersion>>, String), Error> {
    let mut db = state.platform.reader().await?;
    let program = state.programs.current(&mut db, program_id).await?;
    let before = page.after().unwrap_or(i64::MAX);
    let size = usize::try_from(page.size).expect("a page has 1 to 1000 entries");
    let older = program.policies.all().iter().rev();
    let mut versions: Vec<_> = older
        .filter(|version| version.version < before)
        .take(size + 1)
        .cloned()
        .collect();
    let next = page.cut(&mut versions, |version| version.version);
    Ok((versions, next))
}
