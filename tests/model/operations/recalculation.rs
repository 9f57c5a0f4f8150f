//! Deciding tiers anew: who moves, and what the histories of tiers say afterwards.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response as Reply, Status};

/// The tiers of a program are decided anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalculate {
    pub program_id: String,
    /// Those that are looked into; there may be others.
    pub customers: Vec<String>,
}

/// What that came to, of those who are members.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recalculated {
    /// The tier that each was moved to by it.
    pub moved: BTreeMap<String, String>,
    /// What the latest change says that each came to have. It is read.
    pub tiers: BTreeMap<String, String>,
    /// How many have lost a tier by nothing but time.
    pub aged_out: usize,
}

impl Recalculate {
    pub(super) async fn call(&self, channel: &Channel) -> Result<Reply<Recalculated>, Status> {
        let mut to = LoyaltyServiceClient::new(channel.clone());
        let request = pb::RecalculateTiersRequest {
            program_id: self.program_id.clone(),
            page_size: 1000,
            ..Default::default()
        };
        let mut answer = Recalculated::default();
        let mut stream = to.recalculate_tiers(request).await?.into_inner();
        while let Some(message) = stream.message().await? {
            for change in message.changes {
                if self.customers.contains(&change.customer_id) {
                    let is_aged = change.reason() == pb::TierChangeReason::AgedOut;
                    answer.aged_out += usize::from(is_aged);
                    answer.moved.insert(change.customer_id, change.to_tier);
                }
            }
        }
        for customer_id in &self.customers {
            let request = pb::ListTierHistoryRequest {
                program_id: self.program_id.clone(),
                customer_id: customer_id.clone(),
                page_size: 1,
                ..Default::default()
            };
            match to.list_tier_history(request).await {
                Ok(reply) => {
                    let latest = reply.into_inner().changes.pop();
                    let tier = latest.map(|change| change.to_tier).unwrap_or_default();
                    answer.tiers.insert(customer_id.clone(), tier);
                }
                Err(status) if status.code() == Code::NotFound => {}
                Err(status) => return Err(status),
            }
        }
        Ok(Reply::new(answer))
    }
}

impl Recalculated {
    /// Who had been moved before by something else is not moved: whoever is has the tier that is expected.
    pub fn as_if_all_moved(&mut self, expected: &Self) {
        let as_expected =
            |(whose, tier): (&String, &String)| expected.tiers.get(whose) == Some(tier);
        if self.moved.iter().all(as_expected) {
            self.moved.clear();
        }
        // Who is merged still has a history, of which nothing is expected.
        self.tiers
            .retain(|whose, _| expected.tiers.contains_key(whose));
        self.aged_out = 0;
    }
}
