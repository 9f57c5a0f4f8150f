//! Why a posting came to its points: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use common::time::Timestamp;
use common::validate::Violations;
use pb::get_decision_trace_response::Basis as Told;
use tonic::Response;

use super::{Answer, limits, parse, present, raw_of};
use crate::State;
use crate::audit::trace::{self, Basis, Step};
use crate::domain::POINTS_PER_POSTING_MAX;
use crate::domain::decision::{Asked, Decision, PolicyName};
use crate::domain::import::RowKind;
use crate::domain::replay::What;

pub async fn get(
    state: &State,
    request: pb::GetDecisionTraceRequest,
) -> Answer<pb::GetDecisionTraceResponse> {
    let mut v = Violations::new();
    let raw = raw_of(&request.program_id, &request.customer_id, "");
    let of = parse::of(&mut v, &raw);
    let (of,) = v.all((of,))?;
    let trace = trace::trace(state, &of, &request.transaction_id).await?;
    Ok(Response::new(pb::GetDecisionTraceResponse {
        transaction: Some(present::transaction(
            &trace.posting,
            &trace.entries,
            &trace.currency,
        )),
        basis: basis(trace.basis),
        steps: trace.steps.into_iter().map(step).collect(),
        limits: trace.limits.into_iter().map(limits::applied).collect(),
    }))
}

fn basis(basis: Basis) -> Option<Told> {
    match basis {
        Basis::Asked(points) => Some(Told::Asked(pb::AskedBasis { points })),
        Basis::Clock => Some(Told::Clock(pb::ClockBasis {})),
        Basis::Recorded(decision, points) => Some(recorded(decision, points)),
        Basis::Unrecorded => None,
    }
}

fn recorded(decision: Decision, points: i64) -> Told {
    let base_points = decision.base_points().unwrap_or_default();
    match decision {
        Decision::Purchase {
            currency,
            total_micros,
            unit_micros,
            points_per_unit,
            tier,
            multiplier,
            policy_version,
            limits: _,
        } => {
            let money = |micros| {
                Some(Money {
                    currency_code: currency.clone(),
                    micros,
                })
            };
            Told::Purchase(pb::PurchaseBasis {
                total: money(total_micros),
                earning_rule: Some(pb::EarningRule {
                    unit: money(unit_micros),
                    points_per_unit,
                }),
                whole_units: total_micros.div_euclid(unit_micros),
                dropped: money(total_micros.rem_euclid(unit_micros)),
                base_points,
                tier,
                multiplier_basis_points: i32::try_from(multiplier).unwrap_or(i32::MAX),
                tier_policy_version: policy_version,
                points,
                points_max: POINTS_PER_POSTING_MAX,
            })
        }
        Decision::Limited { .. } | Decision::Lots { .. } | Decision::Hold { .. } => {
            Told::Asked(pb::AskedBasis { points })
        }
        Decision::Import(row) => {
            let recorded_at = row.recorded_at.map(Timestamp::from_micros);
            Told::Import(pb::ImportBasis {
                points,
                recorded_at: recorded_at.map(Into::into),
                actor: row.actor,
                qualifying: row.kind == RowKind::Earn && row.qualifies,
                force: row.force,
            })
        }
        Decision::Reversal {
            asked,
            policy,
            earned,
            reversed,
            adjusted,
            by_lines: _,
        } => {
            let policy = match policy {
                PolicyName::PendingOnly => pb::ReversalPolicy::PendingOnly,
                PolicyName::WithinBalance => pb::ReversalPolicy::WithinBalance,
                PolicyName::AllowDebt => pb::ReversalPolicy::AllowDebt,
            };
            Told::Reversal(pb::ReversalBasis {
                extent: Some(extent(asked)),
                policy: policy.into(),
                earned,
                reversed_before: reversed,
                adjusted,
                points,
            })
        }
        Decision::Refund {
            asked,
            grace_days,
            spent,
            refunded,
            lots: _,
        } => Told::Refund(pb::RefundBasis {
            extent: Some(extent(asked)),
            grace_days: grace_days
                .and_then(|days| i32::try_from(days).ok())
                .unwrap_or_default(),
            spent,
            refunded_before: refunded,
            points,
        }),
    }
}

fn extent(asked: Asked) -> pb::DecisionExtent {
    use pb::decision_extent::Extent;
    let extent = match asked {
        Asked::Whole => Extent::Whole(true),
        Asked::Points(points) => Extent::Points(points),
        Asked::Returned { original, returned } => Extent::Share(pb::DecisionShare {
            original_micros: original,
            returned_micros: returned,
        }),
    };
    pb::DecisionExtent {
        extent: Some(extent),
    }
}

fn step(step: Step) -> pb::DecisionStep {
    let kind = match step.told.what {
        What::Made => pb::DecisionStepKind::Made,
        What::Spent => pb::DecisionStepKind::Spent,
        What::Sent => pb::DecisionStepKind::Sent,
        What::Taken => pb::DecisionStepKind::Taken,
        What::Expired => pb::DecisionStepKind::Expired,
        What::TakenBack => pb::DecisionStepKind::TakenBack,
        What::TakenBackExpired => pb::DecisionStepKind::TakenBackExpired,
        What::Recovered => pb::DecisionStepKind::Recovered,
        What::Owed => pb::DecisionStepKind::Owed,
        What::Repaid => pb::DecisionStepKind::Repaid,
        What::Held => pb::DecisionStepKind::Held,
        What::Captured => pb::DecisionStepKind::Captured,
        What::Released => pb::DecisionStepKind::Released,
        What::Returned => pb::DecisionStepKind::Returned,
        What::Moved => pb::DecisionStepKind::Moved,
        What::Passed => pb::DecisionStepKind::Passed,
    };
    let (earned_at, expires_at) = step.lot.unzip();
    pb::DecisionStep {
        kind: kind.into(),
        points: step.told.points,
        lot_id: step.told.lot_id.unwrap_or_default(),
        hold_id: step.told.hold_id.unwrap_or_default(),
        lot_remaining: step.told.remaining.unwrap_or_default(),
        lot_earned_at: earned_at.map(Into::into),
        lot_expires_at: expires_at.flatten().map(Into::into),
    }
}
