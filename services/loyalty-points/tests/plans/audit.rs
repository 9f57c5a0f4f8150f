//! Verifying a block and proving a posting cost the same however long the ledger is.

use api::loyalty::v1 as pb;
use pb::audit_service_client::AuditServiceClient;
use pb::verify_ledger_response::Item;
use rstest::rstest;
use testkit::Backend;

use crate::heard::{Runs, Statements, alone, heard};
use crate::plan::{Sizes, read_whole};
use crate::shop::Shop;

const POSTINGS_PER_BLOCK: usize = 3;

/// Seals so many more blocks; returns the last posting.
async fn grow(shop: &mut Shop, blocks: std::ops::Range<usize>) -> String {
    let mut last = String::new();
    for block in blocks {
        for number in 0..POSTINGS_PER_BLOCK {
            let earned = shop.earn("c1", 10, &format!("{block}/{number}")).await;
            last = earned.transaction.unwrap().transaction_id;
        }
        let mut client = AuditServiceClient::new(shop.server.channel());
        client
            .seal_now(pb::SealNowRequest::default())
            .await
            .unwrap();
    }
    last
}

/// Verifies the ledger; returns how many blocks it has.
async fn verify(shop: &Shop) -> u64 {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let answer = client
        .verify_ledger(pb::VerifyLedgerRequest::default())
        .await;
    let mut stream = answer.unwrap().into_inner();
    let mut last = None;
    while let Some(told) = stream.message().await.unwrap() {
        last = told.item;
    }
    match last {
        Some(Item::Success(success)) => u64::try_from(success.verified.unwrap().blocks).unwrap(),
        other => panic!("not a success: {other:?}"),
    }
}

async fn prove(shop: &Shop, transaction_id: &str) {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetInclusionProofRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        ..Default::default()
    };
    let proven = client.get_inclusion_proof(request).await.unwrap();
    assert!(proven.into_inner().proof.is_some());
}

/// Without what the background asks for again and again: whether there is anything to do.
fn of_the_ledger(statements: Statements) -> Statements {
    let tables = ["postings", "entries", "seals", "seal_blocks", "seal_nodes"];
    let mut statements = statements;
    statements.retain(|text, _| tables.iter().any(|table| text.contains(table)));
    statements
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_verified_by_as_many_statements_and_rows_in_a_ledger_of_any_length(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let alone = alone().await;
    let mut shop = Shop::with_member(backend, "c1").await;
    grow(&mut shop, 0..8).await;
    heard(&alone);
    let few = verify(&shop).await;
    let of_few = of_the_ledger(heard(&alone));
    grow(&mut shop, 8..32).await;
    heard(&alone);
    let many = verify(&shop).await;
    let of_many = of_the_ledger(heard(&alone));

    // The background may have sealed a block in two.
    assert!(few >= 8 && many >= few + 24, "{few} {many}");
    let of_blocks: Vec<_> = of_few
        .iter()
        .filter(|(_, runs)| runs.times >= few)
        .collect();
    assert_eq!(of_blocks.len(), 6, "{of_blocks:#?}");
    for (text, before) in of_blocks {
        let after = of_many[text];
        assert_eq!(after.times - before.times, many - few, "{text}");
        // The subtrees that blocks complete are twice as many as blocks, less a few.
        assert!(
            after.rows <= before.rows * many / few + 4,
            "{text}: {before:?} {after:?}"
        );
        let whole = read_whole(&shop, text, Sizes::Endless).await;
        assert!(whole.is_empty(), "{text}: {whole:?}");
    }
    // Everything else is read once, or for pages of members, of which there is one.
    for (text, runs) in &of_many {
        assert!(runs.times >= many || runs.times <= 2, "{text}: {runs:?}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_takes_as_many_statements_in_a_ledger_of_any_length(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let alone = alone().await;
    let mut shop = Shop::with_member(backend, "c1").await;
    let first = grow(&mut shop, 0..2).await;
    heard(&alone);
    prove(&shop, &first).await;
    let of_few = of_the_ledger(heard(&alone));
    let last = grow(&mut shop, 2..37).await;
    for posting in [first, last] {
        heard(&alone);
        prove(&shop, &posting).await;
        let of_many = of_the_ledger(heard(&alone));
        let times =
            |statements: &Statements| statements.values().map(|runs| runs.times).sum::<u64>();
        assert_eq!(times(&of_few), times(&of_many), "{of_few:#?} {of_many:#?}");
        let Runs { rows, .. } = of_many.values().fold(Runs::default(), |sum, runs| Runs {
            times: sum.times + runs.times,
            rows: sum.rows + runs.rows,
        });
        // A posting, its lines, a block's seals, two blocks, and a path through each tree.
        assert!(rows <= 30, "{of_many:#?}");
        for text in of_many.keys() {
            let whole = read_whole(&shop, text, Sizes::Endless).await;
            assert!(whole.is_empty(), "{text}: {whole:?}");
        }
    }
}

/// That reading a table whole is noticed at all.
#[rstest]
#[case("SELECT COUNT(*) FROM postings p WHERE p.points > $1")]
#[case("SELECT posting_id FROM entries ORDER BY customer_id, posting_id, line")]
#[case("SELECT s.leaf FROM seals s JOIN postings p ON p.points = s.sequence WHERE s.block = $1")]
#[tokio::test(flavor = "multi_thread")]
async fn reading_a_table_whole_is_noticed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &str,
) {
    let _alone = alone().await;
    let mut shop = Shop::with_member(backend, "c1").await;
    grow(&mut shop, 0..1).await;
    let whole = read_whole(&shop, statement, Sizes::Endless).await;
    assert_eq!(whole.len(), 1, "{whole:?}");
}
