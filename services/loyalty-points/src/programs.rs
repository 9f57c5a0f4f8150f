//! Programs: created once, then kept in memory, since they never change.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use common::db::{Access, Tx};
use common::page::PageRequest;
use common::time::Timestamp;

use crate::State;
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::ledger::reads::{self, Of};
use crate::store::{self, summary};

/// The programs read so far.
#[derive(Debug, Clone, Default)]
pub struct Programs(Arc<RwLock<HashMap<ProgramId, Arc<Program>>>>);

impl Programs {
    /// A program, from memory or else from the database.
    pub async fn get(
        &self,
        db: &mut impl Access,
        program_id: &ProgramId,
    ) -> Result<Arc<Program>, Error> {
        if let Some(program) = self.known(program_id) {
            return Ok(program);
        }
        let program = store::programs::find(db, program_id).await?;
        let program = program.ok_or_else(|| Error::ProgramNotFound(program_id.clone()))?;
        let program = Arc::new(program);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(program_id.clone(), Arc::clone(&program));
        Ok(program)
    }

    /// A program that was read before.
    pub fn known(&self, program_id: &ProgramId) -> Option<Arc<Program>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(program_id)
            .cloned()
    }
}

/// Creates a program.
pub async fn create(tx: &mut Tx, program: Program) -> Result<Program, Error> {
    if !store::programs::insert(tx, &program).await? {
        return Err(Error::ProgramAlreadyExists(program.program_id));
    }
    Ok(program)
}

/// A page of programs by id, and the token of the next one.
pub async fn list(state: &State, page: &PageRequest) -> Result<(Vec<Arc<Program>>, String), Error> {
    let mut db = state.platform.snapshot().await?;
    let after: String = page.after().unwrap_or_default();
    let mut ids = store::programs::list_ids(&mut db, &after, page.size + 1).await?;
    let next = page.cut(&mut ids, Clone::clone);
    let mut programs = Vec::with_capacity(ids.len());
    for id in ids {
        let id = ProgramId::parse(&id).map_err(common::Error::Internal)?;
        programs.push(state.programs.get(&mut db, &id).await?);
    }
    Ok((programs, next))
}

/// A program, added up.
#[derive(Debug)]
pub struct Summary {
    /// The program.
    pub program_id: ProgramId,
    /// The instant.
    pub as_of: Timestamp,
    /// What members hold.
    pub held: summary::Held,
    /// What members owe.
    pub debt: i64,
    /// Members by tier.
    pub tiers: Vec<summary::TierCount>,
}

/// Adds a program up in one snapshot, as it is now or was at another instant.
pub async fn summarise(
    state: &State,
    program_id: ProgramId,
    as_of: Option<Timestamp>,
) -> Result<Summary, Error> {
    let mut db = state.platform.snapshot().await?;
    state.programs.get(&mut db, &program_id).await?;
    let id = program_id.as_str();
    let now = state.platform.now();
    let (mut held, mut debt, unsettled) = if let Some(as_of) = as_of {
        let held = summary::get_held_at(&mut db, id, as_of).await?;
        let debt = summary::get_debt_at(&mut db, id, as_of).await?;
        let unsettled = summary::list_unsettled_at(&mut db, id, as_of).await?;
        (held, debt, unsettled)
    } else {
        let held = summary::get_held(&mut db, id, now).await?;
        let debt = summary::get_debt(&mut db, id).await?;
        (held, debt, summary::list_unsettled(&mut db, id, now).await?)
    };
    for customer_id in unsettled {
        let of = Of {
            program_id: program_id.clone(),
            customer_id,
            at_least: String::new(),
        };
        let repaid = reads::repaid(&mut db, &of, as_of, now).await?;
        held.outstanding -= repaid.available;
        debt -= repaid.debt;
    }
    let as_of = as_of.unwrap_or(now);
    Ok(Summary {
        held,
        debt,
        tiers: summary::list_tier_counts(&mut db, id, as_of).await?,
        program_id,
        as_of,
    })
}
