use super::*;
use crate::domain::currency::Wallet;
use crate::domain::plan::fixtures::at;
use crate::domain::terms::Terms;

static FIRST: Wallet = Wallet::first();

fn lot(lot_id: &str, points: i64) -> Line<'_> {
    Line {
        account: Account::Member,
        lot_id: Some(lot_id),
        hold_id: None,
        points,
    }
}

fn held(lot_id: &str, points: i64) -> Line<'_> {
    Line {
        account: Account::Held,
        hold_id: Some("h"),
        ..lot(lot_id, points)
    }
}

fn other(account: Account, points: i64) -> Line<'static> {
    Line {
        account,
        lot_id: None,
        hold_id: None,
        points,
    }
}

fn fact<'a>(kind: Kind, posting_id: &'a str, lines: &'a [Line<'a>]) -> Fact<'a> {
    Fact {
        imported: None,
        terms: None,
        times_out_at: None,
        actor: None,
        kind,
        posting_id,
        revision: 1,
        wallet: &FIRST,
        reverses: None,
        reason: "",
        occurred_at: at(1),
        posted_at: at(1),
        lines,
    }
}

fn earned() -> Ledger {
    let mut ledger = Ledger::default();
    let lines = [other(Account::Issuance, -10), lot("a", 10)];
    ledger.apply(&fact(Kind::Earn, "p1", &lines)).unwrap();
    ledger
}

#[test]
fn a_reversal_is_split_over_what_is_left_expired_spent_and_owed() {
    let mut ledger = earned();
    let lines = [lot("a", -4), other(Account::Redeemed, 4)];
    ledger.apply(&fact(Kind::Redeem, "p2", &lines)).unwrap();
    let lines = [other(Account::Issuance, -3), lot("b", 3)];
    ledger.apply(&fact(Kind::Earn, "p3", &lines)).unwrap();
    let lines = [
        other(Account::Issuance, 10),
        lot("a", -6),
        lot("b", -3),
        other(Account::Debt, -1),
    ];
    let reversal = Fact {
        reverses: Some("p1"),
        ..fact(Kind::Reverse, "p4", &lines)
    };
    let moves = ledger.apply(&reversal).unwrap();
    let told: Vec<_> = moves
        .iter()
        .map(|told| (told.what, told.points, told.remaining))
        .collect();
    assert_eq!(
        told,
        [
            (What::TakenBack, 6, Some(0)),
            (What::Recovered, 3, Some(0)),
            (What::Owed, 1, None),
        ]
    );
    let a = &ledger.lots["a"];
    assert_eq!((a.consumed, a.reversed, a.qualifying), (4, 6, 0));
    assert_eq!((ledger.lots["b"].consumed, ledger.debt), (3, 1));
    let lines = [
        other(Account::Issuance, -5),
        lot("c", 5),
        lot("c", -1),
        other(Account::Debt, 1),
    ];
    let moves = ledger.apply(&fact(Kind::Earn, "p5", &lines)).unwrap();
    assert_eq!((moves[1].what, moves[1].remaining), (What::Repaid, Some(4)));
    assert_eq!(ledger.debt, 0);
}

#[test]
fn a_hold_is_closed_as_its_postings_say() {
    let close = |kind, occurred_at, lines: &[Line<'_>]| {
        let mut ledger = earned();
        let hold = [lot("a", -7), held("a", 7)];
        ledger.apply(&fact(Kind::Hold, "p2", &hold)).unwrap();
        assert_eq!(ledger.holds["h"].closed(at(9)), None);
        let closing = Fact {
            occurred_at,
            ..fact(kind, "p3", lines)
        };
        ledger.apply(&closing).unwrap();
        let pin = ledger.holds["h"].sum();
        assert_eq!((pin.points, pin.held()), (7, 0));
        ledger.holds["h"].closed(at(9)).unwrap().0
    };
    let captured = [held("a", -7), other(Account::Redeemed, 7)];
    assert_eq!(close(Kind::Capture, at(2), &captured), ["captured"]);
    let released = [held("a", -7), lot("a", 7)];
    assert_eq!(close(Kind::Release, at(2), &released), ["voided"]);
    assert_eq!(close(Kind::Release, at(9), &released), ["expired"]);
}

#[test]
fn what_cannot_follow_is_refused() {
    let impossible: [(Kind, &[Line<'_>]); 9] = [
        (Kind::Redeem, &[lot("a", -11)]),
        (Kind::Redeem, &[lot("nothing", -1)]),
        (Kind::Redeem, &[lot("a", 1)]),
        (Kind::Redeem, &[lot("new", 1)]),
        (Kind::Redeem, &[other(Account::Member, 1)]),
        (Kind::Capture, &[held("a", -1)]),
        (Kind::Refund, &[lot("a", 1)]),
        (Kind::Reverse, &[lot("a", -1)]),
        (Kind::Earn, &[other(Account::Debt, 1)]),
    ];
    for (kind, lines) in impossible {
        let refused = earned().apply(&fact(kind, "p2", lines));
        assert!(refused.is_err(), "{kind:?} {lines:?}: {refused:?}");
    }
}

#[test]
fn a_lot_is_what_the_posting_tells_of_it_where_it_tells() {
    assert_eq!(earned().lots["a"].terms, None);
    let terms = |day| Terms {
        earned_at: at(day),
        activates_at: None,
        expires_at: Some(at(day + 9)),
    };
    let lines = [
        other(Account::Clearing, -3),
        lot("x", 1),
        lot("y", 2),
        lot("x", -1),
        other(Account::Debt, 1),
    ];
    let told = [terms(1), terms(2)];
    let received = Fact {
        terms: Some(&told),
        ..fact(Kind::Transfer, "p1", &lines)
    };
    let mut ledger = Ledger::default();
    ledger.apply(&received).unwrap();
    for (lot_id, terms) in ["x", "y"].into_iter().zip(told) {
        let lot = &ledger.lots[lot_id];
        assert_eq!(
            (lot.terms, lot.earned_at),
            (Some(terms), Some(terms.earned_at))
        );
    }
    let too_few = Fact {
        terms: Some(&told[..1]),
        ..received
    };
    Ledger::default().apply(&too_few).unwrap_err();
}
