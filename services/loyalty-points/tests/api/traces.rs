//! Why a posting came to its points.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::DecisionStepKind as Kind;
use pb::audit_service_client::AuditServiceClient;
use pb::get_decision_trace_response::Basis;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::audit::{seal, success, tamper};
use crate::shop::{NOW, Purchase, Shop, at, earn};

const MARCH: &str = "1998-03-01T00:00:00Z";

async fn trace(shop: &Shop, transaction_id: &str) -> Result<pb::GetDecisionTraceResponse, Status> {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetDecisionTraceRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        ..Default::default()
    };
    Ok(client.get_decision_trace(request).await?.into_inner())
}

/// The latest posting's.
async fn latest(shop: &mut Shop) -> pb::GetDecisionTraceResponse {
    let posting = shop.transactions("c1").await.remove(0);
    let traced = trace(shop, &posting.transaction_id).await.unwrap();
    assert_eq!(traced.transaction, Some(posting));
    traced
}

fn steps(traced: &pb::GetDecisionTraceResponse) -> Vec<(Kind, i64, i64)> {
    let told = |step: &pb::DecisionStep| (step.kind(), step.points, step.lot_remaining);
    traced.steps.iter().map(told).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "goes into optional fields")]
fn dollars(micros: i64) -> Option<Money> {
    Some(Money {
        currency_code: "USD".to_owned(),
        micros,
    })
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_explained_down_to_what_was_dropped(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let purchase = Purchase {
        id: "t1",
        at: MARCH,
        currency: "USD",
        micros: 29_330_000,
    };
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    let traced = latest(&mut shop).await;
    let expected = pb::PurchaseBasis {
        total: dollars(29_330_000),
        earning_rule: Some(pb::EarningRule {
            unit: dollars(1_000_000),
            points_per_unit: 1,
        }),
        whole_units: 29,
        dropped: dollars(330_000),
        points: 29,
        points_max: 1_000_000_000_000,
        base_points: 29,
        tier: "Bronze".to_owned(),
        multiplier_basis_points: 10_000,
        tier_policy_version: 1,
    };
    assert_eq!(traced.basis, Some(Basis::Purchase(expected)));
    assert_eq!(steps(&traced), [(Kind::Made, 29, 29)]);
    assert_eq!(traced.steps[0].lot_earned_at, at(MARCH));
    // What was recorded is sealed with the posting.
    seal(&shop).await;
    success(&shop).await;
    let rewritten = "UPDATE postings SET decision = REPLACE(decision, '29330000', '30330000')";
    tamper(&shop, "postings", rewritten).await;
    let refused = trace(&shop, &traced.transaction.unwrap().transaction_id).await;
    assert_refused(refused, Code::DataLoss, "LEDGER_DIVERGED");
    let found = crate::audit::divergence(&shop).await;
    assert_eq!(found.kind(), pb::DivergenceKind::PostingChanged);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_redemption_tells_the_lots_in_the_order_of_spending(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let mut lots = Vec::new();
    for (points, source, expires) in [
        (10, "late", "1998-12-01T00:00:00Z"),
        (20, "soon", "1998-08-01T00:00:00Z"),
    ] {
        let request = pb::EarnPointsRequest {
            expires_at: at(expires),
            ..earn("c1", points, source)
        };
        lots.push(shop.try_earn(request).await.unwrap().lot.unwrap().lot_id);
    }
    let earned = latest(&mut shop).await;
    assert_eq!(
        earned.basis,
        Some(Basis::Asked(pb::AskedBasis { points: 20 }))
    );
    let redeemed = shop.redeem("c1", 25).await.unwrap().transaction.unwrap();
    // What happens to a lot later changes nothing of what was decided.
    let extend = pb::ExtendExpiryRequest {
        customer_id: "c1".to_owned(),
        lot_id: lots[0].clone(),
        expires_at: at("1999-12-01T00:00:00Z"),
        reason: "a strike at the post".to_owned(),
        ..Default::default()
    };
    shop.client.extend_expiry(extend).await.unwrap();
    let traced = trace(&shop, &redeemed.transaction_id).await.unwrap();
    assert_eq!(
        traced.basis,
        Some(Basis::Asked(pb::AskedBasis { points: 25 }))
    );
    assert_eq!(steps(&traced), [(Kind::Spent, 20, 0), (Kind::Spent, 5, 5)]);
    let told: Vec<_> = traced
        .steps
        .iter()
        .map(|step| (&step.lot_id, step.lot_expires_at))
        .collect();
    assert_eq!(
        told,
        [
            (&lots[1], at("1998-08-01T00:00:00Z")),
            (&lots[0], at("1998-12-01T00:00:00Z"))
        ]
    );
    assert_eq!(traced.steps[1].lot_earned_at, at(NOW));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn reversals_and_refunds_tell_their_shares_and_what_became_of_them(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    use pb::decision_extent::Extent;
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    let redeemed = shop.redeem("c1", 90).await.unwrap().transaction.unwrap();
    let reverse = |transaction_id: &str, returned| pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        reason: "returned".to_owned(),
        extent: Some(pb::reverse_transaction_request::Extent::Returned(
            pb::ReturnedAmount {
                original: dollars(3_000_000),
                returned: dollars(returned),
            },
        )),
        ..Default::default()
    };
    let share = |returned_micros| {
        Some(pb::DecisionExtent {
            extent: Some(Extent::Share(pb::DecisionShare {
                original_micros: 3_000_000,
                returned_micros,
            })),
        })
    };
    for (returned, before, points, expected) in [
        (
            1_000_000,
            0,
            33,
            vec![(Kind::TakenBack, 10, 0), (Kind::Owed, 23, 0)],
        ),
        (2_000_000, 33, 33, vec![(Kind::Owed, 33, 0)]),
    ] {
        let request = reverse(&earned.transaction_id, returned);
        shop.client.reverse_transaction(request).await.unwrap();
        let traced = latest(&mut shop).await;
        let basis = pb::ReversalBasis {
            extent: share(returned),
            policy: pb::ReversalPolicy::AllowDebt.into(),
            earned: 100,
            reversed_before: before,
            adjusted: 0,
            points,
        };
        assert_eq!(traced.basis, Some(Basis::Reversal(basis)));
        assert_eq!(steps(&traced), expected);
    }
    let request = reverse(&redeemed.transaction_id, 3_000_000);
    shop.client.reverse_transaction(request).await.unwrap();
    let traced = latest(&mut shop).await;
    let basis = pb::RefundBasis {
        extent: share(3_000_000),
        grace_days: 0,
        spent: 90,
        refunded_before: 0,
        points: 90,
    };
    assert_eq!(traced.basis, Some(Basis::Refund(basis)));
    assert_eq!(
        steps(&traced),
        [(Kind::Returned, 90, 90), (Kind::Repaid, 56, 34)]
    );
    seal(&shop).await;
    success(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_time_did_is_told_apart_from_what_was_asked_for(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let request = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("c1", 50, "s1")
    };
    shop.try_earn(request).await.unwrap();
    let hold = |points| pb::AuthorizeHoldRequest {
        customer_id: "c1".to_owned(),
        points,
        ..Default::default()
    };
    let held = shop
        .client
        .authorize_hold(hold(20))
        .await
        .unwrap()
        .into_inner();
    let void = pb::VoidHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: held.hold.unwrap().hold_id,
        ..Default::default()
    };
    shop.client.void_hold(void).await.unwrap();
    let traced = latest(&mut shop).await;
    assert_eq!(
        traced.basis,
        Some(Basis::Asked(pb::AskedBasis { points: 20 }))
    );
    shop.client.authorize_hold(hold(30)).await.unwrap();
    let traced = latest(&mut shop).await;
    assert_eq!(steps(&traced), [(Kind::Held, 30, 20)]);
    shop.server.clock.set(testkit::time("1998-08-01T00:00:00Z"));
    shop.earn("c1", 1, "s2").await;
    let release = shop.transactions("c1").await.remove(1);
    let traced = trace(&shop, &release.transaction_id).await.unwrap();
    assert_eq!(traced.basis, Some(Basis::Clock(pb::ClockBasis {})));
    assert_eq!(steps(&traced)[0], (Kind::Released, 30, 20));
    shop.redeem("c1", 1).await.unwrap();
    let expiry = shop.transactions("c1").await.remove(1);
    let traced = trace(&shop, &expiry.transaction_id).await.unwrap();
    assert_eq!(traced.basis, Some(Basis::Clock(pb::ClockBasis {})));
    assert_eq!(steps(&traced), [(Kind::Expired, 50, 0)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_explained(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 10, "s1").await;
    assert_refused(
        trace(&shop, "nothing").await,
        Code::NotFound,
        "TRANSACTION_NOT_FOUND",
    );
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetDecisionTraceRequest::default();
    let refused = client.get_decision_trace(request).await.unwrap_err();
    assert_eq!(violations(&refused), ["customer_id"]);
    // As postings were before decisions were recorded.
    shop.bought("c1", Purchase::dollars("t1", MARCH, 5)).await;
    shop.caught_up().await;
    tamper(&shop, "postings", "UPDATE postings SET decision = NULL").await;
    let traced = latest(&mut shop).await;
    assert_eq!((traced.basis.clone(), steps(&traced).len()), (None, 1));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_tier_made_of_a_purchase_is_told(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let get = pb::GetProgramRequest::default();
    let got = shop.client.get_program(get).await.unwrap().into_inner();
    let mut program = got.program.unwrap();
    program.program_id = "double".to_owned();
    for tier in &mut program.tier_policy.as_mut().unwrap().tiers {
        tier.multiplier_basis_points = 15_000;
    }
    let create = pb::CreateProgramRequest {
        program: Some(program),
        ..Default::default()
    };
    shop.client.create_program(create).await.unwrap();
    let enroll = pb::EnrollMemberRequest {
        program_id: "double".to_owned(),
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    shop.client.enroll_member(enroll).await.unwrap();
    let purchase = Purchase {
        id: "t1",
        at: NOW,
        currency: "USD",
        micros: 29_330_000,
    };
    shop.bought("c1", purchase).await;
    shop.caught_up().await;
    let list = pb::ListTransactionsRequest {
        program_id: "double".to_owned(),
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    let listed = shop
        .client
        .list_transactions(list)
        .await
        .unwrap()
        .into_inner();
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetDecisionTraceRequest {
        program_id: "double".to_owned(),
        customer_id: "c1".to_owned(),
        transaction_id: listed.transactions[0].transaction_id.clone(),
    };
    let traced = client
        .get_decision_trace(request)
        .await
        .unwrap()
        .into_inner();
    let Some(Basis::Purchase(basis)) = traced.basis else {
        panic!("no purchase: {traced:?}");
    };
    assert_eq!((basis.base_points, basis.points), (29, 43));
    assert_eq!(
        (
            basis.tier.as_str(),
            basis.multiplier_basis_points,
            basis.tier_policy_version
        ),
        ("Bronze", 15_000, 1)
    );
    seal(&shop).await;
    success(&shop).await;
}
