//! Merges: a member taken in by another one who stands for both, and undoing that.
//!
//! A merged member is passed through: whatever is posted to it goes on, in the same transaction, to the member that it
//! was merged into, and from there to the end of the chain. What was earned stays where it was earned and counts for
//! the tier of who stands for it; so nothing of a member's history moves, and an unmerge finds it as it was.
//!
//! Invariant: a merged member has nothing left and owes nothing; only what open holds pin is still there.

mod feed;
mod give_back;
mod owners;
mod parts;
mod pass;
mod passing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use common::ids::CustomerId;

use super::holds::let_go_timed_out;
use super::{Account, Change, Origin, balance, write};
use crate::State;
use crate::domain::balance::Balance;
use crate::domain::currency::Wallet;
use crate::domain::expiry;
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::events;
use crate::grpc::present;
use crate::store::accounts::AccountKey;
use crate::store::members::{Lock, Standing};
use crate::store::merges::{self, MergeRow};
use crate::tiers::{self, Cause};
use crate::work::{Needs, Work};

pub use feed::{Announced, FEED, announced, announced_undone};
pub use give_back::{Unmerged, recall, unmerge};
pub(super) use owners::{earners_of, lots_of_same_earning, owner_of};
pub use pass::{pass_on, pass_on_earned};
pub use passing::{Passed, Passing};

/// Members to merge.
#[derive(Debug, Clone)]
pub struct MergeMembers {
    /// The program.
    pub program_id: ProgramId,
    /// Who will stand for both.
    pub survivor: CustomerId,
    /// Who is taken in; another customer.
    pub absorbed: CustomerId,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Token to wait for.
    pub at_least: String,
}

/// A merge to undo.
#[derive(Debug, Clone)]
pub struct UnmergeMembers {
    /// The program.
    pub program_id: ProgramId,
    /// Which.
    pub merge_id: String,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Token to wait for.
    pub at_least: String,
}

/// What merges moved, or gave back, in each currency that anything was moved in.
pub type Amounts = BTreeMap<Wallet, Moved>;

/// What was moved in one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Points.
    pub points: i64,
    /// Debt.
    pub debt: i64,
    /// The points lot by lot.
    pub lots: Vec<MovedLot>,
}

/// Points that went from lot to lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedLot {
    /// The lot that they left.
    pub from_lot_id: String,
    /// The lot that they went into.
    pub lot_id: String,
    /// Whether that was made for it.
    pub is_new: bool,
    /// How many points.
    pub points: i64,
    /// The posting that received them.
    pub posting_id: String,
}

/// Takes out of what was moved, first things first, what a dry run only would have made.
pub fn unmade<'a>(all: impl IntoIterator<Item = &'a mut Amounts>) {
    let mut made = BTreeSet::new();
    for lot in all.into_iter().flat_map(lots_of) {
        unname(lot, &mut made);
        lot.posting_id.clear();
    }
}

/// The same of a merge that would be undone: of what went over before only what goes along last is not there.
pub fn not_parted(unmerged: &mut Unmerged) {
    let mut made = BTreeSet::new();
    for lot in lots_of(&mut unmerged.moved) {
        if lot.is_new {
            lot.posting_id.clear();
        }
        unname(lot, &mut made);
    }
    let before = unmerged.before.iter_mut().map(|step| &mut step.moved);
    let afterwards = unmerged.afterwards.iter_mut().map(|step| &mut step.moved);
    for moved in before.chain([&mut unmerged.returned]).chain(afterwards) {
        for lot in lots_of(moved) {
            unname(lot, &mut made);
            lot.posting_id.clear();
        }
    }
}

fn lots_of(amounts: &mut Amounts) -> impl Iterator<Item = &mut MovedLot> {
    amounts.values_mut().flat_map(|moved| &mut moved.lots)
}

/// Takes out the names of lots that are new, or were made before.
fn unname(lot: &mut MovedLot, made: &mut BTreeSet<String>) {
    if made.contains(&lot.from_lot_id) {
        lot.from_lot_id.clear();
    }
    if lot.is_new {
        made.insert(std::mem::take(&mut lot.lot_id));
    }
}

/// Members that were merged.
#[derive(Debug)]
pub struct Merged {
    /// The merge.
    pub merge: MergeRow,
    /// The program.
    pub program: Arc<Program>,
    /// What went to the survivor.
    pub moved: Amounts,
    /// The survivor.
    pub survivor: After,
    /// The other one.
    pub absorbed: After,
}

/// A member after a merge or unmerge.
#[derive(Debug)]
pub struct After {
    /// The customer's revision.
    pub revision: i64,
    /// What the member has in each currency, the first one first.
    pub balances: Vec<(String, Balance)>,
}

/// Merges two members for a caller.
pub async fn merge(
    state: &State,
    work: &mut Work<'_>,
    request: MergeMembers,
) -> Result<Merged, Error> {
    let MergeMembers {
        program_id,
        survivor,
        absorbed,
        actor,
        reason,
        ..
    } = request;
    let program = state.programs.get(work.tx(), &program_id).await?;
    for customer_id in [&survivor, &absorbed] {
        let standing = find(work, &program, customer_id).await?;
        check_open(&standing)?;
        check_stands(&standing)?;
    }
    let merge = MergeRow {
        program_id: program.program_id.to_string(),
        merge_id: state.platform.ids.uuid(),
        survivor,
        absorbed,
        actor,
        reason,
        merged_at: work.now(),
        unmerged_at: None,
        unmerge_actor: None,
        unmerge_reason: None,
    };
    Box::pin(absorb(state, work, &program, merge)).await
}

