//! What does not open, and why.

use std::time::Duration;

use tonic::Code;

use crate::error::Refusal;

/// Something sealed that does not open.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// It is sealed under a key that the file of keys does not hold.
    #[error(
        "what is asked for is sealed under the encryption key {key_id}, which is not in the file of keys: put it back"
    )]
    KeyMissing {
        /// The id of the key.
        key_id: String,
    },
    /// It was changed, or belongs elsewhere.
    #[error(
        "{table}.{column} of {row} does not open: it was changed or is another's; restore it from a backup"
    )]
    Broken {
        /// Its table.
        table: &'static str,
        /// Its column.
        column: &'static str,
        /// The id of its row.
        row: String,
    },
    /// A data key does not open under the key that it names.
    #[error(
        "the data key of {row} does not open under the encryption key {key_id}: it was changed, or the file of keys holds \
         another key of that id"
    )]
    DataKeyBroken {
        /// The id of the encryption key.
        key_id: String,
        /// The table of data keys.
        table: &'static str,
        /// Whose it is.
        row: String,
    },
}

impl SealError {
    /// As callers see it. The log tells operators of it once, here.
    pub(crate) fn refusal(self) -> Refusal {
        let message = self.to_string();
        tracing::error!(error = message, "something sealed does not open");
        match self {
            // It passes once the key is back, and a refusal that passes must not be kept as the answer.
            Self::KeyMissing { key_id } => {
                Refusal::new(Code::Unavailable, "ENCRYPTION_KEY_MISSING", message)
                    .with("key_id", key_id)
                    .retry_after(Duration::from_secs(5))
            }
            Self::Broken { table, column, row } => {
                Refusal::new(Code::DataLoss, "SEALED_DATA_BROKEN", message)
                    .with("table", table)
                    .with("column", column)
                    .with("row", row)
            }
            Self::DataKeyBroken { key_id, table, row } => {
                Refusal::new(Code::DataLoss, "SEALED_DATA_BROKEN", message)
                    .with("table", table)
                    .with("column", "wrapped_key")
                    .with("row", row)
                    .with("key_id", key_id)
            }
        }
    }
}
