//! The hot lookup: `GetTier`, where memory or Redis has the answer.

use api::loyalty::v1 as pb;
use common::server::{Looked, Lookup};

use super::present;
use crate::State;
use crate::tiers::reads::{self, Wanted};

/// Finds tiers without asking the database.
pub struct TierLookup {
    state: State,
}

impl TierLookup {
    /// Shares the state of the service.
    pub fn new(state: State) -> Self {
        Self { state }
    }
}

impl Lookup for TierLookup {
    type Request = pb::GetTierRequest;
    type Answer = pb::GetTierResponse;
    const PATH: &'static str = "/asterism.loyalty.v1.LoyaltyService/GetTier";

    async fn find(&self, request: pb::GetTierRequest) -> Looked<pb::GetTierResponse> {
        let Ok(wanted) = Wanted::try_from(request) else {
            return Looked::Unknown;
        };
        match reads::find(&self.state, &wanted).await {
            Looked::Found((program, standing)) => {
                let tier = present::tier(&program, &wanted.customer_id, standing);
                Looked::Found(pb::GetTierResponse { tier: Some(tier) })
            }
            Looked::Missed => Looked::Missed,
            Looked::Unknown => Looked::Unknown,
        }
    }
}
