//! Called by the name of a service, the program is that service.

use rstest::rstest;

use crate::support::{called, text};

#[rstest]
#[case("customer-profile", "customer")]
#[case("loyalty-points", "loyalty")]
#[case("segmentation", "segmentation")]
#[case("/usr/bin/feedback", "feedback")]
#[tokio::test(flavor = "multi_thread")]
async fn the_program_is_the_service_it_is_called_by(#[case] name: &str, #[case] service: &str) {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data={}", folder.path().display());
    let migrated = called(name, &[&data, "migrate"]).await;
    assert_eq!(migrated.status.code(), Some(0), "{}", text(&migrated));
    let database = folder.path().join(format!("{service}.db"));
    assert!(database.exists(), "{}", text(&migrated));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_name_is_the_command_line() {
    let migrated = called("migrate", &["migrate"]).await;
    let said = text(&migrated);
    assert!(said.contains("unrecognized subcommand"), "{said}");
}
