//! Recording purchases and interactions.

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::support::{
    at, call, changes, create, customer, dollars, get, history, interact, line, purchase, record,
    start, statuses,
};
use pb::RecordStatus::{AlreadyRecorded, Conflict, Recorded, Refused};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_item_has_its_own_outcome_at_its_index(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let with_lines = pb::Transaction {
        total: None,
        lines: vec![line("a", 2, dollars(3)), line("b", 1, dollars(4))],
        ..purchase("c1", "2")
    };
    let batch = vec![
        purchase("c1", "1"),
        purchase("nobody", "9"),
        with_lines.clone(),
        pb::Transaction {
            total: Some(dollars(-1)),
            ..purchase("c1", "3")
        },
        purchase("c1", "1"),
        pb::Transaction {
            total: Some(dollars(6)),
            ..purchase("c1", "1")
        },
    ];
    let outcomes = record(&mut client, batch.clone()).await.unwrap();
    assert_eq!(
        statuses(&outcomes),
        [
            Recorded,
            Refused,
            Recorded,
            Refused,
            AlreadyRecorded,
            Conflict
        ]
    );
    assert_eq!(outcomes[1].reason, "CUSTOMER_NOT_FOUND");
    assert_eq!(outcomes[3].violations[0].field, "total");
    assert_eq!(outcomes[4].id, outcomes[0].id);
    assert_eq!(outcomes[5].differing_fields, ["total"]);

    // The same batch again changes nothing.
    let again = record(&mut client, batch).await.unwrap();
    assert_eq!(
        statuses(&again),
        [
            AlreadyRecorded,
            Refused,
            AlreadyRecorded,
            Refused,
            AlreadyRecorded,
            Conflict
        ]
    );
    assert_eq!(again[2].id, outcomes[2].id);
    assert_eq!(get(&mut client, "c1").await.unwrap().revision, 3);
    let kinds: Vec<_> = history(&server, "c1")
        .await
        .into_iter()
        .map(|(_, kind)| kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "CustomerCreated",
            "TransactionRecorded",
            "TransactionRecorded"
        ]
    );

    // Events carry the lines and the total that was left out.
    let event = changes(&server).await.pop().unwrap().payload.unwrap();
    let event: pb::TransactionRecorded = event.to_msg().unwrap();
    let transaction = event.transaction.unwrap();
    assert_eq!(
        (transaction.total, transaction.lines),
        (Some(dollars(7)), with_lines.lines)
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_names_every_field_that_differs(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    create(&mut client, customer("c2")).await.unwrap();
    record(&mut client, vec![purchase("c1", "1")])
        .await
        .unwrap();
    let other = pb::Transaction {
        occurred_at: Some(at("2025-06-03T00:00:00Z")),
        total: None,
        lines: vec![line("a", 1, dollars(9))],
        ..purchase("c2", "1")
    };
    let outcomes = record(&mut client, vec![other]).await.unwrap();
    assert_eq!(outcomes[0].reason, "TRANSACTION_DIFFERS");
    assert_eq!(
        outcomes[0].differing_fields,
        ["customer_id", "occurred_at", "total", "lines"]
    );
    assert_eq!(get(&mut client, "c2").await.unwrap().revision, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_purchases_are_refused_with_all_their_violations(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let euros = api::r#type::v1::Money {
        currency_code: "EUR".to_owned(),
        micros: 1,
    };
    let with_lines = |lines| pb::Transaction {
        total: None,
        lines,
        ..purchase("c1", "1")
    };
    let cases = [
        (
            pb::Transaction::default(),
            vec![
                "customer_id",
                "source",
                "external_id",
                "occurred_at",
                "total",
            ],
        ),
        (
            pb::Transaction {
                total: None,
                ..purchase("c1", "1")
            },
            vec!["total"],
        ),
        (
            pb::Transaction {
                occurred_at: Some(at("2026-01-03T00:00:00Z")),
                ..purchase("c1", "1")
            },
            vec!["occurred_at"],
        ),
        (
            with_lines(vec![line("a", 1, dollars(1)), line("b", 1, euros)]),
            vec!["lines[1].amount"],
        ),
        (
            with_lines(vec![line("a", 0, dollars(1)), line("b", 1, dollars(-1))]),
            vec!["lines[0].quantity", "lines[1].amount"],
        ),
        (
            pb::Transaction {
                lines: vec![line("a", 1, dollars(4))],
                ..purchase("c1", "1")
            },
            vec!["total"],
        ),
        (
            with_lines(vec![line("a", 1, dollars(1)); 1001]),
            vec!["lines"],
        ),
        (
            with_lines(vec![line("a", 1, dollars(1_000_000_000)); 2]),
            vec!["lines"],
        ),
    ];
    for (transaction, fields) in cases {
        let outcome = record(&mut client, vec![transaction])
            .await
            .unwrap()
            .remove(0);
        assert_eq!(
            (outcome.status(), outcome.reason.as_str()),
            (Refused, "INVALID_REQUEST")
        );
        let found: Vec<_> = outcome
            .violations
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(found, fields);
    }
    assert_eq!(changes(&server).await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_currency_mismatch_names_the_line(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let euros = api::r#type::v1::Money {
        currency_code: "EUR".to_owned(),
        micros: 1,
    };
    let mixed = pb::Transaction {
        lines: vec![line("a", 1, euros)],
        ..purchase("c1", "1")
    };
    let outcome = record(&mut client, vec![mixed]).await.unwrap().remove(0);
    let violation = &outcome.violations[0];
    assert_eq!(violation.field, "lines[0].amount");
    assert!(
        violation.description.starts_with("CURRENCY_MISMATCH"),
        "{violation:?}"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn batches_are_bounded_and_a_request_id_is_bound_to_its_batch(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let many: Vec<_> = (0..1001).map(|i| purchase("c1", &i.to_string())).collect();
    for batch in [Vec::new(), many] {
        let status = record(&mut client, batch).await.unwrap_err();
        assert_eq!(violations(&status), ["transactions"]);
    }
    let request = |external_id: &str| pb::RecordTransactionsRequest {
        transactions: vec![purchase("c1", external_id)],
        request_id: "t-1".to_owned(),
    };
    let first = client
        .record_transactions(request("1"))
        .await
        .unwrap()
        .into_inner();
    let second = client.record_transactions(request("1")).await.unwrap();
    assert_eq!(second.metadata().get("asterism-replayed").unwrap(), "true");
    assert_eq!(second.into_inner(), first);
    let reused = client.record_transactions(request("2")).await;
    assert_refused(reused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(changes(&server).await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn interactions_are_recorded_once_and_their_subject_stays_here(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let batch = vec![
        call("c1", "1"),
        call("c1", "1"),
        pb::Interaction {
            channel: pb::Channel::Email.into(),
            ..call("c1", "1")
        },
        call("nobody", "2"),
        pb::Interaction::default(),
    ];
    let outcomes = interact(&mut client, batch).await.unwrap();
    assert_eq!(
        statuses(&outcomes),
        [Recorded, AlreadyRecorded, Conflict, Refused, Refused]
    );
    assert_eq!(outcomes[2].reason, "INTERACTION_DIFFERS");
    assert_eq!(outcomes[2].differing_fields, ["channel"]);
    let fields: Vec<_> = outcomes[4]
        .violations
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "customer_id",
            "source",
            "external_id",
            "channel",
            "type",
            "occurred_at"
        ]
    );
    let again = interact(&mut client, vec![call("c1", "1")]).await.unwrap();
    assert_eq!(
        (statuses(&again), &again[0].id),
        (vec![AlreadyRecorded], &outcomes[0].id)
    );

    let event = changes(&server).await.pop().unwrap();
    assert_eq!(event.revision, 2);
    let event: pb::InteractionRecorded = event.payload.unwrap().to_msg().unwrap();
    let interaction = event.interaction.unwrap();
    assert_eq!(
        (interaction.subject.as_str(), interaction.r#type.as_str()),
        ("", "complaint")
    );
    let empty = interact(&mut client, Vec::new()).await;
    assert_refused(empty, Code::InvalidArgument, "INVALID_REQUEST");
}
