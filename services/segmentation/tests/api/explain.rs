//! Why a customer has their stars.

use api::segmentation::v1 as pb;
use rstest::rstest;
use testkit::Backend;

use crate::world::{Buy, USD, World, at};

async fn explain(world: &mut World, customer: &str) -> pb::RatingExplanation {
    let request = pb::ExplainRatingRequest {
        customer_id: customer.to_owned(),
        ..Default::default()
    };
    world
        .client
        .explain_rating(request)
        .await
        .unwrap()
        .into_inner()
        .explanation
        .unwrap()
}

fn adds_up(explanation: &pb::RatingExplanation) {
    let score = explanation.rating.as_ref().unwrap().score_ppm;
    let contributions: i64 = explanation
        .indicators
        .iter()
        .map(|i| i.contribution_ppm)
        .sum();
    assert_eq!(contributions, score - 500_000);
    let weights: i64 = explanation
        .indicators
        .iter()
        .map(|i| i.effective_weight_basis_points)
        .sum();
    assert_eq!(weights, 10_000);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_numbers_add_up_and_missing_breadth_is_shared_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    let reference = world.builds_reference().await.reference.unwrap();
    for n in 1..=10 {
        adds_up(&explain(&mut world, &format!("c{n:02}")).await);
    }
    let explanation = explain(&mut world, "c05").await;
    let rating = explanation.rating.unwrap();
    assert_eq!((rating.stars, rating.model_id.as_str()), (3, "default"));
    assert_eq!(rating.reference_id, reference.reference_id);
    let [spend, frequency, breadth] = &explanation.indicators[..] else {
        panic!("three indicators")
    };
    assert_eq!(
        (spend.raw_value, spend.effective_weight_basis_points),
        (50 * USD, 6_666)
    );
    assert_eq!(
        (frequency.raw_value, frequency.effective_weight_basis_points),
        (5, 3_334)
    );
    assert_eq!(spend.indicator.as_ref().unwrap().weight_basis_points, 6_000);
    assert!(breadth.missing);
    assert_eq!(
        (breadth.contribution_ppm, breadth.needed_for_next_star),
        (0, None)
    );
    assert!(
        explanation.text.contains("Category breadth is missing"),
        "{}",
        explanation.text
    );
    assert!(
        explanation.text.contains("for 4 stars"),
        "{}",
        explanation.text
    );
    assert_eq!(
        (explanation.next_stars, explanation.next_star_score_ppm),
        (4, 640_000)
    );
    assert_eq!(
        explanation.distance_to_next_star_ppm,
        640_000 - rating.score_ppm
    );
    assert_eq!(explanation.demotion_score_ppm, 360_000);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_needed_is_enough_and_a_cent_less_is_not(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let needed = explain(&mut world, "c05").await.indicators[0]
        .needed_for_next_star
        .unwrap();
    // All else equal: one order goes out, a larger one takes its place.
    let order = |id, micros| Buy {
        customer: "c05",
        id,
        micros,
        ..Buy::default()
    };
    world.voids(order("t1", 10 * USD)).await;
    world.buys(order("short", 10 * USD + needed - 1)).await;
    world.caught_up().await;
    assert_eq!(world.rating("c05").await.stars, 3);
    world.voids(order("short", 10 * USD + needed - 1)).await;
    world.buys(order("enough", 10 * USD + needed)).await;
    world.caught_up().await;
    assert_eq!(world.rating("c05").await.stars, 4);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn breadth_counts_where_purchases_carry_categories(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    for n in 6..=10 {
        let customer = format!("c{n:02}");
        let categories = &["a", "b", "c", "d", "e"][..n - 5];
        world
            .buys(Buy {
                customer: &customer,
                id: "cat",
                categories,
                ..Buy::default()
            })
            .await;
    }
    world.caught_up().await;
    world.builds_reference().await;
    let with = explain(&mut world, "c10").await;
    adds_up(&with);
    assert_eq!(
        (with.indicators[2].missing, with.indicators[2].raw_value),
        (false, 5)
    );
    assert_eq!(with.indicators[2].effective_weight_basis_points, 1_000);
    let without = explain(&mut world, "c05").await;
    adds_up(&without);
    assert!(without.indicators[2].missing);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_held_star_says_why_and_until_when(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    for order in 1..=10 {
        world
            .voids(Buy {
                customer: "c10",
                id: &format!("t{order}"),
                ..Buy::default()
            })
            .await;
    }
    world.caught_up().await;
    let explanation = explain(&mut world, "c10").await;
    let rating = explanation.rating.as_ref().unwrap();
    assert_eq!((rating.stars, rating.raw_stars), (5, 1));
    assert_eq!(explanation.dwell_until, at("2026-07-31T12:00:00Z"));
    assert!(
        explanation
            .text
            .contains("no star is lost before 2026-07-31"),
        "{}",
        explanation.text
    );
    assert_eq!(
        (
            explanation.next_stars,
            explanation.distance_to_next_star_ppm
        ),
        (0, 0)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn another_moment_can_be_explained_too(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let request = pb::ExplainRatingRequest {
        customer_id: "c10".to_owned(),
        as_of: at("2026-05-01"),
        ..Default::default()
    };
    let explanation = world
        .client
        .explain_rating(request)
        .await
        .unwrap()
        .into_inner()
        .explanation
        .unwrap();
    adds_up(&explanation);
    assert_eq!(explanation.rating.unwrap().stars, 1);
    assert_eq!(explanation.indicators[0].raw_value, 0);
}
