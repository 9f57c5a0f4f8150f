//! Work in the background: what an older version wrote in the clear is sealed, and data keys are wrapped again after the
//! key that wraps them was rotated.
//!
//! Nothing depends on it: rows in the clear are read as they are, and keys of the ring open what they wrap. Customers are
//! done in small batches, each in a transaction under the customers' locks, so calls and other replicas may do what
//! they want meanwhile: whoever comes second finds nothing left to do. What cannot be done is told and passed over.

use std::collections::BTreeSet;
use std::time::Duration;

use common::ids::CustomerId;
use common::telemetry::metrics;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::{data_keys, interactions, personal};
use crate::{State, store};

/// Customers or interactions of one transaction: on SQLite nobody else writes meanwhile.
const AT_ONCE: i64 = 200;

/// Passes over the tables every so often until stopped.
pub async fn run(state: State, every: Duration, stop: CancellationToken) {
    let mut told = BTreeSet::new();
    if let Err(error) = tell(&state, &mut told).await {
        tracing::warn!(%error, "what is sealed cannot be counted, trying again later");
    }
    if !state.keys.ring().seals() {
        tracing::warn!("personal data is written in the clear: sealing is set to later");
        return;
    }
    if every.is_zero() {
        return;
    }
    // While it waits for the first time, older replicas go: they cannot read what is sealed.
    while stop
        .run_until_cancelled(tokio::time::sleep(every))
        .await
        .is_some()
    {
        let done = async {
            pass(&state, &stop).await?;
            tell(&state, &mut told).await
        };
        if let Err(error) = done.await {
            tracing::warn!(%error, "sealing failed, trying again later");
        }
    }
}

async fn pass(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    seal_customers(state, stop).await?;
    seal_subjects(state, stop).await?;
    wrap_again(state, stop).await
}

async fn seal_customers(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    let mut after = String::new();
    while !stop.is_cancelled() {
        let mut reader = state.platform.reader().await?;
        let ids = personal::list_plain(&mut reader, &after, AT_ONCE).await?;
        drop(reader);
        let Some(last) = ids.last() else { break };
        after = last.to_string();
        all_or_each(state, ids.into_iter().collect(), Work::Customers).await?;
    }
    Ok(())
}

async fn seal_subjects(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    let mut after = (String::new(), String::new());
    while !stop.is_cancelled() {
        let mut reader = state.platform.reader().await?;
        let plain = interactions::list_plain(&mut reader, &after, AT_ONCE).await?;
        drop(reader);
        let Some(last) = plain.last() else { break };
        after = (last.0.to_string(), last.1.clone());
        let ids = plain.iter().map(|(customer_id, _)| customer_id.clone());
        all_or_each(state, ids.collect(), Work::Subjects(&plain)).await?;
    }
    Ok(())
}

async fn wrap_again(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    let counts = data_keys::counts(&mut state.platform.reader().await?).await?;
    let ring = state.keys.ring();
    for key_id in counts.into_keys().filter(|key_id| key_id != ring.current()) {
        if !ring.ids().any(|held| held == key_id) {
            tracing::error!(
                key_id,
                "data is sealed under an encryption key that is not in the file of keys: put it back"
            );
            continue;
        }
        let mut after = String::new();
        while !stop.is_cancelled() {
            let mut reader = state.platform.reader().await?;
            let ids = data_keys::list_under(&mut reader, &key_id, &after, AT_ONCE).await?;
            drop(reader);
            let Some(last) = ids.last() else { break };
            after = last.to_string();
            all_or_each(state, ids.into_iter().collect(), Work::Keys).await?;
        }
    }
    Ok(())
}

/// What is done to a batch of customers.
#[derive(Clone, Copy)]
enum Work<'a> {
    Customers,
    Subjects(&'a [(CustomerId, String)]),
    Keys,
}

/// Does a batch, or if that cannot be, whichever of its customers can be done.
async fn all_or_each(
    state: &State,
    ids: BTreeSet<CustomerId>,
    work: Work<'_>,
) -> Result<(), Error> {
    match do_in_tx(state, &ids, work).await {
        Err(error) if !is_database(&error) => {}
        done => return done,
    }
    for id in ids {
        let alone = BTreeSet::from([id.clone()]);
        match do_in_tx(state, &alone, work).await {
            Err(error) if !is_database(&error) => {
                tracing::error!(customer.id = %id, %error, "a customer's data cannot be sealed");
            }
            done => done?,
        }
    }
    Ok(())
}

async fn do_in_tx(state: &State, ids: &BTreeSet<CustomerId>, work: Work<'_>) -> Result<(), Error> {
    let ring = state.keys.ring();
    let mut tx = state.platform.tx().await?;
    // Who is gone by now has nothing left to seal, and who is here does not change from here on.
    let locked = store::lock(&mut tx, ids).await?;
    let ids: BTreeSet<_> = locked.into_keys().collect();
    match work {
        Work::Customers => personal::seal_plain(&mut tx, &ring, &ids).await?,
        Work::Subjects(plain) => {
            let plain = plain.iter().filter(|(id, _)| ids.contains(id));
            interactions::seal_plain(&mut tx, &ring, plain).await?;
        }
        Work::Keys => data_keys::update_wrapped(&mut tx, &ring, &ids).await?,
    }
    Ok(tx.commit().await?)
}

/// The next customer would fare no better.
fn is_database(error: &Error) -> bool {
    matches!(error, Error::Platform(common::Error::Database(_)))
}

/// Tells how much hangs on each key. A key of which nothing is left goes on being told of, with 0.
async fn tell(state: &State, told: &mut BTreeSet<String>) -> Result<(), Error> {
    let mut reader = state.platform.reader().await?;
    let counts = data_keys::counts(&mut reader).await?;
    let customers = personal::count_plain(&mut reader).await?;
    let subjects = interactions::count_plain(&mut reader).await?;
    let ring = state.keys.ring();
    told.extend(counts.keys().cloned());
    told.extend(ring.ids().map(str::to_owned));
    let source = state.platform.source;
    for key_id in &*told {
        let held = ring.ids().any(|id| id == key_id);
        let count = counts.get(key_id).copied().unwrap_or_default();
        metrics::sealing_data_keys(source, key_id, held, count.unsigned_abs());
        metrics::sealing_data_keys(source, key_id, !held, 0);
    }
    metrics::sealing_plain_rows(source, "personal_data", customers.unsigned_abs());
    metrics::sealing_plain_rows(source, "interaction", subjects.unsigned_abs());
    Ok(())
}
