//! Seals of postings: append-only.

use std::collections::BTreeMap;

use common::db::{Access, Sql, Tx, json_rows};
use common::ids::CustomerId;
use common::on;
use serde::Serialize;

use super::entries::EntryRow;
use super::postings::PostingRow;

/// A posting, by what it is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, sqlx::FromRow)]
pub struct PostingKey {
    /// The member's customer.
    pub customer_id: String,
    /// The posting.
    pub posting_id: String,
}

/// A seal as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SealRow {
    /// The posting's place in the ledger, from 1.
    pub sequence: i64,
    /// The block.
    pub block: i64,
    /// The posting.
    #[sqlx(flatten)]
    pub key: PostingKey,
    /// Hash of the posting's bytes.
    pub leaf: Vec<u8>,
}

/// Counts are far from the end of the range.
pub fn signed(count: u64) -> i64 {
    i64::try_from(count).expect("a count of rows fits 63 bits")
}

/// Locks the head until the end of the transaction; returns up to where the feed is sealed.
pub async fn lock(tx: &mut Tx) -> Result<i64, common::Error> {
    const LOCK: Sql = Sql {
        postgres: "SELECT feed_position FROM seal_head WHERE part = 0 FOR UPDATE",
        sqlite: "SELECT feed_position FROM seal_head WHERE part = 0",
    };
    let text = LOCK.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query_scalar(text)
        .fetch_one(conn)
        .await)?)
}

/// Moves on in the feed.
pub async fn update_head(tx: &mut Tx, feed_position: i64) -> Result<(), common::Error> {
    const UPDATE: &str = "UPDATE seal_head SET feed_position = $1 WHERE part = 0";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(feed_position)
        .execute(conn)
        .await
        .map(drop))?)
}

/// How far the feed goes, what it has forgotten, and how much of it is sealed.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Progress {
    /// Position of its newest change.
    pub position: i64,
    /// Everything up to here is forgotten.
    pub floor: i64,
    /// Everything up to here is sealed.
    pub sealed: i64,
}

/// Where the feed and the seal are.
pub async fn get_progress(db: &mut impl Access) -> Result<Progress, common::Error> {
    const SELECT: &str = "
        SELECT f.position, f.floor, s.feed_position AS sealed
        FROM feed_head f
        JOIN seal_head s ON s.part = f.part
        WHERE f.part = 0";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .fetch_one(conn)
        .await)?)
}

/// The unsealed postings among the changes after a position and up to another, in the feed's order.
pub async fn list_unsealed_between(
    db: &mut impl Access,
    after: i64,
    to: i64,
) -> Result<Vec<PostingRow>, common::Error> {
    // A posting's event has the posting's revision, and no other event has.
    const SELECT: Sql = Sql {
        postgres: "
            SELECT p.customer_id, p.posting_id, p.program_id, p.revision, p.kind, p.points,
                   p.source_type, p.source_ref, p.rule, p.reason_code, p.reason, p.reverses,
                   p.counterparty, p.occurred_at, p.posted_at, p.decision,
                   p.actor, p.approver, p.currency
            FROM feed f
            CROSS JOIN LATERAL (
                SELECT customer_id, posting_id, program_id, revision, kind, points, source_type,
                       source_ref, rule, reason_code, reason, reverses, counterparty, occurred_at,
                       posted_at, decision, actor, approver, currency
                FROM postings
                WHERE postings.customer_id = f.customer_id AND postings.revision = f.revision
                OFFSET 0
            ) AS p
            WHERE f.position > $1
                AND f.position <= $2
                AND NOT EXISTS (
                    SELECT 1 FROM seals s
                    WHERE s.customer_id = p.customer_id AND s.posting_id = p.posting_id
                    OFFSET 0)
            ORDER BY f.position",
        sqlite: "
            SELECT p.customer_id, p.posting_id, p.program_id, p.revision, p.kind, p.points,
                   p.source_type, p.source_ref, p.rule, p.reason_code, p.reason, p.reverses,
                   p.counterparty, p.occurred_at, p.posted_at, p.decision,
                   p.actor, p.approver, p.currency
            FROM feed f
            JOIN postings p ON p.customer_id = f.customer_id AND p.revision = f.revision
            WHERE f.position > $1
                AND f.position <= $2
                AND NOT EXISTS (
                    SELECT 1 FROM seals s
                    WHERE s.customer_id = p.customer_id AND s.posting_id = p.posting_id)
            ORDER BY f.position",
    };
    let text = SELECT.text(db.dialect());
    Ok(on!(db, |conn| sqlx::query_as(text)
        .bind(after)
        .bind(to)
        .fetch_all(conn)
        .await)?)
}

