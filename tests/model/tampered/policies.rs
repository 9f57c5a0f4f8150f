//! Tier policies that count what was bought, and other versions of them.

use super::purchases::announce;
use super::tiers::{tier, told};
use super::*;
use crate::answers::stamp;
use crate::operations::purchases::Happened::{Recorded, Voided};
use pb::reverse_transaction_request::Extent;

/// Once something was bought the tier is the second; it earns twice as much.
fn policy(metric: pb::TierMetric) -> pb::TierPolicy {
    let tier = |(rank, name, threshold, multiplier)| pb::Tier {
        name: String::from(name),
        rank,
        threshold,
        multiplier_basis_points: multiplier,
        ..Default::default()
    };
    let tiers = [(1, "Bronze", 0, 0), (2, "Silver", 1, 20_000)];
    pb::TierPolicy {
        tiers: tiers.map(tier).to_vec(),
        metric: metric.into(),
        ..Default::default()
    }
}

fn publish(metric: pb::TierMetric, effective_at: Option<i64>, expected: i64) -> Request {
    Request::Publish(pb::PublishTierPolicyRequest {
        policy: Some(policy(metric)),
        effective_at: effective_at.map(stamp),
        reason: "for the better".to_owned(),
        expected_latest_version: expected,
        ..Default::default()
    })
}

pub(super) fn by_spend() -> Request {
    publish(pb::TierMetric::Spend, None, 0)
}

pub(super) fn bought(purchase: &str, at: i64) -> Request {
    let mut request = announce(&[Recorded], 30_00, &[]);
    let Request::Announce(it) = &mut request else {
        panic!("{request:#?}");
    };
    purchase.clone_into(&mut it.purchase.transaction_id);
    it.purchase.occurred_at = Some(stamp(at));
    request
}

/// Of what the second request earned.
fn reverse(points: i64) -> Request {
    Request::Reverse(pb::ReverseTransactionRequest {
        customer_id: ALICE.to_owned(),
        transaction_id: "posting 2.1".to_owned(),
        extent: Some(Extent::Points(points)),
        ..Default::default()
    })
}

#[test]
fn money_counts_from_the_version_that_says_so_until_it_goes_back() {
    let mut events = history(&[
        by_spend(),
        bought("purchase", 2),
        tier(0),
        tier(2),
        reverse(10),
        tier(2),
        announce(&[Voided], 30_00, &["posting 2.1"]),
        tier(2),
    ]);
    let told = [2, 3, 5, 7].map(|n| {
        let tier = told(&mut events[n]);
        (tier.policy_version, tier.qualifying_points, tier.rank)
    });
    let expected = [(1, 0, 1), (2, 30_000_000, 2), (2, 20_000_000, 2), (2, 0, 1)];
    assert_eq!(told, expected);
    let compared = check(nobody(), &events).unwrap();
    assert_eq!((compared.changes, compared.reads), (4, 4));
    assert_eq!(compared.met["policy by TIER_METRIC_SPEND"], 1);
    assert_eq!(compared.met["tier earned by TIER_METRIC_SPEND"], 2);
}

#[test]
fn money_that_does_not_go_back_with_its_points_is_found() {
    let requests = [by_spend(), bought("purchase", 2), reverse(10), tier(2)];
    let mut events = history(&requests);
    told(&mut events[3]).qualifying_points = 30_000_000;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("qualifying_points: 20000000"), "{found}");
}

