//! Which points expire when, if nothing is done.

use api::loyalty::v1 as pb;

use super::{DAY, Micros, Step, of};
use crate::answers::{Refusal, micros, stamp};

impl Step<'_> {
    pub fn forecast(
        &mut self,
        request: &pb::ForecastExpiryRequest,
    ) -> Result<pb::ForecastExpiryResponse, Refusal> {
        let at = request.as_of.as_ref().map_or(self.now, micros);
        let days = |asked: i32, default: i32| match asked {
            0 => Micros::from(default) * DAY,
            asked => Micros::from(asked) * DAY,
        };
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.find(whose, &request.points_currency)?;
        // Nobody has to have noticed that holds timed out.
        member.notice(at);
        let horizon = at + days(request.horizon_days, 365);
        let length = days(request.bucket_days, 30);
        let mut buckets = Vec::new();
        let mut from = at;
        while from < horizon {
            let to = horizon.min(from + length);
            let mut bucket = pb::ExpiryBucket {
                from: Some(stamp(from)),
                to: Some(stamp(to)),
                ..Default::default()
            };
            for lot in &member.lots {
                let Some(expires_at) = lot.expires_at else {
                    continue;
                };
                if from <= expires_at && expires_at < to && !lot.has_expired(at) {
                    bucket.points += lot.remaining;
                    bucket.held += lot.held;
                } else if lot.has_expired(at) && from == at {
                    // It expires as soon as it is let go.
                    bucket.held += lot.held;
                }
            }
            buckets.push(bucket);
            from = to;
        }
        let is_later = |expires_at: Option<Micros>| expires_at.is_none_or(|it| horizon <= it);
        let later = || member.lots.iter().filter(|lot| is_later(lot.expires_at));
        Ok(pb::ForecastExpiryResponse {
            buckets,
            points_later: later().map(|lot| lot.remaining).sum(),
            held_later: later().map(|lot| lot.held).sum(),
            as_of: Some(stamp(at)),
            points_currency: member.currency.clone(),
        })
    }
}
