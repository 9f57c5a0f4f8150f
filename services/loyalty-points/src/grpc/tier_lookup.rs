//! The hot lookup: `GetTier`, where memory or Redis has the answer.

use api::loyalty::v1 as pb;
use common::server::Lookup;

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

    async fn find(&self, request: pb::GetTierRequest) -> Option<pb::GetTierResponse> {
        let wanted = Wanted::try_from(request).ok()?;
        let (program, standing) = reads::find(&self.state, &wanted).await?;
        let tier = present::tier(&program, &wanted.customer_id, standing);
        Some(pb::GetTierResponse { tier: Some(tier) })
    }
}
