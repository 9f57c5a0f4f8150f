//! Why a customer has their stars: what each indicator adds, and what would bring the next one.

use std::fmt::Write as _;

use chrono::TimeDelta;
use common::money::Currency;
use common::time::Timestamp;

use super::model::{Bands, Definition, Indicator, Kind};
use super::reference::{ONE, QuantileTable};
use super::score::{Part, Scored, Value, present_weight};
use super::stars::{Decision, HeldReason};

/// An explanation, without the words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// For each indicator, how much more of it alone would bring the next star.
    pub needed: Vec<Option<i64>>,
    /// The score that brings the next star; `None` with five.
    pub next_score: Option<i64>,
    /// The score below which a star goes; `None` with one.
    pub demotion_score: Option<i64>,
    /// Until when the dwell protects.
    pub dwell_until: Timestamp,
}

/// Explains stars that were given for a score.
pub fn explain(
    definition: &Definition,
    tables: &[QuantileTable],
    scored: &Scored,
    decision: &Decision,
) -> Explanation {
    let bands = &definition.bands;
    let next_score = next_score(bands, decision.stars);
    let needed = (0..scored.parts.len())
        .map(|at| needed(definition, tables, scored, at, next_score?))
        .collect();
    Explanation {
        needed,
        next_score,
        demotion_score: demotion_score(bands, decision.stars),
        dwell_until: decision.since + TimeDelta::days(bands.dwell_days),
    }
}

fn next_score(bands: &Bands, stars: i64) -> Option<i64> {
    let cut = bands.cuts.get(usize::try_from(stars - 1).ok()?)?;
    Some(cut + bands.margin)
}

fn demotion_score(bands: &Bands, stars: i64) -> Option<i64> {
    let cut = bands.cuts.get(usize::try_from(stars - 2).ok()?)?;
    Some(cut - bands.margin)
}

/// Solves the score's formula for one indicator and inverts its quantile table.
fn needed(
    definition: &Definition,
    tables: &[QuantileTable],
    scored: &Scored,
    at: usize,
    target: i64,
) -> Option<i64> {
    let own = scored.parts[at].value?;
    let weight = definition.indicators[at].weight;
    let values: Vec<Option<Value>> = scored.parts.iter().map(|part| part.value).collect();
    let others: i64 = definition
        .indicators
        .iter()
        .zip(&values)
        .enumerate()
        .filter(|&(other, _)| other != at)
        .filter_map(|(_, (indicator, value))| Some(indicator.weight * (*value)?.percentile))
        .sum();
    let missing = target * present_weight(definition, &values) - others;
    let percentile = missing.div_euclid(weight) + i64::from(missing.rem_euclid(weight) > 0);
    let value = tables[at].least_with(percentile)?;
    Some((value - own.raw).max(0))
}

/// The explanation in plain English.
pub fn text(
    definition: &Definition,
    scored: &Scored,
    decision: &Decision,
    explanation: &Explanation,
    currency: &Currency,
) -> String {
    let mut text = format!(
        "{} with a score of {} of 100.",
        stars(decision.stars),
        points(scored.score)
    );
    for (indicator, part) in definition.indicators.iter().zip(&scored.parts) {
        text.push(' ');
        text.push_str(&sentence(indicator, part, currency));
    }
    text.push_str(&held(definition, decision, explanation));
    let ways: Vec<_> = definition
        .indicators
        .iter()
        .zip(&explanation.needed)
        .filter_map(|(indicator, &needed)| Some(more(indicator.kind, needed?, currency)))
        .collect();
    if let Some(next_score) = explanation.next_score {
        let next = stars(decision.stars + 1);
        let _ = match &ways[..] {
            [] => write!(
                text,
                " {next} need a score of {}, which no indicator brings alone.",
                points(next_score)
            ),
            ways => write!(
                text,
                " Needs {} for {next}, all else equal.",
                ways.join(" or ")
            ),
        };
    }
    text
}

fn sentence(indicator: &Indicator, part: &Part, currency: &Currency) -> String {
    let name = match indicator.kind {
        Kind::Spend => "Spend",
        Kind::Frequency => "Frequency",
        Kind::CategoryBreadth => "Category breadth",
    };
    let Some(value) = part.value else {
        return format!(
            "{name} is missing (no purchase to compare carries a category): its weight of {} % is shared out \
             among the others.",
            decimal(indicator.weight, 100, 0),
        );
    };
    let amount = quantity(indicator.kind, value.raw, currency);
    let sign = if part.contribution < 0 { "-" } else { "+" };
    format!(
        "{name} of {amount} in {} days is at percentile {} of the buyers (weight {} %, {sign}{}).",
        indicator.window_days,
        points(value.percentile),
        decimal((part.effective_weight + 5) / 10, 10, 1),
        points(part.contribution.abs()),
    )
}

