//! Rating models and their references.

use api::segmentation::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::world::World;

pub fn indicator(kind: pb::IndicatorKind, window_days: i64, weight: i32) -> pb::Indicator {
    pb::Indicator {
        kind: kind.into(),
        window_days,
        weight_basis_points: weight,
    }
}

/// A model that looks at orders only, of 90 days.
pub fn orders_only() -> pb::CreateRatingModelRequest {
    pb::CreateRatingModelRequest {
        display_name: "Orders".to_owned(),
        indicators: vec![indicator(pb::IndicatorKind::Frequency, 90, 10_000)],
        minimum_dwell_days: Some(0),
        margin_ppm: Some(0),
        ..Default::default()
    }
}

async fn create(world: &mut World) -> pb::RatingModel {
    world
        .client
        .create_rating_model(orders_only())
        .await
        .unwrap()
        .into_inner()
        .model
        .unwrap()
}

async fn get(world: &mut World, model_id: &str) -> pb::GetRatingModelResponse {
    let request = pb::GetRatingModelRequest {
        model_id: model_id.to_owned(),
    };
    world
        .client
        .get_rating_model(request)
        .await
        .unwrap()
        .into_inner()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_default_model_is_active_from_the_start(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    let found = get(&mut world, "").await;
    assert_eq!(found.reference, None);
    let model = found.model.unwrap();
    assert_eq!((model.model_id.as_str(), model.version), ("default", 1));
    assert_eq!(model.state(), pb::RatingModelState::Active);
    let weights: Vec<_> = model
        .indicators
        .iter()
        .map(|i| i.weight_basis_points)
        .collect();
    assert_eq!(weights, [6_000, 3_000, 1_000]);
    assert_eq!((model.margin_ppm, model.minimum_dwell_days), (40_000, 30));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_replaces_another_once_it_has_a_reference(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let model = create(&mut world).await;
    assert_eq!(
        (model.version, model.state()),
        (2, pb::RatingModelState::Draft)
    );
    let activate = pb::ActivateRatingModelRequest {
        model_id: model.model_id.clone(),
        request_id: "activate-1".to_owned(),
    };
    let refused = world.client.activate_rating_model(activate.clone()).await;
    assert_refused(refused, Code::FailedPrecondition, "NO_REFERENCE");
    assert_eq!(get(&mut world, "").await.model.unwrap().model_id, "default");

    // A draft's reference touches no rating.
    let before = world.rating("c10").await;
    let build = pb::BuildReferenceRequest {
        model_id: model.model_id.clone(),
        ..Default::default()
    };
    let built = world
        .client
        .build_reference(build)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(built.summary, None);
    assert_eq!(world.rating("c10").await, before);

    // The refusal was given for that request_id and stays.
    let refused = world.client.activate_rating_model(activate.clone()).await;
    assert_refused(refused, Code::FailedPrecondition, "NO_REFERENCE");
    let activate = pb::ActivateRatingModelRequest {
        request_id: "activate-2".to_owned(),
        ..activate
    };
    let response = world
        .client
        .activate_rating_model(activate.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(response.summary.as_ref().unwrap().rated, 10);
    let again = world.client.activate_rating_model(activate).await.unwrap();
    assert!(again.metadata().contains_key("asterism-replayed"));
    assert_eq!(again.into_inner(), response);

    let rating = world.rating("c10").await;
    assert_eq!(rating.model_id, model.model_id);
    assert_eq!(
        Some(rating.reference_id),
        built.reference.map(|r| r.reference_id)
    );
    assert_eq!(
        get(&mut world, "").await.model.unwrap().state(),
        pb::RatingModelState::Active
    );
    let old = get(&mut world, "default").await.model.unwrap();
    assert_eq!(old.state(), pb::RatingModelState::Retired);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_is_rated_any_model_may_take_over(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    let model_id = create(&mut world).await.model_id;
    let request = pb::ActivateRatingModelRequest {
        model_id,
        ..Default::default()
    };
    let response = world
        .client
        .activate_rating_model(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(response.summary, None);
    assert_eq!(
        response.model.unwrap().state(),
        pb::RatingModelState::Active
    );
    world.ten_customers().await;
    let built = world.builds_reference().await;
    assert_eq!(built.reference.unwrap().indicator_populations, [10]);
    assert_eq!(world.rating("c10").await.stars, 5);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_makes_one_model(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    let request = pb::CreateRatingModelRequest {
        request_id: "r-1".to_owned(),
        ..orders_only()
    };
    let first = world
        .client
        .create_rating_model(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = world
        .client
        .create_rating_model(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    assert_eq!(create(&mut world).await.version, 3);
}
