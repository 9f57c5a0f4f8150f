//! Compares what is stored as used of earning limits with what the earnings that they count come to.

use std::collections::BTreeMap;

use common::db::Snapshot;
use common::time::Timestamp;

use super::divergence::{Kind, Stop, Where, diverged};
use super::histories::CUSTOMERS_AT_ONCE;
use crate::State;
use crate::store::histories::{self, Range};
use crate::store::limit_sums::{self, Sums};
use crate::store::limit_usage::UsageKey;

/// Windows of budgets read at once.
const BUDGETS_AT_ONCE: i64 = 1000;
/// After the id of any customer.
const END: &str = "\u{10ffff}";

/// What all members together have earned in each window of a budget.
type Budgets = BTreeMap<UsageKey, i64>;

/// Compares caps customer by customer, and budgets once all of them are added up. All pages are of one instant: of a
/// budget, members at different ones would not add up.
pub(super) async fn compare(state: &State) -> Result<(), Stop> {
    let mut db = state.platform.snapshot().await?;
    let (mut budgets, mut after) = (Budgets::new(), String::new());
    loop {
        let customers = histories::list_customers(&mut db, &after, CUSTOMERS_AT_ONCE).await?;
        // After the last member: usage of nobody.
        let to = customers.last().map_or(END, String::as_str);
        let range = Range { after: &after, to };
        for sums in limit_sums::list(&mut db, range).await? {
            if sums.key.customer_id.is_empty() {
                *budgets.entry(sums.key).or_default() += sums.counted;
            } else {
                return Err(astray(sums));
            }
        }
        match customers.into_iter().next_back() {
            Some(last) => after = last,
            None => break,
        }
    }
    compare_budgets(&mut db, budgets).await
}

async fn compare_budgets(db: &mut Snapshot, mut counted: Budgets) -> Result<(), Stop> {
    let mut after = UsageKey {
        program_id: String::new(),
        limit_id: String::new(),
        customer_id: String::new(),
        window_start: i64::MIN,
    };
    loop {
        let page = limit_sums::list_budgets(db, &after, BUDGETS_AT_ONCE).await?;
        let Some((last, _)) = page.last() else {
            break;
        };
        after = last.clone();
        for (key, stored) in page {
            let counted = counted.remove(&key).unwrap_or_default();
            if stored != counted {
                return Err(astray(Sums {
                    key,
                    stored,
                    counted,
                }));
            }
        }
    }
    match counted.into_iter().find(|(_, counted)| *counted != 0) {
        None => Ok(()),
        Some((key, counted)) => Err(astray(Sums {
            key,
            stored: 0,
            counted,
        })),
    }
}

fn astray(sums: Sums) -> Stop {
    let description = format!(
        "{} is stored as used in the window from {}, {} was counted",
        sums.stored,
        Timestamp::from_micros(sums.key.window_start),
        sums.counted
    );
    let at = Where {
        customer_id: sums.key.customer_id,
        program_id: sums.key.program_id,
        limit_id: sums.key.limit_id,
        ..Where::default()
    };
    diverged(Kind::Limit, at, description)
}
