//! What the customer service announces.

use api::customer::v1 as customer;
use prost::{Message, Name};

use super::Service;
use crate::answers::stamp;
use crate::operations::purchases::Happened;
use crate::operations::{Announce, Merge};

impl Service {
    /// Says what happened to a purchase, once however often it is asked to; returns the token by which the ledger can
    /// be asked to have heard of it.
    pub async fn announce(&self, announce: &Announce) -> String {
        let purchase = &announce.purchase;
        let customer_id = purchase.customer_id.as_str();
        let mut announced = self.announced.lock().await;
        let (known, last) = &mut *announced;
        if !known.contains_key(&announce.id) {
            for happened in &announce.happened {
                *last += 1;
                let transaction = Some(purchase.clone());
                match happened {
                    Happened::Recorded => {
                        let event = customer::TransactionRecorded {
                            customer_id: customer_id.to_owned(),
                            transaction,
                        };
                        self.customers.emit(customer_id, *last, &event).await;
                    }
                    Happened::Voided => {
                        let event = customer::TransactionVoided {
                            customer_id: customer_id.to_owned(),
                            transaction,
                            reason: "returned".to_owned(),
                        };
                        self.customers.emit(customer_id, *last, &event).await;
                    }
                }
            }
            known.insert(announce.id.clone(), *last);
        }
        self.customers.token(customer_id, known[&announce.id])
    }

    /// Says that customers are merged; returns the token of each, the survivor first.
    pub async fn announce_merge(&self, merge: &Merge, merged_at: i64) -> [String; 2] {
        let event = customer::CustomerMerged {
            merge_id: merge.id.clone(),
            survivor_id: merge.survivor.clone(),
            absorbed_id: merge.absorbed.clone(),
            merged_at: Some(stamp(merged_at)),
        };
        self.announce_to_both(merge, &event).await
    }

    /// Says that this is undone, likewise.
    pub async fn announce_unmerge(&self, merge: &Merge, merged_at: i64) -> [String; 2] {
        let event = customer::CustomerUnmerged {
            merge_id: merge.id.clone(),
            survivor_id: merge.survivor.clone(),
            absorbed_id: merge.absorbed.clone(),
            merged_at: Some(stamp(merged_at)),
            unmerged_at: Some(stamp(merged_at)),
        };
        self.announce_to_both(merge, &event).await
    }

    /// Each of the two has the event, the absorbed one first.
    async fn announce_to_both<E: Message + Name>(&self, merge: &Merge, event: &E) -> [String; 2] {
        let mut announced = self.announced.lock().await;
        let (_, last) = &mut *announced;
        for customer_id in [&merge.absorbed, &merge.survivor] {
            *last += 1;
            self.customers.emit(customer_id, *last, event).await;
        }
        [(&merge.survivor, *last), (&merge.absorbed, *last - 1)]
            .map(|(customer_id, revision)| self.customers.token(customer_id, revision))
    }
}
