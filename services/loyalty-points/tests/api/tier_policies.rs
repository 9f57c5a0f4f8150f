//! Versions of tier policies: published, listed, refused, never changed.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, time, violations};
use tonic::{Code, Status};

use crate::shop::{NOW, Shop, at};

pub fn named(name: &str, rank: i32, threshold: i64) -> pb::Tier {
    pb::Tier {
        name: name.to_owned(),
        rank,
        threshold,
        ..Default::default()
    }
}

/// Bronze, Silver from so much on, Gold from twice as much on.
pub fn policy(silver: i64) -> pb::TierPolicy {
    pb::TierPolicy {
        tiers: vec![
            named("Bronze", 1, 0),
            named("Silver", 2, silver),
            named("Gold", 3, silver * 2),
        ],
        ..Default::default()
    }
}

pub fn publication(policy: pb::TierPolicy) -> pb::PublishTierPolicyRequest {
    pb::PublishTierPolicyRequest {
        policy: Some(policy),
        reason: "test".to_owned(),
        ..Default::default()
    }
}

pub async fn try_publish(
    shop: &mut Shop,
    request: pb::PublishTierPolicyRequest,
) -> Result<pb::PublishTierPolicyResponse, Status> {
    Ok(shop.client.publish_tier_policy(request).await?.into_inner())
}

pub async fn publish(shop: &mut Shop, policy: pb::TierPolicy) -> pb::PublishTierPolicyResponse {
    try_publish(shop, publication(policy)).await.unwrap()
}

