//! Two customers turn out to be one, and then two again: what the ledger makes of what the customer service does.

use api::customer::v1 as customer;
use api::customer::v1::customer_profile_service_client::CustomerProfileServiceClient;
use api::loyalty::v1 as loyalty;
use api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use api::r#type::v1::Money;
use customer_profile::CustomerProfile;
use loyalty_points::Loyalty;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::TestServer;
use tonic::transport::Channel;

type Customers = CustomerProfileServiceClient<Channel>;

async fn create(client: &mut Customers, id: &str) {
    let request = customer::CreateCustomerRequest {
        customer: Some(customer::Customer {
            customer_id: id.to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    client.create_customer(request).await.unwrap();
}

async fn buy(client: &mut Customers, id: &str, external_id: &str, dollars: i64) {
    let request = customer::RecordTransactionsRequest {
        transactions: vec![customer::Transaction {
            customer_id: id.to_owned(),
            source: "pos".to_owned(),
            external_id: external_id.to_owned(),
            occurred_at: Some(testkit::time("2025-12-01T00:00:00Z").into()),
            total: Some(Money {
                currency_code: "USD".to_owned(),
                micros: dollars * 1_000_000,
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let outcomes = client.record_transactions(request).await.unwrap();
    let outcome = outcomes.into_inner().outcomes.remove(0);
    assert_eq!(outcome.status(), customer::RecordStatus::Recorded);
}

async fn void(client: &mut Customers, external_id: &str) {
    let key = customer::TransactionKey {
        source: "pos".to_owned(),
        external_id: external_id.to_owned(),
    };
    let request = customer::VoidTransactionRequest {
        transaction: Some(customer::void_transaction_request::Transaction::Key(key)),
        reason: "returned".to_owned(),
        ..Default::default()
    };
    client.void_transaction(request).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_follows_customers_who_are_merged_and_unmerged(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let customers = TestServer::<CustomerProfile>::start(backend).await;
    let loyalty = TestServer::<Loyalty>::start_with(backend, &[&customers]).await;
    let mut client = CustomerProfileServiceClient::new(customers.channel());
    let mut points = LoyaltyServiceClient::new(loyalty.channel());
    let mut stand = async |id: &str| {
        loyalty.caught_up(&customers).await;
        let request = loyalty::GetBalanceRequest {
            customer_id: id.to_owned(),
            ..Default::default()
        };
        let balance = points.get_balance(request).await.unwrap().into_inner();
        let request = loyalty::GetTierRequest {
            customer_id: id.to_owned(),
            ..Default::default()
        };
        let tier = points.get_tier(request).await.unwrap().into_inner();
        let balance = balance.balance.unwrap();
        (balance.available, balance.debt, tier.tier.unwrap().tier)
    };
    let told = |available: i64, debt: i64, tier: &str| (available, debt, tier.to_owned());
    for id in ["ann", "anne"] {
        create(&mut client, id).await;
    }
    buy(&mut client, "ann", "1", 60).await;
    buy(&mut client, "anne", "2", 70).await;
    assert_eq!(stand("anne").await, told(70, 0, "Bronze"));

    let merge = customer::MergeCustomersRequest {
        survivor_id: "anne".to_owned(),
        absorbed_id: "ann".to_owned(),
        reason: "same person".to_owned(),
        ..Default::default()
    };
    let merged = client.merge_customers(merge).await.unwrap().into_inner();
    assert_eq!(stand("anne").await, told(130, 0, "Silver"));
    // The till still has the old card, and the first purchase comes back.
    buy(&mut client, "ann", "3", 5).await;
    assert_eq!(stand("anne").await, told(135, 0, "Silver"));
    void(&mut client, "1").await;
    assert_eq!(stand("anne").await, told(75, 0, "Bronze"));
    assert_eq!(stand("ann").await.0, 0);

    let unmerge = customer::UnmergeCustomersRequest {
        merge_id: merged.merge.unwrap().merge_id,
        reason: "sisters".to_owned(),
        ..Default::default()
    };
    client.unmerge_customers(unmerge).await.unwrap();
    assert_eq!(stand("ann").await, told(5, 0, "Bronze"));
    assert_eq!(stand("anne").await, told(70, 0, "Bronze"));
}
