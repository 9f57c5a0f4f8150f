//! Blocks of sealed postings: append-only.

use common::db::{Access, Tx};
use common::on;
use common::time::Timestamp;

use super::seals::signed;
use crate::domain::chain::Block;
use crate::domain::merkle::Hash;

/// A block as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct BlockRow {
    /// From 0.
    pub block: i64,
    /// Sequence number of its first posting.
    pub first_sequence: i64,
    /// How many postings.
    pub postings: i64,
    /// Hash of the block before.
    pub previous: Vec<u8>,
    /// Root of its leaves.
    pub root: Vec<u8>,
    /// The chain of postings after its last one.
    pub link: Vec<u8>,
    /// Root over the blocks up to this one.
    pub head: Vec<u8>,
    /// When.
    pub sealed_at: Timestamp,
}

impl BlockRow {
    /// A block and the head that it makes, as stored.
    pub fn new(block: &Block, head: Hash, sealed_at: Timestamp) -> Self {
        Self {
            block: signed(block.number),
            first_sequence: signed(block.first_sequence),
            postings: signed(block.postings),
            previous: block.previous.0.to_vec(),
            root: block.root.0.to_vec(),
            link: block.link.0.to_vec(),
            head: head.0.to_vec(),
            sealed_at,
        }
    }

    /// The block, if what is stored is one.
    pub fn parse(&self) -> Result<Block, String> {
        let count = |number: i64| u64::try_from(number).map_err(|_| "is negative".to_owned());
        Ok(Block {
            number: count(self.block)?,
            first_sequence: count(self.first_sequence)?,
            postings: count(self.postings)?,
            previous: Hash::parse(&self.previous)?,
            root: Hash::parse(&self.root)?,
            link: Hash::parse(&self.link)?,
        })
    }

    /// Sequence number of its last posting.
    pub fn last_sequence(&self) -> i64 {
        self.first_sequence + self.postings - 1
    }
}

/// The newest block.
pub async fn find_last(db: &mut impl Access) -> Result<Option<BlockRow>, common::Error> {
    const SELECT: &str = "
        SELECT block, first_sequence, postings, previous, root, link, head, sealed_at
        FROM seal_blocks
        ORDER BY block DESC
        LIMIT 1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .fetch_optional(conn)
        .await)?)
}

/// A block, if there is one with that number.
pub async fn find(db: &mut impl Access, block: i64) -> Result<Option<BlockRow>, common::Error> {
    const SELECT: &str = "
        SELECT block, first_sequence, postings, previous, root, link, head, sealed_at
        FROM seal_blocks
        WHERE block = $1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(block)
        .fetch_optional(conn)
        .await)?)
}

/// Appends a block.
pub async fn insert(tx: &mut Tx, row: &BlockRow) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO seal_blocks
            (block, first_sequence, postings, previous, root, link, head, sealed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(row.block)
        .bind(row.first_sequence)
        .bind(row.postings)
        .bind(&row.previous)
        .bind(&row.root)
        .bind(&row.link)
        .bind(&row.head)
        .bind(row.sealed_at)
        .execute(conn)
        .await
        .map(drop))?)
}