/// Takes a member in. Both are members, and the absorbed one stands for itself.
async fn absorb(
    state: &State,
    work: &mut Work<'_>,
    program: &Arc<Program>,
    merge: MergeRow,
) -> Result<Merged, Error> {
    let (survivor, absorbed) = (&merge.survivor, &merge.absorbed);
    let needs = Needs {
        customers: vec![survivor.clone(), absorbed.clone()],
        sources: Vec::new(),
    };
    work.read(&needs).await?;
    lock_on(work, program, survivor).await?;
    let taking_in = find(work, program, survivor).await?;
    let root = taking_in
        .member
        .survivor
        .unwrap_or_else(|| survivor.clone());
    if root == *absorbed {
        return Err(Error::MemberMerged {
            customer_id: survivor.clone(),
            survivor: root,
        });
    }
    // Decided while it still stands for itself.
    let standing = find(work, program, absorbed).await?;
    let mut lock = lock_of(work, absorbed).await?;
    tidy(state, work, &mut lock, program, standing).await?;
    work.forget(absorbed).await?;
    work.forget(survivor).await?;
    merges::insert(work.direct(), &merge).await?;
    merges::join(work.direct(), &merge, &root).await?;
    work.forget_persons().await?;
    let passed = pass_on_earned(state, work, program, absorbed, Cause::Usual).await?;
    let moved = passed.into_iter().find(|step| step.from == *absorbed);
    let moved = moved.map_or_else(Amounts::new, |step| step.moved);
    for customer_id in [absorbed, survivor] {
        let mut lock = lock_of(work, customer_id).await?;
        let at = (customer_id, lock.next());
        events::member_merged(work.tx(), at, &merge, present::moved(program, &moved));
        work.settle(&lock);
    }
    Ok(Merged {
        program: Arc::clone(program),
        moved,
        survivor: after(work, program, survivor).await?,
        absorbed: after(work, program, absorbed).await?,
        merge,
    })
}

async fn after(
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
) -> Result<After, Error> {
    let mut balances = Vec::new();
    for wallet in program.wallets() {
        let currency = program.code_of(&wallet).to_owned();
        let key = key(program, customer_id, &wallet);
        balances.push((currency, balance(work, key).await?));
    }
    Ok(After {
        revision: lock_of(work, customer_id).await?.revision,
        balances,
    })
}

/// Refuses a member whose customer was deleted.
fn check_open(standing: &Standing) -> Result<(), Error> {
    if standing.member.is_closed() {
        return Err(Error::MemberClosed(standing.member.customer_id.clone()));
    }
    Ok(())
}

/// Refuses a member for whom another one stands.
pub fn check_stands(standing: &Standing) -> Result<(), Error> {
    match &standing.member.survivor {
        None => Ok(()),
        Some(survivor) => Err(Error::MemberMerged {
            customer_id: standing.member.customer_id.clone(),
            survivor: survivor.clone(),
        }),
    }
}

/// Lets go what has timed out and writes off what has expired.
async fn tidy(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    program: &Program,
    mut standing: Standing,
) -> Result<(), Error> {
    if !standing.member.is_closed() {
        tiers::follow(state, work, lock, &mut standing).await?;
    }
    let standing = let_go_timed_out(state, work, lock, program, standing).await?;
    let customer_id = standing.member.customer_id.clone();
    for wallet in program.wallets() {
        let standing = find_account(work, program, &customer_id, &wallet).await?;
        let open = work.open_lots(standing.key()).await?;
        if let Some(plan) = expiry::write_off(standing.holding(), open, work.now()) {
            let origin = Origin::default();
            let change = Change {
                program,
                standing,
                plan,
                origin,
            };
            write::write(state, work, lock, change).await?;
        }
    }
    work.settle(lock);
    Ok(())
}

fn key<'a>(
    program: &'a Program,
    customer_id: &'a CustomerId,
    wallet: &'a Wallet,
) -> AccountKey<'a> {
    AccountKey {
        customer_id,
        program_id: program.program_id.as_str(),
        wallet,
    }
}

/// A member as it is noted, turned to an account.
async fn find_account(
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
    wallet: &Wallet,
) -> Result<Standing, Error> {
    find(work, program, customer_id).await?;
    let found = work.standing(key(program, customer_id, wallet)).await?;
    Ok(found.expect("the member was just found"))
}

/// A member as it is noted. The customer gets locked.
async fn find(
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
) -> Result<Standing, Error> {
    let not_found = || {
        let account = Account {
            program_id: program.program_id.clone(),
            customer_id: customer_id.clone(),
            currency: None,
            at_least: String::new(),
            actor: None,
        };
        account.not_found()
    };
    if work.lock(customer_id).await?.is_none() {
        return Err(not_found());
    }
    let standings = work.standings(customer_id, program.program_id.as_str());
    standings.await?.into_iter().next().ok_or_else(not_found)
}

/// Locks whoever the points of a member go on to. Time may go on until they are locked, and what is decided then goes on
/// at the same instant.
pub async fn lock_on(
    work: &mut Work<'_>,
    program: &Program,
    customer_id: &CustomerId,
) -> Result<(), Error> {
    let mut at = customer_id.clone();
    while let Some(next) = find(work, program, &at).await?.member.merged_into {
        at = next;
    }
    Ok(())
}

/// The lock of a customer who is known.
pub(super) async fn lock_of(work: &mut Work<'_>, customer_id: &CustomerId) -> Result<Lock, Error> {
    let lock = work.lock(customer_id).await?;
    lock.ok_or_else(|| Error::CustomerNotFound(customer_id.clone()))
}

async fn program_of(
    state: &State,
    work: &mut Work<'_>,
    standing: &Standing,
) -> Result<Arc<Program>, Error> {
    let program_id = ProgramId::parse(&standing.member.program_id);
    let program_id = program_id.map_err(common::Error::Internal)?;
    state.programs.get(work.tx(), &program_id).await
}
