//! One SQL text, two databases.
//!
//! A statement is written once with `$1` placeholders and run through [`on!`](crate::on) on whichever
//! database is configured. Reads run on anything that is [`Access`]; writes take a [`Tx`], so that
//! writing outside a transaction cannot be expressed. Times and ids come from the application.
//!
//! Invariant: a `Tx` that is dropped without `commit` leaves no trace.

mod checkpoint;
mod open;
mod rows;
mod tx;
mod writing;

pub use open::{Db, Dialect, Migrations, Reader, Snapshot, Sql};
pub use rows::json_rows;
pub(crate) use tx::{BEGIN_ON_POSTGRES, Pending, World};
pub use tx::{Gathered, Tx};

use sqlx::{PgConnection, SqliteConnection};

use crate::error::Error;

/// A connection of either database.
pub enum Conn<'a> {
    /// PostgreSQL.
    Postgres(&'a mut PgConnection),
    /// SQLite.
    Sqlite(&'a mut SqliteConnection),
}

/// Anything a SELECT can run on: a [`Reader`], a [`Snapshot`] or a [`Tx`].
pub trait Access: Send {
    /// The connection underneath.
    fn conn(&mut self) -> Conn<'_>;

    /// Which database it is, for the few texts that differ.
    fn dialect(&mut self) -> Dialect {
        match self.conn() {
            Conn::Postgres(_) => Dialect::Postgres,
            Conn::Sqlite(_) => Dialect::Sqlite,
        }
    }
}

/// Runs one expression on the connection of either database: `on!(tx, |conn| query(SQL).execute(conn).await)`.
#[macro_export]
macro_rules! on {
    ($access:expr, |$conn:ident| $body:expr) => {
        match $crate::db::Access::conn($access) {
            $crate::db::Conn::Postgres($conn) => $body,
            $crate::db::Conn::Sqlite($conn) => $body,
        }
    };
}

/// All rows of a statement, an [`Sql`]: `all!(tx, SELECT, Row, bind, …)`. PostgreSQL answers rows, whose columns have the
/// names of the fields. SQLite answers one text, `json_group_array(json_array(…))`, with the columns in the order of the
/// fields: row by row, it would hand over each column by itself and wake whoever waits each time.
#[macro_export]
macro_rules! all {
    ($access:expr, $select:expr, $row:ty $(, $bind:expr)+ $(,)?) => {
        match $crate::db::Access::conn($access) {
            $crate::db::Conn::Postgres(conn) => {
                let rows = sqlx::query_as::<_, $row>($select.postgres)$(.bind($bind))+;
                rows.fetch_all(conn).await.map_err($crate::Error::from)
            }
            $crate::db::Conn::Sqlite(conn) => {
                let text = sqlx::query_scalar::<_, String>($select.sqlite)$(.bind($bind))+;
                let text = text.fetch_one(conn).await;
                text.map_err($crate::Error::from)
                    .and_then(|text| $crate::db::parse_json_list::<$row>(&text))
            }
        }
    };
}

/// Bytes within a [`json_list`]: hexadecimal digits, for SQLite's `unhex`.
pub struct Hex<'a>(pub &'a [u8]);

impl serde::Serialize for Hex<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = |byte: &u8| [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
        let text: Vec<u8> = self.0.iter().flat_map(digits).collect();
        serializer.serialize_str(std::str::from_utf8(&text).expect("digits are ASCII"))
    }
}

/// A list as one bind parameter: JSON text, for `json_array_elements_text` or `json_each`.
pub fn json_list<T: serde::Serialize>(items: &[T]) -> String {
    serde_json::to_string(items).expect("ids and numbers are plain JSON")
}

/// A list stored as JSON text by [`json_list`].
pub fn parse_json_list<T: serde::de::DeserializeOwned>(text: &str) -> Result<Vec<T>, Error> {
    serde_json::from_str(text).map_err(|error| Error::Internal(format!("stored list: {error}")))
}
