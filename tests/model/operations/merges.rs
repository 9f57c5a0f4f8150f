//! Merges of customers, as the customer service announces them: what both have while one stands for both, what that one
//! can spend, and what each has once it is undone.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Response as Reply, Status};

use super::purchases::PROGRAMS;
use crate::answers::{Refusal, stamp};
use crate::service::Service;

/// Two customers are merged, the survivor spends something, and the merge is undone. Nothing else goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    pub id: String,
    pub survivor: String,
    pub absorbed: String,
    /// What the survivor spends of the default program meanwhile.
    pub points: i64,
    /// When that is, for the clock stands still.
    pub at: i64,
}

/// What that came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merged {
    /// What each has, by customer and program, while they are merged.
    pub together: BTreeMap<(String, String), Standing>,
    /// Why the absorbed one earns nothing then.
    pub refused: Option<Refusal>,
    /// What the survivor has after spending; absent where it has too little.
    pub spent: Option<pb::Balance>,
    /// What each has once the merge is undone.
    pub apart: BTreeMap<(String, String), Standing>,
}

/// What a member has.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standing {
    pub balances: Vec<pb::Balance>,
    /// The tier with what counts for it, of a member who stands for itself.
    pub tier: Option<(String, i64)>,
}

impl Merge {
    /// Whoever is killed meanwhile is asked again.
    pub(super) async fn call(&self, service: &Service) -> Result<Reply<Merged>, Status> {
        let mut merged = Merged::default();
        let tokens = service.announce_merge(self, self.at).await;
        merged.together = self.standings(service, &tokens).await?;
        let earn = pb::EarnPointsRequest {
            request_id: format!("{}/earn", self.id),
            customer_id: self.absorbed.clone(),
            points: 1,
            source_type: "merged".to_owned(),
            source_ref: self.id.clone(),
            ..Default::default()
        };
        let refused = insist(service, async |mut to| to.earn_points(earn.clone()).await).await;
        merged.refused = refused.err().as_ref().and_then(Refusal::of);
        let redeem = pb::RedeemPointsRequest {
            request_id: format!("{}/redeem", self.id),
            customer_id: self.survivor.clone(),
            points: self.points,
            ..Default::default()
        };
        let spent = insist(service, async |mut to| {
            to.redeem_points(redeem.clone()).await
        })
        .await;
        merged.spent = match spent {
            Ok(reply) => reply.balance,
            Err(status) if status.code() == Code::FailedPrecondition => None,
            Err(status) => return Err(status),
        };
        let tokens = service.announce_unmerge(self, self.at).await;
        merged.apart = self.standings(service, &tokens).await?;
        Ok(Reply::new(merged))
    }

    async fn standings(
        &self,
        service: &Service,
        tokens: &[String; 2],
    ) -> Result<BTreeMap<(String, String), Standing>, Status> {
        let mut standings = BTreeMap::new();
        for (customer_id, at_least) in [&self.survivor, &self.absorbed].into_iter().zip(tokens) {
            for program_id in PROGRAMS {
                let whose = (customer_id.clone(), program_id.to_owned());
                if let Some(standing) = self.standing(service, &whose, at_least).await? {
                    standings.insert(whose, standing);
                }
            }
        }
        Ok(standings)
    }

    async fn standing(
        &self,
        service: &Service,
        (customer_id, program_id): &(String, String),
        at_least: &str,
    ) -> Result<Option<Standing>, Status> {
        let member = pb::GetMemberRequest {
            program_id: program_id.clone(),
            customer_id: customer_id.clone(),
            at_least: at_least.to_owned(),
        };
        let member = insist(service, async |mut to| to.get_member(member.clone()).await).await;
        let member = match member {
            Ok(reply) => reply.member.expect("always told"),
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(status),
        };
        let balances = pb::ListBalancesRequest {
            program_id: program_id.clone(),
            customer_id: customer_id.clone(),
            ..Default::default()
        };
        let balances = async |mut to: Client| to.list_balances(balances.clone()).await;
        let balances = insist(service, balances).await?.balances;
        let tier = pb::GetTierRequest {
            program_id: program_id.clone(),
            customer_id: customer_id.clone(),
            as_of: Some(stamp(self.at)),
            ..Default::default()
        };
        let tier = insist(service, async |mut to| to.get_tier(tier.clone()).await).await?;
        let tier = tier.tier.expect("always told");
        let stands_for_itself = member.survivor_id.is_empty();
        Ok(Some(Standing {
            balances,
            tier: stands_for_itself.then_some((tier.tier, tier.qualifying_points)),
        }))
    }
}

type Client = LoyaltyServiceClient<Channel>;

/// Asks until something was decided.
async fn insist<T>(
    service: &Service,
    call: impl AsyncFn(Client) -> Result<Reply<T>, Status>,
) -> Result<T, Status> {
    loop {
        service.is_up().await;
        let client = LoyaltyServiceClient::new(service.channel().clone());
        match call(client).await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) if Refusal::of(&status).is_some_and(|it| !it.is_passing()) => {
                return Err(status);
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