async fn in_force(shop: &mut Shop, instant: Option<&str>) -> i64 {
    let request = pb::GetTierPolicyRequest {
        as_of: instant.and_then(at),
        ..Default::default()
    };
    let got = shop.client.get_tier_policy(request).await.unwrap();
    got.into_inner().policy.unwrap().version
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn versions_hold_one_after_the_other(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let scheduled = pb::PublishTierPolicyRequest {
        effective_at: at("1999-01-01T00:00:00Z"),
        expected_latest_version: 1,
        ..publication(pb::TierPolicy {
            metric: pb::TierMetric::Spend.into(),
            period: pb::TierPeriod::CalendarYear.into(),
            downgrade: pb::TierDowngrade::OneDown.into(),
            grace_days: 30,
            utc_offset_minutes: -300,
            ..policy(50)
        })
    };
    let second = try_publish(&mut shop, scheduled).await.unwrap().policy;
    let second = second.unwrap();
    assert_eq!((second.version, second.published_at), (2, at(NOW)));
    assert!(!second.actor.is_empty());
    let third = pb::PublishTierPolicyRequest {
        effective_at: at("1999-01-01T00:00:00Z"),
        ..publication(policy(60))
    };
    let third = try_publish(&mut shop, third).await.unwrap().policy.unwrap();

    assert_eq!(in_force(&mut shop, None).await, 1);
    assert_eq!(in_force(&mut shop, Some("1990-01-01T00:00:00Z")).await, 1);
    assert_eq!(in_force(&mut shop, Some("1999-01-01T00:00:00Z")).await, 3);
    let request = pb::GetTierPolicyRequest {
        version: 2,
        ..Default::default()
    };
    let got = shop.client.get_tier_policy(request).await.unwrap();
    assert_eq!(got.into_inner().policy, Some(second.clone()));

    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListTierPoliciesRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = shop.client.list_tier_policies(request).await.unwrap();
        let page = page.into_inner();
        listed.extend(page.policies);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let versions: Vec<_> = listed.iter().map(|policy| policy.version).collect();
    assert_eq!(versions, [3, 2, 1]);
    assert_eq!((&listed[0], &listed[1]), (&third, &second));

    // The program tells the version that holds.
    for (now, version) in [(NOW, 1), ("1999-01-01T00:00:00Z", 3)] {
        shop.server.clock.set(time(now));
        let got = shop
            .client
            .get_program(pb::GetProgramRequest::default())
            .await;
        let program = got.unwrap().into_inner().program.unwrap();
        assert_eq!(program.tier_policy.unwrap().version, version);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn published_versions_cannot_be_changed_in_the_database(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    publish(&mut shop, policy(50)).await;
    for statement in [
        "UPDATE tier_policies SET grace_days = 0",
        "DELETE FROM tier_policies",
        "UPDATE policy_tiers SET threshold = 1",
        "DELETE FROM policy_tiers",
        "INSERT INTO policy_tiers SELECT program_id, version, 9, 'Plum', 999, 10000, '[]'
         FROM tier_policies",
        "INSERT INTO tier_policies SELECT program_id, 4, metric, period, window_micros, 0, downgrade, 0, 1,
            effective_at, published_at, actor, reason FROM tier_policies WHERE version = 2",
        "INSERT INTO tier_policies SELECT program_id, 3, metric, period, window_micros, 0, downgrade, 0, 1,
            effective_at - 1, published_at - 1, actor, reason FROM tier_policies WHERE version = 2",
        "INSERT INTO tier_policies SELECT program_id, 3, metric, 'calendar_year', 0, 0, 'immediate', 0, 1,
            effective_at, published_at, actor, reason FROM tier_policies WHERE version = 2",
    ] {
        shop.execute(statement).await.expect_err(statement);
    }
    assert_eq!(in_force(&mut shop, None).await, 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn publications_are_repeatable_and_can_be_tried(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 60, "s1").await;
    let dry = pb::PublishTierPolicyRequest {
        request_id: "r1".to_owned(),
        dry_run: true,
        ..publication(policy(50))
    };
    let tried = try_publish(&mut shop, dry.clone()).await.unwrap();
    assert_eq!(tried.policy.unwrap().version, 2);
    assert_eq!(tried.consistency_token, "");
    assert_eq!(in_force(&mut shop, None).await, 1);
    assert_eq!(shop.tier("c1").await.tier, "Bronze");

    let real = pb::PublishTierPolicyRequest {
        dry_run: false,
        ..dry
    };
    let published = try_publish(&mut shop, real.clone()).await.unwrap();
    assert_eq!(try_publish(&mut shop, real).await.unwrap(), published);
    assert_eq!(in_force(&mut shop, None).await, 2);
    assert_eq!(shop.tier("c1").await.tier, "Silver");

    // Of many at once who know the same latest version, one is heard.
    let one = pb::PublishTierPolicyRequest {
        expected_latest_version: 2,
        ..publication(policy(70))
    };
    let calls = (0..8).map(|_| {
        let (mut client, one) = (shop.client.clone(), one.clone());
        async move { client.publish_tier_policy(one).await }
    });
    let calls: Vec<_> = calls.map(tokio::spawn).collect();
    let mut published = 0;
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => published += 1,
            Err(status) => {
                assert_refused::<()>(Err(status), Code::Aborted, "TIER_POLICY_CHANGED");
            }
        }
    }
    assert_eq!((published, in_force(&mut shop, None).await), (1, 3));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn publications_that_make_no_sense_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let nothing = pb::PublishTierPolicyRequest::default();
    let status = try_publish(&mut shop, nothing).await.unwrap_err();
    assert_eq!(violations(&status), ["policy", "reason"]);
    let mut bad = pb::TierPolicy {
        window_days: 30,
        metric: 9,
        period: pb::TierPeriod::MembershipYear.into(),
        downgrade: pb::TierDowngrade::Immediate.into(),
        utc_offset_minutes: 841,
        ..policy(0)
    };
    bad.tiers[1].multiplier_basis_points = -1;
    bad.tiers[2].name = "Silver".to_owned();
    bad.tiers[2].benefits = vec!["lounge".to_owned(), String::new(), "lounge".to_owned()];
    let bad = pb::PublishTierPolicyRequest {
        request_id: "é".to_owned(),
        expected_latest_version: -1,
        ..publication(bad)
    };
    let status = try_publish(&mut shop, bad).await.unwrap_err();
    assert_eq!(
        violations(&status),
        [
            "request_id",
            "policy.metric",
            "policy.window_days",
            "policy.utc_offset_minutes",
            "policy.downgrade",
            "policy.tiers[1].multiplier_basis_points",
            "policy.tiers[2].name",
            "policy.tiers[2].benefits[1]",
            "policy.tiers[2].benefits[2]",
            "policy.tiers",
            "expected_latest_version"
        ]
    );
    for (field, bad) in [
        (
            "policy.grace_days",
            pb::TierPolicy {
                grace_days: 1,
                ..policy(10)
            },
        ),
        (
            "policy.grace_days",
            pb::TierPolicy {
                grace_days: 365,
                period: pb::TierPeriod::CalendarYear.into(),
                ..policy(10)
            },
        ),
        (
            "policy.utc_offset_minutes",
            pb::TierPolicy {
                utc_offset_minutes: 60,
                ..policy(10)
            },
        ),
    ] {
        let status = try_publish(&mut shop, publication(bad)).await.unwrap_err();
        assert_eq!(violations(&status), [field]);
    }
    let past = pb::PublishTierPolicyRequest {
        effective_at: at("1998-06-30T23:59:59Z"),
        ..publication(policy(10))
    };
    let status = try_publish(&mut shop, past).await.unwrap_err();
    assert_eq!(violations(&status), ["effective_at"]);
    let nowhere = pb::PublishTierPolicyRequest {
        program_id: "nowhere".to_owned(),
        ..publication(policy(10))
    };
    let refused = try_publish(&mut shop, nowhere).await;
    assert_refused(refused, Code::NotFound, "PROGRAM_NOT_FOUND");

    let scheduled = pb::PublishTierPolicyRequest {
        effective_at: at("1999-01-01T00:00:00Z"),
        ..publication(policy(10))
    };
    try_publish(&mut shop, scheduled).await.unwrap();
    let refused = try_publish(&mut shop, publication(policy(10))).await;
    assert_refused(refused, Code::FailedPrecondition, "TIER_POLICY_NOT_LATER");
    let missing = pb::GetTierPolicyRequest {
        version: 3,
        ..Default::default()
    };
    let refused = shop.client.get_tier_policy(missing.clone()).await;
    assert_refused(refused, Code::NotFound, "TIER_POLICY_NOT_FOUND");
    let both = pb::GetTierPolicyRequest {
        as_of: at(NOW),
        ..missing
    };
    let status = shop.client.get_tier_policy(both).await.unwrap_err();
    assert_eq!(violations(&status), ["as_of"]);
}
