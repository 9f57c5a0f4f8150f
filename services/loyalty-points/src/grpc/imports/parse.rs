//! Rows of another system's ledger as the use case takes them; every violation is collected.

use std::sync::Arc;

use api::loyalty::v1 as pb;
use common::Error;
use common::identity;
use common::ids::CustomerId;
use common::time::Timestamp;
use common::validate::Violations;

use super::Opened;
use crate::domain::Points;
use crate::domain::currency::{CurrencyCode, Wallet};
use crate::domain::import::{Row, RowKind};
use crate::domain::program::ProgramId;
use crate::grpc::adjust::{approver, parse_reason_code};
use crate::grpc::parse::{instant, reason, text};
use crate::ledger::PURCHASE;
use crate::ledger::imports::{Header, ImportRow};
use crate::writer::Run;

const ROWS_MAX: usize = 500;
const ACTOR_MAX: usize = 255;

/// What holds for all rows.
pub fn header(v: &mut Violations, raw: pb::ImportHeader) -> Option<Opened> {
    let program_id = raw.program_id.as_str();
    let program_id = v.parse("header.program_id", program_id, ProgramId::parse);
    if raw.source_system == PURCHASE {
        let reserved = "must not be \"transaction\": purchases come from the customer service";
        v.add("header.source_system", reserved);
    }
    let source_system = text(v, "header.source_system", raw.source_system, 1..=64);
    let currency = currency(v, "header.points_currency", &raw.points_currency);
    let header = Header {
        program_id: program_id?,
        currency: currency?,
        // Until the program is known.
        wallet: Wallet::first(),
        source_system: source_system?,
        enrolls: raw.enroll_missing,
        actor: identity::current().subject.to_string(),
    };
    Some(Opened {
        header: Arc::new(header),
        run: Run::from(raw.dry_run),
        at_least: raw.at_least,
    })
}

#[expect(clippy::option_option, reason = "the outer one says whether it parsed")]
fn currency(v: &mut Violations, field: &str, raw: &str) -> Option<Option<CurrencyCode>> {
    if raw.is_empty() {
        return Some(None);
    }
    v.parse(field, raw, CurrencyCode::parse).map(Some)
}

/// Checks how many rows there are, and their numbers.
pub fn numbers(v: &mut Violations, last_row: i64, rows: &[pb::ImportRow]) {
    if !(1..=ROWS_MAX).contains(&rows.len()) {
        v.add("rows", format!("must be 1 to {ROWS_MAX}"));
    }
    let mut before = last_row;
    for (n, row) in rows.iter().take(ROWS_MAX).enumerate() {
        if row.row <= before {
            v.add(format!("rows[{n}].row"), format!("must be above {before}"));
        }
        before = before.max(row.row);
    }
}

/// A row.
pub fn row(raw: pb::ImportRow, now: Timestamp) -> Result<ImportRow, Violations> {
    let mut v = Violations::new();
    let customer_id = raw.customer_id.as_str();
    let customer_id = v.parse("customer_id", customer_id, CustomerId::parse);
    let external_id = text(&mut v, "external_id", raw.external_id, 1..=128);
    let kind = v.check("kind", kind(raw.kind));
    let points = v.check("points", points(kind, raw.points));
    if raw.occurred_at.is_none() {
        v.add("occurred_at", "must be given");
    }
    let occurred_at = past(&mut v, "occurred_at", raw.occurred_at.as_ref(), now);
    let recorded_at = past(&mut v, "recorded_at", raw.recorded_at.as_ref(), now);
    let activates_at = instant(&mut v, "activates_at", raw.activates_at.as_ref());
    let expires_at = instant(&mut v, "expires_at", raw.expires_at.as_ref());
    let row = Row {
        kind: kind.unwrap_or(RowKind::Earn),
        points: points.unwrap_or_default(),
        occurred_at: occurred_at.map_or(0, Timestamp::micros),
        recorded_at: recorded_at.map(Timestamp::micros),
        activates_at: activates_at.map(Timestamp::micros),
        expires_at: expires_at.map(Timestamp::micros),
        qualifies: !raw.not_qualifying,
        force: raw.force,
        reason: reason(&mut v, raw.reason).unwrap_or_default(),
        reason_code: reason_code(&mut v, kind, &raw.reason_code),
        approver: approver(&mut v, raw.approver).flatten(),
        actor: text(&mut v, "actor", raw.actor, 0..=ACTOR_MAX).unwrap_or_default(),
    };
    if let (Some(kind), Some(_)) = (kind, occurred_at) {
        fits(&mut v, kind, &row);
        if raw.not_qualifying && kind != RowKind::Earn {
            v.add("not_qualifying", "must be absent unless points were earned");
        }
    }
    match v.all((customer_id, external_id, kind, points, occurred_at)) {
        Ok((customer_id, external_id, ..)) => Ok(ImportRow {
            customer_id,
            external_id,
            row,
        }),
        Err(Error::Invalid(violations)) => Err(violations),
        Err(_) => unreachable!("violations are the only reason"),
    }
}

