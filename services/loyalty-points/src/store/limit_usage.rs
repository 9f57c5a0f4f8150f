//! What is used of earning limits, window by window.
//!
//! Invariant: the rows of a member change only under the lock of the member's customer; those of all members are
//! locked last, in the order of their keys, and only until the transaction ends.

use std::collections::HashMap;

use common::db::{Access, Sql, Tx, json_list, json_rows};
use common::ids::CustomerId;
use common::on;
use serde::Serialize;

/// A limit in a window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, sqlx::FromRow)]
pub struct UsageKey {
    /// The program.
    pub program_id: String,
    /// The limit.
    pub limit_id: String,
    /// Whose earnings; empty: those of all members.
    pub customer_id: String,
    /// Start of the window, as it is stored.
    pub window_start: i64,
}

/// What is used; what is not told is not used at all.
pub async fn list(
    db: &mut impl Access,
    keys: &[UsageKey],
) -> Result<Vec<(UsageKey, i64)>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT u.program_id, u.limit_id, u.customer_id, u.window_start, u.used
            FROM json_to_recordset(CAST($1 AS json))
                AS wanted (program_id TEXT, limit_id TEXT, customer_id TEXT, window_start BIGINT)
            JOIN limit_usage u
                ON u.program_id = wanted.program_id
                AND u.limit_id = wanted.limit_id
                AND u.customer_id = wanted.customer_id
                AND u.window_start = wanted.window_start",
        sqlite: "
            SELECT u.program_id, u.limit_id, u.customer_id, u.window_start, u.used
            FROM json_each($1) AS wanted
            JOIN limit_usage u
                ON u.program_id = wanted.value ->> 'program_id'
                AND u.limit_id = wanted.value ->> 'limit_id'
                AND u.customer_id = wanted.value ->> 'customer_id'
                AND u.window_start = wanted.value ->> 'window_start'",
    };
    #[derive(sqlx::FromRow)]
    struct Row {
        #[sqlx(flatten)]
        key: UsageKey,
        used: i64,
    }
    let text = SELECT.text(db.dialect());
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(text)
        .bind(json_list(keys))
        .fetch_all(conn)
        .await)?;
    Ok(rows.into_iter().map(|row| (row.key, row.used)).collect())
}

/// Begins windows that nothing is used in. Those that others have begun stay as they are.
pub async fn open(tx: &mut Tx, keys: &[&UsageKey]) -> Result<(), common::Error> {
    const INSERT: Sql = Sql {
        postgres: "
            INSERT INTO limit_usage (program_id, limit_id, customer_id, window_start, used)
            SELECT program_id, limit_id, customer_id, window_start, 0
            FROM json_to_recordset(CAST($1 AS json))
                AS new (program_id TEXT, limit_id TEXT, customer_id TEXT, window_start BIGINT)
            ORDER BY program_id COLLATE \"C\", limit_id COLLATE \"C\", customer_id COLLATE \"C\", window_start
            ON CONFLICT (program_id, limit_id, customer_id, window_start) DO NOTHING",
        sqlite: "
            INSERT INTO limit_usage (program_id, limit_id, customer_id, window_start, used)
            SELECT value ->> 'program_id', value ->> 'limit_id', value ->> 'customer_id',
                   value ->> 'window_start', 0
            FROM json_each($1)
            WHERE TRUE
            ON CONFLICT (program_id, limit_id, customer_id, window_start) DO NOTHING",
    };
    let text = INSERT.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(json_list(keys))
        .execute(conn)
        .await
        .map(drop))?)
}

