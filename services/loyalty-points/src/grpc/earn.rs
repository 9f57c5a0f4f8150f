//! Earnings: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::validate::Violations;

use super::{Answer, lines, parse, post, present};
use crate::State;
use crate::domain::Points;
use crate::ledger::limits::Expected;
use crate::ledger::{self, Activates, EarnPoints};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

pub async fn earn(state: &State, request: pb::EarnPointsRequest) -> Answer<pb::EarnPointsResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/EarnPoints";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, EarnPoints::try_from(request)?).await
}

impl Posting for EarnPoints {
    type Answer = pb::EarnPointsResponse;

    fn at_least(&self) -> &str {
        &self.account.at_least
    }

    fn needs(&self) -> Needs {
        Needs {
            customers: vec![self.account.customer_id.clone()],
            sources: vec![self.source_key()],
        }
    }

    fn earnings(&self) -> Vec<Expected> {
        vec![Expected {
            program_id: self.account.program_id.clone(),
            customer_id: self.account.customer_id.clone(),
            currency: self.account.currency.clone(),
            earned_at: self.occurred_at,
        }]
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let posted = ledger::earn(state, work, self).await?;
        Ok(present::earned(&state.platform, run.told(posted)))
    }
}

impl TryFrom<pb::EarnPointsRequest> for EarnPoints {
    type Error = Error;

    fn try_from(request: pb::EarnPointsRequest) -> Result<Self, Error> {
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
        let source = parse::source(&mut v, request.source_type, request.source_ref);
        let reason = parse::reason(&mut v, request.reason);
        let occurred_at = parse::instant(&mut v, "occurred_at", request.occurred_at.as_ref());
        let activates_at = parse::instant(&mut v, "activates_at", request.activates_at.as_ref());
        let expires_at = parse::instant(&mut v, "expires_at", request.expires_at.as_ref());
        if let (Some(occurred), Some(activates)) = (occurred_at, activates_at)
            && activates < occurred
        {
            v.add("activates_at", "must not be before occurred_at");
        }
        let activates = match activates_at {
            Some(_) if request.activates_on_event => {
                v.add("activates_at", "must be absent with activates_on_event");
                None
            }
            None if request.activates_on_event => Some(Activates::OnEvent),
            at => Some(at.map_or(Activates::AtOnce, Activates::At)),
        };
        let lines = lines::earned(&mut v, request.lines);
        let parsed = (account, points, source, reason, activates, lines);
        let (account, points, source, reason, activates, lines) = v.all(parsed)?;
        Ok(Self {
            account,
            points,
            source,
            reason,
            occurred_at,
            activates,
            expires_at,
            lines,
        })
    }
}
