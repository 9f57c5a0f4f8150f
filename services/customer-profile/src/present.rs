//! The domain as messages, for answers and for events.

use api::customer::v1 as pb;
use common::money::Money;
use common::validate::Violations;

use crate::domain::{
    Channel, Contact, ContactKind, Customer, Gender, Interaction, Merge, Personal, Transaction,
};

impl From<&Customer> for pb::Customer {
    fn from(customer: &Customer) -> Self {
        let profile = &customer.profile;
        let Personal {
            contacts,
            address,
            birth_date,
            gender,
            ..
        } = &profile.personal;
        let merged = customer.merged.as_ref();
        Self {
            customer_id: customer.id.to_string(),
            name: Some(name(&profile.personal)).filter(|name| *name != pb::PersonName::default()),
            contacts: contacts.iter().map(contact).collect(),
            address: Some(pb::PostalAddress {
                lines: address.lines.clone(),
                city: address.city.clone(),
                region: address.region.clone(),
                postal_code: address.postal_code.clone(),
                country_code: address.country_code.clone(),
            })
            .filter(|address| *address != pb::PostalAddress::default()),
            birth_date: birth_date.map(|date| date.to_string()).unwrap_or_default(),
            gender: pb::Gender::from(*gender).into(),
            industry: profile.industry.clone(),
            source: profile.source.clone(),
            tags: profile.tags.iter().cloned().collect(),
            attributes: profile.attributes.clone(),
            external_ids: profile.external_ids.clone(),
            created_at: Some(customer.created_at.into()),
            updated_at: Some(customer.updated_at.into()),
            etag: customer.etag(),
            revision: customer.revision,
            merged_into: merged
                .map(|merged| merged.into.to_string())
                .unwrap_or_default(),
            survivor_id: merged
                .map(|merged| merged.survivor.to_string())
                .unwrap_or_default(),
        }
    }
}

fn name(personal: &Personal) -> pb::PersonName {
    pb::PersonName {
        display_name: personal.display_name.clone(),
        given_name: personal.given_name.clone(),
        family_name: personal.family_name.clone(),
    }
}

fn contact(contact: &Contact) -> pb::Contact {
    pb::Contact {
        r#type: pb::ContactType::from(contact.kind).into(),
        value: contact.value.clone(),
        label: contact.label.clone(),
    }
}

impl From<&Customer> for pb::CustomerFacts {
    fn from(customer: &Customer) -> Self {
        Self {
            customer_id: customer.id.to_string(),
            industry: customer.profile.industry.clone(),
            source: customer.profile.source.clone(),
            tags: customer.profile.tags.iter().cloned().collect(),
            attributes: customer.profile.attributes.clone(),
            created_at: Some(customer.created_at.into()),
            etag: customer.etag(),
        }
    }
}

impl From<&Transaction> for pb::Transaction {
    fn from(transaction: &Transaction) -> Self {
        let currency = &transaction.total.currency;
        let line = |line: &crate::domain::Line| pb::TransactionLine {
            sku: line.sku.clone(),
            category: line.category.clone(),
            quantity: line.quantity,
            amount: Some(
                Money {
                    currency: currency.clone(),
                    micros: line.amount_micros,
                }
                .into(),
            ),
        };
        let voided = transaction.voided.as_ref();
        Self {
            transaction_id: transaction.id.clone(),
            customer_id: transaction.customer_id.to_string(),
            source: transaction.key.source.clone(),
            external_id: transaction.key.external_id.clone(),
            occurred_at: Some(transaction.occurred_at.into()),
            total: Some(transaction.total.clone().into()),
            lines: transaction.lines.iter().map(line).collect(),
            recorded_at: Some(transaction.recorded_at.into()),
            voided_at: voided.map(|voided| voided.at.into()),
            void_reason: voided
                .map(|voided| voided.reason.clone())
                .unwrap_or_default(),
        }
    }
}

impl From<&Interaction> for pb::Interaction {
    fn from(interaction: &Interaction) -> Self {
        Self {
            interaction_id: interaction.id.clone(),
            customer_id: interaction.customer_id.to_string(),
            source: interaction.key.source.clone(),
            external_id: interaction.key.external_id.clone(),
            channel: pb::Channel::from(interaction.channel).into(),
            r#type: interaction.kind.clone(),
            subject: interaction.subject.clone(),
            occurred_at: Some(interaction.occurred_at.into()),
            recorded_at: Some(interaction.recorded_at.into()),
        }
    }
}

impl From<&Merge> for pb::Merge {
    fn from(merge: &Merge) -> Self {
        let undone = merge.undone.as_ref();
        Self {
            merge_id: merge.id.clone(),
            survivor_id: merge.survivor.to_string(),
            absorbed_id: merge.absorbed.to_string(),
            actor: merge.actor.clone(),
            reason: merge.reason.clone(),
            merged_at: Some(merge.merged_at.into()),
            unmerged_at: undone.map(|undone| undone.at.into()),
            unmerge_actor: undone
                .map(|undone| undone.actor.clone())
                .unwrap_or_default(),
            unmerge_reason: undone
                .map(|undone| undone.reason.clone())
                .unwrap_or_default(),
        }
    }
}

/// What is wrong with an item, for its outcome.
pub fn violations(violations: &Violations) -> Vec<pb::FieldViolation> {
    let violation = |violation: &common::validate::Violation| pb::FieldViolation {
        field: violation.field.clone(),
        description: violation.description.clone(),
    };
    violations.iter().map(violation).collect()
}

impl From<Gender> for pb::Gender {
    fn from(gender: Gender) -> Self {
        match gender {
            Gender::Unknown => Self::Unspecified,
            Gender::Female => Self::Female,
            Gender::Male => Self::Male,
            Gender::Other => Self::Other,
            Gender::Undisclosed => Self::Undisclosed,
        }
    }
}

impl From<ContactKind> for pb::ContactType {
    fn from(kind: ContactKind) -> Self {
        match kind {
            ContactKind::Email => Self::Email,
            ContactKind::Phone => Self::Phone,
            ContactKind::Mobile => Self::Mobile,
            ContactKind::Messenger => Self::Messenger,
            ContactKind::Social => Self::Social,
            ContactKind::Web => Self::Web,
            ContactKind::Other => Self::Other,
        }
    }
}

impl From<Channel> for pb::Channel {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Email => Self::Email,
            Channel::Phone => Self::Phone,
            Channel::Sms => Self::Sms,
            Channel::Chat => Self::Chat,
            Channel::Web => Self::Web,
            Channel::App => Self::App,
            Channel::Store => Self::Store,
            Channel::Social => Self::Social,
            Channel::Mail => Self::Mail,
            Channel::Other => Self::Other,
        }
    }
}
