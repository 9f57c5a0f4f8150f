//! What is due for one member, posted in one transaction.

use std::sync::Arc;

use common::db::Tx;

use super::{Extent, Swept};
use crate::domain::expiry;
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::grpc::present;
use crate::ledger::holds::let_go_timed_out;
use crate::ledger::merges::Passing;
use crate::ledger::{Change, Origin, merges, write};
use crate::store::accounts::{AccountKey, MemberKey};
use crate::store::due::DueRow;
use crate::store::holds;
use crate::store::members::{Lock, Standing};
use crate::store::notices::{self, NoticeRow};
use crate::store::runs::MemberRow;
use crate::work::{Needs, Reach, Work};
use crate::{State, events};

/// Does one member; `None` where nothing is due any more.
pub async fn member(
    state: &State,
    tx: &mut Tx,
    (row, extent): (&DueRow, Extent),
    reach: Reach,
) -> Result<Option<MemberRow>, Error> {
    let program_id = ProgramId::parse(&row.program_id).map_err(common::Error::Internal)?;
    let program = state.programs.get(tx, &program_id).await?;
    let needs = reach.of(Needs::of(&row.customer_id), tx).await?;
    let mut work = Work::new(tx);
    work.read(&needs).await?;
    let Some(mut lock) = work.lock(&row.customer_id).await? else {
        return Ok(None);
    };
    let (swept, passing) = post(state, &mut work, &mut lock, &program).await?;
    if swept == Swept::default() {
        return Ok(None);
    }
    work.settle(&lock);
    work.flush().await?;
    let passing = passing.map(|passing| match extent {
        Extent::Made => passing,
        Extent::Told => passing.unmade(),
    });
    let passed_on = passing.map(|passing| present::kept_passed_on(&state.platform, &passing));
    Ok(Some(MemberRow {
        customer_id: row.customer_id.clone(),
        program_id: row.program_id.clone(),
        revision: Some(lock.revision),
        holds_expired: swept.holds_expired,
        points_expired: swept.points_expired,
        notices: swept.notices,
        passed_on: passed_on.unwrap_or_default(),
    }))
}

/// Posts all that is due for a member of whom the customer is locked.
async fn post(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    program: &Arc<Program>,
) -> Result<(Swept, Option<Passing>), Error> {
    let (customer_id, program_id) = (lock.customer_id.clone(), program.program_id.as_str());
    let standings = work.standings(&customer_id, program_id).await?;
    let open = standings
        .into_iter()
        .find(|standing| !standing.member.is_closed());
    let Some(standing) = open else {
        return Ok(<_>::default());
    };
    merges::lock_on(work, program, &customer_id).await?;
    let now = work.now();
    let before = owned(work, &standing, program).await?;
    let mut swept = Swept::default();
    if work.holds_any(&standing) {
        let of = MemberKey {
            wallet: None,
            ..standing.key().into()
        };
        let open = holds::list_open(work.tx(), of).await?;
        let timed_out = open.iter().filter(|stored| stored.hold.has_timed_out(now));
        swept.holds_expired = i64::try_from(timed_out.count()).expect("holds fit in memory");
    }
    let standing = let_go_timed_out(state, work, lock, program, standing).await?;
    for wallet in program.wallets() {
        let account = AccountKey {
            wallet: &wallet,
            ..standing.key()
        };
        let open = work.open_lots(account).await?;
        let standing = work.standing(account).await?;
        let standing = standing.expect("the member is locked");
        if let Some(plan) = expiry::write_off(standing.holding(), open, now) {
            let change = Change {
                program,
                standing,
                plan,
                origin: Origin::default(),
            };
            write::write(state, work, lock, change).await?;
        }
    }
    swept.points_expired = before - owned(work, &standing, program).await?;
    let passing = pass_on(state, work, lock, program).await?;
    swept.notices = tell(work, lock, program).await?;
    if swept != Swept::default() {
        swept.members = 1;
    }
    Ok((swept, passing))
}

/// What was let go of a member who was merged goes on to who stands for it.
async fn pass_on(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    program: &Arc<Program>,
) -> Result<Option<Passing>, Error> {
    let customer_id = lock.customer_id.clone();
    let standings = work.standings(&customer_id, program.program_id.as_str());
    if standings
        .await?
        .iter()
        .all(|standing| standing.member.survivor.is_none())
    {
        return Ok(None);
    }
    work.settle(lock);
    let steps = merges::pass_on(state, work, program, &customer_id).await?;
    if let Some(latest) = work.lock(&customer_id).await? {
        *lock = latest;
    }
    if steps.is_empty() {
        return Ok(None);
    }
    let passing = Passing::of(work, Arc::clone(program), (customer_id, steps)).await?;
    Ok(Some(passing))
}

/// What a member has in all currencies together. What was let go or repaid is still the member's or no longer owed.
async fn owned(work: &mut Work<'_>, standing: &Standing, program: &Program) -> Result<i64, Error> {
    let mut owned = 0;
    for wallet in program.wallets() {
        let account = AccountKey {
            wallet: &wallet,
            ..standing.key()
        };
        if let Some(standing) = work.standing(account).await? {
            let holding = standing.holding();
            owned += holding.points + holding.held - holding.debt;
        }
    }
    Ok(owned)
}

/// Tells the notices that a member's lots are due for; returns how many.
async fn tell(work: &mut Work<'_>, lock: &mut Lock, program: &Program) -> Result<i64, Error> {
    let days = &program.expiry_notice_days;
    if days.is_empty() {
        return Ok(0);
    }
    let now = work.now();
    let customer_id = lock.customer_id.clone();
    let mut told = 0;
    let program_id = program.program_id.as_str();
    let mut lots = Vec::new();
    for wallet in program.wallets() {
        let account = AccountKey {
            customer_id: &customer_id,
            program_id,
            wallet: &wallet,
        };
        lots.extend(work.open_lots(account).await?);
    }
    for lot in lots {
        let Some(expires_at) = lot.expires_at.filter(|_| lot.remaining > 0) else {
            continue;
        };
        let Some(days) = expiry::notice(days, expires_at, now) else {
            continue;
        };
        if notices::is_told(work.tx(), &customer_id, &lot.lot_id, (expires_at, days)).await? {
            continue;
        }
        let notice = NoticeRow {
            customer_id: customer_id.clone(),
            lot_id: lot.lot_id,
            expires_at,
            days,
            program_id: program.program_id.to_string(),
            revision: lock.next(),
            points: lot.remaining,
            told_at: now,
        };
        notices::insert(work.direct(), &notice).await?;
        events::points_expiring(work.tx(), &notice, program.code_of(&lot.wallet));
        told += 1;
    }
    Ok(told)
}
