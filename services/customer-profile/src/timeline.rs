//! What a customer bought and did, newest first.

use api::customer::v1 as pb;
use common::db::Access;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::sealing::KeyRing;
use common::time::Timestamp;

use crate::error::Error;
use crate::store::{self, Stretch};

/// Which stretch of a timeline.
#[derive(Debug)]
pub struct ListTimeline {
    /// Whose.
    pub customer_id: CustomerId,
    /// Whether purchases are wanted.
    pub transactions: bool,
    /// Whether interactions are wanted.
    pub interactions: bool,
    /// Only what happened up to here.
    pub as_of: Timestamp,
    /// Which page.
    pub page: PageRequest,
}

/// A page of a timeline. `db` is one snapshot: two tables are read.
pub async fn list(
    db: &mut impl Access,
    ring: &KeyRing,
    list: &ListTimeline,
) -> Result<pb::ListTimelineResponse, Error> {
    if store::find_standing(db, &list.customer_id).await?.is_none() {
        return Err(Error::CustomerNotFound(list.customer_id.clone()));
    }
    let after: Option<(i64, String)> = list.page.after();
    // Ids are UUIDs: "~" stands after every one of them.
    let (micros, id) = after.unwrap_or((Timestamp::MAX.micros(), "~".to_owned()));
    let stretch = Stretch {
        customer_id: &list.customer_id,
        as_of: list.as_of,
        before: (Timestamp::from_micros(micros), &id),
        limit: list.page.size + 1,
    };
    let (mut entries, mut ends_early) = (Vec::new(), false);
    if list.transactions {
        let (transactions, early) = store::transactions::list(db, stretch).await?;
        ends_early = early;
        for transaction in transactions {
            let entry = pb::timeline_entry::Entry::Transaction((&transaction).into());
            entries.push((transaction.occurred_at, transaction.id, entry));
        }
    }
    // Beyond an early end there are purchases that were not read: nothing past it belongs to this page.
    let end = entries
        .last()
        .filter(|_| ends_early)
        .map(|(at, id, _): &(Timestamp, String, _)| (*at, id.clone()));
    if list.interactions {
        for interaction in store::interactions::list(db, ring, stretch).await? {
            let entry = pb::timeline_entry::Entry::Interaction((&interaction).into());
            entries.push((interaction.occurred_at, interaction.id, entry));
        }
    }
    entries.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
    if let Some((end_at, end_id)) = &end {
        entries.retain(|(at, id, _)| (at, id) >= (end_at, end_id));
    }
    let mut next_page_token = list
        .page
        .cut(&mut entries, |(at, id, _)| (at.micros(), id.clone()));
    if let (Some((at, id)), true) = (end, next_page_token.is_empty()) {
        next_page_token = list.page.next_token(&(at.micros(), id));
    }
    let entry = |(at, _, entry): (Timestamp, String, _)| pb::TimelineEntry {
        occurred_at: Some(at.into()),
        entry: Some(entry),
    };
    Ok(pb::ListTimelineResponse {
        entries: entries.into_iter().map(entry).collect(),
        next_page_token,
    })
}
