//! Transfers: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::ids::CustomerId;
use common::validate::Violations;

use super::present::LotOf;
use super::{Answer, parse, post, present};
use crate::State;
use crate::domain::Points;
use crate::ledger::transfer::{self, TransferPoints, Transferred};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

pub async fn transfer(
    state: &State,
    request: pb::TransferPointsRequest,
) -> Answer<pb::TransferPointsResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/TransferPoints";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, TransferPoints::try_from(request)?).await
}

impl Posting for TransferPoints {
    type Answer = pb::TransferPointsResponse;

    fn at_least(&self) -> &str {
        &self.account.at_least
    }

    fn needs(&self) -> Needs {
        Needs {
            customers: vec![self.account.customer_id.clone(), self.to.clone()],
            sources: Vec::new(),
        }
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, crate::error::Error> {
        let Transferred { sent, received } = transfer::transfer(state, work, self).await?;
        let transferred = Transferred {
            sent: run.told(sent),
            received: run.told(received),
        };
        Ok(respond(state, transferred))
    }
}

fn respond(state: &State, transferred: Transferred) -> pb::TransferPointsResponse {
    let Transferred { sent, received } = transferred;
    let posting = &received.written.posting;
    let of = LotOf {
        program_id: &posting.program_id,
        customer_id: &posting.customer_id,
        currency: &received.currency,
        posting_id: &posting.posting_id,
        as_of: posting.posted_at,
    };
    let lots = received.written.lots.iter();
    pb::TransferPointsResponse {
        transaction: Some(present::posted(&sent)),
        received: Some(present::posted(&received)),
        lots: lots.map(|lot| present::lot(lot, &of)).collect(),
        consistency_token: present::token(&state.platform, &sent),
        recipient_consistency_token: present::token(&state.platform, &received),
        allocations: present::allocations(sent.written.taken),
        balance: Some(present::balance(sent.balance, &sent.currency)),
    }
}

impl TryFrom<pb::TransferPointsRequest> for TransferPoints {
    type Error = Error;

    fn try_from(request: pb::TransferPointsRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let account = parse::in_currency(&mut v, account, &request.points_currency);
        let to = request.to_customer_id.as_str();
        let to = v.parse("to_customer_id", to, CustomerId::parse);
        if to.is_some() && request.to_customer_id == request.customer_id {
            v.add("to_customer_id", "must be another customer");
        }
        let points = v.check("points", Points::parse(request.points));
        let reason = parse::reason(&mut v, request.reason);
        let (account, to, points, reason) = v.all((account, to, points, reason))?;
        Ok(Self {
            account,
            to,
            points,
            reason,
        })
    }
}
