//! Recording batches of purchases and interactions: each once, however often it is sent.

use std::collections::{BTreeSet, HashMap};

use api::customer::v1 as pb;
use common::db::Tx;
use common::sealing::KeyRing;
use common::validate::Violations;

use crate::domain::{Decision, Fact, Interaction, Key, Transaction, decide};
use crate::error::Error;
use crate::{State, events, present, store};

/// A kind of fact, with its table and its event.
pub trait Record: Fact + Clone + Send + Sync {
    /// Reason of a conflict.
    const DIFFERS: &'static str;
    /// What is recorded under the keys.
    fn find(
        tx: &mut Tx,
        ring: &KeyRing,
        keys: &[&Key],
    ) -> impl Future<Output = Result<Vec<Self>, Error>> + Send;
    /// Inserts new ones; returns how many.
    fn insert(
        tx: &mut Tx,
        ring: &KeyRing,
        new: &[&Self],
    ) -> impl Future<Output = Result<u64, Error>> + Send;
    /// Tells the others.
    fn emit(&self, tx: &mut Tx, revision: i64);
}

impl Record for Transaction {
    const DIFFERS: &'static str = "TRANSACTION_DIFFERS";

    async fn find(tx: &mut Tx, _: &KeyRing, keys: &[&Key]) -> Result<Vec<Self>, Error> {
        store::transactions::find_by_keys(tx, keys).await
    }

    async fn insert(tx: &mut Tx, _: &KeyRing, new: &[&Self]) -> Result<u64, Error> {
        store::transactions::insert(tx, new).await
    }

    fn emit(&self, tx: &mut Tx, revision: i64) {
        events::transaction_recorded(tx, self, revision);
    }
}

impl Record for Interaction {
    const DIFFERS: &'static str = "INTERACTION_DIFFERS";

    async fn find(tx: &mut Tx, ring: &KeyRing, keys: &[&Key]) -> Result<Vec<Self>, Error> {
        store::interactions::find_by_keys(tx, ring, keys).await
    }

    async fn insert(tx: &mut Tx, ring: &KeyRing, new: &[&Self]) -> Result<u64, Error> {
        store::interactions::insert(tx, ring, new).await
    }

    fn emit(&self, tx: &mut Tx, revision: i64) {
        events::interaction_recorded(tx, self, revision);
    }
}

/// The outcome of each item, at the same index.
pub struct Recorded {
    /// The outcomes.
    pub outcomes: Vec<pb::RecordOutcome>,
    /// Token of the last change; empty when nothing changed.
    pub token: String,
}

/// Records a batch. Items that did not parse bring their violations along.
pub async fn record<R: Record>(
    state: &State,
    tx: &mut Tx,
    items: &[Result<R, Violations>],
) -> Result<Recorded, Error> {
    let ring = state.keys.ring();
    let valid: Vec<&R> = items.iter().flatten().collect();
    let ids: BTreeSet<_> = valid
        .iter()
        .map(|item| item.customer_id().clone())
        .collect();
    // Locked first: whatever another writer recorded for these customers is visible from here on.
    let mut revisions = store::lock(tx, &ids).await?;
    let keys: BTreeSet<_> = valid.iter().map(|item| item.key()).collect();
    let known = R::find(tx, &ring, &keys.into_iter().collect::<Vec<_>>()).await?;
    let mut known: HashMap<_, _> = known.into_iter().map(|of| (of.key().clone(), of)).collect();

    let survivors = store::merges::survivors(tx, &ids).await?;
    let decisions = decide(&valid, &mut revisions, &mut known);
    write(tx, &ring, &valid, &decisions).await?;

    let mut token = String::new();
    let mut decided = valid.iter().zip(decisions);
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        let item = match item {
            Ok(item) => item,
            Err(violations) => {
                outcomes.push(malformed(violations));
                continue;
            }
        };
        let (_, decision) = decided.next().expect("every valid item was decided");
        if let Decision::Record { revision } = decision {
            token = state.platform.token(item.customer_id(), revision);
        }
        // Already recorded: the customer as it is now has the fact for certain.
        let revision = match decision {
            Decision::Record { revision } => revision,
            _ => revisions
                .get(item.customer_id())
                .copied()
                .unwrap_or_default(),
        };
        let item_token = state.platform.token(item.customer_id(), revision);
        let mut outcome = outcome::<R>(item.id(), decision, item_token);
        if outcome.status() != pb::RecordStatus::Refused {
            let survivor = survivors.get(item.customer_id());
            outcome.survivor_id = survivor.map(ToString::to_string).unwrap_or_default();
        }
        outcomes.push(outcome);
    }
    Ok(Recorded { outcomes, token })
}

async fn write<R: Record>(
    tx: &mut Tx,
    ring: &KeyRing,
    items: &[&R],
    decisions: &[Decision],
) -> Result<(), Error> {
    let mut new = Vec::new();
    let mut revisions = std::collections::BTreeMap::new();
    for (item, decision) in items.iter().zip(decisions) {
        if let Decision::Record { revision } = decision {
            new.push((*item, *revision));
            revisions.insert(item.customer_id(), *revision);
        }
    }
    if new.is_empty() {
        return Ok(());
    }
    let facts: Vec<&R> = new.iter().map(|(item, _)| *item).collect();
    // Fewer: another customer's writer took a key since we looked.
    if R::insert(tx, ring, &facts).await? != facts.len() as u64 {
        return Err(Error::KeyRaced);
    }
    let revisions: Vec<_> = revisions.into_iter().collect();
    let now = tx.now();
    store::update_revisions(tx, &revisions, now).await?;
    for (item, revision) in new {
        item.emit(tx, revision);
    }
    Ok(())
}

fn outcome<R: Record>(new_id: &str, decision: Decision, token: String) -> pb::RecordOutcome {
    match decision {
        Decision::Record { .. } => pb::RecordOutcome {
            status: pb::RecordStatus::Recorded.into(),
            id: new_id.to_owned(),
            consistency_token: token,
            ..Default::default()
        },
        Decision::Already { id } => pb::RecordOutcome {
            status: pb::RecordStatus::AlreadyRecorded.into(),
            id,
            consistency_token: token,
            ..Default::default()
        },
        Decision::Conflict { id, differing } => pb::RecordOutcome {
            status: pb::RecordStatus::Conflict.into(),
            id,
            reason: R::DIFFERS.to_owned(),
            differing_fields: events::owned(&differing),
            ..Default::default()
        },
        Decision::UnknownCustomer => pb::RecordOutcome {
            status: pb::RecordStatus::Refused.into(),
            reason: "CUSTOMER_NOT_FOUND".to_owned(),
            ..Default::default()
        },
    }
}

fn malformed(violations: &Violations) -> pb::RecordOutcome {
    pb::RecordOutcome {
        status: pb::RecordStatus::Refused.into(),
        reason: "INVALID_REQUEST".to_owned(),
        violations: present::violations(violations),
        ..Default::default()
    }
}
