//! Imports: a chunk of rows is one transaction, and a repeated chunk changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use api::customer::v1 as pb;
use common::db::Tx;
use common::platform::Platform;
use common::sealing::KeyRing;
use common::validate::Violations;

use crate::domain::{Customer, Import, ImportRow, Key, RowDecision, Transaction};
use crate::error::Error;
use crate::records::record;
use crate::{State, events, present, store};

/// A chunk that meets another writer is done again this often before the caller learns of it.
const ATTEMPTS_MAX: usize = 5;

/// Rows with their numbers; those that did not parse bring their violations along.
pub struct Chunk<T> {
    /// Number of each row.
    pub numbers: Vec<i64>,
    /// The rows.
    pub rows: Vec<Result<T, Violations>>,
}

impl<T> Chunk<T> {
    fn last_row(&self) -> i64 {
        self.numbers.last().copied().unwrap_or_default()
    }
}

/// Imports one chunk of customers.
pub async fn customers(
    state: &State,
    chunk: Chunk<ImportRow>,
) -> Result<pb::ImportCustomersResponse, Error> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut tx = state.platform.tx().await?;
        match customers_in(state, &mut tx, &chunk).await {
            Err(error) if error.is_race() && attempt < ATTEMPTS_MAX => {}
            outcomes => {
                let outcomes = outcomes?;
                tx.commit().await?;
                return Ok(pb::ImportCustomersResponse {
                    outcomes,
                    last_row: chunk.last_row(),
                });
            }
        }
    }
}

/// Imports one chunk of purchases.
pub async fn transactions(
    state: &State,
    chunk: Chunk<Transaction>,
) -> Result<pb::ImportTransactionsResponse, Error> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut tx = state.platform.tx().await?;
        match record(state, &mut tx, &chunk.rows).await {
            Err(error) if error.is_race() && attempt < ATTEMPTS_MAX => {}
            recorded => {
                let outcomes = recorded?.outcomes;
                tx.commit().await?;
                let outcome =
                    |(row, outcome): (&i64, pb::RecordOutcome)| pb::TransactionRowOutcome {
                        row: *row,
                        outcome: Some(outcome),
                    };
                return Ok(pb::ImportTransactionsResponse {
                    outcomes: chunk.numbers.iter().zip(outcomes).map(outcome).collect(),
                    last_row: chunk.last_row(),
                });
            }
        }
    }
}

async fn customers_in(
    state: &State,
    tx: &mut Tx,
    chunk: &Chunk<ImportRow>,
) -> Result<Vec<pb::CustomerRowOutcome>, Error> {
    let ring = state.keys.ring();
    let mut import = read(tx, &ring, chunk).await?;
    let now = tx.now();
    let mut created = BTreeMap::new();
    let mut updated: BTreeMap<_, Customer> = BTreeMap::new();
    let mut told = Vec::new();
    let mut outcomes = Vec::with_capacity(chunk.rows.len());
    for (number, row) in chunk.numbers.iter().zip(&chunk.rows) {
        let row = match row {
            Ok(row) => row,
            Err(violations) => {
                outcomes.push(malformed(*number, violations));
                continue;
            }
        };
        let decision = import.decide(row, now);
        outcomes.push(outcome(&state.platform, &import, *number, &decision));
        match decision {
            RowDecision::Create(customer) => {
                created.insert(customer.id.clone(), customer.clone());
                told.push((customer, Vec::new()));
            }
            RowDecision::Update(customer, changed) => {
                // A customer created by an earlier row of the chunk is inserted as its last row leaves it.
                let of = if created.contains_key(&customer.id) {
                    &mut created
                } else {
                    &mut updated
                };
                of.insert(customer.id.clone(), customer.clone());
                told.push((customer, changed));
            }
            RowDecision::Unchanged(_) | RowDecision::Refuse(_) => {}
        }
    }
    store::update(tx, &ring, &updated.values().collect::<Vec<_>>()).await?;
    store::insert(tx, &ring, &created.values().collect::<Vec<_>>()).await?;
    for (customer, changed) in told {
        match changed.as_slice() {
            [] => events::customer_created(tx, &customer),
            changed => events::customer_updated(tx, &customer, changed),
        }
    }
    Ok(outcomes)
}

/// Locks and reads every customer that the rows may touch.
async fn read(tx: &mut Tx, ring: &KeyRing, chunk: &Chunk<ImportRow>) -> Result<Import, Error> {
    let rows = || chunk.rows.iter().flatten();
    let keys: BTreeSet<Key> = rows().flat_map(|row| row.profile.external_keys()).collect();
    let owners = store::owners(tx, &keys).await?;
    let ids: BTreeSet<_> = rows()
        .filter_map(|row| row.customer_id.clone())
        .chain(owners.values().cloned())
        .collect();
    store::lock(tx, &ids).await?;
    let customers = store::load(tx, ring, &ids).await?;
    // Before the lock an external id may have moved: its owner must be one of the locked, and have it still.
    let has = |key: &Key, customer: &Customer| {
        customer.profile.external_ids.get(&key.source) == Some(&key.external_id)
    };
    let stands = |(key, owner)| {
        customers
            .get(owner)
            .is_some_and(|customer| has(key, customer))
    };
    if !owners.iter().all(stands) {
        return Err(Error::KeyRaced);
    }
    let retired = store::retired(tx, &ids).await?;
    Ok(Import {
        customers,
        owners,
        retired,
    })
}

fn outcome(
    platform: &Platform,
    import: &Import,
    row: i64,
    decision: &RowDecision,
) -> pb::CustomerRowOutcome {
    let (status, id) = match decision {
        RowDecision::Create(customer) => (pb::ImportStatus::Created, &customer.id),
        RowDecision::Update(customer, _) => (pb::ImportStatus::Updated, &customer.id),
        RowDecision::Unchanged(id) => (pb::ImportStatus::Unchanged, id),
        RowDecision::Refuse(refusal) => {
            return pb::CustomerRowOutcome {
                row,
                status: pb::ImportStatus::Refused.into(),
                reason: refusal.reason().to_owned(),
                ..Default::default()
            };
        }
    };
    let revision = import
        .customers
        .get(id)
        .map_or(0, |customer| customer.revision);
    pb::CustomerRowOutcome {
        row,
        status: status.into(),
        customer_id: id.to_string(),
        consistency_token: platform.token(id, revision),
        ..Default::default()
    }
}

fn malformed(row: i64, violations: &Violations) -> pb::CustomerRowOutcome {
    pb::CustomerRowOutcome {
        row,
        status: pb::ImportStatus::Refused.into(),
        reason: "INVALID_REQUEST".to_owned(),
        violations: present::violations(violations),
        ..Default::default()
    }
}
