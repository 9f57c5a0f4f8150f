//! `asterism check` tells whether a suite works. With tokens it is tried on the four services, in `tests/journeys`.

use loyalty_points::Loyalty;
use testkit::{Backend, TestServer, Upstream as _};

use crate::support::{asterism, suite, text};

/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:1";

/// Returns once the service serves, with what was said of it.
async fn works(loyalty: &TestServer<Loyalty>) -> String {
    let checked = asterism(&["check", "--wait=1m", "--peer-loyalty", &loyalty.url()]).await;
    let said = text(&checked);
    assert_eq!(checked.status.code(), Some(0), "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_of_a_suite_that_works_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    let suite = suite(folder.path()).await;
    let (api, ops) = (
        format!("http://{}", suite.api),
        format!("http://{}", suite.ops),
    );

    let places = ["--address", &api, "--health", &ops];
    let checked = asterism(&[&["check", "--wait=1m"][..], &places].concat()).await;
    let said = text(&checked);
    assert_eq!(checked.status.code(), Some(0), "{said}");
    for service in ["customer", "loyalty", "segmentation", "feedback"] {
        let fine = format!("ok      {service} at {api}: serving, its feed ends at ");
        assert!(said.contains(&fine), "{said}");
    }
    let fine = format!("ok      health at {ops}: serving\n");
    assert!(said.ends_with(&fine), "{said}");

    suite.stop().await.unwrap();
    let checked = asterism(&["check", "--health", &ops]).await;
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_services_that_are_named_are_asked() {
    let loyalty = TestServer::<Loyalty>::start(Backend::Sqlite).await;
    let said = works(&loyalty).await;
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_listens_is_told() {
    let loyalty = TestServer::<Loyalty>::start(Backend::Sqlite).await;
    works(&loyalty).await;
    let places = ["--peer-loyalty", &loyalty.url(), "--peer-feedback", NOBODY];
    let checked = asterism(&[&["check"][..], &places].concat()).await;
    let said = text(&checked);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(said.contains("ok      loyalty at"), "{said}");
    let failed = format!("FAILED  feedback at {NOBODY}: CONNECTION_LOST: ");
    assert!(said.contains(&failed), "{said}");
    assert!(said.ends_with("error: 1 of 2 checks failed\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_service_at_the_address_is_told() {
    let loyalty = TestServer::<Loyalty>::start(Backend::Sqlite).await;
    let checked = asterism(&["check", "--peer-customer", &loyalty.url()]).await;
    let said = text(&checked);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    let failed = "another server answers: it knows no asterism.customer.v1.CustomerProfileService";
    assert!(said.contains(failed), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_nothing_is_refused() {
    let checked = asterism(&["check"]).await;
    let said = text(&checked);
    assert_eq!(checked.status.code(), Some(64), "{said}");
    assert!(said.contains("nothing to check"), "{said}");
}
