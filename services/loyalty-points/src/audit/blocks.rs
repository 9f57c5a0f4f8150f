//! Replays the chain of blocks: each posting against its seal, each block against the one before.

use super::divergence::{Kind, Stop, Where, diverged};
use super::leaf;
use super::verify::{KnownHead, Replay};
use crate::domain::chain::Block;
use crate::domain::merkle::{self, Hash, Node, bag, leaf_hash, peaks};
use crate::domain::signing::Head;
use crate::store::entries::EntryRow;
use crate::store::postings::PostingRow;
use crate::store::seal_blocks::{self, BlockRow};
use crate::store::seals::{self, SealRow};
use crate::store::{replay, seal_nodes};

impl Replay {
    /// Replays the chain up to the block that was the last when the replay began.
    pub(super) async fn blocks(
        &mut self,
        last: Option<&BlockRow>,
        known: Option<KnownHead>,
    ) -> Result<Option<Head>, Stop> {
        let blocks = last.map_or(0, |last| last.block + 1);
        if let Some(known) = known.filter(|known| known.blocks > blocks) {
            let description = format!("it has {} blocks, the ledger {blocks}", known.blocks);
            return Err(diverged(Kind::HeadUnknown, Where::default(), description));
        }
        let (mut before, mut newest) = (None, None);
        // The complete subtrees that the tree of blocks consists of so far.
        let mut tree = Vec::new();
        for number in 0..blocks {
            let (block, row) = self.block(number, before.as_ref()).await?;
            let (head, made) = grow(&mut tree, &block);
            let at = || at_block(number, row.first_sequence);
            let wanted: Vec<_> = made.iter().map(|(node, _)| *node).collect();
            let stored = seal_nodes::list(&mut self.platform.reader().await?, &wanted).await?;
            if made
                .iter()
                .any(|(node, hash)| stored.get(node) != Some(hash))
            {
                let description =
                    "the subtrees that the block completes are not stored as they are";
                return Err(diverged(Kind::BlockBroken, at(), description));
            }
            if row.head != head.0 {
                let description = "the head is not the root over the blocks up to here";
                return Err(diverged(Kind::BlockBroken, at(), description));
            }
            if let Some(known) = known
                && known.blocks == number + 1
                && known.root != head
            {
                let description = format!("after so many blocks the root is {head}");
                return Err(diverged(Kind::HeadUnknown, at(), description));
            }
            self.verified.blocks += 1;
            self.verified.postings += row.postings;
            self.tell().await?;
            newest = Some(Head {
                blocks: block.number + 1,
                postings: block.first_sequence + block.postings - 1,
                root: head,
                sealed_at: row.sealed_at,
            });
            before = Some(block);
        }
        Ok(newest)
    }

    /// Replays one block with its postings.
    async fn block(&self, number: i64, before: Option<&Block>) -> Result<(Block, BlockRow), Stop> {
        let mut db = self.platform.reader().await?;
        let first = before.map_or(1, |block| {
            seals::signed(block.first_sequence + block.postings)
        });
        let Some(row) = seal_blocks::find(&mut db, number).await? else {
            let description = "the block is gone";
            return Err(diverged(
                Kind::BlockBroken,
                at_block(number, first),
                description,
            ));
        };
        let sealed = seals::list(&mut db, number).await?;
        let postings = seals::list_postings(&mut db, number).await?;
        let keys: Vec<_> = sealed.iter().map(|seal| seal.key.clone()).collect();
        let entries = seals::list_entries(&mut db, &keys).await?;
        let memberless = replay::find_memberless(&mut db, number).await?;
        drop(db);

        let mut leaves = Vec::with_capacity(sealed.len());
        for (sequence, seal) in (first..).zip(&sealed) {
            if seal.sequence != sequence {
                let description = format!("there is no seal {sequence}");
                let at = at_block(number, sequence);
                return Err(diverged(Kind::BlockBroken, at, description));
            }
            let Some(posting) = postings.get(&seal.key) else {
                let description = "the posting was sealed and is gone";
                return Err(diverged(Kind::PostingMissing, at_seal(seal), description));
            };
            let lines = entries.get(&seal.key).map_or(&[][..], Vec::as_slice);
            leaves.push(check(seal, posting, lines)?);
            if memberless.as_ref() == Some(&seal.key) {
                let at = Where {
                    program_id: posting.program_id.clone(),
                    ..at_seal(seal)
                };
                return Err(diverged(
                    Kind::Balance,
                    at,
                    "it is of a member that there is not",
                ));
            }
        }
        let block = Block::after(before, &leaves);
        if row.parse().as_ref() != Ok(&block) {
            let description = "the block is not what follows from its postings and the one before";
            let at = at_block(number, first);
            return Err(diverged(Kind::BlockBroken, at, description));
        }
        Ok((block, row))
    }
}

/// Compares a posting with its seal; returns its leaf.
fn check(seal: &SealRow, posting: &PostingRow, lines: &[EntryRow]) -> Result<Hash, Stop> {
    let leaf = leaf_hash(&leaf::bytes(seal.sequence, posting, lines));
    if seal.leaf != leaf.0 {
        let description = format!("the posting as it is has the leaf {leaf}, another was sealed");
        return Err(diverged(Kind::PostingChanged, at_seal(seal), description));
    }
    let sum: i64 = lines.iter().map(|line| line.points).sum();
    let own = |line: &&EntryRow| matches!(line.account.as_str(), "member" | "held" | "debt");
    let points: i64 = lines.iter().filter(own).map(|line| line.points).sum();
    if sum != 0 || points != posting.points {
        let description = format!(
            "the lines add up to {sum} and give the member {points}, told are {}",
            posting.points
        );
        let at = at_seal(seal);
        return Err(diverged(Kind::PostingUnbalanced, at, description));
    }
    Ok(leaf)
}

/// Adds a block to a tree of which only the edge is kept; returns the new root and the subtrees it completes.
fn grow(edge: &mut Vec<(Node, Hash)>, block: &Block) -> (Hash, Vec<(Node, Hash)>) {
    let find = |wanted| {
        let found = edge.iter().find(|(node, _)| *node == wanted);
        found.map(|(_, hash)| *hash)
    };
    let made = merkle::completed(block.number, block.hash(), find)
        .expect("the edge holds every subtree that is complete and not part of another");
    edge.extend(made.iter().copied());
    let wanted = peaks(block.number + 1);
    edge.retain(|(node, _)| wanted.contains(node));
    (bag(edge.iter().map(|(_, hash)| *hash)), made)
}

fn at_block(block: i64, sequence: i64) -> Where {
    Where {
        sequence,
        block,
        ..Where::default()
    }
}

fn at_seal(seal: &SealRow) -> Where {
    Where {
        sequence: seal.sequence,
        block: seal.block,
        customer_id: seal.key.customer_id.clone(),
        posting_id: seal.key.posting_id.clone(),
        ..Where::default()
    }
}
