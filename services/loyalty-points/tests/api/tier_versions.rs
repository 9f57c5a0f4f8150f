//! What versions of tier policies do to members: by the clock, on every replica, in the history.

use api::loyalty::v1 as pb;
use pb::TierChangeReason::{Earned, Enrolled, PolicyChanged};
use pb::loyalty_service_client::LoyaltyServiceClient;
use rstest::rstest;
use testkit::{Backend, Setup, time, violations};

use crate::shop::{Purchase, Shop, at, earn, tier};
use crate::tier_policies::{policy, publication, publish, try_publish};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn members_follow_a_version_by_the_clock_and_the_history_names_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 120, "s1").await;
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    let scheduled = pb::PublishTierPolicyRequest {
        effective_at: at("1998-08-01T00:00:00Z"),
        ..publication(policy(200))
    };
    try_publish(&mut shop, scheduled).await.unwrap();
    shop.server.clock.set(time("1998-07-31T23:59:59Z"));
    let before = shop.tier("c1").await;
    assert_eq!((before.tier.as_str(), before.policy_version), ("Silver", 1));

    let foretold = shop.client.get_tier_progress(pb::GetTierProgressRequest {
        customer_id: "c1".to_owned(),
        ..Default::default()
    });
    let foretold = foretold.await.unwrap().into_inner().progress.unwrap();
    let fall = foretold.next_fall.unwrap();
    assert_eq!(
        (fall.at, fall.to_tier.as_str(), fall.points_to_stay),
        (at("1998-08-01T00:00:00Z"), "Bronze", 80)
    );

    shop.server.clock.set(time("1998-08-01T00:00:00Z"));
    let after = shop.tier("c1").await;
    assert_eq!((after.tier.as_str(), after.policy_version), ("Bronze", 2));
    assert_eq!(
        (after.next_tier.as_str(), after.points_to_next_tier),
        ("Silver", 80)
    );
    shop.earn("c1", 80, "s2").await;
    let history = shop.tier_history("c1").await;
    let told: Vec<_> = history
        .iter()
        .map(|change| {
            (
                change.reason(),
                change.to_tier.as_str(),
                change.policy_version,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Earned, "Silver", 2),
            (PolicyChanged, "Bronze", 2),
            (Earned, "Silver", 1),
            (Enrolled, "Bronze", 1)
        ]
    );
    // The past is told by the version that held then.
    let request = pb::GetTierRequest {
        as_of: at("1998-07-15T00:00:00Z"),
        ..tier("c1")
    };
    let past = shop.client.get_tier(request).await.unwrap().into_inner();
    let past = past.tier.unwrap();
    assert_eq!((past.tier.as_str(), past.policy_version), ("Silver", 1));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_publication_makes_every_replica_follow(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(false, true)] with_redis: bool,
) {
    let redis = testkit::redis().await;
    let setup = Setup {
        redis: with_redis.then(|| redis.url.clone()),
        ..Setup::default()
    };
    let mut shop = Shop::open_as(backend, setup).await;
    for customer in ["c1", "c2"] {
        shop.created(customer).await;
    }
    shop.caught_up().await;
    shop.earn("c1", 120, "s1").await;
    shop.earn("c2", 120, "s2").await;
    let replica = shop.server.replica().await;
    let mut other = LoyaltyServiceClient::new(replica.channel());
    for version in 2..12 {
        // Both have the tier in their caches, under the version before.
        for customer in ["c1", "c2"] {
            shop.tier(customer).await;
            other.get_tier(tier(customer)).await.unwrap();
        }
        let silver = if version % 2 == 0 { 200 } else { 100 };
        let expected = if version % 2 == 0 { "Bronze" } else { "Silver" };
        let published = publish(&mut shop, policy(silver)).await;
        let at_least = published.consistency_token;
        let request = pb::GetTierRequest {
            at_least: at_least.clone(),
            ..tier("c1")
        };
        let told = other.get_tier(request).await.unwrap().into_inner();
        let told = told.tier.unwrap();
        assert_eq!(
            (told.tier.as_str(), told.policy_version),
            (expected, version)
        );
        let request = pb::BatchGetTiersRequest {
            customer_ids: vec!["c2".to_owned()],
            at_least,
            ..Default::default()
        };
        let told = other.batch_get_tiers(request).await.unwrap().into_inner();
        assert_eq!(
            (told.tiers[0].tier.as_str(), told.tiers[0].policy_version),
            (expected, version)
        );
        // Who published sees it without a token.
        assert_eq!(shop.tier("c1").await.tier, expected);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_knows_of_no_publication_posts_by_it_all_the_same(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let replica = shop.server.replica().await;
    let mut other = LoyaltyServiceClient::new(replica.channel());
    other.get_tier(tier("c1")).await.unwrap();
    publish(&mut shop, policy(10)).await;
    let posted = other.earn_points(earn("c1", 15, "s1")).await.unwrap();
    // Read under a customer's token too, and from the database where there is no cache to ask.
    let request = pb::GetTierRequest {
        at_least: posted.into_inner().consistency_token,
        ..tier("c1")
    };
    let told = other.get_tier(request).await.unwrap().into_inner();
    let told = told.tier.unwrap();
    assert_eq!((told.tier.as_str(), told.policy_version), ("Silver", 2));
    assert_eq!(shop.tier_history("c1").await[0].policy_version, 2);
    let got = other.get_program(pb::GetProgramRequest::default()).await;
    let program = got.unwrap().into_inner().program.unwrap();
    assert_eq!(program.tier_policy.unwrap().version, 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_dated_ahead_earns_by_the_version_that_holds_then_on_a_replica_that_knows_of_none(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let mut double = policy(100);
    for tier in &mut double.tiers {
        tier.multiplier_basis_points = 20_000;
    }
    let scheduled = pb::PublishTierPolicyRequest {
        effective_at: at("1998-08-01T00:00:00Z"),
        ..publication(double)
    };
    // The replica that follows the purchases is another one.
    let replica = shop.server.replica().await;
    let mut other = LoyaltyServiceClient::new(replica.channel());
    other.publish_tier_policy(scheduled).await.unwrap();
    for (id, day) in [
        ("t1", "1998-07-31T23:59:59Z"),
        ("t2", "1998-08-01T00:00:00Z"),
    ] {
        shop.bought("c1", Purchase::dollars(id, day, 10)).await;
    }
    shop.caught_up().await;
    let list = pb::ListTransactionsRequest {
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    let listed = shop.client.list_transactions(list).await.unwrap();
    let earned = listed.into_inner().transactions;
    let earned: Vec<_> = earned.iter().map(|posting| posting.points).collect();
    assert_eq!(earned, [20, 10]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_who_would_move_when_a_version_holds(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    for (customer, dollars) in [("c1", 120), ("c2", 60), ("c3", 10)] {
        shop.created(customer).await;
        let purchase = Purchase::dollars(customer, "1998-06-01T00:00:00Z", dollars);
        shop.bought(customer, purchase).await;
    }
    shop.caught_up().await;
    let scheduled = pb::PublishTierPolicyRequest {
        effective_at: at("1998-08-01T00:00:00Z"),
        ..publication(policy(50))
    };
    try_publish(&mut shop, scheduled).await.unwrap();
    let moves = [("c1", "Gold", 2), ("c2", "Silver", 2)];
    let dry = pb::RecalculateTiersRequest {
        dry_run: true,
        as_of: at("1998-08-01T00:00:00Z"),
        ..Default::default()
    };
    let told = recalculate(&mut shop, dry.clone()).await;
    assert_eq!(moved(&told), moves);
    let now = pb::RecalculateTiersRequest {
        as_of: None,
        ..dry.clone()
    };
    assert_eq!(recalculate(&mut shop, now.clone()).await, []);

    shop.server.clock.set(time("1998-08-01T00:00:00Z"));
    let real = pb::RecalculateTiersRequest {
        dry_run: false,
        ..now
    };
    let made = recalculate(&mut shop, real.clone()).await;
    assert_eq!(moved(&made), moves);
    assert!(made.iter().all(|change| change.reason() == PolicyChanged));
    assert_eq!(shop.tier_history("c1").await[0], made[0]);
    assert_eq!(recalculate(&mut shop, real.clone()).await, []);
    let members: Vec<_> = shop
        .summary()
        .await
        .tiers
        .iter()
        .map(|t| t.members)
        .collect();
    assert_eq!(members, [1, 1, 1]);

    let made_at = pb::RecalculateTiersRequest {
        as_of: dry.as_of,
        ..real
    };
    let status = shop.client.recalculate_tiers(made_at).await.unwrap_err();
    assert_eq!(violations(&status), ["as_of"]);
}

async fn recalculate(shop: &mut Shop, request: pb::RecalculateTiersRequest) -> Vec<pb::TierChange> {
    let mut stream = shop
        .client
        .recalculate_tiers(request)
        .await
        .unwrap()
        .into_inner();
    let mut changes = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        changes.extend(message.changes);
    }
    changes
}

fn moved(changes: &[pb::TierChange]) -> Vec<(&str, &str, i64)> {
    let moved = |change| {
        let pb::TierChange {
            customer_id,
            to_tier,
            policy_version,
            ..
        }: &pb::TierChange = change;
        (customer_id.as_str(), to_tier.as_str(), *policy_version)
    };
    changes.iter().map(moved).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_override_of_a_tier_that_a_version_drops_does_not_win(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let give = pb::OverrideTierRequest {
        customer_id: "c1".to_owned(),
        tier: "Gold".to_owned(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    shop.client.override_tier(give).await.unwrap();
    let mut without_gold = policy(100);
    without_gold.tiers.pop();
    publish(&mut shop, without_gold).await;
    let told = shop.tier("c1").await;
    assert_eq!((told.tier.as_str(), told.tier_override), ("Bronze", None));
    let members: Vec<_> = shop
        .summary()
        .await
        .tiers
        .iter()
        .map(|t| t.members)
        .collect();
    assert_eq!(members, [1, 0]);
    publish(&mut shop, policy(100)).await;
    let told = shop.tier("c1").await;
    assert_eq!(told.tier, "Gold");
    assert!(told.tier_override.is_some());
}
