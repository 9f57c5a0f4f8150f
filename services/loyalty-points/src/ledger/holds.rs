//! Holds: authorise, capture, void, and let go those that have timed out.

use std::sync::Arc;

use chrono::TimeDelta;
use common::page::PageRequest;

use super::account::open_begun;
use super::merges::Passing;
use super::reads::{InCurrency, Of, Page};
use super::{Account, Change, Origin, Posted, balance, commit, merges, open, turn_to, write};
use crate::domain::Points;
use crate::domain::decision::Decision;
use crate::domain::holds::{self, Authorize, Ending, Hold, State as HoldState};
use crate::domain::program::Program;
use crate::error::Error;
use crate::store::accounts::{AccountKey, MemberKey};
use crate::store::holds::{self as store, StoredHold};
use crate::store::members::{Lock, Standing};
use crate::work::Work;
use crate::{State, events};

/// A request to hold.
#[derive(Debug, Clone)]
pub struct AuthorizeHold {
    /// Whose.
    pub account: Account,
    /// How many.
    pub points: Points,
    /// For how long.
    pub timeout: TimeDelta,
    /// Why.
    pub reason: String,
}

/// A request to spend what is held.
#[derive(Debug, Clone)]
pub struct CaptureHold {
    /// Whose.
    pub account: Account,
    /// The hold.
    pub hold_id: String,
    /// How many.
    pub points: Points,
    /// Whether the rest is let go.
    pub is_final: bool,
    /// Why.
    pub reason: String,
}

/// A request to let go what is held.
#[derive(Debug, Clone)]
pub struct VoidHold {
    /// Whose.
    pub account: Account,
    /// The hold.
    pub hold_id: String,
    /// Why.
    pub reason: String,
}

/// A hold that was changed for a caller.
#[derive(Debug)]
pub struct Held {
    /// The hold afterwards.
    pub hold: StoredHold,
    /// The posting of the change.
    pub posted: Posted,
    /// What went on of what was let go, where its member was merged.
    pub passing: Option<Passing>,
}

/// Pins points.
pub async fn authorize(
    state: &State,
    work: &mut Work<'_>,
    authorize: AuthorizeHold,
) -> Result<Held, Error> {
    let (program, mut lock, standing) = open(state, work, &authorize.account).await?;
    let lots = work.open_lots(standing.key()).await?;
    let actor = authorize.account.actor;
    let new = Authorize {
        hold_id: state.platform.ids.uuid(),
        points: authorize.points,
        timeout: authorize.timeout,
    };
    let (plan, hold) = holds::authorize(standing.holding(), lots, new, work.now())?;
    let hold = StoredHold {
        customer_id: standing.member.customer_id.clone(),
        program_id: standing.member.program_id.clone(),
        wallet: standing.wallet().clone(),
        revision: 0,
        reason: authorize.reason.clone(),
        actor: actor.clone(),
        hold,
    };
    let expires_at = hold.hold.expires_at.micros();
    let origin = Origin {
        reason: authorize.reason,
        actor,
        decision: Some(Decision::Hold { expires_at }),
        ..Origin::default()
    };
    let change = Change {
        program: &program,
        standing,
        plan,
        origin,
    };
    let mut posted = commit(state, work, &mut lock, change).await?;
    let hold = StoredHold {
        revision: posted.written.posting.revision,
        ..hold
    };
    store::insert(work.direct(), &hold).await?;
    posted.written.revision = announce(work, &mut lock, &hold, &posted.currency);
    Ok(Held {
        hold,
        posted,
        passing: None,
    })
}

/// Spends held points; a final capture lets the rest go.
pub async fn capture(
    state: &State,
    work: &mut Work<'_>,
    capture: CaptureHold,
) -> Result<Held, Error> {
    let (program, mut lock, mut standing) = open_begun(state, work, &capture.account).await?;
    let mut stored = get(work, &capture.account, capture.hold_id).await?;
    turn_to(work, &mut standing, &stored.wallet).await?;
    let lots = work.open_lots(stored.account()).await?;
    let now = work.now();
    let (plan, hold) = holds::capture(standing.holding(), lots, stored.hold, capture.points, now)?;
    stored.hold = hold;
    let origin = Origin {
        reason: capture.reason.clone(),
        actor: capture.account.actor.clone(),
        ..Origin::default()
    };
    let change = Change {
        program: &program,
        standing,
        plan,
        origin,
    };
    let mut posted = commit(state, work, &mut lock, change).await?;
    if capture.is_final && stored.hold.state == HoldState::Authorized {
        let ending = Ending {
            state: HoldState::Captured,
            at: now,
        };
        let standing = read(work, stored.account()).await?;
        let rest = Release {
            ending,
            reason: capture.reason,
            actor: capture.account.actor,
        };
        let release = release(work, &program, standing, &mut stored, rest).await?;
        posted.balance = commit(state, work, &mut lock, release).await?.balance;
    }
    store::update(work.direct(), &stored.customer_id, &stored.hold).await?;
    posted.written.revision = announce(work, &mut lock, &stored, &posted.currency);
    let passing = pass_on(state, work, program, &mut posted).await?;
    Ok(Held {
        hold: stored,
        posted,
        passing,
    })
}

