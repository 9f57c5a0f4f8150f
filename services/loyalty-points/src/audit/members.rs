//! Compares what is stored of members' accounts and lots with what the entries add up to.

use super::divergence::{Kind, Stop, Where, diverged};
use super::verify::Replay;
use crate::store::replay::{self, LotSums, MemberSums, Members};
use crate::store::seals;

/// Members replayed in one read.
const MEMBERS_AT_ONCE: i64 = 500;

impl Replay {
    /// Replays members and their lots.
    pub(super) async fn members(&mut self) -> Result<(), Stop> {
        let mut after = (String::new(), String::new());
        loop {
            let mut db = self.platform.reader().await?;
            let page = Members {
                after: (&after.0, &after.1),
                limit: MEMBERS_AT_ONCE,
            };
            // Lots first: they tell more than the sum of them.
            if let Some(lot) = replay::find_lot_astray(&mut db, page).await? {
                return Err(lot_astray(lot));
            }
            let members = replay::list_members(&mut db, page).await?;
            drop(db);
            let Some(last) = members.last() else {
                return Ok(());
            };
            after = (last.customer_id.clone(), last.program_id.clone());
            let mut told: Vec<_> = members.iter().map(MemberSums::member).collect();
            told.dedup();
            self.verified.members += seals::signed(told.len() as u64);
            for member in members {
                balanced(member)?;
            }
            self.tell().await?;
        }
    }
}

fn lot_astray(lot: LotSums) -> Stop {
    let description = format!(
        "original {}, remaining {}, held {} are stored; posted were {}, {}, {}",
        lot.original,
        lot.remaining,
        lot.held,
        lot.original_posted,
        lot.remaining_posted,
        lot.held_posted
    );
    let at = Where {
        customer_id: lot.customer_id,
        program_id: lot.program_id,
        lot_id: lot.lot_id,
        wallet: lot.wallet,
        ..Where::default()
    };
    diverged(Kind::Lot, at, description)
}

fn balanced(member: MemberSums) -> Result<(), Stop> {
    let stored = (member.points, member.held, member.debt);
    let posted = (member.points_posted, member.held_posted, member.debt_posted);
    let is_passed_on = !member.merged || (member.points == 0 && member.debt == 0);
    let description = if stored != posted {
        format!("(points, held, debt) {stored:?} are stored, {posted:?} were posted")
    } else if !is_passed_on {
        format!("(points, held, debt) {stored:?} are of a member who was merged")
    } else {
        return Ok(());
    };
    let at = Where {
        customer_id: member.customer_id,
        program_id: member.program_id,
        wallet: Some(member.wallet),
        ..Where::default()
    };
    Err(diverged(Kind::Balance, at, description))
}
