//! Members whom callers merge, and part again.

use super::*;
use crate::operations::Unmerge;

fn of_bob(request: Request) -> Request {
    let customer_id = BOB.to_owned();
    match request {
        Request::Earn(it) => Request::Earn(pb::EarnPointsRequest { customer_id, ..it }),
        Request::Balance(it) => Request::Balance(pb::GetBalanceRequest { customer_id, ..it }),
        other => other,
    }
}

pub(super) fn merge() -> Request {
    Request::MergeMembers(pb::MergeMembersRequest {
        survivor_id: ALICE.to_owned(),
        absorbed_id: BOB.to_owned(),
        reason: "the same person".to_owned(),
        ..Default::default()
    })
}

pub(super) fn unmerge(merge_id: &str) -> Request {
    Request::UnmergeMembers(Unmerge {
        asked: pb::UnmergeMembersRequest {
            merge_id: merge_id.to_owned(),
            reason: "they are two".to_owned(),
            ..Default::default()
        },
        whose: vec![ALICE.to_owned(), BOB.to_owned()],
    })
}

fn tier() -> Request {
    Request::Tier(pb::GetTierRequest {
        customer_id: ALICE.to_owned(),
        as_of: Some(crate::answers::stamp(5)),
        ..Default::default()
    })
}

/// Alice spends 100 of her own, which are older, and 20 of Bob's.
fn usual() -> Vec<Event> {
    history(&[
        earn(100),
        of_bob(earn(50)),
        merge(),
        tier(),
        of_bob(earn(7)),
        redeem(120),
        unmerge("merge 3"),
        of_bob(balance()),
        unmerge("merge 3"),
    ])
}

const MERGE: usize = 2;
const TIER: usize = 3;
const REFUSED: usize = 4;
const SPENT: usize = 5;
const UNMERGE: usize = 6;
const BALANCE: usize = 7;

fn merged(events: &mut [Event]) -> &mut pb::MergeMembersResponse {
    match &mut events[MERGE].answer {
        Ok(Response::MergeMembers(it)) => it,
        other => panic!("{other:#?}"),
    }
}

fn undone(events: &mut [Event]) -> &mut pb::UnmergeMembersResponse {
    match &mut events[UNMERGE].answer {
        Ok(Response::UnmergeMembers(it)) => it,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn what_goes_over_is_spent_and_comes_back_passes() {
    let mut events = usual();
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.reasons["MEMBER_MERGED"], 1);
    assert_eq!(compared.reasons["MERGE_ALREADY_UNDONE"], 1);
    assert_eq!(merged(&mut events).survivor_balances[0].available, 150);
    let undone = undone(&mut events);
    let points = |moved: &[pb::MovedPoints]| (moved[0].points, moved[0].lots[0].points);
    assert_eq!(points(&undone.moved), (50, 50));
    assert_eq!(points(&undone.returned), (30, 30));
    assert_eq!(undone.returned[0].lots[0].lot_id, "lot 2");
    assert_eq!(undone.survivor_balances[0].available, 0);
}

#[test]
fn points_that_are_lost_on_the_way_are_found() {
    let mut events = usual();
    merged(&mut events).moved[0].points = 49;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_lot_that_is_not_told_is_found() {
    let mut events = usual();
    merged(&mut events).moved[0].lots.clear();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_lot_that_comes_from_nowhere_is_found() {
    let mut events = usual();
    merged(&mut events).moved[0].lots[0].from_lot_id = "lot 1".to_owned();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_lot_that_is_told_by_another_name_is_found_when_it_is_spent() {
    let mut events = usual();
    merged(&mut events).moved[0].lots[0].lot_id = "another".to_owned();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn another_survivor_is_found() {
    let mut events = usual();
    merged(&mut events).merge.as_mut().unwrap().survivor_id = BOB.to_owned();
    assert!(check(nobody(), &events).is_err());
    let mut events = usual();
    let Err(refusal) = &mut events[REFUSED].answer else {
        panic!("{:#?}", events[REFUSED]);
    };
    let survivor = refusal.metadata.get_mut("survivor_id").unwrap();
    assert_eq!(survivor, ALICE);
    BOB.clone_into(survivor);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn one_who_earns_though_it_is_merged_is_found() {
    let mut events = usual();
    let of_itself = history(&[of_bob(earn(50)), of_bob(earn(7))]);
    events[REFUSED].answer = of_itself[1].answer.clone();
    let Ok(earned) = &mut events[REFUSED].answer else {
        panic!("{:#?}", of_itself[1]);
    };
    set_revision(earned, 5);
    earned.postings()[0].revision = 5;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("MEMBER_MERGED"), "{found}");
}

#[test]
fn one_who_is_refused_though_it_stands_for_itself_is_found() {
    let mut events = usual();
    let refused = events[REFUSED].answer.clone();
    events.push(Event {
        request: events[REFUSED].request.clone(),
        answer: refused,
        started: 100,
        ended: 101,
        window: Window::Shown(vec![50]),
    });
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_tier_that_does_not_count_both_is_found() {
    let mut events = usual();
    let Ok(Response::Tier(told)) = &mut events[TIER].answer else {
        panic!("{:#?}", events[TIER]);
    };
    let tier = told.tier.as_mut().unwrap();
    assert_eq!(
        (tier.tier.as_str(), tier.qualifying_points),
        ("Silver", 150)
    );
    tier.qualifying_points = 100;
    tier.points_to_next_tier = 150;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn what_comes_back_though_it_was_spent_is_found() {
    let mut events = usual();
    let undone = undone(&mut events);
    undone.returned[0].points = 50;
    undone.returned[0].lots[0].points = 50;
    undone.absorbed_balances[0].available = 50;
    assert!(check(nobody(), &events).is_err());
    let mut events = usual();
    let Ok(Response::Balance(told)) = &mut events[BALANCE].answer else {
        panic!("{:#?}", events[BALANCE]);
    };
    let balance = told.balance.as_mut().unwrap();
    assert_eq!(balance.available, 30);
    balance.available = 50;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn what_was_merged_before_it_was_earned_is_found() {
    // In Bob's history the merge has the lower revision, though he had been told of the earning before it began.
    let mut events = usual();
    let token = ConsistencyToken {
        source: "loyalty".to_owned(),
        customer_id: CustomerId::parse(BOB).unwrap(),
        revision: 1,
    };
    merged(&mut events).absorbed_consistency_token = token.encode();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("higher revision"), "{found}");
}

#[test]
fn a_merge_that_is_in_one_history_alone_is_found() {
    let mut events = usual();
    merged(&mut events).absorbed_consistency_token.clear();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("without revision"), "{found}");
}

#[test]
fn points_of_the_absorbed_one_that_are_spent_before_they_come_are_found() {
    let mut events = usual();
    events.swap(MERGE, SPENT);
    let (one, two) = (events[MERGE].clone(), events[SPENT].clone());
    (events[MERGE].started, events[MERGE].ended) = (two.started, two.ended);
    (events[SPENT].started, events[SPENT].ended) = (one.started, one.ended);
    assert!(check(nobody(), &events).is_err());
}
