//! The feed: in order, without gaps, without personal data.

use api::customer::v1 as pb;
use rstest::rstest;
use testkit::Backend;

use crate::support::{
    call, changes, create, full_customer, history, interact, purchase, record, start,
};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_change_has_one_event_with_the_next_revision(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();
    record(&mut client, vec![purchase("c1", "1"), purchase("c1", "2")])
        .await
        .unwrap();
    interact(&mut client, vec![call("c1", "1")]).await.unwrap();
    let update = pb::UpdateCustomerRequest {
        customer: Some(pb::Customer {
            industry: "mining".to_owned(),
            ..full_customer("c1")
        }),
        ..Default::default()
    };
    client.update_customer(update).await.unwrap();
    let void = pb::VoidTransactionRequest {
        transaction: Some(pb::void_transaction_request::Transaction::Key(
            pb::TransactionKey {
                source: "pos".to_owned(),
                external_id: "1".to_owned(),
            },
        )),
        reason: "returned".to_owned(),
        request_id: String::new(),
    };
    client.void_transaction(void).await.unwrap();
    let delete = pb::DeleteCustomerRequest {
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    client.delete_customer(delete).await.unwrap();

    let expected = [
        "CustomerCreated",
        "TransactionRecorded",
        "TransactionRecorded",
        "InteractionRecorded",
        "CustomerUpdated",
        "TransactionVoided",
        "CustomerDeleted",
    ];
    let expected: Vec<_> = (1..).zip(expected.map(str::to_owned)).collect();
    assert_eq!(history(&server, "c1").await, expected);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn no_event_carries_personal_data(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, full_customer("c1")).await.unwrap();
    interact(&mut client, vec![call("c1", "1")]).await.unwrap();
    let mut changed = full_customer("c1");
    changed.name.as_mut().unwrap().given_name = "Eve".to_owned();
    let update = pb::UpdateCustomerRequest {
        customer: Some(changed),
        ..Default::default()
    };
    client.update_customer(update).await.unwrap();

    let events = changes(&server).await;
    assert_eq!(events.len(), 3);
    for event in &events {
        let payload = &event.payload.as_ref().unwrap().value;
        let payload = String::from_utf8_lossy(payload);
        for personal in [
            "Ann",
            "Eve",
            "Smith",
            "ann@",
            "+49",
            "Main Street",
            "1980",
            "Jones",
        ] {
            assert!(!payload.contains(personal), "{personal} in {event:?}");
        }
    }
    let updated: pb::CustomerUpdated = events[2].payload.as_ref().unwrap().to_msg().unwrap();
    assert_eq!(updated.changed_fields, ["name.given_name"]);
    let facts = updated.customer.unwrap();
    assert_eq!(
        (facts.industry.as_str(), facts.etag.as_str()),
        ("retail", "\"3\"")
    );
}
