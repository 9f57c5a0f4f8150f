//! What a tier makes of the points that a purchase earns, and what is left of the money of one.

use super::program::Earning;
use super::tiers::ONE_IN_BASIS_POINTS;
use super::{POINTS_PER_POSTING_MAX, Points};

/// The points of the base rule, multiplied and rounded down.
pub fn multiplied(earning: Earning, basis_points: i64) -> Earning {
    let Earning::Points(base) = earning else {
        return earning;
    };
    let points =
        i128::from(base.get()) * i128::from(basis_points) / i128::from(ONE_IN_BASIS_POINTS);
    match i64::try_from(points) {
        Ok(0) => Earning::Nothing,
        Ok(points) if points <= POINTS_PER_POSTING_MAX => {
            Points::parse(points).map_or(Earning::TooMuch, Earning::Points)
        }
        _ => Earning::TooMuch,
    }
}

/// What is left of the money of a purchase once `part` of the `whole` was taken back. `whole` is above zero.
pub fn left(spend: i64, part: i64, whole: i64) -> i64 {
    let returned = i128::from(spend) * i128::from(part) / i128::from(whole);
    (spend - i64::try_from(returned).unwrap_or(spend)).clamp(0, spend)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(points: i64) -> Earning {
        Earning::Points(Points::parse(points).unwrap())
    }

    #[test]
    fn multipliers_round_down() {
        assert_eq!(multiplied(points(3), 15_000), points(4));
        assert_eq!(multiplied(points(1), 9_999), Earning::Nothing);
        assert_eq!(multiplied(points(7), ONE_IN_BASIS_POINTS), points(7));
        assert_eq!(multiplied(Earning::Nothing, 15_000), Earning::Nothing);
        let most = points(POINTS_PER_POSTING_MAX);
        assert_eq!(multiplied(most, ONE_IN_BASIS_POINTS), most);
        assert_eq!(multiplied(most, 10_001), Earning::TooMuch);
    }

    proptest! {
        /// Whatever parts are taken back, the money never grows, and all of it goes with the whole.
        #[test]
        fn money_goes_with_what_is_taken_back(
            (spend, whole) in (1_i64..i64::MAX, 1_i64..1_000_000_000_000),
            (a, b) in (0.0..1.0, 0.0..1.0),
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any part will do")]
            let part = |share: f64| ((whole as f64 * share) as i64).clamp(0, whole);
            let (less, more) = (part(a).min(part(b)), part(a).max(part(b)));
            prop_assert!(left(spend, more, whole) <= left(spend, less, whole));
            prop_assert_eq!(left(spend, 0, whole), spend);
            prop_assert_eq!(left(spend, whole, whole), 0);
        }
    }
}
