//! What the service keeps of the customer service's feed: which customers there are.

use api::customer::v1::{CustomerCreated, CustomerDeleted};
use common::consumer::{ApplyError, Event, Projection};
use common::db::Tx;

use crate::error::Error;
use crate::store;

/// The set of known customers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownCustomers;

impl Projection for KnownCustomers {
    async fn apply(&self, tx: &mut Tx, event: &Event) -> Result<(), ApplyError> {
        let done = if event.unpack::<CustomerCreated>()?.is_some() {
            store::customers::insert(tx, &event.customer_id, event.recorded_at).await
        } else if event.unpack::<CustomerDeleted>()?.is_some() {
            store::customers::mark_deleted(tx, &event.customer_id, event.recorded_at).await
        } else {
            return Ok(());
        };
        done.map_err(|error| match error {
            Error::Platform(error) => ApplyError::from(error),
            other => ApplyError::Poison(other.to_string()),
        })
    }
}
