//! Statements, sums and proofs tell of each currency for itself.

use api::loyalty::v1 as pb;
use loyalty_points::domain::chain::field;
use pb::DivergenceKind;
use pb::audit_service_client::AuditServiceClient;
use pb::get_decision_trace_response::Basis;
use rstest::rstest;
use sha2::Digest as _;
use testkit::Backend;

use super::travel::{COINS, MILES, STARS, TRAVEL, Travel};
use crate::audit::{divergence, seal, success};
use crate::feed::{announced, unpack};
use crate::statements::canonical;

/// 40 coins, of which 5 are spent, and 30 miles, of which 20 are spent and 8 are held.
async fn eventful(backend: Backend) -> Travel {
    let mut travel = Travel::open(backend).await;
    travel.earn(40, COINS).await;
    travel.earn(30, MILES).await;
    travel.redeem(20, MILES).await.unwrap();
    travel.redeem(5, COINS).await.unwrap();
    travel.authorize(8, MILES).await;
    travel
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_adds_up_in_its_currency_and_its_digest_names_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = eventful(backend).await;
    let coins = travel.statement("").await;
    let closing = coins.closing.unwrap();
    assert_eq!((closing.points, closing.held, closing.debt), (35, 0, 0));
    assert_eq!(
        (coins.movement_count, coins.points_currency.as_str()),
        (2, COINS)
    );
    let begin = ["asterism.statement.v1", TRAVEL, "c1"];
    let bytes = canonical(&begin, &coins, &coins.movements);
    assert_eq!(coins.digest, sha2::Sha256::digest(bytes).to_vec());

    let miles = travel.statement(MILES).await;
    let closing = miles.closing.unwrap();
    assert_eq!((closing.points, closing.held, closing.debt), (10, 8, 0));
    assert_eq!(
        (miles.movement_count, miles.points_currency.as_str()),
        (3, MILES)
    );
    let in_miles = |posting: &pb::LedgerTransaction| posting.points_currency == MILES;
    assert!(miles.movements.iter().all(in_miles));
    let begin = ["asterism.statement.v2", TRAVEL, "c1", MILES];
    let bytes = canonical(&begin, &miles, &miles.movements);
    assert_eq!(miles.digest, sha2::Sha256::digest(bytes).to_vec());

    let (stars, empty) = (travel.statement(STARS).await, travel.statement(COINS).await);
    assert_eq!(stars.movement_count, 0);
    assert_eq!(empty, coins);
    assert_ne!(stars.digest, miles.digest);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_added_up_in_each_currency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = eventful(backend).await;
    let then = travel.shop.server.platform.now();
    let sum = |code: &str, outstanding, held| pb::CurrencySummary {
        points_currency: code.to_owned(),
        points_outstanding: outstanding,
        points_held: held,
        ..Default::default()
    };
    let expected = [sum(COINS, 35, 0), sum(MILES, 2, 8), sum(STARS, 0, 0)];
    let request = pb::GetProgramSummaryRequest {
        program_id: TRAVEL.to_owned(),
        as_of: None,
    };
    let told = travel
        .shop
        .client
        .get_program_summary(request.clone())
        .await;
    let told = told.unwrap().into_inner();
    assert_eq!(told.currencies, expected);
    assert_eq!((told.points_outstanding, told.points_held), (35, 0));
    assert_eq!(told.members, 2);

    // A timed-out hold has let go, and repaid what is owed in its currency.
    let earned = travel.transactions(MILES).await.pop().unwrap();
    travel.reverse(&earned.transaction_id).await.unwrap();
    travel
        .shop
        .server
        .clock
        .advance(chrono::TimeDelta::hours(2));
    let told = travel
        .shop
        .client
        .get_program_summary(request.clone())
        .await;
    let told = told.unwrap().into_inner().currencies;
    assert_eq!(told[0], expected[0]);
    assert_eq!((told[1].points_outstanding, told[1].points_debt), (0, 20));
    let past = pb::GetProgramSummaryRequest {
        as_of: Some(then.into()),
        ..request
    };
    let told = travel.shop.client.get_program_summary(past).await.unwrap();
    let told = told.into_inner().currencies;
    assert_eq!((&told[0], &told[2]), (&expected[0], &expected[2]));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn postings_are_sealed_and_explained_with_their_currency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = eventful(backend).await;
    let earned = travel.transactions(MILES).await.pop().unwrap();
    let reversed = travel.reverse(&earned.transaction_id).await.unwrap();
    let reversal = reversed.transaction.unwrap();
    seal(&travel.shop).await;
    let verified = success(&travel.shop).await.verified.unwrap();
    assert_eq!((verified.postings, verified.members), (6, 4));

    let mut audit = AuditServiceClient::new(travel.shop.server.channel());
    let trace = pb::GetDecisionTraceRequest {
        program_id: TRAVEL.to_owned(),
        customer_id: "c1".to_owned(),
        transaction_id: reversal.transaction_id,
    };
    let trace = audit.get_decision_trace(trace).await.unwrap().into_inner();
    assert_eq!(trace.transaction.unwrap().points_currency, MILES);
    match trace.basis {
        Some(Basis::Reversal(basis)) => assert_eq!((basis.earned, basis.points), (30, 30)),
        other => panic!("not a reversal: {other:?}"),
    }
    let coins = travel.transactions(COINS).await.pop().unwrap();
    for (posting, sealed) in [(earned, Some(MILES)), (coins, None)] {
        let proof = pb::GetInclusionProofRequest {
            program_id: TRAVEL.to_owned(),
            customer_id: "c1".to_owned(),
            transaction_id: posting.transaction_id,
            ..Default::default()
        };
        let proof = audit.get_inclusion_proof(proof).await.unwrap();
        let leaf = proof.into_inner().proof.unwrap().leaf;
        // The first currency goes without saying, as in postings from before there were others.
        assert_eq!(field(&leaf, "currency"), sealed.map(str::as_bytes));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_event_about_points_names_their_currency(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let travel = eventful(backend).await;
    // Each of the two was enrolled in two programs.
    let events = announced(&travel.shop, 10).await;
    let posted: Vec<_> = events
        .iter()
        .filter(|event| {
            event
                .payload
                .as_ref()
                .unwrap()
                .type_url
                .ends_with("PointsPosted")
        })
        .map(unpack::<pb::PointsPosted>)
        .map(|event| {
            let code = event.transaction.unwrap().points_currency;
            (code, event.points_after, event.held_after)
        })
        .collect();
    let told = |code: &str, points, held| (code.to_owned(), points, held);
    let expected = [
        told(COINS, 40, 0),
        told(MILES, 30, 0),
        told(MILES, 10, 0),
        told(COINS, 35, 0),
        told(MILES, 2, 8),
    ];
    assert_eq!(posted, expected);
    let last: pb::HoldChanged = unpack(events.last().unwrap());
    assert_eq!(last.hold.unwrap().points_currency, MILES);
}

#[rstest]
#[case(
    "UPDATE accounts SET points = points + 1 WHERE currency = 'MILES'",
    DivergenceKind::Balance
)]
#[case(
    "UPDATE accounts SET held = 0 WHERE currency = 'MILES'",
    DivergenceKind::Balance
)]
#[case(
    "UPDATE accounts SET debt = 3 WHERE currency = 'STARS' AND customer_id = 'c1'",
    DivergenceKind::Balance
)]
#[case(
    "DELETE FROM accounts WHERE currency = 'MILES'",
    DivergenceKind::Balance
)]
#[case(
    "UPDATE lots SET currency = 'STARS' WHERE currency = 'MILES'",
    DivergenceKind::Lot
)]
#[case("UPDATE holds SET currency = 'STARS'", DivergenceKind::Hold)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_one_currency_is_named_with_it(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
    #[case] kind: DivergenceKind,
) {
    let travel = eventful(backend).await;
    success(&travel.shop).await;
    let guards: &[&'static str] = match backend {
        Backend::Postgres => &[
            "ALTER TABLE accounts DISABLE TRIGGER USER",
            "ALTER TABLE lots DISABLE TRIGGER USER",
            "ALTER TABLE holds DISABLE TRIGGER USER",
        ],
        Backend::Sqlite => &[
            "DROP TRIGGER accounts_no_delete",
            "DROP TRIGGER lots_keep_currency",
            "DROP TRIGGER holds_keep_currency",
        ],
    };
    for guard in guards {
        travel.shop.execute(guard).await.unwrap();
    }
    travel.shop.execute(statement).await.unwrap();
    let found = divergence(&travel.shop).await;
    assert_eq!(found.kind(), kind, "{found:?}");
    let at = (found.customer_id.as_str(), found.program_id.as_str());
    assert_eq!(at, ("c1", TRAVEL));
    let moved = statement.contains("STARS");
    let expected = if moved { STARS } else { MILES };
    assert_eq!(found.points_currency, expected, "{found:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_posting_moved_to_another_currency_is_not_what_was_sealed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let travel = eventful(backend).await;
    seal(&travel.shop).await;
    let move_it = "UPDATE postings SET currency = 'STARS' WHERE points = 30";
    crate::audit::tamper(&travel.shop, "postings", move_it).await;
    let found = divergence(&travel.shop).await;
    assert_eq!(found.kind(), DivergenceKind::PostingChanged);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_database_keeps_accounts_and_currencies_as_they_must_be(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut travel = eventful(backend).await;
    for statement in [
        "UPDATE accounts SET held = -1",
        "UPDATE accounts SET points = 1, debt = 1",
        "UPDATE accounts SET currency = 'GOLD'",
        "DELETE FROM accounts",
        "INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
        VALUES ('c1', 'travel', 'GOLD', 0, 0, 0)",
        "INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
        VALUES ('nobody', 'travel', '', 0, 0, 0)",
        "INSERT INTO currencies (program_id, currency, place, display_name, validity_days)
        VALUES ('travel', 'MILES', 3, 'Again', 0)",
        "INSERT INTO currencies (program_id, currency, place, display_name, validity_days)
        VALUES ('travel', '', 3, 'First', 0)",
        "UPDATE currencies SET validity_days = 1",
        "DELETE FROM currencies",
        "UPDATE lots SET currency = ''",
        "UPDATE lots SET qualifying = 1 WHERE currency = 'MILES'",
        "UPDATE holds SET currency = ''",
    ] {
        travel.shop.execute(statement).await.expect_err(statement);
    }
    travel.assert_told((35, 0, 0), (2, 8, 0)).await;
}
