//! A frozen picture of one indicator over the base: 1,001 quantiles, and percentiles against them.

use serde::{Deserialize, Serialize};

/// Entries of a table.
const ENTRIES: usize = 1_001;
/// One, in parts per million.
pub const ONE: i64 = 1_000_000;

/// Quantiles of an indicator over the customers who have a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantileTable {
    population: i64,
    /// Ascending; empty or 1,001 entries. Entry k is the observed value of rank floor(k n / 1001), so
    /// that every customer is represented by as many entries as every other, give or take one.
    quantiles: Vec<i64>,
}

impl QuantileTable {
    /// Freezes values given in any order.
    pub fn of(mut values: Vec<i64>) -> Self {
        values.sort_unstable();
        let population = i64::try_from(values.len()).expect("a population fits 63 bits");
        let entries = if values.is_empty() { 0 } else { ENTRIES };
        let quantiles = (0..entries)
            .map(|k| values[k * values.len() / ENTRIES])
            .collect();
        Self {
            population,
            quantiles,
        }
    }

    /// How many customers it pictures.
    pub fn population(&self) -> i64 {
        self.population
    }

    /// Whether it pictures nobody: then there is nothing to compare with.
    pub fn is_empty(&self) -> bool {
        self.quantiles.is_empty()
    }

    /// Mid-rank percentile in ppm: the entries below, plus half of those equal.
    pub fn percentile(&self, value: i64) -> i64 {
        let below = self.quantiles.partition_point(|&entry| entry < value);
        let up_to = self.quantiles.partition_point(|&entry| entry <= value);
        let twice = i64::try_from(below + up_to).expect("at most 2,002");
        let entries = i64::try_from(ENTRIES).expect("1,001");
        twice * ONE / (2 * entries)
    }

    /// The least value from 0 up with at least this percentile; `None` above one or without a population.
    pub fn least_with(&self, percentile: i64) -> Option<i64> {
        let highest = *self.quantiles.last()?;
        if percentile > ONE {
            return None;
        }
        // Percentiles never fall as values grow, so bisect; above the highest entry all are one.
        let (mut low, mut high) = (0, highest.max(0).saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.percentile(middle) >= percentile {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_get_the_middle_of_their_ranks() {
        let all_equal = QuantileTable::of(vec![5; 9]);
        assert_eq!(
            [4, 5, 6].map(|v| all_equal.percentile(v)),
            [0, 500_000, ONE]
        );
    }

    #[test]
    fn small_populations_keep_their_mid_ranks_within_a_thousandth() {
        let table = QuantileTable::of(vec![50, 10, 40, 20, 30]);
        for (value, exact) in [(10, 100_000), (20, 300_000), (30, 500_000), (50, 900_000)] {
            assert!((table.percentile(value) - exact).abs() <= 1_000, "{value}");
        }
        assert_eq!(table.percentile(0), 0);
        assert_eq!(table.population(), 5);
    }

    #[test]
    fn nobody_to_compare_with_has_no_inverse() {
        let nobody = QuantileTable::of(vec![]);
        assert!(nobody.is_empty());
        assert_eq!(nobody.least_with(1), None);
    }

    proptest! {
        #[test]
        fn percentiles_follow_exact_mid_ranks(values in prop::collection::vec(0_i64..50, 1..400)) {
            let table = QuantileTable::of(values.clone());
            for probe in 0..51 {
                let below = values.iter().filter(|&&v| v < probe).count();
                let equal = values.iter().filter(|&&v| v == probe).count();
                let exact = (2 * below + equal) as f64 / (2 * values.len()) as f64;
                let got = table.percentile(probe) as f64 / ONE as f64;
                prop_assert!((got - exact).abs() < 0.0011, "{probe}: {got} against {exact}");
            }
        }

        #[test]
        fn the_inverse_is_the_least_value_that_reaches_the_percentile(
            values in prop::collection::vec(0_i64..1_000_000_000, 1..400),
            percentile in 0_i64..=ONE,
        ) {
            let table = QuantileTable::of(values);
            let least = table.least_with(percentile).unwrap();
            prop_assert!(table.percentile(least) >= percentile);
            prop_assert!(least == 0 || table.percentile(least - 1) < percentile);
        }
    }
}
