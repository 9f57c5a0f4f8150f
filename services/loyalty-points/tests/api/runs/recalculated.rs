//! Recalculations with a request id.

use api::loyalty::v1 as pb;
use common::db::Dialect;
use common::token::ConsistencyToken;
use pb::loyalty_service_client::LoyaltyServiceClient;
use rstest::rstest;
use testkit::{Backend, assert_refused, time, violations};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{CALLER, Told, at_once, cut, damage, execute, repair, runs, told};
use crate::audit;
use crate::recalculation::{MOVES, aged, moves};
use crate::shop::{Shop, tier};

fn request(request_id: &str) -> pb::RecalculateTiersRequest {
    pb::RecalculateTiersRequest {
        page_size: 2,
        request_id: request_id.to_owned(),
        reason: "the year is over".to_owned(),
        ..Default::default()
    }
}

async fn recalculate(
    channel: Channel,
    request: pb::RecalculateTiersRequest,
) -> Result<Told<pb::RecalculateTiersResponse>, Status> {
    let mut client = LoyaltyServiceClient::new(channel);
    told(client.recalculate_tiers(request).await).await
}

/// How often a member came to have the lowest tier: at enrolment, and when moved.
async fn lowest(shop: &mut Shop, customer_id: &str) -> usize {
    let history = shop.tier_history(customer_id).await;
    let lowest = history.iter().filter(|change| change.to_tier == "Bronze");
    lowest.count()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_recalculation_is_told_again_and_moves_nobody_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = aged(backend).await;
    let channel = shop.server.channel();
    let first = recalculate(channel.clone(), request("r1")).await.unwrap();
    assert!(!first.replayed);
    assert_eq!(moves(&first.messages), MOVES);
    for message in &first.messages {
        assert_eq!(message.changes.len(), message.consistency_tokens.len());
        for (change, token) in message.changes.iter().zip(&message.consistency_tokens) {
            let stands_for = ConsistencyToken::decode(token).unwrap().unwrap();
            assert_eq!(stands_for.customer_id.as_str(), change.customer_id);
            assert_eq!(stands_for.revision, change.revision);
            let read = pb::GetTierRequest {
                at_least: token.clone(),
                ..tier(&change.customer_id)
            };
            let got = shop.client.get_tier(read).await.unwrap().into_inner();
            assert_eq!(got.tier.unwrap().tier, change.to_tier);
            // Who and why is in the history.
            let history = shop.tier_history(&change.customer_id).await;
            assert_eq!(&history[0], change);
            assert_eq!(history[0].actor, CALLER);
            assert_eq!(history[0].remark, "the year is over");
        }
    }

    // Meanwhile another member's tier ages out.
    shop.server.clock.set(time("1999-07-01T00:00:00Z"));
    let again = recalculate(channel.clone(), request("r1")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.messages, first.messages);
    assert_eq!(shop.tier_history("c2").await[0].to_tier, "Gold");
    let next = recalculate(channel, request("r2")).await.unwrap();
    let aged_out = ("c2", "Gold", "Bronze", pb::TierChangeReason::AgedOut);
    assert_eq!(moves(&next.messages), [aged_out]);
    audit::seal(&shop).await;
    audit::success(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_recalculation_that_its_caller_cut_off_is_told_whole(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (twin, mut shop) = (aged(backend).await, aged(backend).await);
    let uncut = recalculate(twin.server.channel(), request("r1")).await;
    let uncut = uncut.unwrap().messages;
    let mut client = shop.client.clone();
    let first = cut(client.recalculate_tiers(request("r1")).await).await;
    assert_eq!(first, uncut[0]);
    // Whoever goes on may be another replica.
    let replica = shop.server.replica().await;
    let again = recalculate(replica.channel(), request("r1")).await.unwrap();
    assert_eq!(again.messages, uncut);
    let once_more = recalculate(shop.server.channel(), request("r1")).await;
    assert_eq!(
        once_more.unwrap(),
        Told {
            replayed: true,
            messages: uncut
        }
    );
    for customer in ["c1", "c3", "c5"] {
        assert_eq!(lowest(&mut shop, customer).await, 2);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_recalculation_that_fails_amid_a_batch_loses_nobody_who_was_moved(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut twin, mut shop) = (aged(backend).await, aged(backend).await);
    let request = || pb::RecalculateTiersRequest {
        page_size: 0,
        ..request("r1")
    };
    let uncut = recalculate(twin.server.channel(), request()).await;
    let uncut = uncut.unwrap().messages;
    damage(&shop, "tier_changes", "c3").await;
    let failed = recalculate(shop.server.channel(), request()).await;
    assert_eq!(failed.unwrap_err().code(), Code::Internal);
    assert_eq!(lowest(&mut shop, "c1").await, 2);
    assert_eq!(lowest(&mut shop, "c3").await, 1);
    assert_eq!(runs(&shop).await[0].finished_at, None);
    // The server that was at it is gone.
    repair(&shop, "tier_changes").await;
    shop.server.kill().await;
    shop.server = shop.server.restart().await;
    let again = recalculate(shop.server.channel(), request()).await.unwrap();
    assert!(!again.replayed);
    assert_eq!(again.messages, uncut);
    assert_eq!(moves(&again.messages), MOVES);
    for customer in ["c1", "c3", "c5"] {
        assert_eq!(
            shop.tier_history(customer).await,
            twin.tier_history(customer).await
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_is_merged_or_closed_meanwhile_is_not_moved(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = aged(backend).await;
    // As soon as the first one has been moved; the others were looked at with it.
    let merge = "UPDATE members SET merged_into = 'c2', survivor = 'c2' WHERE customer_id = 'c3'";
    let close = "UPDATE members SET state = 'closed' WHERE customer_id = 'c5'";
    let on = "CREATE TRIGGER meanwhile AFTER INSERT ON tier_changes";
    let statements = match shop.server.platform.db.dialect() {
        Dialect::Postgres => vec![
            format!(
                "CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN {merge}; {close}; RETURN NULL; END $$"
            ),
            format!("{on} FOR EACH ROW EXECUTE FUNCTION meanwhile()"),
        ],
        Dialect::Sqlite => vec![format!("{on} BEGIN {merge}; {close}; END")],
    };
    for statement in statements {
        execute(&shop, statement).await;
    }
    let request = pb::RecalculateTiersRequest {
        page_size: 0,
        ..request("r1")
    };
    let told = recalculate(shop.server.channel(), request).await.unwrap();
    assert_eq!(moves(&told.messages), MOVES[..1]);
    for customer in ["c3", "c5"] {
        assert_eq!(lowest(&mut shop, customer).await, 1, "{customer}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn recalculations_at_once_with_one_request_id_tell_the_same(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = aged(backend).await;
    let all = at_once(&shop, |channel| recalculate(channel, request("r1"))).await;
    for messages in all {
        assert_eq!(moves(&messages), MOVES);
        let tokens = messages.iter().flat_map(|told| &told.consistency_tokens);
        assert_eq!(tokens.count(), MOVES.len());
        let kept = recalculate(shop.server.channel(), request("r1")).await;
        assert_eq!(kept.unwrap().messages, messages);
    }
    for customer in ["c1", "c3", "c5"] {
        assert_eq!(lowest(&mut shop, customer).await, 2);
    }
    assert_eq!(runs(&shop).await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_uses_up_no_request_id(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = aged(backend).await;
    let dry = pb::RecalculateTiersRequest {
        dry_run: true,
        ..request("r1")
    };
    let dry = recalculate(shop.server.channel(), dry).await.unwrap();
    assert_eq!(moves(&dry.messages), MOVES);
    assert!(
        dry.messages
            .iter()
            .all(|told| told.consistency_tokens.is_empty())
    );
    assert_eq!(runs(&shop).await, []);
    let real = recalculate(shop.server.channel(), request("r1")).await;
    let real = real.unwrap();
    assert!(!real.replayed);
    // What is told of a dry run is what is done, but for the revisions.
    let mut made = real.messages;
    for message in &mut made {
        message.consistency_tokens.clear();
        for change in &mut message.changes {
            change.revision = 0;
        }
    }
    assert_eq!(made, dry.messages);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_of_one_recalculation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = aged(backend).await;
    let channel = || shop.server.channel();
    let malformed = pb::RecalculateTiersRequest {
        page_size: -1,
        reason: "x".repeat(501),
        as_of: crate::shop::at("1998-08-03T00:00:00Z"),
        request_id: "r\u{e9}".to_owned(),
        ..Default::default()
    };
    let refused = recalculate(channel(), malformed).await.unwrap_err();
    assert_eq!(
        violations(&refused),
        ["page_size", "as_of", "request_id", "reason"]
    );
    // What is malformed uses up no request id.
    let malformed = pb::RecalculateTiersRequest {
        page_size: -1,
        ..request("r1")
    };
    let refused = recalculate(channel(), malformed).await.unwrap_err();
    assert_eq!(violations(&refused), ["page_size"]);
    let first = recalculate(channel(), request("r1")).await.unwrap();
    assert!(!first.replayed);
    let other = pb::RecalculateTiersRequest {
        page_size: 3,
        reason: "another one".to_owned(),
        ..request("r1")
    };
    let refused = recalculate(channel(), other).await;
    let details = assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(
        details.error_info().unwrap().metadata["fields"],
        "page_size,reason"
    );
    // A refusal is an answer.
    let nowhere = pb::RecalculateTiersRequest {
        program_id: "nowhere".to_owned(),
        ..request("r2")
    };
    for _ in 0..2 {
        let refused = recalculate(channel(), nowhere.clone()).await;
        assert_refused(refused, Code::NotFound, "PROGRAM_NOT_FOUND");
    }
    assert_eq!(runs(&shop).await.len(), 1);
}
