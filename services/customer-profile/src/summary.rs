//! What this service knows about a customer, in one answer.

use api::customer::v1 as pb;
use common::db::Access;
use common::ids::CustomerId;
use common::money::Money;
use common::sealing::KeyRing;
use common::time::Timestamp;

use crate::error::Error;
use crate::store::{self, InteractionStats, SpendStats};

/// Counts and sums up to an instant. `db` is one snapshot: several tables are read.
pub async fn get(
    db: &mut impl Access,
    ring: &KeyRing,
    customer_id: &CustomerId,
    as_of: Timestamp,
) -> Result<pb::CustomerSummary, Error> {
    let customer = store::find(db, ring, customer_id).await?;
    let customer = customer.ok_or_else(|| Error::CustomerNotFound(customer_id.clone()))?;
    let spend = store::spend_stats(db, customer_id, as_of).await?;
    let mut interactions = store::interaction_stats(db, customer_id, as_of).await?;
    interactions.sort_by_key(|stats| i32::from(pb::Channel::from(stats.channel)));
    Ok(pb::CustomerSummary {
        transaction_count: spend.iter().map(|stats| stats.count).sum(),
        voided_transaction_count: store::voided_count(db, customer_id, as_of).await?,
        first_purchase_at: spend
            .iter()
            .map(|stats| stats.first_at)
            .min()
            .map(Into::into),
        last_purchase_at: spend
            .iter()
            .map(|stats| stats.last_at)
            .max()
            .map(Into::into),
        last_interaction_at: interactions
            .iter()
            .map(|stats| stats.last_at)
            .max()
            .map(Into::into),
        interactions: interactions.iter().map(interaction_count).collect(),
        spend: spend.into_iter().map(spend_in_currency).collect(),
        freshness: Some(pb::Freshness {
            as_of: Some(as_of.into()),
            revision: customer.revision,
            changed_at: Some(customer.changed_at.into()),
        }),
        customer: Some((&customer).into()),
    })
}

fn spend_in_currency(stats: SpendStats) -> pb::Spend {
    pb::Spend {
        amount: Some(
            Money {
                micros: stats.total_micros(),
                currency: stats.currency,
            }
            .into(),
        ),
        transaction_count: stats.count,
    }
}

fn interaction_count(stats: &InteractionStats) -> pb::InteractionCount {
    pb::InteractionCount {
        channel: pb::Channel::from(stats.channel).into(),
        count: stats.count,
    }
}
