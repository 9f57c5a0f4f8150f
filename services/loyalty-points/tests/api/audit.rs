//! The ledger sealed, replayed and proven.

use api::loyalty::v1 as pb;
use common::ids::CustomerId;
use common::on;
use loyalty_points::domain::chain::Block;
use loyalty_points::domain::merkle::{Hash, Proof, verify};
use pb::audit_service_client::AuditServiceClient;
use pb::verify_ledger_response::Item;
use rstest::rstest;
use testkit::{Backend, assert_refused, until};
use tonic::{Code, Status};

use crate::shop::{Shop, earn};

pub async fn seal(shop: &Shop) -> pb::SealNowResponse {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::SealNowRequest::default();
    client.seal_now(request).await.unwrap().into_inner()
}

pub async fn head(shop: &Shop) -> pb::SealedHead {
    seal(shop).await.head.unwrap()
}

pub async fn replay(shop: &Shop, known_head: Option<pb::KnownHead>) -> Result<Vec<Item>, Status> {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::VerifyLedgerRequest { known_head };
    let mut stream = client.verify_ledger(request).await?.into_inner();
    let mut items = Vec::new();
    while let Some(told) = stream.message().await? {
        items.push(told.item.unwrap());
    }
    Ok(items)
}

pub async fn success(shop: &Shop) -> pb::VerifySuccess {
    match replay(shop, None).await.unwrap().pop() {
        Some(Item::Success(success)) => success,
        other => panic!("not a success: {other:?}"),
    }
}

pub async fn divergence(shop: &Shop) -> pb::Divergence {
    match replay(shop, None).await.unwrap().pop() {
        Some(Item::Divergence(divergence)) => divergence,
        other => panic!("not a divergence: {other:?}"),
    }
}

pub async fn prove(
    shop: &Shop,
    transaction_id: &str,
) -> Result<pb::GetInclusionProofResponse, Status> {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetInclusionProofRequest {
        customer_id: "c1".to_owned(),
        transaction_id: transaction_id.to_owned(),
        ..Default::default()
    };
    Ok(client.get_inclusion_proof(request).await?.into_inner())
}

/// As somebody who has nothing but the message checks it.
fn check(proof: &pb::InclusionProof) -> Result<(), &'static str> {
    let hash = |bytes: &Vec<u8>| Hash::parse(bytes).unwrap();
    let count = |number: i64| u64::try_from(number).unwrap();
    let block = proof.block.as_ref().unwrap();
    verify(&Proof {
        leaf: proof.leaf.clone(),
        sequence: count(proof.sequence),
        leaf_path: proof.leaf_path.iter().map(hash).collect(),
        block: Block {
            number: count(block.block),
            first_sequence: count(block.first_sequence),
            postings: count(block.postings),
            previous: hash(&block.previous),
            root: hash(&block.root),
            link: hash(&block.link),
        },
        block_path: proof.block_path.iter().map(hash).collect(),
        head_blocks: count(proof.head_blocks),
        head_root: hash(&proof.head_root),
    })
}

/// What somebody does who is root on the database: the triggers first, then the rows.
pub async fn tamper(shop: &Shop, table: &str, statement: &'static str) {
    let dropped: &[&'static str] = match (shop.server.platform.db.dialect(), table) {
        (common::db::Dialect::Postgres, "postings") => {
            &["DROP TRIGGER postings_append_only ON postings"]
        }
        (common::db::Dialect::Postgres, "entries") => {
            &["DROP TRIGGER entries_append_only ON entries"]
        }
        (common::db::Dialect::Postgres, "seals") => &["DROP TRIGGER seals_append_only ON seals"],
        (common::db::Dialect::Postgres, "seal_blocks") => {
            &["DROP TRIGGER seal_blocks_append_only ON seal_blocks"]
        }
        (common::db::Dialect::Postgres, "seal_nodes") => {
            &["DROP TRIGGER seal_nodes_append_only ON seal_nodes"]
        }
        (common::db::Dialect::Sqlite, "postings") => &[
            "DROP TRIGGER postings_no_update",
            "DROP TRIGGER postings_no_delete",
        ],
        (common::db::Dialect::Sqlite, "entries") => &[
            "DROP TRIGGER entries_no_update",
            "DROP TRIGGER entries_no_delete",
        ],
        (common::db::Dialect::Sqlite, "seals") => &[
            "DROP TRIGGER seals_no_update",
            "DROP TRIGGER seals_no_delete",
        ],
        (common::db::Dialect::Sqlite, "seal_blocks") => &[
            "DROP TRIGGER seal_blocks_no_update",
            "DROP TRIGGER seal_blocks_no_delete",
        ],
        (common::db::Dialect::Sqlite, "seal_nodes") => &[
            "DROP TRIGGER seal_nodes_no_update",
            "DROP TRIGGER seal_nodes_no_delete",
        ],
        _ => &[],
    };
    for statement in dropped {
        shop.execute(statement).await.unwrap();
    }
    shop.execute(statement).await.unwrap();
}

