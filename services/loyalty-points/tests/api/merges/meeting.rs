//! Others who lock the same members the other way around.

use common::db::Tx;
use common::on;
use testkit::until;

use super::*;
use crate::disorder::is_waited_for;
use crate::sweep::sweep;

/// On SQLite nobody else writes meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_met_others_locks_a_whole_person_in_order() {
    let mut shop = absorbed_with_a_hold().await.0;
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    let told = meets(&shop, sweep(&shop)).await;
    assert_eq!((told.holds_expired, told.members_failed), (1, 0));
    assert_eq!(shop.balance("a").await, (50, 0, 0));
    verify(&shop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posting_that_met_others_locks_a_whole_person_in_order() {
    let (mut shop, hold_id) = absorbed_with_a_hold().await;
    let of = pb::VoidHoldRequest {
        customer_id: "b".to_owned(),
        hold_id,
        ..Default::default()
    };
    let mut client = shop.client.clone();
    meets(&shop, client.void_hold(of)).await.unwrap();
    assert_eq!(shop.balance("a").await, (50, 0, 0));
    verify(&shop).await;
}

/// What it lets go is for `a`, who comes first in the order of customers.
async fn absorbed_with_a_hold() -> (Shop, String) {
    let mut shop = shop_with(Backend::Postgres, &["a", "b"]).await;
    shop.bought("b", Purchase::dollars("t1", MARCH, 50)).await;
    shop.caught_up().await;
    let hold_id = authorize(&mut shop, "b", 30).await;
    merge(&mut shop, "a", "b").await;
    (shop, hold_id)
}

/// Has something that locks `b` and then `a` meet who locks `a` and then `b`: it is what the database calls off. After
/// that it must not stand in the way again.
async fn meets<T>(shop: &Shop, doing: impl Future<Output = T>) -> T {
    let mut other = shop.server.platform.tx().await.unwrap();
    run(&mut other, "SET LOCAL deadlock_timeout = '1min'").await;
    run(
        &mut other,
        "SELECT FROM customers WHERE customer_id = 'a' FOR UPDATE",
    )
    .await;
    let meeting = async move {
        until("it waits for a", async || is_waited_for(shop).await).await;
        run(&mut other, "SAVEPOINT met").await;
        run(
            &mut other,
            "SELECT FROM customers WHERE customer_id = 'b' FOR UPDATE",
        )
        .await;
        run(&mut other, "ROLLBACK TO SAVEPOINT met").await;
        until("it waits again", async || is_waited_for(shop).await).await;
        run(
            &mut other,
            "SELECT FROM customers WHERE customer_id = 'b' FOR UPDATE NOWAIT",
        )
        .await;
    };
    tokio::join!(doing, meeting).0
}

async fn run(tx: &mut Tx, statement: &'static str) {
    let done = on!(tx, |conn| sqlx::query(statement)
        .execute(conn)
        .await
        .map(drop));
    done.expect(statement);
}
