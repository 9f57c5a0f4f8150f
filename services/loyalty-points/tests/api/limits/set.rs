//! Limits are set, changed, ended and listed.

use api::loyalty::v1 as pb;
use pb::LimitExcess::{Clamp, Refuse};
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use super::{budget, cap, client, end, ending, set, setting, try_set, try_usages, used};
use crate::shop::{NOW, Shop, at};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_is_set_changed_ended_and_listed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let first = set(&shop, cap("month", 100, Refuse)).await;
    let expected = pb::EarningLimit {
        points_currency: "PTS".to_owned(),
        version: 1,
        actor: first.actor.clone(),
        reason: "test".to_owned(),
        changed_at: at(NOW),
        ..cap("month", 100, Refuse)
    };
    assert_eq!(first, expected);
    assert!(!first.actor.is_empty());
    set(&shop, budget("all", 1000, Clamp)).await;
    let changed = set(&shop, cap("month", 80, Clamp)).await;
    assert_eq!((changed.version, changed.points), (3, 80));
    shop.earn("c1", 30, "s1").await;

    let ended = end(&shop, "month").await;
    assert_eq!((ended.version, ended.ended, ended.points), (4, true, 80));
    let answer = client(&shop).end_earning_limit(ending("month")).await;
    assert_refused(answer, Code::FailedPrecondition, "LIMIT_ENDED");
    // What is earned meanwhile is not counted; what was before is.
    shop.earn("c1", 90, "s2").await;
    assert_eq!(used(&shop, "").await, 120);
    let again = set(&shop, cap("month", 70, Clamp)).await;
    assert_eq!((again.version, again.ended), (5, false));
    let told = try_usages(&shop, "c1", None).await.unwrap();
    let told: Vec<_> = told.iter().map(|of| (of.used, of.remaining)).collect();
    assert_eq!(told, [(120, 880), (30, 40)]);

    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListEarningLimitsRequest {
            page_size: 1,
            page_token,
            ..Default::default()
        };
        let page = client(&shop).list_earning_limits(request).await.unwrap();
        let page = page.into_inner();
        listed.extend(page.limits);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let listed: Vec<_> = listed
        .iter()
        .map(|limit| (limit.limit_id.as_str(), limit.version))
        .collect();
    assert_eq!(listed, [("all", 2), ("month", 5)]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_violation_is_told(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let shop = Shop::open(backend).await;
    let request = pb::SetEarningLimitRequest {
        request_id: "\u{e4}".to_owned(),
        program_id: "a b".to_owned(),
        limit: Some(pb::EarningLimit {
            limit_id: "a/b".to_owned(),
            points: -1,
            points_currency: "pts".to_owned(),
            ..Default::default()
        }),
        expected_version: -1,
        ..Default::default()
    };
    let refused = try_set(&shop, request).await.unwrap_err();
    let mut fields = violations(&refused);
    fields.sort_unstable();
    let expected = [
        "expected_version",
        "limit.excess",
        "limit.limit_id",
        "limit.points",
        "limit.points_currency",
        "limit.scope",
        "limit.window",
        "program_id",
        "reason",
        "request_id",
    ];
    assert_eq!(fields, expected);
    let ending = pb::EndEarningLimitRequest::default();
    let refused = client(&shop).end_earning_limit(ending).await.unwrap_err();
    assert_eq!(violations(&refused), ["limit_id", "reason"]);
    let asked = pb::GetLimitUsageRequest {
        program_id: "a b".to_owned(),
        customer_id: "c 1".to_owned(),
        ..Default::default()
    };
    let refused = client(&shop).get_limit_usage(asked).await.unwrap_err();
    assert_eq!(violations(&refused), ["program_id", "customer_id"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_set_is_refused_for_a_reason_of_its_own(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = Shop::open(backend).await;
    set(&shop, cap("month", 100, Refuse)).await;
    let elsewhere = pb::SetEarningLimitRequest {
        program_id: "none".to_owned(),
        ..setting(cap("month", 1, Refuse))
    };
    let answer = try_set(&shop, elsewhere).await;
    assert_refused(answer, Code::NotFound, "PROGRAM_NOT_FOUND");
    let miles = pb::EarningLimit {
        points_currency: "MILES".to_owned(),
        ..cap("miles", 1, Refuse)
    };
    let answer = try_set(&shop, setting(miles)).await;
    assert_refused(answer, Code::NotFound, "CURRENCY_NOT_FOUND");
    let stale = pb::SetEarningLimitRequest {
        expected_version: 7,
        ..setting(cap("month", 1, Refuse))
    };
    let answer = try_set(&shop, stale).await;
    assert_refused(answer, Code::Aborted, "LIMIT_CHANGED");
    let other = pb::EarningLimit {
        window: pb::LimitWindow::Day.into(),
        ..budget("month", 1, Refuse)
    };
    let answer = try_set(&shop, setting(other)).await;
    let status = answer.as_ref().unwrap_err();
    let info = common::error::ErrorInfo::of(status);
    assert_eq!(info.metadata["fields"], "scope,window");
    assert_refused(answer, Code::FailedPrecondition, "LIMIT_FIXED");
    let answer = client(&shop).end_earning_limit(ending("week")).await;
    assert_refused(answer, Code::NotFound, "LIMIT_NOT_FOUND");
    let answer = try_usages(&shop, "nobody", None).await;
    assert_refused(answer, Code::NotFound, "MEMBER_NOT_FOUND");

    for n in 1..20 {
        set(&shop, cap(&format!("l{n}"), 100, Refuse)).await;
    }
    let answer = try_set(&shop, setting(cap("more", 1, Refuse))).await;
    assert_refused(answer, Code::FailedPrecondition, "TOO_MANY_LIMITS");
    // One that holds can be changed all the same, and one that has ended makes room.
    set(&shop, cap("l1", 99, Refuse)).await;
    end(&shop, "l1").await;
    set(&shop, cap("more", 1, Refuse)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_repeatable_rehearsed_and_seen_by_every_replica(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let dry = pb::SetEarningLimitRequest {
        dry_run: true,
        request_id: "r1".to_owned(),
        ..setting(cap("month", 10, Refuse))
    };
    let told = try_set(&shop, dry).await.unwrap();
    assert_eq!(
        (told.limit.unwrap().version, told.consistency_token.as_str()),
        (1, "")
    );
    assert!(try_usages(&shop, "c1", None).await.unwrap().is_empty());

    let real = pb::SetEarningLimitRequest {
        request_id: "r1".to_owned(),
        ..setting(cap("month", 10, Refuse))
    };
    let first = try_set(&shop, real.clone()).await.unwrap();
    assert_eq!(try_set(&shop, real).await.unwrap(), first);
    assert!(!first.consistency_token.is_empty());
    shop.earn("c1", 10, "s1").await;

    // A replica that knows the program from before is limited by what another one has set since.
    let replica = shop.server.replica().await;
    let mut other = pb::loyalty_service_client::LoyaltyServiceClient::new(replica.channel());
    let earn = |source| crate::shop::earn("c1", 1, source);
    let answer = other.earn_points(earn("s2")).await;
    assert_refused(answer, Code::FailedPrecondition, "LIMIT_REACHED");
    set(&shop, cap("month", 11, Refuse)).await;
    other.earn_points(earn("s3")).await.unwrap();
    let answer = other.earn_points(earn("s4")).await;
    assert_refused(answer, Code::FailedPrecondition, "LIMIT_REACHED");
    let dry = pb::EndEarningLimitRequest {
        dry_run: true,
        ..ending("month")
    };
    client(&shop).end_earning_limit(dry).await.unwrap();
    assert_eq!(used(&shop, "c1").await, 11);
    end(&shop, "month").await;
    other.earn_points(earn("s5")).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_limits_and_their_usage_as_they_must_be(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    set(&shop, cap("month", 100, Refuse)).await;
    shop.earn("c1", 60, "s1").await;
    for statement in [
        "UPDATE earning_limits SET points = 1000",
        "DELETE FROM earning_limits",
        "DELETE FROM limit_usage",
        "UPDATE limit_usage SET window_start = 0",
        "UPDATE limit_usage SET used = -1",
        "UPDATE limit_usage SET used = 101",
        "INSERT INTO limit_usage (program_id, limit_id, customer_id, window_start, used)
         VALUES ('default', 'none', 'c1', 0, 0)",
        "INSERT INTO limit_usage (program_id, limit_id, customer_id, window_start, used)
         VALUES ('default', 'month', '', 0, 0)",
        "INSERT INTO limit_usage (program_id, limit_id, customer_id, window_start, used)
         VALUES ('default', 'month', 'c1', 0, 101)",
        "INSERT INTO earning_limits
             (program_id, version, limit_id, scope, currency, window_kind, points, excess, ended, actor,
              reason, changed_at)
         VALUES ('default', 3, 'month', 'member', '', 'month', 1, 'refuse', FALSE, 'a', 'r', 0)",
        "INSERT INTO earning_limits
             (program_id, version, limit_id, scope, currency, window_kind, points, excess, ended, actor,
              reason, changed_at)
         VALUES ('default', 2, 'month', 'member', '', 'day', 1, 'refuse', FALSE, 'a', 'r', 0)",
    ] {
        shop.execute(statement).await.unwrap_err();
    }
    shop.execute("UPDATE limit_usage SET used = 100")
        .await
        .unwrap();
}
