//! Windows, and what limits make of earnings.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::Points;
use crate::domain::plan::fixtures::lot;
use crate::domain::reversal::{Before, Extent, Refused, due};

fn time(rfc3339: &str) -> Timestamp {
    let time = DateTime::parse_from_rfc3339(rfc3339).unwrap();
    time.to_utc().into()
}

fn limit(limit_id: &str, points: i64, excess: Excess) -> Arc<EarningLimit> {
    Arc::new(EarningLimit {
        limit_id: LimitId::parse(limit_id).unwrap(),
        version: 1,
        scope: Scope::Member,
        wallet: Wallet::first(),
        window: WindowKind::Month,
        points,
        excess,
        ended: false,
        actor: "test".to_owned(),
        reason: "test".to_owned(),
        changed_at: Timestamp::EPOCH,
    })
}

fn room(limit: &Arc<EarningLimit>, used: i64) -> Room {
    Room {
        limit: Arc::clone(limit),
        window: limit.window.at(Timestamp::EPOCH),
        used,
    }
}

fn steps(granted: &Granted) -> Vec<(&str, i64, i64)> {
    let applied = granted.applied.iter();
    let step = |applied: &'_ Applied| (applied.before, applied.after);
    applied
        .map(|of| (of.limit_id.as_str(), step(of).0, step(of).1))
        .collect()
}

#[test]
fn windows_are_those_of_the_calendar() {
    let at = time("2024-02-29T12:30:00Z");
    for (kind, start, end) in [
        (
            WindowKind::Day,
            "2024-02-29T00:00:00Z",
            "2024-03-01T00:00:00Z",
        ),
        (
            WindowKind::Week,
            "2024-02-26T00:00:00Z",
            "2024-03-04T00:00:00Z",
        ),
        (
            WindowKind::Month,
            "2024-02-01T00:00:00Z",
            "2024-03-01T00:00:00Z",
        ),
        (
            WindowKind::Year,
            "2024-01-01T00:00:00Z",
            "2025-01-01T00:00:00Z",
        ),
    ] {
        let expected = Window {
            start: Some(time(start)),
            end: Some(time(end)),
        };
        assert_eq!(kind.at(at), expected, "{kind:?}");
    }
    let whole = Window {
        start: None,
        end: None,
    };
    assert_eq!(WindowKind::Lifetime.at(at), whole);
}

#[test]
fn the_ends_of_time_have_windows() {
    for at in [Timestamp::from_micros(i64::MIN), Timestamp::MAX] {
        for kind in [
            WindowKind::Day,
            WindowKind::Week,
            WindowKind::Month,
            WindowKind::Year,
        ] {
            assert!(kind.at(at).start.unwrap() <= at, "{kind:?}");
        }
    }
}

#[test]
fn what_cuts_comes_before_what_refuses() {
    let day = limit("day", 40, Excess::Clamp);
    let month = limit("all", 50, Excess::Refuse);
    let granted = grant(100, vec![room(&month, 10), room(&day, 5)]);
    assert_eq!(steps(&granted), [("day", 100, 35), ("all", 35, 35)]);
    assert!(granted.stopped_by.is_none());

    let granted = grant(100, vec![room(&month, 20), room(&day, 5)]);
    assert_eq!(steps(&granted), [("day", 100, 35), ("all", 35, 0)]);
    assert_eq!(granted.stopped_by.unwrap().limit, month);
}

#[test]
fn nothing_follows_on_a_limit_that_leaves_nothing() {
    let (first, second) = (limit("a", 10, Excess::Clamp), limit("b", 10, Excess::Clamp));
    let granted = grant(5, vec![room(&first, 10), room(&second, 0)]);
    assert_eq!(steps(&granted), [("a", 5, 0)]);
    // One that was lowered below what is used has nothing left.
    let granted = grant(5, vec![room(&first, 30)]);
    assert_eq!((granted.points, granted.stopped_by.unwrap().left()), (0, 0));
}

#[test]
fn without_limits_all_is_granted() {
    let granted = grant(5, Vec::new());
    assert_eq!((granted.points, granted.applied.len()), (5, 0));
}

fn kinds() -> impl Strategy<Value = WindowKind> {
    prop_oneof![
        Just(WindowKind::Day),
        Just(WindowKind::Week),
        Just(WindowKind::Month),
        Just(WindowKind::Year),
    ]
}

fn excess() -> impl Strategy<Value = Excess> {
    prop_oneof![Just(Excess::Clamp), Just(Excess::Refuse)]
}

/// What happens to a limited ledger.
#[derive(Debug, Clone)]
enum Step {
    Earn { points: i64, day: i64 },
    Reverse { earning: usize, points: i64 },
}

fn steps_of_a_ledger() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1_i64..60, 0_i64..80).prop_map(|(points, day)| Step::Earn { points, day }),
        (any::<prop::sample::Index>(), 1_i64..60).prop_map(|(earning, points)| Step::Reverse {
            earning: earning.index(30),
            points,
        }),
    ];
    prop::collection::vec(step, 1..60)
}

/// An earning that was granted, with what was taken back of it.
struct Earned {
    points: i64,
    reversed: i64,
    counted: Vec<Applied>,
}

