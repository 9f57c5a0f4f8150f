//! Assertions on errors: every refusal has a code, a reason, and for bad input the fields.

use std::fmt::Debug;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Asserts that a call was refused with this code and reason, in our domain, and returns the details
/// for further assertions.
#[track_caller]
pub fn assert_refused<T: Debug>(
    result: Result<T, Status>,
    code: Code,
    reason: &str,
) -> ErrorDetails {
    let status = result.expect_err("the call should have been refused");
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        (reason, "asterism"),
        "{status:?}"
    );
    details
}

/// The fields that a status calls invalid, in the order given.
#[must_use]
pub fn violations(status: &Status) -> Vec<String> {
    let Some(bad_request) = status.get_details_bad_request() else {
        return Vec::new();
    };
    bad_request
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}
