//! Heads that are signed, and proofs that the ledger only grew between them.

use api::loyalty::v1 as pb;
use common::config::Secret;
use loyalty_points::Loyalty;
use loyalty_points::domain::consistency::{Tree, verify};
use loyalty_points::domain::merkle::Hash;
use loyalty_points::domain::signing::{Head, PublicKey};
use pb::audit_service_client::AuditServiceClient;
use rstest::rstest;
use testkit::{Backend, Setup, assert_refused, until, violations};
use tonic::{Code, Status};

use crate::audit::{head, prove, success, tamper};
use crate::shop::Shop;

const PEM: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIGCXUEBeERz3y6re0Wv9GIyuIrGp7LbqwuD/DMKJp6y6
-----END PRIVATE KEY-----
";

/// Another one.
const NEXT: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAAJUX9mc1bXHWrwZLnCl9tGj/729UHYxjB4FLDP9gWs
-----END PRIVATE KEY-----
";

/// A shop with a key.
async fn signing(backend: Backend) -> Shop {
    let mut setup = Setup::<Loyalty>::default();
    setup.config.signing_key = Some(Secret::from(PEM.to_owned()));
    with_member(backend, setup).await
}

async fn with_member(backend: Backend, setup: Setup<Loyalty>) -> Shop {
    let shop = Shop::open_as(backend, setup).await;
    shop.created("c1").await;
    shop.caught_up().await;
    shop
}

/// Seals a block for each posting; returns the heads.
async fn grow(shop: &mut Shop, blocks: usize) -> Vec<pb::SealedHead> {
    let mut heads = Vec::new();
    for number in 0..blocks {
        shop.earn("c1", 10, &format!("s{number}")).await;
        heads.push(head(shop).await);
    }
    heads
}

async fn public_key(shop: &Shop) -> pb::GetSigningKeyResponse {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetSigningKeyRequest {};
    client.get_signing_key(request).await.unwrap().into_inner()
}

async fn newest(shop: &Shop) -> Result<Option<pb::SealedHead>, Status> {
    let mut client = AuditServiceClient::new(shop.server.channel());
    Ok(client
        .get_head(pb::GetHeadRequest::default())
        .await?
        .into_inner()
        .head)
}

async fn consistency(
    shop: &Shop,
    first_blocks: i64,
    second_blocks: i64,
) -> Result<pb::GetConsistencyProofResponse, Status> {
    let mut client = AuditServiceClient::new(shop.server.channel());
    let request = pb::GetConsistencyProofRequest {
        first_blocks,
        second_blocks,
    };
    Ok(client.get_consistency_proof(request).await?.into_inner())
}

/// As somebody who has nothing but the message reads it.
fn read(head: &pb::SealedHead) -> Head {
    Head {
        blocks: u64::try_from(head.blocks).unwrap(),
        postings: u64::try_from(head.postings).unwrap(),
        root: Hash::parse(&head.root).unwrap(),
        sealed_at: head.sealed_at.as_ref().unwrap().try_into().unwrap(),
    }
}

fn check(
    first: &pb::SealedHead,
    second: &pb::SealedHead,
    path: &[Vec<u8>],
) -> Result<(), &'static str> {
    let tree = |head: &pb::SealedHead| Tree {
        size: read(head).blocks,
        root: read(head).root,
    };
    let path: Vec<_> = path.iter().map(|hash| Hash::parse(hash).unwrap()).collect();
    verify(tree(first), tree(second), &path)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_head_is_signed_and_the_key_is_told(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = signing(backend).await;
    assert_eq!(newest(&shop).await.unwrap(), None);
    let sealed = grow(&mut shop, 2).await.pop().unwrap();
    let told = public_key(&shop).await;
    let key = PublicKey::parse(&told.public_key).unwrap();
    assert_eq!(key.id(), told.key_id);
    let posting = shop.transactions("c1").await.remove(0);
    let proven = prove(&shop, &posting.transaction_id).await.unwrap();
    let heads = [
        newest(&shop).await.unwrap(),
        proven.head,
        success(&shop).await.head,
        consistency(&shop, 1, 0).await.unwrap().second,
    ];
    for head in heads {
        let head = head.unwrap();
        assert_eq!(head, sealed);
        assert_eq!(head.key_id, told.key_id);
        assert_eq!(key.verify(&read(&head), &head.signature), Ok(()));
        let forged = pb::SealedHead {
            postings: head.postings + 1,
            ..head.clone()
        };
        key.verify(&read(&forged), &head.signature).unwrap_err();
    }
    // Another replica, or the same service after a restart, signs alike.
    shop.server = shop.server.restart().await;
    assert_eq!(newest(&shop).await.unwrap(), Some(sealed));
    assert_eq!(public_key(&shop).await, told);
}

