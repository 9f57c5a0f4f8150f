//! Proves that a posting is in the ledger.

use common::db::Access;

use super::{heads, leaf};
use crate::State;
use crate::domain::merkle::{self, Hash, Proof, Tree, bag, siblings};
use crate::domain::signing::Head;
use crate::error::Error;
use crate::ledger::reads::Of;
use crate::members;
use crate::store::postings::{self, PostingRow};
use crate::store::seal_blocks::{self, BlockRow};
use crate::store::seal_nodes;
use crate::store::seals::{self, SealRow};

/// Leads from a member's posting to the newest head, which is returned with it.
pub async fn prove(state: &State, of: &Of, posting_id: &str) -> Result<(Proof, Head), Error> {
    let mut db = state.platform.snapshot().await?;
    members::get(state, &mut db, &of.program_id, &of.customer_id).await?;
    let (customer_id, program_id) = (&of.customer_id, of.program_id.as_str());
    let posting = postings::find(&mut db, customer_id, program_id, posting_id).await?;
    let posting = posting.ok_or_else(|| Error::TransactionNotFound(posting_id.to_owned()))?;
    let seal = seals::find(&mut db, customer_id, posting_id).await?;
    let seal = seal.ok_or_else(|| Error::NotSealed(posting_id.to_owned()))?;
    let last = seal_blocks::find_last(&mut db).await?;
    let diverged = || Error::LedgerDiverged(posting_id.to_owned());
    let last = last.ok_or_else(diverged)?;
    let proof = assemble(&mut db, &posting, &seal, &last).await?;
    // Nobody is handed a proof that does not hold.
    let proof = proof.filter(|proof| merkle::verify(proof).is_ok());
    let proof = proof.ok_or_else(diverged)?;
    Ok((proof, heads::checked(&mut db, &last).await?))
}

/// `None` if something that it needs is gone or malformed.
async fn assemble(
    db: &mut impl Access,
    posting: &PostingRow,
    seal: &SealRow,
    last: &BlockRow,
) -> Result<Option<Proof>, Error> {
    let entries = seals::list_entries(db, std::slice::from_ref(&seal.key)).await?;
    let lines = entries.get(&seal.key).map_or(&[][..], Vec::as_slice);
    let block = seal_blocks::find(db, seal.block).await?;
    let block = block.and_then(|row| row.parse().ok());
    let leaves = seals::list(db, seal.block).await?;
    let leaves: Result<Vec<_>, _> = leaves.iter().map(|row| Hash::parse(&row.leaf)).collect();
    let (Some(block), Ok(leaves)) = (block, leaves) else {
        return Ok(None);
    };
    let sequence = u64::try_from(seal.sequence).unwrap_or_default();
    let index = sequence.checked_sub(block.first_sequence);
    let Some(index) = index.filter(|index| *index < leaves.len() as u64) else {
        return Ok(None);
    };
    let head_blocks = u64::try_from(last.block).unwrap_or_default() + 1;
    if block.number >= head_blocks {
        return Ok(None);
    }
    let beside = siblings(block.number, head_blocks);
    let nodes = seal_nodes::list(db, &beside.concat()).await?;
    let bagged = |complete: &Vec<merkle::Node>| {
        let hashes = complete.iter().map(|node| nodes.get(node).copied());
        let hashes: Option<Vec<_>> = hashes.collect();
        hashes.map(|hashes| bag(hashes.into_iter()))
    };
    let block_path: Option<Vec<_>> = beside.iter().map(bagged).collect();
    let (Some(block_path), Ok(head_root)) = (block_path, Hash::parse(&last.head)) else {
        return Ok(None);
    };
    Ok(Some(Proof {
        leaf: leaf::bytes(seal.sequence, posting, lines),
        sequence,
        leaf_path: Tree::of(leaves).path(index),
        block,
        block_path,
        head_blocks,
        head_root,
    }))
}
