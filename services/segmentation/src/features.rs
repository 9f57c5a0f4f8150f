//! Features: what customers bought within windows, as of a day.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use common::db::Access;
use common::ids::CustomerId;
use common::time::Timestamp;

use crate::domain::day::Day;
use crate::domain::model::{Definition, Kind};
use crate::error::Error;
use crate::store::features::{Bought, Span};
use crate::store::{self, Customer};

/// Windows that `GetFeatures` answers with, besides the whole history.
const WINDOWS_DAYS: [i64; 3] = [30, 90, 365];

/// What customers bought within each window of a model.
pub struct Windows(HashMap<i64, HashMap<CustomerId, Bought>>);

impl Windows {
    /// Reads the windows of many customers, one window at a time.
    pub async fn read(
        db: &mut impl Access,
        definition: &Definition,
        customers: &[CustomerId],
        as_of: Day,
    ) -> Result<Self, Error> {
        let mut windows = HashMap::new();
        for window_days in definition
            .indicators
            .iter()
            .map(|indicator| indicator.window_days)
        {
            if let Entry::Vacant(window) = windows.entry(window_days) {
                let span = span(as_of, window_days);
                window.insert(store::features::bought(db, customers, span).await?);
            }
        }
        Ok(Self(windows))
    }

    /// A customer's value for each indicator. Who bought nothing has spent nothing, in no known category.
    pub fn raw_values(&self, definition: &Definition, customer: &CustomerId) -> Vec<Option<i64>> {
        definition
            .indicators
            .iter()
            .map(|indicator| {
                let bought = self.0.get(&indicator.window_days)?.get(customer);
                raw_value(indicator.kind, bought.copied().unwrap_or_default())
            })
            .collect()
    }

    /// For each indicator, the values of those who bought within its window.
    pub fn values_of_buyers(&self, definition: &Definition) -> Vec<Vec<i64>> {
        definition
            .indicators
            .iter()
            .map(|indicator| {
                let buyers = self.0.get(&indicator.window_days).into_iter().flatten();
                buyers
                    .filter_map(|(_, bought)| raw_value(indicator.kind, *bought))
                    .collect()
            })
            .collect()
    }
}

fn raw_value(kind: Kind, bought: Bought) -> Option<i64> {
    match kind {
        Kind::Spend => Some(bought.spend_micros),
        Kind::Frequency => Some(bought.orders),
        Kind::CategoryBreadth => Some(bought.categories).filter(|&categories| categories > 0),
    }
}

/// The days of a window that ends with a day; 0 days for the whole history.
pub fn span(as_of: Day, window_days: i64) -> Span {
    Span {
        first: as_of.window_start(window_days),
        last: as_of,
    }
}

/// Everything `GetFeatures` answers with.
pub struct Features {
    /// Of whom.
    pub customer: Customer,
    /// When.
    pub as_of: Timestamp,
    /// First and last day with an order.
    pub purchase_days: Option<(Day, Day)>,
    /// Window length and what was bought in it; the whole history (0) first.
    pub windows: Vec<(i64, Bought)>,
}

/// Reads one customer's features.
pub async fn get(
    db: &mut impl Access,
    customer: &CustomerId,
    as_of: Timestamp,
) -> Result<Features, Error> {
    let day = Day::of(as_of);
    let found = store::get_customer(db, customer).await?;
    let mut windows = Vec::new();
    for window_days in [0].into_iter().chain(WINDOWS_DAYS) {
        let one = std::slice::from_ref(customer);
        let bought = store::features::bought(db, one, span(day, window_days)).await?;
        windows.push((
            window_days,
            bought.get(customer).copied().unwrap_or_default(),
        ));
    }
    let purchase_days = store::features::purchase_days(db, customer, day).await?;
    Ok(Features {
        customer: found,
        as_of,
        purchase_days,
        windows,
    })
}
