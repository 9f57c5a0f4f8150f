//! Points that wait for an event.

use api::loyalty::v1 as pb;
use pb::{LotState, TransactionKind};
use rstest::rstest;
use testkit::{Backend, assert_refused, time, violations};
use tonic::{Code, Status};

use crate::audit;
use crate::shop::{Shop, at, earn};

const SOON: &str = "1998-07-05T00:00:00Z";
const LATER: &str = "1998-07-10T00:00:00Z";

fn on_event(points: i64, source_ref: &str) -> pb::EarnPointsRequest {
    pb::EarnPointsRequest {
        activates_on_event: true,
        ..earn("c1", points, source_ref)
    }
}

fn activation(source_ref: &str) -> pb::ActivatePendingRequest {
    pb::ActivatePendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: source_ref.to_owned(),
        reason: "delivered".to_owned(),
        ..Default::default()
    }
}

async fn activate(
    shop: &mut Shop,
    source_ref: &str,
) -> Result<pb::ActivatePendingResponse, Status> {
    let answer = shop.client.activate_pending(activation(source_ref)).await?;
    Ok(answer.into_inner())
}

async fn cancel(shop: &mut Shop, source_ref: &str) -> Result<pb::CancelPendingResponse, Status> {
    let request = pb::CancelPendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: source_ref.to_owned(),
        ..Default::default()
    };
    Ok(shop.client.cancel_pending(request).await?.into_inner())
}

/// Pending at the opening and at the closing of July's first days.
async fn stated(shop: &mut Shop, from: &str, to: &str) -> (i64, i64) {
    let request = pb::GetStatementRequest {
        customer_id: "c1".to_owned(),
        from: at(from),
        to: at(to),
        ..Default::default()
    };
    let told = shop.client.get_statement(request).await.unwrap();
    let told = told.into_inner();
    (told.opening.unwrap().pending, told.closing.unwrap().pending)
}

fn refused_by<T: std::fmt::Debug>(outcome: Result<T, Status>, reason: &str) -> String {
    let details = assert_refused(outcome, Code::FailedPrecondition, reason);
    let metadata = &details.error_info().unwrap().metadata;
    metadata.get("transaction_id").cloned().unwrap_or_default()
}

