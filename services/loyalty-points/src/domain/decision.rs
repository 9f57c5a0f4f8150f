//! What a posting was decided on, where its lines do not tell: recorded with it and sealed with it, so that nobody
//! has to guess afterwards.

use serde::{Deserialize, Serialize};

use super::import::Row;
use super::limits::Applied;
use super::refund::Late;
use super::reversal::{Extent, Policy};
use super::terms::Recorded;
use super::tiers::ONE_IN_BASIS_POINTS;

/// What a posting was decided on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Decision {
    /// A purchase earned by the base rule.
    Purchase {
        /// Currency of the purchase and of the rule's unit.
        currency: String,
        /// What was paid.
        total_micros: i64,
        /// The amount that earns.
        unit_micros: i64,
        /// What it earns.
        points_per_unit: i64,
        /// The tier that the member had when it happened.
        tier: String,
        /// What that makes of the points, in basis points.
        multiplier: i64,
        /// By which version of the tier policy.
        policy_version: i64,
        /// What limits made of that; none: it was not limited.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        limits: Vec<Applied>,
    },
    /// A caller said how many points, and they were limited.
    Limited {
        /// So many.
        points: i64,
        /// What limits made of that; at least one.
        limits: Vec<Applied>,
        /// The lot that it makes; absent from older ones.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lots: Vec<Recorded>,
    },
    /// A caller or another posting said how many points: only what is told of the lots that it makes.
    Lots {
        /// In the order of the lines.
        lots: Vec<Recorded>,
    },
    /// A caller said how many points are held.
    Hold {
        /// When the hold times out, in microseconds since 1970.
        expires_at: i64,
    },
    /// The ledger of another system says so.
    Import(Row),
    /// An earning is taken back.
    Reversal {
        /// How much was asked for.
        asked: Asked,
        /// Where points may be taken from.
        policy: PolicyName,
        /// Points earned.
        earned: i64,
        /// Points that reversals took back before.
        reversed: i64,
        /// Points of its lot that adjustments took.
        adjusted: i64,
        /// Whether what was returned is what was returned of its lines so far.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        by_lines: bool,
    },
    /// A spending is given back.
    Refund {
        /// How much was asked for.
        asked: Asked,
        /// Days for which points of expired lots can be spent again; absent: they expire at once.
        grace_days: Option<i64>,
        /// Points spent.
        spent: i64,
        /// Points that were refunded before.
        refunded: i64,
        /// The lots that it makes; absent from older ones.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lots: Vec<Recorded>,
    },
}

/// How much was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// All that is left.
    Whole,
    /// So many points.
    Points(i64),
    /// What belongs to the part of a purchase that was returned so far.
    Returned {
        /// Amount of the purchase.
        original: i64,
        /// Amount returned.
        returned: i64,
    },
}

/// Where points may be taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyName {
    /// [`Policy::PendingOnly`]
    PendingOnly,
    /// [`Policy::WithinBalance`]
    WithinBalance,
    /// [`Policy::AllowDebt`]
    AllowDebt,
}

impl From<Extent> for Asked {
    fn from(extent: Extent) -> Self {
        match extent {
            Extent::Whole => Self::Whole,
            Extent::Points(points) => Self::Points(points.get()),
            Extent::Returned { original, returned } => Self::Returned { original, returned },
        }
    }
}

impl From<Policy> for PolicyName {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::PendingOnly => Self::PendingOnly,
            Policy::WithinBalance => Self::WithinBalance,
            Policy::AllowDebt => Self::AllowDebt,
        }
    }
}

/// Days of grace, if there is any.
pub fn grace_days(late: Late) -> Option<i64> {
    match late {
        Late::Expire => None,
        Late::Grace(grace) => Some(grace.num_days()),
    }
}

impl Decision {
    /// As it is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts are plain JSON")
    }

    /// As it was stored.
    pub fn from_json(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// With what is told of the lots that its posting makes, where that does not follow from the rest.
    pub fn with_lots(decision: Option<Self>, made: impl FnOnce() -> Vec<Recorded>) -> Option<Self> {
        match decision {
            None => Some(made())
                .filter(|lots| !lots.is_empty())
                .map(|lots| Self::Lots { lots }),
            Some(mut told) => {
                if let Self::Limited { lots, .. } | Self::Refund { lots, .. } = &mut told {
                    *lots = made();
                }
                Some(told)
            }
        }
    }

    /// What is told of the lots that its posting makes; `None` where it is not.
    pub fn lots(&self) -> Option<&[Recorded]> {
        match self {
            Self::Lots { lots } | Self::Limited { lots, .. } | Self::Refund { lots, .. } => {
                Some(lots)
                    .filter(|lots| !lots.is_empty())
                    .map(Vec::as_slice)
            }
            _ => None,
        }
    }

    /// Whether it says how many points the posting comes to.
    pub fn counts_points(&self) -> bool {
        !matches!(self, Self::Lots { .. } | Self::Hold { .. })
    }

    /// The points that it comes to; `None` if it comes to nothing sensible.
    pub fn points(&self) -> Option<i64> {
        match self {
            Self::Purchase { multiplier, .. } => {
                let points = i128::from(self.base_points()?) * i128::from(*multiplier);
                i64::try_from(points / i128::from(ONE_IN_BASIS_POINTS)).ok()
            }
            Self::Limited { points, .. } => Some(*points),
            Self::Lots { .. } | Self::Hold { .. } => None,
            Self::Import(row) => Some(row.points.abs()),
            Self::Reversal {
                asked,
                earned,
                reversed,
                adjusted,
                ..
            } => asked.of(*earned, *reversed, earned - reversed - adjusted),
            Self::Refund {
                asked,
                spent,
                refunded,
                ..
            } => asked.of(*spent, *refunded, spent - refunded),
        }
    }
}