fn held(definition: &Definition, decision: &Decision, explanation: &Explanation) -> String {
    let alone = stars(decision.raw_stars);
    let margin = points(definition.bands.margin);
    match decision.held {
        HeldReason::NotHeld => String::new(),
        HeldReason::PromotionMargin => {
            format!(
                " The score alone gives {alone}, but has not passed the cut by the margin of {margin}."
            )
        }
        HeldReason::DemotionMargin => {
            format!(
                " The score alone gives {alone}, but is not below the cut by the margin of {margin}."
            )
        }
        HeldReason::MinimumDwell => {
            let until = explanation.dwell_until.to_chrono().date_naive();
            format!(" The score alone gives {alone}, but no star is lost before {until}.")
        }
    }
}

fn stars(stars: i64) -> String {
    if stars == 1 {
        "1 star".to_owned()
    } else {
        format!("{stars} stars")
    }
}

fn quantity(kind: Kind, value: i64, currency: &Currency) -> String {
    let plural = |one: &str, many: &str| format!("{value} {}", if value == 1 { one } else { many });
    match kind {
        Kind::Spend => format!("{} {currency}", decimal(value, ONE, 2)),
        Kind::Frequency => plural("order", "orders"),
        Kind::CategoryBreadth => plural("category", "categories"),
    }
}

fn more(kind: Kind, needed: i64, currency: &Currency) -> String {
    match kind {
        // Rounded up to a cent: who spends what the sentence says does get there.
        Kind::Spend => {
            format!(
                "+{} {currency} spend",
                decimal(needed.saturating_add(9_999) / 10_000, 100, 2)
            )
        }
        Kind::Frequency | Kind::CategoryBreadth => format!("+{}", quantity(kind, needed, currency)),
    }
}

/// Parts per million as points of a hundred with one decimal.
fn points(ppm: i64) -> String {
    decimal(ppm, ONE / 100, 1)
}

/// `value / unit` cut to `digits` decimals; never negative where it is used.
fn decimal(value: i64, unit: i64, digits: u32) -> String {
    let whole = value / unit;
    let scale = 10_i64.pow(digits);
    let fraction = (value % unit).abs() * scale / unit;
    match digits {
        0 => whole.to_string(),
        digits => format!("{whole}.{fraction:0width$}", width = digits as usize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::score::score;
    use crate::domain::score::tests::{definition, tables};
    use crate::domain::stars::{Previous, decide};
    use proptest::prelude::*;

    fn usd() -> Currency {
        Currency::parse("USD").unwrap()
    }

    fn explained(raw: &[Option<i64>]) -> (Scored, Decision, Explanation) {
        let scored = score(&definition(), &tables(), raw);
        let decision = decide(&definition().bands, scored.score, None, Timestamp::EPOCH);
        let explanation = explain(&definition(), &tables(), &scored, &decision);
        (scored, decision, explanation)
    }

    #[test]
    fn the_text_names_what_counts_what_is_missing_and_what_is_needed() {
        let raw = [Some(400_500_000), Some(4), None];
        let (scored, decision, explanation) = explained(&raw);
        let text = text(&definition(), &scored, &decision, &explanation, &usd());
        assert_eq!(
            text,
            "2 stars with a score of 38.2 of 100. Spend of 400.50 USD in 365 days is at percentile 39.9 of the \
             buyers (weight 66.7 %, -6.6). Frequency of 4 orders in 365 days is at percentile 34.8 of the buyers \
             (weight 33.3 %, -5.0). Category breadth is missing (no purchase to compare carries a category): its \
             weight of 10 % is shared out among the others. Needs +86.50 USD spend or +2 orders for 3 stars, all \
             else equal."
        );
    }

    #[test]
    fn five_stars_need_nothing_and_one_star_fears_nothing() {
        let (_, decision, top) = explained(&[Some(2_000_000_000), Some(50), Some(9)]);
        assert_eq!(
            (decision.stars, top.next_score, top.needed),
            (5, None, vec![None; 3])
        );
        let (_, decision, bottom) = explained(&[Some(0), Some(0), None]);
        assert_eq!((decision.stars, bottom.demotion_score), (1, None));
    }

    proptest! {
        #[test]
        fn what_is_needed_brings_the_next_star_and_one_less_does_not(
            spend in 0_i64..1_200_000_000,
            orders in 0_i64..14,
            breadth in prop::option::of(0_i64..8),
        ) {
            let raw = [Some(spend), Some(orders), breadth];
            let (_, decision, explanation) = explained(&raw);
            let previous = Previous { stars: decision.stars, since: decision.since };
            let stars_with = |at: usize, more: i64| {
                let mut raw = raw;
                raw[at] = raw[at].map(|value| value + more);
                let score = score(&definition(), &tables(), &raw).score;
                decide(&definition().bands, score, Some(previous), Timestamp::EPOCH).stars
            };
            for (at, needed) in explanation.needed.iter().enumerate() {
                let Some(needed) = *needed else { continue };
                prop_assert!(stars_with(at, needed) > decision.stars);
                prop_assert!(needed == 0 || stars_with(at, needed - 1) <= decision.stars);
            }
        }
    }
}
