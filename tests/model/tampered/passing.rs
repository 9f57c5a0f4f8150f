//! What a merged member began, and who stands for it ends.

use super::*;
use crate::answers::stamp;
use crate::model::is_nameless;
use crate::operations::{Elsewhere, Extend};
use pb::batch_post_item::Item;
use pb::reverse_transaction_request::Extent;

fn by_alice(asked: Request) -> Request {
    Request::Elsewhere(Elsewhere {
        asked: Box::new(asked),
        whose: vec![BOB.to_owned()],
    })
}

fn usual() -> Vec<Event> {
    let earned = pb::EarnPointsRequest {
        customer_id: BOB.to_owned(),
        points: 50,
        source_type: "promotion".to_owned(),
        source_ref: "bob".to_owned(),
        activates_on_event: true,
        ..Default::default()
    };
    let merge = pb::MergeMembersRequest {
        survivor_id: ALICE.to_owned(),
        absorbed_id: BOB.to_owned(),
        reason: "the same person".to_owned(),
        ..Default::default()
    };
    let activate = pb::ActivatePendingRequest {
        customer_id: ALICE.to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "bob".to_owned(),
        ..Default::default()
    };
    let reverse = pb::ReverseTransactionRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: "posting 1".to_owned(),
        extent: Some(Extent::Points(20)),
        ..Default::default()
    };
    history(&[
        Request::Earn(earned),
        Request::MergeMembers(merge),
        by_alice(Request::Activate(activate.clone())),
        by_alice(Request::Reverse(reverse)),
        balance(),
        by_alice(Request::Activate(activate)),
    ])
}

const ACTIVATED: usize = 2;
const REVERSED: usize = 3;
const BALANCE: usize = 4;

fn activated(events: &mut [Event]) -> &mut pb::ActivatePendingResponse {
    match &mut events[ACTIVATED].answer {
        Ok(Response::Activate(it)) => it,
        other => panic!("{other:#?}"),
    }
}