/// Whether the head is signed by this key, and says so.
fn signed_by(head: &pb::SealedHead, key: &pb::GetSigningKeyResponse) -> bool {
    let public = PublicKey::parse(&key.public_key).unwrap();
    head.key_id == key.key_id && public.verify(&read(head), &head.signature).is_ok()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_replaced_signs_without_a_restart(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    std::fs::write(&file, PEM).unwrap();
    let mut setup = Setup::<Loyalty>::default();
    setup.config.signing_key_file = Some(file.clone());
    let mut shop = with_member(backend, setup).await;
    let before = grow(&mut shop, 1).await.remove(0);
    let old = public_key(&shop).await;
    assert!(signed_by(&before, &old));

    // What cannot be used leaves the old key at work; the next one takes its place.
    std::fs::write(&file, "half writ").unwrap();
    assert_eq!(public_key(&shop).await, old);
    std::fs::write(&file, NEXT).unwrap();
    until("the new key is told", async || {
        public_key(&shop).await != old
    })
    .await;

    let new = public_key(&shop).await;
    let again = newest(&shop).await.unwrap().unwrap();
    assert_eq!((again.blocks, &again.root), (before.blocks, &before.root));
    assert!(signed_by(&again, &new) && !signed_by(&again, &old));
    assert!(signed_by(&before, &old), "who kept the old key can check");
    shop.earn("c1", 10, "after").await;
    let success = success(&shop).await.head.unwrap();
    assert!(signed_by(&success, &new));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_heads_say_that_they_are_not_signed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = Shop::with_member(backend, "c1").await;
    grow(&mut shop, 1).await;
    let head = newest(&shop).await.unwrap().unwrap();
    assert!(
        head.signature.is_empty() && head.key_id.is_empty(),
        "{head:?}"
    );
    assert_eq!(
        public_key(&shop).await,
        pb::GetSigningKeyResponse::default()
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_head_has_grown_out_of_every_one_before(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = signing(backend).await;
    let heads = grow(&mut shop, 9).await;
    for (number, first) in heads.iter().enumerate() {
        for second in &heads[number..] {
            let proof = consistency(&shop, first.blocks, second.blocks)
                .await
                .unwrap();
            assert_eq!(proof.first.as_ref(), Some(first));
            assert_eq!(proof.second.as_ref(), Some(second));
            assert_eq!(check(first, second, &proof.path), Ok(()));
            if first.blocks < second.blocks {
                let mut path = proof.path.clone();
                path[0][0] ^= 1;
                check(first, second, &path).unwrap_err();
                let forged = pb::SealedHead {
                    root: vec![7; 32],
                    ..first.clone()
                };
                check(&forged, second, &proof.path).unwrap_err();
                check(first, &forged, &proof.path).unwrap_err();
            }
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_not_there_have_no_proof(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut shop = signing(backend).await;
    assert_refused(
        consistency(&shop, 1, 0).await,
        Code::OutOfRange,
        "HEAD_UNKNOWN",
    );
    let blocks = grow(&mut shop, 3).await.pop().unwrap().blocks;
    assert_refused(
        consistency(&shop, 1, blocks + 1).await,
        Code::OutOfRange,
        "HEAD_UNKNOWN",
    );
    for (first, second, fields) in [
        (0, 0, &["first_blocks"][..]),
        (-1, -1, &["first_blocks", "second_blocks"]),
        (2, 1, &["second_blocks"]),
    ] {
        let refused = consistency(&shop, first, second).await.unwrap_err();
        assert_eq!(violations(&refused), fields);
    }
}

#[rstest]
#[case("UPDATE seal_blocks SET head = root WHERE block = 2", "seal_blocks")]
#[case("UPDATE seal_blocks SET root = head WHERE block = 2", "seal_blocks")]
#[case(
    "UPDATE seal_nodes SET hash = (SELECT root FROM seal_blocks WHERE block = 0) WHERE place = 0",
    "seal_nodes"
)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_ledger_is_not_signed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] statement: &'static str,
    #[case] table: &str,
) {
    let mut shop = signing(backend).await;
    let heads = grow(&mut shop, 3).await;
    assert_eq!(heads[2].blocks, 3);
    tamper(&shop, table, statement).await;
    assert_refused(newest(&shop).await, Code::DataLoss, "LEDGER_DIVERGED");
    assert_refused(
        consistency(&shop, 2, 3).await,
        Code::DataLoss,
        "LEDGER_DIVERGED",
    );
}
