//! What somebody did to the database behind the service's back is found and named.

use api::loyalty::v1 as pb;
use common::on;
use pb::DivergenceKind;
use pb::verify_ledger_response::Item;
use rstest::rstest;
use testkit::{Backend, violations};

use crate::audit::{divergence, head, replay, sealed, tamper, write_bare};

#[rstest]
#[case(
    "entries",
    "UPDATE entries SET points = points * 2 WHERE posting_id =
    (SELECT posting_id FROM postings WHERE points = 20)",
    DivergenceKind::PostingChanged
)]
#[case(
    "entries",
    "DELETE FROM entries WHERE posting_id =
    (SELECT posting_id FROM postings WHERE points = 20)",
    DivergenceKind::PostingChanged
)]
#[case(
    "postings",
    "UPDATE postings SET reason = 'a gift' WHERE points = 20",
    DivergenceKind::PostingChanged
)]
#[case(
    "postings",
    "UPDATE postings SET posted_at = posted_at + 1 WHERE points = 20",
    DivergenceKind::PostingChanged
)]
#[case(
    "postings",
    "DELETE FROM postings WHERE points = 20",
    DivergenceKind::PostingMissing
)]
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_posting_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] table: &str,
    #[case] statement: &'static str,
    #[case] kind: DivergenceKind,
) {
    let (shop, ids) = sealed(backend).await;
    tamper(&shop, table, statement).await;
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), kind, "{found:?}");
    assert_eq!((found.sequence, found.customer_id.as_str()), (2, "c1"));
    assert_eq!(found.transaction_id, ids[1]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_seal_or_block_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (shop, _) = sealed(backend).await;
    tamper(
        &shop,
        "seals",
        "UPDATE seals SET leaf = (SELECT root FROM seal_blocks WHERE block = 0)
        WHERE sequence = 3",
    )
    .await;
    let found = divergence(&shop).await;
    assert_eq!(
        (found.kind(), found.sequence),
        (DivergenceKind::PostingChanged, 3)
    );

    tamper(
        &shop,
        "",
        "UPDATE seals SET sequence = 9 WHERE sequence = 2",
    )
    .await;
    let found = divergence(&shop).await;
    assert_eq!(
        (found.kind(), found.sequence),
        (DivergenceKind::BlockBroken, 2)
    );

    tamper(
        &shop,
        "seal_blocks",
        "UPDATE seal_blocks SET previous = root",
    )
    .await;
    tamper(
        &shop,
        "",
        "UPDATE seals SET sequence = 2 WHERE sequence = 9",
    )
    .await;
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), DivergenceKind::BlockBroken);
    assert_eq!((found.block, found.sequence), (0, 1));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_head_kept_elsewhere_shows_a_ledger_rewritten_whole(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (shop, _) = sealed(backend).await;
    let head = head(&shop).await;
    let known = |blocks, root: &[u8]| {
        Some(pb::KnownHead {
            blocks,
            root: root.to_vec(),
        })
    };
    let kept = known(head.blocks, &head.root);
    let last = replay(&shop, kept).await.unwrap().pop();
    assert!(matches!(last, Some(Item::Success(_))), "{last:?}");
    for (blocks, root) in [
        (head.blocks, [7; 32].to_vec()),
        (head.blocks + 1, head.root),
    ] {
        match replay(&shop, known(blocks, &root)).await.unwrap().pop() {
            Some(Item::Divergence(found)) => {
                assert_eq!(found.kind(), DivergenceKind::HeadUnknown);
            }
            other => panic!("the head is not of this ledger: {other:?}"),
        }
    }
    let malformed = replay(&shop, known(0, &[1])).await.unwrap_err();
    assert_eq!(
        violations(&malformed),
        ["known_head.blocks", "known_head.root"]
    );
}