/// The unsealed postings whatever the feed knows of them, those of a customer in order.
pub async fn list_unsealed(
    db: &mut impl Access,
    limit: i64,
) -> Result<Vec<PostingRow>, common::Error> {
    const SELECT: &str = "
        SELECT p.customer_id, p.posting_id, p.program_id, p.revision, p.kind, p.points,
               p.source_type, p.source_ref, p.rule, p.reason_code, p.reason, p.reverses,
               p.counterparty, p.occurred_at, p.posted_at, p.decision,
               p.actor, p.approver, p.currency
        FROM postings p
        WHERE NOT EXISTS (
            SELECT 1 FROM seals s
            WHERE s.customer_id = p.customer_id AND s.posting_id = p.posting_id)
        ORDER BY p.customer_id, p.revision
        LIMIT $1";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// The lines of postings of any customers, in order.
pub async fn list_entries(
    db: &mut impl Access,
    postings: &[PostingKey],
) -> Result<BTreeMap<PostingKey, Vec<EntryRow>>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT e.customer_id, e.posting_id, e.line, e.account, e.lot_id, e.hold_id, e.points,
                   e.effective_at
            FROM json_to_recordset(CAST($1 AS json)) AS wanted (customer_id TEXT, posting_id TEXT)
            CROSS JOIN LATERAL (
                SELECT customer_id, posting_id, line, account, lot_id, hold_id, points, effective_at
                FROM entries
                WHERE customer_id = wanted.customer_id AND posting_id = wanted.posting_id
                OFFSET 0
            ) AS e
            ORDER BY e.customer_id, e.posting_id, e.line",
        sqlite: "
            SELECT e.customer_id, e.posting_id, e.line, e.account, e.lot_id, e.hold_id, e.points,
                   e.effective_at
            FROM jsonb_each($1) AS wanted
            JOIN entries e
                ON e.customer_id = wanted.value ->> 0
                AND e.posting_id = wanted.value ->> 1
            ORDER BY e.customer_id, e.posting_id, e.line",
    };
    #[derive(sqlx::FromRow)]
    struct Row {
        #[sqlx(flatten)]
        key: PostingKey,
        #[sqlx(flatten)]
        entry: EntryRow,
    }
    let text = SELECT.text(db.dialect());
    let postings = json_rows(db.dialect(), postings);
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(text)
        .bind(postings)
        .fetch_all(conn)
        .await)?;
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        found.entry(row.key).or_default().push(row.entry);
    }
    Ok(found)
}

/// The postings that a block seals, as far as they are there.
pub async fn list_postings(
    db: &mut impl Access,
    block: i64,
) -> Result<BTreeMap<PostingKey, PostingRow>, common::Error> {
    const SELECT: &str = "
        SELECT p.customer_id, p.posting_id, p.program_id, p.revision, p.kind, p.points,
               p.source_type, p.source_ref, p.rule, p.reason_code, p.reason, p.reverses,
               p.counterparty, p.occurred_at, p.posted_at, p.decision,
               p.actor, p.approver, p.currency
        FROM seals s
        JOIN postings p ON p.customer_id = s.customer_id AND p.posting_id = s.posting_id
        WHERE s.block = $1
        ORDER BY s.sequence";
    let rows = on!(db, |conn| sqlx::query_as::<_, PostingRow>(SELECT)
        .bind(block)
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(|row| (key(&row), row)).collect())
}

/// What a posting is found by.
pub fn key(posting: &PostingRow) -> PostingKey {
    PostingKey {
        customer_id: posting.customer_id.as_str().to_owned(),
        posting_id: posting.posting_id.clone(),
    }
}

/// A seal to write.
#[derive(Debug, Serialize)]
pub struct NewSeal {
    /// The posting's place in the ledger.
    pub sequence: i64,
    /// The member's customer.
    pub customer_id: String,
    /// The posting.
    pub posting_id: String,
    /// Hash of the posting's bytes, in hexadecimal digits.
    pub leaf: String,
}

/// Appends the seals of a block, all in one statement.
pub async fn insert(tx: &mut Tx, block: i64, seals: &[NewSeal]) -> Result<(), common::Error> {
    const INSERT: Sql = Sql {
        postgres: "
            INSERT INTO seals (sequence, block, customer_id, posting_id, leaf)
            SELECT sequence, $1, customer_id, posting_id, decode(leaf, 'hex')
            FROM json_to_recordset(CAST($2 AS json))
                AS seal (sequence BIGINT, customer_id TEXT, posting_id TEXT, leaf TEXT)",
        sqlite: "
            INSERT INTO seals (sequence, block, customer_id, posting_id, leaf)
            SELECT value ->> 0, $1, value ->> 1, value ->> 2, unhex(value ->> 3)
            FROM jsonb_each($2)",
    };
    let text = INSERT.text(tx.dialect());
    let seals = json_rows(tx.dialect(), seals);
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(block)
        .bind(seals)
        .execute(conn)
        .await
        .map(drop))?)
}

/// The seals of a block, in order.
pub async fn list(db: &mut impl Access, block: i64) -> Result<Vec<SealRow>, common::Error> {
    const SELECT: &str = "
        SELECT sequence, block, customer_id, posting_id, leaf
        FROM seals
        WHERE block = $1
        ORDER BY sequence";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(block)
        .fetch_all(conn)
        .await)?)
}

/// The seal of a posting, if it has one.
pub async fn find(
    db: &mut impl Access,
    customer_id: &CustomerId,
    posting_id: &str,
) -> Result<Option<SealRow>, common::Error> {
    const SELECT: &str = "
        SELECT sequence, block, customer_id, posting_id, leaf
        FROM seals
        WHERE customer_id = $1 AND posting_id = $2";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(posting_id)
        .fetch_optional(conn)
        .await)?)
}
