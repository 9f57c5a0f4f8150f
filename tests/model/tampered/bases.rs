//! What purchases are decided on, as their traces tell it.

use super::policies::{bought, by_spend};
use super::*;

fn trace() -> Request {
    Request::Trace(pb::GetDecisionTraceRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: "posting 3.1".to_owned(),
        ..Default::default()
    })
}

/// The second purchase is multiplied: the first one has brought the second tier.
fn usual() -> Vec<Event> {
    let earned = [by_spend(), bought("one", 2), bought("two", 3)];
    history(&[&earned[..], &[trace()]].concat())
}

fn told(events: &mut [Event]) -> &mut pb::PurchaseBasis {
    let traced = match &mut events[3].answer {
        Ok(Response::Trace(told)) => told.purchase.as_mut(),
        _ => None,
    };
    traced.expect("a purchase earned")
}

#[test]
fn what_a_purchase_is_decided_on_passes() {
    let mut events = usual();
    let basis = told(&mut events).clone();
    let decided = (basis.tier.as_str(), basis.multiplier_basis_points);
    assert_eq!(decided, ("Silver", 20_000));
    assert_eq!((basis.base_points, basis.points), (30, 60));
    assert_eq!(basis.tier_policy_version, 2);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!(compared.met["purchase by a later policy"], 1);
}

#[test]
fn another_basis_of_a_purchase_is_found() {
    let tell = |change: fn(&mut pb::PurchaseBasis)| {
        let mut events = usual();
        change(told(&mut events));
        check(nobody(), &events).unwrap_err()
    };
    let found = [
        tell(|it| it.tier_policy_version = 1),
        tell(|it| it.tier = "Bronze".to_owned()),
        tell(|it| it.multiplier_basis_points = 10_000),
        tell(|it| it.base_points += 1),
        tell(|it| it.total.as_mut().unwrap().micros += 1),
    ];
    for found in found {
        assert!(found.contains("tier_policy_version: 2"), "{found}");
    }
}

#[test]
fn a_purchase_without_basis_is_found() {
    let mut events = usual();
    let Ok(Response::Trace(told)) = &mut events[3].answer else {
        panic!("{:#?}", events[3]);
    };
    told.purchase = None;
    assert!(check(nobody(), &events).is_err());
}
