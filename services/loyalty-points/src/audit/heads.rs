//! Heads of the sealed ledger, and how one grows out of another.

use common::db::Access;

use crate::State;
use crate::domain::consistency::{self, Tree};
use crate::domain::merkle::{Hash, bag, peaks};
use crate::domain::signing::Head;
use crate::error::Error;
use crate::store::seal_blocks::{self, BlockRow};
use crate::store::seal_nodes;
use crate::store::seals::signed;

/// That the later of two heads has grown out of the earlier one.
#[derive(Debug)]
pub struct Consistency {
    /// The hashes that prove it.
    pub path: Vec<Hash>,
    /// The earlier head.
    pub first: Head,
    /// The later head.
    pub second: Head,
}

/// The newest head; `None` while nothing is sealed.
pub async fn find_newest(state: &State) -> Result<Option<Head>, Error> {
    let mut db = state.platform.snapshot().await?;
    match seal_blocks::find_last(&mut db).await? {
        Some(row) => checked(&mut db, &row).await.map(Some),
        None => Ok(None),
    }
}

/// The head that a block makes, unless what is stored of it cannot be one. Nobody is handed, and nothing is signed
/// as a head, what is not the root over the blocks.
pub async fn checked(db: &mut impl Access, row: &BlockRow) -> Result<Head, Error> {
    let blocks = u64::try_from(row.block).unwrap_or_default() + 1;
    let wanted = peaks(blocks);
    let nodes = seal_nodes::list(db, &wanted).await?;
    let hashes: Option<Vec<_>> = wanted.iter().map(|node| nodes.get(node).copied()).collect();
    let root = hashes.map(|hashes| bag(hashes.into_iter()));
    let last = row.parse().map(|block| block.hash()).ok();
    let leaf = seal_nodes::find_leaf(db, row.block).await?;
    match (root, Hash::parse(&row.head)) {
        (Some(root), Ok(head)) if root == head && last.is_some() && last == leaf => Ok(Head {
            blocks,
            postings: u64::try_from(row.last_sequence()).unwrap_or_default(),
            root,
            sealed_at: row.sealed_at,
        }),
        _ => Err(Error::HeadDiverged(blocks)),
    }
}

/// Proves that one head has grown out of another; `second` 0 means the newest.
pub async fn prove(state: &State, first: u64, second: u64) -> Result<Consistency, Error> {
    let mut db = state.platform.snapshot().await?;
    let last = seal_blocks::find_last(&mut db).await?;
    let blocks = last.map_or(0, |last| u64::try_from(last.block).unwrap_or_default() + 1);
    let second = if second == 0 { blocks } else { second };
    if first.max(second) > blocks {
        return Err(Error::HeadUnknown(blocks));
    }
    let first = head_of(&mut db, first).await?;
    let second = head_of(&mut db, second).await?;
    let groups = consistency::beside(first.blocks, second.blocks);
    let nodes = seal_nodes::list(&mut db, &groups.concat()).await?;
    let bagged = |group: &Vec<_>| {
        let hashes: Option<Vec<_>> = group.iter().map(|node| nodes.get(node).copied()).collect();
        hashes.map(|hashes| bag(hashes.into_iter()))
    };
    let path: Option<Vec<_>> = groups.iter().map(bagged).collect();
    let tree = |head: &Head| Tree {
        size: head.blocks,
        root: head.root,
    };
    // Nobody is handed a proof that does not hold.
    let path = path.filter(|path| consistency::verify(tree(&first), tree(&second), path).is_ok());
    let path = path.ok_or(Error::HeadDiverged(second.blocks))?;
    Ok(Consistency {
        path,
        first,
        second,
    })
}

async fn head_of(db: &mut impl Access, blocks: u64) -> Result<Head, Error> {
    let diverged = Error::HeadDiverged(blocks);
    let row = seal_blocks::find(db, signed(blocks) - 1).await?;
    checked(db, &row.ok_or(diverged)?).await
}
