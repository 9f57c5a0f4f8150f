//! A program to create, as the use case takes it.

use api::loyalty::v1 as pb;
use common::Error;
use common::identity;
use common::money::Money;
use common::time::Timestamp;
use common::validate::Violations;

use super::{DAYS_MAX, reason, text};
use crate::domain::currency::{CurrencyCode, FURTHER_MAX, PointCurrency};
use crate::domain::expiry::{NOTICE_DAYS_MAX, NOTICES_MAX};
use crate::domain::limits::Limits;
use crate::domain::program::{EarningRule, Program, ProgramId};
use crate::domain::tiers::versions::{PolicyVersion, PolicyVersions};
use crate::domain::{POINTS_PER_POSTING_MAX, Points};
use crate::grpc::policies;

/// A program to create.
pub fn new_program(request: pb::CreateProgramRequest, now: Timestamp) -> Result<Program, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let Some(raw) = request.program else {
        v.add("program", "must be given");
        return Err(Error::Invalid(v));
    };
    if raw.program_id.is_empty() {
        v.add("program.program_id", "must be given");
    }
    let program_id = v.parse(
        "program.program_id",
        raw.program_id.as_str(),
        ProgramId::parse,
    );
    let display_name = text(&mut v, "program.display_name", raw.display_name, 1..=200);
    let points_currency = v.parse(
        "program.points_currency",
        raw.points_currency.as_str(),
        CurrencyCode::parse,
    );
    let earning_rule = earning_rule(&mut v, raw.earning_rule.unwrap_or_default());
    if !(0..=DAYS_MAX).contains(&raw.validity_days) {
        v.add(
            "program.validity_days",
            format!("must be 0 (for ever) to {DAYS_MAX}"),
        );
    }
    let further_currencies =
        further_currencies(&mut v, &raw.points_currency, raw.further_currencies);
    let expiry_notice_days = expiry_notice_days(&mut v, &raw.expiry_notice_days);
    let raw_policy = raw.tier_policy.unwrap_or_default();
    let tier_policy = policies::tier_policy(&mut v, "program.tier_policy", raw_policy);
    if !(0..=POINTS_PER_POSTING_MAX).contains(&raw.adjustment_approval_limit) {
        v.add(
            "program.adjustment_approval_limit",
            format!("must be 0 (none) to {POINTS_PER_POSTING_MAX}"),
        );
    }
    let reason = reason(&mut v, request.reason);
    let parsed = (
        program_id,
        display_name,
        points_currency,
        earning_rule,
        tier_policy,
        reason,
    );
    let (program_id, display_name, points_currency, earning_rule, tier_policy, reason) =
        v.all(parsed)?;
    let first = PolicyVersion {
        version: 1,
        effective_at: now,
        published_at: now,
        actor: identity::current().subject.to_string(),
        reason,
        policy: tier_policy,
    };
    Ok(Program {
        program_id,
        display_name,
        points_currency,
        earning_rule,
        validity_days: raw.validity_days.into(),
        further_currencies,
        expiry_notice_days,
        adjustment_approval_limit: raw.adjustment_approval_limit,
        policies: PolicyVersions::new(vec![first]).map_err(Error::Internal)?,
        limits: Limits::default(),
        created_at: now,
    })
}

/// Days ahead, each once; the nearest first.
fn expiry_notice_days(v: &mut Violations, raw: &[i32]) -> Vec<i64> {
    if raw.len() > NOTICES_MAX {
        let most = format!("must be at most {NOTICES_MAX}");
        v.add("program.expiry_notice_days", most);
    }
    let mut days = std::collections::BTreeSet::new();
    for (n, raw) in raw.iter().copied().map(i64::from).enumerate() {
        let field = format!("program.expiry_notice_days[{n}]");
        if !(1..=NOTICE_DAYS_MAX).contains(&raw) {
            v.add(field, format!("must be 1 to {NOTICE_DAYS_MAX}"));
        } else if !days.insert(raw) {
            v.add(field, "must be unique in the program");
        }
    }
    days.into_iter().collect()
}

fn earning_rule(v: &mut Violations, raw: pb::EarningRule) -> Option<EarningRule> {
    let unit = v.check("program.earning_rule.unit", Money::try_from(raw.unit));
    if unit.as_ref().is_some_and(|unit| unit.micros <= 0) {
        v.add("program.earning_rule.unit", "must be above zero");
    }
    let rate = v.check(
        "program.earning_rule.points_per_unit",
        Points::parse(raw.points_per_unit),
    );
    Some(EarningRule {
        unit: unit?,
        points_per_unit: rate?.get(),
    })
}

/// The currencies beside the first one, each with a code of its own.
fn further_currencies(
    v: &mut Violations,
    first: &str,
    raw: Vec<pb::PointCurrency>,
) -> Vec<PointCurrency> {
    if raw.len() > FURTHER_MAX {
        let most = format!("must be at most {FURTHER_MAX}");
        v.add("program.further_currencies", most);
    }
    let mut codes = std::collections::BTreeSet::from([first.to_owned()]);
    let mut further = Vec::new();
    for (n, raw) in raw.into_iter().take(FURTHER_MAX).enumerate() {
        let field = |name: &str| format!("program.further_currencies[{n}].{name}");
        let code = v.parse(field("code"), raw.code.as_str(), CurrencyCode::parse);
        if !codes.insert(raw.code) && code.is_some() {
            v.add(field("code"), "must be unique in the program");
        }
        let display_name = text(v, &field("display_name"), raw.display_name, 1..=200);
        if !(0..=DAYS_MAX).contains(&raw.validity_days) {
            let range = format!("must be 0 (for ever) to {DAYS_MAX}");
            v.add(field("validity_days"), range);
        }
        if let (Some(code), Some(display_name)) = (code, display_name) {
            further.push(PointCurrency {
                code,
                display_name,
                validity_days: raw.validity_days.into(),
            });
        }
    }
    further
}
