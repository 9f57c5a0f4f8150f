//! What is kept of the customer service's change feed.

use std::collections::BTreeSet;

use api::customer::v1 as pb;
use common::consumer::{ApplyError, Event, Projection};
use common::db::Tx;
use common::ids::CustomerId;
use common::money::Currency;
use common::time::Timestamp;

use crate::domain::day::Day;
use crate::error::Error;
use crate::events;
use crate::frozen::FrozenCache;
use crate::ratings;
use crate::store::purchases::{self, Direction, Purchase};

/// Keeps customers and the days of their purchases, and rates at once.
#[derive(Debug, Clone)]
pub struct Purchases {
    currency: Currency,
    frozen: FrozenCache,
}

impl Projection for Purchases {
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), ApplyError> {
        let customer = &event.customer_id;
        if let Some(recorded) = event.unpack::<pb::TransactionRecorded>()? {
            let purchase = self.purchase(customer, recorded.transaction)?;
            Ok(self.record(tx, &purchase).await?)
        } else if let Some(voided) = event.unpack::<pb::TransactionVoided>()? {
            let purchase = self.purchase(customer, voided.transaction)?;
            Ok(self.void(tx, &purchase).await?)
        } else if event.unpack::<pb::CustomerCreated>()?.is_some() {
            Ok(self.create(tx, customer).await?)
        } else if event.unpack::<pb::CustomerDeleted>()?.is_some() {
            Ok(delete(tx, customer).await?)
        } else {
            Ok(())
        }
    }
}

impl Purchases {
    /// Counts purchases in the base's currency.
    pub fn new(currency: Currency) -> Self {
        Self {
            currency,
            frozen: FrozenCache::default(),
        }
    }

    fn purchase(
        &self,
        customer: &CustomerId,
        transaction: Option<pb::Transaction>,
    ) -> Result<Purchase, ApplyError> {
        let poison = |what: &str| ApplyError::Poison(format!("transaction {what}"));
        let transaction = transaction.ok_or_else(|| poison("is missing"))?;
        let total = transaction.total.ok_or_else(|| poison("has no total"))?;
        let occurred_at = transaction
            .occurred_at
            .ok_or_else(|| poison("has no occurred_at"))?;
        let occurred_at = Timestamp::try_from(&occurred_at).map_err(|error| poison(&error))?;
        let categories: BTreeSet<String> = transaction
            .lines
            .into_iter()
            .map(|line| line.category)
            .collect();
        Ok(Purchase {
            transaction_id: transaction.transaction_id,
            customer_id: customer.clone(),
            day: Day::of(occurred_at),
            spend_micros: total.micros,
            categories: categories
                .into_iter()
                .filter(|category| !category.is_empty())
                .collect(),
            counted: total.currency_code == self.currency.as_str(),
        })
    }

    async fn create(&self, tx: &mut Tx, customer: &CustomerId) -> Result<(), Error> {
        let Some(revision) = purchases::lock_customer(tx, customer).await? else {
            return Ok(());
        };
        self.rate(tx, customer, revision).await
    }

    async fn record(&self, tx: &mut Tx, purchase: &Purchase) -> Result<(), Error> {
        let Some(revision) = purchases::lock_customer(tx, &purchase.customer_id).await? else {
            return Ok(());
        };
        if !purchases::insert(tx, purchase, false).await? {
            return Ok(());
        }
        self.count(tx, purchase, Direction::In, revision).await
    }

    async fn void(&self, tx: &mut Tx, purchase: &Purchase) -> Result<(), Error> {
        let Purchase {
            customer_id,
            transaction_id,
            ..
        } = purchase;
        let Some(revision) = purchases::lock_customer(tx, customer_id).await? else {
            return Ok(());
        };
        if let Some(taken_in) = purchases::void(tx, customer_id, transaction_id).await? {
            return self.count(tx, &taken_in, Direction::Out, revision).await;
        }
        // Its record was parked: the mark keeps a replay from counting what is voided.
        purchases::insert(tx, purchase, true).await?;
        Ok(())
    }

    async fn count(
        &self,
        tx: &mut Tx,
        purchase: &Purchase,
        way: Direction,
        revision: i64,
    ) -> Result<(), Error> {
        if !purchase.counted {
            return purchases::update_ignored(tx, &purchase.customer_id, way).await;
        }
        purchases::update_days(tx, purchase, way).await?;
        self.rate(tx, &purchase.customer_id, revision).await
    }

    /// Rates a customer whose row is locked, once there is a reference.
    async fn rate(&self, tx: &mut Tx, customer: &CustomerId, revision: i64) -> Result<(), Error> {
        match self.frozen.find_current(tx).await? {
            Some(frozen) => ratings::rate_now(tx, &frozen, customer, revision).await,
            None => Ok(()),
        }
    }
}

async fn delete(tx: &mut Tx, customer: &CustomerId) -> Result<(), Error> {
    if purchases::lock_customer(tx, customer).await?.is_none() {
        return Ok(());
    }
    if let Some((stars, revision)) = purchases::delete_customer(tx, customer).await? {
        events::rating_removed(tx, customer, stars, revision);
    }
    Ok(())
}

impl From<Error> for ApplyError {
    fn from(error: Error) -> Self {
        match error {
            Error::Platform(common::Error::Database(error)) => error.into(),
            Error::Platform(error) => Self::Retry(error),
            other @ (Error::CustomerNotFound(_)
            | Error::NoReference(_)
            | Error::RatingModelNotFound(_)
            | Error::RfmRunNotFound(_)
            | Error::NotInRun { .. }
            | Error::EmptyBase) => Self::Poison(other.to_string()),
        }
    }
}