type Used = BTreeMap<(String, i64), i64>;

fn count(used: &mut Used, counted: &[Applied], points: i64) {
    for applied in counted {
        let key = (applied.limit_id.clone(), applied.window_start);
        *used.entry(key).or_default() += points;
    }
}

proptest! {
    /// Every instant belongs to the one window that has begun and is not over; windows follow each other.
    #[test]
    fn windows_have_neither_gaps_nor_overlaps(
        kind in kinds(),
        at in -60_000_000_000_i64..250_000_000_000,
        micros in 0_i64..1_000_000,
    ) {
        let at = Timestamp::from_micros(at * 1_000_000 + micros);
        let window = kind.at(at);
        let (start, end) = (window.start.unwrap(), window.end.unwrap());
        prop_assert!(start <= at && at < end);
        let before = |at: Timestamp| Timestamp::from_micros(at.micros() - 1);
        prop_assert_eq!(kind.at(start), window);
        prop_assert_eq!(kind.at(before(end)), window);
        prop_assert_eq!(kind.at(end).start, Some(end));
        prop_assert_eq!(kind.at(before(start)).end, Some(start));
        prop_assert_eq!(kind.starting(window.key()), window);
    }

    /// No limit is ever taken beyond its points, and nobody is given more than asked for.
    #[test]
    fn a_grant_fits_every_limit(
        asked in 1_i64..1_000,
        limits in prop::collection::vec((0_i64..1_000, 0_i64..1_200, excess()), 0..6),
    ) {
        let rooms: Vec<_> = (0..).zip(&limits).map(|(n, (points, used, excess))| {
            room(&limit(&format!("l{n}"), *points, *excess), *used)
        }).collect();
        let lefts: Vec<_> = rooms.iter().map(Room::left).collect();
        let only_cut = limits.iter().all(|(_, _, excess)| *excess == Excess::Clamp);
        let granted = grant(asked, rooms);
        let least = lefts.iter().copied().chain([asked]).min().unwrap();
        prop_assert!((0..=asked).contains(&granted.points));
        prop_assert!(lefts.iter().all(|left| granted.points <= *left));
        prop_assert_eq!(granted.stopped_by.is_some(), granted.points == 0);
        // Where nothing refuses, as much is earned as fits.
        prop_assert!(!only_cut || granted.points == least);
        let mut before = asked;
        for applied in &granted.applied {
            prop_assert_eq!(applied.before, before);
            before = applied.after;
        }
        prop_assert_eq!(before, granted.points);
    }

    /// Whatever is earned and taken back in whatever parts, no limit is exceeded in any window, and once everything
    /// is taken back nothing is used.
    #[test]
    fn what_is_taken_back_is_given_back_to_the_windows_it_came_from(
        steps in steps_of_a_ledger(),
        limits in prop::collection::vec((1_i64..150, kinds(), excess()), 1..4),
    ) {
        let limits: Vec<_> = (0..).zip(limits).map(|(n, (points, window, excess))| {
            let limit = limit(&format!("l{n}"), points, excess);
            Arc::new(EarningLimit { window, ..EarningLimit::clone(&limit) })
        }).collect();
        let (mut used, mut earned) = (Used::new(), Vec::new());
        for step in steps {
            match step {
                Step::Earn { points, day } => {
                    let at = Timestamp::from_unix_seconds(day * 86_400 + 1);
                    let room = |limit: &Arc<EarningLimit>| {
                        let window = limit.window.at(at);
                        let key = (limit.limit_id.to_string(), window.key());
                        let used = used.get(&key).copied().unwrap_or(0);
                        Room { limit: Arc::clone(limit), window, used }
                    };
                    let granted = grant(points, limits.iter().map(room).collect());
                    if granted.points > 0 {
                        count(&mut used, &granted.applied, granted.points);
                        earned.push(Earned {
                            points: granted.points,
                            reversed: 0,
                            counted: granted.applied,
                        });
                    }
                }
                Step::Reverse { earning, points } => {
                    let count_of = earned.len().max(1);
                    let Some(of) = earned.get_mut(earning % count_of) else { continue };
                    let before = Before { reversed: of.reversed, adjusted: 0 };
                    let extent = Extent::Points(Points::parse(points).unwrap());
                    match due(extent, &lot("a", of.points), before) {
                        Ok(points) => {
                            of.reversed += points;
                            count(&mut used, &of.counted, -points);
                        }
                        Err(refused) => {
                            let exceeded = matches!(refused, Refused::Exceeded { .. });
                            prop_assert!(exceeded);
                        }
                    }
                }
            }
            for ((limit_id, _), used) in &used {
                let limit = limits.iter().find(|limit| limit.limit_id.as_str() == limit_id).unwrap();
                prop_assert!((0..=limit.points).contains(used));
            }
        }
        for of in &mut earned {
            let before = Before { reversed: of.reversed, adjusted: 0 };
            let left = due(Extent::Whole, &lot("a", of.points), before).unwrap();
            count(&mut used, &of.counted, -left);
        }
        prop_assert!(used.values().all(|used| *used == 0));
    }
}
