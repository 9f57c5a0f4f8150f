//! How currencies are made known and named.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use super::travel::{COINS, MILES, TRAVEL, Travel, earn, program, redeem};
use crate::shop::Shop;

fn create(program: pb::Program) -> pb::CreateProgramRequest {
    pb::CreateProgramRequest {
        program: Some(program),
        ..Default::default()
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_tells_its_currencies(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let created = shop.client.create_program(create(program())).await.unwrap();
    let created = created.into_inner().program.unwrap();
    assert_eq!(created.further_currencies, program().further_currencies);
    // Another replica reads it from the database.
    let replica = shop.server.replica().await;
    let mut client = pb::loyalty_service_client::LoyaltyServiceClient::new(replica.channel());
    let request = pb::GetProgramRequest {
        program_id: TRAVEL.to_owned(),
    };
    let read = client.get_program(request).await.unwrap().into_inner();
    assert_eq!(read.program, Some(created));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn contradictory_currencies_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let currency = |code: &str, display_name: &str, validity_days| pb::PointCurrency {
        code: code.to_owned(),
        display_name: display_name.to_owned(),
        validity_days,
    };
    let bad = pb::Program {
        further_currencies: vec![
            currency(COINS, "Coins again", 0),
            currency("miles", "", -1),
            currency(MILES, "Miles", 36_501),
            currency(MILES, "Mi\0les", 0),
        ],
        ..program()
    };
    let status = shop.client.create_program(create(bad)).await.unwrap_err();
    let field = |n: usize, name: &str| format!("program.further_currencies[{n}].{name}");
    let expected = [
        field(0, "code"),
        field(1, "code"),
        field(1, "display_name"),
        field(1, "validity_days"),
        field(2, "validity_days"),
        field(3, "code"),
        field(3, "display_name"),
    ];
    assert_eq!(violations(&status), expected);

    let codes = (b'A'..=b'U').map(|letter| format!("X{}", char::from(letter)));
    let many: Vec<_> = codes
        .map(|code| currency(&code, "One of many", 0))
        .collect();
    assert_eq!(many.len(), 21);
    let too_many = pb::Program {
        further_currencies: many.clone(),
        ..program()
    };
    let status = shop
        .client
        .create_program(create(too_many))
        .await
        .unwrap_err();
    assert_eq!(violations(&status), ["program.further_currencies"]);
    let most = pb::Program {
        further_currencies: many[..20].to_vec(),
        ..program()
    };
    let created = shop
        .client
        .create_program(create(most.clone()))
        .await
        .unwrap();
    let created = created.into_inner().program.unwrap();
    assert_eq!(created.further_currencies, most.further_currencies);
}

/// Everything that takes a currency, with this one.
async fn refusals(travel: &Travel, currency: &str) -> Vec<Status> {
    let mut client = travel.shop.client.clone();
    let (program_id, customer_id) = (TRAVEL.to_owned(), "c1".to_owned());
    let points_currency = currency.to_owned();
    let adjust = pb::AdjustPointsRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        points: 1,
        reason_code: "GOODWILL".to_owned(),
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let transfer = pb::TransferPointsRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        to_customer_id: "c2".to_owned(),
        points: 1,
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let hold = pb::AuthorizeHoldRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        points: 1,
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let balance = pb::GetBalanceRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let balances = pb::BatchGetBalancesRequest {
        program_id: program_id.clone(),
        customer_ids: vec![customer_id.clone()],
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let transactions = pb::ListTransactionsRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let lots = pb::ListLotsRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let holds = pb::ListHoldsRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let forecast = pb::ForecastExpiryRequest {
        program_id: program_id.clone(),
        customer_id: customer_id.clone(),
        points_currency: points_currency.clone(),
        ..Default::default()
    };
    let statement = pb::GetStatementRequest {
        program_id,
        customer_id,
        points_currency,
        from: crate::shop::at("1998-06-01T00:00:00Z"),
        to: crate::shop::at("1998-07-01T00:00:00Z"),
        ..Default::default()
    };
    let spend = redeem(1, currency);
    vec![
        client
            .earn_points(earn("c1", 1, currency, "unknown"))
            .await
            .unwrap_err(),
        client.redeem_points(spend).await.unwrap_err(),
        client.adjust_points(adjust).await.unwrap_err(),
        client.transfer_points(transfer).await.unwrap_err(),
        client.authorize_hold(hold).await.unwrap_err(),
        client.get_balance(balance).await.unwrap_err(),
        client.batch_get_balances(balances).await.unwrap_err(),
        client.list_transactions(transactions).await.unwrap_err(),
        client.list_lots(lots).await.unwrap_err(),
        client.list_holds(holds).await.unwrap_err(),
        client.forecast_expiry(forecast).await.unwrap_err(),
        client.get_statement(statement).await.unwrap_err(),
    ]
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_currency_that_the_program_has_not_is_refused_and_nothing_changes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(10, COINS).await;
    travel.earn(20, MILES).await;
    for refused in refusals(&travel, "GOLD").await {
        let info = common::error::ErrorInfo::of(&refused);
        assert_eq!(info.metadata["points_currency"], "GOLD");
        assert_eq!(info.metadata["program_id"], TRAVEL);
        assert_refused(Err::<(), _>(refused), Code::NotFound, "CURRENCY_NOT_FOUND");
    }
    for malformed in refusals(&travel, "gold").await {
        assert_eq!(violations(&malformed), ["points_currency"]);
    }
    travel.assert_told((10, 0, 0), (20, 0, 0)).await;
    assert_eq!(travel.transactions("").await.len(), 2);
    // The default program has one currency.
    let elsewhere = pb::EarnPointsRequest {
        program_id: String::new(),
        ..earn("c1", 1, MILES, "elsewhere")
    };
    let refused = travel.shop.try_earn(elsewhere).await;
    assert_refused(refused, Code::NotFound, "CURRENCY_NOT_FOUND");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_answers_the_same_whatever_came_between(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    travel.earn(10, MILES).await;
    let spend = |currency: &str| pb::RedeemPointsRequest {
        request_id: format!("r-{currency}"),
        ..redeem(4, currency)
    };
    let first = travel.shop.client.redeem_points(spend(MILES)).await;
    let first = first.unwrap().into_inner();
    let unknown = travel.shop.client.redeem_points(spend("GOLD")).await;
    assert_refused(unknown, Code::NotFound, "CURRENCY_NOT_FOUND");
    travel.earn(50, MILES).await;
    let again = travel.shop.client.redeem_points(spend(MILES)).await;
    assert_eq!(again.unwrap().into_inner(), first);
    let unknown = travel.shop.client.redeem_points(spend("GOLD")).await;
    assert_refused(unknown, Code::NotFound, "CURRENCY_NOT_FOUND");
    // The same id for another currency is another request.
    let other = pb::RedeemPointsRequest {
        points_currency: COINS.to_owned(),
        ..spend(MILES)
    };
    let refused = travel.shop.client.redeem_points(other).await;
    assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    travel.assert_told((0, 0, 0), (56, 0, 0)).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_of_the_currency_and_changes_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = Travel::open(backend).await;
    let request = pb::EarnPointsRequest {
        dry_run: true,
        ..earn("c1", 8, MILES, "dry")
    };
    let dry = travel.shop.try_earn(request).await.unwrap();
    let balance = dry.balance.unwrap();
    let told = (balance.points_currency.as_str(), balance.available);
    assert_eq!(told, (MILES, 8));
    travel.assert_told((0, 0, 0), (0, 0, 0)).await;
}
