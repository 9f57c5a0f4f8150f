//! Answers as they are kept: the message of a success and the details of a refusal, sealed where there are keys.

use super::store::Answer;
use crate::error::Error;
use crate::sealing::{Keys, Place, is_sealed_answer};

/// Seals an answer before it is stored.
pub(super) fn seal(
    keys: Option<&Keys>,
    method: &str,
    request_id: &str,
    answer: &mut Answer,
) -> Result<(), Error> {
    let Some(keys) = keys else { return Ok(()) };
    let (ring, row) = (keys.ring(), row(method, request_id));
    if !ring.seals() {
        return Ok(());
    }
    for (column, bytes) in columns(answer) {
        if let Some(bytes) = bytes {
            *bytes = ring.seal_answer(place(column, &row), bytes)?;
        }
    }
    Ok(())
}

/// Opens an answer that was stored; one from before there were keys stays as it is.
pub(super) fn open(
    keys: Option<&Keys>,
    method: &str,
    request_id: &str,
    answer: &mut Answer,
) -> Result<(), Error> {
    let row = row(method, request_id);
    for (column, bytes) in columns(answer) {
        if let Some(bytes) = bytes
            && is_sealed_answer(bytes)
        {
            let Some(keys) = keys else {
                let unexpected = "a kept answer is sealed and this service has no keys";
                return Err(Error::Internal(unexpected.to_owned()));
            };
            *bytes = keys.ring().open_answer(place(column, &row), bytes)?;
        }
    }
    Ok(())
}

fn columns(answer: &mut Answer) -> [(&'static str, &mut Option<Vec<u8>>); 2] {
    [
        ("response", &mut answer.response),
        ("details", &mut answer.details),
    ]
}

fn place<'a>(column: &'static str, row: &'a str) -> Place<'a> {
    Place {
        table: "idempotency",
        column,
        row,
    }
}

/// A method has no space in its name.
fn row(method: &str, request_id: &str) -> String {
    format!("{method} {request_id}")
}
