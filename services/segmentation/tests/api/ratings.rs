//! Stars of a base that stands still.

use std::collections::BTreeSet;

use api::segmentation::v1 as pb;
use chrono::TimeDelta;
use rstest::rstest;
use testkit::Backend;

use crate::world::{Buy, USD, World, at};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_rates_everybody_by_percentile(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    let built = world.builds_reference().await;
    let reference = built.reference.unwrap();
    assert_eq!(
        (reference.model_id.as_str(), reference.customers),
        ("default", 10)
    );
    assert_eq!(reference.indicator_populations, [10, 10, 0]);
    let summary = built.summary.unwrap();
    assert_eq!(
        (summary.rated, summary.changed, summary.skipped),
        (10, 10, 0)
    );
    let mut stars = Vec::new();
    for n in 1..=10 {
        let rating = world.rating(&format!("c{n:02}")).await;
        assert_eq!((rating.raw_stars, rating.revision), (rating.stars, 1));
        assert_eq!(rating.reference_id, reference.reference_id);
        // The n-th of ten has the mid-rank percentile (n - ½) / 10.
        assert!(
            (rating.score_ppm - (100_000 * n - 50_000)).abs() < 1_000,
            "{rating:?}"
        );
        stars.push(rating.stars);
    }
    assert_eq!(stars, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);

    // Again at the same moment, against a reference with the same values: nothing changes.
    let summary = world.builds_reference().await.summary.unwrap();
    assert_eq!((summary.rated, summary.changed), (10, 0));
    assert_eq!(world.changes_told("c10").await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn customers_who_bought_nothing_rank_below_all_who_did(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    for n in 0..20 {
        world.creates(&format!("idle{n}")).await;
    }
    world.ten_customers().await;
    let reference = world.builds_reference().await.reference.unwrap();
    assert_eq!(
        (reference.customers, reference.indicator_populations[0]),
        (30, 10)
    );
    let idle = world.rating("idle7").await;
    assert_eq!((idle.stars, idle.score_ppm), (1, 0));
    assert_eq!(world.rating("c10").await.stars, 5);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_distribution_says_who_holds_which_share_of_the_spend(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world
        .buys(Buy {
            customer: "c10",
            id: "old",
            on: "2020-01-01",
            ..Buy::default()
        })
        .await;
    world.caught_up().await;
    world.builds_reference().await;
    world.creates("new").await;
    world.caught_up().await;
    let read = pb::GetStarDistributionRequest {
        window_days: 365,
        ..Default::default()
    };
    let found = world
        .client
        .get_star_distribution(read)
        .await
        .unwrap()
        .into_inner();
    let buckets: Vec<_> = found
        .buckets
        .iter()
        .map(|b| {
            (
                b.stars,
                b.customers,
                b.spend.as_ref().unwrap().micros / USD,
                b.spend_share_basis_points,
            )
        })
        .collect();
    assert_eq!(
        buckets,
        [
            (5, 2, 190, 3455),
            (4, 2, 150, 2727),
            (3, 2, 110, 2000),
            (2, 2, 70, 1273),
            (1, 3, 30, 545)
        ]
    );
    assert_eq!((found.customers, found.unrated_customers), (11, 0));
    let whole = pb::GetStarDistributionRequest::default();
    let whole = world
        .client
        .get_star_distribution(whole)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(whole.spend.unwrap().micros, 560 * USD);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn pages_by_star_show_each_customer_once_best_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    // Six who tie, so that the page key needs the id.
    for n in 1..=6 {
        world
            .buys(Buy {
                customer: &format!("tie{n}"),
                ..Buy::default()
            })
            .await;
    }
    world.caught_up().await;
    world.builds_reference().await;
    let (mut seen, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = pb::ListByStarRequest {
            stars: 3,
            page_size: 4,
            page_token,
        };
        let page = world
            .client
            .list_by_star(request)
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.ratings.into_iter().map(|rating| rating.customer_id));
        pages += 1;
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, seen.len()), (2, 6));
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 6);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_answers_in_order_and_names_who_is_unknown(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let ids = ["c10", "nobody", "c01", "c10"].map(str::to_owned).to_vec();
    for as_of in [None, at("2026-07-01")] {
        let request = pb::BatchGetRatingsRequest {
            customer_ids: ids.clone(),
            as_of,
        };
        let found = world
            .client
            .batch_get_ratings(request)
            .await
            .unwrap()
            .into_inner();
        let stars: Vec<_> = found
            .ratings
            .iter()
            .map(|r| (r.customer_id.as_str(), r.stars))
            .collect();
        assert_eq!(stars, [("c10", 5), ("c01", 1)]);
        assert_eq!(found.unrated.len(), 1);
        assert_eq!(found.unrated[0].customer_id, "nobody");
        assert_eq!(found.unrated[0].reason, "CUSTOMER_NOT_FOUND");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_rating_for_another_moment_is_computed_and_not_stored(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let stored = world.rating("c10").await;
    let mut stars_as_of = async |day| {
        let request = pb::GetRatingRequest {
            customer_id: "c10".to_owned(),
            as_of: at(day),
            ..Default::default()
        };
        let response = world.client.get_rating(request).await.unwrap().into_inner();
        let rating = response.rating.unwrap();
        assert_eq!(
            (rating.revision, response.consistency_token.as_str()),
            (0, "")
        );
        rating.stars
    };
    // The purchases are of the first of June; the window is 365 days and counts its last day.
    assert_eq!(stars_as_of("2026-05-31").await, 1);
    assert_eq!(stars_as_of("2026-06-01").await, 5);
    assert_eq!(stars_as_of("2027-05-31").await, 5);
    assert_eq!(stars_as_of("2027-06-01").await, 1);
    assert_eq!(world.rating("c10").await, stored);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn purchases_that_leave_the_window_take_their_stars_along(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    world.server.clock.advance(TimeDelta::days(400));
    let summary = world.rerates().await;
    assert_eq!((summary.rated, summary.changed), (10, 8));
    assert_eq!(world.rating("c10").await.stars, 1);
    let history = world.history("c10").await;
    let changes: Vec<_> = history
        .iter()
        .map(|entry| (entry.previous_stars, entry.rating.as_ref().unwrap().stars))
        .collect();
    assert_eq!(changes, [(5, 1), (0, 5)]);
    let told = world.changes_told("c10").await;
    assert_eq!(
        told.iter().map(|t| t.previous_stars).collect::<Vec<_>>(),
        [0, 5]
    );
    assert_eq!(told[1].rating, history[0].rating);

    // The past stays as it was.
    let past = pb::GetStarDistributionRequest {
        as_of: at("2026-07-02"),
        ..Default::default()
    };
    let past = world
        .client
        .get_star_distribution(past)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        past.buckets.iter().map(|b| b.customers).collect::<Vec<_>>(),
        [2; 5]
    );
    let earlier = pb::RerateCustomersRequest {
        as_of: at("2026-07-02"),
        ..Default::default()
    };
    let earlier = world
        .client
        .rerate_customers(earlier)
        .await
        .unwrap()
        .into_inner()
        .summary
        .unwrap();
    assert_eq!((earlier.rated, earlier.skipped), (0, 10));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn history_comes_in_pages_newest_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    world.server.clock.advance(TimeDelta::days(400));
    world.rerates().await;
    let read = async |page_token: String| {
        let request = pb::ListRatingHistoryRequest {
            customer_id: "c10".to_owned(),
            page_size: 1,
            page_token,
            ..Default::default()
        };
        world
            .client
            .clone()
            .list_rating_history(request)
            .await
            .unwrap()
            .into_inner()
    };
    let first = read(String::new()).await;
    let second = read(first.next_page_token.clone()).await;
    let stars =
        |page: &pb::ListRatingHistoryResponse| page.entries[0].rating.as_ref().unwrap().stars;
    assert_eq!((first.entries.len(), stars(&first)), (1, 1));
    assert_eq!((second.entries.len(), stars(&second)), (1, 5));
    assert_eq!(second.next_page_token, "");
}
