//! RFM runs, with small vectors of our own.

use api::segmentation::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::world::{Buy, USD, World, at};

async fn score(world: &mut World, customer: &str, run_id: &str) -> pb::RfmScore {
    let request = pb::GetRfmRequest {
        customer_id: customer.to_owned(),
        run_id: run_id.to_owned(),
        ..Default::default()
    };
    world
        .client
        .get_rfm(request)
        .await
        .unwrap()
        .into_inner()
        .score
        .unwrap()
}

/// Five customers a to e; the n-th bought n times, the last time n days before July.
async fn five_customers(world: &mut World) {
    for (n, customer) in (1_i64..).zip(["a", "b", "c", "d", "e"]) {
        world.creates(customer).await;
        for order in 1..=n {
            let (id, on) = (format!("t{order}"), format!("2026-06-{:02}", 31 - n));
            world
                .buys(Buy {
                    customer,
                    id: &id,
                    on: &on,
                    ..Buy::default()
                })
                .await;
        }
    }
    world.creates("never").await;
    world.caught_up().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_fifth_gets_its_score(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let mut world = World::start(backend).await;
    five_customers(&mut world).await;
    let request = pb::ComputeRfmRequest {
        as_of: at("2026-07-01"),
        ..Default::default()
    };
    let run = world
        .client
        .compute_rfm(request)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    assert_eq!((run.customers, run.rule()), (5, pb::QuintileRule::AboveCut));
    // Type 7 over 1 to 5.
    assert_eq!(run.frequency_cuts, [1.8, 2.6, 3.4, 4.2]);
    assert_eq!(run.monetary_cuts, [18.0, 26.0, 34.0, 42.0]);
    let mut scores = Vec::new();
    for customer in ["a", "b", "c", "d", "e"] {
        scores.push(score(&mut world, customer, &run.run_id).await.rfm_score);
    }
    assert_eq!(scores, [511, 422, 333, 244, 155]);
    let first = score(&mut world, "a", "").await;
    assert_eq!((first.recency_days, first.frequency), (1, 1));
    assert_eq!(first.monetary.unwrap().micros, 10 * USD);

    let grid = pb::GetRfmGridRequest::default();
    let grid = world.client.get_rfm_grid(grid).await.unwrap().into_inner();
    assert_eq!(grid.run.unwrap().run_id, run.run_id);
    assert_eq!(grid.cells.len(), 25);
    let filled: Vec<_> = grid
        .cells
        .iter()
        .filter(|cell| cell.customers > 0)
        .map(|cell| {
            (
                cell.recency_score,
                cell.frequency_score,
                cell.spend.as_ref().unwrap().micros / USD,
            )
        })
        .collect();
    assert_eq!(
        filled,
        [(5, 1, 10), (4, 2, 20), (3, 3, 30), (2, 4, 40), (1, 5, 50)]
    );
    let split = pb::GetRfmGridRequest {
        split_by_monetary: true,
        ..Default::default()
    };
    let split = world.client.get_rfm_grid(split).await.unwrap().into_inner();
    assert_eq!(split.cells.len(), 125);
    assert_eq!(
        split.cells.iter().map(|cell| cell.customers).sum::<i64>(),
        5
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ties_share_the_lowest_score_that_fits(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    for n in 1..=6 {
        world
            .buys(Buy {
                customer: &format!("one{n}"),
                ..Buy::default()
            })
            .await;
    }
    for order in ["t1", "t2"] {
        world
            .buys(Buy {
                customer: "two",
                id: order,
                ..Buy::default()
            })
            .await;
    }
    world.caught_up().await;
    world
        .client
        .compute_rfm(pb::ComputeRfmRequest::default())
        .await
        .unwrap();
    assert_eq!(score(&mut world, "one1", "").await.frequency_score, 1);
    // The cuts are all 1: scores 2 to 4 stay empty.
    assert_eq!(score(&mut world, "two", "").await.frequency_score, 5);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_run_holds_for_its_moment_and_window(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    five_customers(&mut world).await;
    let request = pb::ComputeRfmRequest {
        as_of: at("2026-06-28"),
        window_days: 2,
        ..Default::default()
    };
    let early = world
        .client
        .compute_rfm(request)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    // c bought on the 28th, d on the 27th; e's purchases are outside the window, a's and b's come later.
    assert_eq!(early.customers, 2);
    let request = pb::ComputeRfmRequest {
        as_of: at("2026-06-30"),
        ..Default::default()
    };
    let late = world
        .client
        .compute_rfm(request)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    for (as_of, run) in [
        ("2026-06-29", &early),
        ("2026-06-30", &late),
        ("2026-12-31", &late),
    ] {
        let grid = pb::GetRfmGridRequest {
            as_of: at(as_of),
            ..Default::default()
        };
        let grid = world.client.get_rfm_grid(grid).await.unwrap().into_inner();
        assert_eq!(grid.run.as_ref(), Some(run), "{as_of}");
    }
    let outside = pb::GetRfmRequest {
        customer_id: "e".to_owned(),
        run_id: early.run_id.clone(),
        ..Default::default()
    };
    let refused = assert_refused(
        world.client.get_rfm(outside).await,
        Code::NotFound,
        "NOT_IN_RUN",
    );
    assert_eq!(refused.error_info().unwrap().metadata["customer_id"], "e");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_same_run(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut world = World::start(backend).await;
    five_customers(&mut world).await;
    let request = pb::ComputeRfmRequest {
        request_id: "r-1".to_owned(),
        ..Default::default()
    };
    let first = world.client.compute_rfm(request.clone()).await.unwrap();
    let again = world.client.compute_rfm(request.clone()).await.unwrap();
    assert!(again.metadata().contains_key("asterism-replayed"));
    assert_eq!(first.into_inner(), again.into_inner());
    let other = pb::ComputeRfmRequest {
        window_days: 30,
        ..request
    };
    let refused = world.client.compute_rfm(other).await;
    assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
}
