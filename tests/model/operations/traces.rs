//! What an earning was decided on, as its trace tells it.

use api::loyalty::v1 as pb;
use pb::get_decision_trace_response::Basis;

/// The part of a trace that is about limits and purchases.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traced {
    pub limits: Vec<pb::DecisionLimit>,
    /// What it was decided on, if a purchase earned.
    pub purchase: Option<pb::PurchaseBasis>,
}

impl From<pb::GetDecisionTraceResponse> for Traced {
    fn from(told: pb::GetDecisionTraceResponse) -> Self {
        let purchase = match told.basis {
            Some(Basis::Purchase(it)) => Some(it),
            _ => None,
        };
        Self {
            limits: told.limits,
            purchase,
        }
    }
}
