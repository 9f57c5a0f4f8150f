//! The sweep does what the next call would do.

use std::collections::BTreeSet;

use api::feed::v1::Event;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use api::feed::v1::{GetHeadRequest, ReadChangesRequest};
use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::time::Timestamp;
use prost::Name as _;
use rstest::rstest;
use testkit::{Backend, Setup, until};

use crate::audit::{seal, success};
use crate::feed::unpack;
use crate::shop::{Shop, at, authorize, earn};
use crate::walk::{CUSTOMERS, Dice, Walk};

/// The last message, with the members of all of them.
async fn run(shop: &Shop, dry_run: bool) -> Option<pb::SweepExpiryResponse> {
    let request = pb::SweepExpiryRequest {
        dry_run,
        ..Default::default()
    };
    let mut stream = shop
        .client
        .clone()
        .sweep_expiry(request)
        .await
        .unwrap()
        .into_inner();
    let (mut last, mut swept) = (None, Vec::new());
    while let Some(mut so_far) = stream.message().await.unwrap() {
        swept.append(&mut so_far.swept);
        last = Some(so_far);
    }
    last.map(|last| pb::SweepExpiryResponse { swept, ..last })
}

pub async fn sweep(shop: &Shop) -> pb::SweepExpiryResponse {
    run(shop, false).await.unwrap_or_default()
}

/// All that this service has announced, of any length.
async fn announced(shop: &Shop) -> Vec<Event> {
    let mut feed = ChangeFeedServiceClient::new(shop.server.channel());
    let source = || "loyalty".to_owned();
    // Asking for the head gives whatever is committed its position.
    feed.get_head(GetHeadRequest { source: source() })
        .await
        .unwrap();
    let (mut events, mut position) = (Vec::new(), String::new());
    loop {
        let request = ReadChangesRequest {
            source: source(),
            after_position: position,
            ..Default::default()
        };
        let page = feed.read_changes(request).await.unwrap().into_inner();
        if page.events.is_empty() {
            return events;
        }
        position = page.next_position;
        events.extend(page.events);
    }
}

pub async fn notices(shop: &Shop) -> Vec<pb::PointsExpiring> {
    let is_notice = |event: &&Event| {
        let type_url = &event.payload.as_ref().unwrap().type_url;
        *type_url == pb::PointsExpiring::type_url()
    };
    announced(shop)
        .await
        .iter()
        .filter(is_notice)
        .map(unpack)
        .collect()
}

async fn balance(shop: &Shop, customer_id: &str, as_of: Option<Timestamp>) -> pb::Balance {
    let request = pb::GetBalanceRequest {
        customer_id: customer_id.to_owned(),
        as_of: as_of.map(Into::into),
        ..Default::default()
    };
    let got = shop.client.clone().get_balance(request).await.unwrap();
    got.into_inner().balance.unwrap()
}

async fn statement(shop: &Shop, customer_id: &str) -> (Option<pb::StatementBalance>, i64) {
    let request = pb::GetStatementRequest {
        customer_id: customer_id.to_owned(),
        from: at("1998-01-01T00:00:00Z"),
        to: at("2010-01-01T00:00:00Z"),
        page_size: 1000,
        ..Default::default()
    };
    let told = shop
        .client
        .clone()
        .get_statement(request)
        .await
        .unwrap()
        .into_inner();
    (
        told.closing,
        told.movements.iter().map(|posting| posting.points).sum(),
    )
}

