//! What a member is missing for the next tiers, and when the tier would be lost.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, time, violations};
use tonic::{Code, Status};

use crate::shop::{NOW, Purchase, Shop, at};
use crate::tier_policies::{policy, publication, publish, try_publish};

fn of(customer_id: &str) -> pb::GetTierProgressRequest {
    pb::GetTierProgressRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    }
}

async fn try_progress(
    shop: &mut Shop,
    request: pb::GetTierProgressRequest,
) -> Result<pb::TierProgress, Status> {
    let answer = shop.client.get_tier_progress(request).await?.into_inner();
    Ok(answer.progress.unwrap())
}

fn forecast(instant: &str, from: &str, to: &str, points: (i64, i64)) -> pb::TierForecast {
    let (qualifying_points, points_to_stay) = points;
    pb::TierForecast {
        at: at(instant),
        from_tier: from.to_owned(),
        to_tier: to.to_owned(),
        qualifying_points,
        points_to_stay,
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn progress_tells_what_is_missing_and_when_the_tier_falls(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let none = try_progress(&mut shop, of("c1")).await.unwrap();
    let missing: Vec<_> = none
        .goals
        .iter()
        .map(|goal| (goal.tier.as_str(), goal.threshold, goal.points_missing))
        .collect();
    assert_eq!(missing, [("Silver", 100, 100), ("Gold", 250, 250)]);
    assert_eq!((none.forecasts, none.next_fall), (vec![], None));

    shop.bought("c1", Purchase::dollars("t1", "1997-08-01T00:00:00Z", 60))
        .await;
    shop.bought("c1", Purchase::dollars("t2", "1998-06-01T00:00:00Z", 50))
        .await;
    shop.bought("c1", Purchase::dollars("old", "1997-07-01T00:00:00Z", 900))
        .await;
    shop.caught_up().await;
    let silver = try_progress(&mut shop, of("c1")).await.unwrap();
    assert_eq!(
        (silver.tier.as_str(), silver.qualifying_points),
        ("Silver", 110)
    );
    assert_eq!(silver.as_of, at(NOW));
    assert_eq!(
        (silver.goals.len(), silver.goals[0].points_missing),
        (1, 140)
    );
    let fall = forecast("1998-08-01T00:00:00Z", "Silver", "Bronze", (50, 50));
    assert_eq!(silver.forecasts, std::slice::from_ref(&fall));
    assert_eq!(silver.next_fall, Some(fall));

    // What was foretold comes true, and earning what was missing averts it.
    shop.server.clock.set(time("1998-07-31T00:00:00Z"));
    shop.earn("c1", 50, "s1").await;
    shop.server.clock.set(time("1998-08-01T00:00:00Z"));
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    let averted = try_progress(&mut shop, of("c1")).await.unwrap();
    let fall = forecast("1999-06-01T00:00:00Z", "Silver", "Bronze", (50, 50));
    assert_eq!(averted.next_fall, Some(fall));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn progress_starts_from_any_instant_and_knows_overrides(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 120, "s1").await;
    let give = pb::OverrideTierRequest {
        customer_id: "c1".to_owned(),
        tier: "Gold".to_owned(),
        reason: "test".to_owned(),
        expires_at: at("1998-12-01T00:00:00Z"),
        ..Default::default()
    };
    shop.client.override_tier(give).await.unwrap();
    let now = try_progress(&mut shop, of("c1")).await.unwrap();
    assert_eq!(
        (now.tier.as_str(), now.rank, now.earned_tier.as_str()),
        ("Gold", 3, "Silver")
    );
    assert_eq!(now.tier_override.unwrap().reason, "test");
    assert_eq!(now.goals.len(), 1);
    let falls = [
        forecast("1998-12-01T00:00:00Z", "Gold", "Silver", (120, 130)),
        forecast("1999-07-01T00:00:00Z", "Silver", "Bronze", (0, 100)),
    ];
    assert_eq!(now.forecasts, falls);

    for (instant, tier, to_come) in [
        ("1998-06-30T00:00:00Z", "Bronze", 2),
        ("1998-12-01T00:00:00Z", "Silver", 1),
        ("1999-07-01T00:00:00Z", "Bronze", 0),
    ] {
        let request = pb::GetTierProgressRequest {
            as_of: at(instant),
            ..of("c1")
        };
        let told = try_progress(&mut shop, request).await.unwrap();
        assert_eq!(
            (told.tier.as_str(), told.forecasts.len()),
            (tier, to_come),
            "{instant}"
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn progress_foretells_that_an_override_wins_again_once_a_version_has_its_tier(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let give = pb::OverrideTierRequest {
        customer_id: "c1".to_owned(),
        tier: "Gold".to_owned(),
        reason: "test".to_owned(),
        expires_at: at("1999-12-01T00:00:00Z"),
        ..Default::default()
    };
    shop.client.override_tier(give).await.unwrap();
    let mut without_gold = policy(100);
    without_gold.tiers.pop();
    publish(&mut shop, without_gold).await;
    let scheduled = pb::PublishTierPolicyRequest {
        effective_at: at("1999-01-01T00:00:00Z"),
        ..publication(policy(100))
    };
    try_publish(&mut shop, scheduled).await.unwrap();
    let told = try_progress(&mut shop, of("c1")).await.unwrap();
    assert_eq!((told.tier.as_str(), told.tier_override), ("Bronze", None));
    let moves = [
        forecast("1999-01-01T00:00:00Z", "Bronze", "Gold", (0, 0)),
        forecast("1999-12-01T00:00:00Z", "Gold", "Bronze", (0, 200)),
    ];
    assert_eq!(told.forecasts, moves);

    // What was foretold comes true.
    shop.server.clock.set(time("1999-01-01T00:00:00Z"));
    assert_eq!(shop.tier("c1").await.tier, "Gold");
    shop.server.clock.set(time("1999-12-01T00:00:00Z"));
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn progress_of_nobody_is_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let refused = try_progress(&mut shop, of("nobody")).await;
    assert_refused(refused, Code::NotFound, "MEMBER_NOT_FOUND");
    let nowhere = pb::GetTierProgressRequest {
        program_id: "nowhere".to_owned(),
        ..of("c1")
    };
    let refused = try_progress(&mut shop, nowhere).await;
    assert_refused(refused, Code::NotFound, "PROGRAM_NOT_FOUND");
    let status = try_progress(&mut shop, of("")).await.unwrap_err();
    assert_eq!(violations(&status), ["customer_id"]);
}
