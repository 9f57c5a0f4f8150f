//! `asterism check` on the four services, with the tokens that their callers may have.

use std::path::PathBuf;

use journeys::{process, token};

use crate::suite::Suite;

/// Exit code and output of the check.
fn check(suite: &Suite, token: Option<PathBuf>) -> (Option<i32>, String) {
    let mut arguments = vec!["check".to_owned(), "--timeout=1m".to_owned()];
    for (service, process) in ["customer", "loyalty", "segmentation", "feedback"]
        .iter()
        .zip(&suite.services)
    {
        arguments.push(format!("--peer-{service}=http://{}", process.api));
    }
    if let Some(token) = token {
        arguments.push(format!("--peer-token-file={}", token.display()));
    }
    let output = process::output("asterism", arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_needs_the_token_that_services_have() {
    let suite = Suite::start().await;
    let token = |subject, scope| token::token_file(suite.folder.path(), subject, [scope]);

    let (code, said) = check(&suite, Some(token("services", "feed.read")));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("ok      ").count(), 4, "{said}");

    let (code, said) = check(&suite, Some(token("reader", "customer.profiles.read")));
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.matches(": MISSING_SCOPE: ").count(), 4, "{said}");
    assert!(said.contains("needs the scope feed.read"), "{said}");

    let (code, said) = check(&suite, None);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.matches(": TOKEN_MISSING: ").count(), 4, "{said}");
}
