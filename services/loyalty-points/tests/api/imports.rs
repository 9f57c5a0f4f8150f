//! The ledger of another system, taken over: outcomes, repetition, rows that do not fit.

use api::loyalty::v1 as pb;
use pb::ImportKind::{Adjust, Earn, Expire, Redeem};
use pb::ImportRowStatus::{AlreadyImported, Imported, Refused};
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::audit;
use crate::shop::{NOW, Shop, at};

pub type Answers = Vec<Result<pb::ImportTransactionsResponse, Status>>;

pub fn header() -> pb::ImportHeader {
    pb::ImportHeader {
        source_system: "stamps".to_owned(),
        ..Default::default()
    }
}

/// A row of the member c1; its number is its name too.
pub fn row(number: i64, kind: pb::ImportKind, points: i64, occurred_at: &str) -> pb::ImportRow {
    let is_adjusted = kind == Adjust;
    pb::ImportRow {
        row: number,
        customer_id: "c1".to_owned(),
        external_id: format!("x{number}"),
        kind: kind.into(),
        points,
        occurred_at: at(occurred_at),
        reason_code: if is_adjusted { "GOODWILL" } else { "" }.to_owned(),
        ..Default::default()
    }
}

/// Chunks of so many rows; the first has the header.
pub fn chunks(
    header: pb::ImportHeader,
    rows: &[pb::ImportRow],
    size: usize,
) -> Vec<pb::ImportTransactionsRequest> {
    let mut header = Some(header);
    let chunk = |rows: &[pb::ImportRow]| pb::ImportTransactionsRequest {
        header: header.take(),
        rows: rows.to_vec(),
    };
    rows.chunks(size).map(chunk).collect()
}

pub async fn send(shop: &Shop, chunks: Vec<pb::ImportTransactionsRequest>) -> Answers {
    let answers = shop
        .client
        .clone()
        .import_transactions(tokio_stream::iter(chunks))
        .await
        .unwrap();
    answers.into_inner().collect().await
}

/// Imports in one chunk.
pub async fn import(
    shop: &Shop,
    header: pb::ImportHeader,
    rows: &[pb::ImportRow],
) -> Vec<pb::ImportRowOutcome> {
    let mut answers = send(shop, chunks(header, rows, 500)).await;
    assert_eq!(answers.len(), 1);
    answers.remove(0).unwrap().outcomes
}

pub fn statuses(outcomes: &[pb::ImportRowOutcome]) -> Vec<pb::ImportRowStatus> {
    outcomes.iter().map(pb::ImportRowOutcome::status).collect()
}

fn fields(outcome: &pb::ImportRowOutcome) -> Vec<&str> {
    let fields = outcome.violations.iter();
    fields.map(|violation| violation.field.as_str()).collect()
}

pub async fn verified(shop: &Shop) {
    audit::seal(shop).await;
    audit::success(shop).await;
}