/// Checks what a row of its kind has.
fn fits(v: &mut Violations, kind: RowKind, row: &Row) {
    if kind != RowKind::Earn && row.activates_at.is_some() {
        v.add("activates_at", "must be absent unless points were earned");
    }
    if row.activates_at.is_some_and(|at| at < row.occurred_at) {
        v.add("activates_at", "must not be before occurred_at");
    }
    let first = row.activates_at.unwrap_or(row.occurred_at);
    if !row.gives() && row.expires_at.is_some() {
        v.add("expires_at", "must be absent unless points came");
    } else if row.expires_at.is_some_and(|at| at <= first) {
        v.add("expires_at", "must be after the points become spendable");
    }
    if kind != RowKind::Adjust && row.approver.is_some() {
        v.add("approver", "must be absent unless points were adjusted");
    }
    if row.force && (row.gives() || kind == RowKind::Expire) {
        v.add("force", "must be absent unless points were spent or taken");
    }
    if row.force && row.reason.is_empty() {
        v.add("reason", "must be given with force");
    }
}

fn kind(raw: i32) -> Result<RowKind, &'static str> {
    match pb::ImportKind::try_from(raw) {
        Ok(pb::ImportKind::Earn) => Ok(RowKind::Earn),
        Ok(pb::ImportKind::Redeem) => Ok(RowKind::Redeem),
        Ok(pb::ImportKind::Expire) => Ok(RowKind::Expire),
        Ok(pb::ImportKind::Adjust) => Ok(RowKind::Adjust),
        Ok(pb::ImportKind::Unspecified) | Err(_) => Err("must be one of the kinds"),
    }
}

fn points(kind: Option<RowKind>, raw: i64) -> Result<i64, String> {
    let is_signed = kind.is_none_or(|kind| kind == RowKind::Adjust);
    if is_signed && raw < 0 {
        Points::parse(raw.saturating_neg()).map_err(|range| format!("{range}, or below zero"))?;
    } else {
        Points::parse(raw).map_err(|range| range.clone())?;
    }
    Ok(raw)
}

fn past(
    v: &mut Violations,
    field: &str,
    raw: Option<&prost_types::Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let at = instant(v, field, raw)?;
    if at > now {
        v.add(field, "must not be in the future");
        return None;
    }
    Some(at)
}

/// A code where points were adjusted, none otherwise.
fn reason_code(v: &mut Violations, kind: Option<RowKind>, raw: &str) -> Option<String> {
    match kind {
        Some(RowKind::Adjust) => v.parse("reason_code", raw, parse_reason_code),
        Some(RowKind::Earn | RowKind::Redeem | RowKind::Expire) if !raw.is_empty() => {
            v.add("reason_code", "must be absent unless points were adjusted");
            None
        }
        _ => None,
    }
}
