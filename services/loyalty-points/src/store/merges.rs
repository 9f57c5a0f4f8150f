//! Merges of members.

use common::db::{Access, Sql, Tx, json_list};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

/// A merge as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MergeRow {
    /// The program.
    pub program_id: String,
    /// Its identifier.
    pub merge_id: String,
    /// Who took the other one in.
    pub survivor: CustomerId,
    /// Who was taken in.
    pub absorbed: CustomerId,
    /// Who asked for it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub merged_at: Timestamp,
    /// When it was undone.
    pub unmerged_at: Option<Timestamp>,
    /// Who asked for that.
    pub unmerge_actor: Option<String>,
    /// Why.
    pub unmerge_reason: Option<String>,
}

/// One merge, if it is known.
pub async fn find(
    db: &mut impl Access,
    program_id: &str,
    merge_id: &str,
) -> Result<Option<MergeRow>, common::Error> {
    const SELECT: &str = "
        SELECT program_id, merge_id, survivor, absorbed, actor, reason, merged_at, unmerged_at,
               unmerge_actor, unmerge_reason
        FROM merges
        WHERE program_id = $1 AND merge_id = $2";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(program_id)
        .bind(merge_id)
        .fetch_optional(conn)
        .await)?)
}

/// The merge by which a member is merged.
pub async fn get_standing(
    db: &mut impl Access,
    program_id: &str,
    absorbed: &CustomerId,
) -> Result<MergeRow, common::Error> {
    const SELECT: &str = "
        SELECT program_id, merge_id, survivor, absorbed, actor, reason, merged_at, unmerged_at,
               unmerge_actor, unmerge_reason
        FROM merges
        WHERE program_id = $1 AND absorbed = $2 AND unmerged_at IS NULL";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(program_id)
        .bind(absorbed)
        .fetch_one(conn)
        .await)?)
}

/// Who of those that a member stands for has a posting.
pub async fn find_owner(
    db: &mut impl Access,
    program_id: &str,
    survivor: &CustomerId,
    posting_id: &str,
) -> Result<Option<CustomerId>, common::Error> {
    const SELECT: &str = "
        SELECT p.customer_id
        FROM members m
        JOIN postings p ON p.customer_id = m.customer_id AND p.program_id = m.program_id
        WHERE m.program_id = $1 AND m.survivor = $2 AND p.posting_id = $3";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(program_id)
        .bind(survivor)
        .bind(posting_id)
        .fetch_optional(conn)
        .await)?)
}

/// Who of those that a member stands for has earned for a source: one for each rule at most.
pub async fn list_earners(
    db: &mut impl Access,
    program_id: &str,
    survivor: &CustomerId,
    (source_type, source_ref): (&str, &str),
) -> Result<Vec<CustomerId>, common::Error> {
    const SELECT: &str = "
        SELECT DISTINCT p.customer_id
        FROM postings p
        JOIN members m ON m.customer_id = p.customer_id AND m.program_id = p.program_id
        WHERE p.program_id = $1
            AND p.source_type = $3
            AND p.source_ref = $4
            AND p.kind = 'earn'
            AND m.survivor = $2
        ORDER BY p.customer_id";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(program_id)
        .bind(survivor)
        .bind(source_type)
        .bind(source_ref)
        .fetch_all(conn)
        .await)?)
}

/// All who are the same person as any of some customers in any program, themselves included.
pub async fn list_same_persons(
    db: &mut impl Access,
    customer_ids: &[&CustomerId],
) -> Result<Vec<CustomerId>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT DISTINCT p.customer_id
            FROM members m
            JOIN members p
                ON p.program_id = m.program_id
                AND (p.customer_id = COALESCE(m.survivor, m.customer_id)
                    OR p.survivor = COALESCE(m.survivor, m.customer_id))
            WHERE m.customer_id IN (SELECT json_array_elements_text(CAST($1 AS json)))",
        sqlite: "
            SELECT DISTINCT p.customer_id
            FROM members m
            JOIN members p
                ON p.program_id = m.program_id
                AND (p.customer_id = COALESCE(m.survivor, m.customer_id)
                    OR p.survivor = COALESCE(m.survivor, m.customer_id))
            WHERE m.customer_id IN (SELECT value FROM json_each($1))",
    };
    let text = SELECT.text(db.dialect());
    let ids: Vec<_> = customer_ids.iter().map(|id| id.as_str()).collect();
    let ids = json_list(&ids);
    Ok(on!(db, |conn| sqlx::query_scalar(text)
        .bind(ids)
        .fetch_all(conn)
        .await)?)
}

