//! Balances of many, what will expire, and statements that add up and prove it.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use common::time::Timestamp;
use rstest::rstest;
use sha2::Digest as _;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::shop::{NOW, Shop, at, earn};

async fn batch(shop: &mut Shop, customer_ids: &[&str]) -> pb::BatchGetBalancesResponse {
    let request = pb::BatchGetBalancesRequest {
        customer_ids: customer_ids.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let answer = shop.client.batch_get_balances(request).await;
    answer.unwrap().into_inner()
}

async fn balance(shop: &mut Shop, customer_id: &str) -> pb::Balance {
    let request = pb::GetBalanceRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    };
    let answer = shop.client.get_balance(request).await;
    answer.unwrap().into_inner().balance.unwrap()
}

async fn hold(shop: &mut Shop, points: i64) {
    let request = pb::AuthorizeHoldRequest {
        customer_id: "c1".to_owned(),
        points,
        ..Default::default()
    };
    shop.client.authorize_hold(request).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn balances_of_many_are_those_of_each(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    for customer_id in ["c2", "c3"] {
        shop.created(customer_id).await;
    }
    shop.caught_up().await;
    shop.earn("c1", 100, "s1").await;
    hold(&mut shop, 40).await;
    shop.earn("c2", 7, "s2").await;
    let mut expected = Vec::new();
    for customer_id in ["c3", "c1", "c2"] {
        expected.push((customer_id, balance(&mut shop, customer_id).await));
    }
    let told = batch(&mut shop, &["c3", "nobody", "c1", "c2", "c1"]).await;
    let known = told.balances.iter();
    let known: Vec<_> = known
        .map(|member| (member.customer_id.as_str(), member.balance.clone().unwrap()))
        .collect();
    assert_eq!(known, expected);
    assert_eq!((known[1].1.available, known[1].1.held), (60, 40));
    assert_eq!(told.missing_customer_ids, ["nobody"]);

    shop.server.clock.advance(TimeDelta::days(8));
    let told = batch(&mut shop, &["c1"]).await;
    let after = told.balances[0].balance.as_ref().unwrap();
    assert_eq!((after.available, after.held), (100, 0));
    let past = pb::BatchGetBalancesRequest {
        customer_ids: vec!["c1".to_owned()],
        as_of: at("1998-07-02T00:00:00Z"),
        ..Default::default()
    };
    let told = shop.client.batch_get_balances(past).await.unwrap();
    let then = told.into_inner().balances[0].balance.clone().unwrap();
    assert_eq!((then.available, then.held), (60, 40));

    let too_many = pb::BatchGetBalancesRequest {
        customer_ids: vec!["no spaces".to_owned(); 1001],
        program_id: "no spaces".to_owned(),
        ..Default::default()
    };
    let status = shop.client.batch_get_balances(too_many).await.unwrap_err();
    let fields = violations(&status);
    assert_eq!(
        fields[..3],
        ["program_id", "customer_ids", "customer_ids[0]"]
    );
}

fn days(horizon_days: i32, bucket_days: i32) -> pb::ForecastExpiryRequest {
    pb::ForecastExpiryRequest {
        customer_id: "c1".to_owned(),
        horizon_days,
        bucket_days,
        ..Default::default()
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_foretold_by_buckets(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    for (points, source, expires_at) in [
        (10, "s1", "1998-07-05T00:00:00Z"),
        (20, "s2", "1998-07-11T00:00:00Z"),
        (30, "s3", "1998-07-31T00:00:00Z"),
    ] {
        let earning = pb::EarnPointsRequest {
            expires_at: at(expires_at),
            ..earn("c1", points, source)
        };
        shop.try_earn(earning).await.unwrap();
    }
    hold(&mut shop, 15).await;
    let answer = shop.client.forecast_expiry(days(25, 10)).await;
    let told = answer.unwrap().into_inner();
    let buckets: Vec<_> = told.buckets.iter().map(|b| (b.points, b.held)).collect();
    assert_eq!(buckets, [(0, 10), (15, 5), (0, 0)]);
    assert_eq!((told.points_later, told.held_later), (30, 0));
    assert_eq!(told.as_of, at(NOW));
    assert_eq!(told.buckets[1].from, at("1998-07-11T00:00:00Z"));
    assert_eq!(told.buckets[2].to, at("1998-07-26T00:00:00Z"));
    // Seen from after the hold has timed out, what it held of the first lot has expired.
    let later = pb::ForecastExpiryRequest {
        as_of: at("1998-07-09T00:00:00Z"),
        ..days(0, 0)
    };
    let told = shop.client.forecast_expiry(later).await.unwrap();
    let buckets = told.into_inner().buckets;
    assert_eq!((buckets.len(), buckets[0].points), (13, 50));
    assert_eq!(buckets.iter().map(|b| b.held).sum::<i64>(), 0);

    for (request, field) in [
        (days(-1, 0), "horizon_days"),
        (days(36_501, 100), "horizon_days"),
        (days(0, -1), "bucket_days"),
        (days(36_500, 36), "bucket_days"),
    ] {
        let status = shop.client.forecast_expiry(request).await.unwrap_err();
        assert_eq!(violations(&status), [field]);
    }
    let nobody = pb::ForecastExpiryRequest {
        customer_id: "nobody".to_owned(),
        ..days(0, 0)
    };
    let refused = shop.client.forecast_expiry(nobody).await;
    assert_refused(refused, Code::NotFound, "MEMBER_NOT_FOUND");
}

fn july() -> pb::GetStatementRequest {
    pb::GetStatementRequest {
        customer_id: "c1".to_owned(),
        from: at("1998-07-02T00:00:00Z"),
        to: at("1998-08-01T00:00:00Z"),
        ..Default::default()
    }
}

async fn statement(
    shop: &mut Shop,
    request: pb::GetStatementRequest,
) -> Result<pb::GetStatementResponse, Status> {
    Ok(shop.client.get_statement(request).await?.into_inner())
}

/// The canonical bytes as the proto tells them, from what a caller sees. They begin with the layout and whose they
/// are.
pub fn canonical(
    begin: &[&str],
    told: &pb::GetStatementResponse,
    movements: &[pb::LedgerTransaction],
) -> String {
    let micros = |at: &Option<prost_types::Timestamp>| {
        let at = Timestamp::try_from(&at.unwrap()).unwrap();
        at.micros().to_string()
    };
    let short = |name: &str, prefix: &str| name.strip_prefix(prefix).unwrap().to_lowercase();
    let (opening, closing) = (told.opening.unwrap(), told.closing.unwrap());
    let standing = |balance: &pb::StatementBalance| {
        [balance.points, balance.held, balance.debt].map(|points| points.to_string())
    };
    let mut values: Vec<_> = begin.iter().map(ToString::to_string).collect();
    values.extend([micros(&opening.at), micros(&closing.at)]);
    values.extend(standing(&opening));
    for movement in movements {
        values.extend([
            movement.revision.to_string(),
            movement.transaction_id.clone(),
            short(movement.kind().as_str_name(), "TRANSACTION_KIND_"),
            movement.points.to_string(),
            movement.source_type.clone(),
            movement.source_ref.clone(),
            movement.rule.clone(),
            movement.reason_code.clone(),
            movement.reason.clone(),
            movement.reverses_transaction_id.clone(),
            movement.counterparty_customer_id.clone(),
            micros(&movement.occurred_at),
            micros(&movement.posted_at),
            movement.entries.len().to_string(),
        ]);
        for entry in &movement.entries {
            values.extend([
                short(entry.account().as_str_name(), "LEDGER_ACCOUNT_"),
                entry.lot_id.clone(),
                entry.hold_id.clone(),
                entry.points.to_string(),
            ]);
        }
    }
    values.extend(standing(&closing));
    values.push(movements.len().to_string());
    let value = |value: &String| format!("{}:{value},", value.len());
    values.iter().map(value).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_adds_up_and_its_digest_can_be_recomputed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    shop.server.clock.set(testkit::time("1998-07-02T00:00:00Z"));
    let earned = shop.earn("c1", 50, "s2").await.transaction.unwrap();
    shop.redeem("c1", 120).await.unwrap();
    hold(&mut shop, 10).await;
    shop.reverse("c1", &earned.transaction_id).await.unwrap();
    let whole = statement(&mut shop, july()).await.unwrap();
    let (opening, closing) = (whole.opening.unwrap(), whole.closing.unwrap());
    assert_eq!((opening.points, opening.held, opening.debt), (100, 0, 0));
    assert_eq!((closing.points, closing.held, closing.debt), (-20, 10, 30));
    assert_eq!(closing.at, at("1998-08-01T00:00:00Z"));
    let moved: i64 = whole.movements.iter().map(|m| m.points).sum();
    assert_eq!(opening.points + moved, closing.points);
    assert_eq!((whole.movement_count, whole.movements.len()), (4, 4));

    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let page = pb::GetStatementRequest {
            page_size: 3,
            page_token,
            ..july()
        };
        let page = statement(&mut shop, page).await.unwrap();
        assert_eq!(
            (page.opening, page.closing, &page.digest),
            (whole.opening, whole.closing, &whole.digest)
        );
        paged.extend(page.movements);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, whole.movements);
    let begin = ["asterism.statement.v1", "default", "c1"];
    let bytes = canonical(&begin, &whole, &paged);
    assert_eq!(whole.digest, sha2::Sha256::digest(bytes).to_vec());

    // What is posted after the period changes nothing of it, and opens the next one.
    shop.server.clock.set(testkit::time("1998-08-01T00:00:00Z"));
    shop.earn("c1", 5, "s3").await;
    assert_eq!(statement(&mut shop, july()).await.unwrap(), whole);
    let august = pb::GetStatementRequest {
        from: july().to,
        to: at("1998-09-01T00:00:00Z"),
        ..july()
    };
    let next = statement(&mut shop, august.clone()).await.unwrap();
    let (begin, end) = (next.opening.unwrap(), next.closing.unwrap());
    assert_eq!((begin.points, begin.held, begin.debt), (-20, 10, 30));
    assert_eq!(end.points, -15);
    assert_ne!(next.digest, whole.digest);

    let first = pb::GetStatementRequest {
        page_size: 1,
        ..july()
    };
    let page_token = statement(&mut shop, first).await.unwrap().next_page_token;
    let other = pb::GetStatementRequest {
        page_token,
        ..august
    };
    let status = statement(&mut shop, other).await.unwrap_err();
    assert_eq!(violations(&status), ["page_token"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_periods_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let nothing = pb::GetStatementRequest::default();
    let status = statement(&mut shop, nothing).await.unwrap_err();
    assert_eq!(violations(&status), ["customer_id", "from", "to"]);
    let backwards = pb::GetStatementRequest {
        to: july().from,
        ..july()
    };
    let status = statement(&mut shop, backwards).await.unwrap_err();
    assert_eq!(violations(&status), ["to"]);
    let nobody = pb::GetStatementRequest {
        customer_id: "nobody".to_owned(),
        ..july()
    };
    let refused = statement(&mut shop, nobody).await;
    assert_refused(refused, Code::NotFound, "MEMBER_NOT_FOUND");
}
