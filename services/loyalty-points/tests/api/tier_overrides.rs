//! Tiers given by hand: they win until they end, and leave a trace.

use api::loyalty::v1 as pb;
use pb::TierChangeReason::{AgedOut, Earned, Enrolled, Overridden, OverrideEnded, Reversed};
use rstest::rstest;
use testkit::{Backend, assert_refused, time, violations};
use tonic::{Code, Status};

use crate::feed::{announced, unpack};
use crate::shop::{NOW, Purchase, Shop, at, tier};

fn give(name: &str) -> pb::OverrideTierRequest {
    pb::OverrideTierRequest {
        customer_id: "c1".to_owned(),
        tier: name.to_owned(),
        reason: "a friend of the house".to_owned(),
        ..Default::default()
    }
}

fn until(name: &str, instant: &str) -> pb::OverrideTierRequest {
    pb::OverrideTierRequest {
        expires_at: at(instant),
        ..give(name)
    }
}

async fn try_give(
    shop: &mut Shop,
    request: pb::OverrideTierRequest,
) -> Result<pb::OverrideTierResponse, Status> {
    Ok(shop.client.override_tier(request).await?.into_inner())
}

fn clear() -> pb::ClearOverrideRequest {
    pb::ClearOverrideRequest {
        customer_id: "c1".to_owned(),
        reason: "no longer".to_owned(),
        ..Default::default()
    }
}

async fn try_clear(
    shop: &mut Shop,
    request: pb::ClearOverrideRequest,
) -> Result<pb::ClearOverrideResponse, Status> {
    Ok(shop.client.clear_override(request).await?.into_inner())
}

/// Reason, tier before, tier after, the latest change first.
async fn history(shop: &mut Shop) -> Vec<(pb::TierChangeReason, String, String)> {
    let history = shop.tier_history("c1").await.into_iter();
    history
        .map(|change| (change.reason(), change.from_tier, change.to_tier))
        .collect()
}

