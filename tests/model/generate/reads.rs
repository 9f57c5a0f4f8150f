//! Balances and lists.

use api::loyalty::v1 as pb;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Generator, Whose};
use crate::answers::stamp;
use crate::service::{CLUB, CLUB_CURRENCIES};

impl Generator {
    pub(super) fn balance(&mut self, whose: Whose, now: i64) -> pb::GetBalanceRequest {
        pb::GetBalanceRequest {
            as_of: self.ahead(now),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            points_currency: whose.points_currency,
            ..Default::default()
        }
    }

    pub(super) fn balances(&mut self, whose: Whose, now: i64) -> pb::ListBalancesRequest {
        pb::ListBalancesRequest {
            as_of: self.ahead(now),
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            ..Default::default()
        }
    }

    /// Mostly near what there is, which expires soon or after years.
    pub(super) fn forecast(&mut self, whose: Whose, now: i64) -> pb::ForecastExpiryRequest {
        let outlooks = [(0, 0), (3, 1), (1, 7), (740, 70)];
        let (horizon_days, bucket_days) = *outlooks.choose(&mut self.rng).expect("there are some");
        pb::ForecastExpiryRequest {
            as_of: self.ahead(now),
            horizon_days,
            bucket_days,
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            points_currency: whose.points_currency,
            ..Default::default()
        }
    }

    pub(super) fn statement(&mut self, whose: Whose, now: i64) -> pb::GetStatementRequest {
        let from = now - self.units(0..40);
        let to = now + self.units(-10..10);
        pb::GetStatementRequest {
            from: Some(stamp(from)),
            to: Some(stamp(to.max(from + 1))),
            page_size: 1000,
            program_id: whose.program_id,
            customer_id: whose.customer_id,
            points_currency: whose.points_currency,
            ..Default::default()
        }
    }

    /// Far ahead of whatever the clock does meanwhile, if at all.
    fn ahead(&mut self, now: i64) -> Option<prost_types::Timestamp> {
        let ahead = 3_600_000_000.max(self.unit * 60);
        self.rng.random_bool(0.3).then(|| stamp(now + ahead))
    }
}

pub(super) fn lots(whose: Whose) -> pb::ListLotsRequest {
    pb::ListLotsRequest {
        points_currency: listed(&whose),
        program_id: whose.program_id,
        customer_id: whose.customer_id,
        page_size: 1000,
        ..Default::default()
    }
}

pub(super) fn tier_history(whose: Whose) -> pb::ListTierHistoryRequest {
    pb::ListTierHistoryRequest {
        program_id: whose.program_id,
        customer_id: whose.customer_id,
        page_size: 1000,
        ..Default::default()
    }
}

pub(super) fn transactions(whose: Whose) -> pb::ListTransactionsRequest {
    pb::ListTransactionsRequest {
        points_currency: listed(&whose),
        program_id: whose.program_id,
        customer_id: whose.customer_id,
        page_size: 20,
        ..Default::default()
    }
}

pub(super) fn holds(whose: Whose) -> pb::ListHoldsRequest {
    pb::ListHoldsRequest {
        points_currency: listed(&whose),
        program_id: whose.program_id,
        customer_id: whose.customer_id,
        page_size: 20,
        ..Default::default()
    }
}

/// A list of the club names its currency.
fn listed(whose: &Whose) -> String {
    if whose.program_id == CLUB && whose.points_currency.is_empty() {
        CLUB_CURRENCIES[0].to_owned()
    } else {
        whose.points_currency.clone()
    }
}
