//! The summary of a customer.

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::support::{at, call, create, dollars, full_customer, interact, purchase, record, start};

fn request(customer_id: &str, as_of: Option<&str>) -> pb::GetCustomerSummaryRequest {
    pb::GetCustomerSummaryRequest {
        customer_id: customer_id.to_owned(),
        as_of: as_of.map(at),
        at_least: String::new(),
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_summary_counts_what_stands_up_to_an_instant(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();
    let yen = |micros| api::r#type::v1::Money {
        currency_code: "JPY".to_owned(),
        micros,
    };
    let of = |external_id: &str, time: &str, total| pb::Transaction {
        occurred_at: Some(at(time)),
        total: Some(total),
        ..purchase("c1", external_id)
    };
    let batch = vec![
        of("1", "2025-01-01T00:00:00Z", dollars(5)),
        of("2", "2025-02-01T00:00:00Z", dollars(7)),
        of("3", "2025-03-01T00:00:00Z", yen(90)),
        of("4", "2025-04-01T00:00:00Z", dollars(100)),
        of("5", "2025-12-01T00:00:00Z", dollars(1)),
    ];
    let ids = record(&mut client, batch).await.unwrap();
    let void = pb::VoidTransactionRequest {
        transaction: Some(pb::void_transaction_request::Transaction::TransactionId(
            ids[3].id.clone(),
        )),
        reason: "returned".to_owned(),
        request_id: String::new(),
    };
    client.void_transaction(void).await.unwrap();
    let email = pb::Interaction {
        channel: pb::Channel::Email.into(),
        ..call("c1", "2")
    };
    interact(&mut client, vec![call("c1", "1"), email, call("c1", "3")])
        .await
        .unwrap();

    let request = request("c1", Some("2025-07-01T00:00:00Z"));
    let summary = client
        .get_customer_summary(request)
        .await
        .unwrap()
        .into_inner();
    let summary = summary.summary.unwrap();
    let spend = |amount, transaction_count| pb::Spend {
        amount: Some(amount),
        transaction_count,
    };
    assert_eq!(summary.spend, [spend(yen(90), 1), spend(dollars(12), 2)]);
    assert_eq!(
        (summary.transaction_count, summary.voided_transaction_count),
        (3, 1)
    );
    assert_eq!(summary.first_purchase_at, Some(at("2025-01-01T00:00:00Z")));
    assert_eq!(summary.last_purchase_at, Some(at("2025-03-01T00:00:00Z")));
    let count = |channel: pb::Channel, count| pb::InteractionCount {
        channel: channel.into(),
        count,
    };
    assert_eq!(
        summary.interactions,
        [count(pb::Channel::Email, 1), count(pb::Channel::Phone, 2)]
    );
    assert_eq!(
        summary.last_interaction_at,
        Some(at("2025-06-02T12:00:00Z"))
    );
    let freshness = summary.freshness.unwrap();
    assert_eq!(freshness.revision, 10);
    assert_eq!(summary.customer.unwrap().revision, 10);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_without_history_has_an_empty_summary(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();
    let summary = client
        .get_customer_summary(request("c1", None))
        .await
        .unwrap()
        .into_inner();
    let summary = summary.summary.unwrap();
    assert_eq!(
        (summary.transaction_count, summary.first_purchase_at),
        (0, None)
    );
    let now: prost_types::Timestamp = server.platform.now().into();
    assert_eq!(summary.freshness.unwrap().as_of, Some(now));

    let unknown = client.get_customer_summary(request("nobody", None)).await;
    assert_refused(unknown, Code::NotFound, "CUSTOMER_NOT_FOUND");
    let bad = pb::GetCustomerSummaryRequest {
        at_least: "x".to_owned(),
        ..request("c1", None)
    };
    assert_eq!(
        violations(&client.get_customer_summary(bad).await.unwrap_err()),
        ["at_least"]
    );
}

/// Nobody can make a customer unreadable by buying for more than 64 bits hold.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn spend_beyond_64_bits_is_capped(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();
    for chunk in 0..10 {
        let ids = chunk * 1000..(chunk + 1) * 1000;
        let huge = |id: i32| pb::Transaction {
            total: Some(dollars(1_000_000_000)),
            ..purchase("c1", &id.to_string())
        };
        record(&mut client, ids.map(huge).collect()).await.unwrap();
    }
    let summary = client.get_customer_summary(request("c1", None)).await;
    let summary = summary.unwrap().into_inner().summary.unwrap();
    let amount = summary.spend[0].amount.clone().unwrap();
    assert_eq!(
        (amount.micros, summary.transaction_count),
        (i64::MAX, 10_000)
    );
}
