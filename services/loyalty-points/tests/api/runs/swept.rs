//! Sweeps with a request id.

use api::loyalty::v1 as pb;
use pb::batch_post_item::Item;
use pb::loyalty_service_client::LoyaltyServiceClient;
use rstest::rstest;
use testkit::{Backend, assert_refused, time, violations};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{CALLER, Told, at_once, cut, damage, execute, repair, runs, told};
use crate::audit;
use crate::shop::{Shop, at, authorize, earn};

const SWEPT_AT: &str = "1998-07-03T00:00:00Z";

/// Of c1, a hold times out; points of c2 and c4 expire; c3 is told that points will.
async fn due(backend: Backend) -> Shop {
    let mut shop = Shop::open(backend).await;
    for customer in ["c1", "c2", "c3", "c4"] {
        shop.created(customer).await;
    }
    shop.caught_up().await;
    for (customer, points, expires_at) in [
        ("c1", 50, "2000-01-01T00:00:00Z"),
        ("c2", 30, "1998-07-02T00:00:00Z"),
        ("c3", 20, "1998-07-20T00:00:00Z"),
        ("c4", 10, "1998-07-03T00:00:00Z"),
    ] {
        let request = pb::EarnPointsRequest {
            expires_at: at(expires_at),
            ..earn(customer, points, customer)
        };
        shop.try_earn(request).await.unwrap();
    }
    let hold = authorize("c1", 20, 3600);
    shop.client.authorize_hold(hold).await.unwrap();
    shop.server.clock.set(time(SWEPT_AT));
    shop
}

fn request(request_id: &str) -> pb::SweepExpiryRequest {
    pb::SweepExpiryRequest {
        request_id: request_id.to_owned(),
        reason: "the books are closed".to_owned(),
        ..Default::default()
    }
}

async fn sweep(
    channel: Channel,
    request: pb::SweepExpiryRequest,
) -> Result<Told<pb::SweepExpiryResponse>, Status> {
    let mut client = LoyaltyServiceClient::new(channel);
    told(client.sweep_expiry(request).await).await
}

fn totals(told: &pb::SweepExpiryResponse) -> [i64; 5] {
    [
        told.members,
        told.holds_expired,
        told.points_expired,
        told.notices,
        told.members_failed,
    ]
}

/// Who was swept, and of what.
fn swept(messages: &[pb::SweepExpiryResponse]) -> Vec<(&str, [i64; 3])> {
    let members = messages.iter().flat_map(|told| &told.swept);
    members
        .map(|it| {
            let done = [it.holds_expired, it.points_expired, it.notices];
            (it.customer_id.as_str(), done)
        })
        .collect()
}

