//! Adjustments so large that a second person must approve of them.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::audit;
use crate::shop::{NOW, Shop, at};

fn program(limit: i64) -> pb::Program {
    pb::Program {
        program_id: "strict".to_owned(),
        display_name: "Strict".to_owned(),
        points_currency: "PTS".to_owned(),
        earning_rule: Some(pb::EarningRule {
            unit: Some(Money {
                currency_code: "EUR".to_owned(),
                micros: 1_000_000,
            }),
            points_per_unit: 1,
        }),
        tier_policy: Some(pb::TierPolicy {
            window_days: 0,
            tiers: vec![pb::Tier {
                name: "Only".to_owned(),
                rank: 1,
                threshold: 0,
                ..Default::default()
            }],
            ..Default::default()
        }),
        adjustment_approval_limit: limit,
        ..Default::default()
    }
}

/// A shop with a member of a program in which more than 100 points need an approver.
async fn strict(backend: Backend) -> Shop {
    let mut shop = Shop::with_member(backend, "c1").await;
    let request = pb::CreateProgramRequest {
        program: Some(program(100)),
        ..Default::default()
    };
    let created = shop.client.create_program(request).await.unwrap();
    let created = created.into_inner().program.unwrap();
    assert_eq!(created.adjustment_approval_limit, 100);
    let request = pb::EnrollMemberRequest {
        program_id: "strict".to_owned(),
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    shop.client.enroll_member(request).await.unwrap();
    shop
}

fn adjust(points: i64, approver: &str) -> pb::AdjustPointsRequest {
    pb::AdjustPointsRequest {
        program_id: "strict".to_owned(),
        customer_id: "c1".to_owned(),
        points,
        reason_code: "GOODWILL".to_owned(),
        approver: approver.to_owned(),
        ..Default::default()
    }
}

async fn try_adjust(
    shop: &mut Shop,
    request: pb::AdjustPointsRequest,
) -> Result<pb::LedgerTransaction, Status> {
    let answer = shop.client.adjust_points(request).await?;
    Ok(answer.into_inner().transaction.unwrap())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn more_points_than_the_limit_need_somebody_else(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = strict(backend).await;
    let alone = try_adjust(&mut shop, adjust(100, "")).await.unwrap();
    assert_eq!(
        (alone.actor.as_str(), alone.approver.as_str()),
        ("anonymous", "")
    );
    for points in [101, -101] {
        let refused = try_adjust(&mut shop, adjust(points, "")).await;
        let details = assert_refused(refused, Code::FailedPrecondition, "APPROVAL_REQUIRED");
        assert_eq!(details.error_info().unwrap().metadata["limit"], "100");
    }
    for points in [1, 500] {
        let own = try_adjust(&mut shop, adjust(points, "anonymous")).await;
        assert_refused(own, Code::FailedPrecondition, "SELF_APPROVAL");
    }
    let given = try_adjust(&mut shop, adjust(500, "bob@example")).await;
    let given = given.unwrap();
    assert_eq!(
        (given.actor.as_str(), given.approver.as_str()),
        ("anonymous", "bob@example")
    );
    let taken = try_adjust(&mut shop, adjust(-600, "bob@example")).await;
    let taken = taken.unwrap();

    let request = pb::ListTransactionsRequest {
        program_id: "strict".to_owned(),
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    let listed = shop.client.list_transactions(request).await.unwrap();
    assert_eq!(listed.into_inner().transactions, [taken, given, alone]);
    let request = pb::GetStatementRequest {
        program_id: "strict".to_owned(),
        customer_id: "c1".to_owned(),
        from: at(NOW),
        to: at("1998-07-02T00:00:00Z"),
        ..Default::default()
    };
    let told = shop.client.get_statement(request).await.unwrap();
    let approvers: Vec<_> = told
        .into_inner()
        .movements
        .into_iter()
        .map(|posted| posted.approver)
        .collect();
    assert_eq!(approvers, ["", "bob@example", "bob@example"]);
    // In a program without a limit nobody is needed.
    let request = pb::AdjustPointsRequest {
        program_id: String::new(),
        ..adjust(1_000_000, "")
    };
    try_adjust(&mut shop, request).await.unwrap();
    audit::seal(&shop).await;
    audit::success(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_want_of_approval_stays(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = strict(backend).await;
    let request = pb::AdjustPointsRequest {
        request_id: "r1".to_owned(),
        ..adjust(101, "")
    };
    for _ in 0..2 {
        let refused = try_adjust(&mut shop, request.clone()).await;
        assert_refused(refused, Code::FailedPrecondition, "APPROVAL_REQUIRED");
    }
    let other = pb::AdjustPointsRequest {
        approver: "bob".to_owned(),
        ..request.clone()
    };
    let refused = try_adjust(&mut shop, other).await;
    assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let tried = pb::AdjustPointsRequest {
        request_id: String::new(),
        dry_run: true,
        ..request
    };
    let refused = try_adjust(&mut shop, tried).await;
    assert_refused(refused, Code::FailedPrecondition, "APPROVAL_REQUIRED");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_approver_is_sealed_with_the_posting(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = strict(backend).await;
    let given = try_adjust(&mut shop, adjust(500, "bob")).await.unwrap();
    audit::seal(&shop).await;
    audit::tamper(&shop, "postings", "UPDATE postings SET approver = 'eve'").await;
    let found = audit::divergence(&shop).await;
    assert_eq!(found.kind(), pb::DivergenceKind::PostingChanged);
    assert_eq!(found.transaction_id, given.transaction_id);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_database_refuses_what_nobody_approved(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = strict(backend).await;
    try_adjust(&mut shop, adjust(500, "bob")).await.unwrap();
    let copies = [
        "INSERT INTO postings (customer_id, posting_id, program_id, revision, kind, points,
             reason_code, reason, occurred_at, posted_at, actor, approver)
         SELECT customer_id, 'p', program_id, 1000, kind, points,
                reason_code, reason, occurred_at, posted_at, actor, NULL
         FROM postings",
        "INSERT INTO postings (customer_id, posting_id, program_id, revision, kind, points,
             reason_code, reason, occurred_at, posted_at, actor, approver)
         SELECT customer_id, 'p', program_id, 1000, kind, points,
                reason_code, reason, occurred_at, posted_at, actor, actor
         FROM postings",
    ];
    for copy in copies {
        shop.execute(copy).await.expect_err(copy);
    }
    let statement = "UPDATE programs SET adjustment_approval_limit = -1";
    shop.execute(statement).await.expect_err(statement);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_limits_and_approvers_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = strict(backend).await;
    for limit in [-1, 1_000_000_000_001] {
        let request = pb::CreateProgramRequest {
            program: Some(program(limit)),
            ..Default::default()
        };
        let status = shop.client.create_program(request).await.unwrap_err();
        assert_eq!(violations(&status), ["program.adjustment_approval_limit"]);
    }
    for approver in [" bob", "bob ", "bo\0b", &"x".repeat(256)] {
        let status = try_adjust(&mut shop, adjust(1, approver)).await;
        assert_eq!(violations(&status.unwrap_err()), ["approver"]);
    }
}
