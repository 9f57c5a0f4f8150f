//! How long runs are kept, how they are listed, and that they only go on.

use api::loyalty::v1 as pb;
use common::on;
use pb::audit_service_client::AuditServiceClient;
use rstest::rstest;
use testkit::{Backend, time, until, violations};

use super::{runs, told};
use crate::recalculation::aged;
use crate::shop::Shop;

async fn recalculate(shop: &Shop, request_id: &str) -> bool {
    let request = pb::RecalculateTiersRequest {
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let mut client = shop.client.clone();
    let told = told(client.recalculate_tiers(request).await).await;
    told.unwrap().replayed
}

/// How many answers are kept.
async fn keys(shop: &Shop) -> i64 {
    const SELECT: &str = "SELECT COUNT(*) FROM idempotency";
    let mut db = shop.server.platform.reader().await.unwrap();
    on!(&mut db, |conn| sqlx::query_scalar(SELECT)
        .fetch_one(conn)
        .await)
    .unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn runs_are_kept_as_long_as_answers(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = aged(backend).await;
    recalculate(&shop, "r1").await;
    recalculate(&shop, "").await;
    shop.server.clock.set(time("1998-08-31T00:00:00Z"));
    recalculate(&shop, "r2").await;
    // 30 days and a moment after the first two. A server forgets when it starts.
    shop.server.clock.set(time("1998-09-01T00:00:01Z"));
    let _first = shop.server.replica().await;
    until("old answers are forgotten", async || keys(&shop).await == 1).await;
    let _second = shop.server.replica().await;
    until("old runs are forgotten", async || {
        runs(&shop).await.len() == 1
    })
    .await;
    assert_eq!(runs(&shop).await[0].request_id, "r2");
    assert!(recalculate(&shop, "r2").await);
    assert!(!recalculate(&shop, "r1").await);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn runs_are_listed_in_pages(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let shop = Shop::open(backend).await;
    for (number, request_id) in ["r1", "r2", "r3"].into_iter().enumerate() {
        let at = format!("1998-07-0{}T00:00:00Z", number + 1);
        shop.server.clock.set(time(&at));
        recalculate(&shop, request_id).await;
    }
    let mut client = AuditServiceClient::new(shop.server.channel());
    let mut request = pb::ListRunsRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = client
            .list_runs(request.clone())
            .await
            .unwrap()
            .into_inner();
        let ids: Vec<_> = page.runs.iter().map(|run| run.request_id.clone()).collect();
        pages.push(ids);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [vec!["r3", "r2"], vec!["r1"]]);
    let forged = pb::ListRunsRequest {
        page_size: -1,
        page_token: "forged".to_owned(),
    };
    let refused = client.list_runs(forged).await.unwrap_err();
    assert_eq!(violations(&refused), ["page_size", "page_token"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_run_never_changes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = aged(backend).await;
    recalculate(&shop, "r1").await;
    for statement in [
        "UPDATE runs SET reason = 'another one'",
        "UPDATE runs SET batches = batches + 1",
        "UPDATE runs SET finished_at = NULL",
        "UPDATE run_batches SET plan = '{}'",
        "UPDATE run_members SET revision = 1",
        "INSERT INTO run_members SELECT run_id, batch + 1, program_id, 'c9', revision, 0, 0, 0, passed_on FROM run_members",
        "INSERT INTO run_members SELECT run_id, batch, program_id, 'c9', NULL, 1, 0, 0, passed_on FROM run_members LIMIT 1",
    ] {
        assert!(shop.execute(statement).await.is_err(), "{statement}");
    }
    assert!(recalculate(&shop, "r1").await);
}