fn step(
    reason: pb::TierChangeReason,
    from: &str,
    to: &str,
) -> (pb::TierChangeReason, String, String) {
    (reason, from.to_owned(), to.to_owned())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_given_tier_wins_until_just_before_its_end_without_a_sweeper(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let given = try_give(&mut shop, until("Gold", "1998-08-01T00:00:00Z"))
        .await
        .unwrap();
    let told = given.tier.unwrap();
    assert_eq!((told.tier.as_str(), told.rank), ("Gold", 3));
    assert_eq!(
        (told.earned_tier.as_str(), told.next_tier.as_str()),
        ("Bronze", "Silver")
    );
    assert_eq!(told.valid_until, at("1998-08-01T00:00:00Z"));
    let how = pb::TierOverride {
        actor: "anonymous".to_owned(),
        reason: "a friend of the house".to_owned(),
        created_at: at(NOW),
        expires_at: at("1998-08-01T00:00:00Z"),
    };
    assert_eq!(told.tier_override, Some(how));
    let change = given.change.unwrap();
    assert_eq!(
        (change.reason(), change.revision),
        (Overridden, told.revision)
    );
    let request = pb::GetTierRequest {
        at_least: given.consistency_token,
        ..tier("c1")
    };
    let read = shop.client.get_tier(request).await.unwrap().into_inner();
    assert_eq!(read.tier, Some(told.clone()));

    shop.server.clock.set(time("1998-07-31T23:59:59.999999Z"));
    assert_eq!(shop.tier("c1").await, told);
    shop.server.clock.set(time("1998-08-01T00:00:00Z"));
    let fallen = shop.tier("c1").await;
    assert_eq!(
        (fallen.tier.as_str(), fallen.tier_override),
        ("Bronze", None)
    );
    assert_eq!(fallen.since, at("1998-08-01T00:00:00Z"));
    let expected = [
        step(OverrideEnded, "Gold", "Bronze"),
        step(Overridden, "Bronze", "Gold"),
        step(Enrolled, "", "Bronze"),
    ];
    assert_eq!(history(&mut shop).await, expected);
    let made = &shop.tier_history("c1").await[1];
    assert_eq!(
        (made.actor.as_str(), made.remark.as_str()),
        ("anonymous", "a friend of the house")
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_earned_meanwhile_counts_once_the_override_ends(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    try_give(&mut shop, give("Bronze")).await.unwrap();
    let earned = shop.earn("c1", 120, "s1").await.transaction.unwrap();
    let held = shop.tier("c1").await;
    assert_eq!(
        (held.tier.as_str(), held.earned_tier.as_str()),
        ("Bronze", "Silver")
    );
    assert_eq!(held.valid_until, at("1999-07-01T00:00:00Z"));
    let cleared = try_clear(&mut shop, clear()).await.unwrap();
    let told = cleared.tier.unwrap();
    assert_eq!((told.tier.as_str(), &told.tier_override), ("Silver", &None));
    assert_eq!(cleared.change.unwrap().remark, "no longer");
    assert_eq!(shop.tier("c1").await, told);

    // A reversal under an override changes what lies underneath, and no more.
    try_give(&mut shop, give("Gold")).await.unwrap();
    shop.reverse("c1", &earned.transaction_id).await.unwrap();
    let gold = shop.tier("c1").await;
    assert_eq!(
        (gold.tier.as_str(), gold.earned_tier.as_str()),
        ("Gold", "Bronze")
    );
    let expected = [
        step(Overridden, "Silver", "Gold"),
        step(OverrideEnded, "Bronze", "Silver"),
        step(Overridden, "Bronze", "Bronze"),
        step(Enrolled, "", "Bronze"),
    ];
    assert_eq!(history(&mut shop).await, expected);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_posting_notices_an_end_that_no_reader_has(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    try_give(&mut shop, until("Gold", "1998-07-02T00:00:00Z"))
        .await
        .unwrap();
    shop.server.clock.set(time("1998-07-03T00:00:00Z"));
    let earned = shop.earn("c1", 100, "s1").await.transaction.unwrap();
    assert_eq!(shop.tier("c1").await.tier, "Silver");
    assert_eq!(
        history(&mut shop).await[0],
        step(OverrideEnded, "Gold", "Silver")
    );
    shop.reverse("c1", &earned.transaction_id).await.unwrap();
    shop.earn("c1", 100, "s2").await;
    shop.server.clock.set(time("1999-07-03T00:00:00Z"));
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
    let reasons: Vec<_> = history(&mut shop)
        .await
        .into_iter()
        .map(|step| step.0)
        .collect();
    assert_eq!(
        reasons,
        [
            AgedOut,
            Earned,
            Reversed,
            OverrideEnded,
            Overridden,
            Enrolled
        ]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_override_replaces_the_one_before(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    try_give(&mut shop, until("Gold", "1998-09-01T00:00:00Z"))
        .await
        .unwrap();
    shop.server.clock.set(time("1998-07-02T00:00:00Z"));
    try_give(&mut shop, until("Silver", "1998-08-01T00:00:00Z"))
        .await
        .unwrap();
    for (instant, expected) in [
        ("1998-06-30T00:00:00Z", "Bronze"),
        (NOW, "Gold"),
        ("1998-07-01T23:59:59Z", "Gold"),
        ("1998-07-02T00:00:00Z", "Silver"),
        ("1998-07-31T00:00:00Z", "Silver"),
        ("1998-08-01T00:00:00Z", "Bronze"),
    ] {
        let request = pb::GetTierRequest {
            as_of: at(instant),
            ..tier("c1")
        };
        let told = shop.client.get_tier(request).await.unwrap().into_inner();
        assert_eq!(told.tier.unwrap().tier, expected, "{instant}");
        let request = pb::GetProgramSummaryRequest {
            as_of: at(instant),
            ..Default::default()
        };
        let summary = shop.client.get_program_summary(request).await.unwrap();
        let tiers = summary.into_inner().tiers;
        let occupied: Vec<_> = tiers.iter().filter(|count| count.members > 0).collect();
        assert_eq!(occupied.len(), 1);
        assert_eq!(occupied[0].tier, expected, "{instant}");
    }
    shop.server.clock.set(time("1998-08-01T00:00:00Z"));
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn overrides_that_make_no_sense_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let everything = pb::OverrideTierRequest {
        customer_id: String::new(),
        request_id: "x".repeat(65),
        ..Default::default()
    };
    let status = try_give(&mut shop, everything).await.unwrap_err();
    assert_eq!(
        violations(&status),
        ["request_id", "customer_id", "tier", "reason"]
    );
    let status = try_give(&mut shop, until("Gold", NOW)).await.unwrap_err();
    assert_eq!(violations(&status), ["expires_at"]);
    let refused = try_give(&mut shop, give("Platinum")).await;
    assert_refused(refused, Code::NotFound, "TIER_NOT_FOUND");
    let nobody = pb::OverrideTierRequest {
        customer_id: "nobody".to_owned(),
        ..give("Gold")
    };
    let refused = try_give(&mut shop, nobody).await;
    assert_refused(refused, Code::NotFound, "MEMBER_NOT_FOUND");
    let nowhere = pb::OverrideTierRequest {
        program_id: "nowhere".to_owned(),
        ..give("Gold")
    };
    let refused = try_give(&mut shop, nowhere).await;
    assert_refused(refused, Code::NotFound, "PROGRAM_NOT_FOUND");

    let unfounded = pb::ClearOverrideRequest {
        reason: String::new(),
        ..clear()
    };
    let status = try_clear(&mut shop, unfounded).await.unwrap_err();
    assert_eq!(violations(&status), ["reason"]);
    let refused = try_clear(&mut shop, clear()).await;
    assert_refused(refused, Code::FailedPrecondition, "NOT_OVERRIDDEN");
    try_give(&mut shop, until("Gold", "1998-07-02T00:00:00Z"))
        .await
        .unwrap();
    shop.server.clock.set(time("1998-07-02T00:00:00Z"));
    let refused = try_clear(&mut shop, clear()).await;
    assert_refused(refused, Code::FailedPrecondition, "NOT_OVERRIDDEN");

    shop.deleted("c1").await;
    shop.caught_up().await;
    let refused = try_give(&mut shop, give("Gold")).await;
    assert_refused(refused, Code::FailedPrecondition, "MEMBER_CLOSED");
    let refused = try_clear(&mut shop, clear()).await;
    assert_refused(refused, Code::FailedPrecondition, "MEMBER_CLOSED");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_override_leaves_nothing_and_a_repeated_one_has_one_effect(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let dry = pb::OverrideTierRequest {
        request_id: "r1".to_owned(),
        dry_run: true,
        ..give("Gold")
    };
    let told = try_give(&mut shop, dry.clone()).await.unwrap();
    let told_tier = told.tier.unwrap();
    assert_eq!((told_tier.tier.as_str(), told_tier.revision), ("Gold", 0));
    assert_eq!(told.consistency_token, "");
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
    let real = pb::OverrideTierRequest {
        dry_run: false,
        ..dry
    };
    let first = try_give(&mut shop, real.clone()).await.unwrap();
    assert_eq!(try_give(&mut shop, real).await.unwrap(), first);
    let dry = pb::ClearOverrideRequest {
        dry_run: true,
        ..clear()
    };
    let told = try_clear(&mut shop, dry).await.unwrap();
    assert_eq!(told.tier.unwrap().tier, "Bronze");
    assert_eq!(shop.tier("c1").await.tier, "Gold");
    assert_eq!(shop.tier_history("c1").await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_what_was_given(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", NOW, 120)).await;
    shop.caught_up().await;
    try_give(&mut shop, until("Gold", "1998-08-01T00:00:00Z"))
        .await
        .unwrap();
    for statement in [
        "UPDATE tier_overrides SET tier = 'Silver'",
        "UPDATE tier_overrides SET expires_at = NULL",
        "UPDATE tier_overrides SET ended_at = created_at - 1",
        "UPDATE tier_overrides SET ended_at = expires_at + 1",
        "DELETE FROM tier_overrides",
        "INSERT INTO tier_overrides
             (customer_id, revision, program_id, tier, actor, reason, created_at)
         SELECT customer_id, revision + 1, program_id, tier, actor, reason, created_at
         FROM tier_overrides",
    ] {
        shop.execute(statement).await.expect_err(statement);
    }
    try_clear(&mut shop, clear()).await.unwrap();
    let reopening = "UPDATE tier_overrides SET ended_at = NULL";
    shop.execute(reopening).await.expect_err(reopening);
    assert_eq!(shop.tier("c1").await.tier, "Silver");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_begin_and_the_end_of_an_override_are_announced(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    try_give(&mut shop, give("Gold")).await.unwrap();
    try_clear(&mut shop, clear()).await.unwrap();
    let events = announced(&shop, 3).await;
    let changes: Vec<_> = events[1..]
        .iter()
        .map(|event| unpack::<pb::TierChanged>(event).change.unwrap())
        .collect();
    let mut history = shop.tier_history("c1").await;
    history.reverse();
    assert_eq!(changes, history[1..]);
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.reason(), change.remark.as_str()))
        .collect();
    let expected = [
        (Overridden, "a friend of the house"),
        (OverrideEnded, "no longer"),
    ];
    assert_eq!(told, expected);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_from_the_cache_sees_overrides_begin_and_end(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    let batch = || pb::BatchGetTiersRequest {
        customer_ids: vec!["c1".to_owned(), "c2".to_owned()],
        ..Default::default()
    };
    let mut tiers = Vec::new();
    for step in 0..3 {
        match step {
            1 => drop(
                try_give(&mut shop, until("Gold", "1998-08-01T00:00:00Z"))
                    .await
                    .unwrap(),
            ),
            2 => shop.server.clock.set(time("1998-08-01T00:00:00Z")),
            _ => {}
        }
        for _ in 0..2 {
            let told = shop.client.batch_get_tiers(batch()).await.unwrap();
            let told = told.into_inner().tiers.into_iter();
            tiers.push(told.map(|tier| tier.tier).collect::<Vec<_>>());
        }
    }
    let bronze = vec!["Bronze".to_owned(), "Bronze".to_owned()];
    let gold = vec!["Gold".to_owned(), "Bronze".to_owned()];
    let twice = |tiers: &Vec<String>| [tiers.clone(), tiers.clone()];
    assert_eq!(
        tiers,
        [twice(&bronze), twice(&gold), twice(&bronze)].concat()
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_overrides_at_once_one_wins_and_all_are_remembered(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let calls = ["Gold", "Silver", "Gold", "Silver", "Gold"].map(|name| {
        let mut client = shop.client.clone();
        tokio::spawn(async move { client.override_tier(give(name)).await })
    });
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let history = shop.tier_history("c1").await;
    assert_eq!(history.len(), 6);
    assert_eq!(shop.tier("c1").await.tier, history[0].to_tier);
    for pair in history.windows(2) {
        assert_eq!(pair[0].from_tier, pair[1].to_tier);
        assert_eq!(pair[0].revision, pair[1].revision + 1);
    }
    try_clear(&mut shop, clear()).await.unwrap();
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
}