/// A history of March, April and May 1998: 100 points come, of which 30 expire in April, 20 are given, 50 spent.
pub fn history() -> Vec<pb::ImportRow> {
    vec![
        pb::ImportRow {
            recorded_at: at("1998-03-02T00:00:00Z"),
            actor: "till 7".to_owned(),
            reason: "a purchase".to_owned(),
            ..row(1, Earn, 70, "1998-03-01T00:00:00Z")
        },
        pb::ImportRow {
            expires_at: at("1998-04-10T00:00:00Z"),
            not_qualifying: true,
            ..row(2, Earn, 30, "1998-03-05T00:00:00Z")
        },
        row(3, Expire, 30, "1998-04-11T00:00:00Z"),
        row(4, Adjust, 20, "1998-04-20T00:00:00Z"),
        row(5, Redeem, 50, "1998-05-01T00:00:00Z"),
        row(6, Adjust, -5, "1998-05-02T00:00:00Z"),
    ]
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_history_counts_from_when_it_occurred(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let outcomes = import(&shop, header(), &history()).await;
    assert_eq!(statuses(&outcomes), [Imported; 6], "{outcomes:?}");
    assert_eq!(shop.balance("c1").await, (35, 0, 0));
    let told = [
        ("1998-02-28T00:00:00Z", 0),
        ("1998-03-01T00:00:00Z", 70),
        ("1998-03-06T00:00:00Z", 100),
        ("1998-04-10T00:00:00Z", 70),
        ("1998-04-20T00:00:00Z", 90),
        ("1998-05-01T00:00:00Z", 40),
        ("1998-05-02T00:00:00Z", 35),
    ];
    for (instant, available) in told {
        let as_of = Some(testkit::time(instant));
        let balance = shop.balance_at("c1", as_of).await;
        assert_eq!(balance, (available, 0, 0), "{instant}");
    }
    // Only the first earning counts for the tier: 100 are needed.
    let tier = shop.tier("c1").await;
    assert_eq!((tier.tier.as_str(), tier.qualifying_points), ("Bronze", 70));

    let mut postings = shop.transactions("c1").await;
    postings.reverse();
    let first = &postings[0];
    assert_eq!(first.transaction_id, outcomes[0].transaction_id);
    assert_eq!(
        (&*first.source_type, &*first.source_ref, &*first.rule),
        ("stamps", "x1", "import")
    );
    assert_eq!(
        (first.occurred_at, first.posted_at),
        (at("1998-03-01T00:00:00Z"), at(NOW))
    );
    assert_eq!((&*first.actor, &*first.reason), ("anonymous", "a purchase"));
    let request = pb::GetDecisionTraceRequest {
        customer_id: "c1".to_owned(),
        transaction_id: first.transaction_id.clone(),
        ..Default::default()
    };
    let mut auditor = pb::audit_service_client::AuditServiceClient::new(shop.server.channel());
    let trace = auditor.get_decision_trace(request).await.unwrap();
    let expected = pb::ImportBasis {
        points: 70,
        recorded_at: at("1998-03-02T00:00:00Z"),
        actor: "till 7".to_owned(),
        qualifying: true,
        force: false,
    };
    assert_eq!(
        trace.into_inner().basis,
        Some(pb::get_decision_trace_response::Basis::Import(expected))
    );
    verified(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn imported_points_are_like_any_others(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let outcomes = import(&shop, header(), &history()).await;
    // The redemption is refunded, the earning taken back.
    let refunded = shop.reverse("c1", &outcomes[4].transaction_id).await;
    assert_eq!(refunded.unwrap().balance.unwrap().available, 85);
    let reversed = shop.reverse("c1", &outcomes[0].transaction_id).await;
    assert_eq!(reversed.unwrap().balance.unwrap().available, 20);
    assert_eq!(shop.tier("c1").await.qualifying_points, 0);
    verified(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_told_and_another_row_of_the_same_name_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    let first = import(&shop, header(), &history()).await;
    let balance = shop.balance("c1").await;
    let again = import(&shop, header(), &history()).await;
    assert_eq!(statuses(&again), [AlreadyImported; 6]);
    let ids = |outcomes: &[pb::ImportRowOutcome]| -> Vec<_> {
        let ids = outcomes
            .iter()
            .map(|outcome| outcome.transaction_id.clone());
        ids.collect()
    };
    assert_eq!(ids(&again), ids(&first));

    // Within one chunk, and beside others that are well.
    let mut rows = vec![row(7, Earn, 1, "1998-06-01T00:00:00Z")];
    let named = |number, row: pb::ImportRow| pb::ImportRow {
        row: number,
        external_id: "x7".to_owned(),
        ..row
    };
    rows.push(named(8, rows[0].clone()));
    rows.push(named(9, row(9, Redeem, 2, "1998-06-02T00:00:00Z")));
    let other = pb::ImportRow {
        customer_id: "c2".to_owned(),
        actor: "eve".to_owned(),
        ..rows[0].clone()
    };
    rows.push(named(10, other));
    rows.push(row(11, Earn, 1, "1998-06-03T00:00:00Z"));
    let outcomes = import(&shop, header(), &rows).await;
    let expected = [Imported, AlreadyImported, Refused, Refused, Imported];
    assert_eq!(statuses(&outcomes), expected);
    assert_eq!(outcomes[2].reason, "IMPORT_CONFLICT");
    assert_eq!(fields(&outcomes[2]), ["kind", "points", "occurred_at"]);
    assert_eq!(fields(&outcomes[3]), ["customer_id", "actor"]);
    let conflicting = &outcomes[3].metadata["transaction_id"];
    assert_eq!(conflicting, &outcomes[0].transaction_id);
    assert_eq!(shop.balance("c1").await, (balance.0 + 2, 0, 0));

    // Another system's rows are others.
    let other_system = pb::ImportHeader {
        source_system: "cards".to_owned(),
        ..header()
    };
    let outcomes = import(&shop, other_system, &rows[..1]).await;
    assert_eq!(statuses(&outcomes), [Imported]);
    verified(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_told_whole_and_stop_no_others(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let rows = vec![
        pb::ImportRow {
            row: 3,
            kind: Redeem.into(),
            points: -1,
            occurred_at: at("1998-07-01T00:00:01Z"),
            recorded_at: at("1999-01-01T00:00:00Z"),
            activates_at: at(NOW),
            reason: "x".repeat(501),
            reason_code: "GOODWILL".to_owned(),
            approver: " bob".to_owned(),
            actor: "x".repeat(256),
            ..Default::default()
        },
        pb::ImportRow {
            activates_at: at("1998-05-31T00:00:00Z"),
            expires_at: at("1998-05-31T00:00:00Z"),
            force: true,
            ..row(4, Earn, 5, "1998-06-01T00:00:00Z")
        },
        row(5, Earn, 5, "1998-06-01T00:00:00Z"),
        pb::ImportRow {
            kind: 99,
            occurred_at: None,
            ..row(6, Earn, 0, NOW)
        },
        pb::ImportRow {
            reason_code: String::new(),
            expires_at: at(NOW),
            activates_at: at(NOW),
            not_qualifying: true,
            force: true,
            ..row(7, Adjust, -5, "1998-06-01T00:00:00Z")
        },
        row(8, Expire, 6, "1998-06-02T00:00:00Z"),
    ];
    let outcomes = import(&shop, header(), &rows).await;
    let expected = [Refused, Refused, Imported, Refused, Refused, Refused];
    assert_eq!(statuses(&outcomes), expected);
    let numbers: Vec<_> = outcomes.iter().map(|outcome| outcome.row).collect();
    assert_eq!(numbers, [3, 4, 5, 6, 7, 8]);
    assert_eq!(
        fields(&outcomes[0]),
        [
            "customer_id",
            "external_id",
            "points",
            "occurred_at",
            "recorded_at",
            "reason",
            "reason_code",
            "approver",
            "actor"
        ]
    );
    assert_eq!(outcomes[0].reason, "INVALID_REQUEST");
    assert_eq!(
        fields(&outcomes[1]),
        ["activates_at", "expires_at", "force", "reason"]
    );
    assert_eq!(fields(&outcomes[3]), ["kind", "points", "occurred_at"]);
    assert_eq!(
        fields(&outcomes[4]),
        [
            "reason_code",
            "activates_at",
            "expires_at",
            "reason",
            "not_qualifying"
        ]
    );
    assert_eq!(outcomes[5].reason, "INSUFFICIENT_POINTS");
    assert_eq!(outcomes[5].metadata["available"], "5");
    assert_eq!(shop.balance("c1").await, (5, 0, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_message_ends_the_stream_and_what_was_answered_stays(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let rows = history();
    let good = chunks(header(), &rows[..2], 2).remove(0);
    let refused = |mut bad: Vec<pb::ImportTransactionsRequest>| {
        bad.insert(0, good.clone());
        let shop = &shop;
        async move {
            let mut answers = send(shop, bad).await;
            assert_eq!(answers.len(), 2);
            violations(&answers.remove(1).unwrap_err())
        }
    };
    let rows_of = |rows: &[pb::ImportRow]| pb::ImportTransactionsRequest {
        header: None,
        rows: rows.to_vec(),
    };
    let third = rows_of(&rows[2..3]);
    assert_eq!(refused(vec![rows_of(&[]), third.clone()]).await, ["rows"]);
    let repeated = pb::ImportTransactionsRequest {
        header: Some(header()),
        rows: vec![rows[3].clone(), rows[2].clone()],
    };
    assert_eq!(refused(vec![repeated]).await, ["header", "rows[1].row"]);
    assert_eq!(refused(vec![rows_of(&rows[1..2])]).await, ["rows[0].row"]);
    let many = vec![rows[2].clone(); 501];
    assert_eq!(refused(vec![rows_of(&many)]).await[0], "rows");
    assert_eq!(
        shop.balance_at("c1", Some(testkit::time("1998-03-06T00:00:00Z")))
            .await
            .0,
        100
    );

    let headless = send(&shop, vec![third]).await.remove(0).unwrap_err();
    assert_eq!(violations(&headless), ["header"]);
    let wrong = pb::ImportHeader {
        program_id: "no such/program".to_owned(),
        source_system: "transaction".to_owned(),
        ..Default::default()
    };
    let refused = send(&shop, chunks(wrong, &rows, 9)).await.remove(0);
    let fields = violations(&refused.unwrap_err());
    assert_eq!(fields, ["header.program_id", "header.source_system"]);
    let unknown = pb::ImportHeader {
        program_id: "miles".to_owned(),
        ..header()
    };
    let refused = send(&shop, chunks(unknown, &rows, 9)).await.remove(0);
    assert_refused(refused, Code::NotFound, "PROGRAM_NOT_FOUND");
}
