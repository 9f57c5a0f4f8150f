//! What is earned under limits.

use api::loyalty::v1 as pb;
use pb::LimitExcess::{Clamp, Refuse};
use pb::audit_service_client::AuditServiceClient;
use pb::batch_post_item::Item;
use pb::batch_post_result::Outcome;
use pb::get_decision_trace_response::Basis;
use rstest::rstest;
use testkit::{Backend, assert_refused, time};
use tonic::Code;

use super::{assert_reached, budget, cap, cuts, end, set, used, used_at};
use crate::shop::{NOW, Purchase, Shop, at, earn};
use crate::wallets::travel::{MILES, TRAVEL, Travel, earn as earn_travel};

pub const AUGUST: &str = "1998-08-01T00:00:00Z";

async fn two(backend: Backend) -> Shop {
    let shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    shop
}

async fn trace(shop: &Shop, transaction_id: &str) -> pb::GetDecisionTraceResponse {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetDecisionTraceRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        ..Default::default()
    };
    let traced = client.get_decision_trace(request).await.unwrap();
    traced.into_inner()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_refuses_lets_a_member_earn_so_much_in_each_window(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    set(&shop, cap("month", 100, Refuse)).await;
    shop.earn("c1", 70, "s1").await;
    let request = pb::EarnPointsRequest {
        request_id: "r1".to_owned(),
        ..earn("c1", 31, "s2")
    };
    let told = ("month", "30", Some("1998-08-01T00:00:00Z"));
    assert_reached(shop.try_earn(request.clone()).await, told);
    assert_eq!(shop.balance("c1").await, (70, 0, 0));
    let all = shop.earn("c1", 30, "s3").await.transaction.unwrap();
    assert!(all.limit_cuts.is_empty());
    // The other has a cap of its own.
    shop.earn("c2", 100, "s4").await;
    assert_eq!(
        (used(&shop, "c1").await, used(&shop, "c2").await),
        (100, 100)
    );

    // The next window begins at the instant at which this one ends, and the refusal stands.
    shop.server.clock.set(time(AUGUST));
    assert_eq!(used(&shop, "c1").await, 0);
    assert_reached(shop.try_earn(request).await, told);
    shop.earn("c1", 100, "s5").await;
    // What was earned in July counts there.
    let late = pb::EarnPointsRequest {
        occurred_at: at("1998-07-31T23:59:59.999999Z"),
        ..earn("c1", 1, "s6")
    };
    let told = ("month", "0", Some("1998-08-01T00:00:00Z"));
    assert_reached(shop.try_earn(late).await, told);
    let june = pb::EarnPointsRequest {
        occurred_at: at("1998-06-30T23:59:59.999999Z"),
        ..earn("c1", 40, "s7")
    };
    shop.try_earn(june).await.unwrap();
    let in_june = used_at(&shop, "c1", Some("1998-06-01T00:00:00Z")).await;
    assert_eq!(in_june, [("month".to_owned(), 40)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_cuts_lets_a_member_earn_what_is_left(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    let whole_life = pb::EarningLimit {
        window: pb::LimitWindow::Lifetime.into(),
        ..cap("life", 120, Refuse)
    };
    set(&shop, whole_life).await;
    set(&shop, cap("month", 100, Clamp)).await;
    shop.earn("c1", 70, "s1").await;
    let dry = pb::EarnPointsRequest {
        dry_run: true,
        ..earn("c1", 50, "s2")
    };
    let told = shop.try_earn(dry).await.unwrap().transaction.unwrap();
    assert_eq!((told.points, cuts(&told)), (30, vec![("month", 50, 30)]));
    let request = pb::EarnPointsRequest {
        request_id: "r1".to_owned(),
        ..earn("c1", 50, "s2")
    };
    let cut = shop.try_earn(request.clone()).await.unwrap();
    let posting = cut.transaction.clone().unwrap();
    assert_eq!(
        (posting.points, cuts(&posting)),
        (30, vec![("month", 50, 30)])
    );
    assert_eq!(cut.lot.as_ref().unwrap().original, 30);
    assert_eq!(shop.try_earn(request).await.unwrap(), cut);
    // A source that has earned is told as such, whatever is left.
    let answer = shop.try_earn(earn("c1", 50, "s2")).await;
    assert_refused(answer, Code::AlreadyExists, "SOURCE_ALREADY_POSTED");
    let answer = shop.try_earn(earn("c1", 1, "s3")).await;
    assert_reached(answer, ("month", "0", Some("1998-08-01T00:00:00Z")));

    shop.server.clock.set(time(AUGUST));
    let answer = shop.try_earn(earn("c1", 200, "s4")).await;
    assert_reached(answer, ("life", "20", None));
    let traced = trace(&shop, &posting.transaction_id).await;
    assert_eq!(
        traced.basis,
        Some(Basis::Asked(pb::AskedBasis { points: 50 }))
    );
    let limit = |limit_id: &str, version, points_before| pb::DecisionLimit {
        limit_id: limit_id.to_owned(),
        version,
        points_before,
        points_after: 30,
        ..Default::default()
    };
    let month = pb::DecisionLimit {
        window_start: at(NOW),
        window_end: at(AUGUST),
        ..limit("month", 2, 50)
    };
    assert_eq!(traced.limits, [month, limit("life", 1, 30)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_shared_and_each_currency_has_its_own_limits(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    let miles = pb::SetEarningLimitRequest {
        program_id: TRAVEL.to_owned(),
        ..super::setting(pb::EarningLimit {
            points_currency: MILES.to_owned(),
            ..budget("miles", 100, Clamp)
        })
    };
    super::try_set(&travel.shop, miles).await.unwrap();
    travel.earn(60, MILES).await;
    travel.earn(500, "").await;
    let other = earn_travel("c2", 60, MILES, "other");
    let cut = travel.shop.try_earn(other).await.unwrap();
    assert_eq!(cuts(&cut.transaction.unwrap()), [("miles", 60, 40)]);
    let request = pb::GetLimitUsageRequest {
        program_id: TRAVEL.to_owned(),
        ..Default::default()
    };
    let told = super::client(&travel.shop).get_limit_usage(request).await;
    let told = told.unwrap().into_inner().usages;
    assert_eq!((told[0].used, told[0].remaining), (100, 0));
    // The default program has limits of its own.
    travel.shop.earn("c1", 500, "s1").await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn purchases_earn_what_is_left_and_repeats_change_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    set(&shop, cap("month", 100, Clamp)).await;
    let bought: Vec<_> = ["t1", "t2", "t3"]
        .map(|id| Purchase::dollars(id, NOW, 60))
        .into();
    for purchase in &bought {
        shop.bought("c1", *purchase).await;
    }
    shop.caught_up().await;
    let mut postings = shop.transactions("c1").await;
    postings.reverse();
    let told: Vec<_> = postings.iter().map(|of| (of.points, cuts(of))).collect();
    let expected = [
        (60, vec![]),
        (40, vec![("month", 60, 40)]),
        (0, vec![("month", 60, 0)]),
    ];
    assert_eq!(told, expected);
    assert!(postings[2].entries.is_empty());
    let traced = trace(&shop, &postings[2].transaction_id).await;
    let Some(Basis::Purchase(basis)) = traced.basis else {
        panic!("a purchase: {traced:?}");
    };
    assert_eq!((basis.points, traced.limits[0].points_after), (60, 0));
    assert!(traced.steps.is_empty());

    // Nothing is limited any more; what was recorded stays as it was.
    end(&shop, "month").await;
    for purchase in &bought {
        shop.bought("c1", *purchase).await;
    }
    shop.caught_up().await;
    assert_eq!(shop.transactions("c1").await.len(), 3);
    assert_eq!(shop.balance("c1").await, (100, 0, 0));
    // What earned nothing has nothing to take back.
    let answer = shop.reverse("c1", &postings[2].transaction_id).await;
    assert_refused(answer, Code::FailedPrecondition, "NOTHING_TO_REVERSE");
    super::merged::verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_is_more_than_a_refusing_limit_has_earns_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    set(&shop, budget("all", 50, Refuse)).await;
    shop.bought("c1", Purchase::dollars("t1", NOW, 60)).await;
    shop.bought("c2", Purchase::dollars("t2", NOW, 40)).await;
    shop.caught_up().await;
    let posting = &shop.transactions("c1").await[0];
    assert_eq!((posting.points, cuts(posting)), (0, vec![("all", 60, 0)]));
    assert_eq!(shop.balance("c2").await, (40, 0, 0));
    assert_eq!(used(&shop, "").await, 40);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_held_against_limits_item_by_item(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(pb::BatchMode::Independent, pb::BatchMode::Linked)] mode: pb::BatchMode,
) {
    let mut shop = two(backend).await;
    set(&shop, cap("month", 100, Clamp)).await;
    set(&shop, budget("all", 150, Refuse)).await;
    let items = [("c1", 80), ("c1", 80), ("c2", 60), ("c2", 50)];
    let item = |(n, (customer_id, points)): (usize, (&str, i64))| pb::BatchPostItem {
        item: Some(Item::Earn(earn(customer_id, points, &format!("s{n}")))),
    };
    let request = pb::BatchPostRequest {
        mode: mode.into(),
        items: items.into_iter().enumerate().map(item).collect(),
        ..Default::default()
    };
    let answer = shop.client.batch_post(request).await.unwrap().into_inner();
    let told = answer
        .results
        .iter()
        .map(|result| match result.outcome.as_ref() {
            Some(Outcome::Earn(earned)) => earned.transaction.as_ref().unwrap().points.to_string(),
            Some(Outcome::Refusal(refusal)) => refusal.reason.clone(),
            other => panic!("{other:?}"),
        });
    let told: Vec<_> = told.collect();
    let linked = "LINKED_ITEM_FAILED";
    let (expected, used) = match mode {
        pb::BatchMode::Linked => ([linked, linked, "LIMIT_REACHED", linked], 0),
        _ => (["80", "20", "LIMIT_REACHED", "50"], 150),
    };
    assert_eq!(
        (told, super::used_at(&shop, "", None).await[0].1),
        (expected.map(str::to_owned).to_vec(), used)
    );
    super::merged::verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_brings_no_new_points_and_what_is_given_by_hand_is_not_limited(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = two(backend).await;
    set(&shop, cap("month", 100, Refuse)).await;
    shop.earn("c1", 100, "s1").await;
    let gift = pb::AdjustPointsRequest {
        customer_id: "c1".to_owned(),
        points: 30,
        reason_code: "GOODWILL".to_owned(),
        ..Default::default()
    };
    shop.client.adjust_points(gift).await.unwrap();
    let moved = pb::TransferPointsRequest {
        customer_id: "c1".to_owned(),
        to_customer_id: "c2".to_owned(),
        points: 50,
        ..Default::default()
    };
    shop.client.transfer_points(moved).await.unwrap();
    let rows = [crate::imports::row(1, pb::ImportKind::Earn, 500, NOW)];
    let chunks = crate::imports::chunks(crate::imports::header(), &rows, 1);
    for answer in crate::imports::send(&shop, chunks).await {
        let outcome = &answer.unwrap().outcomes[0];
        assert_eq!(
            outcome.status(),
            pb::ImportRowStatus::Imported,
            "{outcome:?}"
        );
    }
    let spent = shop.redeem("c1", 20).await.unwrap().transaction.unwrap();
    shop.reverse("c1", &spent.transaction_id).await.unwrap();
    assert_eq!((used(&shop, "c1").await, used(&shop, "c2").await), (100, 0));
    super::merged::verify(&shop).await;
}
