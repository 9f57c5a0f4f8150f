//! Versions of tier policies: append-only.

use chrono::TimeDelta;
use common::db::{Access, Sql, Tx, json_list, parse_json_list};
use common::on;
use common::time::Timestamp;

use crate::domain::tiers::period::{Midnight, Period};
use crate::domain::tiers::versions::PolicyVersion;
use crate::domain::tiers::{Downgrade, Metric, Rules, Tier, TierPolicy};

#[derive(sqlx::FromRow)]
struct PolicyRow {
    version: i64,
    metric: String,
    period: String,
    window_micros: i64,
    utc_offset_minutes: i64,
    downgrade: String,
    grace_days: i64,
    effective_at: Timestamp,
    published_at: Timestamp,
    actor: String,
    reason: String,
}

#[derive(sqlx::FromRow)]
struct TierRow {
    version: i64,
    rank: i64,
    name: String,
    threshold: i64,
    multiplier: i64,
    benefits: String,
}

/// A program's latest version, if it has one.
pub async fn find_latest(
    db: &mut impl Access,
    program_id: &str,
) -> Result<Option<i64>, common::Error> {
    const SELECT: &str = "SELECT MAX(version) FROM tier_policies WHERE program_id = $1";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, Option<i64>>(
        SELECT
    )
    .bind(program_id)
    .fetch_one(conn)
    .await)?)
}

/// Keeps others from publishing in this program until the transaction ends.
pub async fn lock(tx: &mut Tx, program_id: &str) -> Result<(), common::Error> {
    // SQLite has one writer at a time anyway.
    const SELECT: Sql = Sql {
        postgres: "SELECT program_id FROM programs WHERE program_id = $1 FOR UPDATE",
        sqlite: "SELECT program_id FROM programs WHERE program_id = $1",
    };
    let text = SELECT.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(program_id)
        .execute(conn)
        .await
        .map(drop))?)
}

/// All versions of a program, the first one first.
pub async fn list(
    db: &mut impl Access,
    program_id: &str,
) -> Result<Vec<PolicyVersion>, common::Error> {
    // Versions read with the second statement only are left for the next time.
    const SELECT: &str = "
        SELECT version, metric, period, window_micros, utc_offset_minutes, downgrade, grace_days,
               effective_at, published_at, actor, reason
        FROM tier_policies
        WHERE program_id = $1
        ORDER BY version";
    const SELECT_TIERS: &str = "
        SELECT version, rank, name, threshold, multiplier, benefits
        FROM policy_tiers
        WHERE program_id = $1
        ORDER BY version, rank";
    let rows = on!(db, |conn| sqlx::query_as::<_, PolicyRow>(SELECT)
        .bind(program_id)
        .fetch_all(conn)
        .await)?;
    let mut tiers = on!(db, |conn| sqlx::query_as::<_, TierRow>(SELECT_TIERS)
        .bind(program_id)
        .fetch_all(conn)
        .await)?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in rows {
        let own = tiers.extract_if(.., |tier| tier.version == row.version);
        let own = own.map(into_tier).collect::<Result<_, _>>()?;
        let broken = |what: String| {
            common::Error::Internal(format!("policy {} of {program_id}: {what}", row.version))
        };
        let rules = rules(&row).map_err(broken)?;
        versions.push(PolicyVersion {
            policy: TierPolicy::new(rules, own).map_err(broken)?,
            version: row.version,
            effective_at: row.effective_at,
            published_at: row.published_at,
            actor: row.actor,
            reason: row.reason,
        });
    }
    Ok(versions)
}

/// Appends a version.
pub async fn insert(
    tx: &mut Tx,
    program_id: &str,
    new: &PolicyVersion,
) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO tier_policies
            (program_id, version, metric, period, window_micros, utc_offset_minutes, downgrade, grace_days,
             tier_count, effective_at, published_at, actor, reason)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    const INSERT_TIER: &str = "
        INSERT INTO policy_tiers (program_id, version, rank, name, threshold, multiplier, benefits)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let tiers = new.policy.tiers();
    let rules = new.policy.rules();
    let (period, window, midnight) = match rules.period {
        Period::Rolling { days } => ("rolling", TimeDelta::days(days), 0),
        Period::CalendarYear(midnight) => (
            "calendar_year",
            TimeDelta::zero(),
            midnight.utc_offset_minutes,
        ),
        Period::MembershipYear(midnight) => (
            "membership_year",
            TimeDelta::zero(),
            midnight.utc_offset_minutes,
        ),
    };
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(program_id)
        .bind(new.version)
        .bind(metric(rules.metric))
        .bind(period)
        .bind(window.num_microseconds())
        .bind(midnight)
        .bind(downgrade(rules.downgrade))
        .bind(rules.grace_days)
        .bind(i64::try_from(tiers.len()).expect("tiers are few"))
        .bind(new.effective_at)
        .bind(new.published_at)
        .bind(&new.actor)
        .bind(&new.reason)
        .execute(conn)
        .await
        .map(drop))?;
    for tier in tiers {
        on!(tx, |conn| sqlx::query(INSERT_TIER)
            .bind(program_id)
            .bind(new.version)
            .bind(tier.rank)
            .bind(&tier.name)
            .bind(tier.threshold)
            .bind(tier.multiplier)
            .bind(json_list(&tier.benefits))
            .execute(conn)
            .await
            .map(drop))?;
    }
    Ok(())
}

fn into_tier(row: TierRow) -> Result<Tier, common::Error> {
    Ok(Tier {
        name: row.name,
        rank: row.rank,
        threshold: row.threshold,
        multiplier: row.multiplier,
        benefits: parse_json_list(&row.benefits)?,
    })
}

fn metric(metric: Metric) -> &'static str {
    match metric {
        Metric::PointsEarned => "points_earned",
        Metric::Spend => "spend",
        Metric::Frequency => "frequency",
    }
}

fn downgrade(downgrade: Downgrade) -> &'static str {
    match downgrade {
        Downgrade::Immediate => "immediate",
        Downgrade::ToEarned => "to_earned",
        Downgrade::OneDown => "one_down",
    }
}

fn rules(row: &PolicyRow) -> Result<Rules, String> {
    let midnight = Midnight {
        utc_offset_minutes: row.utc_offset_minutes,
    };
    let days = TimeDelta::microseconds(row.window_micros).num_days();
    Ok(Rules {
        metric: match row.metric.as_str() {
            "points_earned" => Metric::PointsEarned,
            "spend" => Metric::Spend,
            "frequency" => Metric::Frequency,
            other => return Err(format!("metric {other}")),
        },
        period: match row.period.as_str() {
            "rolling" => Period::Rolling { days },
            "calendar_year" => Period::CalendarYear(midnight),
            "membership_year" => Period::MembershipYear(midnight),
            other => return Err(format!("period {other}")),
        },
        downgrade: match row.downgrade.as_str() {
            "immediate" => Downgrade::Immediate,
            "to_earned" => Downgrade::ToEarned,
            "one_down" => Downgrade::OneDown,
            other => return Err(format!("downgrade {other}")),
        },
        grace_days: row.grace_days,
    })
}
