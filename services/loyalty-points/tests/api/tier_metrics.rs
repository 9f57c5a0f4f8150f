//! What counts for tiers, over which time, when tiers fall, and what they make of a purchase.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::TierChangeReason::{AgedOut, Earned, Enrolled, PolicyChanged, Reversed};
use rstest::rstest;
use testkit::{Backend, time};

use crate::shop::{Purchase, Shop, at, authorize, tier};
use crate::tier_policies::{policy, publish};

const JUNE: &str = "1998-06-01T00:00:00Z";

fn by(metric: pb::TierMetric, silver: i64) -> pb::TierPolicy {
    pb::TierPolicy {
        metric: metric.into(),
        ..policy(silver)
    }
}

async fn counts(shop: &mut Shop) -> (String, i64) {
    let told = shop.tier("c1").await;
    (told.tier, told.qualifying_points)
}

fn is(tier: &str, amount: i64) -> (String, i64) {
    (tier.to_owned(), amount)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn spend_counts_money_and_loses_what_is_taken_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    publish(&mut shop, by(pb::TierMetric::Spend, 30_000_000)).await;
    let cents = |id, micros| Purchase {
        id,
        at: JUNE,
        currency: "USD",
        micros,
    };
    shop.bought("c1", cents("t1", 29_330_000)).await;
    shop.bought("c1", cents("t2", 990_000)).await;
    let euros = Purchase {
        currency: "EUR",
        ..cents("t3", 90_000_000)
    };
    shop.bought("c1", euros).await;
    shop.bought("c1", cents("t4", 0)).await;
    shop.bought("c1", cents("t2", 990_000)).await;
    shop.caught_up().await;
    // Less than a dollar earns no point, and counts.
    assert_eq!(shop.balance("c1").await, (29, 0, 0));
    assert_eq!(counts(&mut shop).await, is("Silver", 30_320_000));
    assert_eq!(shop.tier("c1").await.metric(), pb::TierMetric::Spend);

    shop.voided("c1", cents("t2", 990_000)).await;
    shop.voided("c1", cents("t2", 990_000)).await;
    shop.caught_up().await;
    assert_eq!(counts(&mut shop).await, is("Bronze", 29_330_000));
    let earned = shop.transactions("c1").await[0].transaction_id.clone();
    let dollars = |micros| {
        Some(Money {
            currency_code: "USD".to_owned(),
            micros,
        })
    };
    let returned = pb::ReturnedAmount {
        original: dollars(29_330_000),
        returned: dollars(10_000_000),
    };
    let part = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: earned.clone(),
        extent: Some(pb::reverse_transaction_request::Extent::Returned(returned)),
        policy: pb::ReversalPolicy::AllowDebt.into(),
        ..Default::default()
    };
    shop.client.reverse_transaction(part.clone()).await.unwrap();
    assert_eq!(counts(&mut shop).await, is("Bronze", 19_330_000));
    // Ten of the 29 points more: as much of the money.
    let points = pb::ReverseTransactionRequest {
        extent: Some(pb::reverse_transaction_request::Extent::Points(10)),
        ..part
    };
    shop.client.reverse_transaction(points).await.unwrap();
    let left = 29_330_000 - 29_330_000 * 19 / 29;
    assert_eq!(counts(&mut shop).await, is("Bronze", left));
    shop.voided("c1", cents("t1", 29_330_000)).await;
    shop.caught_up().await;
    assert_eq!(counts(&mut shop).await, is("Bronze", 0));
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    let reasons: Vec<_> = shop
        .tier_history("c1")
        .await
        .iter()
        .map(pb::TierChange::reason)
        .collect();
    assert_eq!(reasons, [Reversed, Earned, Enrolled]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_tier_falls_for_what_is_taken_back_whatever_a_void_finds_to_have_timed_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    publish(&mut shop, by(pb::TierMetric::Spend, 30_000_000)).await;
    shop.bought("c1", Purchase::dollars("t1", JUNE, 40)).await;
    shop.caught_up().await;
    let hold = authorize("c1", 10, 3600);
    shop.client.authorize_hold(hold).await.unwrap();
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    shop.voided("c1", Purchase::dollars("t1", JUNE, 40)).await;
    shop.caught_up().await;
    assert_eq!(counts(&mut shop).await, is("Bronze", 0));
    let changes = shop.tier_history("c1").await;
    let reasons: Vec<_> = changes.iter().map(pb::TierChange::reason).collect();
    assert_eq!(reasons, [Reversed, Earned, Enrolled]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn frequency_counts_purchases_until_they_are_taken_back_whole(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    for id in ["t1", "t2", "t3"] {
        shop.bought("c1", Purchase::dollars(id, JUNE, 5)).await;
    }
    shop.caught_up().await;
    // What was recorded before the version was published counts by its rules.
    publish(&mut shop, by(pb::TierMetric::Frequency, 2)).await;
    assert_eq!(counts(&mut shop).await, is("Silver", 3));
    shop.bought("c1", Purchase::dollars("t4", "1998-06-02T00:00:00Z", 5))
        .await;
    shop.caught_up().await;
    assert_eq!(counts(&mut shop).await, is("Gold", 4));
    // Points of calls do not count.
    shop.earn("c1", 500, "s1").await;
    assert_eq!(counts(&mut shop).await, is("Gold", 4));
    let newest = shop.transactions("c1").await[1].transaction_id.clone();
    let part = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: newest.clone(),
        extent: Some(pb::reverse_transaction_request::Extent::Points(4)),
        ..Default::default()
    };
    shop.client.reverse_transaction(part).await.unwrap();
    assert_eq!(counts(&mut shop).await, is("Gold", 4));
    shop.reverse("c1", &newest).await.unwrap();
    assert_eq!(counts(&mut shop).await, is("Silver", 3));
    let members: Vec<_> = shop
        .summary()
        .await
        .tiers
        .iter()
        .map(|t| t.members)
        .collect();
    assert_eq!(members, [0, 1, 0]);
    let reasons: Vec<_> = shop
        .tier_history("c1")
        .await
        .iter()
        .map(pb::TierChange::reason)
        .collect();
    assert_eq!(reasons, [Reversed, Earned, PolicyChanged, Enrolled]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_earns_by_the_tier_that_the_member_had_when_it_happened(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let mut multiplied = policy(100);
    multiplied.tiers[1].multiplier_basis_points = 15_000;
    multiplied.tiers[1].benefits = vec!["lounge".to_owned(), "free-shipping".to_owned()];
    multiplied.tiers[2].multiplier_basis_points = 20_000;
    publish(&mut shop, multiplied).await;
    shop.server.clock.set(time("1998-07-20T00:00:00Z"));
    // The third happened before the second, the last before the version held: Bronze then, and no multiplier.
    for (id, day, dollars) in [
        ("t1", "1998-07-05T00:00:00Z", 100),
        ("t2", "1998-07-10T00:00:00Z", 3),
        ("t3", "1998-07-02T00:00:00Z", 3),
        ("t4", "1998-06-30T00:00:00Z", 3),
    ] {
        shop.bought("c1", Purchase::dollars(id, day, dollars)).await;
    }
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (100 + 4 + 3 + 3, 0, 0));
    let told = shop.tier("c1").await;
    assert_eq!(
        (told.tier.as_str(), told.multiplier_basis_points),
        ("Silver", 15_000)
    );
    assert_eq!(told.benefits, ["lounge", "free-shipping"]);
    // A tier given by hand multiplies too; earnings by call are what they are.
    let give = pb::OverrideTierRequest {
        customer_id: "c1".to_owned(),
        tier: "Gold".to_owned(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    shop.client.override_tier(give).await.unwrap();
    shop.bought("c1", Purchase::dollars("t5", "1998-07-20T00:00:00Z", 5))
        .await;
    shop.caught_up().await;
    shop.earn("c1", 1, "s1").await;
    assert_eq!(shop.balance("c1").await, (110 + 10 + 1, 0, 0));
    shop.voided("c1", Purchase::dollars("t5", "1998-07-20T00:00:00Z", 5))
        .await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (110 + 1, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_years_tier_falls_step_by_step_after_the_next_year_and_the_grace(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let yearly = pb::TierPolicy {
        period: pb::TierPeriod::CalendarYear.into(),
        downgrade: pb::TierDowngrade::OneDown.into(),
        grace_days: 31,
        utc_offset_minutes: 60,
        ..policy(100)
    };
    publish(&mut shop, yearly).await;
    shop.earn("c1", 210, "s1").await;
    let told = shop.tier("c1").await;
    assert_eq!(
        (told.tier.as_str(), told.valid_until),
        ("Gold", at("1998-12-31T23:00:00Z"))
    );
    for (now, expected, points) in [
        ("1998-12-31T22:59:59Z", "Gold", 210),
        ("1998-12-31T23:00:00Z", "Gold", 0),
        ("1999-12-31T23:00:00Z", "Gold", 0),
        ("2000-01-31T22:59:59Z", "Gold", 0),
        ("2000-01-31T23:00:00Z", "Silver", 0),
        ("2001-01-31T22:59:59Z", "Silver", 0),
        ("2001-01-31T23:00:00Z", "Bronze", 0),
    ] {
        let request = pb::GetTierRequest {
            as_of: at(now),
            ..tier("c1")
        };
        let foretold = shop.client.get_tier(request).await.unwrap().into_inner();
        assert_eq!(foretold.tier.unwrap().tier, expected, "foretold for {now}");
        shop.server.clock.set(time(now));
        assert_eq!(counts(&mut shop).await, is(expected, points), "{now}");
    }
    let history = shop.tier_history("c1").await;
    let reasons: Vec<_> = history.iter().map(pb::TierChange::reason).collect();
    assert_eq!(reasons, [AgedOut, AgedOut, Earned, Enrolled]);
    let members: Vec<_> = shop
        .summary()
        .await
        .tiers
        .iter()
        .map(|t| t.members)
        .collect();
    assert_eq!(members, [1, 0, 0]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_membership_year_begins_on_the_day_of_the_enrolment(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let yearly = pb::TierPolicy {
        period: pb::TierPeriod::MembershipYear.into(),
        ..policy(100)
    };
    publish(&mut shop, yearly).await;
    shop.earn("c1", 100, "s1").await;
    let told = shop.tier("c1").await;
    assert_eq!(
        (told.tier.as_str(), told.valid_until),
        ("Silver", at("1999-07-01T00:00:00Z"))
    );
    for (now, expected) in [
        ("2000-06-30T23:59:59Z", "Silver"),
        ("2000-07-01T00:00:00Z", "Bronze"),
    ] {
        shop.server.clock.set(time(now));
        assert_eq!(shop.tier("c1").await.tier, expected, "{now}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_tier_is_held_until_its_window_and_grace_have_passed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let held = pb::TierPolicy {
        window_days: 10,
        downgrade: pb::TierDowngrade::ToEarned.into(),
        grace_days: 5,
        ..policy(100)
    };
    publish(&mut shop, held).await;
    shop.earn("c1", 60, "s1").await;
    shop.server.clock.set(time("1998-07-06T00:00:00Z"));
    shop.earn("c1", 60, "s2").await;
    // The first 60 leave the window on 11 July; Silver was qualified for on 6 July.
    for (now, expected, points) in [
        ("1998-07-11T00:00:00Z", "Silver", 60),
        ("1998-07-20T23:59:59Z", "Silver", 0),
        ("1998-07-21T00:00:00Z", "Bronze", 0),
    ] {
        shop.server.clock.set(time(now));
        assert_eq!(counts(&mut shop).await, is(expected, points), "{now}");
    }
    // What is taken back never was: neither is the tier held for it.
    let earned = shop.earn("c1", 200, "s3").await.transaction.unwrap();
    assert_eq!(shop.tier("c1").await.tier, "Gold");
    shop.reverse("c1", &earned.transaction_id).await.unwrap();
    assert_eq!(counts(&mut shop).await, is("Bronze", 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_counts_of_a_purchase_can_only_shrink(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", JUNE, 5)).await;
    shop.voided("c1", Purchase::dollars("t1", JUNE, 5)).await;
    shop.caught_up().await;
    for statement in [
        "UPDATE purchases SET remaining = spend",
        "UPDATE purchases SET remaining = -1",
        "UPDATE purchases SET spend = 1",
        "UPDATE purchases SET multiplier = 20000",
        "DELETE FROM purchases",
    ] {
        shop.execute(statement).await.expect_err(statement);
    }
}
