//! Sweeps: what time has done is posted, whoever it concerns.

use api::loyalty::v1 as pb;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::transport::Channel;
use tonic::{Response as Reply, Status};

/// A sweep when nothing else goes on: it comes after all that these customers have done.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    pub customers: Vec<String>,
}

impl Sweep {
    /// Sweeps, and tells all of it.
    pub(super) async fn call(
        &self,
        channel: &Channel,
    ) -> Result<Reply<pb::SweepExpiryResponse>, Status> {
        let mut to = LoyaltyServiceClient::new(channel.clone());
        let request = pb::SweepExpiryRequest::default();
        let mut progress = to.sweep_expiry(request).await?.into_inner();
        let mut all = pb::SweepExpiryResponse::default();
        while let Some(more) = progress.message().await? {
            // The counts are what is looked into.
            all = pb::SweepExpiryResponse {
                swept: Vec::new(),
                ..more
            };
        }
        Ok(Reply::new(all))
    }
}

/// Others may have something due as well, and notices are not looked into: what is told is at least what is expected.
pub fn at_least(expected: &pb::SweepExpiryResponse, told: &mut pb::SweepExpiryResponse) {
    told.members = told.members.min(expected.members);
    told.holds_expired = told.holds_expired.min(expected.holds_expired);
    told.points_expired = told.points_expired.min(expected.points_expired);
    told.notices = expected.notices;
}
