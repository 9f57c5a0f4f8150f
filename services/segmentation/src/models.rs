//! Creating and activating rating models.

use common::db::{Access, Tx};
use common::platform::Platform;

use crate::domain::model::Definition;
use crate::error::Error;
use crate::store::models::{self, ModelRow, NewModel};

/// A model to create, checked.
#[derive(Debug)]
pub(crate) struct CreateModel {
    pub display_name: String,
    pub definition: Definition,
}

/// Stores a draft.
pub(crate) async fn create(
    platform: &Platform,
    tx: &mut Tx,
    create: CreateModel,
) -> Result<ModelRow, Error> {
    models::lock(tx).await?;
    let CreateModel {
        display_name,
        definition,
    } = create;
    let model = NewModel {
        model_id: platform.ids.uuid(),
        display_name,
        definition,
    };
    models::insert(tx, &model).await?;
    models::get(tx, &model.model_id).await
}

/// Makes a model the active one. A base that is being rated stays rated: the model needs a reference then.
pub(crate) async fn activate(tx: &mut Tx, model_id: &str) -> Result<ModelRow, Error> {
    models::lock(tx).await?;
    let model = models::get(tx, model_id).await?;
    let active = models::get(tx, "").await?;
    if active.reference_id.is_some() && model.reference_id.is_none() {
        return Err(Error::NoReference(model.model_id));
    }
    if active.model_id != model.model_id {
        models::activate(tx, model_id).await?;
    }
    models::get(tx, model_id).await
}

/// A model with its newest reference.
pub(crate) async fn get(
    db: &mut impl Access,
    model_id: &str,
) -> Result<(ModelRow, Option<models::ReferenceRow>), Error> {
    let model = models::get(db, model_id).await?;
    let reference = match &model.reference_id {
        Some(reference_id) => Some(models::get_reference(db, reference_id).await?),
        None => None,
    };
    Ok((model, reference))
}
