//! Mutations with bad input: every violation named, and nothing changed.

use api::segmentation::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::models::{indicator, orders_only};
use crate::refusals::{fields, text};
use crate::world::{NOW, World, at};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_mutation_changes_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    let client = &mut world.client;
    let (future, request_id) = (at("2026-07-02"), "x".repeat(65));
    let request = pb::ComputeRfmRequest {
        as_of: future,
        window_days: -1,
        rule: 99,
        request_id: request_id.clone(),
    };
    let named = fields(client.compute_rfm(request).await);
    assert_eq!(named, ["request_id", "as_of", "window_days", "rule"]);
    let request = pb::BuildReferenceRequest {
        as_of: future,
        model_id: text("é"),
        request_id: request_id.clone(),
    };
    assert_eq!(
        fields(client.build_reference(request).await),
        ["request_id", "model_id", "as_of"]
    );
    let request = pb::RerateCustomersRequest {
        as_of: future,
        request_id: request_id.clone(),
    };
    assert_eq!(
        fields(client.rerate_customers(request).await),
        ["request_id", "as_of"]
    );
    let request = pb::ActivateRatingModelRequest {
        model_id: text(""),
        request_id,
    };
    assert_eq!(
        fields(client.activate_rating_model(request).await),
        ["request_id", "model_id"]
    );

    let grid = client
        .get_rfm_grid(pb::GetRfmGridRequest {
            as_of: at(NOW),
            ..Default::default()
        })
        .await;
    assert_refused(grid, Code::NotFound, "RFM_RUN_NOT_FOUND");
    let rating = pb::GetRatingRequest {
        customer_id: text("c10"),
        ..Default::default()
    };
    assert_refused(
        client.get_rating(rating).await,
        Code::FailedPrecondition,
        "NO_REFERENCE",
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_makes_no_sense_is_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    use pb::IndicatorKind::{CategoryBreadth, Frequency, Spend, Unspecified};
    let mut world = World::start(backend).await;
    let with = |indicators| pb::CreateRatingModelRequest {
        indicators,
        ..orders_only()
    };
    let cases: Vec<(pb::CreateRatingModelRequest, &[&str])> = vec![
        (
            with(vec![
                indicator(Spend, 365, 6_000),
                indicator(Frequency, 365, 3_999),
            ]),
            &["indicators"],
        ),
        (with(vec![]), &["indicators"]),
        (
            with(vec![indicator(CategoryBreadth, 365, 10_000)]),
            &["indicators"],
        ),
        (
            with(vec![
                indicator(Spend, 90, 5_000),
                indicator(Spend, 90, 5_000),
            ]),
            &["indicators"],
        ),
        (
            with(vec![indicator(Unspecified, 0, 0)]),
            &[
                "indicators[0].kind",
                "indicators[0].window_days",
                "indicators[0].weight_basis_points",
            ],
        ),
        (
            pb::CreateRatingModelRequest {
                display_name: text(" "),
                ..orders_only()
            },
            &["display_name"],
        ),
        (
            pb::CreateRatingModelRequest {
                cut_scores_ppm: vec![1, 2, 3],
                ..orders_only()
            },
            &["cut_scores_ppm"],
        ),
        (
            pb::CreateRatingModelRequest {
                margin_ppm: Some(100_000),
                ..orders_only()
            },
            &["margin_ppm"],
        ),
        (
            pb::CreateRatingModelRequest {
                minimum_dwell_days: Some(-1),
                ..orders_only()
            },
            &["minimum_dwell_days"],
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(
            fields(world.client.create_rating_model(request).await),
            expected
        );
    }
    // None of them was stored: the next model is the second.
    let model = world
        .client
        .create_rating_model(orders_only())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(model.model.unwrap().version, 2);
}