/// Adds what is earned to windows that have begun, and subtracts what is taken back. False, and nothing may be kept, if
/// one would be used beyond what its limit has now.
pub async fn add(tx: &mut Tx, changes: &[(&UsageKey, i64)]) -> Result<bool, common::Error> {
    // Locked in order first: an UPDATE locks in whatever order it finds the rows.
    const UPDATE: Sql = Sql {
        postgres: "
            WITH locked AS (
                SELECT u.program_id, u.limit_id, u.customer_id, u.window_start, change.points
                FROM json_to_recordset(CAST($1 AS json))
                    AS change (program_id TEXT, limit_id TEXT, customer_id TEXT, window_start BIGINT,
                               points BIGINT)
                JOIN limit_usage u
                    ON u.program_id = change.program_id
                    AND u.limit_id = change.limit_id
                    AND u.customer_id = change.customer_id
                    AND u.window_start = change.window_start
                ORDER BY u.program_id, u.limit_id, u.customer_id, u.window_start
                FOR NO KEY UPDATE OF u
            )
            UPDATE limit_usage AS u
            SET used = u.used + locked.points
            FROM locked
            WHERE u.program_id = locked.program_id
                AND u.limit_id = locked.limit_id
                AND u.customer_id = locked.customer_id
                AND u.window_start = locked.window_start
                AND (locked.points <= 0 OR u.used + locked.points <= (
                    SELECT l.points
                    FROM earning_limits l
                    WHERE l.program_id = u.program_id AND l.limit_id = u.limit_id
                    ORDER BY l.version DESC
                    LIMIT 1
                ))",
        sqlite: "
            UPDATE limit_usage AS u
            SET used = u.used + (change.value ->> 'points')
            FROM json_each($1) AS change
            WHERE u.program_id = change.value ->> 'program_id'
                AND u.limit_id = change.value ->> 'limit_id'
                AND u.customer_id = change.value ->> 'customer_id'
                AND u.window_start = change.value ->> 'window_start'
                AND (change.value ->> 'points' <= 0 OR u.used + (change.value ->> 'points') <= (
                    SELECT l.points
                    FROM earning_limits l
                    WHERE l.program_id = u.program_id AND l.limit_id = u.limit_id
                    ORDER BY l.version DESC
                    LIMIT 1
                ))",
    };
    #[derive(Serialize)]
    struct Row<'a> {
        #[serde(flatten)]
        key: &'a UsageKey,
        points: i64,
    }
    let rows: Vec<_> = changes
        .iter()
        .map(|(key, points)| Row {
            key,
            points: *points,
        })
        .collect();
    let text = UPDATE.text(tx.dialect());
    let written = on!(tx, |conn| sqlx::query(text)
        .bind(json_list(&rows))
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(written == rows.len() as u64)
}

/// A member who stands for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Root {
    /// The program.
    pub program_id: String,
    /// The customer.
    pub customer_id: String,
}

/// For each of some members who stand for themselves, each named once, it and all that it stands for, in order.
pub async fn list_persons(
    db: &mut impl Access,
    roots: &[Root],
) -> Result<HashMap<Root, Vec<CustomerId>>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT wanted.program_id, wanted.customer_id, m.customer_id
            FROM json_to_recordset(CAST($1 AS json)) AS wanted (program_id TEXT, customer_id TEXT)
            CROSS JOIN LATERAL (
                SELECT customer_id
                FROM members
                WHERE program_id = wanted.program_id AND customer_id = wanted.customer_id
                UNION ALL
                SELECT customer_id
                FROM members
                WHERE program_id = wanted.program_id AND survivor = wanted.customer_id
                OFFSET 0
            ) AS m
            ORDER BY m.customer_id",
        sqlite: "
            SELECT wanted.value ->> 0, wanted.value ->> 1, m.customer_id
            FROM jsonb_each($1) AS wanted
            JOIN members m
                ON m.program_id = wanted.value ->> 0
                AND m.customer_id = wanted.value ->> 1
            UNION ALL
            SELECT wanted.value ->> 0, wanted.value ->> 1, m.customer_id
            FROM jsonb_each($1) AS wanted
            JOIN members m
                ON m.program_id = wanted.value ->> 0
                AND m.survivor = wanted.value ->> 1
            ORDER BY 3",
    };
    type Row = (String, String, CustomerId);
    let text = SELECT.text(db.dialect());
    let wanted = json_rows(db.dialect(), roots);
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(text)
        .bind(wanted)
        .fetch_all(conn)
        .await)?;
    let mut persons: HashMap<_, Vec<_>> = HashMap::new();
    for (program_id, customer_id, of) in rows {
        let root = Root {
            program_id,
            customer_id,
        };
        persons.entry(root).or_default().push(of);
    }
    Ok(persons)
}
