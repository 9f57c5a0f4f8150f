//! Redemptions: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::validate::Violations;

use super::{Answer, parse, post, present};
use crate::State;
use crate::domain::Points;
use crate::ledger::{self, RedeemPoints};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

pub async fn redeem(
    state: &State,
    request: pb::RedeemPointsRequest,
) -> Answer<pb::RedeemPointsResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/RedeemPoints";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, RedeemPoints::try_from(request)?).await
}

impl Posting for RedeemPoints {
    type Answer = pb::RedeemPointsResponse;

    fn at_least(&self) -> &str {
        &self.account.at_least
    }

    fn needs(&self) -> Needs {
        Needs::of(&self.account.customer_id)
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let posted = ledger::redeem(state, work, self).await?;
        Ok(present::redeemed(&state.platform, run.told(posted)))
    }
}

impl TryFrom<pb::RedeemPointsRequest> for RedeemPoints {
    type Error = Error;

    fn try_from(request: pb::RedeemPointsRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let account = parse::in_currency(&mut v, account, &request.points_currency);
        let points = v.check("points", Points::parse(request.points));
        let reason = parse::reason(&mut v, request.reason);
        let (account, points, reason) = v.all((account, points, reason))?;
        Ok(Self {
            account,
            points,
            reason,
        })
    }
}