/// Lets go what is held.
pub async fn void(state: &State, work: &mut Work<'_>, void: VoidHold) -> Result<Held, Error> {
    let (program, mut lock, mut standing) = open_begun(state, work, &void.account).await?;
    let mut stored = get(work, &void.account, void.hold_id).await?;
    turn_to(work, &mut standing, &stored.wallet).await?;
    let at = work.now();
    stored.hold.check_open(at)?;
    let ending = Ending {
        state: HoldState::Voided,
        at,
    };
    let all = Release {
        ending,
        reason: void.reason,
        actor: void.account.actor,
    };
    let change = release(work, &program, standing, &mut stored, all).await?;
    let mut posted = commit(state, work, &mut lock, change).await?;
    store::update(work.direct(), &stored.customer_id, &stored.hold).await?;
    posted.written.revision = announce(work, &mut lock, &stored, &posted.currency);
    let passing = pass_on(state, work, program, &mut posted).await?;
    Ok(Held {
        hold: stored,
        posted,
        passing,
    })
}

/// What a hold lets go of a member who was merged goes on to who stands for it.
async fn pass_on(
    state: &State,
    work: &mut Work<'_>,
    program: Arc<Program>,
    posted: &mut Posted,
) -> Result<Option<Passing>, Error> {
    let customer_id = posted.written.posting.customer_id.clone();
    let steps = merges::pass_on(state, work, &program, &customer_id).await?;
    posted.balance = balance(work, posted.written.posting.account()).await?;
    let lock = work.lock(&customer_id).await?;
    posted.written.revision = lock.map_or(posted.written.revision, |lock| lock.revision);
    if steps.is_empty() {
        return Ok(None);
    }
    let passing = Passing::of(work, program, (customer_id, steps)).await?;
    Ok(Some(passing))
}

/// Lets go the holds that have timed out, in every currency, each as of when it did, so that postings tell the same
/// whenever they are made. Any decision about the member comes after this; returns what it is to be decided on.
pub(super) async fn let_go_timed_out(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    program: &Program,
    standing: Standing,
) -> Result<Standing, Error> {
    if !work.holds_any(&standing) {
        return Ok(standing);
    }
    let now = work.now();
    let customer_id = standing.member.customer_id.clone();
    let of = MemberKey {
        wallet: None,
        ..standing.key().into()
    };
    for mut stored in store::list_open(work.tx(), of).await? {
        if !stored.hold.has_timed_out(now) {
            continue;
        }
        let standing = read(work, stored.account()).await?;
        let ending = Ending {
            state: HoldState::Expired,
            at: stored.hold.expires_at,
        };
        let all = Release {
            ending,
            reason: "hold timed out".to_owned(),
            actor: None,
        };
        let change = release(work, program, standing, &mut stored, all).await?;
        write::write(state, work, lock, change).await?;
        store::update(work.direct(), &customer_id, &stored.hold).await?;
        let currency = program.code_of(&stored.wallet);
        events::hold_changed(work.tx(), lock.next(), &stored, currency);
    }
    read(work, standing.key()).await
}

/// A hold as it is now.
pub async fn find(state: &State, of: &Of, hold_id: &str) -> Result<InCurrency<StoredHold>, Error> {
    let mut db = state.platform.snapshot().await?;
    let (program, _) = of.accounts(state, &mut db).await?;
    let program_id = of.program_id.as_str();
    let found = store::find(&mut db, &of.customer_id, program_id, hold_id).await?;
    let found = found.ok_or_else(|| Error::HoldNotFound(hold_id.to_owned()))?;
    let currency = program.code_of(&found.wallet).to_owned();
    Ok((at(found, state), currency))
}

/// A page of holds, the latest first.
pub async fn list(state: &State, of: &Of, page: &PageRequest) -> Result<Page<StoredHold>, Error> {
    let mut db = state.platform.snapshot().await?;
    let (program, wallet) = of.accounts(state, &mut db).await?;
    let before: i64 = page.after().unwrap_or(i64::MAX);
    let keys = of.keys(wallet.as_ref());
    let mut rows = store::list(&mut db, keys, before, page.size + 1).await?;
    let next_token = page.cut(&mut rows, |row| row.revision);
    Ok(Page {
        program,
        items: rows.into_iter().map(|row| at(row, state)).collect(),
        next_token,
    })
}

fn at(stored: StoredHold, state: &State) -> StoredHold {
    StoredHold {
        hold: stored.hold.at(state.platform.now()),
        ..stored
    }
}

struct Release {
    ending: Ending,
    reason: String,
    actor: Option<String>,
}

/// Decides to let a hold go, which is changed to what it is afterwards.
async fn release<'a>(
    work: &mut Work<'_>,
    program: &'a Program,
    standing: Standing,
    stored: &mut StoredHold,
    release: Release,
) -> Result<Change<'a>, Error> {
    let lots = work.open_lots(stored.account()).await?;
    let hold: Hold = stored.hold.clone();
    let (plan, hold) = holds::release(standing.holding(), lots, hold, release.ending);
    stored.hold = hold;
    let origin = Origin {
        reason: release.reason,
        actor: release.actor,
        ..Origin::default()
    };
    Ok(Change {
        program,
        standing,
        plan,
        origin,
    })
}

async fn get(work: &mut Work<'_>, account: &Account, hold_id: String) -> Result<StoredHold, Error> {
    let Account {
        program_id,
        customer_id,
        ..
    } = account;
    let found = store::find(work.tx(), customer_id, program_id.as_str(), &hold_id).await?;
    found.ok_or(Error::HoldNotFound(hold_id))
}

/// The member as the postings so far have left it.
async fn read(work: &mut Work<'_>, account: AccountKey<'_>) -> Result<Standing, Error> {
    let read = work.standing(account).await?;
    Ok(read.expect("the member is locked"))
}

/// Announces a changed hold; returns the customer's revision with that.
fn announce(work: &mut Work<'_>, lock: &mut Lock, stored: &StoredHold, currency: &str) -> i64 {
    events::hold_changed(work.tx(), lock.next(), stored, currency);
    work.settle(lock);
    lock.revision
}
