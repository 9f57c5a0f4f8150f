//! Quintile cuts (type 7) and the scores they give, in exact arithmetic: a cut is kept in fifths.

/// How a value that meets a cut is scored; published as `QuintileRule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TieRule {
    /// Above the cut belongs to the higher fifth, on it to the lower.
    AboveCut,
    /// The R package rfm: on or above (cut + one unit) belongs to the higher fifth.
    RRfm,
}

impl TieRule {
    /// As stored.
    pub fn code(self) -> i64 {
        match self {
            Self::AboveCut => 1,
            Self::RRfm => 2,
        }
    }

    /// From what is stored.
    pub fn from_code(code: i64) -> Option<Self> {
        [Self::AboveCut, Self::RRfm]
            .into_iter()
            .find(|rule| rule.code() == code)
    }
}

/// The 20, 40, 60 and 80 % quantiles of a set of values, in fifths of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cuts {
    fifths: [i128; 4],
    rule: TieRule,
}

impl Cuts {
    /// Cuts of values in any order; `None` when there are none. `unit` is what the rule of R adds: 1, or a
    /// currency unit in micros.
    pub fn of(mut values: Vec<i64>, rule: TieRule, unit: i64) -> Option<Self> {
        values.sort_unstable();
        let last = values.len().checked_sub(1)?;
        let raise = match rule {
            TieRule::AboveCut => 0,
            TieRule::RRfm => 5 * i128::from(unit),
        };
        let fifths = [1, 2, 3, 4].map(|k: usize| {
            // Type 7 interpolates at position (n - 1) * k / 5 of the sorted values.
            let (at, rest) = (last * k / 5, last * k % 5);
            let low = i128::from(values[at]);
            let high = i128::from(values[(at + 1).min(last)]);
            5 * low
                + i128::try_from(rest).expect("a remainder of 5 is small") * (high - low)
                + raise
        });
        Some(Self { fifths, rule })
    }

    /// 1 for the lowest fifth to 5 for the highest. Equal values score alike.
    pub fn rank(&self, value: i64) -> i64 {
        let value = 5 * i128::from(value);
        let reached = self.fifths.iter().filter(|&&cut| match self.rule {
            TieRule::AboveCut => value > cut,
            TieRule::RRfm => value >= cut,
        });
        1 + i64::try_from(reached.count()).expect("there are four cuts")
    }

    /// The same for values of which less is better.
    pub fn rank_reversed(&self, value: i64) -> i64 {
        6 - self.rank(value)
    }

    /// For people, in multiples of `unit`.
    #[expect(clippy::cast_precision_loss, reason = "shown, never computed with")]
    pub fn display(&self, unit: i64) -> Vec<f64> {
        self.fifths
            .iter()
            .map(|&cut| cut as f64 / 5.0 / unit as f64)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_interpolate_between_neighbours() {
        let cuts = Cuts::of(vec![40, 10, 30, 20], TieRule::AboveCut, 1).unwrap();
        assert_eq!(cuts.display(1), [16.0, 22.0, 28.0, 34.0]);
        assert_eq!(
            [10, 16, 17, 28, 29, 34, 35].map(|v| cuts.rank(v)),
            [1, 1, 2, 3, 4, 4, 5]
        );
        assert_eq!(cuts.rank_reversed(10), 5);
    }

    #[test]
    fn ties_share_the_lower_score_and_may_leave_one_empty() {
        let orders = [vec![1; 6], vec![2; 2], vec![3, 9]].concat();
        let cuts = Cuts::of(orders, TieRule::AboveCut, 1).unwrap();
        assert_eq!(cuts.display(1), [1.0, 1.0, 1.4, 2.2]);
        assert_eq!([1, 2, 3, 9].map(|v| cuts.rank(v)), [1, 4, 5, 5]);
    }

    #[test]
    fn the_rule_of_r_raises_every_cut_by_one() {
        let cuts = Cuts::of(vec![1, 2, 3, 4, 5, 6], TieRule::RRfm, 1).unwrap();
        assert_eq!(cuts.display(1), [3.0, 4.0, 5.0, 6.0]);
        assert_eq!([2, 3, 6].map(|v| cuts.rank(v)), [1, 2, 5]);
    }

    #[test]
    fn one_customer_or_equal_customers_score_lowest() {
        for values in [vec![7], vec![7; 50]] {
            assert_eq!(Cuts::of(values, TieRule::AboveCut, 1).unwrap().rank(7), 1);
        }
        assert_eq!(Cuts::of(vec![], TieRule::AboveCut, 1), None);
    }

    proptest! {
        #[test]
        fn a_higher_value_never_ranks_lower(mut values in prop::collection::vec(any::<i64>(), 1..200)) {
            for rule in [TieRule::AboveCut, TieRule::RRfm] {
                let cuts = Cuts::of(values.clone(), rule, 1_000_000).unwrap();
                values.sort_unstable();
                let ranks: Vec<_> = values.iter().map(|&v| cuts.rank(v)).collect();
                prop_assert!(ranks.is_sorted());
                prop_assert!(ranks.iter().all(|rank| (1..=5).contains(rank)));
            }
        }
    }
}
