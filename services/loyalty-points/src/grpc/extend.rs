//! Extensions of expiry: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::validate::Violations;

use super::{Answer, parse, post, present};
use crate::State;
use crate::ledger::extensions::{self, ExtendExpiry, Extended};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

pub async fn extend(
    state: &State,
    request: pb::ExtendExpiryRequest,
) -> Answer<pb::ExtendExpiryResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/ExtendExpiry";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, ExtendExpiry::try_from(request)?).await
}

impl Posting for ExtendExpiry {
    type Answer = pb::ExtendExpiryResponse;

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
        let extended = extensions::extend(state, work, self).await?;
        Ok(respond(state, extended, run))
    }
}

fn respond(state: &State, extended: Extended, run: Run) -> pb::ExtendExpiryResponse {
    let Extended {
        mut extension,
        mut of_same_earning,
        balance,
        currency,
    } = extended;
    let consistency_token = match run {
        Run::Real => {
            let customer_id = &extension.customer_id;
            let own = of_same_earning.iter();
            let own = own.filter(|it| it.customer_id == *customer_id);
            let latest = own.map(|it| it.revision).fold(extension.revision, i64::max);
            state.platform.token(customer_id, latest)
        }
        Run::Dry => {
            for extension in of_same_earning.iter_mut().chain([&mut extension]) {
                extension.revision = 0;
            }
            String::new()
        }
    };
    let of_same_earning = of_same_earning.iter();
    pb::ExtendExpiryResponse {
        extension: Some(present::extension(&extension, &currency)),
        balance: Some(present::balance(balance, &currency)),
        consistency_token,
        of_same_earning: of_same_earning
            .map(|extension| present::extension(extension, &currency))
            .collect(),
    }
}

impl TryFrom<pb::ExtendExpiryRequest> for ExtendExpiry {
    type Error = Error;

    fn try_from(request: pb::ExtendExpiryRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let lot_id = parse::text(&mut v, "lot_id", request.lot_id, 1..=64);
        if request.expires_at.is_none() {
            v.add("expires_at", "must be given");
        }
        let to = parse::instant(&mut v, "expires_at", request.expires_at.as_ref());
        let reason = parse::text(&mut v, "reason", request.reason, 1..=500);
        let (account, lot_id, to, reason) = v.all((account, lot_id, to, reason))?;
        Ok(Self {
            account,
            lot_id,
            to,
            reason,
        })
    }
}
