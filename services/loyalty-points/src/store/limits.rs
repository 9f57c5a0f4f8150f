//! Earning limits: versions, which are append-only.

use common::db::{Access, Tx};
use common::on;
use common::time::Timestamp;

use crate::domain::currency::Wallet;
use crate::domain::limits::{EarningLimit, Excess, LimitId, Limits, Scope, WindowKind};

#[derive(sqlx::FromRow)]
struct LimitRow {
    limit_id: String,
    version: i64,
    scope: String,
    #[sqlx(rename = "currency")]
    wallet: Wallet,
    window_kind: String,
    points: i64,
    excess: String,
    ended: bool,
    actor: String,
    reason: String,
    changed_at: Timestamp,
}

/// A program's limits as they were last set.
pub async fn list(db: &mut impl Access, program_id: &str) -> Result<Limits, common::Error> {
    const SELECT: &str = "
        SELECT l.limit_id, l.version, l.scope, l.currency, l.window_kind, l.points, l.excess, l.ended,
               l.actor, l.reason, l.changed_at
        FROM earning_limits l
        WHERE l.program_id = $1
            AND l.version = (
                SELECT MAX(latest.version)
                FROM earning_limits latest
                WHERE latest.program_id = l.program_id AND latest.limit_id = l.limit_id
            )
        ORDER BY l.limit_id";
    let rows = on!(db, |conn| sqlx::query_as::<_, LimitRow>(SELECT)
        .bind(program_id)
        .fetch_all(conn)
        .await)?;
    let limits: Result<Vec<_>, _> = rows.into_iter().map(into_limit).collect();
    let broken = |what| common::Error::Internal(format!("limits of {program_id}: {what}"));
    Ok(Limits::new(limits.map_err(broken)?))
}

/// The latest change of a program's limits; 0: it has none.
pub async fn get_version(db: &mut impl Access, program_id: &str) -> Result<i64, common::Error> {
    const SELECT: &str = "SELECT limits_version FROM programs WHERE program_id = $1";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, i64>(SELECT)
        .bind(program_id)
        .fetch_one(conn)
        .await)?)
}

/// Appends a version of a limit, which is then the program's latest.
pub async fn insert(
    tx: &mut Tx,
    program_id: &str,
    limit: &EarningLimit,
) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO earning_limits
            (program_id, version, limit_id, scope, currency, window_kind, points, excess, ended,
             actor, reason, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    const UPDATE: &str = "UPDATE programs SET limits_version = $2 WHERE program_id = $1";
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(program_id)
        .bind(limit.version)
        .bind(limit.limit_id.as_str())
        .bind(scope(limit.scope))
        .bind(&limit.wallet)
        .bind(window_kind(limit.window))
        .bind(limit.points)
        .bind(excess(limit.excess))
        .bind(limit.ended)
        .bind(&limit.actor)
        .bind(&limit.reason)
        .bind(limit.changed_at)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(on!(tx, |conn| sqlx::query(UPDATE)
        .bind(program_id)
        .bind(limit.version)
        .execute(conn)
        .await
        .map(drop))?)
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Member => "member",
        Scope::Program => "program",
    }
}

fn window_kind(window: WindowKind) -> &'static str {
    match window {
        WindowKind::Day => "day",
        WindowKind::Week => "week",
        WindowKind::Month => "month",
        WindowKind::Year => "year",
        WindowKind::Lifetime => "lifetime",
    }
}

fn excess(excess: Excess) -> &'static str {
    match excess {
        Excess::Refuse => "refuse",
        Excess::Clamp => "clamp",
    }
}

fn into_limit(row: LimitRow) -> Result<EarningLimit, String> {
    Ok(EarningLimit {
        limit_id: LimitId::parse(&row.limit_id)?,
        version: row.version,
        scope: match row.scope.as_str() {
            "member" => Scope::Member,
            "program" => Scope::Program,
            other => return Err(format!("scope {other}")),
        },
        wallet: row.wallet,
        window: match row.window_kind.as_str() {
            "day" => WindowKind::Day,
            "week" => WindowKind::Week,
            "month" => WindowKind::Month,
            "year" => WindowKind::Year,
            "lifetime" => WindowKind::Lifetime,
            other => return Err(format!("window {other}")),
        },
        points: row.points,
        excess: match row.excess.as_str() {
            "refuse" => Excess::Refuse,
            "clamp" => Excess::Clamp,
            other => return Err(format!("excess {other}")),
        },
        ended: row.ended,
        actor: row.actor,
        reason: row.reason,
        changed_at: row.changed_at,
    })
}