const SWEPT: [(&str, [i64; 3]); 4] = [
    ("c1", [1, 0, 0]),
    ("c2", [0, 30, 0]),
    ("c4", [0, 10, 0]),
    ("c3", [0, 0, 1]),
];

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_is_told_again_and_posts_nothing_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = due(backend).await;
    let channel = shop.server.channel();
    let first = sweep(channel.clone(), request("r1")).await.unwrap();
    assert!(!first.replayed);
    assert_eq!(swept(&first.messages), SWEPT);
    let so_far: Vec<_> = first.messages.iter().map(totals).collect();
    assert_eq!(
        so_far,
        [[1, 1, 0, 0, 0], [3, 1, 40, 0, 0], [4, 1, 40, 1, 0]]
    );
    for member in first.messages.iter().flat_map(|told| &told.swept) {
        let read = pb::GetBalanceRequest {
            customer_id: member.customer_id.clone(),
            at_least: member.consistency_token.clone(),
            ..Default::default()
        };
        let got = shop.client.get_balance(read).await.unwrap().into_inner();
        let balance = got.balance.unwrap();
        assert_eq!((member.program_id.as_str(), balance.held), ("default", 0));
        let revision = shop
            .server
            .platform
            .own_revision(
                &member.consistency_token,
                &common::ids::CustomerId::parse(&member.customer_id).unwrap(),
            )
            .unwrap();
        assert!(revision > 0);
    }
    // The postings are the clock's.
    let postings = shop.transactions("c2").await;
    assert_eq!((postings[0].points, postings[0].actor.as_str()), (-30, ""));

    // Meanwhile points of c3 expire.
    shop.server.clock.set(time("1998-07-20T00:00:00Z"));
    let again = sweep(channel.clone(), request("r1")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.messages, first.messages);
    assert_eq!(shop.transactions("c3").await.len(), 1);
    let next = sweep(channel, request("r2")).await.unwrap();
    assert_eq!(swept(&next.messages), [("c3", [0, 20, 0])]);

    let runs = runs(&shop).await;
    let ids: Vec<_> = runs.iter().map(|run| run.request_id.as_str()).collect();
    assert_eq!(ids, ["r2", "r1"]);
    for run in &runs {
        assert_eq!(
            (run.actor.as_str(), run.reason.as_str(), run.method.as_str()),
            (
                CALLER,
                "the books are closed",
                "asterism.loyalty.v1.LoyaltyService/SweepExpiry"
            )
        );
        assert!(run.finished_at.is_some() && run.finished_at == run.begun_at);
    }
    audit::seal(&shop).await;
    audit::success(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_its_caller_cut_off_is_told_whole(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (twin, shop) = (due(backend).await, due(backend).await);
    let uncut = sweep(twin.server.channel(), request("r1")).await;
    let uncut = uncut.unwrap().messages;
    let mut client = shop.client.clone();
    let first = cut(client.sweep_expiry(request("r1")).await).await;
    assert_eq!(first, uncut[0]);
    // What is due since then is none of this run.
    shop.server.clock.set(time("1998-07-04T00:00:00Z"));
    let replica = shop.server.replica().await;
    let again = sweep(replica.channel(), request("r1")).await.unwrap();
    assert_eq!(again.messages, uncut);
    let once_more = sweep(shop.server.channel(), request("r1")).await.unwrap();
    assert_eq!(
        once_more,
        Told {
            replayed: true,
            messages: uncut
        }
    );
    for customer in ["c2", "c4"] {
        assert_eq!(shop.transactions(customer).await.len(), 2);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_fails_amid_a_batch_loses_nobody_who_was_swept(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (twin, mut shop) = (due(backend).await, due(backend).await);
    let uncut = sweep(twin.server.channel(), request("r1")).await;
    let uncut = uncut.unwrap().messages;
    // Neither what is done for c4 can be kept nor that it failed.
    damage(&shop, "run_members", "c4").await;
    let failed = sweep(shop.server.channel(), request("r1")).await;
    assert_eq!(failed.unwrap_err().code(), Code::Internal);
    assert_eq!(shop.transactions("c2").await.len(), 2);
    assert_eq!(shop.transactions("c4").await.len(), 1);
    repair(&shop, "run_members").await;
    shop.server.kill().await;
    shop.server = shop.server.restart().await;
    let again = sweep(shop.server.channel(), request("r1")).await.unwrap();
    assert!(!again.replayed);
    assert_eq!(again.messages, uncut);
    for customer in ["c2", "c4"] {
        assert_eq!(shop.transactions(customer).await.len(), 2);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn whoever_could_not_be_swept_is_told_so_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = due(backend).await;
    let channel = || shop.server.channel();
    damage(&shop, "postings", "c4").await;
    let first = sweep(channel(), request("r1")).await.unwrap();
    let last = first.messages.last().unwrap();
    assert_eq!(totals(last), [3, 1, 30, 1, 1]);
    assert_eq!(swept(&first.messages), [SWEPT[0], SWEPT[1], SWEPT[3]]);
    repair(&shop, "postings").await;
    let again = sweep(channel(), request("r1")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.messages, first.messages);
    let next = sweep(channel(), request("")).await.unwrap();
    assert_eq!(swept(&next.messages), [SWEPT[2]]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn sweeps_at_once_with_one_request_id_tell_the_same(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = due(backend).await;
    for messages in at_once(&shop, |channel| sweep(channel, request("r1"))).await {
        assert_eq!(swept(&messages), SWEPT);
        let kept = sweep(shop.server.channel(), request("r1")).await;
        assert_eq!(kept.unwrap().messages, messages);
    }
    assert_eq!(shop.transactions("c2").await.len(), 2);
    assert_eq!(runs(&shop).await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_of_one_sweep_and_of_no_dry_run(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = due(backend).await;
    let channel = || shop.server.channel();
    let malformed = pb::SweepExpiryRequest {
        request_id: "x".repeat(65),
        reason: "x".repeat(501),
        ..Default::default()
    };
    let refused = sweep(channel(), malformed).await.unwrap_err();
    assert_eq!(violations(&refused), ["request_id", "reason"]);
    let dry = pb::SweepExpiryRequest {
        dry_run: true,
        ..request("r1")
    };
    let dry = sweep(channel(), dry).await.unwrap();
    assert_eq!(swept(&dry.messages), SWEPT);
    let members = dry.messages.iter().flat_map(|told| &told.swept);
    assert!(
        members
            .into_iter()
            .all(|it| it.consistency_token.is_empty())
    );
    assert_eq!(runs(&shop).await, []);
    let real = sweep(channel(), request("r1")).await.unwrap();
    assert_eq!(
        (real.replayed, swept(&real.messages)),
        (false, SWEPT.to_vec())
    );
    let other = pb::SweepExpiryRequest {
        reason: "another one".to_owned(),
        ..request("r1")
    };
    let refused = sweep(channel(), other).await;
    let details = assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(details.error_info().unwrap().metadata["fields"], "reason");
    // Where nothing is due, nothing is told, again and again.
    for replayed in [false, true] {
        let nothing = sweep(channel(), request("r2")).await.unwrap();
        assert_eq!(
            nothing,
            Told {
                replayed,
                messages: Vec::new()
            }
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_of_many_lots_goes_on_behind_those_it_looked_at(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    /// As many as a message looks at.
    const LOTS: usize = 200;
    let mut shop = Shop::open(backend).await;
    for customer in ["c1", "c2", "c3"] {
        shop.created(customer).await;
    }
    shop.caught_up().await;
    for (customer, lots, expires_at) in [
        ("c3", LOTS, "1998-07-02T00:00:00Z"),
        ("c1", LOTS - 1, "1998-07-02T01:00:00Z"),
        ("c2", 3, "1998-07-02T02:00:00Z"),
    ] {
        let item = |number| {
            let earn = pb::EarnPointsRequest {
                expires_at: at(expires_at),
                ..earn(customer, 1, &format!("{customer}-{number}"))
            };
            pb::BatchPostItem {
                item: Some(Item::Earn(earn)),
            }
        };
        let items: Vec<_> = (0..lots).map(item).collect();
        for items in items.chunks(100) {
            let request = pb::BatchPostRequest {
                items: items.to_vec(),
                ..Default::default()
            };
            shop.client.batch_post(request).await.unwrap();
        }
    }
    shop.server.clock.set(time(SWEPT_AT));
    // What is done is not due any more: the last one of the second message is the first lot of c2.
    damage(&shop, "run_members", "c2").await;
    let failed = sweep(shop.server.channel(), request("r1")).await;
    assert_eq!(failed.unwrap_err().code(), Code::Internal);
    repair(&shop, "run_members").await;
    let whole = sweep(shop.server.channel(), request("r1")).await.unwrap();
    let members: Vec<_> = whole
        .messages
        .iter()
        .map(|told| swept(std::slice::from_ref(told)))
        .collect();
    let many = i64::try_from(LOTS).unwrap();
    assert_eq!(
        members,
        [
            vec![("c3", [0, many, 0])],
            vec![("c1", [0, many - 1, 0]), ("c2", [0, 3, 0])]
        ]
    );
    let again = sweep(shop.server.channel(), request("r1")).await.unwrap();
    assert_eq!((again.replayed, again.messages), (true, whole.messages));
}

/// On SQLite nobody else writes meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_others_get_in_the_way_of_is_tried_again() {
    let shop = due(Backend::Postgres).await;
    // A sequence goes on whatever is rolled back: the first two attempts at c2 meet a deadlock.
    for text in [
        "CREATE SEQUENCE attempts",
        "
        CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF nextval('attempts') < 3 THEN
                RAISE EXCEPTION 'met another one' USING ERRCODE = '40P01';
            END IF;
            RETURN NEW;
        END $$",
        "
        CREATE TRIGGER meet BEFORE INSERT ON postings
        FOR EACH ROW WHEN (NEW.customer_id = 'c2') EXECUTE FUNCTION meet()",
    ] {
        execute(&shop, text.to_owned()).await;
    }
    let told = sweep(shop.server.channel(), request("r1")).await.unwrap();
    let last = told.messages.last().unwrap();
    assert_eq!(totals(last), [4, 1, 40, 1, 0]);
}
