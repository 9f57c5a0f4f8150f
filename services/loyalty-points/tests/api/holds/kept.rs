//! What holds keep to, whoever asks for whatever at the same time.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use super::{authorize, balance, capture, hold, try_capture, void};
use crate::shop::Shop;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_holds_and_redemptions_never_overspend(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut client = shop.client.clone();
        calls.spawn(async move {
            if n % 2 == 0 {
                let held = client.authorize_hold(authorize("c1", 15, 3600)).await;
                held.map(|held| held.into_inner().hold)
            } else {
                let redeemed = client.redeem_points(crate::shop::redeem("c1", 15)).await;
                redeemed.map(|_| None)
            }
        });
    }
    let outcomes = calls.join_all().await;
    let (done, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (6, 14));
    for outcome in refused {
        assert_refused(outcome, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    }
    let holds: Vec<_> = done.into_iter().filter_map(Result::unwrap).collect();
    let held = 15 * i64::try_from(holds.len()).unwrap();
    assert_eq!(balance(&mut shop, None).await, (10, held, 0));

    // Of captures and voids of one hold at the same time, one happens.
    let id = hold(&mut shop, 10).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..20 {
        let mut client = shop.client.clone();
        let request = capture(&id, 10);
        let void = pb::VoidHoldRequest {
            customer_id: "c1".to_owned(),
            hold_id: id.clone(),
            ..Default::default()
        };
        calls.spawn(async move {
            if n % 2 == 0 {
                client.capture_hold(request).await.map(drop)
            } else {
                client.void_hold(void).await.map(drop)
            }
        });
    }
    let outcomes = calls.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_hold_holds_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let request = pb::AuthorizeHoldRequest {
        request_id: "r1".to_owned(),
        ..authorize("c1", 60, 3600)
    };
    let first = shop.client.authorize_hold(request.clone()).await.unwrap();
    let again = shop.client.authorize_hold(request).await.unwrap();
    assert_eq!(first.into_inner(), again.into_inner());
    assert_eq!(balance(&mut shop, None).await, (40, 60, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn holds_come_in_pages_the_latest_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    for points in 1..=5 {
        hold(&mut shop, points).await;
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListHoldsRequest {
            customer_id: "c1".to_owned(),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = shop.client.list_holds(request).await.unwrap().into_inner();
        listed.extend(page.holds.into_iter().map(|hold| hold.points));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [5, 4, 3, 2, 1]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_holds_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let everything = pb::AuthorizeHoldRequest {
        request_id: "no spaces".to_owned(),
        reason: "x".repeat(501),
        ..authorize("no spaces", 0, 0)
    };
    let status = shop.client.authorize_hold(everything).await.unwrap_err();
    assert_eq!(
        violations(&status),
        ["request_id", "customer_id", "points", "timeout", "reason"]
    );
    for seconds in [-1, 366 * 86_400 + 1, i64::MAX] {
        let status = shop
            .client
            .authorize_hold(authorize("c1", 1, seconds))
            .await;
        assert_eq!(violations(&status.unwrap_err()), ["timeout"]);
    }
    let status = try_capture(&mut shop, capture("", -1)).await.unwrap_err();
    assert_eq!(violations(&status), ["hold_id", "points"]);
    assert_eq!(
        violations(&void(&mut shop, "").await.unwrap_err()),
        ["hold_id"]
    );
    let elsewhere = shop.client.authorize_hold(authorize("nobody", 1, 60)).await;
    assert_refused(elsewhere, Code::NotFound, "MEMBER_NOT_FOUND");
    let unknown = pb::GetHoldRequest {
        customer_id: "c1".to_owned(),
        hold_id: "nothing".to_owned(),
        ..Default::default()
    };
    assert_refused(
        shop.client.get_hold(unknown).await,
        Code::NotFound,
        "HOLD_NOT_FOUND",
    );
    let nobody = pb::ListHoldsRequest {
        customer_id: "nobody".to_owned(),
        ..Default::default()
    };
    assert_refused(
        shop.client.list_holds(nobody).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_holds_as_they_are(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let id = hold(&mut shop, 60).await;
    for statement in [
        "UPDATE lots SET held = held + 1",
        "UPDATE lots SET held = -1, remaining = remaining + 61",
        "UPDATE accounts SET held = -1",
        "UPDATE holds SET held = held - 1",
        "UPDATE holds SET state = 'voided'",
        "UPDATE holds SET points = 61, held = 61",
        "UPDATE holds SET expires_at = expires_at + 1",
        "DELETE FROM holds",
        "UPDATE hold_lots SET held = held - 1",
        "DELETE FROM hold_lots",
    ] {
        shop.execute(statement).await.expect_err(statement);
    }
    void(&mut shop, &id).await.unwrap();
    let reopened =
        "UPDATE holds SET state = 'authorized', held = 60, released = 0, closed_at = NULL";
    let refused = shop.execute(reopened).await.unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
}
