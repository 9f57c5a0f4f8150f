//! Postings: append-only.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

/// A posting as stored, without its entries.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PostingRow {
    /// The member's customer.
    pub customer_id: CustomerId,
    /// Its identifier.
    pub posting_id: String,
    /// The program.
    pub program_id: String,
    /// The customer's revision with it.
    pub revision: i64,
    /// What it is.
    pub kind: String,
    /// What it does to points less debt.
    pub points: i64,
    /// Kind of what it was posted for.
    pub source_type: Option<String>,
    /// What it was posted for.
    pub source_ref: Option<String>,
    /// The rule that decided it.
    pub rule: Option<String>,
    /// Why, as reports count it.
    pub reason_code: Option<String>,
    /// Why.
    pub reason: String,
    /// The posting it reverses.
    pub reverses: Option<String>,
    /// The other member of a transfer.
    pub counterparty: Option<CustomerId>,
    /// When what it is for happened.
    pub occurred_at: Timestamp,
    /// When it was written.
    pub posted_at: Timestamp,
    /// Who adjusted.
    pub actor: Option<String>,
    /// Who else approved of it.
    pub approver: Option<String>,
}

/// Appends a posting; false if its source was posted by this rule before.
pub async fn insert(tx: &mut Tx, posting: &PostingRow) -> Result<bool, common::Error> {
    const INSERT: &str = "
        INSERT INTO postings
            (customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
             rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at, actor, approver)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        ON CONFLICT (program_id, source_type, source_ref, rule) DO NOTHING";
    let inserted = on!(tx, |conn| sqlx::query(INSERT)
        .bind(&posting.customer_id)
        .bind(&posting.posting_id)
        .bind(&posting.program_id)
        .bind(posting.revision)
        .bind(&posting.kind)
        .bind(posting.points)
        .bind(&posting.source_type)
        .bind(&posting.source_ref)
        .bind(&posting.rule)
        .bind(&posting.reason_code)
        .bind(&posting.reason)
        .bind(&posting.reverses)
        .bind(&posting.counterparty)
        .bind(posting.occurred_at)
        .bind(posting.posted_at)
        .bind(&posting.actor)
        .bind(&posting.approver)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(inserted == 1)
}

/// The permanent key of a posting that has a source.
#[derive(Debug, Clone, Copy)]
pub struct SourceKey<'a> {
    /// The program.
    pub program_id: &'a str,
    /// Kind of the source.
    pub source_type: &'a str,
    /// The source.
    pub source_ref: &'a str,
    /// The rule.
    pub rule: &'a str,
}

/// Id of the posting with a key, of any customer.
pub async fn find_by_source(
    db: &mut impl Access,
    key: SourceKey<'_>,
) -> Result<Option<String>, common::Error> {
    const SELECT: &str = "
        SELECT posting_id
        FROM postings
        WHERE program_id = $1 AND source_type = $2 AND source_ref = $3 AND rule = $4";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, String>(SELECT)
        .bind(key.program_id)
        .bind(key.source_type)
        .bind(key.source_ref)
        .bind(key.rule)
        .fetch_optional(conn)
        .await)?)
}

/// A member's posting, if there is one with that id.
pub async fn find(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    posting_id: &str,
) -> Result<Option<PostingRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
               rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at,
               actor, approver
        FROM postings
        WHERE customer_id = $1 AND program_id = $2 AND posting_id = $3";
    Ok(on!(db, |conn| sqlx::query_as::<_, PostingRow>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(posting_id)
        .fetch_optional(conn)
        .await)?)
}

/// A member's postings before a revision, the latest first.
pub async fn list(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    before: i64,
    limit: i64,
) -> Result<Vec<PostingRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
               rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at,
               actor, approver
        FROM postings
        WHERE customer_id = $1 AND program_id = $2 AND revision < $3
        ORDER BY revision DESC
        LIMIT $4";
    Ok(on!(db, |conn| sqlx::query_as::<_, PostingRow>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}
