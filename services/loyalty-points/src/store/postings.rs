//! Postings: append-only.

use common::db::{Access, Sql, Tx, json_rows};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde::Serialize;

use super::accounts::{AccountKey, MemberKey};
use crate::domain::currency::Wallet;

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
    /// What it was decided on, where its lines do not tell: the JSON of a `Decision`.
    pub decision: Option<String>,
    /// Who asked for it; absent: the service itself.
    pub actor: Option<String>,
    /// Who else approved of it.
    pub approver: Option<String>,
    /// The currency of its points.
    #[sqlx(rename = "currency")]
    pub wallet: Wallet,
}

impl PostingRow {
    /// The account it is posted to.
    pub fn account(&self) -> AccountKey<'_> {
        AccountKey {
            customer_id: &self.customer_id,
            program_id: &self.program_id,
            wallet: &self.wallet,
        }
    }

    /// The permanent key, of a posting that has a source.
    pub fn source_key(&self) -> Option<SourceKey> {
        Some(SourceKey {
            program_id: self.program_id.clone(),
            source_type: self.source_type.clone()?,
            source_ref: self.source_ref.clone()?,
            rule: self.rule.clone()?,
        })
    }
}

/// Appends postings; false, and nothing may be kept, if the source of one was posted by its rule before.
pub async fn insert(tx: &mut Tx, postings: &[PostingRow]) -> Result<bool, common::Error> {
    const INSERT: Sql = Sql {
        postgres: "
            INSERT INTO postings
                (customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
                 rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at,
                 decision, actor, approver, currency)
            SELECT customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
                   rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at,
                   decision, actor, approver, currency
            FROM json_to_recordset(CAST($1 AS json))
                AS posting (customer_id TEXT, posting_id TEXT, program_id TEXT, revision BIGINT,
                            kind TEXT, points BIGINT, source_type TEXT, source_ref TEXT, rule TEXT,
                            reason_code TEXT, reason TEXT, reverses TEXT, counterparty TEXT,
                            occurred_at BIGINT, posted_at BIGINT, decision TEXT, actor TEXT,
                            approver TEXT, currency TEXT)
            ORDER BY program_id, source_type, source_ref, rule
            ON CONFLICT (program_id, source_type, source_ref, rule) DO NOTHING",
        sqlite: "
            INSERT INTO postings
                (customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
                 rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at,
                 decision, actor, approver, currency)
            SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                   value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
                   value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16, value ->> 17,
                   value ->> 18
            FROM jsonb_each($1)
            WHERE TRUE
            ON CONFLICT (program_id, source_type, source_ref, rule) DO NOTHING",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        customer_id: &'a str,
        posting_id: &'a str,
        program_id: &'a str,
        revision: i64,
        kind: &'a str,
        points: i64,
        source_type: Option<&'a str>,
        source_ref: Option<&'a str>,
        rule: Option<&'a str>,
        reason_code: Option<&'a str>,
        reason: &'a str,
        reverses: Option<&'a str>,
        counterparty: Option<&'a str>,
        occurred_at: i64,
        posted_at: i64,
        decision: Option<&'a str>,
        actor: Option<&'a str>,
        approver: Option<&'a str>,
        currency: &'a str,
    }
    let rows: Vec<_> = postings
        .iter()
        .map(|posting| Row {
            customer_id: posting.customer_id.as_str(),
            posting_id: &posting.posting_id,
            program_id: &posting.program_id,
            revision: posting.revision,
            kind: &posting.kind,
            points: posting.points,
            source_type: posting.source_type.as_deref(),
            source_ref: posting.source_ref.as_deref(),
            rule: posting.rule.as_deref(),
            reason_code: posting.reason_code.as_deref(),
            reason: &posting.reason,
            reverses: posting.reverses.as_deref(),
            counterparty: posting.counterparty.as_ref().map(CustomerId::as_str),
            occurred_at: posting.occurred_at.micros(),
            posted_at: posting.posted_at.micros(),
            decision: posting.decision.as_deref(),
            actor: posting.actor.as_deref(),
            approver: posting.approver.as_deref(),
            currency: posting.wallet.as_stored(),
        })
        .collect();
    let text = INSERT.text(tx.dialect());
    let rows = json_rows(tx.dialect(), &rows);
    let inserted = on!(tx, |conn| sqlx::query(text)
        .bind(rows)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(inserted == postings.len() as u64)
}

/// The permanent key of a posting that has a source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct SourceKey {
    /// The program.
    pub program_id: String,
    /// Kind of the source.
    pub source_type: String,
    /// The source.
    pub source_ref: String,
    /// The rule.
    pub rule: String,
}

/// Ids of the postings with some keys, of any customers.
pub async fn list_by_source(
    db: &mut impl Access,
    keys: &[SourceKey],
) -> Result<Vec<(SourceKey, String)>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT p.program_id, p.source_type, p.source_ref, p.rule, p.posting_id
            FROM json_to_recordset(CAST($1 AS json))
                AS wanted (program_id TEXT, source_type TEXT, source_ref TEXT, rule TEXT)
            CROSS JOIN LATERAL (
                SELECT program_id, source_type, source_ref, rule, posting_id
                FROM postings
                WHERE program_id = wanted.program_id
                    AND source_type = wanted.source_type
                    AND source_ref = wanted.source_ref
                    AND rule = wanted.rule
                OFFSET 0
            ) AS p",
        sqlite: "
            SELECT p.program_id, p.source_type, p.source_ref, p.rule, p.posting_id
            FROM jsonb_each($1) AS wanted
            JOIN postings p
                ON p.program_id = wanted.value ->> 0
                AND p.source_type = wanted.value ->> 1
                AND p.source_ref = wanted.value ->> 2
                AND p.rule = wanted.value ->> 3",
    };
    type Row = (String, String, String, String, String);
    let text = SELECT.text(db.dialect());
    let keys = json_rows(db.dialect(), keys);
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(text)
        .bind(keys)
        .fetch_all(conn)
        .await)?;
    let found = |(program_id, source_type, source_ref, rule, posting_id)| {
        let key = SourceKey {
            program_id,
            source_type,
            source_ref,
            rule,
        };
        (key, posting_id)
    };
    Ok(rows.into_iter().map(found).collect())
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
               decision, actor, approver, currency
        FROM postings
        WHERE customer_id = $1 AND program_id = $2 AND posting_id = $3";
    Ok(on!(db, |conn| sqlx::query_as::<_, PostingRow>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(posting_id)
        .fetch_optional(conn)
        .await)?)
}

/// A member's postings in one currency or in all of them, before a revision, the latest first.
pub async fn list(
    db: &mut impl Access,
    of: MemberKey<'_>,
    before: i64,
    limit: i64,
) -> Result<Vec<PostingRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
               rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at,
               decision, actor, approver, currency
        FROM postings
        WHERE customer_id = $1
            AND program_id = $2
            AND ($3 IS NULL OR currency = $3)
            AND revision < $4
        ORDER BY revision DESC
        LIMIT $5";
    Ok(on!(db, |conn| sqlx::query_as::<_, PostingRow>(SELECT)
        .bind(of.customer_id)
        .bind(of.program_id)
        .bind(of.wallet)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}
