//! The complete subtrees over the hashes of blocks: append-only.

use std::collections::BTreeMap;

use common::db::{Access, Tx};
use common::on;

use super::seals::signed;
use crate::domain::merkle::{Hash, Node};

/// Appends subtrees that are complete; a block completes two on average.
pub async fn insert(tx: &mut Tx, nodes: &[(Node, Hash)]) -> Result<(), common::Error> {
    const INSERT: &str = "INSERT INTO seal_nodes (level, place, hash) VALUES ($1, $2, $3)";
    for (node, hash) in nodes {
        on!(tx, |conn| sqlx::query(INSERT)
            .bind(i64::from(node.level))
            .bind(signed(node.place))
            .bind(hash.0.as_slice())
            .execute(conn)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// Subtrees, as far as they are there; a path needs a few dozen.
pub async fn list(
    db: &mut impl Access,
    nodes: &[Node],
) -> Result<BTreeMap<Node, Hash>, common::Error> {
    const SELECT: &str = "SELECT hash FROM seal_nodes WHERE level = $1 AND place = $2";
    let mut found = BTreeMap::new();
    for node in nodes {
        let bytes = on!(db, |conn| sqlx::query_scalar::<_, Vec<u8>>(SELECT)
            .bind(i64::from(node.level))
            .bind(signed(node.place))
            .fetch_optional(conn)
            .await)?;
        if let Some(hash) = bytes.and_then(|bytes| Hash::parse(&bytes).ok()) {
            found.insert(*node, hash);
        }
    }
    Ok(found)
}

/// The hash of a block as it was appended.
pub async fn find_leaf(db: &mut impl Access, block: i64) -> Result<Option<Hash>, common::Error> {
    let place = u64::try_from(block).unwrap_or_default();
    let node = Node { level: 0, place };
    Ok(list(db, &[node]).await?.remove(&node))
}