#[test]
fn a_purchase_that_counts_twice_is_found() {
    let by_frequency = publish(pb::TierMetric::Frequency, None, 0);
    let mut events = history(&[by_frequency, bought("purchase", 2), reverse(29), tier(2)]);
    check(nobody(), &events).unwrap();
    assert_eq!(told(&mut events[3]).qualifying_points, 1);
    told(&mut events[3]).qualifying_points = 2;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_tier_by_the_version_before_is_found() {
    let mut events = history(&[by_spend(), tier(1), tier(0)]);
    check(nobody(), &events).unwrap();
    let before = told(&mut events[2]).clone();
    *told(&mut events[1]) = before;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_purchase_that_is_multiplied_by_a_tier_that_it_came_to_is_found() {
    let mut events = history(&[by_spend(), bought("one", 2), bought("two", 3)]);
    check(nobody(), &events).unwrap();
    let points = |event: &Event| event.answer.clone().unwrap().postings()[0].points;
    assert_eq!((points(&events[1]), points(&events[2])), (30, 60));
    // As if it had counted itself.
    let other = history(&[by_spend(), bought("two", 2), bought("one", 3)]);
    events.truncate(2);
    events[1].answer = other[2].answer.clone();
    events[1].window = other[2].window.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(
        found.contains("points: 60") && found.contains("points: 30"),
        "{found}"
    );
}

#[test]
fn a_version_that_is_refused_or_numbered_otherwise_is_found() {
    let later = publish(pb::TierMetric::Spend, Some(50), 0);
    let stale = publish(pb::TierMetric::Spend, None, 1);
    let mut events = history(&[later, stale, by_spend(), tier(50)]);
    let compared = check(nobody(), &events).unwrap();
    let refused = ["TIER_POLICY_CHANGED", "TIER_POLICY_NOT_LATER"];
    assert_eq!(refused.map(|reason| compared.reasons[reason]), [1, 1]);
    let refusal = events[1].answer.clone();
    let right = std::mem::replace(&mut events[0].answer, refusal);
    assert!(check(nobody(), &events).is_err());
    events[0].answer = right;
    let Ok(Response::Publish(told)) = &mut events[0].answer else {
        panic!("{:#?}", events[0]);
    };
    told.policy.as_mut().unwrap().version = 3;
    assert!(check(nobody(), &events).is_err());
}

/// All that was answered by the version that was published meanwhile, or as if it was not known.
fn amid(requests: &[Request], is_known: bool) -> Vec<Event> {
    let mut events = history(&[&[by_spend()], requests].concat());
    if !is_known {
        // At the same instants.
        let before = history(&[&[balance()], requests].concat());
        for (event, before) in events.iter_mut().zip(before).skip(1) {
            event.answer = before.answer;
        }
    }
    events[0].ended = 2 * u64::try_from(events.len()).unwrap() + 2;
    events
}

fn points_of(event: &Event) -> i64 {
    event.answer.clone().unwrap().postings()[0].points
}

#[test]
fn a_version_that_is_published_meanwhile_may_be_known_or_not() {
    let requests = [bought("one", 2), bought("two", 3), tier(3)];
    for (is_known, points) in [(true, 60), (false, 30)] {
        let events = amid(&requests, is_known);
        assert_eq!(points_of(&events[2]), points);
        let compared = check(nobody(), &events).unwrap();
        assert_eq!(compared.met["change amid a publication"], 2);
    }
}

#[test]
fn a_version_that_is_not_known_though_it_was_published_before_is_found() {
    let mut events = amid(&[bought("one", 2), bought("two", 3)], false);
    check(nobody(), &events).unwrap();
    events[0].ended = events[2].started - 1;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("points: 60"), "{found}");
}

#[test]
fn a_version_that_is_known_too_early_is_found() {
    let requests = [bought("one", 2), bought("two", 3)];
    let mut events = amid(&requests, true);
    events[0].started = events[2].ended + 1;
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("points: 30"), "{found}");
    let mut events = history(&[tier(2), by_spend(), tier(2)]);
    let later = told(&mut events[2]).clone();
    *told(&mut events[0]) = later;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_version_that_was_known_and_is_not_known_later_is_found() {
    let requests = [bought("one", 2), bought("two", 3), bought("three", 4)];
    let mut events = amid(&requests, true);
    check(nobody(), &events).unwrap();
    let unknown = amid(&requests, false);
    events[3].answer = unknown[3].answer.clone();
    assert_eq!(points_of(&events[3]), 30);
    assert!(check(nobody(), &events).is_err());
    // It is known once anybody was told.
    let requests = [tier(2), bought("one", 3), bought("two", 4)];
    let mut events = amid(&requests, false);
    check(nobody(), &events).unwrap();
    events[1].answer = amid(&requests, true)[1].answer.clone();
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("points: 60"), "{found}");
}

fn tier_history() -> Request {
    Request::TierHistory(pb::ListTierHistoryRequest {
        customer_id: ALICE.to_owned(),
        ..Default::default()
    })
}

fn moves(event: &mut Event) -> &mut Vec<pb::TierChange> {
    match &mut event.answer {
        Ok(Response::TierHistory(told)) => &mut told.changes,
        other => panic!("{other:#?}"),
    }
}

#[test]
fn a_tier_that_was_decided_by_one_version_and_then_by_another_is_found() {
    // Nothing but the history tells by which version the tier was decided.
    let requests = [bought("one", 2), tier_history(), tier_history()];
    let mut events = amid(&requests, true);
    let mut unknown = amid(&requests, false);
    assert_eq!(points_of(&events[1]), points_of(&unknown[1]));
    let lengths = [&mut events[2], &mut unknown[2]].map(|event| moves(event).len());
    assert_eq!(lengths, [2, 1]);
    check(nobody(), &events).unwrap();
    check(nobody(), &unknown).unwrap();
    events[3].answer = unknown[3].answer.clone();
    assert!(check(nobody(), &events).is_err());
    events[2].answer = unknown[2].answer.clone();
    check(nobody(), &events).unwrap();
}

#[test]
fn a_change_of_a_tier_that_names_another_version_is_found() {
    let mut events = amid(&[bought("one", 2), tier_history()], true);
    check(nobody(), &events).unwrap();
    assert_eq!(moves(&mut events[2])[0].policy_version, 2);
    moves(&mut events[2])[0].policy_version = 1;
    assert!(check(nobody(), &events).is_err());
}

#[test]
fn a_number_that_two_versions_have_is_found() {
    let mut events = history(&[by_spend(), by_spend()]);
    check(nobody(), &events).unwrap();
    let Ok(mut again) = events[0].answer.clone() else {
        panic!("{:#?}", events[0]);
    };
    set_revision(&mut again, 2);
    events[1].answer = Ok(again);
    let found = check(nobody(), &events).unwrap_err();
    assert!(found.contains("the same revisions"), "{found}");
}
