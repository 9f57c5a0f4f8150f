//! Rating the whole base again: keyset batches, a transaction each, readable throughout.

use common::ids::CustomerId;
use common::platform::Platform;
use common::time::Timestamp;

use crate::error::Error;
use crate::frozen::FrozenCache;
use crate::ratings::{Summary, rate};
use crate::store;
use crate::store::ratings as rows;

const BATCH: i64 = 1_000;

/// Rates every customer as of a moment with the active model. Running it twice does no harm.
pub(crate) async fn rerate_all(
    platform: &Platform,
    cache: &FrozenCache,
    as_of: Timestamp,
) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let mut after = String::new();
    loop {
        let page = store::list_customers(&mut platform.reader().await?, &after, BATCH).await?;
        let Some(last) = page.last() else {
            return Ok(summary);
        };
        last.as_str().clone_into(&mut after);
        let busy = rate_free(platform, cache, &page, as_of, &mut summary).await?;
        for customer in busy {
            rate_busy(platform, cache, &customer, as_of, &mut summary).await?;
        }
    }
}

/// Rates those of a page whom no other transaction holds, and returns the others.
async fn rate_free(
    platform: &Platform,
    cache: &FrozenCache,
    page: &[CustomerId],
    as_of: Timestamp,
    summary: &mut Summary,
) -> Result<Vec<CustomerId>, Error> {
    let mut tx = platform.tx().await?;
    let locked = rows::lock_free(&mut tx, page).await?;
    // Read after the locks: what became active meanwhile is what these customers are rated with.
    let frozen = cache.get_current(&mut tx).await?;
    let ids: Vec<_> = locked
        .iter()
        .map(|(customer, _)| customer.clone())
        .collect();
    let previous = rows::list(&mut tx, &ids).await?;
    let done = rate(&mut tx, &frozen, &locked, previous, as_of).await?;
    tx.commit().await?;
    summary.add(done);
    Ok(page
        .iter()
        .filter(|customer| !ids.contains(customer))
        .cloned()
        .collect())
}

/// Waits for one customer, holding nothing else, so that no circle of waiting can close.
async fn rate_busy(
    platform: &Platform,
    cache: &FrozenCache,
    customer: &CustomerId,
    as_of: Timestamp,
    summary: &mut Summary,
) -> Result<(), Error> {
    let mut tx = platform.tx().await?;
    let Some(locked) = rows::lock_one(&mut tx, customer).await? else {
        return Ok(());
    };
    let frozen = cache.get_current(&mut tx).await?;
    let previous = rows::list(&mut tx, std::slice::from_ref(customer)).await?;
    let done = rate(&mut tx, &frozen, &[locked], previous, as_of).await?;
    tx.commit().await?;
    summary.add(done);
    Ok(())
}
