//! Rating customers, and saying why: the same function for one purchase, a whole base and a moment in the past.

use std::collections::HashMap;

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::money::Currency;
use common::time::Timestamp;

use crate::domain::day::Day;
use crate::domain::explain::{self, Explanation};
use crate::domain::score::{Scored, score};
use crate::domain::stars::{Decision, HeldReason, Previous, decide};
use crate::error::{Error, to_json};
use crate::events;
use crate::features::Windows;
use crate::frozen::{Frozen, FrozenCache};
use crate::store;
use crate::store::rating_writes::{self, NewRating};
use crate::store::ratings::{self as rows, RatingRow};

/// What rating many customers did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rated.
    pub rated: i64,
    /// Of these, with new stars.
    pub changed: i64,
    /// Left alone: their rating holds for a later moment.
    pub skipped: i64,
}

impl Summary {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.rated += other.rated;
        self.changed += other.changed;
        self.skipped += other.skipped;
    }
}

/// Rates one customer, whose row is locked, as of now.
pub(crate) async fn rate_now(
    tx: &mut Tx,
    frozen: &Frozen,
    customer: &CustomerId,
    revision: i64,
) -> Result<(), Error> {
    let previous = rows::list(tx, std::slice::from_ref(customer)).await?;
    // A clock that was set back must not leave a purchase without effect.
    let as_of = previous
        .iter()
        .map(|rating| rating.as_of)
        .fold(tx.now(), Timestamp::max);
    rate(tx, frozen, &[(customer.clone(), revision)], previous, as_of)
        .await
        .map(drop)
}

/// Rates customers whose rows are locked (with their revisions), stores what comes out and tells of changes.
pub(crate) async fn rate(
    tx: &mut Tx,
    frozen: &Frozen,
    locked: &[(CustomerId, i64)],
    previous: Vec<RatingRow>,
    as_of: Timestamp,
) -> Result<Summary, Error> {
    let ids: Vec<_> = locked
        .iter()
        .map(|(customer, _)| customer.clone())
        .collect();
    let windows = Windows::read(tx, &frozen.definition, &ids, Day::of(as_of)).await?;
    let previous: HashMap<_, _> = previous
        .into_iter()
        .map(|rating| (rating.customer_id.clone(), rating))
        .collect();
    let mut summary = Summary::default();
    let mut new = Vec::with_capacity(locked.len());
    for (customer, revision) in locked {
        let before = previous.get(customer);
        if before.is_some_and(|rating| rating.as_of > as_of) {
            summary.skipped += 1;
            continue;
        }
        let raw = windows.raw_values(&frozen.definition, customer);
        let held = before.map(|rating| Previous {
            stars: rating.stars,
            since: rating.stars_since,
        });
        let mut rating = compute(frozen, customer, &raw, held, as_of);
        let previous_stars = before.map_or(0, |rating| rating.stars);
        let change = i64::from(rating.stars != previous_stars);
        rating.revision = revision + change;
        summary.rated += 1;
        summary.changed += change;
        new.push(NewRating {
            rating,
            previous_stars,
        });
    }
    if !new.is_empty() {
        rating_writes::upsert(tx, &new).await?;
    }
    for changed in new.iter().filter(|rating| rating.is_change()) {
        events::rating_changed(tx, changed);
    }
    Ok(summary)
}

/// The rating of raw values; not stored, so without a revision.
fn compute(
    frozen: &Frozen,
    customer: &CustomerId,
    raw: &[Option<i64>],
    previous: Option<Previous>,
    as_of: Timestamp,
) -> RatingRow {
    let scored = score(&frozen.definition, &frozen.tables, raw);
    let decision = decide(&frozen.definition.bands, scored.score, previous, as_of);
    RatingRow {
        customer_id: customer.clone(),
        revision: 0,
        stars: decision.stars,
        raw_stars: decision.raw_stars,
        held: decision.held.code(),
        score_ppm: scored.score,
        raw_values: to_json(&raw),
        model_id: frozen.model_id.clone(),
        reference_id: frozen.reference_id.clone(),
        as_of,
        stars_since: decision.since,
    }
}

/// Ratings of customers of the base for a moment, computed from their purchases and not stored.
async fn list_computed(
    db: &mut impl Access,
    frozen: &Frozen,
    customers: &[CustomerId],
    as_of: Timestamp,
) -> Result<Vec<RatingRow>, Error> {
    let windows = Windows::read(db, &frozen.definition, customers, Day::of(as_of)).await?;
    let history = rows::list_at(db, customers, as_of).await?;
    let previous: HashMap<_, _> = history
        .into_iter()
        .map(|(customer, stars, since)| (customer, Previous { stars, since }))
        .collect();
    let rate = |customer: &CustomerId| {
        let raw = windows.raw_values(&frozen.definition, customer);
        compute(
            frozen,
            customer,
            &raw,
            previous.get(customer).copied(),
            as_of,
        )
    };
    Ok(customers.iter().map(rate).collect())
}

/// Which rating is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The stored one.
    Stored,
    /// One computed for a moment.
    AsOf(Timestamp),
}

/// The rating of one customer. `now` serves a customer whom a re-rating under way has not reached yet.
pub(crate) async fn get(
    db: &mut impl Access,
    cache: &FrozenCache,
    customer: &CustomerId,
    moment: Moment,
    now: Timestamp,
) -> Result<RatingRow, Error> {
    store::get_customer(db, customer).await?;
    let mut found = list(db, cache, std::slice::from_ref(customer), moment, now).await?;
    Ok(found
        .pop()
        .expect("every customer of the base gets a rating"))
}

/// The ratings of customers of the base, in no particular order.
pub(crate) async fn list(
    db: &mut impl Access,
    cache: &FrozenCache,
    customers: &[CustomerId],
    moment: Moment,
    now: Timestamp,
) -> Result<Vec<RatingRow>, Error> {
    let frozen = cache.get_current(db).await?;
    let as_of = match moment {
        Moment::AsOf(as_of) => return list_computed(db, &frozen, customers, as_of).await,
        Moment::Stored => now,
    };
    let mut found = rows::list(db, customers).await?;
    if found.len() < customers.len() {
        let missing: Vec<_> = customers
            .iter()
            .filter(|customer| found.iter().all(|rating| rating.customer_id != **customer))
            .cloned()
            .collect();
        found.extend(list_computed(db, &frozen, &missing, as_of).await?);
    }
    Ok(found)
}

/// A rating taken apart.
pub(crate) struct Explained {
    pub rating: RatingRow,
    pub frozen: Frozen,
    pub scored: Scored,
    pub explanation: Explanation,
    pub text: String,
}

/// Explains a rating with the model and the reference that it was made with.
pub(crate) async fn explain(
    db: &mut impl Access,
    rating: RatingRow,
    currency: &Currency,
) -> Result<Explained, Error> {
    let frozen = Frozen::get(db, &rating.model_id, &rating.reference_id).await?;
    let scored = score(&frozen.definition, &frozen.tables, &rating.raw_values()?);
    let decision = Decision {
        stars: rating.stars,
        raw_stars: rating.raw_stars,
        held: HeldReason::from_code(rating.held).unwrap_or(HeldReason::NotHeld),
        since: rating.stars_since,
    };
    let explanation = explain::explain(&frozen.definition, &frozen.tables, &scored, &decision);
    let text = explain::text(
        &frozen.definition,
        &scored,
        &decision,
        &explanation,
        currency,
    );
    Ok(Explained {
        rating,
        frozen,
        scored,
        explanation,
        text,
    })
}
