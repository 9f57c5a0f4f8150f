//! The active model with its reference, kept in memory: immutable, so only its id needs checking.

use std::sync::{Arc, Mutex, PoisonError};

use common::db::Access;

use crate::domain::model::Definition;
use crate::domain::reference::QuantileTable;
use crate::error::Error;
use crate::store::models;

/// A model and a reference to rate against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The model.
    pub model_id: String,
    /// What it says.
    pub definition: Definition,
    /// The reference.
    pub reference_id: String,
    /// A table for each indicator.
    pub tables: Vec<QuantileTable>,
}

impl Frozen {
    /// Reads a model and a reference that a rating names.
    pub async fn get(
        db: &mut impl Access,
        model_id: &str,
        reference_id: &str,
    ) -> Result<Self, Error> {
        let model = models::get(db, model_id).await?;
        let reference = models::get_reference(db, reference_id).await?;
        Ok(Self {
            definition: model.definition()?,
            tables: reference.tables()?,
            model_id: model.model_id,
            reference_id: reference.reference_id,
        })
    }
}

/// Remembers what was read last.
#[derive(Debug, Clone, Default)]
pub struct FrozenCache(Arc<Mutex<Option<Arc<Frozen>>>>);

impl FrozenCache {
    /// What customers are rated with now; `None` before the first reference.
    pub async fn find_current(&self, db: &mut impl Access) -> Result<Option<Arc<Frozen>>, Error> {
        let Some((model_id, reference_id)) = models::find_current(db).await? else {
            return Ok(None);
        };
        let remembered = self.slot().clone();
        if let Some(frozen) = remembered.filter(|frozen| frozen.reference_id == reference_id) {
            return Ok(Some(frozen));
        }
        let frozen = Arc::new(Frozen::get(db, &model_id, &reference_id).await?);
        *self.slot() = Some(frozen.clone());
        Ok(Some(frozen))
    }

    /// The same where there has to be one.
    pub async fn get_current(&self, db: &mut impl Access) -> Result<Arc<Frozen>, Error> {
        match self.find_current(db).await? {
            Some(frozen) => Ok(frozen),
            None => Err(Error::NoReference(models::get(db, "").await?.model_id)),
        }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Frozen>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
