//! What this service tells the others. Call with the customer's row locked.
//!
//! Invariant: no personal data: facts instead of profiles, interactions without their subject.

use api::customer::v1 as pb;
use common::db::Tx;
use common::ids::CustomerId;
use common::time::Timestamp;

use crate::domain::{Customer, Interaction, Merge, Transaction};

/// A customer is new.
pub fn customer_created(tx: &mut Tx, customer: &Customer) {
    let event = pb::CustomerCreated {
        customer: Some(customer.into()),
    };
    tx.emit(&customer.id, customer.revision, &event);
}

/// A customer's profile changed.
pub fn customer_updated(tx: &mut Tx, customer: &Customer, changed: &[&'static str]) {
    let event = pb::CustomerUpdated {
        customer: Some(customer.into()),
        changed_fields: owned(changed),
    };
    tx.emit(&customer.id, customer.revision, &event);
}

/// A customer is gone.
pub fn customer_deleted(tx: &mut Tx, id: &CustomerId, revision: i64) {
    tx.emit(
        id,
        revision,
        &pb::CustomerDeleted {
            customer_id: id.to_string(),
        },
    );
}

/// A customer is one of two that were merged.
pub fn customer_merged(tx: &mut Tx, customer: &Customer, merge: &Merge) {
    let event = pb::CustomerMerged {
        merge_id: merge.id.clone(),
        survivor_id: merge.survivor.to_string(),
        absorbed_id: merge.absorbed.to_string(),
        merged_at: Some(merge.merged_at.into()),
    };
    tx.emit(&customer.id, customer.revision, &event);
}

/// A customer is one of two whose merge is undone.
pub fn customer_unmerged(tx: &mut Tx, customer: &Customer, merge: &Merge, at: Timestamp) {
    let event = pb::CustomerUnmerged {
        merge_id: merge.id.clone(),
        survivor_id: merge.survivor.to_string(),
        absorbed_id: merge.absorbed.to_string(),
        merged_at: Some(merge.merged_at.into()),
        unmerged_at: Some(at.into()),
    };
    tx.emit(&customer.id, customer.revision, &event);
}

/// A purchase is recorded.
pub fn transaction_recorded(tx: &mut Tx, transaction: &Transaction, revision: i64) {
    let event = pb::TransactionRecorded {
        customer_id: transaction.customer_id.to_string(),
        transaction: Some(transaction.into()),
    };
    tx.emit(&transaction.customer_id, revision, &event);
}

/// A purchase counts no more.
pub fn transaction_voided(tx: &mut Tx, transaction: &Transaction, revision: i64) {
    let transaction_pb = pb::Transaction::from(transaction);
    let event = pb::TransactionVoided {
        customer_id: transaction.customer_id.to_string(),
        reason: transaction_pb.void_reason.clone(),
        transaction: Some(transaction_pb),
    };
    tx.emit(&transaction.customer_id, revision, &event);
}

/// An interaction is recorded.
pub fn interaction_recorded(tx: &mut Tx, interaction: &Interaction, revision: i64) {
    let event = pb::InteractionRecorded {
        customer_id: interaction.customer_id.to_string(),
        interaction: Some(pb::Interaction {
            subject: String::new(),
            ..interaction.into()
        }),
    };
    tx.emit(&interaction.customer_id, revision, &event);
}

/// Field names as a message holds them.
pub fn owned(names: &[&'static str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
