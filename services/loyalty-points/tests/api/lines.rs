//! Earnings taken back line by line.

use api::customer::v1 as customer;
use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::returned_line::Share;
use pb::reverse_transaction_request::Extent;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::audit;
use crate::shop::{Purchase, Shop, earn};

const MARCH: &str = "1998-03-01T00:00:00Z";

fn line(line_id: &str, weight: i64, quantity: i64) -> pb::EarnedLine {
    pb::EarnedLine {
        line_id: line_id.to_owned(),
        weight,
        quantity,
    }
}

fn returned(line_id: &str, share: Option<Share>) -> pb::ReturnedLine {
    pb::ReturnedLine {
        line_id: line_id.to_owned(),
        share,
    }
}

/// Earns for lines; returns the id of the earning.
async fn earned(shop: &mut Shop, points: i64, lines: Vec<pb::EarnedLine>) -> String {
    let request = pb::EarnPointsRequest {
        lines,
        ..earn("c1", points, "s1")
    };
    let earned = shop.try_earn(request).await.unwrap();
    earned.transaction.unwrap().transaction_id
}

fn request(transaction_id: &str, lines: Vec<pb::ReturnedLine>) -> pb::ReverseTransactionRequest {
    pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        extent: Some(Extent::Lines(pb::ReturnedLines { lines })),
        ..Default::default()
    }
}

async fn give_back(
    shop: &mut Shop,
    transaction_id: &str,
    line_id: &str,
    share: Option<Share>,
) -> Result<pb::ReverseTransactionResponse, Status> {
    let request = request(transaction_id, vec![returned(line_id, share)]);
    let answer = shop.client.reverse_transaction(request).await?;
    Ok(answer.into_inner())
}

/// The points that the return of a line takes back.
async fn points_of(shop: &mut Shop, id: &str, line_id: &str, share: Option<Share>) -> i64 {
    let reversed = give_back(shop, id, line_id, share).await.unwrap();
    reversed.transaction.unwrap().points
}

fn metadata<T: std::fmt::Debug>(
    outcome: Result<T, Status>,
    (code, reason): (Code, &str),
    key: &str,
) -> String {
    let details = assert_refused(outcome, code, reason);
    details.error_info().unwrap().metadata[key].clone()
}

const REFUSED: Code = Code::FailedPrecondition;

