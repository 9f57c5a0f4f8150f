//! Members who were merged are one person to a cap.

use api::loyalty::v1 as pb;
use pb::LimitExcess::{Clamp, Refuse};
use rstest::rstest;
use testkit::Backend;

pub use crate::merges::verify;

use super::{assert_reached, budget, cap, cuts, set, try_usages, used};
use crate::merges::{merge, shop_with, unmerge};
use crate::shop::{NOW, Purchase, earn};

const AUGUST: Option<&str> = Some("1998-08-01T00:00:00Z");

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn merged_members_share_what_is_left_and_have_their_own_again_afterwards(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    set(&shop, cap("month", 100, Clamp)).await;
    shop.earn("a", 30, "s1").await;
    shop.earn("b", 60, "s2").await;
    let first = merge(&mut shop, "a", "b").await;
    assert_eq!((used(&shop, "a").await, used(&shop, "b").await), (90, 90));
    let cut = shop.earn("a", 20, "s3").await.transaction.unwrap();
    assert_eq!(cuts(&cut), [("month", 20, 10)]);
    // Purchases go on arriving for who was merged.
    shop.bought("b", Purchase::dollars("t1", NOW, 25)).await;
    shop.caught_up().await;
    let posting = shop.transactions("b").await.remove(0);
    assert_eq!(
        (posting.points, cuts(&posting)),
        (0, vec![("month", 25, 0)])
    );

    // One more, taken in by the one that stands for both.
    let second = merge(&mut shop, "a", "c").await;
    let answer = shop.try_earn(earn("a", 1, "s4")).await;
    assert_reached(answer, ("month", "0", AUGUST));
    unmerge(&mut shop, &second).await.unwrap();
    shop.earn("c", 100, "s5").await;

    unmerge(&mut shop, &first).await.unwrap();
    assert_eq!((used(&shop, "a").await, used(&shop, "b").await), (40, 60));
    shop.earn("a", 60, "s6").await;
    shop.earn("b", 40, "s7").await;
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_a_merged_member_earned_is_given_back_where_it_was_counted(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b", "c"]).await;
    set(&shop, cap("month", 100, Refuse)).await;
    shop.earn("a", 30, "s1").await;
    let earned = shop.earn("b", 70, "s2").await.transaction.unwrap();
    shop.bought("c", Purchase::dollars("t1", NOW, 20)).await;
    shop.caught_up().await;
    // Through one who is taken in later.
    let inner = merge(&mut shop, "c", "b").await;
    let outer = merge(&mut shop, "a", "c").await;
    assert_eq!(used(&shop, "b").await, 120);
    let told = try_usages(&shop, "a", None).await.unwrap();
    assert_eq!((told[0].used, told[0].remaining), (120, 0));
    let answer = shop.try_earn(earn("a", 1, "s3")).await;
    assert_reached(answer, ("month", "0", AUGUST));

    shop.reverse("a", &earned.transaction_id).await.unwrap();
    shop.voided("c", Purchase::dollars("t1", NOW, 20)).await;
    shop.caught_up().await;
    assert_eq!(used(&shop, "a").await, 30);
    // The purchase of who was merged is held against what all have used.
    shop.bought("b", Purchase::dollars("t2", NOW, 70)).await;
    shop.bought("c", Purchase::dollars("t3", NOW, 1)).await;
    shop.caught_up().await;
    assert_eq!(shop.transactions("c").await[0].points, 0);
    for merge_id in [outer, inner] {
        unmerge(&mut shop, &merge_id).await.unwrap();
    }
    let mut all = Vec::new();
    for id in ["a", "b", "c"] {
        all.push(used(&shop, id).await);
    }
    assert_eq!(all, [30, 70, 0]);
    verify(&shop).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_budget_does_not_care_who_is_merged(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = shop_with(backend, &["a", "b"]).await;
    set(&shop, budget("all", 100, Refuse)).await;
    shop.earn("a", 30, "s1").await;
    shop.earn("b", 60, "s2").await;
    let merge_id = merge(&mut shop, "a", "b").await;
    shop.earn("a", 10, "s3").await;
    let reached = ("all", "0", AUGUST);
    assert_reached(shop.try_earn(earn("a", 1, "s4")).await, reached);
    unmerge(&mut shop, &merge_id).await.unwrap();
    assert_reached(shop.try_earn(earn("b", 1, "s5")).await, reached);
    let usages: Vec<pb::LimitUsage> = try_usages(&shop, "", None).await.unwrap();
    assert_eq!(usages[0].used, 100);
    verify(&shop).await;
}
