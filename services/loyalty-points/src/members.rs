//! Members: enrolment by call and from the feed, and closing when the customer is deleted.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::page::PageRequest;

use crate::State;
use crate::domain::program::ProgramId;
use crate::error::Error;
use crate::events;
use crate::ledger::merges::FEED;
use crate::store::accounts;
use crate::store::members::{self, Lock, Member};
use crate::store::merges;
use crate::store::tiers::{self, TierChangeRow};

/// A request to enrol.
#[derive(Debug)]
pub struct Enroll {
    /// The program.
    pub program_id: ProgramId,
    /// The customer.
    pub customer_id: CustomerId,
    /// Token to wait for.
    pub at_least: String,
    /// Who asks for it; empty: the service itself.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// Enrols a customer who is known; returns the member and the customer's revision.
pub async fn enroll(state: &State, tx: &mut Tx, enroll: &Enroll) -> Result<(Member, i64), Error> {
    state.programs.get(tx, &enroll.program_id).await?;
    let lock = members::lock(tx, &[&enroll.customer_id]).await?.pop();
    let lock = lock.filter(|lock| !lock.deleted);
    let lock = lock.ok_or_else(|| Error::CustomerNotFound(enroll.customer_id.clone()))?;
    enroll_locked(state, tx, lock, enroll).await
}

/// The same of one who is locked and was not deleted, in a program that there is: the transaction's instant stays what
/// it is.
pub async fn enroll_locked(
    state: &State,
    tx: &mut Tx,
    mut lock: Lock,
    enroll: &Enroll,
) -> Result<(Member, i64), Error> {
    let Enroll {
        program_id,
        customer_id,
        ..
    } = enroll;
    let known = members::find(tx, customer_id, program_id.as_str()).await?;
    let member = if let Some(member) = known {
        member
    } else {
        let survivor = merges::find_survivor_everywhere(tx, customer_id, FEED).await?;
        if let Some(survivor) = survivor {
            return Err(Error::MemberMerged {
                customer_id: customer_id.clone(),
                survivor,
            });
        }
        insert(state, tx, &mut lock, enroll).await?
    };
    members::update_revisions(tx, &[(customer_id, lock.revision)]).await?;
    if member.is_closed() {
        return Err(Error::MemberClosed(customer_id.clone()));
    }
    Ok((member, lock.revision))
}

/// Makes a new customer known and a member of the default program. One who is known was enrolled then, and
/// may have been deleted since.
pub async fn customer_created(
    state: &State,
    tx: &mut Tx,
    customer_id: &CustomerId,
) -> Result<(), Error> {
    if !members::insert_customer(tx, customer_id).await? {
        return Ok(());
    }
    let enroll_default = Enroll {
        program_id: ProgramId::default_program(),
        customer_id: customer_id.clone(),
        at_least: String::new(),
        actor: String::new(),
        reason: String::new(),
    };
    enroll(state, tx, &enroll_default).await.map(drop)
}

/// Closes the memberships of a deleted customer.
pub async fn customer_deleted(tx: &mut Tx, customer_id: &CustomerId) -> Result<(), Error> {
    let Some(mut lock) = members::lock(tx, &[customer_id]).await?.pop() else {
        return Ok(());
    };
    let now = tx.now();
    for member in members::close(tx, customer_id, now).await? {
        events::member_closed(tx, lock.next(), &member);
    }
    Ok(members::update_revisions(tx, &[(customer_id, lock.revision)]).await?)
}

/// The member, or why there is none.
pub async fn get(
    state: &State,
    db: &mut impl Access,
    program_id: &ProgramId,
    customer_id: &CustomerId,
) -> Result<Member, Error> {
    state.programs.get(db, program_id).await?;
    let member = members::find(db, customer_id, program_id.as_str()).await?;
    member.ok_or_else(|| Error::MemberNotFound {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
    })
}

/// A page of a program's members by customer, and the token of the next one.
pub async fn list(
    state: &State,
    program_id: &ProgramId,
    page: &PageRequest,
) -> Result<(Vec<Member>, String), Error> {
    let mut db = state.platform.snapshot().await?;
    state.programs.get(&mut db, program_id).await?;
    let after: String = page.after().unwrap_or_default();
    let mut rows = members::list(&mut db, program_id.as_str(), &after, page.size + 1).await?;
    let next = page.cut(&mut rows, |row| row.customer_id.to_string());
    Ok((rows, next))
}

async fn insert(
    state: &State,
    tx: &mut Tx,
    lock: &mut Lock,
    enroll: &Enroll,
) -> Result<Member, Error> {
    let program_id = &enroll.program_id;
    let program = state.programs.current(tx, program_id).await?;
    let version = program.policy_at(tx.now());
    let tier = &version.policy.lowest().name;
    let member = Member {
        customer_id: lock.customer_id.clone(),
        program_id: program_id.to_string(),
        state: members::ACTIVE.to_owned(),
        enrolled_at: tx.now(),
        merged_into: None,
        survivor: None,
    };
    members::insert(tx, &member, tier, version.version).await?;
    accounts::open(tx, &member.customer_id, &member.program_id).await?;
    let change = TierChangeRow {
        customer_id: member.customer_id.clone(),
        revision: lock.next(),
        program_id: member.program_id.clone(),
        from_tier: String::new(),
        to_tier: tier.clone(),
        reason: "enrolled".to_owned(),
        points: 0,
        changed_at: member.enrolled_at,
        actor: enroll.actor.clone(),
        remark: enroll.reason.clone(),
        policy_version: version.version,
    };
    tiers::insert(tx, &change).await?;
    events::member_enrolled(tx, change.revision, &member, tier);
    Ok(member)
}
