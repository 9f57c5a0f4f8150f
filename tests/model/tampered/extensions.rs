//! Lots that wait for an event and are extended with those that they left.

use super::pending::waiting;
use super::persons::{merge, unmerge};
use super::*;
use crate::answers::stamp;
use crate::operations::Extend;

fn expiring() -> Request {
    let Request::Earn(earn) = waiting() else {
        unreachable!("an earning")
    };
    Request::Earn(pb::EarnPointsRequest {
        customer_id: BOB.to_owned(),
        expires_at: Some(stamp(10)),
        ..earn
    })
}

fn extend() -> Request {
    Request::Extend(Extend {
        asked: pb::ExtendExpiryRequest {
            customer_id: ALICE.to_owned(),
            lot_id: "lot 2 from 1".to_owned(),
            expires_at: Some(stamp(20)),
            ..Default::default()
        },
        others: vec![BOB.to_owned()],
    })
}

fn usual() -> Vec<Event> {
    history(&[expiring(), merge(), extend(), unmerge("merge 2")])
}

fn extended(events: &mut [Event]) -> &mut pb::ExtendExpiryResponse {
    match &mut events[2].answer {
        Ok(Response::Extend(it)) => it,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn a_lot_that_is_extended_with_the_one_that_it_left_passes() {
    let mut events = usual();
    check(nobody(), &events).unwrap();
    let others = &extended(&mut events).of_same_earning;
    assert_eq!(others.len(), 1);
    assert_eq!(
        (&*others[0].customer_id, &*others[0].lot_id),
        (BOB, "lot 1")
    );
    let Ok(Response::UnmergeMembers(undone)) = &events[3].answer else {
        panic!("{:#?}", events[3]);
    };
    assert_eq!(undone.returned[0].lots[0].lot_id, "lot 1");
}

#[test]
fn a_lot_that_is_extended_alone_is_found() {
    let mut events = usual();
    extended(&mut events).of_same_earning.clear();
    assert!(check(nobody(), &events).is_err());
    let Request::Extend(it) = &mut events[2].request else {
        panic!("{:#?}", events[2]);
    };
    it.others.clear();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("lot 1"), "{found}");
}

#[test]
fn a_lot_that_is_extended_from_another_instant_is_found() {
    let mut events = usual();
    extended(&mut events).of_same_earning[0].from_expires_at = Some(stamp(9));
    assert!(check(nobody(), &events).is_err());
}
