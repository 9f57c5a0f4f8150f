//! Freezing the base as a reference: one scan in one snapshot.

use common::platform::Platform;
use common::time::Timestamp;

use crate::domain::day::Day;
use crate::domain::model::Kind;
use crate::domain::reference::QuantileTable;
use crate::error::{Error, to_json};
use crate::features::Windows;
use crate::frozen::FrozenCache;
use crate::ratings::Summary;
use crate::rerate::rerate_all;
use crate::store;
use crate::store::models::{self, ReferenceRow};

const BATCH: i64 = 5_000;

/// A reference just frozen, and what re-rating with it did if its model is the active one.
pub(crate) struct Built {
    pub reference: ReferenceRow,
    pub summary: Option<Summary>,
}

/// Freezes the base as of a moment for a model (empty: the active one) and re-rates everybody.
pub(crate) async fn build(
    platform: &Platform,
    cache: &FrozenCache,
    model_id: &str,
    as_of: Timestamp,
) -> Result<Built, Error> {
    let reference = scan(platform, model_id, as_of).await?;
    let mut tx = platform.tx().await?;
    models::lock(&mut tx).await?;
    models::insert_reference(&mut tx, &reference).await?;
    let is_active = models::get(&mut tx, "").await?.model_id == reference.model_id;
    tx.commit().await?;
    let summary = if is_active {
        Some(rerate_all(platform, cache, as_of).await?)
    } else {
        None
    };
    Ok(Built { reference, summary })
}

async fn scan(
    platform: &Platform,
    model_id: &str,
    as_of: Timestamp,
) -> Result<ReferenceRow, Error> {
    let mut snapshot = platform.snapshot().await?;
    let model = models::get(&mut snapshot, model_id).await?;
    let definition = model.definition()?;
    let mut values = vec![Vec::new(); definition.indicators.len()];
    let (mut after, mut customers) = (String::new(), 0);
    loop {
        let page = store::list_customers(&mut snapshot, &after, BATCH).await?;
        let Some(last) = page.last() else { break };
        last.as_str().clone_into(&mut after);
        customers += i64::try_from(page.len()).expect("a page is small");
        let windows = Windows::read(&mut snapshot, &definition, &page, Day::of(as_of)).await?;
        for (all, more) in values.iter_mut().zip(windows.values_of_buyers(&definition)) {
            all.extend(more);
        }
    }
    let tables: Vec<_> = values.into_iter().map(QuantileTable::of).collect();
    // Breadth may be missing for everybody; who spent what may not.
    let is_empty = definition
        .indicators
        .iter()
        .zip(&tables)
        .any(|(indicator, table)| indicator.kind != Kind::CategoryBreadth && table.is_empty());
    if is_empty {
        return Err(Error::EmptyBase);
    }
    Ok(ReferenceRow {
        reference_id: platform.ids.uuid(),
        model_id: model.model_id,
        as_of,
        customers,
        tables: to_json(&tables),
        built_at: platform.now(),
    })
}
