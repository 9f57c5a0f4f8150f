//! Voiding purchases.

use api::customer::v1 as pb;
use pb::void_transaction_request::Transaction as Named;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::support::{changes, create, customer, dollars, line, purchase, record, start, statuses};

fn void(transaction: Named) -> pb::VoidTransactionRequest {
    pb::VoidTransactionRequest {
        transaction: Some(transaction),
        reason: "returned".to_owned(),
        request_id: String::new(),
    }
}

fn key(external_id: &str) -> Named {
    Named::Key(pb::TransactionKey {
        source: "pos".to_owned(),
        external_id: external_id.to_owned(),
    })
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_voided_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let bought = pb::Transaction {
        lines: vec![line("a", 1, dollars(5))],
        ..purchase("c1", "1")
    };
    let id = record(&mut client, vec![bought.clone()])
        .await
        .unwrap()
        .remove(0)
        .id;

    let voided = client
        .void_transaction(void(Named::TransactionId(id.clone())))
        .await
        .unwrap();
    let voided = voided.into_inner().transaction.unwrap();
    assert!(voided.voided_at.is_some());
    assert_eq!(
        (voided.void_reason.as_str(), &voided.lines),
        ("returned", &bought.lines)
    );
    for again in [Named::TransactionId(id), key("1")] {
        let refused = client.void_transaction(void(again)).await;
        assert_refused(
            refused,
            Code::FailedPrecondition,
            "TRANSACTION_ALREADY_VOIDED",
        );
    }

    let event = changes(&server).await.pop().unwrap();
    assert_eq!(event.revision, 3);
    let event: pb::TransactionVoided = event.payload.unwrap().to_msg().unwrap();
    assert_eq!(
        (event.reason.as_str(), event.transaction),
        ("returned", Some(voided))
    );
    // Recorded it stays.
    let outcomes = record(&mut client, vec![bought]).await.unwrap();
    assert_eq!(statuses(&outcomes), [pb::RecordStatus::AlreadyRecorded]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_malformed_voids_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    for unknown in [Named::TransactionId("nothing".to_owned()), key("1")] {
        let refused = client.void_transaction(void(unknown)).await;
        assert_refused(refused, Code::NotFound, "TRANSACTION_NOT_FOUND");
    }
    let status = client
        .void_transaction(pb::VoidTransactionRequest::default())
        .await
        .unwrap_err();
    assert_eq!(violations(&status), ["transaction", "reason"]);
    assert!(changes(&server).await.is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_first_answer_also_when_it_was_a_refusal(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let too_early = pb::VoidTransactionRequest {
        request_id: "v-1".to_owned(),
        ..void(key("1"))
    };
    let refused = client.void_transaction(too_early.clone()).await;
    assert_refused(refused, Code::NotFound, "TRANSACTION_NOT_FOUND");
    record(&mut client, vec![purchase("c1", "1")])
        .await
        .unwrap();
    let refused = client.void_transaction(too_early).await;
    assert_refused(refused, Code::NotFound, "TRANSACTION_NOT_FOUND");

    let request = pb::VoidTransactionRequest {
        request_id: "v-2".to_owned(),
        ..void(key("1"))
    };
    let first = client
        .void_transaction(request.clone())
        .await
        .unwrap()
        .into_inner();
    let second = client.void_transaction(request).await.unwrap().into_inner();
    assert_eq!(first, second);
    assert_eq!(changes(&server).await.len(), 3);
}
