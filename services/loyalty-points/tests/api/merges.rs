//! Members who are the same person.

use api::customer::v1 as customer;
use api::loyalty::v1 as pb;
use pb::{MemberState, TransactionKind};
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::{Code, Status};

use crate::audit;
use crate::shop::{Purchase, Shop, at, earn, redeem};

const MARCH: &str = "1998-03-01T00:00:00Z";

/// All that is posted is sealed and follows.
pub async fn verify(shop: &Shop) {
    audit::seal(shop).await;
    audit::success(shop).await;
}

/// Points and debt that were moved, in the first currency.
pub fn sums(moved: &[pb::MovedPoints]) -> (i64, i64) {
    let first = moved.iter().find(|moved| moved.points_currency == "PTS");
    first.map_or((0, 0), |moved| (moved.points, moved.debt))
}

/// A shop with these members.
pub async fn shop_with(backend: Backend, ids: &[&str]) -> Shop {
    let shop = Shop::open(backend).await;
    for id in ids {
        shop.created(id).await;
    }
    shop.caught_up().await;
    shop
}

fn merging(survivor: &str, absorbed: &str) -> pb::MergeMembersRequest {
    pb::MergeMembersRequest {
        survivor_id: survivor.to_owned(),
        absorbed_id: absorbed.to_owned(),
        reason: "same person".to_owned(),
        ..Default::default()
    }
}

async fn try_merge(
    shop: &mut Shop,
    request: pb::MergeMembersRequest,
) -> Result<pb::MergeMembersResponse, Status> {
    Ok(shop.client.merge_members(request).await?.into_inner())
}

/// Merges; returns the merge's id.
pub async fn merge(shop: &mut Shop, survivor: &str, absorbed: &str) -> String {
    let merged = try_merge(shop, merging(survivor, absorbed)).await.unwrap();
    merged.merge.unwrap().merge_id
}

fn unmerging(merge_id: &str) -> pb::UnmergeMembersRequest {
    pb::UnmergeMembersRequest {
        merge_id: merge_id.to_owned(),
        reason: "they are two".to_owned(),
        ..Default::default()
    }
}

pub async fn unmerge(
    shop: &mut Shop,
    merge_id: &str,
) -> Result<pb::UnmergeMembersResponse, Status> {
    let request = unmerging(merge_id);
    Ok(shop.client.unmerge_members(request).await?.into_inner())
}

async fn member(shop: &mut Shop, customer_id: &str) -> pb::Member {
    let request = pb::GetMemberRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    };
    let member = shop.client.get_member(request).await.unwrap();
    member.into_inner().member.unwrap()
}

async fn kinds(shop: &mut Shop, customer_id: &str) -> Vec<TransactionKind> {
    let transactions = shop.transactions(customer_id).await;
    let mut kinds: Vec<_> = transactions
        .iter()
        .map(pb::LedgerTransaction::kind)
        .collect();
    kinds.reverse();
    kinds
}

/// Points and expiry of the lots that have any left.
async fn open_lots(shop: &mut Shop, customer_id: &str) -> Vec<(i64, Option<i64>)> {
    let lots = shop.lots(customer_id).await;
    let open = lots.into_iter().filter(|lot| lot.remaining > 0);
    open.map(|lot| (lot.remaining, lot.expires_at.map(|at| at.seconds)))
        .collect()
}

pub async fn announce(shop: &Shop, merge_id: &str, survivor: &str, absorbed: &str) {
    let event = customer::CustomerMerged {
        merge_id: merge_id.to_owned(),
        survivor_id: survivor.to_owned(),
        absorbed_id: absorbed.to_owned(),
        merged_at: at(crate::shop::NOW),
    };
    for id in [absorbed, survivor] {
        shop.emit(id, &event).await;
    }
}

async fn announce_undone(shop: &Shop, merge_id: &str, survivor: &str, absorbed: &str) {
    let event = customer::CustomerUnmerged {
        merge_id: merge_id.to_owned(),
        survivor_id: survivor.to_owned(),
        absorbed_id: absorbed.to_owned(),
        merged_at: at(crate::shop::NOW),
        unmerged_at: at(crate::shop::NOW),
    };
    for id in [absorbed, survivor] {
        shop.emit(id, &event).await;
    }
}

