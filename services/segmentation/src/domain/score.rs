//! The score: percentiles weighted, with the weight of what is missing shared out in proportion.
//!
//! Sums are rounded down once and their parts by running totals, so that the parts always add up.

use super::model::{Definition, WEIGHT_TOTAL};
use super::reference::{ONE, QuantileTable};

/// One indicator's part in a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The customer's value and its percentile; `None` when missing.
    pub value: Option<Value>,
    /// Weight after sharing out, in basis points; over all parts they sum to 10,000.
    pub effective_weight: i64,
    /// Effective weight × (percentile − ½); over all parts they sum to score − ½.
    pub contribution: i64,
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// As measured.
    pub raw: i64,
    /// Against the reference, in ppm.
    pub percentile: i64,
}

/// A score and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scored {
    /// In ppm.
    pub score: i64,
    /// One for each indicator of the model.
    pub parts: Vec<Part>,
}

/// Rates raw values (one for each indicator) against the tables of a reference (likewise).
pub fn score(definition: &Definition, tables: &[QuantileTable], raw: &[Option<i64>]) -> Scored {
    let values: Vec<Option<Value>> = tables
        .iter()
        .zip(raw)
        .map(|(table, &raw)| {
            let raw = raw.filter(|_| !table.is_empty())?;
            Some(Value {
                raw,
                percentile: table.percentile(raw),
            })
        })
        .collect();
    let present = present_weight(definition, &values);
    let (mut weights, mut numerator) = (0, 0);
    let (mut shared, mut contributed) = (0, 0);
    let parts = definition
        .indicators
        .iter()
        .zip(&values)
        .map(|(indicator, &value)| {
            if let Some(Value { percentile, .. }) = value {
                weights += indicator.weight;
                numerator += indicator.weight * (percentile - ONE / 2);
            }
            let part = Part {
                value,
                effective_weight: weights * WEIGHT_TOTAL / present - shared,
                contribution: numerator.div_euclid(present) - contributed,
            };
            shared += part.effective_weight;
            contributed += part.contribution;
            part
        })
        .collect();
    Scored {
        score: ONE / 2 + contributed,
        parts,
    }
}

/// The weights that are not missing. A model has an indicator that never is; the floor of one guards the
/// division all the same.
pub(super) fn present_weight(definition: &Definition, values: &[Option<Value>]) -> i64 {
    let present = definition
        .indicators
        .iter()
        .zip(values)
        .filter(|(_, value)| value.is_some());
    present
        .map(|(indicator, _)| indicator.weight)
        .sum::<i64>()
        .max(1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::model::{Bands, CUTS_DEFAULT, Indicator, Kind};
    use proptest::prelude::*;

    pub fn definition() -> Definition {
        let indicator = |kind, weight| Indicator {
            kind,
            window_days: 365,
            weight,
        };
        Definition {
            indicators: vec![
                indicator(Kind::Spend, 6_000),
                indicator(Kind::Frequency, 3_000),
                indicator(Kind::CategoryBreadth, 1_000),
            ],
            bands: Bands {
                cuts: CUTS_DEFAULT,
                margin: 40_000,
                dwell_days: 30,
            },
        }
    }

    pub fn tables() -> Vec<QuantileTable> {
        vec![
            QuantileTable::of((1..=1_001).map(|k| k * 1_000_000).collect()),
            QuantileTable::of((1..=1_001).map(|k| 1 + k / 100).collect()),
            QuantileTable::of((1..=1_001).map(|k| k % 7).collect()),
        ]
    }

    #[test]
    fn the_median_customer_scores_a_half() {
        let tables = vec![QuantileTable::of(vec![1, 2, 3]); 3];
        let scored = score(&definition(), &tables, &[Some(2), Some(2), Some(2)]);
        assert!((scored.score - ONE / 2).abs() < 1_000, "{}", scored.score);
    }

    #[test]
    fn a_missing_indicator_gives_its_weight_to_the_others_in_proportion() {
        let scored = score(
            &definition(),
            &tables(),
            &[Some(501_000_000), Some(3), None],
        );
        let weights: Vec<_> = scored
            .parts
            .iter()
            .map(|part| part.effective_weight)
            .collect();
        assert_eq!(weights, [6_666, 3_334, 0]);
        assert_eq!(
            scored.parts[2],
            Part {
                value: None,
                effective_weight: 0,
                contribution: 0
            }
        );
        // As if the model had been 2 : 1 from the start.
        let percentiles: Vec<_> = scored
            .parts
            .iter()
            .filter_map(|part| Some(part.value?.percentile))
            .collect();
        let exact = (2 * percentiles[0] + percentiles[1]).div_euclid(3);
        assert!((scored.score - exact).abs() <= 1);
    }

    #[test]
    fn an_indicator_nobody_has_is_missing_for_everybody() {
        let mut tables = tables();
        tables[2] = QuantileTable::of(vec![]);
        let scored = score(&definition(), &tables, &[Some(1), Some(1), Some(4)]);
        assert_eq!(scored.parts[2].value, None);
    }

    proptest! {
        #[test]
        fn parts_add_up(
            spend in 0_i64..2_000_000_000,
            orders in 0_i64..30,
            breadth in prop::option::of(0_i64..9),
        ) {
            let scored = score(&definition(), &tables(), &[Some(spend), Some(orders), breadth]);
            prop_assert!((0..=ONE).contains(&scored.score));
            let contributions: i64 = scored.parts.iter().map(|part| part.contribution).sum();
            prop_assert_eq!(contributions, scored.score - ONE / 2);
            let weights: i64 = scored.parts.iter().map(|part| part.effective_weight).sum();
            prop_assert_eq!(weights, WEIGHT_TOTAL);
        }

        #[test]
        fn more_spend_never_scores_less(low in 0_i64..2_000_000_000, more in 0_i64..2_000_000_000) {
            let at = |spend| score(&definition(), &tables(), &[Some(spend), Some(3), None]).score;
            prop_assert!(at(low) <= at(low + more));
        }
    }
}
