//! What was so at an instant is read by the member, not out of everybody's postings.

use api::loyalty::v1 as pb;
use rstest::rstest;
use testkit::{Backend, time};

use crate::heard::{Statements, alone, heard};
use crate::plan::{Sizes, read_whole};
use crate::shop::{NOW, Shop, at, earn};

const LATER: &str = "1998-08-01T00:00:00Z";

/// Ten thousand postings of two hundred other members, written past the service, with their lines and lots.
async fn crowded(backend: Backend) -> Shop {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 100, "s1").await;
    let hold = pb::AuthorizeHoldRequest {
        customer_id: "c1".to_owned(),
        points: 7,
        ..Default::default()
    };
    shop.client.authorize_hold(hold).await.unwrap();
    shop.redeem("c1", 10).await.unwrap();
    shop.server.clock.set(time(LATER));
    let late = pb::EarnPointsRequest {
        occurred_at: at("1998-06-01T00:00:00Z"),
        ..earn("c1", 30, "late")
    };
    shop.try_earn(late).await.unwrap();
    for statement in [
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
        INSERT INTO postings
            (customer_id, posting_id, program_id, revision, kind, points, reason, occurred_at, posted_at)
        SELECT 'm' || (i % 200), 'p' || i, 'default', i, 'earn', 1, '', i, i FROM n",
        "INSERT INTO lots
            (customer_id, lot_id, program_id, posting_id, original, remaining, consumed, expired, reversed,
             qualifying, earned_at, activates_at)
        SELECT customer_id, 'l' || posting_id, program_id, posting_id, 1, 1, 0, 0, 0, 1, 0, 0
        FROM postings WHERE customer_id LIKE 'm%'",
        "INSERT INTO entries
            (customer_id, posting_id, line, program_id, account, lot_id, points, effective_at)
        SELECT customer_id, posting_id, 0, program_id, 'member', lot_id, 1, 0
        FROM lots WHERE customer_id LIKE 'm%'",
        "INSERT INTO entries (customer_id, posting_id, line, program_id, account, points, effective_at)
        SELECT customer_id, posting_id, 1, program_id, 'issuance', -1, 0
        FROM lots WHERE customer_id LIKE 'm%'",
        "ANALYZE",
    ] {
        shop.execute(statement).await.unwrap();
    }
    shop
}

/// Everything that was asked of the ledger was asked of one member's.
async fn nothing_is_read_whole(shop: &Shop, statements: Statements, at_least: usize) {
    let tables = ["postings", "entries", "lots"];
    let of_ledger = statements.into_keys();
    let of_ledger = of_ledger.filter(|text| tables.iter().any(|table| text.contains(table)));
    let of_ledger: Vec<_> = of_ledger.collect();
    assert!(of_ledger.len() >= at_least, "{of_ledger:#?}");
    for text in of_ledger {
        let whole = read_whole(shop, &text, Sizes::Analyzed).await;
        assert!(whole.is_empty(), "{text}: {whole:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn balances_and_statements_of_the_past_read_one_members_postings(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let alone = alone().await;
    let mut shop = crowded(backend).await;
    let past = "1998-06-15T00:00:00Z";
    for (as_of, posted_by, available, at_least) in [
        // Effective by then, whenever it was posted.
        (at(past), None, 30, 2),
        // Posted by then.
        (at(NOW), at(NOW), 83, 2),
        // The hold has timed out since.
        (None, at(NOW), 90, 2),
        (at(past), at(NOW), 0, 2),
    ] {
        heard(&alone);
        let request = pb::GetBalanceRequest {
            customer_id: "c1".to_owned(),
            as_of,
            posted_by,
            ..Default::default()
        };
        let answer = shop.client.get_balance(request).await.unwrap();
        let balance = answer.into_inner().balance.unwrap();
        assert_eq!(balance.available, available, "{as_of:?} {posted_by:?}");
        nothing_is_read_whole(&shop, heard(&alone), at_least).await;
    }
    heard(&alone);
    let request = pb::GetStatementRequest {
        customer_id: "c1".to_owned(),
        from: at(past),
        to: at(LATER),
        ..Default::default()
    };
    let told = shop.client.get_statement(request).await.unwrap();
    assert_eq!(told.into_inner().movements.len(), 3);
    nothing_is_read_whole(&shop, heard(&alone), 4).await;
}
