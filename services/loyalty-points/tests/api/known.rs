//! Balances as they were believed: what was written later does not count.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::time::Timestamp;
use rstest::rstest;
use testkit::{Backend, violations};

use crate::shop::{Shop, at, earn};
use crate::walk::{CUSTOMERS, Dice, Walk};

const STEPS: usize = 60;

/// What was asked of the service, and when, with what it answered at that time.
struct Believed {
    customer_id: &'static str,
    as_of: Timestamp,
    asked_at: Timestamp,
    balance: pb::Balance,
}

async fn ask(
    shop: &mut Shop,
    customer_id: &str,
    as_of: Timestamp,
    posted_by: Option<Timestamp>,
) -> pb::Balance {
    let request = pb::GetBalanceRequest {
        customer_id: customer_id.to_owned(),
        as_of: Some(as_of.into()),
        posted_by: posted_by.map(Into::into),
        ..Default::default()
    };
    let answer = shop.client.get_balance(request).await.unwrap();
    answer.into_inner().balance.unwrap()
}

/// Points that wait for an event, which the walk knows nothing of. One member has them all, so that many are settled.
async fn wait_or_settle(shop: &mut Shop, dice: &mut Dice) {
    let customer_id = CUSTOMERS[0];
    let source = format!("w{}", dice.roll(8));
    let now = shop.server.platform.now();
    match dice.roll(4) {
        0 | 1 => {
            let lapses = (dice.roll(2) == 0).then(|| (now + TimeDelta::days(5)).into());
            let request = pb::EarnPointsRequest {
                activates_on_event: true,
                expires_at: lapses,
                occurred_at: Some((now - TimeDelta::days(2)).into()),
                ..earn(customer_id, 30, &source)
            };
            drop(shop.client.earn_points(request).await);
        }
        2 => {
            let request = pb::ActivatePendingRequest {
                customer_id: customer_id.to_owned(),
                source_type: "promotion".to_owned(),
                source_ref: source,
                ..Default::default()
            };
            drop(shop.client.activate_pending(request).await);
        }
        _ => {
            let request = pb::CancelPendingRequest {
                customer_id: customer_id.to_owned(),
                source_type: "promotion".to_owned(),
                source_ref: source,
                ..Default::default()
            };
            drop(shop.client.cancel_pending(request).await);
        }
    }
}

/// After each step the service is asked for balances of the past, of the present and of the future. At the end of
/// the walk it must tell the same of what it knew at each of those times.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_believed_is_told_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(1, 2, 3, 4)] seed: u64,
) {
    let mut walk = Walk::begin(Shop::open(backend).await).await;
    let mut dice = Dice::new(seed);
    let start = walk.now();
    let mut believed = Vec::new();
    for n in 0..STEPS {
        drop(walk.take(dice.step()).await);
        if n % 3 == 0 {
            wait_or_settle(&mut walk.shop, &mut dice).await;
        }
        // The next step is at a later instant.
        let asked_at = walk.now();
        let ago = i64::try_from(dice.roll(500)).unwrap();
        let instants = [
            asked_at,
            (asked_at - TimeDelta::hours(ago)).max(start),
            asked_at + TimeDelta::hours(ago),
            asked_at + TimeDelta::days(800),
        ];
        for customer_id in CUSTOMERS {
            for as_of in instants {
                let balance = ask(&mut walk.shop, customer_id, as_of, None).await;
                believed.push(Believed {
                    customer_id,
                    as_of,
                    asked_at,
                    balance,
                });
            }
        }
    }
    let mut has_changed = 0;
    for told in &believed {
        let (customer_id, as_of) = (told.customer_id, told.as_of);
        let shop = &mut walk.shop;
        let again = ask(shop, customer_id, as_of, Some(told.asked_at)).await;
        assert_eq!(
            again, told.balance,
            "{customer_id} at {as_of:?} as known at {:?}",
            told.asked_at
        );
        let now = ask(shop, customer_id, as_of, None).await;
        has_changed += usize::from(now != told.balance);
    }
    assert!(has_changed > STEPS, "the walk changed what was believed");
    for customer_id in CUSTOMERS {
        batch_tells_the_same(&mut walk, customer_id, &believed).await;
    }
}

async fn batch_tells_the_same(walk: &mut Walk, customer_id: &str, believed: &[Believed]) {
    let of_customer = |told: &&Believed| told.customer_id == customer_id;
    for told in believed.iter().filter(of_customer).step_by(31) {
        let request = pb::BatchGetBalancesRequest {
            customer_ids: vec![customer_id.to_owned()],
            as_of: Some(told.as_of.into()),
            posted_by: Some(told.asked_at.into()),
            ..Default::default()
        };
        let answer = walk.shop.client.batch_get_balances(request).await.unwrap();
        let balances = answer.into_inner().balances;
        assert_eq!(balances[0].balance.as_ref(), Some(&told.balance));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_earning_recorded_late_was_not_known_before(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let (february, march) = ("1999-02-15T00:00:00Z", "1999-03-01T00:00:00Z");
    let april = "1999-04-01T00:00:00Z";
    shop.server.clock.set(testkit::time(april));
    let late = pb::EarnPointsRequest {
        occurred_at: at("1999-02-01T00:00:00Z"),
        ..earn("c1", 70, "s1")
    };
    shop.try_earn(late).await.unwrap();
    let as_of = testkit::time(february);
    let known = ask(&mut shop, "c1", as_of, None).await;
    let believed = ask(&mut shop, "c1", as_of, Some(testkit::time(march))).await;
    assert_eq!((known.available, believed.available), (70, 0));
    let written = Some(testkit::time(april));
    assert_eq!(ask(&mut shop, "c1", as_of, written).await, known);

    let forecast = |posted_by| pb::ForecastExpiryRequest {
        customer_id: "c1".to_owned(),
        horizon_days: 800,
        bucket_days: 800,
        posted_by,
        ..Default::default()
    };
    let mut expiring = Vec::new();
    for posted_by in [at(march), at(april), None] {
        let told = shop.client.forecast_expiry(forecast(posted_by)).await;
        expiring.push(told.unwrap().into_inner().buckets[0].points);
    }
    assert_eq!(expiring, [0, 70, 70]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_will_be_written_is_not_known(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let wrong = Some(prost_types::Timestamp {
        seconds: 0,
        nanos: -1,
    });
    let future = at("1998-07-01T00:00:00.000001Z");
    let request = pb::GetBalanceRequest {
        customer_id: String::new(),
        as_of: wrong,
        posted_by: future,
        ..Default::default()
    };
    let refused = shop.client.get_balance(request).await.unwrap_err();
    assert_eq!(violations(&refused), ["customer_id", "as_of", "posted_by"]);
    let request = pb::BatchGetBalancesRequest {
        customer_ids: vec!["c1".to_owned()],
        posted_by: future,
        ..Default::default()
    };
    let refused = shop.client.batch_get_balances(request).await.unwrap_err();
    assert_eq!(violations(&refused), ["posted_by"]);
    let request = pb::ForecastExpiryRequest {
        customer_id: "c1".to_owned(),
        horizon_days: -1,
        posted_by: future,
        ..Default::default()
    };
    let refused = shop.client.forecast_expiry(request).await.unwrap_err();
    assert_eq!(violations(&refused), ["horizon_days", "posted_by"]);
}
