//! Adjustments: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::validate::Violations;

use super::{Answer, parse, post, present};
use crate::State;
use crate::domain::Points;
use crate::ledger::adjust::{self, AdjustPoints, Amount};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

const APPROVER_MAX: usize = 255;

pub async fn adjust(
    state: &State,
    request: pb::AdjustPointsRequest,
) -> Answer<pb::AdjustPointsResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/AdjustPoints";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    post(state, order, AdjustPoints::try_from(request)?).await
}

impl Posting for AdjustPoints {
    type Answer = pb::AdjustPointsResponse;

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
        let posted = adjust::adjust(state, work, self).await?;
        Ok(present::adjusted(&state.platform, run.told(posted)))
    }
}

impl TryFrom<pb::AdjustPointsRequest> for AdjustPoints {
    type Error = Error;

    fn try_from(request: pb::AdjustPointsRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let account = parse::account(
            &mut v,
            &request.program_id,
            &request.customer_id,
            request.at_least,
        );
        let account = parse::in_currency(&mut v, account, &request.points_currency);
        let amount = v.check("points", amount(request.points));
        let reason_code = v.parse(
            "reason_code",
            request.reason_code.as_str(),
            parse_reason_code,
        );
        let reason = parse::reason(&mut v, request.reason);
        let expires_at = parse::instant(&mut v, "expires_at", request.expires_at.as_ref());
        if expires_at.is_some() && request.points < 0 {
            v.add("expires_at", "must be absent where points are taken");
        }
        let approver = approver(&mut v, request.approver);
        let parsed = (account, amount, reason_code, reason, approver);
        let (account, amount, reason_code, reason, approver) = v.all(parsed)?;
        Ok(Self {
            account,
            amount,
            reason_code,
            reason,
            expires_at,
            approver,
        })
    }
}

/// Nobody, or somebody whose name cannot be mistaken for another one because of blanks around it.
#[expect(clippy::option_option, reason = "the outer one says whether it parsed")]
pub(super) fn approver(v: &mut Violations, raw: String) -> Option<Option<String>> {
    if raw.trim() != raw {
        v.add("approver", "must not begin or end with blanks");
        return None;
    }
    let parsed = parse::text(v, "approver", raw, 0..=APPROVER_MAX)?;
    Some(Some(parsed).filter(|approver| !approver.is_empty()))
}

fn amount(points: i64) -> Result<Amount, String> {
    let parsed = if points < 0 {
        Points::parse(points.saturating_neg()).map(Amount::Debit)
    } else {
        Points::parse(points).map(Amount::Credit)
    };
    parsed.map_err(|range| format!("{range}, or as many below zero"))
}

pub(super) fn parse_reason_code(raw: &str) -> Result<String, &'static str> {
    let allowed = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let starts_well = raw.starts_with(|c: char| c.is_ascii_uppercase());
    if starts_well && raw.len() <= 63 && raw.chars().all(allowed) {
        Ok(raw.to_owned())
    } else {
        Err("must be 1 to 63 characters of A-Z 0-9 _ and start with a letter")
    }
}

#[cfg(test)]
mod tests {
    use common::identity::{self, Identity};

    use super::*;

    #[tokio::test]
    async fn who_adjusts_is_who_calls() {
        let request = pb::AdjustPointsRequest {
            customer_id: "c1".to_owned(),
            points: 5,
            reason_code: "GOODWILL".to_owned(),
            approver: "bob".to_owned(),
            ..Default::default()
        };
        let parse = async { AdjustPoints::try_from(request).unwrap() };
        let parsed = identity::scope(Identity::new("ann", []), parse).await;
        assert_eq!(
            (parsed.account.actor.as_deref(), parsed.approver.as_deref()),
            (Some("ann"), Some("bob"))
        );
    }
}
