//! Bad input: every violation is named, and nothing changes.

use api::loyalty::v1 as pb;
use prost_types::Timestamp;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::shop::{Shop, at, earn, redeem, tier};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_earnings_are_refused_with_every_violation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let everything = pb::EarnPointsRequest {
        request_id: "no spaces".to_owned(),
        program_id: "no spaces".to_owned(),
        customer_id: "no spaces".to_owned(),
        points: -1,
        reason: "x".repeat(501),
        occurred_at: Some(Timestamp {
            seconds: i64::MAX,
            nanos: 0,
        }),
        ..Default::default()
    };
    let status = shop.try_earn(everything).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        violations(&status),
        [
            "request_id",
            "program_id",
            "customer_id",
            "points",
            "source_type",
            "source_ref",
            "reason",
            "occurred_at"
        ]
    );
    let cases = [
        (
            pb::EarnPointsRequest {
                points: 0,
                ..earn("c1", 1, "s")
            },
            "points",
        ),
        (earn("c1", 1_000_000_000_001, "s"), "points"),
        (
            pb::EarnPointsRequest {
                source_type: "transaction".to_owned(),
                ..earn("c1", 1, "s")
            },
            "source_type",
        ),
        (
            pb::EarnPointsRequest {
                occurred_at: at("1998-01-02T00:00:00Z"),
                activates_at: at("1998-01-01T00:00:00Z"),
                ..earn("c1", 1, "s")
            },
            "activates_at",
        ),
        (
            pb::EarnPointsRequest {
                expires_at: at("1998-01-01T00:00:00Z"),
                ..earn("c1", 1, "s")
            },
            "expires_at",
        ),
        (
            pb::EarnPointsRequest {
                at_least: "nonsense".to_owned(),
                ..earn("c1", 1, "s")
            },
            "at_least",
        ),
    ];
    for (request, field) in cases {
        let status = shop.try_earn(request).await.unwrap_err();
        assert_eq!(
            (status.code(), violations(&status)),
            (Code::InvalidArgument, vec![field.to_owned()])
        );
    }
    assert!(shop.transactions("c1").await.is_empty());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn malformed_redemptions_and_overdrafts_change_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 10, "s1").await;
    for points in [0, -5] {
        let status = shop.redeem("c1", points).await.unwrap_err();
        assert_eq!(
            (status.code(), violations(&status)),
            (Code::InvalidArgument, vec!["points".to_owned()])
        );
    }
    let overdraft = shop.redeem("c1", 11).await;
    let details = assert_refused(overdraft, Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    assert_eq!(details.error_info().unwrap().metadata["available"], "10");
    assert_refused(
        shop.redeem("nobody", 1).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );
    let elsewhere = pb::RedeemPointsRequest {
        program_id: "nothing".to_owned(),
        ..redeem("c1", 1)
    };
    assert_refused(
        shop.client.redeem_points(elsewhere).await,
        Code::NotFound,
        "PROGRAM_NOT_FOUND",
    );
    assert_eq!(shop.balance("c1").await, (10, 0, 0));
    assert_eq!(shop.transactions("c1").await.len(), 1);
    // Nor does a refusal leave a gap in the revisions.
    let next = shop.earn("c1", 1, "s2").await.transaction.unwrap();
    assert_eq!(next.revision, 3);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_holds_more_points_than_the_limit(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.execute("UPDATE accounts SET points = 999999999999990")
        .await
        .unwrap();
    let refused = shop.try_earn(earn("c1", 11, "s1")).await;
    assert_refused(refused, Code::OutOfRange, "POINTS_LIMIT");
    assert!(shop.transactions("c1").await.is_empty());
    shop.earn("c1", 10, "s1").await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_refused_when_size_or_token_make_no_sense(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 1, "s1").await;
    shop.earn("c1", 1, "s2").await;
    let list = |page_size, page_token: &str| pb::ListTransactionsRequest {
        customer_id: "c1".to_owned(),
        page_size,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    let status = shop
        .client
        .list_transactions(list(-1, "nonsense"))
        .await
        .unwrap_err();
    assert_eq!(violations(&status), ["page_size", "page_token"]);
    let first = shop
        .client
        .list_transactions(list(1, ""))
        .await
        .unwrap()
        .into_inner();
    let of_lots = pb::ListLotsRequest {
        customer_id: "c1".to_owned(),
        page_token: first.next_page_token.clone(),
        ..Default::default()
    };
    let status = shop.client.list_lots(of_lots).await.unwrap_err();
    assert_eq!(violations(&status), ["page_token"]);
    let of_history = pb::ListTierHistoryRequest {
        customer_id: "c1".to_owned(),
        page_token: first.next_page_token.clone(),
        ..Default::default()
    };
    let status = shop.client.list_tier_history(of_history).await.unwrap_err();
    assert_eq!(violations(&status), ["page_token"]);
    let of_members = pb::ListMembersRequest {
        page_token: first.next_page_token.clone(),
        ..Default::default()
    };
    let status = shop.client.list_members(of_members).await.unwrap_err();
    assert_eq!(violations(&status), ["page_token"]);
    let of_programs = pb::ListProgramsRequest {
        page_token: first.next_page_token,
        page_size: -2,
    };
    let status = shop.client.list_programs(of_programs).await.unwrap_err();
    assert_eq!(violations(&status), ["page_size", "page_token"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn reads_of_unknown_members_and_programs_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let client = &mut shop.client;
    let customer_id = "nobody".to_owned();
    let balance = pb::GetBalanceRequest {
        customer_id: customer_id.clone(),
        ..Default::default()
    };
    assert_refused(
        client.get_balance(balance).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );
    let list = pb::ListTransactionsRequest {
        customer_id: customer_id.clone(),
        ..Default::default()
    };
    assert_refused(
        client.list_transactions(list).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );
    let list = pb::ListLotsRequest {
        customer_id: customer_id.clone(),
        ..Default::default()
    };
    assert_refused(
        client.list_lots(list).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );
    let list = pb::ListTierHistoryRequest {
        customer_id,
        ..Default::default()
    };
    assert_refused(
        client.list_tier_history(list).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );
    assert_refused(
        client.get_tier(tier("nobody")).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );
    let as_of = pb::GetTierRequest {
        as_of: at("1998-01-01T00:00:00Z"),
        ..tier("nobody")
    };
    assert_refused(
        client.get_tier(as_of).await,
        Code::NotFound,
        "MEMBER_NOT_FOUND",
    );

    let program_id = "nothing".to_owned();
    let summary = pb::GetProgramSummaryRequest {
        program_id: program_id.clone(),
        ..Default::default()
    };
    assert_refused(
        client.get_program_summary(summary).await,
        Code::NotFound,
        "PROGRAM_NOT_FOUND",
    );
    let get = pb::GetProgramRequest {
        program_id: program_id.clone(),
    };
    assert_refused(
        client.get_program(get).await,
        Code::NotFound,
        "PROGRAM_NOT_FOUND",
    );
    let list = pb::ListMembersRequest {
        program_id: program_id.clone(),
        ..Default::default()
    };
    assert_refused(
        client.list_members(list).await,
        Code::NotFound,
        "PROGRAM_NOT_FOUND",
    );
    let batch = pb::BatchGetTiersRequest {
        program_id,
        ..Default::default()
    };
    assert_refused(
        client.batch_get_tiers(batch).await,
        Code::NotFound,
        "PROGRAM_NOT_FOUND",
    );
    let too_many = pb::BatchGetTiersRequest {
        customer_ids: (0..1001).map(|n| format!("c{n}")).collect(),
        ..Default::default()
    };
    assert_refused(
        client.batch_get_tiers(too_many).await,
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
}
