//! Merges of customers, as the customer service announces them.

use common::ids::CustomerId;
use common::time::Timestamp;

use super::give_back::undo;
use super::{absorb, program_of};
use crate::State;
use crate::error::Error;
use crate::members;
use crate::store::merges::{self, MergeRow};
use crate::work::Work;

/// A merge that the customer service announced, or announced to be undone.
#[derive(Debug, Clone)]
pub struct Announced {
    /// Its identifier.
    pub merge_id: String,
    /// Who stands for both.
    pub survivor: CustomerId,
    /// The other one.
    pub absorbed: CustomerId,
    /// When.
    pub merged_at: Timestamp,
}

/// Who acts by the customer service's events.
pub const FEED: &str = "customer";

/// The caller who acts; nobody where the customer service announced it.
pub(super) fn caller(actor: &str) -> Option<String> {
    (actor != FEED).then(|| actor.to_owned())
}

/// Merges the members that the customers are, in every program that the absorbed one is in. The survivor is enrolled
/// where it is not. Nothing happens where the merge is known, or the member was merged otherwise before.
pub async fn announced(
    state: &State,
    work: &mut Work<'_>,
    announced: &Announced,
) -> Result<(), Error> {
    let Announced {
        merge_id,
        survivor,
        absorbed,
        merged_at,
    } = announced;
    if work.lock(absorbed).await?.is_none() {
        return Ok(());
    }
    for standing in work.standings(absorbed, "").await? {
        let program = program_of(state, work, &standing).await?;
        let name = program.program_id.as_str();
        if merges::find(work.tx(), name, merge_id).await?.is_some() {
            continue;
        }
        if standing.member.is_closed() || standing.member.survivor.is_some() {
            tracing::warn!(program.id = %name, customer.id = %absorbed, merge.id = %merge_id,
                "a merge of customers finds a member that is closed or merged already");
            continue;
        }
        if work.lock(survivor).await?.is_none() || work.standings(survivor, name).await?.is_empty()
        {
            let enroll = members::Enroll {
                program_id: program.program_id.clone(),
                customer_id: survivor.clone(),
                at_least: String::new(),
                actor: String::new(),
                reason: String::new(),
            };
            let tx = work.past(survivor).await?;
            members::enroll(state, tx, &enroll).await?;
        }
        let merge = MergeRow {
            program_id: name.to_owned(),
            merge_id: merge_id.clone(),
            survivor: survivor.clone(),
            absorbed: absorbed.clone(),
            actor: FEED.to_owned(),
            reason: "customers merged".to_owned(),
            merged_at: *merged_at,
            unmerged_at: None,
            unmerge_actor: None,
            unmerge_reason: None,
        };
        Box::pin(absorb(state, work, &program, merge)).await?;
    }
    Ok(())
}

/// Undoes what a merge of customers did, in every program. A merge that was not heard of before is noted as undone, so
/// that it has no effect when it is heard of.
pub async fn announced_undone(
    state: &State,
    work: &mut Work<'_>,
    announced: &Announced,
    unmerged_at: Timestamp,
) -> Result<(), Error> {
    let absorbed = &announced.absorbed;
    if work.lock(absorbed).await?.is_none() {
        return Ok(());
    }
    for standing in work.standings(absorbed, "").await? {
        let program = program_of(state, work, &standing).await?;
        let name = program.program_id.as_str();
        match merges::find(work.tx(), name, &announced.merge_id).await? {
            Some(merge) if merge.unmerged_at.is_some() => {}
            Some(merge) => {
                let undone = MergeRow {
                    unmerged_at: Some(unmerged_at.max(merge.merged_at)),
                    unmerge_actor: Some(FEED.to_owned()),
                    unmerge_reason: Some("customers unmerged".to_owned()),
                    ..merge
                };
                Box::pin(undo(state, work, &program, undone)).await?;
            }
            None => {
                let merge = MergeRow {
                    program_id: name.to_owned(),
                    merge_id: announced.merge_id.clone(),
                    survivor: announced.survivor.clone(),
                    absorbed: absorbed.clone(),
                    actor: FEED.to_owned(),
                    reason: "customers merged".to_owned(),
                    merged_at: announced.merged_at,
                    unmerged_at: Some(unmerged_at.max(announced.merged_at)),
                    unmerge_actor: Some(FEED.to_owned()),
                    unmerge_reason: Some("customers unmerged".to_owned()),
                };
                merges::insert(work.direct(), &merge).await?;
            }
        }
    }
    Ok(())
}