/// Who stands for a customer that was merged as a whole, not in one program alone.
pub async fn find_survivor_everywhere(
    db: &mut impl Access,
    customer_id: &CustomerId,
    actor: &str,
) -> Result<Option<CustomerId>, common::Error> {
    const SELECT: &str = "
        SELECT m.survivor
        FROM members m
        JOIN merges g
            ON g.program_id = m.program_id AND g.absorbed = m.customer_id AND g.unmerged_at IS NULL
        WHERE m.customer_id = $1 AND m.survivor IS NOT NULL AND g.actor = $2
        ORDER BY m.program_id
        LIMIT 1";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(customer_id)
        .bind(actor)
        .fetch_optional(conn)
        .await)?)
}

/// Inserts a merge.
pub async fn insert(tx: &mut Tx, merge: &MergeRow) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO merges
            (program_id, merge_id, survivor, absorbed, actor, reason, merged_at, unmerged_at,
             unmerge_actor, unmerge_reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    Ok(on!(tx, |conn| sqlx::query(INSERT)
        .bind(&merge.program_id)
        .bind(&merge.merge_id)
        .bind(&merge.survivor)
        .bind(&merge.absorbed)
        .bind(&merge.actor)
        .bind(&merge.reason)
        .bind(merge.merged_at)
        .bind(merge.unmerged_at)
        .bind(&merge.unmerge_actor)
        .bind(&merge.unmerge_reason)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Writes that a merge is undone.
pub async fn update(tx: &mut Tx, merge: &MergeRow) -> Result<(), common::Error> {
    const UPDATE: &str = "
        UPDATE merges
        SET unmerged_at = $3, unmerge_actor = $4, unmerge_reason = $5
        WHERE program_id = $1 AND merge_id = $2";
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(&merge.program_id)
        .bind(&merge.merge_id)
        .bind(merge.unmerged_at)
        .bind(&merge.unmerge_actor)
        .bind(&merge.unmerge_reason)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Writes that a member, and with it those it stands for, has gone to another one who has `survivor` standing for it.
pub async fn join(
    tx: &mut Tx,
    merge: &MergeRow,
    survivor: &CustomerId,
) -> Result<(), common::Error> {
    const ABSORBED: &str = "
        UPDATE members
        SET merged_into = $3, survivor = $4
        WHERE program_id = $1 AND customer_id = $2";
    const ITS_OWN: &str = "
        UPDATE members
        SET survivor = $3
        WHERE program_id = $1 AND survivor = $2";
    on!(tx, |conn| sqlx::query(ABSORBED)
        .bind(&merge.program_id)
        .bind(&merge.absorbed)
        .bind(&merge.survivor)
        .bind(survivor)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(on!(tx, |conn| sqlx::query(ITS_OWN)
        .bind(&merge.program_id)
        .bind(&merge.absorbed)
        .bind(survivor)
        .execute(conn)
        .await
        .map(drop))?)
}

/// Writes that a member stands for itself again, and for those who were merged into it.
pub async fn part(tx: &mut Tx, merge: &MergeRow) -> Result<(), common::Error> {
    const ITS_OWN: &str = "
        WITH RECURSIVE own (customer_id) AS (
            SELECT customer_id
            FROM members
            WHERE program_id = $1 AND merged_into = $2
            UNION
            SELECT m.customer_id
            FROM own
            JOIN members m ON m.program_id = $1 AND m.merged_into = own.customer_id
        )
        UPDATE members
        SET survivor = $2
        WHERE program_id = $1 AND customer_id IN (SELECT own.customer_id FROM own)";
    const ABSORBED: &str = "
        UPDATE members
        SET merged_into = NULL, survivor = NULL
        WHERE program_id = $1 AND customer_id = $2";
    for update in [ABSORBED, ITS_OWN] {
        on!(tx, |conn| sqlx::query(update)
            .bind(&merge.program_id)
            .bind(&merge.absorbed)
            .execute(conn)
            .await
            .map(drop))?;
    }
    Ok(())
}
