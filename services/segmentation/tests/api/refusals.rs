//! Reads with bad input and at wrong moments: code, reason, fields.

use api::segmentation::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Response, Status};

use crate::world::{World, at};

pub fn fields<T: std::fmt::Debug>(result: Result<Response<T>, Status>) -> Vec<String> {
    let status = result.expect_err("the call should have been refused");
    let fields = violations(&status);
    assert_refused(
        Err::<(), _>(status),
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    fields
}

pub fn text(value: &str) -> String {
    value.to_owned()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn before_a_reference_nobody_has_a_rating(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.creates("c1").await;
    world.caught_up().await;
    let client = &mut world.client;
    let reason = "NO_REFERENCE";
    let code = Code::FailedPrecondition;
    for as_of in [None, at("2026-01-01")] {
        let request = pb::GetRatingRequest {
            customer_id: text("c1"),
            as_of,
            ..Default::default()
        };
        assert_refused(client.get_rating(request).await, code, reason);
        let request = pb::ExplainRatingRequest {
            customer_id: text("c1"),
            as_of,
            ..Default::default()
        };
        assert_refused(client.explain_rating(request).await, code, reason);
        let request = pb::BatchGetRatingsRequest {
            customer_ids: vec![text("c1")],
            as_of,
        };
        assert_refused(client.batch_get_ratings(request).await, code, reason);
        let request = pb::GetStarDistributionRequest {
            as_of,
            ..Default::default()
        };
        assert_refused(client.get_star_distribution(request).await, code, reason);
    }
    let rerate = client
        .rerate_customers(pb::RerateCustomersRequest::default())
        .await;
    assert_refused(rerate, code, reason);
    // Nobody bought anything: there is nothing to freeze or to score.
    let build = client
        .build_reference(pb::BuildReferenceRequest::default())
        .await;
    assert_refused(build, code, "EMPTY_BASE");
    let compute = client.compute_rfm(pb::ComputeRfmRequest::default()).await;
    assert_refused(compute, code, "EMPTY_BASE");
    let grid = client.get_rfm_grid(pb::GetRfmGridRequest::default()).await;
    assert_refused(grid, Code::NotFound, "RFM_RUN_NOT_FOUND");
    let model = client
        .get_rating_model(pb::GetRatingModelRequest::default())
        .await
        .unwrap();
    assert_eq!(model.into_inner().reference, None);
    assert!(world.history("c1").await.is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_not_found(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    let client = &mut world.client;
    let (code, customer_id) = (Code::NotFound, text("nobody"));
    let reason = "CUSTOMER_NOT_FOUND";
    let request = pb::GetRatingRequest {
        customer_id: customer_id.clone(),
        ..Default::default()
    };
    assert_refused(client.get_rating(request).await, code, reason);
    let request = pb::ExplainRatingRequest {
        customer_id: customer_id.clone(),
        ..Default::default()
    };
    assert_refused(client.explain_rating(request).await, code, reason);
    let request = pb::GetFeaturesRequest {
        customer_id: customer_id.clone(),
        ..Default::default()
    };
    assert_refused(client.get_features(request).await, code, reason);
    let request = pb::GetRfmRequest {
        customer_id: customer_id.clone(),
        ..Default::default()
    };
    assert_refused(client.get_rfm(request).await, code, reason);
    let request = pb::ListRatingHistoryRequest {
        customer_id,
        ..Default::default()
    };
    assert_refused(client.list_rating_history(request).await, code, reason);

    let (model_id, reason) = (text("nothing"), "RATING_MODEL_NOT_FOUND");
    let request = pb::GetRatingModelRequest {
        model_id: model_id.clone(),
    };
    assert_refused(client.get_rating_model(request).await, code, reason);
    let request = pb::BuildReferenceRequest {
        model_id: model_id.clone(),
        ..Default::default()
    };
    assert_refused(client.build_reference(request).await, code, reason);
    let request = pb::ActivateRatingModelRequest {
        model_id,
        ..Default::default()
    };
    assert_refused(client.activate_rating_model(request).await, code, reason);
    let request = pb::GetRfmGridRequest {
        run_id: text("nothing"),
        ..Default::default()
    };
    assert_refused(
        client.get_rfm_grid(request).await,
        code,
        "RFM_RUN_NOT_FOUND",
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_cannot_be_new_enough_says_try_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.creates("c1").await;
    world.caught_up().await;
    let at_least = world.customers.token("c1", 99);
    let request = pb::GetFeaturesRequest {
        customer_id: text("c1"),
        at_least,
        ..Default::default()
    };
    let mut request = tonic::Request::new(request);
    request.set_timeout(std::time::Duration::from_millis(300));
    let refused = world.client.get_features(request).await;
    assert_refused(refused, Code::Unavailable, "PROJECTION_BEHIND");
    let request = pb::GetFeaturesRequest {
        customer_id: text("c1"),
        at_least: text("no token"),
        ..Default::default()
    };
    assert_eq!(
        fields(world.client.get_features(request).await),
        ["at_least"]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_read_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    let client = &mut world.client;
    let bad_time = Some(prost_types::Timestamp {
        seconds: 0,
        nanos: -1,
    });
    let bad = || (text("a b"), bad_time);
    let (customer_id, as_of) = bad();
    let request = pb::GetFeaturesRequest {
        customer_id,
        as_of,
        ..Default::default()
    };
    assert_eq!(
        fields(client.get_features(request).await),
        ["customer_id", "as_of"]
    );
    let (customer_id, as_of) = bad();
    let request = pb::GetRatingRequest {
        customer_id,
        as_of,
        ..Default::default()
    };
    assert_eq!(
        fields(client.get_rating(request).await),
        ["customer_id", "as_of"]
    );
    let (customer_id, as_of) = bad();
    let request = pb::ExplainRatingRequest {
        customer_id,
        as_of,
        ..Default::default()
    };
    assert_eq!(
        fields(client.explain_rating(request).await),
        ["customer_id", "as_of"]
    );
    let (customer_id, as_of) = bad();
    let request = pb::GetRfmRequest {
        customer_id,
        as_of,
        run_id: text("é"),
        ..Default::default()
    };
    assert_eq!(
        fields(client.get_rfm(request).await),
        ["customer_id", "run_id", "as_of"]
    );
    let request = pb::GetRfmGridRequest {
        as_of: bad_time,
        run_id: text("é"),
        ..Default::default()
    };
    assert_eq!(
        fields(client.get_rfm_grid(request).await),
        ["run_id", "as_of"]
    );
    let request = pb::GetRatingModelRequest {
        model_id: "x".repeat(65),
    };
    assert_eq!(fields(client.get_rating_model(request).await), ["model_id"]);
    let request = pb::BatchGetRatingsRequest {
        customer_ids: vec![],
        as_of: bad_time,
    };
    assert_eq!(
        fields(client.batch_get_ratings(request).await),
        ["customer_ids", "as_of"]
    );
    let request = pb::BatchGetRatingsRequest {
        customer_ids: vec![text("a"), text("a b")],
        as_of: None,
    };
    assert_eq!(
        fields(client.batch_get_ratings(request).await),
        ["customer_ids[1]"]
    );
    let request = pb::BatchGetRatingsRequest {
        customer_ids: vec![text("a"); 1_001],
        as_of: None,
    };
    assert_eq!(
        fields(client.batch_get_ratings(request).await),
        ["customer_ids"]
    );
    let request = pb::ListByStarRequest {
        stars: 6,
        page_size: -1,
        page_token: text("?"),
    };
    assert_eq!(
        fields(client.list_by_star(request).await)[..2],
        ["stars", "page_size"]
    );
    let request = pb::GetStarDistributionRequest {
        as_of: bad_time,
        window_days: -1,
    };
    assert_eq!(
        fields(client.get_star_distribution(request).await),
        ["as_of", "window_days"]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_page_token_of_another_list_is_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let request = pb::ListByStarRequest {
        stars: 5,
        page_size: 1,
        ..Default::default()
    };
    let page = world
        .client
        .list_by_star(request.clone())
        .await
        .unwrap()
        .into_inner();
    let page_token = page.next_page_token;
    let other = pb::ListByStarRequest {
        stars: 4,
        page_token: page_token.clone(),
        ..request
    };
    assert_eq!(
        fields(world.client.list_by_star(other).await),
        ["page_token"]
    );
    for page_token in [page_token, text("garbage")] {
        let request = pb::ListRatingHistoryRequest {
            customer_id: text("c10"),
            page_token,
            ..Default::default()
        };
        assert_eq!(
            fields(world.client.list_rating_history(request).await),
            ["page_token"]
        );
    }
}