async fn sound(shop: &Shop) {
    audit::seal(shop).await;
    assert_eq!(audit::success(shop).await.unsealed, 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_are_pending_until_their_event_comes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.try_earn(on_event(120, "s1")).await.unwrap();
    let made = earned.lot.unwrap();
    assert_eq!(
        (made.state(), made.activates_at, made.expires_at),
        (LotState::Pending, None, None)
    );
    assert_eq!(earned.balance.unwrap().pending, 120);
    // However long it takes.
    for instant in [None, Some(time("2030-01-01T00:00:00Z"))] {
        assert_eq!(shop.balance_at("c1", instant).await, (0, 120, 0));
    }
    let batch = pb::BatchGetBalancesRequest {
        customer_ids: vec!["c1".to_owned()],
        ..Default::default()
    };
    let batch = shop.client.batch_get_balances(batch).await.unwrap();
    let told = batch.into_inner().balances.remove(0).balance.unwrap();
    assert_eq!((told.available, told.pending), (0, 120));
    assert_eq!(shop.lots("c1").await, std::slice::from_ref(&made));
    for as_of in [None, at(LATER)] {
        let request = pb::GetProgramSummaryRequest {
            as_of,
            ..Default::default()
        };
        let summary = shop.client.get_program_summary(request).await.unwrap();
        let summary = summary.into_inner();
        assert_eq!(
            (summary.points_outstanding, summary.points_pending),
            (0, 120)
        );
    }
    let forecast = pb::ForecastExpiryRequest {
        customer_id: "c1".to_owned(),
        horizon_days: 3_000,
        ..Default::default()
    };
    let told = shop.client.forecast_expiry(forecast).await.unwrap();
    assert_eq!(told.into_inner().points_later, 120);
    assert_refused(
        shop.redeem("c1", 1).await,
        Code::FailedPrecondition,
        "INSUFFICIENT_POINTS",
    );
    // They count for the tier like all pending points.
    assert_eq!(shop.tier("c1").await.tier, "Silver");

    shop.server.clock.set(time(SOON));
    let told = activate(&mut shop, "s1").await.unwrap();
    let (lot, posted) = (&told.lots[0], &told.transactions[0]);
    assert_eq!(
        (lot.state(), lot.activates_at),
        (LotState::Active, at(SOON))
    );
    assert_eq!(lot.expires_at, at("2000-07-04T00:00:00Z"));
    assert_eq!(
        lot.transaction_id,
        earned.transaction.unwrap().transaction_id
    );
    assert_eq!(
        (posted.kind(), posted.points, posted.reason.as_str()),
        (TransactionKind::Activate, 0, "delivered")
    );
    assert_eq!(told.balance.unwrap().available, 120);
    assert_eq!(shop.lots("c1").await, told.lots);

    shop.server.clock.set(time(LATER));
    assert_eq!(shop.balance("c1").await, (120, 0, 0));
    for (day, expected) in [("1998-07-04", (0, 120, 0)), ("1998-07-05", (120, 0, 0))] {
        let instant = time(&format!("{day}T00:00:00Z"));
        assert_eq!(shop.balance_at("c1", Some(instant)).await, expected);
    }
    assert_eq!(stated(&mut shop, crate::shop::NOW, SOON).await, (0, 120));
    assert_eq!(stated(&mut shop, SOON, LATER).await, (120, 0));
    shop.redeem("c1", 100).await.unwrap();
    assert_eq!(shop.tier("c1").await.qualifying_points, 120);
    sound(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_points_count_for_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let earned = shop.try_earn(on_event(120, "s1")).await.unwrap();
    let earned = earned.transaction.unwrap().transaction_id;
    shop.server.clock.set(time(SOON));
    let told = cancel(&mut shop, "s1").await.unwrap();
    let (lot, posted) = (&told.lots[0], &told.transactions[0]);
    assert_eq!(
        (lot.state(), lot.reversed, lot.cancelled_at),
        (LotState::Cancelled, 120, at(SOON))
    );
    assert_eq!(
        (posted.kind(), posted.points),
        (TransactionKind::Cancel, -120)
    );
    assert_eq!(posted.reverses_transaction_id, earned);
    let lines: Vec<_> = posted
        .entries
        .iter()
        .map(|entry| (entry.account(), entry.points))
        .collect();
    assert_eq!(
        lines,
        [
            (pb::LedgerAccount::Issuance, 120),
            (pb::LedgerAccount::Member, -120)
        ]
    );
    assert_eq!((told.debt_incurred, told.recovered.len()), (0, 0));
    assert_eq!(shop.balance("c1").await, (0, 0, 0));
    assert_eq!(shop.lots("c1").await, told.lots);
    let tier = shop.tier("c1").await;
    assert_eq!((tier.tier.as_str(), tier.qualifying_points), ("Bronze", 0));
    let why = shop.tier_history("c1").await[0].reason();
    assert_eq!(why, pb::TierChangeReason::Reversed);
    let before = time("1998-07-04T00:00:00Z");
    assert_eq!(shop.balance_at("c1", Some(before)).await, (0, 120, 0));

    let again = cancel(&mut shop, "s1").await;
    assert_eq!(
        refused_by(again, "ALREADY_CANCELLED"),
        posted.transaction_id
    );
    let late = activate(&mut shop, "s1").await;
    assert_eq!(refused_by(late, "ALREADY_CANCELLED"), posted.transaction_id);
    let reversed = shop.reverse("c1", &earned).await;
    assert_eq!(
        refused_by(reversed, "ALREADY_REVERSED"),
        posted.transaction_id
    );
    sound(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_debt_that_cancelled_points_had_repaid_is_owed_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let spent = shop.earn("c1", 50, "spent").await.transaction.unwrap();
    shop.redeem("c1", 50).await.unwrap();
    shop.reverse("c1", &spent.transaction_id).await.unwrap();
    assert_eq!(shop.balance("c1").await, (0, 0, 50));
    // The first repays with all it has, the second with a part.
    shop.try_earn(on_event(30, "s1")).await.unwrap();
    shop.try_earn(on_event(60, "s2")).await.unwrap();
    assert_eq!(shop.balance("c1").await, (0, 40, 0));
    let told = activate(&mut shop, "s1").await.unwrap();
    assert_eq!(told.lots[0].state(), LotState::Exhausted);
    assert!(told.transactions[0].entries.is_empty());
    shop.earn("c1", 5, "s3").await;
    let told = cancel(&mut shop, "s2").await.unwrap();
    assert_eq!((told.debt_incurred, told.recovered[0].points), (15, 5));
    assert_eq!(told.transactions[0].points, -60);
    assert_eq!(shop.balance("c1").await, (0, 0, 15));
    assert_eq!(shop.tier("c1").await.qualifying_points, 35);
    sound(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_points_that_wait_can_be_settled(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let unknown = activate(&mut shop, "unknown").await;
    let details = assert_refused(unknown, Code::NotFound, "PENDING_NOT_FOUND");
    assert_eq!(
        details.error_info().unwrap().metadata["source_ref"],
        "unknown"
    );

    let plain = shop.earn("c1", 10, "plain").await.transaction.unwrap();
    let outcome = cancel(&mut shop, "plain").await;
    assert_eq!(refused_by(outcome, "NOT_PENDING"), plain.transaction_id);

    shop.try_earn(on_event(10, "s1")).await.unwrap();
    let activated = activate(&mut shop, "s1").await.unwrap();
    let by = activated.transactions[0].transaction_id.clone();
    let again = activate(&mut shop, "s1").await;
    assert_eq!(refused_by(again, "ALREADY_ACTIVATED"), by);
    let late = cancel(&mut shop, "s1").await;
    assert_eq!(refused_by(late, "ALREADY_ACTIVATED"), by);

    let earned = shop.try_earn(on_event(10, "s2")).await.unwrap();
    let earned = earned.transaction.unwrap().transaction_id;
    let reversed = shop.reverse("c1", &earned).await.unwrap();
    let by = reversed.transaction.unwrap().transaction_id;
    let outcome = activate(&mut shop, "s2").await;
    assert_eq!(refused_by(outcome, "ALREADY_REVERSED"), by);

    // An expiry that the earning gave is the last date for the event, and stays.
    let expiring = pb::EarnPointsRequest {
        expires_at: at(SOON),
        ..on_event(10, "s3")
    };
    let lasting = pb::EarnPointsRequest {
        expires_at: at(LATER),
        ..on_event(10, "s4")
    };
    shop.try_earn(expiring).await.unwrap();
    shop.try_earn(lasting).await.unwrap();
    assert_eq!(shop.balance("c1").await, (20, 20, 0));
    shop.server.clock.set(time(SOON));
    assert_eq!(shop.balance("c1").await, (20, 10, 0));
    for outcome in [
        activate(&mut shop, "s3").await.map(drop),
        cancel(&mut shop, "s3").await.map(drop),
    ] {
        refused_by(outcome, "LOT_EXPIRED");
    }
    let told = activate(&mut shop, "s4").await.unwrap();
    assert_eq!(told.lots[0].expires_at, at(LATER));
    assert_eq!(shop.balance("c1").await, (30, 0, 0));
    sound(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_concurrent_settlements_wins(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.try_earn(on_event(10, "s1")).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..12 {
        let mut client = shop.client.clone();
        calls.spawn(async move {
            let pb::ActivatePendingRequest {
                customer_id,
                source_type,
                source_ref,
                ..
            } = activation("s1");
            if n % 2 == 0 {
                return client.activate_pending(activation("s1")).await.map(drop);
            }
            let request = pb::CancelPendingRequest {
                customer_id,
                source_type,
                source_ref,
                ..Default::default()
            };
            client.cancel_pending(request).await.map(drop)
        });
    }
    let outcomes = calls.join_all().await;
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1);
    let lot = shop.lots("c1").await.remove(0);
    let reason = match lot.state() {
        LotState::Active => "ALREADY_ACTIVATED",
        LotState::Cancelled => "ALREADY_CANCELLED",
        other => panic!("{other:?}"),
    };
    for lost in outcomes.into_iter().filter(Result::is_err) {
        refused_by(lost, reason);
    }
    assert_eq!(shop.transactions("c1").await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_earning_of_a_source_is_settled_or_the_one_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let first = shop.try_earn(on_event(10, "s1")).await.unwrap();
    let first = first.transaction.unwrap().transaction_id;
    // Two more rules that earned for the same source.
    for (rule, points) in [("x", 20), ("y", 30)] {
        shop.try_earn(on_event(points, rule)).await.unwrap();
    }
    let statement =
        "UPDATE postings SET source_ref = 's1', rule = source_ref WHERE source_ref <> 's1'";
    audit::tamper(&shop, "postings", statement).await;
    let named = pb::ActivatePendingRequest {
        transaction_id: first.clone(),
        ..activation("s1")
    };
    let told = shop.client.activate_pending(named.clone()).await.unwrap();
    assert_eq!(told.into_inner().lots[0].transaction_id, first);
    assert_eq!(shop.balance("c1").await, (10, 50, 0));
    let again = shop.client.activate_pending(named).await;
    refused_by(again, "ALREADY_ACTIVATED");
    let told = cancel(&mut shop, "s1").await.unwrap();
    let posted: Vec<_> = told.transactions.iter().map(|t| t.points).collect();
    assert_eq!(posted, [-20, -30]);
    assert_eq!(told.balance.unwrap().pending, 0);
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
    let rules: Vec<_> = shop
        .transactions("c1")
        .await
        .into_iter()
        .map(|t| t.rule)
        .collect();
    assert_eq!(rules[..3], ["pending/y", "pending/x", "pending/direct"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_can_be_repeated_and_tried(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.try_earn(on_event(10, "s1")).await.unwrap();
    let real = pb::ActivatePendingRequest {
        request_id: "r1".to_owned(),
        ..activation("s1")
    };
    let dry = pb::ActivatePendingRequest {
        dry_run: true,
        ..real.clone()
    };
    let told = shop
        .client
        .activate_pending(dry)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.consistency_token, "");
    assert_eq!(told.balance.unwrap().available, 10);
    let tried = pb::CancelPendingRequest {
        customer_id: "c1".to_owned(),
        source_type: "promotion".to_owned(),
        source_ref: "s1".to_owned(),
        dry_run: true,
        ..Default::default()
    };
    let told = shop
        .client
        .cancel_pending(tried)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(told.lots[0].state(), LotState::Cancelled);
    assert_eq!(shop.balance("c1").await, (0, 10, 0));

    let done = shop.client.activate_pending(real.clone()).await.unwrap();
    let again = shop.client.activate_pending(real).await.unwrap();
    assert!(again.metadata().contains_key("asterism-replayed"));
    assert_eq!(done.into_inner(), again.into_inner());
    assert_eq!(shop.transactions("c1").await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_settlements_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let both = pb::EarnPointsRequest {
        activates_at: at(LATER),
        ..on_event(10, "s1")
    };
    let status = shop.try_earn(both).await.unwrap_err();
    assert_eq!(violations(&status), ["activates_at"]);
    let expired = pb::EarnPointsRequest {
        expires_at: at("1998-01-01T00:00:00Z"),
        ..on_event(10, "s1")
    };
    let status = shop.try_earn(expired).await.unwrap_err();
    assert_eq!(violations(&status), ["expires_at"]);
    let request = pb::ActivatePendingRequest {
        customer_id: "c 1".to_owned(),
        reason: "x".repeat(501),
        transaction_id: "x".repeat(65),
        ..Default::default()
    };
    let status = shop.client.activate_pending(request).await.unwrap_err();
    let fields = [
        "customer_id",
        "source_type",
        "source_ref",
        "transaction_id",
        "reason",
    ];
    assert_eq!(violations(&status), fields);
    assert!(shop.transactions("c1").await.is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_a_second_settlement(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.try_earn(on_event(10, "waits")).await.unwrap();
    for statement in [
        "UPDATE lots SET remaining = 0, held = 10",
        "UPDATE lots SET cancelled_at = 1",
        "UPDATE lots SET activates_at = 5, expires_at = 5",
    ] {
        shop.execute(statement).await.expect_err(statement);
    }
    activate(&mut shop, "waits").await.unwrap();
    for statement in [
        "UPDATE lots SET activates_at = activates_at + 1",
        "UPDATE lots SET activates_at = NULL",
        "UPDATE lots SET cancelled_at = 1, activates_at = NULL, remaining = 0, reversed = 10,
             qualifying = 0",
    ] {
        let refused = shop.execute(statement).await.expect_err(statement);
        assert!(refused.to_string().contains("stays so"), "{refused}");
    }
    shop.try_earn(on_event(10, "s2")).await.unwrap();
    cancel(&mut shop, "s2").await.unwrap();
    let statement = "UPDATE lots SET cancelled_at = NULL WHERE cancelled_at IS NOT NULL";
    shop.execute(statement).await.expect_err(statement);
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
}
