//! Stars that move with every purchase.

use api::segmentation::v1 as pb;
use chrono::TimeDelta;
use rstest::rstest;
use testkit::Backend;

use crate::world::{Buy, NOW, USD, World, at};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_promotes_at_once_and_tells_so_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    for order in 0..10 {
        let id = format!("more{order}");
        let buy = Buy {
            customer: "c01",
            id: &id,
            micros: 100 * USD,
            on: NOW,
            ..Buy::default()
        };
        world.buys(buy).await;
    }
    let revision = world.next_revision("c01");
    let touch = api::customer::v1::InteractionRecorded::default();
    world.customers.emit("c01", revision, &touch).await;

    let request = pb::GetRatingRequest {
        customer_id: "c01".to_owned(),
        at_least: world.customers.token("c01", revision),
        ..Default::default()
    };
    let response = world.client.get_rating(request).await.unwrap().into_inner();
    let rating = response.rating.unwrap();
    assert_eq!(rating.stars, 5);
    assert!(!response.consistency_token.is_empty());
    let told = world.changes_told("c01").await;
    let revisions: Vec<_> = told
        .iter()
        .map(|t| t.rating.as_ref().unwrap().revision)
        .collect();
    assert_eq!(revisions, (1..=rating.revision).collect::<Vec<_>>());
    // Eleven ratings, but only changes of the stars are told, each from where the last one ended.
    assert!((2..=5).contains(&told.len()), "{told:?}");
    for pair in told.windows(2) {
        assert_eq!(
            pair[1].previous_stars,
            pair[0].rating.as_ref().unwrap().stars
        );
    }
    assert_eq!(told.last().unwrap().rating.as_ref().unwrap().stars, 5);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_customer_is_rated_from_the_start(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    world.creates("new").await;
    world.caught_up().await;
    let rating = world.rating("new").await;
    assert_eq!((rating.stars, rating.score_ppm, rating.revision), (1, 0, 1));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_void_demotes_only_after_the_dwell(
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
    let held = world.rating("c10").await;
    assert_eq!((held.stars, held.raw_stars, held.score_ppm), (5, 1, 0));
    assert_eq!(held.held_reason(), pb::HeldReason::MinimumDwell);

    world
        .server
        .clock
        .advance(TimeDelta::days(30) - TimeDelta::microseconds(1));
    world.rerates().await;
    assert_eq!(world.rating("c10").await.stars, 5);
    world.server.clock.advance(TimeDelta::microseconds(1));
    assert_eq!(world.rerates().await.changed, 1);
    let fallen = world.rating("c10").await;
    assert_eq!(
        (fallen.stars, fallen.held_reason()),
        (1, pb::HeldReason::Unspecified)
    );
    assert_eq!(fallen.stars_since, fallen.as_of);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_back_does_not_hide_a_purchase(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let before = world.rating("c01").await;
    world.server.clock.advance(TimeDelta::days(-3));
    world
        .buys(Buy {
            customer: "c01",
            id: "big",
            micros: 900 * USD,
            ..Buy::default()
        })
        .await;
    world.caught_up().await;
    let after = world.rating("c01").await;
    assert!(after.score_ppm > before.score_ppm);
    assert_eq!(after.as_of, before.as_of);
}

/// Numbers that look random and are the same in every run.
struct Lots(u64);

impl Lots {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Purchases and voids in no particular order, with and without categories, in and out of the window.
async fn history(world: &mut World, lots: &mut Lots, round: u64) {
    const CATEGORIES: [&str; 4] = ["books", "games", "music", ""];
    for step in 0..60 {
        let customer = format!("c{:02}", 1 + lots.below(10));
        let on = format!("2026-{:02}-{:02}", 1 + lots.below(6), 1 + lots.below(28));
        let on = if lots.below(6) == 0 {
            format!("2024{}", &on[4..])
        } else {
            on
        };
        let categories = &CATEGORIES[..usize::try_from(lots.below(5)).unwrap()];
        let id = format!("x{round}-{step}");
        let micros = i64::try_from(lots.below(200)).unwrap() * USD / 3;
        let buy = || Buy {
            customer: &customer,
            id: &id,
            on: &on,
            micros,
            categories,
            ..Buy::default()
        };
        world.buys(buy()).await;
        if lots.below(4) == 0 {
            world.voids(buy()).await;
        }
    }
    world.caught_up().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn after_any_history_real_time_equals_batch_to_the_last_digit(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    let mut lots = Lots(7);
    world.ten_customers().await;
    history(&mut world, &mut lots, 0).await;
    world.builds_reference().await;
    for round in 1..=3 {
        history(&mut world, &mut lots, round).await;
        let mut real_time = Vec::new();
        for n in 1..=10 {
            let customer_id = format!("c{n:02}");
            let stored = world.rating(&customer_id).await;
            let request = pb::GetRatingRequest {
                customer_id,
                as_of: at(NOW),
                ..Default::default()
            };
            let computed = world.client.get_rating(request).await.unwrap().into_inner();
            let computed = pb::Rating {
                revision: stored.revision,
                ..computed.rating.unwrap()
            };
            assert_eq!(computed.score_ppm, stored.score_ppm);
            assert_eq!(
                (computed.stars, computed.raw_stars),
                (stored.stars, stored.raw_stars)
            );
            real_time.push(stored);
        }
        let summary = world.rerates().await;
        assert_eq!((summary.rated, summary.changed), (10, 0));
        for stored in real_time {
            let rerated = world.rating(&stored.customer_id).await;
            // The moment is the batch's where nothing happened to the customer since; nothing else differs.
            assert_eq!(
                pb::Rating {
                    as_of: stored.as_of,
                    ..rerated
                },
                stored
            );
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn re_rating_while_purchases_arrive_loses_none(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    world.ten_customers().await;
    world.builds_reference().await;
    let mut client = world.client.clone();
    let batches = tokio::spawn(async move {
        for _ in 0..15 {
            let request = pb::RerateCustomersRequest::default();
            let done = client.rerate_customers(request).await.unwrap().into_inner();
            assert_eq!(done.summary.unwrap().rated, 10);
        }
    });
    history(&mut world, &mut Lots(11), 1).await;
    batches.await.unwrap();
    for n in 1..=10 {
        let customer_id = format!("c{n:02}");
        let stored = world.rating(&customer_id).await;
        let told = world.changes_told(&customer_id).await;
        let revisions: Vec<_> = told
            .iter()
            .map(|t| t.rating.as_ref().unwrap().revision)
            .collect();
        assert_eq!(
            revisions,
            (1..=stored.revision).collect::<Vec<_>>(),
            "no gap, no repetition"
        );
        let request = pb::GetRatingRequest {
            customer_id,
            as_of: at(NOW),
            ..Default::default()
        };
        let computed = world.client.get_rating(request).await.unwrap().into_inner();
        assert_eq!(computed.rating.unwrap().score_ppm, stored.score_ppm);
    }
}
