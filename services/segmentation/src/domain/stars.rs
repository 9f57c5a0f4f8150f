//! From score to stars, with hysteresis: promoted at once beyond the margin, demoted late.

use chrono::TimeDelta;
use common::time::Timestamp;

use super::model::Bands;

/// Why the stars are not those of the score alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldReason {
    /// They are.
    NotHeld,
    /// Not beyond a higher cut by the margin.
    PromotionMargin,
    /// Not below a cut by the margin.
    DemotionMargin,
    /// Not long enough with the present stars.
    MinimumDwell,
}

impl HeldReason {
    const ALL: [Self; 4] = [
        Self::NotHeld,
        Self::PromotionMargin,
        Self::DemotionMargin,
        Self::MinimumDwell,
    ];

    /// As stored.
    pub fn code(self) -> i64 {
        match self {
            Self::NotHeld => 0,
            Self::PromotionMargin => 1,
            Self::DemotionMargin => 2,
            Self::MinimumDwell => 3,
        }
    }

    /// From what is stored.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// The stars a customer had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Previous {
    /// 1 to 5.
    pub stars: i64,
    /// Since when.
    pub since: Timestamp,
}

/// The stars a customer gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What counts.
    pub stars: i64,
    /// What the score alone says.
    pub raw_stars: i64,
    /// Why they differ.
    pub held: HeldReason,
    /// Since when the stars are these.
    pub since: Timestamp,
}

/// Decides the stars for a score. Deciding again at the same instant changes nothing.
pub fn decide(bands: &Bands, score: i64, previous: Option<Previous>, as_of: Timestamp) -> Decision {
    let raw_stars = stars_at(bands, score);
    let Some(previous) = previous else {
        return Decision {
            stars: raw_stars,
            raw_stars,
            held: HeldReason::NotHeld,
            since: as_of,
        };
    };
    let (stars, held) = if raw_stars >= previous.stars {
        let stars = stars_at(bands, score - bands.margin).max(previous.stars);
        (stars, HeldReason::PromotionMargin)
    } else {
        let stars = stars_at(bands, score + bands.margin).min(previous.stars);
        let dwelt = as_of - previous.since >= TimeDelta::days(bands.dwell_days);
        if stars < previous.stars && !dwelt {
            (previous.stars, HeldReason::MinimumDwell)
        } else {
            (stars, HeldReason::DemotionMargin)
        }
    };
    Decision {
        stars,
        raw_stars,
        held: if stars == raw_stars {
            HeldReason::NotHeld
        } else {
            held
        },
        since: if stars == previous.stars {
            previous.since
        } else {
            as_of
        },
    }
}

/// Stars of a score without any history.
fn stars_at(bands: &Bands, score: i64) -> i64 {
    1 + i64::try_from(bands.cuts.partition_point(|&cut| cut <= score)).expect("there are four cuts")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::CUTS_DEFAULT;
    use proptest::prelude::*;

    const BANDS: Bands = Bands {
        cuts: CUTS_DEFAULT,
        margin: 40_000,
        dwell_days: 30,
    };

    fn day(day: i64) -> Timestamp {
        Timestamp::from_micros(day * 86_400_000_000)
    }

    fn after(stars: i64, days: i64, score: i64) -> (i64, HeldReason) {
        let previous = Previous {
            stars,
            since: day(0),
        };
        let decision = decide(&BANDS, score, Some(previous), day(days));
        (decision.stars, decision.held)
    }

    #[test]
    fn the_first_rating_takes_the_cuts_as_they_are() {
        for (score, stars) in [
            (0, 1),
            (199_999, 1),
            (200_000, 2),
            (800_000, 5),
            (1_000_000, 5),
        ] {
            assert_eq!(decide(&BANDS, score, None, day(0)).stars, stars, "{score}");
        }
    }

    #[test]
    fn a_promotion_is_immediate_but_needs_the_margin() {
        assert_eq!(after(2, 0, 439_999), (2, HeldReason::PromotionMargin));
        assert_eq!(after(2, 0, 440_000), (3, HeldReason::NotHeld));
    }

    #[test]
    fn a_large_move_whose_last_cut_is_inside_the_margin_stops_one_star_short() {
        assert_eq!(after(1, 0, 810_000), (4, HeldReason::PromotionMargin));
        assert_eq!(after(5, 99, 190_000), (2, HeldReason::DemotionMargin));
    }

    #[test]
    fn a_demotion_needs_the_margin_and_the_dwell() {
        assert_eq!(after(3, 99, 360_000), (3, HeldReason::DemotionMargin));
        assert_eq!(after(3, 29, 359_999), (3, HeldReason::MinimumDwell));
        assert_eq!(after(3, 30, 359_999), (2, HeldReason::NotHeld));
    }

    #[test]
    fn stars_that_stay_keep_their_date() {
        let previous = Previous {
            stars: 3,
            since: day(1),
        };
        assert_eq!(
            decide(&BANDS, 500_000, Some(previous), day(50)).since,
            day(1)
        );
        assert_eq!(
            decide(&BANDS, 900_000, Some(previous), day(50)).since,
            day(50)
        );
    }

    proptest! {
        #[test]
        fn deciding_again_changes_nothing(stars in 1_i64..=5, days in 0_i64..60, score in 0_i64..=1_000_000) {
            let previous = Previous { stars, since: day(0) };
            let once = decide(&BANDS, score, Some(previous), day(days));
            let again = Previous { stars: once.stars, since: once.since };
            let twice = decide(&BANDS, score, Some(again), day(days));
            prop_assert_eq!((once.stars, once.raw_stars, once.since), (twice.stars, twice.raw_stars, twice.since));
        }
    }
}
