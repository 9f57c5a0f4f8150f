use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::domain::Points;
use crate::domain::plan::fixtures::{at, lot};

fn row(kind: RowKind, points: i64, day: i64) -> Row {
    Row {
        kind,
        points,
        occurred_at: at(day).micros(),
        recorded_at: None,
        activates_at: None,
        expires_at: None,
        qualifies: true,
        force: false,
        reason: String::new(),
        reason_code: None,
        approver: None,
        actor: String::new(),
    }
}

fn holding(points: i64, debt: i64) -> Holding {
    Holding {
        points,
        held: 0,
        debt,
    }
}

fn then(day: i64) -> When {
    When {
        at: at(day),
        settled_at: at(day),
    }
}

/// Two lots of 10 points: one that expires on day 5, one of day 6 that never does.
fn two_lots() -> Vec<Lot> {
    let later = Lot {
        earned_at: at(6),
        activates_at: Some(at(6)),
        ..lot("later", 10)
    };
    let early = Lot {
        expires_at: Some(at(5)),
        ..lot("early", 10)
    };
    vec![later, early]
}

fn taken(decided: &Decided) -> Vec<(&str, i64)> {
    let told = decided.plan.taken.iter();
    told.map(|a| (a.lot_id.as_str(), a.points)).collect()
}

#[test]
fn points_are_taken_from_lots_as_they_were_then() {
    let spent = |kind, points, day| {
        let row = row(kind, points, day);
        take(
            holding(20, 0),
            two_lots(),
            &BTreeMap::new(),
            &row,
            then(day),
        )
    };
    let early = spent(RowKind::Redeem, 10, 4).unwrap();
    assert_eq!(taken(&early), [("early", 10)]);
    assert_eq!(
        spent(RowKind::Redeem, 11, 4),
        Err(Refused::Insufficient { available: 10 })
    );
    let late = spent(RowKind::Redeem, 7, 6).unwrap();
    assert_eq!(taken(&late), [("later", 7)]);
    let expired = spent(RowKind::Expire, 12, 6).unwrap();
    assert_eq!(taken(&expired), [("early", 10), ("later", 2)]);
    let gone = expired.plan.changed.iter().map(|lot| lot.expired);
    assert_eq!(gone.sum::<i64>(), 12);
    assert_eq!(
        spent(RowKind::Adjust, -3, 6).unwrap().plan.changed[0].reversed,
        3
    );
}

#[test]
fn what_was_needed_since_cannot_be_taken() {
    // 10 points, of which 8 were held on day 2 and let go on day 3.
    let lots = [lot("a", 10)];
    let later = [("a".to_owned(), -8), ("a".to_owned(), 8)];
    assert_eq!(usable(&lots, &later), BTreeMap::from([("a".to_owned(), 2)]));
    assert_eq!(usable(&lots, &[]), BTreeMap::new());
    // It came later: nothing was there.
    let came = [("a".to_owned(), 10)];
    assert_eq!(usable(&lots, &came), BTreeMap::from([("a".to_owned(), 0)]));
}

#[test]
fn what_is_missing_is_taken_from_what_there_is_and_then_owed() {
    let forced = Row {
        force: true,
        ..row(RowKind::Redeem, 25, 4)
    };
    let when = When {
        at: at(4),
        settled_at: at(9),
    };
    let usable = BTreeMap::from([("early".to_owned(), 4), ("later".to_owned(), 0)]);
    let decided = take(holding(20, 0), two_lots(), &usable, &forced, when).unwrap();
    // 4 points then; 6 of that lot have expired since; 10 of the later lot; the rest is owed.
    assert_eq!(taken(&decided), [("early", 4), ("later", 10)]);
    assert_eq!(decided.plan.after, holding(0, 11));
    let expired = decided.plan.expiry.unwrap();
    assert_eq!(expired.points(), -6);
    assert_eq!(decided.effective, [at(4), at(9), at(9), at(4)]);
}

