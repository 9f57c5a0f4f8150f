//! Events that come again, late, or while something else happens.

use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use api::feed::v1::{ListParkedEventsRequest, ParkedEvent, ReplayParkedEventRequest};
use api::loyalty::v1 as pb;
use common::on;
use rstest::rstest;
use testkit::{Backend, assert_refused, until};
use tonic::Code;

use crate::shop::{Purchase, Shop};

const MARCH: &str = "1998-03-01T00:00:00Z";
const CONSUMER: &str = "loyalty.customer";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_beyond_all_measure_is_parked_and_the_others_go_on(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let absurd = Purchase {
        id: "t1",
        at: MARCH,
        currency: "USD",
        micros: i64::MAX,
    };
    shop.bought("c1", absurd).await;
    shop.bought("c1", Purchase::dollars("t2", MARCH, 7)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (7, 0, 0));
    let parked = parked(&shop).await;
    assert_eq!(parked.len(), 1);
    assert!(
        parked[0].failure.contains("too many points"),
        "{}",
        parked[0].failure
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_backdated_purchase_repays_is_not_dated_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.bought("c1", Purchase::dollars("t1", MARCH, 50)).await;
    shop.caught_up().await;
    shop.redeem("c1", 30).await.unwrap();
    shop.voided("c1", Purchase::dollars("t1", MARCH, 50)).await;
    shop.bought("c1", Purchase::dollars("t2", MARCH, 45)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (15, 0, 0));
    // In April nothing was owed yet, so nothing was repaid.
    let april = testkit::time("1998-04-01T00:00:00Z");
    assert_eq!(shop.balance_at("c1", Some(april)).await, (95, 0, 0));
    let request = pb::GetProgramSummaryRequest {
        as_of: Some(april.into()),
        ..Default::default()
    };
    let summary = shop.client.get_program_summary(request).await.unwrap();
    assert_eq!(summary.into_inner().points_debt, 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_announced_again_after_the_deletion_stays_deleted(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.deleted("c1").await;
    shop.created("c1").await;
    shop.deleted("c1").await;
    shop.caught_up().await;
    assert!(parked(&shop).await.is_empty());
    let refused = shop.redeem("c1", 1).await;
    assert_refused(refused, Code::FailedPrecondition, "MEMBER_CLOSED");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_purchase_that_was_voided_meanwhile_earns_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.execute("UPDATE accounts SET points = 999999999999999")
        .await
        .unwrap();
    shop.bought("c1", Purchase::dollars("t1", MARCH, 40)).await;
    shop.bought("c1", Purchase::dollars("t2", MARCH, 50)).await;
    shop.voided("c1", Purchase::dollars("t1", MARCH, 40)).await;
    shop.caught_up().await;
    shop.execute("UPDATE accounts SET points = 0")
        .await
        .unwrap();
    for event in parked(&shop).await {
        replay(&shop, event).await;
    }
    assert_eq!(shop.balance("c1").await, (50, 0, 0));
    assert_eq!(shop.transactions("c1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_waits_for_the_member_counts_what_was_posted_meanwhile() {
    let mut shop = Shop::with_member(Backend::Postgres, "c1").await;
    let mut other = shop.server.platform.tx().await.unwrap();
    on!(&mut other, |conn| sqlx::query(
        "UPDATE customers SET revision = revision WHERE customer_id = 'c1'"
    )
    .execute(conn)
    .await
    .map(drop))
    .unwrap();
    shop.bought("c1", Purchase::dollars("t1", MARCH, 5)).await;
    until("the purchase waits", async || is_waited_for(&shop).await).await;
    // Another replica earns a hundred points a minute later and commits first.
    let later = testkit::time(crate::shop::NOW) + chrono::TimeDelta::minutes(1);
    shop.server.clock.set(later);
    for statement in [
        "INSERT INTO lots
            (customer_id, lot_id, program_id, posting_id, original, remaining, consumed, expired,
             reversed, qualifying, earned_at, activates_at)
        VALUES ('c1', 'l', 'default', 'p', 100, 100, 0, 0, 0, 100, $1, $1)",
        "UPDATE accounts SET points = 100 WHERE $1 > 0",
        "UPDATE members SET tier = 'Silver', tier_points = 100, tier_since = $1",
    ] {
        on!(&mut other, |conn| sqlx::query(statement)
            .bind(later)
            .execute(conn)
            .await
            .map(drop))
        .unwrap();
    }
    other.commit().await.unwrap();
    shop.caught_up().await;
    assert_eq!(shop.tier("c1").await.qualifying_points, 105);
    let reasons: Vec<_> = shop
        .tier_history("c1")
        .await
        .iter()
        .map(pb::TierChange::reason)
        .collect();
    assert_eq!(reasons, [pb::TierChangeReason::Enrolled]);
}

/// Whether a transaction of this database waits for another one.
pub async fn is_waited_for(shop: &Shop) -> bool {
    let mut reader = shop.server.platform.reader().await.unwrap();
    on!(&mut reader, |conn| sqlx::query_scalar::<_, bool>(
        "SELECT COUNT(*) > 0 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    .fetch_one(conn)
    .await)
    .unwrap()
}

/// Events that could not be applied.
async fn parked(shop: &Shop) -> Vec<ParkedEvent> {
    let request = ListParkedEventsRequest {
        consumer: CONSUMER.to_owned(),
        ..Default::default()
    };
    let mut consumers = ConsumerServiceClient::new(shop.server.channel());
    let listed = consumers.list_parked_events(request).await.unwrap();
    listed.into_inner().parked_events
}

/// Has a parked event applied and waits until it has left the list.
async fn replay(shop: &Shop, event: ParkedEvent) {
    let event_id = event.event.unwrap().event_id;
    let request = ReplayParkedEventRequest {
        consumer: CONSUMER.to_owned(),
        event_id: event_id.clone(),
    };
    let mut consumers = ConsumerServiceClient::new(shop.server.channel());
    consumers.replay_parked_event(request).await.unwrap();
    let is_it = |parked: &ParkedEvent| parked.event.as_ref().unwrap().event_id == event_id;
    let is_gone = async || !parked(shop).await.iter().any(is_it);
    until("the event is applied", is_gone).await;
}
