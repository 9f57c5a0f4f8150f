//! Seals postings in blocks, off the hot path.

use std::time::Duration;

use common::db::Tx;
use common::platform::Platform;
use tokio_util::sync::CancellationToken;

use super::leaf;
use crate::domain::chain::{Block, POSTINGS_PER_BLOCK_MAX};
use crate::domain::merkle::{self, Hash, bag, leaf_hash, peaks};
use crate::store::postings::PostingRow;
use crate::store::replay;
use crate::store::seal_blocks::{self, BlockRow};
use crate::store::seal_nodes;
use crate::store::seals::{self, NewSeal};

/// Between looks at the feed. Longer makes fewer, larger blocks.
const SEAL_EVERY: Duration = Duration::from_secs(1);

/// Seals until stopped.
pub async fn run(platform: Platform, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(SEAL_EVERY))
        .await
        .is_some()
    {
        if let Err(error) = sequenced(&platform).await {
            tracing::warn!(%error, "sealing the ledger failed, trying again");
        }
    }
}

/// Seals every posting that is committed now; returns how many it sealed itself.
pub async fn now(platform: &Platform) -> Result<i64, common::Error> {
    // Asking for the feed's head gives whatever is committed its position.
    platform.feed().head().await?;
    sequenced(platform).await
}

/// How many postings that are committed now are not sealed.
pub async fn count(platform: &Platform) -> Result<i64, common::Error> {
    replay::count_unsealed(&mut platform.reader().await?).await
}

/// Seals what has its position in the feed.
async fn sequenced(platform: &Platform) -> Result<i64, common::Error> {
    let mut sealed = 0;
    loop {
        // Looked at first without the lock: on SQLite it would keep everybody else from writing.
        let progress = seals::get_progress(&mut platform.reader().await?).await?;
        if progress.sealed >= progress.position {
            return Ok(sealed);
        }
        let mut tx = platform.tx().await?;
        sealed += step(&mut tx).await?;
        tx.commit().await?;
    }
}

/// Seals one block at most, under the lock.
async fn step(tx: &mut Tx) -> Result<i64, common::Error> {
    let from = seals::lock(tx).await?;
    let position = seals::get_progress(tx).await?.position;
    let mut to = position.min(from + POSTINGS_PER_BLOCK_MAX);
    let mut postings = seals::list_unsealed_between(tx, from, to).await?;
    // Asked after reading: what the feed forgot meanwhile is not taken for empty.
    let floor = seals::get_progress(tx).await?.floor;
    if from < floor {
        postings = seals::list_unsealed(tx, POSTINGS_PER_BLOCK_MAX).await?;
        let all = seals::signed(postings.len() as u64) < POSTINGS_PER_BLOCK_MAX;
        to = if all { floor } else { from };
    }
    if !postings.is_empty() {
        append(tx, &postings).await?;
    }
    seals::update_head(tx, to.max(from)).await?;
    Ok(seals::signed(postings.len() as u64))
}

async fn append(tx: &mut Tx, postings: &[PostingRow]) -> Result<(), common::Error> {
    let keys: Vec<_> = postings.iter().map(seals::key).collect();
    let entries = seals::list_entries(tx, &keys).await?;
    let before = seal_blocks::find_last(tx).await?;
    let first = before.as_ref().map_or(1, |row| row.last_sequence() + 1);
    let before = before.map(|row| row.parse()).transpose();
    let before = before.map_err(|violation| broken(&format!("the last block {violation}")))?;

    let mut leaves = Vec::with_capacity(postings.len());
    let mut rows = Vec::with_capacity(postings.len());
    for (sequence, (posting, key)) in (first..).zip(postings.iter().zip(keys)) {
        let lines = entries.get(&key).map_or(&[][..], Vec::as_slice);
        let leaf = leaf_hash(&leaf::bytes(sequence, posting, lines));
        leaves.push(leaf);
        rows.push(NewSeal {
            sequence,
            customer_id: key.customer_id,
            posting_id: key.posting_id,
            leaf: leaf.to_string(),
        });
    }
    let block = Block::after(before.as_ref(), &leaves);
    let head = grow(tx, &block).await?;
    let row = BlockRow::new(&block, head, tx.now());
    seal_blocks::insert(tx, &row).await?;
    seals::insert(tx, row.block, &rows).await
}

/// Appends a block to the tree of blocks; returns the new root.
async fn grow(tx: &mut Tx, block: &Block) -> Result<Hash, common::Error> {
    let index = block.number;
    let mut known = seal_nodes::list(tx, &peaks(index)).await?;
    let made = merkle::completed(index, block.hash(), |node| known.get(&node).copied());
    let made = made.ok_or_else(|| broken("a subtree over the blocks is missing"))?;
    seal_nodes::insert(tx, &made).await?;
    known.extend(made);
    let hash = |node| known.get(&node).copied();
    let hashes: Option<Vec<_>> = peaks(index + 1).into_iter().map(hash).collect();
    let hashes = hashes.ok_or_else(|| broken("a subtree over the blocks is missing"))?;
    Ok(bag(hashes.into_iter()))
}

fn broken(what: &str) -> common::Error {
    common::Error::Internal(format!("the seals are damaged: {what}"))
}
