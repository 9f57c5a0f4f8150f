//! Deciding tiers anew: who moves.

use api::loyalty::v1 as pb;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::transport::Channel;
use tonic::{Response as Reply, Status};

use super::{Request, Response};
use crate::answers::{Answer, micros};

/// The tiers of a program are decided anew, or the part of that which is about one member.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalculate {
    pub asked: pb::RecalculateTiersRequest,
    /// Those that are looked into; there may be others.
    pub customers: Vec<String>,
    /// The customer that this part is about; absent: it is all of it.
    pub of: Option<String>,
}

/// What that came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recalculated {
    /// All that was told, in the order in which it came; of a part the change of the member it is about, if there is one.
    pub messages: Vec<pb::RecalculateTiersResponse>,
}

impl Recalculate {
    pub fn of_all(asked: pb::RecalculateTiersRequest, customers: &[String]) -> Self {
        Self {
            asked,
            customers: customers.to_vec(),
            of: None,
        }
    }

    /// The instant that a dry one asks about, if it is not that of the call.
    pub fn as_of(&self) -> Option<i64> {
        self.asked.as_of.as_ref().map(micros)
    }

    /// Goes through all members. Whoever is cut off asks again, and is told what was done before as well.
    pub(super) async fn call(&self, channel: &Channel) -> Result<Reply<Recalculated>, Status> {
        let mut to = LoyaltyServiceClient::new(channel.clone());
        let reply = to.recalculate_tiers(self.asked.clone()).await?;
        let (metadata, mut stream, extensions) = reply.into_parts();
        let mut told = Recalculated::default();
        while let Some(message) = stream.message().await? {
            told.messages.push(message);
        }
        Ok(Reply::from_parts(metadata, told, extensions))
    }
}

/// All that was told, and what it says of each member that is looked into: those have places of their own in the
/// histories.
pub(super) fn placed(asked: &Recalculate, told: &Recalculated) -> Vec<(Request, Answer)> {
    let mut parts = vec![(asked.clone(), told.clone())];
    for customer_id in &asked.customers {
        let mut messages = Vec::new();
        for message in &told.messages {
            for (n, change) in message.changes.iter().enumerate() {
                if change.customer_id == *customer_id {
                    let token = message.consistency_tokens.get(n);
                    messages.push(pb::RecalculateTiersResponse {
                        changes: vec![change.clone()],
                        consistency_tokens: token.into_iter().cloned().collect(),
                        ..Default::default()
                    });
                }
            }
        }
        let part = Recalculate {
            of: Some(customer_id.clone()),
            ..asked.clone()
        };
        parts.push((part, Recalculated { messages }));
    }
    let placed = |(asked, told)| (Request::Recalculate(asked), Ok(Response::Recalculate(told)));
    parts.into_iter().map(placed).collect()
}

impl Recalculated {
    pub(super) fn tokens(&mut self) -> Vec<&mut String> {
        let messages = self.messages.iter_mut();
        messages.flat_map(|it| &mut it.consistency_tokens).collect()
    }

    pub(super) fn change_mut(&mut self) -> Option<&mut pb::TierChange> {
        self.messages.first_mut()?.changes.first_mut()
    }

    /// The change of the member that a part is about.
    pub fn change(&self) -> Option<&pb::TierChange> {
        self.messages.first()?.changes.first()
    }
}
