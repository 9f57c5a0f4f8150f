//! Members in large numbers, written by SQL as enrolment would write them.

use common::db::Db;
use sqlx::{AssertSqlSafe, raw_sql};

/// Makes customers `m-0` to `m-(count - 1)` members of the default program.
pub async fn seed(db: &Db, count: u64) {
    // The start of 2026.
    let now = 1_767_225_600_000_000_i64;
    let insert = format!(
        "BEGIN;
        WITH RECURSIVE numbers (n) AS (
            SELECT CAST(0 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < {count} - 1
        )
        INSERT INTO customers (customer_id, revision) SELECT 'm-' || n, 1 FROM numbers;
        INSERT INTO members
            (customer_id, program_id, state, enrolled_at, tier, tier_points, tier_since)
        SELECT customer_id, 'default', 'active', {now}, 'Bronze', 0, {now} FROM customers;
        INSERT INTO accounts (customer_id, program_id, currency, points, held, debt)
        SELECT customer_id, 'default', '', 0, 0, 0 FROM customers;
        INSERT INTO tier_changes
            (customer_id, revision, program_id, from_tier, to_tier, reason, points, changed_at)
        SELECT customer_id, 1, 'default', '', 'Bronze', 'enrolled', 0, {now} FROM customers;
        COMMIT"
    );
    let run = async {
        match db {
            Db::Postgres(pool) => {
                let mut conn = pool.acquire().await?;
                raw_sql("SET statement_timeout = 0")
                    .execute(&mut *conn)
                    .await?;
                raw_sql(AssertSqlSafe(insert)).execute(&mut *conn).await?;
                // What autovacuum would do a minute later.
                raw_sql("VACUUM ANALYZE").execute(&mut *conn).await?;
                raw_sql("RESET statement_timeout")
                    .execute(&mut *conn)
                    .await?;
            }
            Db::Sqlite { writer, .. } => {
                raw_sql(AssertSqlSafe(insert)).execute(writer).await?;
            }
        }
        Ok::<_, sqlx::Error>(())
    };
    run.await.expect("members can be written");
}

/// The id of a member.
pub fn name(member: u64) -> String {
    format!("m-{member}")
}

/// Spreads numbers evenly over 0..`below`, the same in every run.
pub fn scatter(number: u64, below: u64) -> u64 {
    // SplitMix64.
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % below
}