/// The lots without what differs from shop to shop.
async fn lots(shop: &mut Shop, customer_id: &str) -> Vec<pb::Lot> {
    let mut lots = shop.lots(customer_id).await;
    for lot in &mut lots {
        lot.lot_id.clear();
        lot.transaction_id.clear();
    }
    lots.sort_by_key(|lot| format!("{lot:?}"));
    lots
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn with_or_without_a_sweep_the_ledger_comes_to_the_same(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(1, 2, 3, 4)] seed: u64,
) {
    const STEPS: usize = 150;
    let mut lazily = Walk::begin(Shop::open(backend).await).await;
    let mut swept = Walk::begin(Shop::open(backend).await).await;
    let (mut dice, mut when) = (Dice::new(seed), Dice::new(seed + 1000));
    let (mut instants, mut expired) = (vec![lazily.now()], 0);
    for number in 0..STEPS {
        let step = dice.step();
        let outcomes = (lazily.take(step).await, swept.take(step).await);
        assert_eq!(outcomes.0, outcomes.1, "{number}: {step:?}");
        if when.roll(3) == 0 {
            expired += sweep(&swept.shop).await.points_expired;
        }
        let now = lazily.now();
        let past = instants[usize::try_from(when.roll(instants.len() as u64)).unwrap()];
        for customer in CUSTOMERS {
            for as_of in [None, Some(past), Some(now + TimeDelta::days(3))] {
                let told = balance(&lazily.shop, customer, as_of).await;
                let with_sweep = balance(&swept.shop, customer, as_of).await;
                assert_eq!(told, with_sweep, "{number}: {step:?} {customer} {as_of:?}");
            }
        }
        instants.push(now);
    }
    assert!(expired > 0, "nothing expired: the walk shows nothing");
    let late = sweep(&lazily.shop).await;
    assert!(late.members > 0, "nothing was left to the sweep");
    sweep(&swept.shop).await;
    for customer in CUSTOMERS {
        assert_eq!(
            lots(&mut lazily.shop, customer).await,
            lots(&mut swept.shop, customer).await
        );
        let totals = statement(&lazily.shop, customer).await;
        assert_eq!(totals, statement(&swept.shop, customer).await);
        assert_eq!(
            lazily.shop.tier(customer).await.qualifying_points,
            swept.shop.tier(customer).await.qualifying_points
        );
        for as_of in instants.iter().copied() {
            let told = balance(&lazily.shop, customer, Some(as_of)).await;
            assert_eq!(told, balance(&swept.shop, customer, Some(as_of)).await);
        }
    }
    assert_eq!(lazily.shop.summary().await, swept.shop.summary().await);
    for shop in [&lazily.shop, &swept.shop] {
        seal(shop).await;
        success(shop).await;
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_posts_and_announces_what_is_due_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.try_earn(pb::EarnPointsRequest {
        expires_at: at("1998-07-03T00:00:00Z"),
        ..earn("c1", 30, "s1")
    })
    .await
    .unwrap();
    shop.earn("c1", 50, "s2").await;
    let hold = authorize("c1", 20, 3600);
    shop.client.authorize_hold(hold).await.unwrap();
    assert_eq!(sweep(&shop).await.holds_expired, 0);
    shop.server.clock.set(testkit::time("1998-07-03T00:00:00Z"));
    let due = pb::SweepExpiryResponse {
        members: 1,
        holds_expired: 1,
        points_expired: 30,
        swept: vec![pb::SweptMember {
            program_id: "default".to_owned(),
            customer_id: "c1".to_owned(),
            holds_expired: 1,
            points_expired: 30,
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(run(&shop, true).await, Some(due.clone()));
    assert_eq!(shop.transactions("c1").await.len(), 3);
    let mut done = run(&shop, false).await.unwrap();
    assert_ne!(std::mem::take(&mut done.swept[0].consistency_token), "");
    assert_eq!(done, due);
    assert_eq!(run(&shop, false).await, None);

    let postings = shop.transactions("c1").await;
    let kinds: Vec<_> = postings[..2]
        .iter()
        .map(pb::LedgerTransaction::kind)
        .collect();
    assert_eq!(
        kinds,
        [pb::TransactionKind::Expire, pb::TransactionKind::Release]
    );
    assert_eq!(postings[0].points, -30);
    assert_eq!(postings[1].occurred_at, at("1998-07-01T01:00:00Z"));
    let changed = announced(&shop).await;
    let holds = changed
        .iter()
        .filter(|event| event.payload.as_ref().unwrap().type_url == pb::HoldChanged::type_url());
    let states: Vec<_> = holds
        .map(|event| unpack::<pb::HoldChanged>(event).hold.unwrap().state())
        .collect();
    assert_eq!(states, [pb::HoldState::Authorized, pb::HoldState::Expired]);
    let revisions: Vec<_> = changed.iter().map(|event| event.revision).collect();
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn sweeps_at_once_post_everything_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    const MEMBERS: i64 = 12;
    let mut shop = Shop::open(backend).await;
    for member in 0..MEMBERS {
        shop.created(&format!("c{member}")).await;
    }
    shop.caught_up().await;
    for member in 0..MEMBERS {
        let request = pb::EarnPointsRequest {
            expires_at: at("1998-07-20T00:00:00Z"),
            ..earn(&format!("c{member}"), 10, &format!("s{member}"))
        };
        shop.try_earn(request).await.unwrap();
    }
    let replica = shop.server.replica().await;
    for (now, expected) in [
        ("1998-07-02T00:00:00Z", (0, MEMBERS)),
        ("1998-07-20T00:00:00Z", (10 * MEMBERS, 0)),
    ] {
        shop.server.clock.set(testkit::time(now));
        let mut sweeps = tokio::task::JoinSet::new();
        for channel in [
            shop.server.channel(),
            replica.channel(),
            shop.server.channel(),
        ] {
            sweeps.spawn(async move {
                let mut client = pb::loyalty_service_client::LoyaltyServiceClient::new(channel);
                let request = pb::SweepExpiryRequest::default();
                let mut stream = client.sweep_expiry(request).await.unwrap().into_inner();
                let mut last = pb::SweepExpiryResponse::default();
                while let Some(so_far) = stream.message().await.unwrap() {
                    last = so_far;
                }
                (last.points_expired, last.notices)
            });
        }
        let (mut expired, mut told) = (0, 0);
        while let Some(done) = sweeps.join_next().await {
            let (points, notices) = done.unwrap();
            expired += points;
            told += notices;
        }
        assert_eq!((expired, told), expected);
    }
    let all = notices(&shop).await;
    let lots: BTreeSet<_> = all.iter().map(|notice| &notice.lot_id).collect();
    assert_eq!((all.len(), lots.len()), (12, 12));
    assert_eq!(shop.summary().await.points_outstanding, 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_background_sweeps_by_itself(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut setup = Setup::<loyalty_points::Loyalty>::default();
    setup.config.sweep_every = std::time::Duration::from_millis(50);
    let mut shop = Shop::open_as(backend, setup).await;
    shop.created("c1").await;
    shop.caught_up().await;
    shop.try_earn(pb::EarnPointsRequest {
        expires_at: at("1998-07-03T00:00:00Z"),
        ..earn("c1", 30, "s1")
    })
    .await
    .unwrap();
    shop.server.clock.set(testkit::time("1998-07-03T00:00:00Z"));
    until("the background sweeps", async || {
        shop.transactions("c1").await.len() == 2
    })
    .await;
}