#[test]
fn a_lot_has_one_line_only() {
    let forced = Row {
        force: true,
        ..row(RowKind::Redeem, 9, 4)
    };
    let when = When {
        at: at(4),
        settled_at: at(9),
    };
    let usable = BTreeMap::from([("a".to_owned(), 4)]);
    let decided = take(holding(10, 0), vec![lot("a", 10)], &usable, &forced, when).unwrap();
    assert_eq!(taken(&decided), [("a", 9)]);
    assert_eq!(decided.effective, [at(9), at(4)]);
}

#[test]
fn rows_differ_by_the_fields_that_callers_know() {
    let one = row(RowKind::Earn, 5, 1);
    let other = Row {
        kind: RowKind::Adjust,
        points: 6,
        occurred_at: 0,
        recorded_at: Some(1),
        activates_at: Some(1),
        expires_at: Some(1),
        qualifies: false,
        force: true,
        reason: "r".to_owned(),
        reason_code: Some("R".to_owned()),
        approver: Some("a".to_owned()),
        actor: "a".to_owned(),
    };
    assert_eq!(one.differing(&one), Vec::<&str>::new());
    assert_eq!(one.differing(&other).len(), 12);
}

proptest! {
    /// A row that is the last of its ledger is decided as a call at that instant would have been.
    #[test]
    fn the_latest_row_is_decided_like_a_call(
        sizes in prop::collection::vec((1_i64..100, 0_i64..20), 1..8),
        points in 1_i64..300,
    ) {
        let lots: Vec<_> = sizes.iter().enumerate().map(|(n, (size, day))| Lot {
            expires_at: (*day > 0).then(|| at(*day)),
            ..lot(&n.to_string(), *size)
        }).collect();
        let total = sizes.iter().map(|(size, _)| size).sum();
        let row = row(RowKind::Redeem, points, 10);
        let imported = take(holding(total, 0), lots.clone(), &BTreeMap::new(), &row, then(10));
        let called = plan::redeem(holding(total, 0), lots, Points::parse(points).unwrap(), at(10));
        match (imported, called) {
            (Ok(imported), Ok(called)) => {
                prop_assert_eq!(imported.plan.taken, called.taken);
                prop_assert_eq!(imported.plan.posting, called.posting);
            }
            (imported, called) => prop_assert_eq!(imported.err(), called.err()),
        }
    }

    /// Whatever is forced: the lines add up, lots keep their equation, and nobody both owes and has points.
    #[test]
    fn a_forced_row_keeps_every_equation(
        sizes in prop::collection::vec((1_i64..100, 0_i64..20, 0_i64..12, 0_i64..100), 1..8),
        points in 1_i64..600,
        is_adjustment in any::<bool>(),
    ) {
        let lots: Vec<_> = sizes.iter().enumerate().map(|(n, (size, expires, activates, _))| Lot {
            activates_at: Some(at(*activates)),
            expires_at: (*expires > 0).then(|| at(*activates) + TimeDelta::days(*expires)),
            ..lot(&n.to_string(), *size)
        }).collect();
        let usable = sizes.iter().enumerate().map(|(n, (size, _, _, usable))| {
            (n.to_string(), *usable.min(size))
        }).collect();
        let (kind, points) = if is_adjustment {
            (RowKind::Adjust, -points)
        } else {
            (RowKind::Redeem, points)
        };
        let row = Row { force: true, ..row(kind, points, 5) };
        let total: i64 = sizes.iter().map(|(size, ..)| size).sum();
        let when = When { at: at(5), settled_at: at(15) };
        let Decided { plan, effective } = take(holding(total, 0), lots, &usable, &row, when).unwrap();
        prop_assert_eq!(plan.posting.entries.iter().map(|entry| entry.points).sum::<i64>(), 0);
        prop_assert_eq!(plan.posting.points(), -row.points.abs());
        prop_assert_eq!(effective.len(), plan.posting.entries.len());
        prop_assert!(plan.after.points == 0 || plan.after.debt == 0);
        for lot in &plan.changed {
            let parts = lot.remaining + lot.consumed + lot.expired + lot.reversed;
            prop_assert_eq!(lot.original, parts);
            prop_assert!(lot.remaining >= 0);
        }
    }
}
