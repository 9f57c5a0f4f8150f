//! What a sweep looks for, and in which order.

use chrono::TimeDelta;
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::State;
use crate::error::Error;
use crate::store::due::{self, DuePage, DueRow};
use crate::store::notices;

/// Lots or holds looked at in one read.
pub const DUE_AT_ONCE: usize = 200;

/// What a sweep looks for, in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Look {
    Holds,
    Lots,
    Notice { program_id: String, days: i64 },
}

/// Up to where a sweep has looked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    look: Look,
    /// In microseconds.
    expires_at: i64,
    customer_id: String,
    item_id: String,
}

/// What is due at an instant.
pub struct Due {
    now: Timestamp,
    looks: Vec<Look>,
}

impl Due {
    /// What is due then in all programs of now.
    pub async fn at(state: &State, now: Timestamp) -> Result<Self, Error> {
        let all_days = notices::list_all_days(&mut state.platform.reader().await?).await?;
        let notice = |(program_id, days)| Look::Notice { program_id, days };
        let mut looks = vec![Look::Holds, Look::Lots];
        looks.extend(all_days.into_iter().map(notice));
        Ok(Self { now, looks })
    }

    /// The first that are due after a place, and up to where that is; `None` at the end.
    pub async fn next(
        &self,
        state: &State,
        after: Option<&Place>,
    ) -> Result<Option<(Place, Vec<DueRow>)>, Error> {
        for look in &self.looks {
            if after.is_some_and(|after| *look < after.look) {
                continue;
            }
            let found = self.list(state, look, after).await?;
            if let Some(last) = found.last() {
                return Ok(Some((Place::of(look, last), found)));
            }
        }
        Ok(None)
    }

    /// What is due after a place and up to another one, of what the latter is about.
    pub async fn between(
        &self,
        state: &State,
        after: Option<&Place>,
        to: &Place,
    ) -> Result<Vec<DueRow>, Error> {
        let mut found = self.list(state, &to.look, after).await?;
        found.retain(|row| Place::of(&to.look, row) <= *to);
        Ok(found)
    }

    async fn list(
        &self,
        state: &State,
        look: &Look,
        after: Option<&Place>,
    ) -> Result<Vec<DueRow>, Error> {
        let mut db = state.platform.reader().await?;
        let after = after.filter(|after| after.look == *look);
        let start = (Timestamp::from_micros(i64::MIN), "", "");
        let after = after.map_or(start, |after| {
            (
                Timestamp::from_micros(after.expires_at),
                after.customer_id.as_str(),
                after.item_id.as_str(),
            )
        });
        let limit = i64::try_from(DUE_AT_ONCE).expect("few");
        let page = DuePage { after, limit };
        Ok(match look {
            Look::Holds => due::list_holds(&mut db, self.now, page).await?,
            Look::Lots => due::list_lots(&mut db, self.now, page).await?,
            Look::Notice { program_id, days } => {
                let notice = due::Notice {
                    program_id,
                    days: *days,
                    from: self.now,
                    to: self.now + TimeDelta::days(*days),
                };
                due::list_unnoticed(&mut db, notice, page).await?
            }
        })
    }
}

impl Place {
    fn of(look: &Look, row: &DueRow) -> Self {
        Self {
            look: look.clone(),
            expires_at: row.expires_at.micros(),
            customer_id: row.customer_id.to_string(),
            item_id: row.item_id.clone(),
        }
    }

    /// Where the next page of the same begins.
    pub fn behind(&self, row: &DueRow) -> Self {
        Self::of(&self.look, row)
    }
}
