//! What purchases earn, and what that is decided on.

use api::customer::v1 as customer;
use api::loyalty::v1 as pb;
use api::r#type::v1::Money;

use super::Micros;
use super::member::Member;
use super::policies::{Versions, in_force};
use crate::answers::micros;

/// For each whole unit of this money there is a point.
pub const UNIT: (&str, i64) = ("USD", 1_000_000);
/// One posting moves no more points.
const POINTS_MAX: i64 = 1_000_000_000_000;
/// A tier with this multiplier leaves points as they are.
const AS_THEY_ARE: i32 = 10_000;

/// What a purchase comes to: multiplied by the tier of when it happened, under the version of the policy that held then.
/// Of what is not dated ahead, while no version that has held multiplies anything, these are those known when it is told
/// of. More versions may be known than where the tier is decided: that comes first.
pub fn basis(
    member: &Member,
    versions: &Versions,
    (purchase, now): (&customer::Transaction, Micros),
) -> pb::PurchaseBasis {
    let (currency, unit) = UNIT;
    let money = |micros| Money {
        currency_code: currency.to_owned(),
        micros,
    };
    let total = purchase.total.as_ref().expect("always given").micros;
    let at = micros(purchase.occurred_at.as_ref().expect("always given"));
    let last = member.policy(now).version;
    let held = versions.iter().filter(|version| version.version <= last);
    let mut tiers = held.flat_map(|version| &version.tiers);
    let (tier, multiplier, version) =
        if at > now || tiers.any(|tier| tier.multiplier_basis_points != AS_THEY_ARE) {
            // It does not count itself for what it earns.
            let held = member.tier_by(in_force(versions, at), at);
            let multiplier = held.multiplier_basis_points;
            (held.tier, multiplier, held.policy_version)
        } else {
            (member.tier.clone(), AS_THEY_ARE, last)
        };
    let units = total / unit;
    pb::PurchaseBasis {
        total: Some(money(total)),
        earning_rule: Some(pb::EarningRule {
            unit: Some(money(unit)),
            points_per_unit: 1,
        }),
        whole_units: units,
        dropped: Some(money(total % unit)),
        points: units * i64::from(multiplier) / 10_000,
        points_max: POINTS_MAX,
        base_points: units,
        tier,
        multiplier_basis_points: multiplier,
        tier_policy_version: version,
    }
}
