//! Postings that are committed together keep out of each other's way.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use futures::future::join_all;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tonic::Code;

use crate::shop::{Shop, earn, redeem};

const MEMBERS: usize = 8;

/// `count` members of the default program: `m0`, `m1`, ...
async fn shop_with_members(backend: Backend, count: usize) -> Shop {
    let shop = Shop::open(backend).await;
    for number in 0..count {
        shop.created(&member(number)).await;
    }
    shop.caught_up().await;
    shop
}

fn member(number: usize) -> String {
    format!("m{}", number % MEMBERS)
}

fn keyed(request: pb::EarnPointsRequest, request_id: &str) -> pb::EarnPointsRequest {
    pb::EarnPointsRequest {
        request_id: request_id.to_owned(),
        ..request
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_call_of_a_crowd_has_its_own_effect_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with_members(backend, MEMBERS).await;
    // Every call is sent twice at the same time, under one request id.
    let calls = (0..400).map(|number| {
        let mut client = shop.client.clone();
        let (number, points) = (number / 2, 1 + i64::try_from(number / 2).unwrap());
        async move {
            let request = earn(&member(number), points, &format!("order-{number}"));
            let request = keyed(request, &format!("r{number}"));
            (
                number,
                points,
                client.earn_points(request).await.unwrap().into_inner(),
            )
        }
    });
    let mut answers: BTreeMap<usize, Vec<pb::EarnPointsResponse>> = BTreeMap::new();
    let mut earned: BTreeMap<String, i64> = BTreeMap::new();
    for (number, points, answer) in join_all(calls).await {
        if !answers.contains_key(&number) {
            *earned.entry(member(number)).or_default() += points;
        }
        answers.entry(number).or_default().push(answer);
    }
    for pair in answers.values() {
        assert_eq!(pair[0], pair[1], "the second one is the first one's answer");
    }
    for (customer_id, points) in earned {
        let (available, ..) = shop.balance(&customer_id).await;
        assert_eq!(available, points, "{customer_id}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_reused_key_is_refused_also_beside_the_first_use(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with_members(backend, MEMBERS).await;
    // One request id for calls that differ in their points: the first to be posted wins, and only it.
    let calls = (1..=60).map(|points| {
        let mut client = shop.client.clone();
        async move {
            let request = keyed(earn("m0", points, &format!("order-{points}")), "same");
            (points, client.earn_points(request).await)
        }
    });
    let (posted, refused): (Vec<_>, Vec<_>) = join_all(calls)
        .await
        .into_iter()
        .partition(|(_, answer)| answer.is_ok());
    assert_eq!(posted.len(), 1);
    for (_, answer) in refused {
        assert_refused(answer, Code::InvalidArgument, "REQUEST_ID_REUSED");
    }
    assert_eq!(shop.balance("m0").await.0, posted[0].0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_source_earns_once_whoever_comes_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with_members(backend, MEMBERS).await;
    // The same source for members of every line: only one of them gets the points.
    let calls = (0..64).map(|number| {
        let mut client = shop.client.clone();
        async move { client.earn_points(earn(&member(number), 5, "gift")).await }
    });
    let answers = join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for answer in answers.into_iter().filter(Result::is_err) {
        assert_refused(answer, Code::AlreadyExists, "SOURCE_ALREADY_POSTED");
    }
    let mut total = 0;
    for number in 0..MEMBERS {
        total += shop.balance(&member(number)).await.0;
    }
    assert_eq!(total, 5);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_no_trace_in_the_others(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with_members(backend, MEMBERS).await;
    shop.earn("m0", 100, "start").await;
    // Of 40 redemptions of 7 points, 14 can be paid; between them members unknown and points earned elsewhere.
    let calls = (0..120).map(|number| {
        let mut client = shop.client.clone();
        async move {
            match number % 3 {
                0 => client.redeem_points(redeem("m0", 7)).await.map(drop),
                1 => client
                    .earn_points(earn("nobody", 9, &format!("n{number}")))
                    .await
                    .map(drop),
                _ => client
                    .earn_points(earn("m1", 1, &format!("e{number}")))
                    .await
                    .map(drop),
            }
        }
    });
    let answers = join_all(calls).await;
    let count = |wanted: &str| {
        let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
        refused
            .filter(|status| status.message().contains(wanted))
            .count()
    };
    assert_eq!(count("points can be spent"), 40 - 14);
    assert_eq!(count("not a member"), 40);
    assert_eq!(shop.balance("m0").await.0, 100 - 14 * 7);
    assert_eq!(shop.balance("m1").await.0, 40);
    let transactions = shop.transactions("m0").await;
    assert_eq!(transactions.len(), 1 + 14, "nothing of what was refused");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_among_others_is_repeated_to_whoever_asks_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with_members(backend, MEMBERS).await;
    let request = pb::RedeemPointsRequest {
        request_id: "too-much".to_owned(),
        ..redeem("m0", 50)
    };
    let crowd = (0..30).map(|number| {
        let (mut client, request) = (shop.client.clone(), request.clone());
        async move {
            if number == 15 {
                let refused = client.redeem_points(request).await;
                assert_refused(refused, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
            } else {
                client
                    .earn_points(earn("m1", 1, &format!("o{number}")))
                    .await
                    .unwrap();
            }
        }
    });
    join_all(crowd).await;
    shop.earn("m0", 500, "later").await;
    let again = shop.client.redeem_points(request).await;
    assert_refused(again, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    assert_eq!(shop.balance("m0").await.0, 500);
}
