//! What is refused, with nothing changed.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use super::*;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn calls_on_a_merged_member_are_refused_and_name_the_survivor(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    let earned = shop.earn("a", 100, "a").await;
    let lot_id = earned.lot.unwrap().lot_id;
    let earned = earned.transaction.unwrap().transaction_id;
    shop.earn("c", 100, "c").await;
    merge(&mut shop, "b", "a").await;
    let before = shop.transactions("a").await;

    let account = || "a".to_owned();
    let refused = [
        shop.try_earn(earn("a", 1, "late")).await.map(drop),
        shop.redeem("a", 1).await.map(drop),
        shop.reverse("a", &earned).await.map(drop),
        shop.client
            .adjust_points(pb::AdjustPointsRequest {
                customer_id: account(),
                points: 5,
                reason_code: "GOODWILL".to_owned(),
                reason: "test".to_owned(),
                ..Default::default()
            })
            .await
            .map(drop),
        shop.client
            .transfer_points(pb::TransferPointsRequest {
                customer_id: "c".to_owned(),
                to_customer_id: account(),
                points: 5,
                ..Default::default()
            })
            .await
            .map(drop),
        shop.client
            .extend_expiry(pb::ExtendExpiryRequest {
                customer_id: account(),
                lot_id,
                expires_at: at("2005-01-01T00:00:00Z"),
                reason: "test".to_owned(),
                ..Default::default()
            })
            .await
            .map(drop),
        shop.client
            .authorize_hold(pb::AuthorizeHoldRequest {
                customer_id: account(),
                points: 5,
                timeout: Some(prost_types::Duration {
                    seconds: 60,
                    nanos: 0,
                }),
                ..Default::default()
            })
            .await
            .map(drop),
        shop.client
            .override_tier(pb::OverrideTierRequest {
                customer_id: account(),
                tier: "Gold".to_owned(),
                reason: "test".to_owned(),
                ..Default::default()
            })
            .await
            .map(drop),
        try_merge(&mut shop, merging("c", "a")).await.map(drop),
        try_merge(&mut shop, merging("a", "c")).await.map(drop),
        try_merge(&mut shop, merging("a", "b")).await.map(drop),
    ];
    for refused in refused {
        let details = assert_refused(refused, Code::FailedPrecondition, "MEMBER_MERGED");
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(
            (
                metadata["customer_id"].as_str(),
                metadata["survivor_id"].as_str()
            ),
            ("a", "b")
        );
    }
    assert_eq!(shop.transactions("a").await, before);
    assert_eq!(shop.balance("b").await, (100, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_merged_or_undone_is_refused_and_changes_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "gone"]).await;
    shop.earn("a", 100, "a").await;
    shop.deleted("gone").await;
    shop.caught_up().await;
    let wrong = pb::MergeMembersRequest {
        program_id: "no id".to_owned(),
        survivor_id: "no id".to_owned(),
        ..Default::default()
    };
    let status = try_merge(&mut shop, wrong).await.unwrap_err();
    assert_eq!(
        violations(&status),
        ["program_id", "survivor_id", "absorbed_id", "reason"]
    );
    let status = try_merge(&mut shop, merging("a", "a")).await.unwrap_err();
    assert_eq!(violations(&status), ["absorbed_id"]);
    let wrong = pb::UnmergeMembersRequest::default();
    let status = shop.client.unmerge_members(wrong).await.unwrap_err();
    assert_eq!(violations(&status), ["merge_id", "reason"]);
    for (survivor, absorbed, code, reason) in [
        ("nobody", "a", Code::NotFound, "MEMBER_NOT_FOUND"),
        ("a", "nobody", Code::NotFound, "MEMBER_NOT_FOUND"),
        ("gone", "a", Code::FailedPrecondition, "MEMBER_CLOSED"),
        ("a", "gone", Code::FailedPrecondition, "MEMBER_CLOSED"),
    ] {
        let refused = try_merge(&mut shop, merging(survivor, absorbed)).await;
        assert_refused(refused, code, reason);
    }
    let refused = unmerge(&mut shop, "nothing").await;
    assert_refused(refused, Code::NotFound, "MERGE_NOT_FOUND");
    let unknown = pb::MergeMembersRequest {
        program_id: "unknown".to_owned(),
        ..merging("b", "a")
    };
    let refused = try_merge(&mut shop, unknown).await;
    assert_refused(refused, Code::NotFound, "PROGRAM_NOT_FOUND");

    let request = pb::MergeMembersRequest {
        request_id: "m-1".to_owned(),
        ..merging("b", "a")
    };
    let dry = pb::MergeMembersRequest {
        dry_run: true,
        ..request.clone()
    };
    let dry = try_merge(&mut shop, dry).await.unwrap();
    assert_eq!(dry.survivor_balances[0].available, 100);
    assert_eq!(
        (
            dry.merge.unwrap().merge_id.as_str(),
            dry.consistency_token.as_str()
        ),
        ("", "")
    );
    assert_eq!(shop.balance("a").await, (100, 0, 0));
    let first = try_merge(&mut shop, request.clone()).await.unwrap();
    let again = try_merge(&mut shop, request).await.unwrap();
    assert_eq!(first, again);
    let merge_id = first.merge.unwrap().merge_id;
    let dry = pb::UnmergeMembersRequest {
        dry_run: true,
        ..unmerging(&merge_id)
    };
    let dry = shop.client.unmerge_members(dry).await.unwrap().into_inner();
    assert_eq!(dry.absorbed_balances[0].available, 100);
    assert_eq!(shop.balance("b").await, (100, 0, 0));
    unmerge(&mut shop, &merge_id).await.unwrap();
    let refused = unmerge(&mut shop, &merge_id).await;
    assert_refused(refused, Code::FailedPrecondition, "MERGE_ALREADY_UNDONE");
    assert_eq!(kinds(&mut shop, "b").await.len(), 2);
    verify(&shop).await;
}
