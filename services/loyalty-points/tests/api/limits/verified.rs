//! What is used of limits is compared with the ledger.

use api::loyalty::v1 as pb;
use pb::DivergenceKind;
use pb::LimitExcess::Clamp;
use rstest::rstest;
use testkit::Backend;

use super::{budget, cap, set};
use crate::audit::{divergence, seal};
use crate::merges::verify;
use crate::shop::Shop;

/// A shop with two members who have earned under a cap and a budget, of which something was taken back.
async fn eventful(backend: Backend) -> Shop {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.created("c2").await;
    shop.caught_up().await;
    set(&shop, cap("month", 100, Clamp)).await;
    set(&shop, budget("all", 150, Clamp)).await;
    shop.earn("c1", 80, "s1").await;
    let earned = shop.earn("c2", 80, "s2").await.transaction.unwrap();
    shop.reverse("c2", &earned.transaction_id).await.unwrap();
    verify(&shop).await;
    shop
}

#[rstest]
#[case(
    "UPDATE limit_usage SET used = used + 1 WHERE customer_id = 'c1'",
    ("month", "c1", "81 is stored", "80 was counted")
)]
#[case(
    "UPDATE limit_usage SET used = used - 1 WHERE customer_id = ''",
    ("all", "", "79 is stored", "80 was counted")
)]
#[case(
    "INSERT INTO limit_usage (program_id, limit_id, customer_id, window_start, used)
     VALUES ('default', 'month', 'c2', 0, 5)",
    ("month", "c2", "5 is stored", "0 was counted")
)]
#[tokio::test(flavor = "multi_thread")]
async fn usage_that_is_not_what_was_earned_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
    #[case] (limit_id, customer_id, stored, counted): (&str, &str, &str, &str),
) {
    let shop = eventful(backend).await;
    shop.execute(statement).await.unwrap();
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), DivergenceKind::Limit, "{found:?}");
    let named = (found.limit_id.as_str(), found.customer_id.as_str());
    assert_eq!(
        (named, found.program_id.as_str()),
        ((limit_id, customer_id), "default")
    );
    assert!(found.description.contains(stored), "{}", found.description);
    assert!(found.description.contains(counted), "{}", found.description);
}

/// Members are compared in pages: what they have earned together is added up over all of them.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn usage_is_compared_over_more_members_than_one_page(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let members: Vec<_> = (100..330).map(|number| format!("m{number}")).collect();
    for customer_id in &members {
        shop.created(customer_id).await;
    }
    shop.caught_up().await;
    set(&shop, cap("month", 100, Clamp)).await;
    set(&shop, budget("all", 1000, Clamp)).await;
    for (index, points) in [(0, 10), (99, 20), (100, 30), (229, 40)] {
        shop.earn(&members[index], points, &members[index]).await;
    }
    verify(&shop).await;
    for (statement, (limit_id, customer_id)) in [
        (
            "used = used + 1 WHERE customer_id = 'm200'",
            ("month", "m200"),
        ),
        (
            "used = used - 1 WHERE customer_id = 'm329'",
            ("month", "m329"),
        ),
        ("used = used - 1 WHERE customer_id = ''", ("all", "")),
        ("used = used + 1 WHERE customer_id = ''", ("all", "")),
    ] {
        crate::columns::execute(&shop, format!("UPDATE limit_usage SET {statement}")).await;
        let found = divergence(&shop).await;
        assert_eq!(found.kind(), DivergenceKind::Limit, "{found:?}");
        let named = (found.limit_id.as_str(), found.customer_id.as_str());
        assert_eq!(named, (limit_id, customer_id));
        let back = if statement.contains('+') {
            statement.replace('+', "-")
        } else {
            statement.replace('-', "+")
        };
        crate::columns::execute(&shop, format!("UPDATE limit_usage SET {back}")).await;
    }
    verify(&shop).await;
}

/// Usage that is stored of nobody, in no order of the members, is found too.
#[rstest]
#[case("", "zzz")]
#[case("another", "")]
#[tokio::test(flavor = "multi_thread")]
async fn usage_of_nobody_and_of_no_limit_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] limit_id: &str,
    #[case] customer_id: &str,
) {
    let shop = eventful(backend).await;
    crate::columns::disarm(&shop, "limit_usage").await;
    let insert = format!(
        "INSERT INTO limit_usage (program_id, limit_id, customer_id, window_start, used)
        VALUES ('default', '{limit_id}', '{customer_id}', 7, 5)"
    );
    crate::columns::execute(&shop, insert).await;
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), DivergenceKind::Limit, "{found:?}");
    let named = (found.limit_id.as_str(), found.customer_id.as_str());
    assert_eq!(named, (limit_id, customer_id));
}

/// What limits made of an earning is sealed with it.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_limits_made_of_a_posting_is_part_of_its_seal(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = eventful(backend).await;
    seal(&shop).await;
    let statement = "UPDATE postings SET decision = REPLACE(decision, '\"month\"', '\"week\"')";
    crate::audit::tamper(&shop, "postings", statement).await;
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), DivergenceKind::PostingChanged, "{found:?}");
}
