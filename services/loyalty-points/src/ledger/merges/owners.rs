//! Who of those that a member stands for has what is asked of it.

use std::collections::BTreeSet;

use common::ids::CustomerId;

use super::{find, lock_on};
use crate::domain::program::Program;
use crate::error::Error;
use crate::store::{merge_parts, merges};
use crate::work::Work;

/// Who of those that a member stands for has a posting, locked with all that its points go on to: before anything is
/// decided, so that it all is at one instant.
pub async fn owner_of(
    work: &mut Work<'_>,
    program: &Program,
    (asked, posting_id): (&CustomerId, &str),
) -> Result<Option<CustomerId>, Error> {
    if !stands_for_others(work, program, asked).await? {
        return Ok(None);
    }
    let name = program.program_id.as_str();
    let owner = merges::find_owner(work.tx(), name, asked, posting_id).await?;
    let owners = still_merged(work, program, asked, owner).await?;
    Ok(owners.into_iter().next())
}

/// Who of those that a member stands for has earned for a source, likewise.
pub async fn earners_of(
    work: &mut Work<'_>,
    program: &Program,
    asked: &CustomerId,
    source: (&str, &str),
) -> Result<Vec<CustomerId>, Error> {
    if !stands_for_others(work, program, asked).await? {
        return Ok(Vec::new());
    }
    let name = program.program_id.as_str();
    let earners = merges::list_earners(work.tx(), name, asked, source).await?;
    still_merged(work, program, asked, earners).await
}

/// The other lots of the earning that a lot is of, with members who are the same person, likewise.
pub async fn lots_of_same_earning(
    work: &mut Work<'_>,
    program: &Program,
    (asked, lot_id): (&CustomerId, &str),
) -> Result<Vec<(CustomerId, String)>, Error> {
    if !stands_for_others(work, program, asked).await? {
        return Ok(Vec::new());
    }
    let name = program.program_id.as_str();
    let mut lots = merge_parts::list_of_same_earning(work.tx(), name, (asked, lot_id)).await?;
    let others = lots.iter().map(|(customer_id, _)| customer_id.clone());
    let others: BTreeSet<_> = others.filter(|customer_id| customer_id != asked).collect();
    let still = still_merged(work, program, asked, others).await?;
    lots.retain(|(customer_id, _)| customer_id == asked || still.contains(customer_id));
    Ok(lots)
}

async fn stands_for_others(
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
) -> Result<bool, Error> {
    if work.lock(customer_id).await?.is_none() {
        return Ok(false);
    }
    let standings = work.standings(customer_id, program.program_id.as_str());
    let stands = standings.await?.iter().any(|standing| standing.absorbs);
    if stands {
        work.flush().await?;
    }
    Ok(stands)
}

/// Locks them; who was parted while this waited for its lock is none of them.
async fn still_merged(
    work: &mut Work<'_>,
    program: &Program,
    root: &CustomerId,
    absorbed: impl IntoIterator<Item = CustomerId>,
) -> Result<Vec<CustomerId>, Error> {
    let mut still = Vec::new();
    for customer_id in absorbed {
        lock_on(work, program, &customer_id).await?;
        let standing = find(work, program, &customer_id).await?;
        if standing.member.survivor.as_ref() == Some(root) {
            still.push(customer_id);
        }
    }
    Ok(still)
}