async fn authorize(shop: &mut Shop, customer_id: &str, points: i64) -> String {
    let request = pb::AuthorizeHoldRequest {
        customer_id: customer_id.to_owned(),
        points,
        timeout: Some(prost_types::Duration {
            seconds: 3600,
            nanos: 0,
        }),
        ..Default::default()
    };
    let held = shop.client.authorize_hold(request).await.unwrap();
    held.into_inner().hold.unwrap().hold_id
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn points_and_history_go_to_the_survivor_and_come_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.bought("a", Purchase::dollars("t1", MARCH, 80)).await;
    shop.caught_up().await;
    let soon = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("a", 30, "soon")
    };
    shop.try_earn(soon).await.unwrap();
    shop.redeem("a", 60).await.unwrap();
    shop.earn("b", 20, "b").await;
    let before = (
        open_lots(&mut shop, "a").await,
        open_lots(&mut shop, "b").await,
    );
    assert_eq!(before.0.iter().map(|(left, _)| left).sum::<i64>(), 50);
    assert_eq!(shop.tier("b").await.tier, "Bronze");

    let merged = try_merge(&mut shop, merging("b", "a")).await.unwrap();
    assert_eq!(sums(&merged.moved), (50, 0));
    assert_eq!(merged.survivor_balances[0].available, 70);
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (70, 0, 0));
    let absorbed = member(&mut shop, "a").await;
    assert_eq!(
        (
            absorbed.state(),
            absorbed.merged_into.as_str(),
            absorbed.survivor_id.as_str()
        ),
        (MemberState::Merged, "b", "b")
    );
    // What was earned counts, spent or not: 110 and 20.
    let tier = shop.tier("b").await;
    assert_eq!(
        (tier.tier.as_str(), tier.qualifying_points),
        ("Silver", 130)
    );
    let moved = open_lots(&mut shop, "b").await;
    for lot in &before.0 {
        assert!(moved.contains(lot), "{lot:?} in {moved:?}");
    }
    use TransactionKind::{Earn, Merge, Redeem, Unmerge};
    assert_eq!(kinds(&mut shop, "a").await, [Earn, Earn, Redeem, Merge]);
    assert_eq!(kinds(&mut shop, "b").await, [Earn, Merge]);
    for (of, other, points) in [("a", "b", -50), ("b", "a", 50)] {
        let posted = shop.transactions(of).await.remove(0);
        assert_eq!(
            (posted.counterparty_customer_id.as_str(), posted.points),
            (other, points)
        );
    }
    verify(&shop).await;

    let merge_id = merged.merge.unwrap().merge_id;
    let undone = unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(
        (sums(&undone.moved), sums(&undone.returned)),
        ((50, 0), (50, 0))
    );
    let after = (
        open_lots(&mut shop, "a").await,
        open_lots(&mut shop, "b").await,
    );
    assert_eq!(after, before);
    let tier = shop.tier("b").await;
    assert_eq!((tier.tier.as_str(), tier.qualifying_points), ("Bronze", 20));
    let tier = shop.tier("a").await;
    assert_eq!(
        (tier.tier.as_str(), tier.qualifying_points),
        ("Silver", 110)
    );
    assert_eq!(member(&mut shop, "a").await.state(), MemberState::Active);
    assert_eq!(kinds(&mut shop, "b").await, [Earn, Merge, Unmerge]);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn debt_goes_along_is_repaid_and_comes_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let earned = shop.earn("a", 100, "a").await.transaction.unwrap();
    shop.redeem("a", 100).await.unwrap();
    shop.reverse("a", &earned.transaction_id).await.unwrap();
    shop.earn("b", 30, "b").await;
    assert_eq!(shop.balance("a").await, (0, 0, 100));

    let first = merge(&mut shop, "b", "a").await;
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (0, 0, 70));
    unmerge(&mut shop, &first).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 100));
    assert_eq!(shop.balance("b").await, (30, 0, 0));

    // What is earned on it repays it for good.
    let second = merge(&mut shop, "b", "a").await;
    shop.earn("b", 50, "more").await;
    assert_eq!(shop.balance("b").await, (0, 0, 20));
    verify(&shop).await;
    let undone = unmerge(&mut shop, &second).await.unwrap();
    assert_eq!(
        (sums(&undone.moved), sums(&undone.returned)),
        ((0, 100), (0, 50))
    );
    assert_eq!(shop.balance("a").await, (0, 0, 50));
    assert_eq!(shop.balance("b").await, (30, 0, 0));
    verify(&shop).await;

    // The other way round: the survivor owes.
    let third = merge(&mut shop, "a", "b").await;
    assert_eq!(shop.balance("a").await, (0, 0, 20));
    unmerge(&mut shop, &third).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 50));
    assert_eq!(shop.balance("b").await, (30, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_survivor_has_spent_stays_spent(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    let soon = pb::EarnPointsRequest {
        expires_at: at("1998-08-01T00:00:00Z"),
        ..earn("a", 40, "soon")
    };
    shop.try_earn(soon).await.unwrap();
    shop.earn("b", 40, "b").await;
    let merge_id = merge(&mut shop, "b", "a").await;
    shop.redeem("b", 50).await.unwrap();
    let undone = unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(
        (sums(&undone.moved), sums(&undone.returned)),
        ((40, 0), (0, 0))
    );
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (30, 0, 0));
    verify(&shop).await;
}

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
async fn what_holds_let_go_and_late_purchases_go_on_to_the_survivor(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.bought("a", Purchase::dollars("t1", MARCH, 100)).await;
    shop.caught_up().await;
    let captured = authorize(&mut shop, "a", 30).await;
    let voided = authorize(&mut shop, "a", 20).await;
    let forgotten = authorize(&mut shop, "a", 10).await;
    let merge_id = merge(&mut shop, "b", "a").await;
    assert_eq!(shop.balance("b").await, (40, 0, 0));

    let capture = pb::CaptureHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: captured,
        points: 25,
        r#final: true,
        ..Default::default()
    };
    let answer = shop
        .client
        .capture_hold(capture)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.balance.unwrap().available, 0);
    assert_eq!(shop.balance("b").await, (45, 0, 0));
    let void = pb::VoidHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: voided,
        ..Default::default()
    };
    shop.client.void_hold(void).await.unwrap();
    assert_eq!(shop.balance("b").await, (65, 0, 0));

    // The last one times out; the purchase is what notices.
    shop.server.clock.advance(chrono::TimeDelta::hours(2));
    shop.bought("a", Purchase::dollars("t2", MARCH, 7)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (82, 0, 0));
    assert_eq!(shop.tier("b").await.qualifying_points, 107);
    let void = pb::VoidHoldRequest {
        customer_id: "a".to_owned(),
        hold_id: forgotten,
        ..Default::default()
    };
    let refused = shop.client.void_hold(void).await;
    assert_refused(refused, Code::FailedPrecondition, "HOLD_EXPIRED");
    verify(&shop).await;

    // The void of an old purchase takes back what is left of it, and the rest is owed by who stands for both.
    shop.voided("a", Purchase::dollars("t1", MARCH, 100)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (0, 0, 18));
    assert_eq!(shop.tier("b").await.qualifying_points, 7);
    verify(&shop).await;
    unmerge(&mut shop, &merge_id).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 18));
    assert_eq!(shop.balance("b").await, (0, 0, 0));
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_passes_on_and_is_undone_in_any_order(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    for (id, points) in [("a", 100), ("b", 20), ("c", 3)] {
        shop.earn(id, points, id).await;
    }
    let a_into_b = merge(&mut shop, "b", "a").await;
    let b_into_c = merge(&mut shop, "c", "b").await;
    assert_eq!(shop.balance("c").await, (123, 0, 0));
    assert_eq!(shop.tier("c").await.qualifying_points, 123);
    let absorbed = member(&mut shop, "a").await;
    assert_eq!(
        (absorbed.merged_into.as_str(), absorbed.survivor_id.as_str()),
        ("b", "c")
    );
    shop.bought("a", Purchase::dollars("t1", MARCH, 7)).await;
    shop.caught_up().await;
    assert_eq!(shop.balance("c").await, (130, 0, 0));
    verify(&shop).await;

    // In the middle: what came from the first goes back to it, past the second.
    let undone = unmerge(&mut shop, &a_into_b).await.unwrap();
    assert_eq!(sums(&undone.returned), (107, 0));
    assert_eq!(shop.balance("a").await, (107, 0, 0));
    assert_eq!(shop.balance("c").await, (23, 0, 0));
    assert_eq!(shop.tier("c").await.qualifying_points, 23);
    assert_eq!(shop.tier("a").await.qualifying_points, 107);
    verify(&shop).await;
    unmerge(&mut shop, &b_into_c).await.unwrap();
    assert_eq!(shop.balance("b").await, (20, 0, 0));
    assert_eq!(shop.balance("c").await, (3, 0, 0));
    verify(&shop).await;

    // And from the end: the first stays with the second.
    merge(&mut shop, "b", "a").await;
    let b_into_c = merge(&mut shop, "c", "b").await;
    unmerge(&mut shop, &b_into_c).await.unwrap();
    assert_eq!(shop.balance("a").await, (0, 0, 0));
    assert_eq!(shop.balance("b").await, (127, 0, 0));
    assert_eq!(shop.balance("c").await, (3, 0, 0));
    assert_eq!(shop.tier("b").await.qualifying_points, 127);
    assert_eq!(member(&mut shop, "a").await.survivor_id, "b");
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn merged_customers_are_merged_in_every_program_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 100, "a").await;
    shop.earn("b", 10, "b").await;
    for _ in 0..2 {
        announce(&shop, "m1", "b", "a").await;
    }
    shop.caught_up().await;
    assert_eq!(shop.balance("b").await, (110, 0, 0));
    assert_eq!(member(&mut shop, "a").await.state(), MemberState::Merged);
    for _ in 0..2 {
        announce_undone(&shop, "m1", "b", "a").await;
        announce(&shop, "m1", "b", "a").await;
    }
    shop.caught_up().await;
    assert_eq!(shop.balance("a").await, (100, 0, 0));
    assert_eq!(shop.balance("b").await, (10, 0, 0));
    assert_eq!(member(&mut shop, "a").await.state(), MemberState::Active);
    assert_eq!(kinds(&mut shop, "a").await.len(), 3);

    // Heard of out of order, a merge that was undone has no effect.
    announce_undone(&shop, "m2", "b", "a").await;
    announce(&shop, "m2", "b", "a").await;
    shop.caught_up().await;
    assert_eq!(shop.balance("b").await, (10, 0, 0));
    assert_eq!(kinds(&mut shop, "a").await.len(), 3);
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

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn merges_among_earnings_and_holds_lose_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    shop.earn("a", 1_000, "a").await;
    shop.earn("b", 1_000, "b").await;
    let mut callers = tokio::task::JoinSet::new();
    for (n, id) in (0..8).flat_map(|n| [(n, "a"), (n, "b")]) {
        let mut client = shop.client.clone();
        callers.spawn(async move {
            let mut worth = 0;
            if let Ok(earned) = client.earn_points(earn(id, 10, &format!("{id}{n}"))).await {
                worth += earned.into_inner().transaction.unwrap().points;
            }
            if client.redeem_points(redeem(id, 3)).await.is_ok() {
                worth -= 3;
            }
            let hold = pb::AuthorizeHoldRequest {
                customer_id: id.to_owned(),
                points: 5,
                timeout: Some(prost_types::Duration {
                    seconds: 600,
                    nanos: 0,
                }),
                ..Default::default()
            };
            if let Ok(held) = client.authorize_hold(hold).await {
                let capture = pb::CaptureHoldRequest {
                    customer_id: id.to_owned(),
                    hold_id: held.into_inner().hold.unwrap().hold_id,
                    points: 2,
                    r#final: true,
                    ..Default::default()
                };
                client.capture_hold(capture).await.unwrap();
                worth -= 2;
            }
            worth
        });
    }
    let mut merger = shop.client.clone();
    let merging = tokio::spawn(async move {
        for _ in 0..3 {
            let merged = merger.merge_members(merging("b", "a")).await.unwrap();
            let merge_id = merged.into_inner().merge.unwrap().merge_id;
            merger.unmerge_members(unmerging(&merge_id)).await.unwrap();
        }
        merger.merge_members(merging("b", "a")).await.unwrap();
    });
    let worth: i64 = callers.join_all().await.into_iter().sum();
    merging.await.unwrap();
    let after = (shop.balance("a").await, shop.balance("b").await);
    assert_eq!(after, ((0, 0, 0), (2_000 + worth, 0, 0)));
    verify(&shop).await;
}
