//! The rating model: what counts, how much, and where the stars begin.

use serde::{Deserialize, Serialize};

use super::reference::ONE;

/// Weights of a model sum to this.
pub const WEIGHT_TOTAL: i64 = 10_000;
/// Default cuts in ppm.
pub const CUTS_DEFAULT: [i64; 4] = [200_000, 400_000, 600_000, 800_000];
/// Default margin in ppm: in the trial of the reference it halves the churn of stars.
pub const MARGIN_DEFAULT: i64 = 40_000;
/// Default minimum dwell.
pub const DWELL_DAYS_DEFAULT: i64 = 30;

/// What an indicator measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Money spent, in micros.
    Spend,
    /// Orders.
    Frequency,
    /// Distinct categories; missing where purchases carry none.
    CategoryBreadth,
}

/// One input of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indicator {
    /// What is measured.
    pub kind: Kind,
    /// Over how many days.
    pub window_days: i64,
    /// Its share, in basis points.
    pub weight: i64,
}

/// Where the stars begin and how firmly they stick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bands {
    /// Scores from which on there are 2, 3, 4 and 5 stars.
    pub cuts: [i64; 4],
    /// Distance from a cut that a change needs.
    pub margin: i64,
    /// Days before a demotion.
    pub dwell_days: i64,
}

/// The definition of a model; immutable once stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// At least one of spend or frequency among them.
    pub indicators: Vec<Indicator>,
    /// Where the stars begin.
    pub bands: Bands,
}

impl Bands {
    /// What is wrong with the cuts.
    pub fn cuts_of(given: &[i64]) -> Result<[i64; 4], String> {
        let cuts: [i64; 4] = match given {
            [] => CUTS_DEFAULT,
            given => given
                .try_into()
                .map_err(|_| "must have four entries, or none".to_owned())?,
        };
        let ascending = cuts.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || cuts.iter().any(|cut| !(1..=ONE).contains(cut)) {
            return Err("must ascend and be between 1 and 1000000".to_owned());
        }
        Ok(cuts)
    }

    /// What is wrong with a margin for these cuts.
    pub fn margin_of(margin: i64, cuts: [i64; 4]) -> Result<i64, String> {
        // Margins that overlap would let one score satisfy a promotion and a demotion.
        let gap = cuts
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .min()
            .expect("there are four cuts");
        let fits = margin < cuts[0] && margin <= ONE - cuts[3] && margin <= (gap - 1) / 2;
        if margin < 0 || !fits {
            return Err(
                "must be 0 or more, less than half the distance of any two cuts, below the \
                 first cut, and within 1000000 of the last"
                    .to_owned(),
            );
        }
        Ok(margin)
    }
}

impl Definition {
    /// What is wrong with the indicators taken together.
    pub fn check_indicators(indicators: &[Indicator]) -> Result<(), String> {
        if indicators.is_empty() || indicators.len() > 10 {
            return Err("must have 1 to 10 entries".to_owned());
        }
        let total: i64 = indicators.iter().map(|indicator| indicator.weight).sum();
        if total != WEIGHT_TOTAL {
            return Err(format!(
                "must have weights that sum to {WEIGHT_TOTAL}, not {total}"
            ));
        }
        if indicators
            .iter()
            .all(|indicator| indicator.kind == Kind::CategoryBreadth)
        {
            return Err("must include spend or frequency, which are never missing".to_owned());
        }
        let repeated = indicators.iter().enumerate().any(|(at, one)| {
            indicators[..at]
                .iter()
                .any(|other| (other.kind, other.window_days) == (one.kind, one.window_days))
        });
        if repeated {
            return Err("must not name a kind and window twice".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_margins_are_refused() {
        assert!(Bands::margin_of(MARGIN_DEFAULT, CUTS_DEFAULT).is_ok());
        for bad in [-1, 100_000, 200_000] {
            assert!(Bands::margin_of(bad, CUTS_DEFAULT).is_err(), "{bad}");
        }
    }

    #[test]
    fn cuts_ascend() {
        assert_eq!(Bands::cuts_of(&[]), Ok(CUTS_DEFAULT));
        for bad in [
            &[1, 2, 3][..],
            &[4, 3, 2, 1],
            &[0, 1, 2, 3],
            &[1, 2, 3, ONE + 1],
        ] {
            assert!(Bands::cuts_of(bad).is_err(), "{bad:?}");
        }
    }
}
