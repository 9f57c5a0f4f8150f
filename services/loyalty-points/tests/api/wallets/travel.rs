//! A program with three point currencies, to set up in one line each.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use testkit::Backend;
use tonic::Status;

use crate::shop::Shop;

/// The program.
pub const TRAVEL: &str = "travel";
/// Its first currency, in which points never expire.
pub const COINS: &str = "COINS";
/// Points that expire after ten days.
pub const MILES: &str = "MILES";
/// Points that never do.
pub const STARS: &str = "STARS";

/// A running service with members of the program.
pub struct Travel {
    pub shop: Shop,
}

impl Travel {
    /// Opens with two members, `c1` and `c2`.
    pub async fn open(backend: Backend) -> Self {
        let mut shop = Shop::open(backend).await;
        let request = pb::CreateProgramRequest {
            program: Some(program()),
            ..Default::default()
        };
        shop.client.create_program(request).await.unwrap();
        let mut travel = Self { shop };
        travel.enroll("c1").await;
        travel.enroll("c2").await;
        travel
    }

    pub async fn enroll(&mut self, customer_id: &str) {
        let request = pb::EnrollMemberRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: customer_id.to_owned(),
            at_least: self.shop.created(customer_id).await,
            ..Default::default()
        };
        self.shop.client.enroll_member(request).await.unwrap();
    }

    pub async fn earn(&mut self, points: i64, currency: &str) -> pb::EarnPointsResponse {
        let source_ref = format!("{currency}-{points}");
        let request = earn("c1", points, currency, &source_ref);
        self.shop.try_earn(request).await.unwrap()
    }

    pub async fn redeem(
        &mut self,
        points: i64,
        currency: &str,
    ) -> Result<pb::RedeemPointsResponse, Status> {
        let request = redeem(points, currency);
        let answer = self.shop.client.redeem_points(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn reverse(
        &mut self,
        transaction_id: &str,
    ) -> Result<pb::ReverseTransactionResponse, Status> {
        let request = pb::ReverseTransactionRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: "c1".to_owned(),
            transaction_id: transaction_id.to_owned(),
            ..Default::default()
        };
        let answer = self.shop.client.reverse_transaction(request).await?;
        Ok(answer.into_inner())
    }

    pub async fn authorize(&mut self, points: i64, currency: &str) -> pb::AuthorizeHoldResponse {
        let request = pb::AuthorizeHoldRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: "c1".to_owned(),
            points,
            points_currency: currency.to_owned(),
            timeout: Some(prost_types::Duration {
                seconds: 3600,
                nanos: 0,
            }),
            ..Default::default()
        };
        let answer = self.shop.client.authorize_hold(request).await;
        answer.unwrap().into_inner()
    }

    /// Every balance of a member.
    pub async fn balances_of(&mut self, customer_id: &str) -> Vec<pb::Balance> {
        let request = pb::ListBalancesRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        let answer = self.shop.client.list_balances(request).await;
        answer.unwrap().into_inner().balances
    }

    /// Code, available, held and debt of each account of `c1`.
    pub async fn told(&mut self) -> Vec<(String, i64, i64, i64)> {
        let balances = self.balances_of("c1").await;
        let told = |it: pb::Balance| (it.points_currency, it.available, it.held, it.debt);
        balances.into_iter().map(told).collect()
    }

    /// Asserts available, held and debt in coins and in miles.
    pub async fn assert_told(&mut self, coins: (i64, i64, i64), miles: (i64, i64, i64)) {
        let told = |code: &str, (available, held, debt)| (code.to_owned(), available, held, debt);
        let expected = [
            told(COINS, coins),
            told(MILES, miles),
            told(STARS, (0, 0, 0)),
        ];
        assert_eq!(self.told().await, expected);
    }

    pub async fn transactions(&mut self, currency: &str) -> Vec<pb::LedgerTransaction> {
        let request = pb::ListTransactionsRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: "c1".to_owned(),
            points_currency: currency.to_owned(),
            ..Default::default()
        };
        let answer = self.shop.client.list_transactions(request).await;
        answer.unwrap().into_inner().transactions
    }

    pub async fn lots(&mut self, customer_id: &str, currency: &str) -> Vec<pb::Lot> {
        let request = pb::ListLotsRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: customer_id.to_owned(),
            points_currency: currency.to_owned(),
            ..Default::default()
        };
        let answer = self.shop.client.list_lots(request).await;
        answer.unwrap().into_inner().lots
    }

    pub async fn tier(&mut self) -> pb::MemberTier {
        let request = pb::GetTierRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: "c1".to_owned(),
            ..Default::default()
        };
        let answer = self.shop.client.get_tier(request).await;
        answer.unwrap().into_inner().tier.unwrap()
    }

    pub async fn statement(&mut self, currency: &str) -> pb::GetStatementResponse {
        let request = pb::GetStatementRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: "c1".to_owned(),
            points_currency: currency.to_owned(),
            from: crate::shop::at("1998-06-01T00:00:00Z"),
            to: crate::shop::at("1998-09-01T00:00:00Z"),
            ..Default::default()
        };
        let answer = self.shop.client.get_statement(request).await;
        answer.unwrap().into_inner()
    }
}

pub fn program() -> pb::Program {
    let tier = |name: &str, rank, threshold| pb::Tier {
        name: name.to_owned(),
        rank,
        threshold,
        ..Default::default()
    };
    let currency = |code: &str, display_name: &str, validity_days| pb::PointCurrency {
        code: code.to_owned(),
        display_name: display_name.to_owned(),
        validity_days,
    };
    pb::Program {
        program_id: TRAVEL.to_owned(),
        display_name: "Travel".to_owned(),
        points_currency: COINS.to_owned(),
        earning_rule: Some(pb::EarningRule {
            unit: Some(Money {
                currency_code: "USD".to_owned(),
                micros: 1_000_000,
            }),
            points_per_unit: 1,
        }),
        tier_policy: Some(pb::TierPolicy {
            tiers: vec![tier("Blue", 1, 0), tier("Senator", 2, 50)],
            ..Default::default()
        }),
        expiry_notice_days: vec![3],
        further_currencies: vec![currency(MILES, "Miles", 10), currency(STARS, "Stars", 0)],
        ..Default::default()
    }
}

pub fn earn(
    customer_id: &str,
    points: i64,
    currency: &str,
    source_ref: &str,
) -> pb::EarnPointsRequest {
    pb::EarnPointsRequest {
        program_id: TRAVEL.to_owned(),
        points_currency: currency.to_owned(),
        ..crate::shop::earn(customer_id, points, source_ref)
    }
}

pub fn redeem(points: i64, currency: &str) -> pb::RedeemPointsRequest {
    pb::RedeemPointsRequest {
        program_id: TRAVEL.to_owned(),
        points_currency: currency.to_owned(),
        ..crate::shop::redeem("c1", points)
    }
}
