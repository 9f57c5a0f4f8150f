//! What a member's tier is decided on: the version of the policy that holds, and what is earned under it.

use std::collections::HashMap;
use std::sync::Arc;

use common::db::Access;
use common::ids::CustomerId;
use common::time::Timestamp;

use crate::State;
use crate::domain::lots::Lot;
use crate::domain::plan::Kind;
use crate::domain::program::Program;
use crate::domain::tiers::qualify::{self, Record};
use crate::domain::tiers::versions::PolicyVersion;
use crate::domain::tiers::{Counted, Earned, Instant, Qualification, TierPolicy};
use crate::store::members::{self, Standing};
use crate::store::qualifying::{self, Since, SinceMany};
use crate::work::Work;

/// What a tier is decided on.
#[derive(Debug, Clone)]
pub struct Basis {
    /// The program.
    pub program: Arc<Program>,
    /// The version that holds.
    pub version: Arc<PolicyVersion>,
    /// What is earned, until time or another version changes it.
    pub earned: Earned,
}

impl Basis {
    /// The policy that holds.
    pub fn policy(&self) -> &TierPolicy {
        &self.version.policy
    }

    /// Name of the tier earned.
    pub fn earned_tier(&self) -> &str {
        &self.policy().tiers()[self.earned.step].name
    }
}

/// What a member's tier is decided on at the instant that the standing was read for.
pub async fn of(
    state: &State,
    db: &mut impl Access,
    standing: &Standing,
    as_of: Timestamp,
) -> Result<Basis, common::Error> {
    let (program, version) = version_of(state, db, standing).await?;
    let earned = match version.policy.summed_over() {
        Some(window) => version.policy.earned_by(standing.qualification(), window),
        None => earned_one_by_one(db, &version.policy, standing, as_of).await?,
    };
    Ok(basis(program, version, earned, as_of))
}

/// What the tiers of a program's neighbouring members are decided on, in their order, all read for one instant.
pub async fn of_many(
    state: &State,
    db: &mut impl Access,
    standings: &[Standing],
    as_of: Timestamp,
) -> Result<Vec<Basis>, common::Error> {
    let (Some(first), Some(last)) = (standings.first(), standings.last()) else {
        return Ok(Vec::new());
    };
    let (program, version) = version_of(state, db, first).await?;
    let policy = &version.policy;
    let mut bases = Vec::with_capacity(standings.len());
    if let Some(window) = policy.summed_over() {
        for standing in standings {
            let earned = policy.earned_by(standing.qualification(), window);
            bases.push(basis(
                Arc::clone(&program),
                Arc::clone(&version),
                earned,
                as_of,
            ));
        }
        return Ok(bases);
    }
    let reach = |standing: &Standing| qualify::reach(policy, standing.member.enrolled_at, as_of);
    let since = SinceMany {
        program_id: &first.member.program_id,
        first: &first.member.customer_id,
        last: &last.member.customer_id,
        after: standings.iter().map(reach).min().unwrap_or(as_of),
        metric: policy.rules().metric,
    };
    let mut counted: HashMap<CustomerId, Vec<Counted>> = HashMap::new();
    for (customer_id, one) in qualifying::list_many(db, since).await? {
        counted.entry(customer_id).or_default().push(one);
    }
    for standing in standings {
        let own = counted.remove(&standing.member.customer_id);
        let record = Record {
            enrolled_at: standing.member.enrolled_at,
            counted: &own.unwrap_or_default(),
        };
        let earned = qualify::earned(policy, record, as_of);
        bases.push(basis(
            Arc::clone(&program),
            Arc::clone(&version),
            earned,
            as_of,
        ));
    }
    Ok(bases)
}

/// What a member's tier is decided on now, by what is noted in a transaction.
pub async fn within(
    state: &State,
    work: &mut Work<'_>,
    standing: &Standing,
) -> Result<Basis, common::Error> {
    let (_, version) = version_of(state, work.tx(), standing).await?;
    if version.policy.summed_over().is_none() {
        work.flush().await?;
    }
    let now = work.now();
    of(state, work.tx(), standing, now).await
}

/// What a member's tier is decided on once a plan has been noted. Notes in the standing what counts then.
pub async fn after(
    state: &State,
    work: &mut Work<'_>,
    standing: &mut Standing,
    (kind, created): (Kind, &[Lot]),
) -> Result<Basis, common::Error> {
    let (_, version) = version_of(state, work.tx(), standing).await?;
    let now = work.now();
    match (version.policy.summed_over(), kind) {
        (None, _) => {}
        (Some(_), Kind::Reverse | Kind::Cancel) => {
            work.flush().await?;
            let member = &standing.member;
            let of = [&member.customer_id];
            let read = members::list_standings(work.tx(), &of, &member.program_id, now).await?;
            let read = read.first().expect("the member is locked");
            standing.qualifies_by(read.qualification());
        }
        (Some(window), _) => {
            let at = Instant { as_of: now, window };
            let with = |sum: Qualification, lot: &Lot| sum.with(lot.qualifying, lot.earned_at, at);
            standing.qualifies_by(created.iter().fold(standing.qualification(), with));
        }
    }
    within(state, work, standing).await
}

/// The version that holds for a member at the instant that the standing was read for, and its program.
pub async fn version_of(
    state: &State,
    db: &mut impl Access,
    standing: &Standing,
) -> Result<(Arc<Program>, Arc<PolicyVersion>), common::Error> {
    let (program_id, version) = (&standing.member.program_id, standing.policy_version);
    let program = state.programs.holding(db, program_id, version).await?;
    let version = Arc::clone(version_in(&program, version)?);
    Ok((program, version))
}

/// A version that the program is known to have.
pub fn version_in(program: &Program, version: i64) -> Result<&Arc<PolicyVersion>, common::Error> {
    let missing = || {
        let program_id = &program.program_id;
        common::Error::Internal(format!("program {program_id}: no policy {version}"))
    };
    program.policies.get(version).ok_or_else(missing)
}

async fn earned_one_by_one(
    db: &mut impl Access,
    policy: &TierPolicy,
    standing: &Standing,
    as_of: Timestamp,
) -> Result<Earned, common::Error> {
    let enrolled_at = standing.member.enrolled_at;
    let since = Since {
        customer_id: &standing.member.customer_id,
        program_id: &standing.member.program_id,
        after: qualify::reach(policy, enrolled_at, as_of),
        metric: policy.rules().metric,
    };
    let counted = qualifying::list(db, since).await?;
    let record = Record {
        enrolled_at,
        counted: &counted,
    };
    Ok(qualify::earned(policy, record, as_of))
}

fn basis(
    program: Arc<Program>,
    version: Arc<PolicyVersion>,
    mut earned: Earned,
    as_of: Timestamp,
) -> Basis {
    let next = program.policies.next_after(as_of);
    earned.until = earned.until.into_iter().chain(next).min();
    Basis {
        program,
        version,
        earned,
    }
}