impl Decision {
    /// What limits made of the points, in order. None: nothing was earned, or it was not limited.
    pub fn limits(&self) -> &[Applied] {
        match self {
            Self::Purchase { limits, .. } | Self::Limited { limits, .. } => limits,
            Self::Lots { .. }
            | Self::Hold { .. }
            | Self::Import(_)
            | Self::Reversal { .. }
            | Self::Refund { .. } => &[],
        }
    }

    /// The points that it comes to once limits have cut them; `None` if these do not follow on each other.
    pub fn limited_points(&self) -> Option<i64> {
        let mut points = self.points()?;
        for applied in self.limits() {
            if applied.before != points || !(0..=points).contains(&applied.after) {
                return None;
            }
            points = applied.after;
        }
        Some(points)
    }

    /// The points of a purchase by the base rule alone, in whole units; `None` if this is no purchase.
    pub fn base_points(&self) -> Option<i64> {
        let Self::Purchase {
            total_micros,
            unit_micros,
            points_per_unit,
            ..
        } = self
        else {
            return None;
        };
        let units = total_micros.checked_div_euclid(*unit_micros)?;
        units.checked_mul(*points_per_unit)
    }
}

impl Asked {
    /// A share is rounded down once over all returns so far, less what was taken before.
    fn of(self, all: i64, before: i64, left: i64) -> Option<i64> {
        match self {
            Self::Whole => Some(left),
            Self::Points(points) => Some(points),
            Self::Returned { original, returned } => {
                let share = i128::from(all) * i128::from(returned);
                let share = i64::try_from(share.checked_div(i128::from(original))?).ok()?;
                Some((share - before).min(left))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Scope;
    use super::*;

    fn purchase(total_micros: i64) -> Decision {
        Decision::Purchase {
            currency: "USD".to_owned(),
            total_micros,
            unit_micros: 2_000_000,
            points_per_unit: 3,
            tier: "Gold".to_owned(),
            multiplier: 15_000,
            policy_version: 2,
            limits: Vec::new(),
        }
    }

    fn cut(limit_id: &str, before: i64, after: i64) -> Applied {
        Applied {
            limit_id: limit_id.to_owned(),
            version: 1,
            scope: Scope::Program,
            window_start: 0,
            before,
            after,
        }
    }

    #[test]
    fn limits_follow_on_each_other() {
        let limited = |limits| Decision::Limited {
            points: 10,
            limits,
            lots: Vec::new(),
        };
        let comes_to = |limits| limited(limits).limited_points();
        assert_eq!(comes_to(vec![cut("a", 10, 10), cut("b", 10, 4)]), Some(4));
        assert_eq!(comes_to(vec![cut("a", 10, 6), cut("b", 10, 4)]), None);
        assert_eq!(comes_to(vec![cut("a", 10, 11)]), None);
        let stored = r#"{"by":"limited","points":10,"limits":[{"limit_id":"a","version":1,"scope":"program","window_start":0,"before":10,"after":4}]}"#;
        let decision = limited(vec![cut("a", 10, 4)]);
        assert_eq!(decision.to_json(), stored);
        assert_eq!(Decision::from_json(stored), Some(decision));
    }

    #[test]
    fn a_purchase_is_rounded_down_to_whole_units_and_again_when_multiplied() {
        assert_eq!(purchase(5_999_999).base_points(), Some(6));
        assert_eq!(purchase(3_000_000).points(), Some(4));
        assert_eq!(
            purchase(i64::MAX).base_points(),
            Some(i64::MAX / 2_000_000 * 3)
        );
    }

    #[test]
    fn a_returned_share_is_rounded_once_over_all_returns() {
        let returned = |returned, reversed| Decision::Reversal {
            asked: Asked::Returned {
                original: 3,
                returned,
            },
            policy: PolicyName::AllowDebt,
            earned: 100,
            reversed,
            adjusted: 0,
            by_lines: false,
        };
        assert_eq!(returned(1, 0).points(), Some(33));
        assert_eq!(returned(2, 33).points(), Some(33));
        assert_eq!(returned(3, 66).points(), Some(34));
    }

    #[test]
    fn what_is_stored_reads_back() {
        let refund = Decision::Refund {
            asked: Asked::Points(7),
            grace_days: Some(3),
            spent: 10,
            refunded: 1,
            lots: Vec::new(),
        };
        let stored = r#"{"by":"purchase","currency":"USD","total_micros":1,"unit_micros":2000000,"points_per_unit":3,"tier":"Gold","multiplier":15000,"policy_version":2}"#;
        assert_eq!(purchase(1).to_json(), stored);
        let hold = Decision::Hold { expires_at: 7 };
        let lots = vec![Recorded::default()];
        let made = Decision::with_lots(None, || lots.clone()).unwrap();
        assert_eq!(made.to_json(), r#"{"by":"lots","lots":[{}]}"#);
        let refund_into = Decision::with_lots(Some(refund.clone()), || lots.clone()).unwrap();
        for told in [&made, &refund_into] {
            assert_eq!(told.lots(), Some(lots.as_slice()));
        }
        assert_eq!(refund.lots(), None);
        for decision in [refund, refund_into, made, hold, purchase(1)] {
            assert_eq!(Decision::from_json(&decision.to_json()), Some(decision));
        }
        assert_eq!(Decision::from_json("{}"), None);
    }
}