/// Writes postings without lines, and announces them, as a faulty service would.
pub async fn write_bare(shop: &Shop, revisions: std::ops::Range<i64>, points: i64) {
    const INSERT: &str = "
        INSERT INTO postings
            (customer_id, posting_id, program_id, revision, kind, points, reason, occurred_at, posted_at)
        VALUES ('c1', $1, 'default', $2, 'earn', $3, '', 0, 0)";
    let customer_id = CustomerId::parse("c1").unwrap();
    let mut tx = shop.server.platform.tx().await.unwrap();
    for revision in revisions {
        on!(&mut tx, |conn| sqlx::query(INSERT)
            .bind(format!("bare-{revision}"))
            .bind(revision)
            .bind(points)
            .execute(conn)
            .await
            .map(drop))
        .unwrap();
        tx.emit(&customer_id, revision, &pb::PointsPosted::default());
    }
    tx.commit().await.unwrap();
}

/// Sealed in two blocks: earnings of 10 and 20 points, then 5 points redeemed.
pub async fn sealed(backend: Backend) -> (Shop, Vec<String>) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let mut ids = Vec::new();
    for (points, source) in [(10, "s1"), (20, "s2")] {
        let earned = shop.earn("c1", points, source).await;
        ids.push(earned.transaction.unwrap().transaction_id);
    }
    seal(&shop).await;
    let redeemed = shop.redeem("c1", 5).await.unwrap();
    ids.push(redeemed.transaction.unwrap().transaction_id);
    assert_eq!(head(&shop).await.postings, 3);
    (shop, ids)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn postings_are_sealed_once_and_in_order(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    let nothing = seal(&shop).await;
    assert_eq!((nothing.sealed, nothing.head), (0, None));
    for source in ["s1", "s2", "s3"] {
        shop.earn("c1", 10, source).await;
    }
    let first = head(&shop).await;
    assert_eq!(first.postings, 3);
    assert_eq!(seal(&shop).await.sealed, 0);
    assert_eq!(head(&shop).await, first);

    shop.redeem("c1", 5).await.unwrap();
    let second = head(&shop).await;
    assert_eq!((second.blocks, second.postings), (first.blocks + 1, 4));
    assert_ne!(second.root, first.root);
    let items = replay(&shop, None).await.unwrap();
    assert!(matches!(items[0], Item::Progress(_)), "{items:?}");
    let success = success(&shop).await;
    let verified = success.verified.unwrap();
    assert_eq!((verified.postings, verified.members), (4, 1));
    assert_eq!((success.head, success.unsealed), (Some(second), 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_background_seals_by_itself(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 10, "s1").await;
    until("the background seals", async || {
        success(&shop).await.unsealed == 0
    })
    .await;
    assert_eq!(seal(&shop).await.sealed, 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_sealers_and_writers_make_one_gapless_chain(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    const MEMBERS: usize = 8;
    const EARNINGS: usize = 12;
    let shop = Shop::open(backend).await;
    for member in 0..MEMBERS {
        shop.created(&format!("c{member}")).await;
    }
    shop.caught_up().await;
    let replica = shop.server.replica().await;
    let mut work = tokio::task::JoinSet::new();
    for member in 0..MEMBERS {
        let mut client = shop.client.clone();
        work.spawn(async move {
            let customer_id = format!("c{member}");
            for number in 0..EARNINGS {
                let request = earn(&customer_id, 1, &format!("{member}-{number}"));
                client.earn_points(request).await.unwrap();
            }
        });
    }
    for channel in [shop.server.channel(), replica.channel()] {
        work.spawn(async move {
            let mut client = AuditServiceClient::new(channel);
            for _ in 0..20 {
                client
                    .seal_now(pb::SealNowRequest::default())
                    .await
                    .unwrap();
            }
        });
    }
    while let Some(done) = work.join_next().await {
        done.unwrap();
    }
    seal(&shop).await;
    let success = success(&shop).await;
    let verified = success.verified.unwrap();
    let expected = i64::try_from(MEMBERS * EARNINGS).unwrap();
    assert_eq!((verified.postings, success.unsealed), (expected, 0));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_feed_forgot_is_sealed_all_the_same(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    shop.earn("c1", 10, "s1").await;
    shop.earn("c1", 20, "s2").await;
    // As in a database from before sealing, whose feed was compacted since.
    seal(&shop).await;
    for table in ["seals", "seal_blocks"] {
        let delete = match table {
            "seals" => "DELETE FROM seals",
            _ => "DELETE FROM seal_blocks",
        };
        let platform = &shop.server.platform;
        platform.feed().head().await.unwrap();
        platform
            .compact_feed(platform.now() + chrono::TimeDelta::days(1))
            .await
            .unwrap();
        tamper(&shop, table, delete).await;
    }
    let nodes = match backend {
        Backend::Postgres => "DROP TRIGGER seal_nodes_append_only ON seal_nodes",
        Backend::Sqlite => "DROP TRIGGER seal_nodes_no_delete",
    };
    for statement in [
        nodes,
        "DELETE FROM seal_nodes",
        "UPDATE seal_head SET feed_position = 0",
    ] {
        shop.execute(statement).await.unwrap();
    }
    assert_eq!(head(&shop).await.postings, 2);
    shop.earn("c1", 30, "s3").await;
    assert_eq!(head(&shop).await.postings, 3);
    assert_eq!(success(&shop).await.unsealed, 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_posting_has_a_proof_that_needs_nothing_else(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    for number in 0..7 {
        shop.earn("c1", 10, &format!("s{number}")).await;
        if number % 2 == 1 {
            seal(&shop).await;
        }
    }
    let head = head(&shop).await;
    for transaction in shop.transactions("c1").await {
        let proven = prove(&shop, &transaction.transaction_id).await.unwrap();
        let mut proof = proven.proof.unwrap();
        assert_eq!(check(&proof), Ok(()));
        assert_eq!(
            (&proof.head_root, proof.head_blocks),
            (&head.root, head.blocks)
        );
        assert_eq!(proven.head, Some(head.clone()));
        let id = transaction.transaction_id.as_bytes();
        assert!(proof.leaf.windows(id.len()).any(|part| part == id));
        let last = proof.leaf.len() - 1;
        proof.leaf[last] ^= 1;
        assert_eq!(check(&proof), Err("the posting is not in the block"));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_has_no_proof(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (shop, ids) = sealed(backend).await;
    assert_refused(
        prove(&shop, "nothing").await,
        Code::NotFound,
        "TRANSACTION_NOT_FOUND",
    );
    tamper(&shop, "seals", "DELETE FROM seals WHERE sequence = 3").await;
    assert_refused(
        prove(&shop, &ids[2]).await,
        Code::FailedPrecondition,
        "NOT_SEALED",
    );
    tamper(
        &shop,
        "entries",
        "UPDATE entries SET effective_at = effective_at - 1",
    )
    .await;
    assert_refused(
        prove(&shop, &ids[0]).await,
        Code::DataLoss,
        "LEDGER_DIVERGED",
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_long_ledger_is_sealed_in_blocks_of_a_thousand(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let shop = Shop::with_member(backend, "c1").await;
    write_bare(&shop, 100..2600, 0).await;
    let head = head(&shop).await;
    // The background may have come in between and made a small one.
    assert!(head.blocks >= 3, "{head:?}");
    assert_eq!(head.postings, 2500);
    assert_eq!(success(&shop).await.verified.unwrap().postings, 2500);
    for revision in [100, 777, 1100, 2599] {
        let proven = prove(&shop, &format!("bare-{revision}")).await.unwrap();
        assert_eq!(check(&proven.proof.unwrap()), Ok(()));
    }
}
