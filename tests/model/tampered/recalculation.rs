//! Tiers that are decided anew.

use super::tiers::give;
use super::*;
use crate::operations::{Merge, Recalculate, Recalculated};

/// The part of it that is about Alice.
fn recalculate(asked: pb::RecalculateTiersRequest) -> Request {
    Request::Recalculate(Recalculate {
        asked,
        customers: Vec::new(),
        of: Some(ALICE.to_owned()),
    })
}

fn told(event: &mut Event) -> &mut Recalculated {
    match &mut event.answer {
        Ok(Response::Recalculate(told)) => told,
        other => panic!("{other:#?}"),
    }
}

fn change(event: &mut Event) -> &mut pb::TierChange {
    &mut told(event).messages[0].changes[0]
}

/// Alice has a tier until the third instant.
fn moved() -> Vec<Event> {
    let now = pb::RecalculateTiersRequest::default;
    history(&[
        give("Gold", 3),
        balance(),
        recalculate(now()),
        recalculate(now()),
    ])
}

#[test]
fn who_is_moved_once_passes() {
    let mut events = moved();
    let moved = change(&mut events[2]);
    let tiers = (moved.from_tier.as_str(), moved.to_tier.as_str());
    assert_eq!(tiers, ("Gold", "Bronze"));
    assert_eq!(moved.reason(), pb::TierChangeReason::OverrideEnded);
    assert!(told(&mut events[3]).messages.is_empty());
    check(nobody(), &events).unwrap();
    // It has the place of its revision, however long it takes.
    events[2].started = 0;
    events[2].window = Window::Shown(vec![1, 2, 3]);
    check(nobody(), &events).unwrap();
}

#[test]
fn who_is_moved_from_or_to_elsewhere_is_found() {
    let tamper: [fn(&mut pb::TierChange); 5] = [
        |it| "Silver".clone_into(&mut it.from_tier),
        |it| "Silver".clone_into(&mut it.to_tier),
        |it| it.set_reason(pb::TierChangeReason::AgedOut),
        |it| it.qualifying_points += 1,
        |it| it.actor.clear(),
    ];
    for tamper in tamper {
        let mut events = moved();
        tamper(change(&mut events[2]));
        assert!(check(nobody(), &events).is_err());
    }
}

#[test]
fn who_is_not_moved_or_moved_twice_is_found() {
    let mut events = moved();
    let again = events[2].answer.clone();
    let mut twice = events.clone();
    twice[3].answer = again;
    change(&mut twice[3]).changed_at = Some(crate::answers::stamp(4));
    set_revision(twice[3].answer.as_mut().unwrap(), 4);
    assert!(check(nobody(), &twice).is_err());
    events.truncate(3);
    *told(&mut events[2]) = Recalculated::default();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn who_would_be_moved_at_another_instant_is_told() {
    let dry = |at: i64| {
        recalculate(pb::RecalculateTiersRequest {
            dry_run: true,
            as_of: Some(crate::answers::stamp(at)),
            ..Default::default()
        })
    };
    let mut events = history(&[give("Gold", 50), dry(49), dry(50), dry(50)]);
    assert!(told(&mut events[1]).messages.is_empty());
    assert_eq!(change(&mut events[2]).to_tier, "Bronze");
    check(nobody(), &events).unwrap();
    events[2].answer = events[1].answer.clone();
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_recalculation_that_does_not_agree_with_itself_is_found() {
    let mut events = moved();
    let mut all = events[2].clone();
    let Request::Recalculate(asked) = &mut all.request else {
        panic!("{all:#?}");
    };
    asked.of = None;
    told(&mut all).messages[0].members = 2;
    events.push(all);
    check(nobody(), &events).unwrap();
    let tamper: [fn(&mut Recalculated); 6] = [
        |it| it.messages.clear(),
        |it| it.messages[0].members = 0,
        |it| it.messages[0].changes[0].revision += 1,
        |it| it.messages[0].consistency_tokens.clear(),
        |it| "further".clone_into(&mut it.messages[0].next_page_token),
        |it| {
            "further".clone_into(&mut it.messages[0].next_page_token);
            it.messages.push(it.messages[0].clone());
            it.messages[1].next_page_token.clear();
        },
    ];
    for tamper in tamper {
        let mut events = events.clone();
        tamper(told(&mut events[4]));
        let found = check(nobody(), &events).unwrap_err();
        assert!(found.contains("agree with itself"), "{found}");
    }
}

#[test]
fn what_comes_alone_amid_a_change_is_found() {
    let merge = Request::Merge(Merge {
        id: "merge".to_owned(),
        survivor: ALICE.to_owned(),
        absorbed: BOB.to_owned(),
        points: 30,
        at: 2,
    });
    let mut events = history(&[earn(100), merge]);
    events[1].started = events[0].started;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("came amid"), "{found}");
}
