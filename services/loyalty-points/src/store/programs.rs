//! Programs and their tiers.

use common::db::{Access, Tx};
use common::money::{Currency, Money};
use common::on;
use common::time::Timestamp;

use crate::domain::currency::{CurrencyCode, PointCurrency};
use crate::domain::limits::Limits;
use crate::domain::program::{EarningRule, Program, ProgramId};
use crate::domain::tiers::versions::PolicyVersions;
use crate::domain::tiers::{Period, WINDOW_DAYS_DEFAULT};
use crate::store::{currencies, limits, notices, policies};

const MICROS_PER_DAY: i64 = 86_400_000_000;

#[derive(sqlx::FromRow)]
struct ProgramRow {
    program_id: String,
    display_name: String,
    points_currency: String,
    money_currency: String,
    unit_micros: i64,
    points_per_unit: i64,
    validity_days: i64,
    adjustment_approval_limit: i64,
    limits_version: i64,
    created_at: Timestamp,
}

/// The program, if it exists.
pub async fn find(
    db: &mut impl Access,
    program_id: &ProgramId,
) -> Result<Option<Program>, common::Error> {
    const SELECT: &str = "
        SELECT program_id, display_name, points_currency, money_currency, unit_micros,
               points_per_unit, validity_days, adjustment_approval_limit, limits_version, created_at
        FROM programs
        WHERE program_id = $1";
    let row = on!(db, |conn| sqlx::query_as::<_, ProgramRow>(SELECT)
        .bind(program_id.as_str())
        .fetch_optional(conn)
        .await)?;
    let Some(row) = row else { return Ok(None) };
    let versions = policies::list(db, program_id.as_str()).await?;
    let versions = PolicyVersions::new(versions);
    let versions = versions
        .map_err(|what| common::Error::Internal(format!("program {program_id}: {what}")))?;
    let limits = match row.limits_version {
        0 => Limits::default(),
        _ => limits::list(db, program_id.as_str()).await?,
    };
    let parts = Parts {
        policies: versions,
        limits,
        expiry_notice_days: notices::list_days(db, program_id.as_str()).await?,
        further_currencies: currencies::list(db, program_id.as_str()).await?,
    };
    into_program(row, parts).map(Some)
}

/// Ids of programs, in order.
pub async fn list_ids(
    db: &mut impl Access,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, common::Error> {
    const SELECT: &str = "
        SELECT program_id
        FROM programs
        WHERE program_id > $1
        ORDER BY program_id
        LIMIT $2";
    Ok(on!(db, |conn| sqlx::query_scalar::<_, String>(SELECT)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// Writes a program; false if its id is taken.
pub async fn insert(tx: &mut Tx, program: &Program) -> Result<bool, common::Error> {
    const INSERT: &str = "
        INSERT INTO programs
            (program_id, display_name, points_currency, money_currency, unit_micros,
             points_per_unit, validity_days, tier_window_micros, adjustment_approval_limit,
             created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (program_id) DO NOTHING";
    const INSERT_TIER: &str = "
        INSERT INTO tiers (program_id, rank, name, threshold)
        VALUES ($1, $2, $3, $4)";
    let program_id = program.program_id.as_str();
    let first = program.policies.latest();
    // What builds read that know of one policy only.
    let window_days = match first.policy.rules().period {
        Period::Rolling { days } => days,
        Period::CalendarYear(_) | Period::MembershipYear(_) => WINDOW_DAYS_DEFAULT,
    };
    let inserted = on!(tx, |conn| sqlx::query(INSERT)
        .bind(program_id)
        .bind(&program.display_name)
        .bind(program.points_currency.as_str())
        .bind(program.earning_rule.unit.currency.as_str())
        .bind(program.earning_rule.unit.micros)
        .bind(program.earning_rule.points_per_unit)
        .bind(program.validity_days)
        .bind(window_days * MICROS_PER_DAY)
        .bind(program.adjustment_approval_limit)
        .bind(program.created_at)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    if inserted == 0 {
        return Ok(false);
    }
    for tier in first.policy.tiers() {
        on!(tx, |conn| sqlx::query(INSERT_TIER)
            .bind(program_id)
            .bind(tier.rank)
            .bind(&tier.name)
            .bind(tier.threshold)
            .execute(conn)
            .await
            .map(drop))?;
    }
    policies::insert(tx, program_id, first).await?;
    notices::insert_days(tx, program_id, &program.expiry_notice_days).await?;
    currencies::insert(tx, program_id, &program.further_currencies).await?;
    Ok(true)
}

/// What of a program is in other tables.
struct Parts {
    policies: PolicyVersions,
    limits: Limits,
    expiry_notice_days: Vec<i64>,
    further_currencies: Vec<PointCurrency>,
}

fn into_program(row: ProgramRow, parts: Parts) -> Result<Program, common::Error> {
    let broken =
        |what: String| common::Error::Internal(format!("program {}: {what}", row.program_id));
    Ok(Program {
        program_id: ProgramId::parse(&row.program_id).map_err(broken)?,
        earning_rule: EarningRule {
            unit: Money {
                currency: Currency::parse(&row.money_currency).map_err(broken)?,
                micros: row.unit_micros,
            },
            points_per_unit: row.points_per_unit,
        },
        policies: parts.policies,
        limits: parts.limits,
        display_name: row.display_name,
        points_currency: CurrencyCode::parse(&row.points_currency).map_err(broken)?,
        validity_days: row.validity_days,
        further_currencies: parts.further_currencies,
        expiry_notice_days: parts.expiry_notice_days,
        adjustment_approval_limit: row.adjustment_approval_limit,
        created_at: row.created_at,
    })
}
