//! All SQL of the service. Reads run on any [`common::db::Access`], writes on a [`common::db::Tx`].

pub mod customers;
pub mod invitations;
pub mod responses;
pub mod surveys;
mod ticket_rows;
pub mod tickets;

use common::time::Timestamp;

use crate::domain::Named;

/// A column that holds a [`Named`] value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name<T>(pub T);

impl<T: Named> TryFrom<String> for Name<T> {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        T::named(&name)
            .map(Self)
            .ok_or_else(|| format!("{name:?} is not a name known here"))
    }
}

/// Where a newest-first page continues: below this row.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Below {
    at: i64,
    id: String,
}

impl Below {
    /// The key of a row.
    pub fn new(at: Timestamp, id: &str) -> Self {
        Self {
            at: at.micros(),
            id: id.to_owned(),
        }
    }

    /// Above every row: where the first page begins.
    pub fn top() -> Self {
        Self {
            at: i64::MAX,
            id: String::new(),
        }
    }
}
