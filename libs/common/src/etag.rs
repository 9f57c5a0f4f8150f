//! Etags (AIP-154): the revision of a resource, quoted.

use crate::error::Error;

/// The etag of a revision, for example `"7"` with its quotes.
pub fn of(revision: i64) -> String {
    format!("\"{revision}\"")
}

/// Refuses a stale etag; an empty one is not checked.
pub fn check(given: &str, revision: i64) -> Result<(), Error> {
    let current = of(revision);
    if given.is_empty() || given == current {
        return Ok(());
    }
    Err(Error::EtagMismatch {
        given: given.to_owned(),
        current,
    })
}
