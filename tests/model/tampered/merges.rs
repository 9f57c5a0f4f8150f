//! Members who are merged, and that undone.

use super::*;
use crate::operations::{Merge, Merged};

fn merge(points: i64) -> Request {
    Request::Merge(Merge {
        id: "merge".to_owned(),
        survivor: ALICE.to_owned(),
        absorbed: BOB.to_owned(),
        points,
        at: 4,
    })
}

fn of_bob(points: i64) -> Request {
    match earn(points) {
        Request::Earn(it) => Request::Earn(pb::EarnPointsRequest {
            customer_id: BOB.to_owned(),
            ..it
        }),
        other => other,
    }
}

fn available(told: &Merged) -> Vec<i64> {
    let both = [&told.together, &told.apart].into_iter();
    let standings = both.flat_map(|it| it.values());
    let balances = standings.flat_map(|it| &it.balances);
    balances.map(|balance| balance.available).collect()
}

fn told(event: &mut Event) -> &mut Merged {
    match &mut event.answer {
        Ok(Response::Merge(it)) => it,
        other => panic!("{other:#?}"),
    }
}

fn usual() -> Vec<Event> {
    history(&[earn(100), redeem(30), of_bob(50), merge(90)])
}

#[test]
fn what_is_merged_spent_and_undone_passes() {
    let mut events = usual();
    check(nobody(), &events).unwrap();
    // Together, then apart; Alice first each time. What is Alice's is spent first, as it is older.
    assert_eq!(available(told(&mut events[3])), [120, 0, 0, 30]);
}

#[test]
fn what_does_not_come_along_is_found() {
    let mut events = usual();
    let key = (ALICE.to_owned(), "default".to_owned());
    let standing = told(&mut events[3]).together.get_mut(&key).unwrap();
    standing.balances[0].available = 70;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn what_does_not_come_back_is_found() {
    let mut events = usual();
    let key = (BOB.to_owned(), "default".to_owned());
    let standing = told(&mut events[3]).apart.get_mut(&key).unwrap();
    standing.balances[0].available -= 1;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn one_who_earns_though_another_stands_for_it_is_found() {
    let mut events = usual();
    told(&mut events[3]).refused = None;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_tier_that_does_not_count_both_is_found() {
    let mut events = usual();
    let key = (ALICE.to_owned(), "default".to_owned());
    let standing = told(&mut events[3]).together.get_mut(&key).unwrap();
    assert_eq!(standing.tier, Some(("Silver".to_owned(), 150)));
    standing.tier = Some(("Silver".to_owned(), 100));
    assert!(check(nobody(), &events).is_err());
}
