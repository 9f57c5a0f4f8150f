//! How many members have which tier.

use std::collections::HashMap;

use common::db::Access;
use common::ids::CustomerId;
use common::time::Timestamp;

use super::basis;
use crate::State;
use crate::domain::program::Program;
use crate::store::members::{self, Batch};
use crate::store::summary::{self, CountedBy, TierCount};
use crate::store::tier_overrides;

/// Members decided in one go.
const AT_ONCE: i64 = 1000;

/// Members by the tier they have at an instant; every tier of the policy that holds then, lowest first.
pub async fn list(
    state: &State,
    db: &mut impl Access,
    program: &Program,
    as_of: Timestamp,
) -> Result<Vec<TierCount>, common::Error> {
    let version = program.policy_at(as_of);
    let program_id = program.program_id.as_str();
    if let Some(window) = version.policy.summed_over() {
        let by = CountedBy {
            program_id,
            version: version.version,
            window,
        };
        return summary::list_tier_counts(db, by, as_of).await;
    }
    let mut members: HashMap<String, i64> = HashMap::new();
    let mut after = String::new();
    loop {
        let batch = Batch {
            program_id,
            after: &after,
            limit: AT_ONCE,
        };
        let standings = members::list_batch(db, batch, as_of).await?;
        let [first, ..] = standings.as_slice() else {
            break;
        };
        let last = &standings[standings.len() - 1].member.customer_id;
        let range = (&first.member.customer_id, last);
        let given = tier_overrides::list_at(db, program_id, range, as_of).await?;
        let given: HashMap<CustomerId, String> = given.into_iter().collect();
        let bases = basis::of_many(state, db, &standings, as_of).await?;
        for (standing, basis) in standings.iter().zip(bases) {
            let given = given.get(&standing.member.customer_id);
            let given = given.filter(|given| basis.policy().find(given).is_some());
            let tier = given.map_or(basis.earned_tier(), String::as_str);
            *members.entry(tier.to_owned()).or_default() += 1;
        }
        last.as_str().clone_into(&mut after);
    }
    let count = |tier: &crate::domain::tiers::Tier| TierCount {
        members: members.get(&tier.name).copied().unwrap_or(0),
        name: tier.name.clone(),
        rank: tier.rank,
    };
    Ok(version.policy.tiers().iter().map(count).collect())
}
