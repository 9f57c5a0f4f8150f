//! Complaint 14 (vendurehq/vendure#4660, linlinjava/litemall#581, shopperlabs/shopper#510): limits bypassed by races, 64
//! requests and 9 claims of 1.

use api::loyalty::v1 as pb;
use pb::LimitExcess::{Clamp, Refuse};
use pb::loyalty_service_client::LoyaltyServiceClient;
use rstest::rstest;
use testkit::{Backend, assert_refused};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::{budget, cap, set, used};
use crate::merges::{merge, verify};
use crate::shop::{NOW, Purchase, Shop, earn};

/// Callers at once.
const CALLERS: usize = 64;

/// A service with so many members.
async fn crowd(backend: Backend, members: usize) -> Shop {
    let shop = Shop::open(backend).await;
    for n in 0..members {
        shop.created(&format!("m{n}")).await;
    }
    shop.caught_up().await;
    shop
}

/// Earns so many points each, at two replicas; returns what was earned, and what was refused.
async fn earn_at_once(
    shop: &Shop,
    members: usize,
    points: i64,
) -> (Vec<pb::LedgerTransaction>, Vec<Status>) {
    let replica = shop.server.replica().await;
    let clients = [
        shop.client.clone(),
        LoyaltyServiceClient::new(replica.channel()),
    ];
    let mut calls = JoinSet::new();
    for n in 0..CALLERS {
        let mut client = clients[n % 2].clone();
        let request = earn(&format!("m{}", n % members), points, &format!("s{n}"));
        calls.spawn(async move { client.earn_points(request).await });
    }
    let (mut earned, mut refused) = (Vec::new(), Vec::new());
    for outcome in calls.join_all().await {
        match outcome {
            Ok(answer) => earned.push(answer.into_inner().transaction.unwrap()),
            Err(status) => refused.push(status),
        }
    }
    (earned, refused)
}

fn assert_all_reached(refused: Vec<Status>) {
    for status in refused {
        assert_refused(
            Err::<(), _>(status),
            Code::FailedPrecondition,
            "LIMIT_REACHED",
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_64_callers_one_claims_what_is_there_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = crowd(backend, CALLERS).await;
    set(&shop, budget("once", 1, Refuse)).await;
    let (earned, refused) = earn_at_once(&shop, CALLERS, 1).await;
    assert_eq!((earned.len(), refused.len()), (1, CALLERS - 1));
    assert_all_reached(refused);
    assert_eq!(used(&shop, "").await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_used_up_exactly_and_never_exceeded(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = crowd(backend, 16).await;
    set(&shop, budget("all", 1000, Clamp)).await;
    let (earned, refused) = earn_at_once(&shop, 16, 30).await;
    let sum: i64 = earned.iter().map(|posting| posting.points).sum();
    let cut = earned
        .iter()
        .filter(|posting| !posting.limit_cuts.is_empty());
    assert_eq!((sum, cut.count(), earned.len()), (1000, 1, 34));
    assert_all_reached(refused);
    assert_eq!(used(&shop, "").await, 1000);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_cap_of_one_member_is_never_exceeded(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 1).await;
    set(&shop, cap("month", 100, Refuse)).await;
    let (earned, refused) = earn_at_once(&shop, 1, 7).await;
    assert_eq!(earned.len(), 14);
    assert_all_reached(refused);
    assert_eq!(
        (used(&shop, "m0").await, shop.balance("m0").await),
        (98, (98, 0, 0))
    );
}

/// What was given back is there for others, while they earn.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn earnings_and_reversals_at_once_leave_what_the_ledger_has(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 8).await;
    let budgets = [("a", 900), ("b", 1000), ("c", 1100)];
    for (limit_id, points) in budgets {
        set(&shop, budget(limit_id, points, Clamp)).await;
    }
    set(&shop, cap("month", 150, Clamp)).await;
    let mut earnings = Vec::new();
    for n in 0..24 {
        let customer_id = format!("m{}", n % 8);
        let earned = shop.earn(&customer_id, 30, &format!("first-{n}")).await;
        earnings.push((customer_id, earned.transaction.unwrap().transaction_id));
    }
    let mut calls = JoinSet::new();
    for (customer_id, transaction_id) in earnings {
        let mut client = shop.client.clone();
        calls.spawn(async move {
            let request = pb::ReverseTransactionRequest {
                customer_id,
                transaction_id,
                ..Default::default()
            };
            client.reverse_transaction(request).await.unwrap();
        });
    }
    for n in 0..8 {
        let purchase = format!("t{n}");
        shop.bought(&format!("m{n}"), Purchase::dollars(&purchase, NOW, 40))
            .await;
    }
    let (_, refused) = earn_at_once(&shop, 8, 25).await;
    assert_all_reached(refused);
    calls.join_all().await;
    shop.caught_up().await;
    let mut held = 0;
    for n in 0..8 {
        let (available, _, debt) = shop.balance(&format!("m{n}")).await;
        assert!((0..=150).contains(&(available - debt)));
        held += available - debt;
    }
    assert!(held <= 900);
    for (_, used) in super::used_at(&shop, "", None).await {
        assert_eq!(used, held);
    }
    verify(&shop).await;
}

/// A person's purchases under one name and earnings under the other are held against the same cap.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn two_names_of_one_person_do_not_use_the_same_room(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = crowd(backend, 2).await;
    set(&shop, cap("month", 100, Clamp)).await;
    merge(&mut shop, "m0", "m1").await;
    for n in 0..20 {
        let purchase = format!("t{n}");
        shop.bought("m1", Purchase::dollars(&purchase, NOW, 9))
            .await;
    }
    let (_, refused) = earn_at_once(&shop, 1, 9).await;
    assert_all_reached(refused);
    shop.caught_up().await;
    assert_eq!(
        (used(&shop, "m0").await, shop.balance("m0").await),
        (100, (100, 0, 0))
    );
    verify(&shop).await;
}
