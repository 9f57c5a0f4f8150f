//! How each operation is called.

use api::loyalty::v1 as pb;
use pb::audit_service_client::AuditServiceClient;
use pb::limit_service_client::LimitServiceClient;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::{Response as Reply, Status};

use super::{Request, Response};
use crate::service::Service;

impl Request {
    /// Calls the service.
    pub async fn call(&self, service: &Service) -> Result<Reply<Response>, Status> {
        let channel = service.channel();
        let mut to = LoyaltyServiceClient::new(channel.clone());
        let mut limits = LimitServiceClient::new(channel.clone());
        match self.clone() {
            Self::Enroll(it) => to
                .enroll_member(it)
                .await
                .map(|it| it.map(Response::Enroll)),
            Self::Earn(it) => to.earn_points(it).await.map(|it| it.map(Response::Earn)),
            Self::Redeem(it) => to
                .redeem_points(it)
                .await
                .map(|it| it.map(Response::Redeem)),
            Self::Adjust(it) => to
                .adjust_points(it)
                .await
                .map(|it| it.map(Response::Adjust)),
            Self::Transfer(it) => {
                let reply = to.transfer_points(it).await;
                reply.map(|it| it.map(Response::Transfer))
            }
            Self::Extend(it) => to
                .extend_expiry(it.asked)
                .await
                .map(|it| it.map(Response::Extend)),
            Self::Reverse(it) => {
                let reply = to.reverse_transaction(it).await;
                reply.map(|it| it.map(Response::Reverse))
            }
            Self::Authorize(it) => {
                let reply = to.authorize_hold(it).await;
                reply.map(|it| it.map(Response::Authorize))
            }
            Self::Capture(it) => to
                .capture_hold(it)
                .await
                .map(|it| it.map(Response::Capture)),
            Self::Void(it) => to.void_hold(it).await.map(|it| it.map(Response::Void)),
            Self::Activate(it) => {
                let reply = to.activate_pending(it).await;
                reply.map(|it| it.map(Response::Activate))
            }
            Self::Cancel(it) => {
                let reply = to.cancel_pending(it).await;
                reply.map(|it| it.map(Response::Cancel))
            }
            Self::Elsewhere(it) => Box::pin(it.asked.call(service)).await,
            Self::Batch(it) => to.batch_post(it).await.map(|it| it.map(Response::Batch)),
            Self::Override(it) => {
                let reply = to.override_tier(it).await;
                reply.map(|it| it.map(Response::Override))
            }
            Self::ClearOverride(it) => {
                let reply = to.clear_override(it).await;
                reply.map(|it| it.map(Response::ClearOverride))
            }
            Self::SetLimit(it) => {
                let reply = limits.set_earning_limit(it).await;
                reply.map(|it| it.map(Response::SetLimit))
            }
            Self::EndLimit(it) => {
                let reply = limits.end_earning_limit(it).await;
                reply.map(|it| it.map(Response::EndLimit))
            }
            Self::Import(it) => it.call(channel).await.map(|it| it.map(Response::Import)),
            Self::Sweep(it) => it.call(channel).await.map(|it| it.map(Response::Sweep)),
            Self::Announce(it) => it.call(service).await.map(|it| it.map(Response::Announce)),
            Self::MergeMembers(it) => {
                let reply = to.merge_members(it).await;
                reply.map(|it| it.map(Response::MergeMembers))
            }
            Self::UnmergeMembers(it) => {
                let reply = to.unmerge_members(it.asked).await;
                reply.map(|it| it.map(Response::UnmergeMembers))
            }
            Self::Publish(it) => {
                let reply = to.publish_tier_policy(it).await;
                reply.map(|it| it.map(Response::Publish))
            }
            Self::Merge(it) => it.call(service).await.map(|it| it.map(Response::Merge)),
            Self::Recalculate(it) => {
                let reply = it.call(channel).await;
                reply.map(|it| it.map(Response::Recalculate))
            }
            Self::Usage(it) => {
                let reply = limits.get_limit_usage(it).await;
                reply.map(|it| it.map(Response::Usage))
            }
            Self::Trace(it) => {
                let mut audit = AuditServiceClient::new(channel.clone());
                let reply = audit.get_decision_trace(it).await;
                reply.map(|it| it.map(|it| Response::Trace(it.into())))
            }
            Self::Tier(it) => to.get_tier(it).await.map(|it| it.map(Response::Tier)),
            Self::Progress(it) => {
                let reply = to.get_tier_progress(it).await;
                reply.map(|it| it.map(Response::Progress))
            }
            Self::TierHistory(it) => {
                let reply = to.list_tier_history(it).await;
                reply.map(|it| it.map(Response::TierHistory))
            }
            Self::Balance(it) => to.get_balance(it).await.map(|it| it.map(Response::Balance)),
            Self::Balances(it) => {
                let reply = to.list_balances(it).await;
                reply.map(|it| it.map(Response::Balances))
            }
            Self::Forecast(it) => {
                let reply = to.forecast_expiry(it).await;
                reply.map(|it| it.map(Response::Forecast))
            }
            Self::Lots(it) => to.list_lots(it).await.map(|it| it.map(Response::Lots)),
            Self::Transactions(it) => {
                let reply = to.list_transactions(it).await;
                reply.map(|it| it.map(Response::Transactions))
            }
            Self::Statement(it) => {
                let reply = to.get_statement(it).await;
                reply.map(|it| it.map(Response::Statement))
            }
            Self::Hold(it) => to.get_hold(it).await.map(|it| it.map(Response::Hold)),
            Self::Holds(it) => to.list_holds(it).await.map(|it| it.map(Response::Holds)),
        }
    }
}
