//! What this service makes of the customer service's events.

use api::customer::v1 as customer;
use common::consumer::{ApplyError, Event, Projection};
use common::db::Tx;
use common::ids::CustomerId;
use common::money::Money;
use common::time::Timestamp;

use crate::domain::lines::Line;
use crate::error::Error;
use crate::ledger::limits;
use crate::ledger::merges::{self, Announced};
use crate::ledger::purchases::{self, Purchase};
use crate::work::{Needs, Work};
use crate::{State, members};

/// Enrols new customers, posts purchases, reverses voided ones, merges members and undoes that, closes deleted members.
#[derive(Clone)]
pub struct Projections {
    state: State,
}

impl Projections {
    /// Shares the state of the service.
    pub fn new(state: State) -> Self {
        Self { state }
    }
}

impl Projection for Projections {
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), ApplyError> {
        Box::pin(self.apply_all(tx, std::slice::from_ref(event))).await
    }

    /// Posts as the ledger's writer does: all that the events need is locked and read in one go, and what they
    /// come to is written in sets.
    async fn apply_all(&self, tx: &mut Tx, events: &[Event]) -> Result<(), ApplyError> {
        let mut work = Work::new(tx);
        let customers = events.iter().map(|event| event.customer_id.clone());
        let mut needs = Needs {
            customers: customers.collect(),
            sources: Vec::new(),
        };
        for event in events {
            if let Some((merge, _)) = merge_of(event)? {
                needs.customers.extend([merge.survivor, merge.absorbed]);
            }
        }
        work.read(&needs).await?;
        for event in events {
            if let Some(transaction_id) = purchase_of(event)? {
                let customer_id = &event.customer_id;
                let sources = purchases::sources(&mut work, customer_id, &transaction_id).await?;
                needs.sources.extend(sources);
            }
        }
        work.read(&needs).await?;
        if work.is_limited() {
            let mut earnings = Vec::new();
            for event in events {
                if let Some(recorded) = event.unpack::<customer::TransactionRecorded>()? {
                    let purchase = parse(recorded.transaction.unwrap_or_default())?;
                    let customer_id = &event.customer_id;
                    earnings.extend(purchases::expected(&mut work, customer_id, &purchase).await?);
                }
            }
            limits::read_ahead(&self.state, &mut work, &earnings).await?;
        }
        for event in events {
            Box::pin(event.traced(self.apply_one(&mut work, event))).await?;
        }
        work.flush().await?;
        Ok(work.write_usage().await?)
    }
}

impl Projections {
    async fn apply_one(&self, work: &mut Work<'_>, event: &Event) -> Result<(), ApplyError> {
        let customer_id = &event.customer_id;
        if let Some(recorded) = event.unpack::<customer::TransactionRecorded>()? {
            let purchase = parse(recorded.transaction.unwrap_or_default())?;
            purchases::recorded(&self.state, work, customer_id, &purchase).await?;
        } else if event.unpack::<customer::CustomerCreated>()?.is_some() {
            let tx = work.past(customer_id).await?;
            members::customer_created(&self.state, tx, customer_id).await?;
        } else if let Some(voided) = event.unpack::<customer::TransactionVoided>()? {
            let purchase = voided.transaction.unwrap_or_default();
            let transaction_id = &purchase.transaction_id;
            purchases::voided(&self.state, work, customer_id, transaction_id).await?;
        } else if let Some((merge, undone_at)) = merge_of(event)? {
            match undone_at {
                None => merges::announced(&self.state, work, &merge).await?,
                Some(at) => {
                    merges::announced_undone(&self.state, work, &merge, at).await?;
                }
            }
        } else if event.unpack::<customer::CustomerDeleted>()?.is_some() {
            let tx = work.past(customer_id).await?;
            members::customer_deleted(tx, customer_id).await?;
        }
        Ok(())
    }
}

