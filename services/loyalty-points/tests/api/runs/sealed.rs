//! Seals with a request id.

use api::loyalty::v1 as pb;
use common::token::SharedToken;
use pb::audit_service_client::AuditServiceClient;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::{CALLER, damage, execute, repair, runs};
use crate::shop::Shop;

fn request(request_id: &str) -> pb::SealNowRequest {
    pb::SealNowRequest {
        request_id: request_id.to_owned(),
        reason: "the books are closed".to_owned(),
        ..Default::default()
    }
}

async fn seal(
    channel: Channel,
    request: pb::SealNowRequest,
) -> Result<Response<pb::SealNowResponse>, Status> {
    AuditServiceClient::new(channel).seal_now(request).await
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_seal_is_told_again(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let channel = || shop.server.channel();
    let nothing = seal(channel(), request("r0")).await.unwrap().into_inner();
    assert_eq!((nothing.sealed, &nothing.head), (0, &None));
    let earn = crate::shop::earn("c1", 10, "s1");
    let earned = shop.client.clone().earn_points(earn).await.unwrap();
    let transaction_id = earned.into_inner().transaction.unwrap();
    let transaction_id = transaction_id.transaction_id;
    let first = seal(channel(), request("r1")).await.unwrap();
    assert!(!first.metadata().contains_key("asterism-replayed"));
    let first = first.into_inner();
    let head = first.head.clone().unwrap();
    assert_eq!(head.postings, 1);
    let token = SharedToken::decode(&first.consistency_token).unwrap();
    assert_eq!((token.source.as_str(), token.revision), ("loyalty", 1));

    let mut client = AuditServiceClient::new(channel());
    let read = pb::GetHeadRequest {
        at_least: first.consistency_token.clone(),
    };
    let read = client.get_head(read).await.unwrap().into_inner();
    assert_eq!(read.head, Some(head));
    let mut prove = pb::GetInclusionProofRequest {
        customer_id: "c1".to_owned(),
        transaction_id,
        at_least: first.consistency_token.clone(),
        ..Default::default()
    };
    client.get_inclusion_proof(prove.clone()).await.unwrap();
    prove.at_least = "no token".to_owned();
    let refused = client.get_inclusion_proof(prove).await.unwrap_err();
    assert_eq!(violations(&refused), ["at_least"]);
    let foreign = pb::GetHeadRequest {
        at_least: "no token".to_owned(),
    };
    let refused = client.get_head(foreign).await.unwrap_err();
    assert_eq!(violations(&refused), ["at_least"]);

    let mut told = seal(channel(), request("r1")).await.unwrap();
    assert!(told.metadata().contains_key("asterism-replayed"));
    assert_eq!(told.get_mut(), &first);
    shop.earn("c1", 20, "s2").await;
    let again = seal(shop.server.channel(), request("r1")).await.unwrap();
    assert_eq!(again.into_inner(), first);
    let next = seal(shop.server.channel(), request("")).await.unwrap();
    assert_eq!(next.into_inner().head.unwrap().postings, 2);

    let runs = runs(&shop).await;
    let mut ids: Vec<_> = runs.iter().map(|run| run.request_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["", "r0", "r1"]);
    for run in &runs {
        let method = "asterism.loyalty.v1.AuditService/SealNow";
        assert_eq!((run.method.as_str(), run.actor.as_str()), (method, CALLER));
        assert_eq!(run.reason, "the books are closed");
        assert_eq!(run.finished_at, run.begun_at);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_would_be_sealed_and_seals_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    // Keeps the background from sealing.
    damage(&shop, "seals", "c1").await;
    for source in ["s1", "s2"] {
        shop.earn("c1", 10, source).await;
    }
    let dry = pb::SealNowRequest {
        dry_run: true,
        ..request("r1")
    };
    for _ in 0..2 {
        let told = seal(shop.server.channel(), dry.clone()).await.unwrap();
        let two = pb::SealNowResponse {
            sealed: 2,
            ..Default::default()
        };
        assert_eq!(told.into_inner(), two);
    }
    // What fails is no answer.
    let failed = seal(shop.server.channel(), request("r1")).await;
    assert_eq!(failed.unwrap_err().code(), Code::Internal);
    assert_eq!(runs(&shop).await, []);
    repair(&shop, "seals").await;
    let sealed = seal(shop.server.channel(), request("r1")).await.unwrap();
    assert_eq!(sealed.into_inner().head.unwrap().postings, 2);
    let told = seal(shop.server.channel(), dry).await.unwrap().into_inner();
    assert_eq!((told.sealed, told.head.unwrap().postings), (0, 2));
    assert_eq!(told.consistency_token, "");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn seals_at_once_with_one_request_id_tell_the_same(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    for source in ["s1", "s2", "s3"] {
        shop.earn("c1", 10, source).await;
    }
    let replica = shop.server.replica().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..8 {
        let channel = match number % 2 {
            0 => shop.server.channel(),
            _ => replica.channel(),
        };
        calls.spawn(seal(channel, request("r1")));
    }
    let mut answers = Vec::new();
    while let Some(answer) = calls.join_next().await {
        answers.push(answer.unwrap().unwrap().into_inner());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(answers[0].head.as_ref().unwrap().postings, 3);
    assert_eq!(runs(&shop).await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_of_one_seal(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = Shop::with_member(backend, "c1").await;
    let channel = || shop.server.channel();
    let malformed = pb::SealNowRequest {
        request_id: "x".repeat(65),
        reason: "x".repeat(501),
        ..Default::default()
    };
    let refused = seal(channel(), malformed).await.unwrap_err();
    assert_eq!(violations(&refused), ["request_id", "reason"]);
    seal(channel(), request("r1")).await.unwrap();
    let other = pb::SealNowRequest {
        reason: "another one".to_owned(),
        ..request("r1")
    };
    let refused = seal(channel(), other).await;
    let details = assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(details.error_info().unwrap().metadata["fields"], "reason");
    // What was forgotten of the answer's table is free again.
    execute(&shop, "DELETE FROM idempotency".to_owned()).await;
    seal(channel(), request("r1")).await.unwrap();
    assert_eq!(runs(&shop).await.len(), 2);
}