#[rstest]
#[case(["a", "b", "c"], [-16, -17, -67])]
#[case(["c", "b", "a"], [-66, -17, -17])]
#[case(["b", "c", "a"], [-16, -67, -17])]
#[tokio::test(flavor = "multi_thread")]
async fn lines_returned_in_any_order_take_back_exactly_what_was_earned(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] order: [&str; 3],
    #[case] points: [i64; 3],
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let lines = vec![line("a", 1, 1), line("b", 1, 1), line("c", 4, 1)];
    let id = earned(&mut shop, 100, lines).await;
    for (line_id, points) in order.into_iter().zip(points) {
        assert_eq!(points_of(&mut shop, &id, line_id, None).await, points);
    }
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    assert_eq!(shop.tier("c1").await.qualifying_points, 0);
    assert_eq!(shop.lots("c1").await[0].state(), pb::LotState::Reversed);
    let again = give_back(&mut shop, &id, "a", None).await;
    assert_refused(again, REFUSED, "ALREADY_REVERSED");
    audit::seal(&shop).await;
    audit::success(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_returned_once_whole_or_in_shares(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let lines = vec![line("three", 60, 3), line("heavy", 40, 0)];
    let id = earned(&mut shop, 50, lines).await;
    let pieces = |pieces| Some(Share::Quantity(pieces));
    assert_eq!(points_of(&mut shop, &id, "three", pieces(1)).await, -10);
    let more = give_back(&mut shop, &id, "three", pieces(3)).await;
    assert_eq!(metadata(more, (REFUSED, "LINE_EXCEEDED"), "left"), "2");
    let weight = Some(Share::Weight(41));
    let more = give_back(&mut shop, &id, "heavy", weight).await;
    assert_eq!(metadata(more, (REFUSED, "LINE_EXCEEDED"), "left"), "40");
    let told = give_back(&mut shop, &id, "heavy", Some(Share::Weight(3)))
        .await
        .unwrap();
    assert_eq!(told.transaction.unwrap().points, -1);
    let lines: Vec<_> = told
        .lines
        .iter()
        .map(|line| {
            (
                line.line_id.as_str(),
                line.returned_weight,
                line.returned_quantity,
            )
        })
        .collect();
    assert_eq!(lines, [("three", 20, 1), ("heavy", 3, 0)]);
    assert_eq!(points_of(&mut shop, &id, "three", pieces(2)).await, -20);
    let again = give_back(&mut shop, &id, "three", None).await;
    let reason = (REFUSED, "LINE_ALREADY_REVERSED");
    assert_eq!(metadata(again, reason, "line_id"), "three");
    let unknown = give_back(&mut shop, &id, "four", None).await;
    let reason = (Code::NotFound, "LINE_NOT_FOUND");
    assert_eq!(metadata(unknown, reason, "line_id"), "four");
    // What one line of several is refused for spares the others.
    let both = vec![returned("heavy", None), returned("three", None)];
    let refused = shop.client.reverse_transaction(request(&id, both)).await;
    assert_refused(refused, REFUSED, "LINE_ALREADY_REVERSED");
    assert_eq!(shop.balance("c1").await, (19, 0, 0));
    assert_eq!(points_of(&mut shop, &id, "heavy", None).await, -19);
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_is_returned_by_its_lines(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let line = |quantity, cents: i64| customer::TransactionLine {
        quantity,
        amount: Some(Money {
            currency_code: "USD".to_owned(),
            micros: cents * 10_000,
        }),
        ..Default::default()
    };
    let purchase = Purchase {
        id: "t1",
        at: MARCH,
        currency: "USD",
        micros: 29_970_000,
    };
    let mut transaction = purchase.transaction("c1");
    transaction.lines = vec![line(2, 1_998), line(1, 0), line(1, 999)];
    shop.recorded("c1", transaction.clone()).await;
    shop.recorded("c1", transaction).await;
    shop.caught_up().await;
    let id = shop.transactions("c1").await[0].transaction_id.clone();
    assert_eq!(shop.balance("c1").await, (29, 0, 0));
    let one = Some(Share::Quantity(1));
    assert_eq!(points_of(&mut shop, &id, "1", one).await, -9);
    let free = give_back(&mut shop, &id, "2", None).await;
    assert_refused(free, Code::NotFound, "LINE_NOT_FOUND");
    let amount = Some(Share::Weight(9_990_000));
    assert_eq!(points_of(&mut shop, &id, "3", amount).await, -10);
    // The rest of a purchase that is voided then is taken back with it.
    shop.voided("c1", purchase).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    let late = give_back(&mut shop, &id, "1", None).await;
    assert_refused(late, REFUSED, "ALREADY_REVERSED");
    let posted = shop.transactions("c1").await;
    let points: Vec<_> = posted.iter().map(|posted| posted.points).collect();
    assert_eq!(points, [-10, -10, -9, 29]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn light_lines_are_made_up_for_and_points_count_against_lines(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let lines = (0..10).map(|n| line(&n.to_string(), 1, 1)).collect();
    let id = earned(&mut shop, 3, lines).await;
    let mut points = Vec::new();
    for n in 0..10 {
        points.push(points_of(&mut shop, &id, &n.to_string(), None).await);
    }
    assert_eq!(points, [0, 0, 0, -1, 0, 0, -1, 0, 0, -1]);

    let request = pb::EarnPointsRequest {
        lines: vec![line("a", 50, 1), line("b", 50, 1)],
        ..earn("c1", 100, "s2")
    };
    let earned = shop.try_earn(request).await.unwrap();
    let id = earned.transaction.unwrap().transaction_id;
    let by_points = pb::ReverseTransactionRequest {
        customer_id: "c1".to_owned(),
        transaction_id: id.clone(),
        extent: Some(Extent::Points(70)),
        ..Default::default()
    };
    shop.client.reverse_transaction(by_points).await.unwrap();
    assert_eq!(points_of(&mut shop, &id, "a", None).await, 0);
    assert_eq!(points_of(&mut shop, &id, "b", None).await, -30);
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_line_returned_by_many_at_once_is_returned_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let id = earned(&mut shop, 10, vec![line("a", 4, 1), line("b", 6, 1)]).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = shop.client.clone();
        let request = request(&id, vec![returned("a", None)]);
        calls.spawn(async move { client.reverse_transaction(request).await.map(drop) });
    }
    let outcomes = calls.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for lost in outcomes.into_iter().filter(Result::is_err) {
        assert_refused(lost, REFUSED, "LINE_ALREADY_REVERSED");
    }
    assert_eq!(shop.balance("c1").await, (6, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_tried_returns_no_line(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let id = earned(&mut shop, 10, vec![line("a", 4, 1), line("b", 6, 1)]).await;
    shop.redeem("c1", 10).await.unwrap();
    let within = pb::ReverseTransactionRequest {
        request_id: "r1".to_owned(),
        policy: pb::ReversalPolicy::WithinBalance.into(),
        ..request(&id, vec![returned("a", None)])
    };
    let dry = pb::ReverseTransactionRequest {
        dry_run: true,
        ..request(&id, vec![returned("a", None)])
    };
    let refused = shop.client.reverse_transaction(within).await;
    assert_refused(refused, REFUSED, "REVERSAL_NOT_COVERED");
    let told = shop.client.reverse_transaction(dry).await.unwrap();
    assert_eq!(told.into_inner().lines[0].returned_weight, 4);
    assert_eq!(points_of(&mut shop, &id, "a", None).await, -4);
    assert_eq!(shop.balance("c1").await, (0, 0, 4));

    let spent = shop.transactions("c1").await;
    let spent = spent.iter().find(|posted| posted.points == -10).unwrap();
    let refund = give_back(&mut shop, &spent.transaction_id, "a", None).await;
    assert_refused(refund, Code::NotFound, "LINE_NOT_FOUND");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_lines_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let bad = pb::EarnPointsRequest {
        lines: vec![
            line("", 0, -1),
            line("a", 1, 1),
            line("a", 1_000_000_000_000_001, 1_000_000_001),
        ],
        ..earn("c1", 10, "s1")
    };
    let status = shop.try_earn(bad).await.unwrap_err();
    let fields = [
        "lines[0].line_id",
        "lines[0].weight",
        "lines[0].quantity",
        "lines[2].line_id",
        "lines[2].weight",
        "lines[2].quantity",
    ];
    assert_eq!(violations(&status), fields);
    let many = (0..1001).map(|n| line(&n.to_string(), 1, 1)).collect();
    let many = pb::EarnPointsRequest {
        lines: many,
        ..earn("c1", 10, "s1")
    };
    let status = shop.try_earn(many).await.unwrap_err();
    assert_eq!(violations(&status), ["lines"]);

    let id = earned(&mut shop, 10, vec![line("a", 1, 1)]).await;
    let none = shop.client.reverse_transaction(request(&id, vec![])).await;
    assert_eq!(violations(&none.unwrap_err()), ["lines.lines"]);
    let bad = vec![
        returned("", Some(Share::Quantity(0))),
        returned("a", None),
        returned("a", Some(Share::Weight(-1))),
    ];
    let status = shop.client.reverse_transaction(request(&id, bad)).await;
    let fields = [
        "lines.lines[0].line_id",
        "lines.lines[0].quantity",
        "lines.lines[2].line_id",
        "lines.lines[2].weight",
    ];
    assert_eq!(violations(&status.unwrap_err()), fields);
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_lines_as_they_were(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let id = earned(&mut shop, 10, vec![line("a", 4, 2), line("b", 6, 1)]).await;
    give_back(&mut shop, &id, "a", Some(Share::Quantity(1)))
        .await
        .unwrap();
    for statement in [
        "DELETE FROM earning_lines",
        "UPDATE earning_lines SET weight = 100",
        "UPDATE earning_lines SET quantity = 100",
        "UPDATE earning_lines SET returned_weight = 0",
        "UPDATE earning_lines SET returned_weight = 7",
        "UPDATE earning_lines SET returned_quantity = 2 WHERE line_id = 'a'",
    ] {
        shop.execute(statement).await.expect_err(statement);
    }
    assert_eq!(points_of(&mut shop, &id, "a", None).await, -2);
}
