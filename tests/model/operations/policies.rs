//! Tier policies that are published.

use api::loyalty::v1 as pb;
use pb::{TierDowngrade as Downgrade, TierMetric as Metric, TierPeriod as Period};

use crate::service::{CLUB, CLUB_TIERS};

/// Over which time something counts, and how a tier falls.
const HELD: [(Period, Downgrade); 7] = [
    (Period::Rolling, Downgrade::Immediate),
    (Period::MembershipYear, Downgrade::ToEarned),
    (Period::CalendarYear, Downgrade::OneDown),
    (Period::Rolling, Downgrade::ToEarned),
    (Period::MembershipYear, Downgrade::OneDown),
    (Period::CalendarYear, Downgrade::ToEarned),
    (Period::Rolling, Downgrade::OneDown),
];
/// What counts, with what the second and the third tier are earned by.
const COUNTED: [(Metric, [i64; 2]); 3] = [
    (Metric::PointsEarned, [100, 250]),
    (Metric::Spend, [50_000_000, 150_000_000]),
    (Metric::Frequency, [1, 2]),
];

/// One policy of many: among so many numbers after one another as there are ways to hold a tier, each of those comes
/// about, and everything counts.
pub fn policy(program_id: &str, number: usize) -> pb::TierPolicy {
    let (period, downgrade) = HELD[number % HELD.len()];
    let (metric, thresholds) = COUNTED[number % COUNTED.len()];
    let (names, multipliers) = if program_id == CLUB {
        let tiers = CLUB_TIERS.map(|(name, _, multiplier)| (name, multiplier));
        (tiers.map(|it| it.0), tiers.map(|it| it.1))
    } else if number.is_multiple_of(4) {
        (["Bronze", "Silver", "Gold"], [10_000, 12_500, 20_000])
    } else {
        (["Bronze", "Silver", "Gold"], [0; 3])
    };
    let thresholds = [0, thresholds[0], thresholds[1]];
    let tiers = (1..).zip(names).zip(thresholds).zip(multipliers);
    let tier = |(((rank, name), threshold), multiplier): (((i32, &str), i64), i32)| pb::Tier {
        name: name.to_owned(),
        rank,
        threshold,
        multiplier_basis_points: multiplier,
        ..Default::default()
    };
    let mut tiers: Vec<_> = tiers.map(tier).collect();
    if number % 5 == 4 {
        tiers.remove(1);
    }
    let is_rolling = period == Period::Rolling;
    let is_immediate = downgrade == Downgrade::Immediate;
    pb::TierPolicy {
        tiers,
        metric: metric.into(),
        period: period.into(),
        downgrade: downgrade.into(),
        window_days: match number % 2 {
            0 if is_rolling => 1,
            _ => 0,
        },
        grace_days: match number % 4 {
            _ if is_immediate => 0,
            0 => 1,
            1 => 0,
            _ => 30,
        },
        utc_offset_minutes: if is_rolling {
            0
        } else {
            [0, -300, 345][number / 3 % 3]
        },
        ..Default::default()
    }
}
