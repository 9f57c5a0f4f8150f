//! What the feed does to features.

use api::segmentation::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::world::{Buy, USD, World, at};

const TODAY: &str = "2026-07-01";

fn spend(window: &pb::WindowFeatures) -> i64 {
    window.spend.as_ref().unwrap().micros
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn purchases_add_up_by_window_and_as_of(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.creates("c1").await;
    let buy = |id, on, dollars: i64, categories| Buy {
        id,
        on,
        micros: dollars * USD,
        categories,
        ..Buy::default()
    };
    world.buys(buy("t1", "2025-07-01", 100, &["books"])).await;
    world.buys(buy("t2", "2025-07-02", 10, &["books"])).await;
    world
        .buys(buy(
            "t3",
            "2026-06-02T23:59:59Z",
            1,
            &["games", "books", ""],
        ))
        .await;
    world.buys(buy("t4", "2026-06-02", 2, &[])).await;
    world.caught_up().await;

    let features = world.features("c1", TODAY).await;
    let total = features.total.unwrap();
    assert_eq!(
        (total.orders, spend(&total), total.categories),
        (4, 113 * USD, 2)
    );
    // The window of 365 days ends today, so it starts on 2025-07-02; that of 30 days on 2026-06-02.
    let windows: Vec<_> = features
        .windows
        .iter()
        .map(|w| (w.window_days, w.orders, spend(w) / USD, w.categories))
        .collect();
    assert_eq!(windows, [(30, 2, 3, 2), (90, 2, 3, 2), (365, 3, 13, 2)]);
    assert_eq!(features.first_purchase_day, at("2025-07-01"));
    assert_eq!(features.last_purchase_day, at("2026-06-02"));
    assert_eq!(features.recency_days, Some(29));

    let earlier = world.features("c1", "2025-07-01T00:00:00Z").await;
    assert_eq!(
        (earlier.total.unwrap().orders, earlier.recency_days),
        (1, Some(0))
    );
    let before = world.features("c1", "2025-06-30").await;
    assert_eq!(
        (before.total.unwrap().orders, before.last_purchase_day),
        (0, None)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_counts_once_and_is_taken_out_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.creates("c1").await;
    let first = || Buy {
        id: "t1",
        on: "2026-05-01",
        categories: &["books"],
        ..Buy::default()
    };
    let second = || Buy {
        id: "t2",
        on: "2026-06-01",
        categories: &["books", "games"],
        ..Buy::default()
    };
    for _ in 0..2 {
        world.buys(first()).await;
        world.buys(second()).await;
    }
    world.caught_up().await;
    let total = world.features("c1", TODAY).await.total.unwrap();
    assert_eq!(
        (total.orders, spend(&total), total.categories),
        (2, 20 * USD, 2)
    );

    for _ in 0..2 {
        world.voids(second()).await;
    }
    // A record that arrives again after its void stays out.
    world.buys(second()).await;
    world.caught_up().await;
    let features = world.features("c1", TODAY).await;
    assert_eq!(features.last_purchase_day, at("2026-05-01"));
    let total = features.total.unwrap();
    assert_eq!(
        (total.orders, spend(&total), total.categories),
        (1, 10 * USD, 1)
    );

    // A void that arrives before its record keeps it out.
    world
        .voids(Buy {
            id: "t3",
            ..Buy::default()
        })
        .await;
    world
        .buys(Buy {
            id: "t3",
            ..Buy::default()
        })
        .await;
    world.caught_up().await;
    assert_eq!(world.features("c1", TODAY).await.total.unwrap().orders, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn another_currency_is_counted_as_ignored(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    let euros = |id| Buy {
        id,
        currency: "EUR",
        ..Buy::default()
    };
    world.buys(euros("t1")).await;
    world.buys(euros("t2")).await;
    world.voids(euros("t2")).await;
    world.caught_up().await;
    let features = world.features("c1", TODAY).await;
    assert_eq!(
        (
            features.ignored_transactions,
            features.total.unwrap().orders
        ),
        (1, 0)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_customer_is_gone_and_stays_gone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    world
        .client
        .compute_rfm(pb::ComputeRfmRequest::default())
        .await
        .unwrap();
    world.deletes("c10").await;
    world
        .buys(Buy {
            customer: "c10",
            id: "late",
            ..Buy::default()
        })
        .await;
    world.caught_up().await;
    let request = pb::GetRatingRequest {
        customer_id: "c10".to_owned(),
        ..Default::default()
    };
    let refused = world.client.get_rating(request).await;
    assert_refused(refused, Code::NotFound, "CUSTOMER_NOT_FOUND");
    let request = pb::GetRfmRequest {
        customer_id: "c10".to_owned(),
        ..Default::default()
    };
    let refused = world.client.get_rfm(request).await;
    assert_refused(refused, Code::NotFound, "CUSTOMER_NOT_FOUND");
    let stars = world
        .client
        .get_star_distribution(pb::GetStarDistributionRequest::default())
        .await;
    let stars = stars.unwrap().into_inner();
    assert_eq!(
        (stars.customers, stars.spend.unwrap().micros),
        (9, 450 * USD)
    );
    assert_eq!(world.rerates().await.rated, 9);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing_and_repeats_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let before = world.rating("c05").await;
    let World {
        customers, server, ..
    } = world;
    let server = server.restart().await;
    server.caught_up(&customers).await;
    let mut client = crate::world::Client::new(server.channel());
    let request = pb::GetRatingRequest {
        customer_id: "c05".to_owned(),
        ..Default::default()
    };
    let after = client
        .get_rating(request)
        .await
        .unwrap()
        .into_inner()
        .rating
        .unwrap();
    assert_eq!(after, before);
}
