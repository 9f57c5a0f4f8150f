//! Purchases from the customer service, and what this service announces itself.

use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::feed::v1::{Event, ReadChangesRequest};
use api::loyalty::v1 as pb;
use prost::{Message, Name};
use rstest::rstest;
use testkit::{Backend, until};

use crate::shop::{Purchase, Shop};

const MARCH: &str = "1998-03-01T00:00:00Z";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_earns_a_point_for_each_whole_dollar(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let cents = Purchase {
        id: "t1",
        at: MARCH,
        currency: "USD",
        micros: 29_330_000,
    };
    shop.bought("c1", cents).await;
    shop.bought(
        "c1",
        Purchase {
            id: "t2",
            micros: 990_000,
            ..cents
        },
    )
    .await;
    shop.bought(
        "c1",
        Purchase {
            id: "t3",
            micros: 0,
            ..cents
        },
    )
    .await;
    shop.bought(
        "c1",
        Purchase {
            id: "t4",
            currency: "EUR",
            ..cents
        },
    )
    .await;
    shop.bought("nobody", Purchase { id: "t5", ..cents }).await;
    shop.caught_up().await;

    assert_eq!(shop.balance("c1").await, (29, 0, 0));
    let transactions = shop.transactions("c1").await;
    assert_eq!(transactions.len(), 1);
    let earned = &transactions[0];
    assert_eq!(
        (
            earned.source_type.as_str(),
            earned.source_ref.as_str(),
            earned.rule.as_str()
        ),
        ("transaction", "t1", "base")
    );
    assert_eq!(earned.occurred_at, crate::shop::at(MARCH));
    assert_eq!(earned.posted_at, crate::shop::at(crate::shop::NOW));
    let lot = &shop.lots("c1").await[0];
    assert_eq!(lot.expires_at, crate::shop::at("2000-02-29T00:00:00Z"));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_delivered_again_has_one_effect(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    for _ in 0..3 {
        shop.bought("c1", Purchase::dollars("t1", MARCH, 40)).await;
    }
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (40, 0, 0));
    assert_eq!(shop.transactions("c1").await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_of_long_ago_is_posted_and_expired_at_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", "1990-01-01T00:00:00Z", 40))
        .await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    assert_eq!(
        shop.balance_at("c1", Some(testkit::time("1991-01-01T00:00:00Z")))
            .await,
        (40, 0, 0)
    );
    let kinds: Vec<_> = shop
        .transactions("c1")
        .await
        .iter()
        .map(pb::LedgerTransaction::kind)
        .collect();
    assert_eq!(
        kinds,
        [pb::TransactionKind::Expire, pb::TransactionKind::Earn]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_void_takes_unspent_points_back_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", MARCH, 300)).await;
    shop.caught_up().await;
    assert_eq!(shop.tier("c1").await.tier, "Gold");
    for _ in 0..2 {
        shop.voided("c1", Purchase::dollars("t1", MARCH, 300)).await;
    }
    shop.voided("c1", Purchase::dollars("never recorded", MARCH, 300))
        .await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    let kinds: Vec<_> = shop
        .transactions("c1")
        .await
        .iter()
        .map(pb::LedgerTransaction::kind)
        .collect();
    assert_eq!(
        kinds,
        [pb::TransactionKind::Reverse, pb::TransactionKind::Earn]
    );
    assert_eq!(shop.lots("c1").await[0].state(), pb::LotState::Reversed);
    assert_eq!(shop.tier("c1").await.tier, "Bronze");
    let reasons: Vec<_> = shop
        .tier_history("c1")
        .await
        .iter()
        .map(pb::TierChange::reason)
        .collect();
    assert_eq!(
        reasons,
        [
            pb::TierChangeReason::Reversed,
            pb::TierChangeReason::Earned,
            pb::TierChangeReason::Enrolled
        ]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_void_after_spending_makes_debt_that_the_next_purchase_repays(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", MARCH, 50)).await;
    shop.caught_up().await;
    shop.redeem("c1", 30).await.unwrap();
    shop.voided("c1", Purchase::dollars("t1", MARCH, 50)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (0, 0, 30));
    shop.bought("c1", Purchase::dollars("t2", MARCH, 45)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (15, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_announced_in_order_with_growing_revisions(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", MARCH, 120)).await;
    shop.caught_up().await;
    shop.redeem("c1", 20).await.unwrap();
    shop.deleted("c1").await;
    shop.caught_up().await;

    let events = announced(&shop, 5).await;
    let names: Vec<_> = events.iter().map(name).collect();
    assert_eq!(
        names,
        [
            "MemberEnrolled",
            "PointsPosted",
            "TierChanged",
            "PointsPosted",
            "MemberClosed"
        ]
    );
    let revisions: Vec<_> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5]);
    let posted: pb::PointsPosted = unpack(&events[1]);
    assert_eq!((posted.points_after, posted.debt_after), (120, 0));
    assert_eq!(posted.transaction.unwrap().entries.len(), 2);
    let changed: pb::TierChanged = unpack(&events[2]);
    let change = changed.change.unwrap();
    assert_eq!(
        (change.from_tier.as_str(), change.to_tier.as_str()),
        ("Bronze", "Silver")
    );
    assert_eq!(change.revision, 3);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_is_announced_after_the_posting_of_each_change(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 50, "s1").await;
    let authorize = pb::AuthorizeHoldRequest {
        customer_id: "c1".to_owned(),
        points: 30,
        ..Default::default()
    };
    let held = shop.client.authorize_hold(authorize).await.unwrap();
    shop.server.clock.advance(chrono::TimeDelta::days(7));
    shop.earn("c1", 1, "s2").await;

    let events = announced(&shop, 7).await;
    let names: Vec<_> = events.iter().map(name).collect();
    let expected = [
        "MemberEnrolled",
        "PointsPosted",
        "PointsPosted",
        "HoldChanged",
        "PointsPosted",
        "HoldChanged",
        "PointsPosted",
    ];
    assert_eq!(names, expected);
    let revisions: Vec<_> = events.iter().map(|event| event.revision).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6, 7]);
    let posted: pb::PointsPosted = unpack(&events[2]);
    assert_eq!((posted.points_after, posted.held_after), (20, 30));
    let changed: pb::HoldChanged = unpack(&events[3]);
    assert_eq!(changed.hold, held.into_inner().hold);
    let changed: pb::HoldChanged = unpack(&events[5]);
    assert_eq!(changed.hold.unwrap().state(), pb::HoldState::Expired);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_over_a_restart(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let ids: Vec<_> = (0..40).map(|n| format!("t{n}")).collect();
    for id in &ids[..20] {
        shop.bought("c1", Purchase::dollars(id, MARCH, 2)).await;
    }
    shop.server = shop.server.restart().await;
    for id in &ids[20..] {
        shop.bought("c1", Purchase::dollars(id, MARCH, 2)).await;
    }
    shop.client = pb::loyalty_service_client::LoyaltyServiceClient::new(shop.server.channel());
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (80, 0, 0));
    assert_eq!(shop.transactions("c1").await.len(), 40);
}

/// The first events of this service's feed, as soon as there are so many.
pub async fn announced(shop: &Shop, count: usize) -> Vec<Event> {
    let feed = ChangeFeedServiceClient::new(shop.server.channel());
    let request = ReadChangesRequest {
        source: "loyalty".to_owned(),
        ..Default::default()
    };
    let read = async || {
        let page = feed.clone().read_changes(request.clone()).await.unwrap();
        page.into_inner().events
    };
    until("all events are published", async || {
        read().await.len() >= count
    })
    .await;
    read().await
}

fn name(event: &Event) -> &str {
    let type_url = &event.payload.as_ref().unwrap().type_url;
    type_url.rsplit('.').next().unwrap()
}

pub fn unpack<M: Message + Name + Default>(event: &Event) -> M {
    event.payload.as_ref().unwrap().to_msg().unwrap()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_announced_for_both_members(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    shop.earn("c1", 10, "s1").await;
    let request = pb::TransferPointsRequest {
        customer_id: "c1".to_owned(),
        to_customer_id: "c2".to_owned(),
        points: 4,
        ..Default::default()
    };
    let given = shop.client.transfer_points(request).await;
    let given = given.unwrap().into_inner();
    let events = announced(&shop, 5).await;
    let posted = |event: &Event| {
        let posted: pb::PointsPosted = unpack(event);
        (posted.transaction.unwrap(), posted.points_after)
    };
    assert_eq!(posted(&events[3]), (given.transaction.unwrap(), 6));
    assert_eq!(posted(&events[4]), (given.received.unwrap(), 4));
}
