//! Tiers: by postings, by the passing of time, through the cache.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, Setup, assert_refused, time};
use tonic::Code;

use crate::shop::{Purchase, Shop, at, earn, tier};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_upgraded_at_once_and_spending_does_not_change_that(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
    let earned = shop.earn("c1", 100, "s1").await;
    let request = pb::GetTierRequest {
        at_least: earned.consistency_token,
        ..tier("c1")
    };
    let silver = shop
        .client
        .get_tier(request)
        .await
        .unwrap()
        .into_inner()
        .tier
        .unwrap();
    assert_eq!(
        (silver.tier.as_str(), silver.qualifying_points),
        ("Silver", 100)
    );
    assert_eq!(
        (silver.next_tier.as_str(), silver.points_to_next_tier),
        ("Gold", 150)
    );
    assert_eq!(silver.since, at(crate::shop::NOW));
    assert_eq!(silver.valid_until, at("1999-07-01T00:00:00Z"));
    shop.redeem("c1", 100).await.unwrap();
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    shop.earn("c1", 150, "s2").await;
    let gold = shop.tier("c1").await;
    assert_eq!(
        (
            gold.tier.as_str(),
            gold.next_tier.as_str(),
            gold.points_to_next_tier
        ),
        ("Gold", "", 0)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_that_leave_the_window_lower_the_tier_without_a_sweeper(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", "1997-08-01T00:00:00Z", 200))
        .await;
    shop.bought("c1", Purchase::dollars("t2", "1998-06-01T00:00:00Z", 100))
        .await;
    shop.bought(
        "c1",
        Purchase::dollars("too old", "1997-07-01T00:00:00Z", 500),
    )
    .await;
    shop.caught_up().await;
    assert_eq!(shop.tier("c1").await.tier, "Gold");

    shop.server.clock.set(time("1998-07-31T23:59:59Z"));
    assert_eq!(shop.tier("c1").await.tier, "Gold");
    shop.server.clock.set(time("1998-08-01T00:00:00Z"));
    let silver = shop.tier("c1").await;
    assert_eq!(
        (silver.tier.as_str(), silver.qualifying_points),
        ("Silver", 100)
    );
    let change = &shop.tier_history("c1").await[0];
    assert_eq!(change.reason(), pb::TierChangeReason::AgedOut);
    assert_eq!(
        (change.from_tier.as_str(), change.to_tier.as_str()),
        ("Gold", "Silver")
    );
    assert_eq!(change.revision, silver.revision);
    assert_eq!(shop.tier("c1").await, silver);
    assert_eq!(shop.tier_history("c1").await.len(), 4);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_tier_of_another_instant_can_be_asked_for(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", "1997-08-01T00:00:00Z", 300))
        .await;
    shop.caught_up().await;
    for (instant, expected) in [
        ("1997-07-31T00:00:00Z", "Bronze"),
        ("1997-08-01T00:00:00Z", "Gold"),
        ("1998-08-01T00:00:00Z", "Bronze"),
    ] {
        let request = pb::GetTierRequest {
            as_of: at(instant),
            ..tier("c1")
        };
        let told = shop
            .client
            .get_tier(request)
            .await
            .unwrap()
            .into_inner()
            .tier
            .unwrap();
        assert_eq!(
            (told.tier.as_str(), told.since),
            (expected, None),
            "{instant}"
        );
        let request = pb::BatchGetTiersRequest {
            customer_ids: vec!["c1".to_owned()],
            as_of: at(instant),
            ..Default::default()
        };
        let told = shop
            .client
            .batch_get_tiers(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(told.tiers[0].tier, expected);
    }
    assert_eq!(shop.tier_history("c1").await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_customer_service_is_waited_for(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    for n in 0..20 {
        let customer = format!("c{n}");
        let at_least = shop.created(&customer).await;
        let request = pb::GetTierRequest {
            at_least,
            ..tier(&customer)
        };
        let told = shop.client.get_tier(request).await.unwrap().into_inner();
        assert_eq!(told.tier.unwrap().tier, "Bronze");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_this_service_is_never_answered_with_something_older(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    assert_eq!(shop.tier("c1").await.revision, 1);
    let earned = shop.earn("c1", 5, "s1").await;
    let request = pb::GetTierRequest {
        at_least: earned.consistency_token,
        ..tier("c1")
    };
    let told = shop
        .client
        .get_tier(request)
        .await
        .unwrap()
        .into_inner()
        .tier
        .unwrap();
    assert_eq!((told.revision, told.qualifying_points), (2, 5));
    let forged = shop
        .server
        .platform
        .token(&common::ids::CustomerId::parse("c1").unwrap(), 99);
    let request = pb::GetTierRequest {
        at_least: forged,
        ..tier("c1")
    };
    let behind = shop.client.get_tier(request).await;
    assert_refused(behind, Code::Unavailable, "PROJECTION_BEHIND");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn many_tiers_come_in_the_order_asked_for(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    for (customer, dollars) in [("a", 300), ("b", 100), ("c", 1)] {
        shop.created(customer).await;
        shop.bought(
            customer,
            Purchase::dollars(customer, "1998-06-01T00:00:00Z", dollars),
        )
        .await;
    }
    shop.caught_up().await;
    for _ in 0..2 {
        let customer_ids = ["c", "nobody", "a", "b", "a"].map(str::to_owned).to_vec();
        let request = pb::BatchGetTiersRequest {
            customer_ids,
            ..Default::default()
        };
        let told = shop
            .client
            .batch_get_tiers(request)
            .await
            .unwrap()
            .into_inner();
        let tiers: Vec<_> = told
            .tiers
            .iter()
            .map(|t| (t.customer_id.as_str(), t.tier.as_str()))
            .collect();
        assert_eq!(tiers, [("c", "Bronze"), ("a", "Gold"), ("b", "Silver")]);
        assert_eq!(told.missing_customer_ids, ["nobody"]);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_dated_ahead_count_when_their_time_comes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let occurred_at = at("1998-07-02T00:00:00Z");
    let ahead = pb::EarnPointsRequest {
        occurred_at,
        ..earn("c1", 100, "s1")
    };
    shop.try_earn(ahead).await.unwrap();
    assert_eq!(shop.balance("c1").await, (0, 100, 0));
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
    shop.server.clock.set(time("1998-07-02T00:00:00Z"));
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    assert_eq!(shop.balance("c1").await, (100, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tiers_stay_right_when_redis_is_flushed_and_stopped(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let redis = testkit::redis().await;
    let setup = Setup {
        redis: Some(redis.url.clone()),
        ..Setup::default()
    };
    let mut shop = Shop::open_as(backend, setup).await;
    shop.created("c1").await;
    shop.caught_up().await;
    for n in 1..=40 {
        match n {
            10 => redis.flush(),
            20 => redis.stop(),
            30 => redis.start(),
            _ => {}
        }
        let earned = shop.earn("c1", 10, &format!("s{n}")).await;
        let request = pb::GetTierRequest {
            at_least: earned.consistency_token,
            ..tier("c1")
        };
        let told = shop
            .client
            .get_tier(request)
            .await
            .unwrap()
            .into_inner()
            .tier
            .unwrap();
        assert_eq!(told.qualifying_points, n * 10);
        shop.tier("c1").await;
    }
}