fn reversed(events: &mut [Event]) -> &mut pb::ReverseTransactionResponse {
    match &mut events[REVERSED].answer {
        Ok(Response::Reverse(it)) => it,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn what_comes_back_to_be_decided_and_goes_on_again_passes() {
    let mut events = usual();
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.reasons["ALREADY_ACTIVATED"], 1);
    let told = reversed(&mut events);
    assert_eq!(told.transaction.as_ref().unwrap().customer_id, BOB);
    assert_eq!(told.balance.as_ref().unwrap().available, 30);
    let ways = told.passed_on.iter().map(|it| {
        let to = it.to_customer_id.as_str();
        (to, it.moved[0].points)
    });
    assert_eq!(ways.collect::<Vec<_>>(), [(BOB, 50), (ALICE, 30)]);
}

#[test]
fn points_that_are_lost_when_they_are_passed_on_are_found() {
    for step in 0..2 {
        let mut events = usual();
        reversed(&mut events).passed_on[step].moved[0].points -= 1;
        assert!(check(nobody(), &events).is_err());
        let mut events = usual();
        activated(&mut events).passed_on[step].moved[0].lots.clear();
        assert!(check(nobody(), &events).is_err());
    }
}

#[test]
fn what_is_passed_on_to_somebody_else_is_found() {
    let mut events = usual();
    BOB.clone_into(&mut reversed(&mut events).passed_on[1].to_customer_id);
    assert!(check(nobody(), &events).is_err());
    let mut events = usual();
    reversed(&mut events).passed_on.pop();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn who_stands_for_both_and_keeps_what_was_taken_back_is_found() {
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
fn what_is_in_the_ledger_of_the_wrong_one_is_found() {
    let mut events = usual();
    let told = reversed(&mut events);
    ALICE.clone_into(&mut told.transaction.as_mut().unwrap().customer_id);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn one_who_does_not_answer_for_who_was_merged_is_found() {
    let mut events = usual();
    let refusal = Refusal::new(Code::NotFound, "TRANSACTION_NOT_FOUND");
    events[REVERSED].answer = Err(refusal.with("transaction_id", "posting 1"));
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("TRANSACTION_NOT_FOUND"), "{found}");
    let mut events = usual();
    let refusal = Refusal::new(Code::NotFound, "PENDING_NOT_FOUND");
    let refusal = refusal.with("source_type", "promotion");
    events[ACTIVATED].answer = Err(refusal.with("source_ref", "bob"));
    assert!(check(nobody(), &events).is_err());
}

/// Bob's holds let something go while Alice stands for him.
fn let_go() -> Vec<Event> {
    let held = |points| {
        Request::Authorize(pb::AuthorizeHoldRequest {
            customer_id: BOB.to_owned(),
            points,
            ..Default::default()
        })
    };
    let Request::Earn(earned) = earn(100) else {
        unreachable!("it earns");
    };
    let of_bob = |asked: Request| {
        Request::Elsewhere(Elsewhere {
            asked: Box::new(asked),
            whose: vec![ALICE.to_owned()],
        })
    };
    let merge = pb::MergeMembersRequest {
        survivor_id: ALICE.to_owned(),
        absorbed_id: BOB.to_owned(),
        ..Default::default()
    };
    let capture = pb::CaptureHoldRequest {
        customer_id: BOB.to_owned(),
        hold_id: "hold 2".to_owned(),
        points: 10,
        r#final: true,
        ..Default::default()
    };
    let void = pb::VoidHoldRequest {
        customer_id: BOB.to_owned(),
        hold_id: "hold 3".to_owned(),
        ..Default::default()
    };
    history(&[
        Request::Earn(pb::EarnPointsRequest {
            customer_id: BOB.to_owned(),
            ..earned
        }),
        held(30),
        held(50),
        Request::MergeMembers(merge),
        of_bob(Request::Capture(capture)),
        of_bob(Request::Void(void)),
        balance(),
    ])
}

#[test]
fn what_holds_let_go_and_is_passed_on_passes() {
    let mut events = let_go();
    check(nobody(), &events).unwrap();
    for (n, points) in [(4, 20), (5, 50)] {
        let told = events[n].answer.as_mut().unwrap().passed_on().unwrap();
        let ways = told
            .iter()
            .map(|it| (it.to_customer_id.as_str(), it.moved[0].points));
        assert_eq!(ways.collect::<Vec<_>>(), [(ALICE, points)]);
    }
    let Ok(Response::Balance(told)) = &events[6].answer else {
        panic!("{:#?}", events[6]);
    };
    assert_eq!(told.balance.as_ref().unwrap().available, 90);
}

#[test]
fn what_holds_let_go_and_is_not_passed_on_whole_is_found() {
    for n in [4, 5] {
        let forgeries: [fn(&mut Vec<pb::PassedOn>); 4] = [
            |steps| steps.clear(),
            |steps| steps[0].moved[0].points -= 1,
            |steps| steps[0].moved[0].lots.clear(),
            |steps| BOB.clone_into(&mut steps[0].to_customer_id),
        ];
        for forge in forgeries {
            let mut events = let_go();
            forge(events[n].answer.as_mut().unwrap().passed_on().unwrap());
            assert!(check(nobody(), &events).is_err());
        }
    }
}

#[test]
fn a_merged_member_who_keeps_what_a_hold_let_go_is_found() {
    let mut events = let_go();
    let Ok(Response::Void(told)) = &mut events[5].answer else {
        panic!("{:#?}", events[5]);
    };
    told.balance.as_mut().unwrap().available = 50;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn one_that_is_asked_and_is_told_no_place_in_its_history_is_found() {
    let mut events = usual();
    let told = events[REVERSED].answer.as_mut().unwrap();
    told.tokens().into_iter().for_each(String::clear);
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn one_that_receives_and_is_told_no_place_in_its_history_is_found() {
    let mut events = let_go();
    let steps = events[5].answer.as_mut().unwrap().passed_on().unwrap();
    steps[0].consistency_token.clear();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn what_leaves_nothing_to_pass_on_has_the_order_of_the_ledger_it_was_decided_in() {
    let earned = pb::EarnPointsRequest {
        customer_id: BOB.to_owned(),
        points: 50,
        source_type: "promotion".to_owned(),
        source_ref: "bob".to_owned(),
        expires_at: Some(stamp(3)),
        ..Default::default()
    };
    let redeem = pb::RedeemPointsRequest {
        customer_id: BOB.to_owned(),
        points: 50,
        ..Default::default()
    };
    let merge = pb::MergeMembersRequest {
        survivor_id: ALICE.to_owned(),
        absorbed_id: BOB.to_owned(),
        reason: "the same person".to_owned(),
        ..Default::default()
    };
    let reverse = |points| {
        by_alice(Request::Reverse(pb::ReverseTransactionRequest {
            customer_id: ALICE.to_owned(),
            transaction_id: "posting 2".to_owned(),
            extent: Some(Extent::Points(points)),
            ..Default::default()
        }))
    };
    let mut events = history(&[
        Request::Earn(earned),
        Request::Redeem(redeem),
        Request::MergeMembers(merge),
        reverse(20),
        reverse(10),
    ]);
    let last = ConsistencyToken {
        source: "loyalty".to_owned(),
        customer_id: CustomerId::parse(ALICE).unwrap(),
        revision: 3,
    };
    for event in &mut events[3..] {
        (event.started, event.ended) = (10, 11);
        let Ok(Response::Reverse(told)) = &mut event.answer else {
            panic!("{event:#?}");
        };
        assert_eq!(told.passed_on, []);
        told.consistency_token = last.encode();
    }
    // Who answered first is no matter.
    events.swap(3, 4);
    check(nobody(), &events).unwrap();
}

/// What Bob earned is taken back by a batch of who stands for him.
fn in_a_batch() -> Vec<Event> {
    let Request::Earn(earned) = earn(50) else {
        unreachable!("an earning")
    };
    let of_bob = pb::EarnPointsRequest {
        customer_id: BOB.to_owned(),
        ..earned
    };
    let merge = pb::MergeMembersRequest {
        survivor_id: ALICE.to_owned(),
        absorbed_id: BOB.to_owned(),
        ..Default::default()
    };
    let Request::Earn(own) = earn(10) else {
        unreachable!("an earning")
    };
    let reverse = pb::ReverseTransactionRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: "posting 1".to_owned(),
        extent: Some(Extent::Points(20)),
        ..Default::default()
    };
    let items = [Item::Earn(own), Item::Reverse(reverse)];
    let items = items.map(|item| pb::BatchPostItem { item: Some(item) });
    let batch = pb::BatchPostRequest {
        items: items.into(),
        ..Default::default()
    };
    history(&[
        Request::Earn(of_bob),
        Request::MergeMembers(merge),
        by_alice(Request::Batch(batch)),
        balance(),
    ])
}

#[test]
fn what_a_batch_takes_back_of_a_merged_member_goes_on_again() {
    let events = in_a_batch();
    check(nobody(), &events).unwrap();
    let steps = events[2].answer.as_ref().unwrap().steps();
    let ways = steps
        .iter()
        .map(|it| (it.to_customer_id.as_str(), it.moved[0].points));
    assert_eq!(ways.collect::<Vec<_>>(), [(BOB, 50), (ALICE, 30)]);
    let Ok(Response::Balance(told)) = &events[3].answer else {
        panic!("{:#?}", events[3]);
    };
    assert_eq!(told.balance.as_ref().unwrap().available, 40);
}

#[test]
fn what_a_batch_passes_on_in_part_or_to_nobody_is_found() {
    let forgeries: [fn(&mut pb::PassedOn); 3] = [
        |step| step.moved[0].points -= 1,
        |step| step.moved[0].lots.clear(),
        |step| step.to_customer_id.push('?'),
    ];
    for forge in forgeries {
        for step in 0..2 {
            let mut events = in_a_batch();
            forge(events[2].answer.as_mut().unwrap().steps_mut()[step]);
            assert!(check(nobody(), &events).is_err());
        }
    }
}

/// What Bob earned was extended since he was merged: it would come back as another lot, of which nobody knows the name.
fn dry() -> Vec<Event> {
    let Request::Earn(earned) = earn(50) else {
        unreachable!("an earning")
    };
    let of_bob = pb::EarnPointsRequest {
        customer_id: BOB.to_owned(),
        expires_at: Some(stamp(10)),
        ..earned
    };
    let merge = pb::MergeMembersRequest {
        survivor_id: ALICE.to_owned(),
        absorbed_id: BOB.to_owned(),
        ..Default::default()
    };
    let extend = pb::ExtendExpiryRequest {
        customer_id: ALICE.to_owned(),
        lot_id: "lot 2 from 1".to_owned(),
        expires_at: Some(stamp(20)),
        reason: "for the wait".to_owned(),
        ..Default::default()
    };
    let reverse = pb::ReverseTransactionRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: "posting 1".to_owned(),
        policy: pb::ReversalPolicy::WithinBalance.into(),
        extent: Some(Extent::Points(20)),
        dry_run: true,
        ..Default::default()
    };
    let mut events = history(&[
        Request::Earn(of_bob),
        Request::MergeMembers(merge),
        Request::Extend(Extend {
            asked: extend,
            others: Vec::new(),
        }),
        by_alice(Request::Reverse(reverse)),
    ]);
    let told = events[3].answer.as_mut().unwrap();
    for posting in told.postings() {
        posting.transaction_id.clear();
        posting.revision = 0;
    }
    let lines = told
        .postings()
        .into_iter()
        .flat_map(|it| &mut it.entries)
        .map(|it| &mut it.lot_id);
    for lot_id in lines.filter(|it| is_nameless(it)) {
        "another".clone_into(lot_id);
    }
    for taken in told.recovered().unwrap() {
        "another".clone_into(&mut taken.lot_id);
    }
    events
}

#[test]
fn a_lot_that_a_dry_run_would_make_may_have_any_name() {
    check(nobody(), &dry()).unwrap();
    let mut events = dry();
    let told = events[3].answer.as_mut().unwrap();
    told.recovered().unwrap()[0].points -= 1;
    assert!(check(nobody(), &events).is_err());
    // One name for both.
    let mut events = dry();
    let told = events[3].answer.as_mut().unwrap();
    "yet another".clone_into(&mut told.recovered().unwrap()[0].lot_id);
    assert!(check(nobody(), &events).is_err());
}
