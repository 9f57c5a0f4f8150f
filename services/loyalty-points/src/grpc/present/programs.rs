//! Programs and their sums as the caller sees them.

use api::loyalty::v1 as pb;
use common::time::Timestamp;

use super::small;
use crate::domain::currency::PointCurrency;
use crate::domain::program::Program;
use crate::grpc::policies;
use crate::programs::{CurrencySummary, Summary};

pub fn program(program: &Program, now: Timestamp) -> pb::Program {
    pb::Program {
        program_id: program.program_id.to_string(),
        display_name: program.display_name.clone(),
        points_currency: program.points_currency.to_string(),
        earning_rule: Some(pb::EarningRule {
            unit: Some(program.earning_rule.unit.clone().into()),
            points_per_unit: program.earning_rule.points_per_unit,
        }),
        validity_days: small(program.validity_days),
        expiry_notice_days: program
            .expiry_notice_days
            .iter()
            .map(|days| small(*days))
            .collect(),
        adjustment_approval_limit: program.adjustment_approval_limit,
        tier_policy: Some(policies::present(program.policy_at(now))),
        created_at: Some(program.created_at.into()),
        further_currencies: program.further_currencies.iter().map(currency).collect(),
    }
}

fn currency(currency: &PointCurrency) -> pb::PointCurrency {
    pb::PointCurrency {
        code: currency.code.to_string(),
        display_name: currency.display_name.clone(),
        validity_days: small(currency.validity_days),
    }
}

pub fn summary(summary: Summary) -> pb::GetProgramSummaryResponse {
    let tiers = summary.tiers.into_iter().map(|count| pb::TierCount {
        tier: count.name,
        rank: small(count.rank),
        members: count.members,
    });
    let tiers: Vec<_> = tiers.collect();
    let currency = |summary: CurrencySummary| pb::CurrencySummary {
        points_currency: summary.currency,
        points_outstanding: summary.held.outstanding,
        points_pending: summary.held.pending,
        points_debt: summary.debt,
        points_held: summary.held.on_hold,
    };
    let currencies: Vec<_> = summary.currencies.into_iter().map(currency).collect();
    let first = currencies.first().cloned().unwrap_or_default();
    pb::GetProgramSummaryResponse {
        program_id: summary.program_id.to_string(),
        as_of: Some(summary.as_of.into()),
        members: tiers.iter().map(|count| count.members).sum(),
        points_outstanding: first.points_outstanding,
        points_pending: first.points_pending,
        points_debt: first.points_debt,
        points_held: first.points_held,
        tiers,
        currencies,
    }
}