/// What is named of a member's stored ledger, which needs no trigger to be dropped first.
async fn tampered(
    backend: Backend,
    statement: &'static str,
    kind: DivergenceKind,
) -> pb::Divergence {
    let (mut shop, _) = sealed(backend).await;
    let lots = shop.lots("c1").await;
    let lot = lots.iter().find(|lot| lot.original == 20).unwrap();
    shop.execute(statement).await.unwrap();
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), kind, "{found:?}");
    assert_eq!(
        (found.customer_id.as_str(), found.program_id.as_str()),
        ("c1", "default")
    );
    let concerned = if kind == DivergenceKind::Lot {
        lot.lot_id.as_str()
    } else {
        ""
    };
    assert_eq!(found.lot_id, concerned);
    found
}

#[rstest]
#[case("UPDATE accounts SET points = points + 1", DivergenceKind::Balance)]
#[case("UPDATE accounts SET held = held + 1", DivergenceKind::Balance)]
#[case(
    "UPDATE lots SET original = original + 1, remaining = remaining + 1 WHERE original = 20",
    DivergenceKind::Lot
)]
#[case(
    "UPDATE lots SET remaining = remaining - 1, consumed = consumed + 1 WHERE original = 20",
    DivergenceKind::Lot
)]
#[case(
    "UPDATE lots SET original = original + 1, consumed = consumed + 1 WHERE original = 20",
    DivergenceKind::Lot
)]
#[case("DELETE FROM lots WHERE original = 20", DivergenceKind::Lot)]
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_balance_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
    #[case] kind: DivergenceKind,
) {
    let found = tampered(backend, statement, kind).await;
    assert_eq!(found.transaction_id, "");
}

#[rstest]
#[case(
    "INSERT INTO entries
        (customer_id, posting_id, line, program_id, account, lot_id, points, effective_at)
    SELECT customer_id, 'forged', 0, program_id, 'member', lot_id, 1, 0 FROM lots WHERE original = 20",
    DivergenceKind::Lot
)]
#[case(
    "INSERT INTO entries (customer_id, posting_id, line, program_id, account, points, effective_at)
    VALUES ('c1', 'forged', 0, 'default', 'debt', 1, 0)",
    DivergenceKind::Balance
)]
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_no_posting_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
    #[case] kind: DivergenceKind,
) {
    let found = tampered(backend, statement, kind).await;
    assert_eq!(found.transaction_id, "forged");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_posting_slipped_in_behind_the_seal_is_named(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (shop, _) = sealed(backend).await;
    tamper(&shop, "", "INSERT INTO postings
            (customer_id, posting_id, program_id, revision, kind, points, reason, occurred_at, posted_at)
        SELECT customer_id, 'forged', program_id, -1, kind, 0, reason, occurred_at, posted_at
        FROM postings WHERE points = 20").await;
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), DivergenceKind::PostingUnsealed);
    assert_eq!(found.transaction_id, "forged");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn seals_can_only_be_appended_to(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (shop, _) = sealed(backend).await;
    for statement in [
        "UPDATE seals SET sequence = sequence + 100",
        "DELETE FROM seals",
        "UPDATE seal_blocks SET sealed_at = 0",
        "DELETE FROM seal_blocks",
        "UPDATE seal_nodes SET hash = hash",
        "DELETE FROM seal_nodes",
    ] {
        let refused = shop.execute(statement).await.unwrap_err();
        assert!(
            refused.to_string().contains("append-only"),
            "{statement}: {refused}"
        );
    }
    let mut db = shop.server.platform.reader().await.unwrap();
    let count = "SELECT COUNT(*) FROM seals";
    let seals: i64 = on!(&mut db, |conn| sqlx::query_scalar(count)
        .fetch_one(conn)
        .await)
    .unwrap();
    assert_eq!(seals, 3);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_posting_whose_lines_do_not_add_up_is_named_although_it_was_sealed_so(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (shop, _) = sealed(backend).await;
    write_bare(&shop, 100..101, 7).await;
    head(&shop).await;
    let found = divergence(&shop).await;
    assert_eq!(found.kind(), DivergenceKind::PostingUnbalanced);
    assert_eq!(
        (found.sequence, found.transaction_id.as_str()),
        (4, "bare-100")
    );
}