/// The purchase that an event is about.
fn purchase_of(event: &Event) -> Result<Option<String>, ApplyError> {
    let transaction = if let Some(recorded) = event.unpack::<customer::TransactionRecorded>()? {
        recorded.transaction
    } else if let Some(voided) = event.unpack::<customer::TransactionVoided>()? {
        voided.transaction
    } else {
        None
    };
    Ok(transaction.map(|transaction| transaction.transaction_id))
}

/// The merge that an event is about, and when it was undone if it was.
fn merge_of(event: &Event) -> Result<Option<(Announced, Option<Timestamp>)>, ApplyError> {
    let malformed = |what: String| ApplyError::Poison(format!("merge: {what}"));
    let instant = |at: Option<&prost_types::Timestamp>, of: &str| {
        let at = at.ok_or_else(|| malformed(format!("{of} is missing")))?;
        Timestamp::try_from(at).map_err(malformed)
    };
    let (merge_id, survivor, absorbed, merged_at, undone_at) =
        if let Some(merged) = event.unpack::<customer::CustomerMerged>()? {
            let merged_at = instant(merged.merged_at.as_ref(), "merged_at")?;
            let customer::CustomerMerged {
                merge_id,
                survivor_id,
                absorbed_id,
                ..
            } = merged;
            (merge_id, survivor_id, absorbed_id, merged_at, None)
        } else if let Some(unmerged) = event.unpack::<customer::CustomerUnmerged>()? {
            let merged_at = instant(unmerged.merged_at.as_ref(), "merged_at")?;
            let unmerged_at = instant(unmerged.unmerged_at.as_ref(), "unmerged_at")?;
            let customer::CustomerUnmerged {
                merge_id,
                survivor_id,
                absorbed_id,
                ..
            } = unmerged;
            (
                merge_id,
                survivor_id,
                absorbed_id,
                merged_at,
                Some(unmerged_at),
            )
        } else {
            return Ok(None);
        };
    let announced = Announced {
        merge_id,
        survivor: CustomerId::parse(&survivor).map_err(malformed)?,
        absorbed: CustomerId::parse(&absorbed).map_err(malformed)?,
        merged_at,
    };
    Ok(Some((announced, undone_at)))
}

fn parse(recorded: customer::Transaction) -> Result<Purchase, ApplyError> {
    let malformed = |what: String| {
        ApplyError::Poison(format!("transaction {}: {what}", recorded.transaction_id))
    };
    let occurred_at = recorded
        .occurred_at
        .as_ref()
        .ok_or("occurred_at is missing".to_owned());
    let lines = lines(&recorded.lines).map_err(malformed)?;
    Ok(Purchase {
        lines,
        occurred_at: occurred_at
            .and_then(Timestamp::try_from)
            .map_err(malformed)?,
        total: Money::try_from(recorded.total).map_err(malformed)?,
        transaction_id: recorded.transaction_id,
    })
}

/// The lines by which a purchase can be returned, known by their places from 1 on. Those of amount 0 earn nothing.
fn lines(recorded: &[customer::TransactionLine]) -> Result<Vec<Line>, String> {
    let mut lines = Vec::with_capacity(recorded.len());
    for (place, line) in (1..).zip(recorded) {
        let amount = Money::try_from(line.amount.clone())
            .map_err(|error| format!("line {place}: {error}"))?;
        if amount.micros > 0 {
            lines.push(Line {
                line_id: i32::to_string(&place),
                weight: amount.micros,
                quantity: line.quantity.max(1),
                returned_weight: 0,
                returned_quantity: 0,
            });
        }
    }
    Ok(lines)
}

impl From<Error> for ApplyError {
    /// Only what the platform reports may pass by itself; a refusal would be the same next time.
    fn from(error: Error) -> Self {
        match error {
            Error::Platform(common::Error::Database(error)) => error.into(),
            Error::Platform(error) => Self::Retry(error),
            refusal => Self::Poison(refusal.to_string()),
        }
    }
}
