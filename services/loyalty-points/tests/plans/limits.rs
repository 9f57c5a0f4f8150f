//! What members who were merged have used of limits is read at once for all earnings of a transaction.

use api::loyalty::v1 as pb;
use pb::batch_post_item::Item;
use pb::batch_post_result::Outcome;
use pb::limit_service_client::LimitServiceClient;
use rstest::rstest;
use testkit::Backend;

use crate::heard::{alone, heard};
use crate::plan::{Sizes, read_whole};
use crate::shop::{Shop, earn};

/// Two persons, of two and three members, under a cap and a budget.
async fn merged(backend: Backend) -> Shop {
    let mut shop = Shop::open(backend).await;
    for customer_id in ["a", "b", "c", "d", "e"] {
        shop.created(customer_id).await;
    }
    shop.caught_up().await;
    for (limit_id, scope, points) in [
        ("each", pb::LimitScope::Member, 100),
        ("all", pb::LimitScope::Program, 1000),
    ] {
        let limit = pb::EarningLimit {
            limit_id: limit_id.to_owned(),
            scope: scope.into(),
            window: pb::LimitWindow::Month.into(),
            points,
            excess: pb::LimitExcess::Refuse.into(),
            ..Default::default()
        };
        let request = pb::SetEarningLimitRequest {
            limit: Some(limit),
            reason: "test".to_owned(),
            ..Default::default()
        };
        let mut client = LimitServiceClient::new(shop.server.channel());
        client.set_earning_limit(request).await.unwrap();
    }
    for customer_id in ["a", "b", "c", "d", "e"] {
        shop.earn(customer_id, 10, customer_id).await;
    }
    for (survivor, absorbed) in [("a", "b"), ("c", "d"), ("c", "e")] {
        let request = pb::MergeMembersRequest {
            survivor_id: survivor.to_owned(),
            absorbed_id: absorbed.to_owned(),
            reason: "same person".to_owned(),
            ..Default::default()
        };
        shop.client.merge_members(request).await.unwrap();
    }
    shop
}

/// Earns a point each, in one transaction.
async fn earn_at_once(shop: &Shop, customers: &[&str], round: &str) -> pb::BatchPostResponse {
    let item = |(number, customer_id): (usize, &&str)| pb::BatchPostItem {
        item: Some(Item::Earn(earn(
            customer_id,
            1,
            &format!("{round}/{number}"),
        ))),
    };
    let request = pb::BatchPostRequest {
        mode: pb::BatchMode::Linked.into(),
        items: customers.iter().enumerate().map(item).collect(),
        ..Default::default()
    };
    let answer = shop.client.clone().batch_post(request).await;
    answer.unwrap().into_inner()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn usage_of_merged_members_is_read_at_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let alone = alone().await;
    let shop = merged(backend).await;
    let mut counted = Vec::new();
    for customers in [vec!["a"], ["a", "c"].repeat(10)] {
        heard(&alone);
        let round = customers.len().to_string();
        let answer = earn_at_once(&shop, &customers, &round).await;
        for result in &answer.results {
            let outcome = result.outcome.as_ref().unwrap();
            assert!(!matches!(outcome, Outcome::Refusal(_)), "{outcome:?}");
        }
        assert_eq!(answer.results.len(), customers.len());
        let mut times = 0;
        for (text, runs) in heard(&alone) {
            if text.contains("survivor = wanted.") {
                times += runs.times;
                let whole = read_whole(&shop, &text, Sizes::Endless).await;
                assert!(whole.is_empty(), "{text}: {whole:?}");
            } else if text.starts_with("SELECT") && text.contains("limit_usage u") {
                times += runs.times;
            }
        }
        counted.push(times);
    }
    assert_eq!(counted, [2, 2]);

    // a: 20 by two members and 11 since; c: 30 and 10.
    for (customer_id, left) in [("a", 69), ("c", 60)] {
        let mut client = shop.client.clone();
        let too_much = earn(customer_id, left + 1, "too much");
        client.earn_points(too_much).await.unwrap_err();
        let the_rest = earn(customer_id, left, &format!("the rest of {customer_id}"));
        client.earn_points(the_rest).await.unwrap();
    }
}
