//! Tiers.

use super::*;
use crate::answers::stamp;

pub fn give(tier: &str, expires_at: i64) -> Request {
    Request::Override(pb::OverrideTierRequest {
        customer_id: ALICE.to_owned(),
        tier: tier.to_owned(),
        reason: "as a favour".to_owned(),
        expires_at: Some(stamp(expires_at)),
        ..Default::default()
    })
}

fn clear() -> Request {
    Request::ClearOverride(pb::ClearOverrideRequest {
        customer_id: ALICE.to_owned(),
        reason: "no longer".to_owned(),
        ..Default::default()
    })
}

pub fn tier(at: i64) -> Request {
    Request::Tier(pb::GetTierRequest {
        customer_id: ALICE.to_owned(),
        as_of: Some(stamp(at)),
        ..Default::default()
    })
}

pub fn told(event: &mut Event) -> &mut pb::MemberTier {
    match &mut event.answer {
        Ok(Response::Tier(it)) => it.tier.as_mut().unwrap(),
        other => panic!("{other:#?}"),
    }
}

#[test]
fn a_tier_that_is_earned_given_and_taken_back_passes() {
    let requests = [
        earn(100),
        give("Gold", 50),
        tier(49),
        tier(50),
        clear(),
        tier(49),
        clear(),
    ];
    let mut events = history(&requests);
    let names = [2, 3, 5].map(|n| told(&mut events[n]).tier.clone());
    assert_eq!(names, ["Gold", "Silver", "Silver"]);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!((compared.changes, compared.reads), (3, 3));
    assert_eq!(compared.reasons["NOT_OVERRIDDEN"], 1);
}

#[test]
fn a_tier_that_outlives_its_override_is_found() {
    let mut events = history(&[give("Gold", 50), tier(49), tier(50)]);
    let before = told(&mut events[1]).clone();
    *told(&mut events[2]) = before;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_change_of_a_tier_that_is_missing_or_came_at_another_time_is_found() {
    let changes = Request::TierHistory(pb::ListTierHistoryRequest {
        customer_id: ALICE.to_owned(),
        ..Default::default()
    });
    let mut events = history(&[earn(100), give("Gold", 50), clear(), changes]);
    let Ok(Response::TierHistory(told)) = &mut events[3].answer else {
        panic!("{:#?}", events[3]);
    };
    let tiers: Vec<_> = told.changes.iter().map(|it| it.to_tier.as_str()).collect();
    assert_eq!(tiers, ["Silver", "Gold", "Silver", "Bronze"]);
    // A call that changes it twice goes from the first to the last.
    let between = |from: &str, to: &str, told: &pb::TierChange| pb::TierChange {
        from_tier: from.to_owned(),
        to_tier: to.to_owned(),
        ..told.clone()
    };
    let mut detour = told.clone();
    let gold = told.changes[1].clone();
    detour.changes[1] = between("Bronze", "Gold", &gold);
    detour.changes.insert(2, between("Silver", "Bronze", &gold));
    let tamper: [fn(&mut pb::ListTierHistoryResponse); 4] = [
        |it| drop(it.changes.remove(1)),
        |it| it.changes.push(it.changes[3].clone()),
        |it| it.changes[1].changed_at = Some(stamp(3)),
        |it| "Bronze".clone_into(&mut it.changes[0].to_tier),
    ];
    for tamper in tamper {
        let mut told = detour.clone();
        tamper(&mut told);
        let mut events = events.clone();
        events[3].answer = Ok(Response::TierHistory(told));
        assert!(check(nobody(), &events).is_err());
    }
    events[3].answer = Ok(Response::TierHistory(detour));
    check(nobody(), &events).unwrap();
}

#[test]
fn points_that_count_twice_for_a_tier_are_found() {
    let mut events = history(&[earn(60), tier(9)]);
    let tier = told(&mut events[1]);
    assert_eq!((tier.tier.as_str(), tier.qualifying_points), ("Bronze", 60));
    (tier.qualifying_points, tier.points_to_next_tier) = (120, 130);
    (tier.tier, tier.earned_tier) = ("Silver".to_owned(), "Silver".to_owned());
    (tier.rank, tier.next_tier) = (2, "Gold".to_owned());
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_tier_older_than_its_token_is_found() {
    let given = pb::OverrideTierRequest {
        customer_id: ALICE.to_owned(),
        tier: "Gold".to_owned(),
        ..Default::default()
    };
    let by_token = pb::GetTierRequest {
        customer_id: ALICE.to_owned(),
        at_least: "a token".to_owned(),
        ..Default::default()
    };
    let by_token = Request::Tier(by_token);
    let requests = [by_token.clone(), Request::Override(given), by_token];
    let mut events = history(&requests);
    check(nobody(), &events).unwrap();
    events[2].answer = events[0].answer.clone();
    assert!(check(nobody(), &events).is_err());
}
