//! `asterism import` fills a suite that runs already.

use crate::support::{asterism, suite, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_purchases_go_into_a_suite_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let suite = suite(folder.path()).await;
    let address = format!("http://{}", suite.api);
    let imported = asterism(&["import", "--address", &address]).await;
    let said = text(&imported);
    assert_eq!(imported.status.code(), Some(0), "{said}");
    assert!(said.contains("2357 customers, 6919 purchases"), "{said}");
    assert!(said.contains("244,091.94"), "{said}");
    suite.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_needs_all_four_services() {
    let imported = asterism(&["import", "--peer-customer", "http://127.0.0.1:1"]).await;
    let said = text(&imported);
    assert_eq!(imported.status.code(), Some(64), "{said}");
    assert!(
        said.contains("the address of the loyalty service is missing"),
        "{said}"
    );
}
