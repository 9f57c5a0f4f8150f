//! What goes from one ledger to another one as members are merged and parted: the lines of it, and how it is told.

use api::loyalty::v1 as pb;
use pb::{LedgerAccount as Account, LotState};

use super::Micros;
use super::member::{Lot, Member, of_lot, on};

/// What lots are called that nobody tells of.
pub const NAMELESS: &str = "~ from ";

pub fn is_nameless(lot_id: &str) -> bool {
    lot_id.starts_with(NAMELESS)
}

/// What leaves one ledger for another one, as the one that it leaves has it.
pub fn crossing(lots: &[Lot], debt: i64) -> Vec<pb::LedgerEntry> {
    let points: i64 = lots.iter().map(|lot| lot.remaining).sum();
    let entries = [
        on(Account::Debt, debt),
        on(Account::Clearing, points - debt),
    ];
    let entries = entries.into_iter();
    entries.filter(|entry| entry.points != 0).collect()
}

/// The same, as the one that it arrives in has it.
pub fn arriving(lots: &[Lot], debt: i64) -> Vec<pb::LedgerEntry> {
    let mut entries = crossing(lots, debt);
    for entry in &mut entries {
        entry.points = -entry.points;
    }
    entries
}

/// All that is left of lots leaves them.
pub fn leave(account: &mut Member, lots: &[Lot]) -> Vec<pb::LedgerEntry> {
    let mut entries = Vec::new();
    for Lot { id, .. } in lots {
        let lot = account.lot(id);
        let points = std::mem::take(&mut lot.remaining);
        lot.consumed += points;
        entries.push(of_lot(id, -points));
    }
    entries
}

/// What is owed is repaid, first from what can be spent.
pub fn repay(account: &mut Member, now: Micros) -> Vec<pb::LotAllocation> {
    let mut all = Vec::new();
    for state in [LotState::Active, LotState::Pending] {
        let repaid = account.take(account.debt, state, now);
        account.debt -= repaid.iter().map(|taken| taken.points).sum::<i64>();
        all.extend(repaid);
    }
    all
}

pub fn paying(repaid: &[pb::LotAllocation]) -> Vec<pb::LedgerEntry> {
    let lines =
        |it: &pb::LotAllocation| [of_lot(&it.lot_id, -it.points), on(Account::Debt, it.points)];
    repaid.iter().flat_map(lines).collect()
}

pub fn moved_points(currency: &str, debt: i64, mut lots: Vec<pb::MovedLot>) -> pb::MovedPoints {
    lots.sort_by(|a, b| a.from_lot_id.cmp(&b.from_lot_id));
    pb::MovedPoints {
        points_currency: currency.to_owned(),
        points: lots.iter().map(|lot| lot.points).sum(),
        debt,
        lots,
    }
}

/// Without the names that nobody told.
pub fn shown(moved: &[pb::MovedPoints]) -> Vec<pb::MovedPoints> {
    let mut moved = moved.to_vec();
    for lot in moved.iter_mut().flat_map(|moved| &mut moved.lots) {
        for name in [&mut lot.from_lot_id, &mut lot.lot_id] {
            if is_nameless(name) {
                name.clear();
            }
        }
    }
    moved
}

pub fn tidy(accounts: &mut [Member], now: Micros) {
    for account in accounts {
        account.notice(now);
        account.write_off(now, now, |_| true);
    }
}
