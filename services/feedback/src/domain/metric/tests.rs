use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn number(case: &Value, key: &str) -> f64 {
    case[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} of {case}"))
}

fn count(case: &Value, key: &str) -> i64 {
    case[key]
        .as_i64()
        .unwrap_or_else(|| panic!("{key} of {case}"))
}

fn groups(case: &Value) -> Groups {
    match case["metric"].as_str() {
        Some("nps") => Groups::Nps(NpsGroups {
            promoters: count(case, "promoters"),
            passives: count(case, "passives"),
            detractors: count(case, "detractors"),
        }),
        Some("csat") => Groups::Csat(CsatGroups {
            satisfied: count(case, "satisfied"),
            not_satisfied: count(case, "n") - count(case, "satisfied"),
        }),
        other => panic!("metric {other:?}"),
    }
}

#[test]
fn the_published_vectors_hold() {
    let text = include_str!("../../../../../tests/data/metrics/vectors_small.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let tolerance = number(&vectors, "tolerance");
    for (confidence, name) in [
        (Confidence::P90, "0.90"),
        (Confidence::P95, "0.95"),
        (Confidence::P99, "0.99"),
    ] {
        assert!((confidence.z() - number(&vectors["z"], name)).abs() < 1e-15);
    }
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        assert!(
            (number(case, "confidence") - 0.95).abs() < 1e-12,
            "all vectors are for 95 %"
        );
        let estimate = groups(case).estimate(Confidence::P95).unwrap();
        for (key, value) in [
            ("value", estimate.value),
            ("ci_low", estimate.low),
            ("ci_high", estimate.high),
        ] {
            assert!(
                (number(case, key) - value).abs() < tolerance,
                "{key} of {case}: {value}"
            );
        }
    }
}

#[test]
fn without_answers_there_is_no_value() {
    for survey in [SurveyType::Nps, SurveyType::Csat] {
        assert_eq!(
            Tally::new(survey, &[]).groups().estimate(Confidence::P95),
            None
        );
    }
}

#[test]
fn a_wilson_interval_reaches_exactly_the_edge() {
    let none = CsatGroups {
        satisfied: 0,
        not_satisfied: 7,
    }
    .estimate(Confidence::P99)
    .unwrap();
    let all = CsatGroups {
        satisfied: 7,
        not_satisfied: 0,
    }
    .estimate(Confidence::P99)
    .unwrap();
    assert_eq!(
        (none.low.to_bits(), all.high.to_bits()),
        (0.0_f64.to_bits(), 100.0_f64.to_bits())
    );
}

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-9
}

fn confidence() -> impl Strategy<Value = Confidence> {
    prop_oneof![
        Just(Confidence::P90),
        Just(Confidence::P95),
        Just(Confidence::P99)
    ]
}

fn survey() -> impl Strategy<Value = SurveyType> {
    prop_oneof![Just(SurveyType::Nps), Just(SurveyType::Csat)]
}

fn counts() -> impl Strategy<Value = Vec<ScoreCount>> {
    let count = (0..=10_i32, 0..500_i64);
    prop::collection::vec(
        count.prop_map(|(score, responses)| ScoreCount { score, responses }),
        0..40,
    )
}

proptest! {
    #[test]
    fn exchanging_promoters_and_detractors_mirrors_nps(
        promoters in 0..5000_i64, passives in 0..5000_i64, detractors in 0..5000_i64, level in confidence(),
    ) {
        let there = NpsGroups { promoters, passives, detractors }.estimate(level);
        let back = NpsGroups { promoters: detractors, passives, detractors: promoters }.estimate(level);
        match (there, back) {
            (Some(there), Some(back)) => {
                prop_assert!(near(there.value, -back.value));
                prop_assert!(near(there.low, -back.high) && near(there.high, -back.low));
            }
            (there, back) => prop_assert!(there.is_none() && back.is_none()),
        }
    }

    #[test]
    fn exchanging_satisfied_and_not_mirrors_csat_at_50(
        satisfied in 0..5000_i64, not_satisfied in 0..5000_i64, level in confidence(),
    ) {
        let there = CsatGroups { satisfied, not_satisfied }.estimate(level);
        let back = CsatGroups { satisfied: not_satisfied, not_satisfied: satisfied }.estimate(level);
        match (there, back) {
            (Some(there), Some(back)) => {
                prop_assert!(near(there.value, 100.0 - back.value));
                prop_assert!(near(there.low, 100.0 - back.high) && near(there.high, 100.0 - back.low));
                prop_assert!(there.low <= there.value + 1e-9 && there.value <= there.high + 1e-9);
            }
            (there, back) => prop_assert!(there.is_none() && back.is_none()),
        }
    }

    #[test]
    fn neither_order_nor_merging_of_daily_counts_changes_anything(
        survey in survey(), mut today in counts(), tomorrow in counts(),
    ) {
        let whole = Tally::new(survey, &[today.clone(), tomorrow.clone()].concat());
        let days = [Tally::new(survey, &tomorrow), Tally::new(survey, &today)];
        let merged: Vec<_> = days.iter().flat_map(Tally::scores).copied().collect();
        prop_assert_eq!(&Tally::new(survey, &merged), &whole);
        today.reverse();
        prop_assert_eq!(Tally::new(survey, &[tomorrow, today].concat()), whole);
    }

    #[test]
    fn every_answer_is_in_exactly_one_group(survey in survey(), counts in counts()) {
        let tally = Tally::new(survey, &counts);
        let grouped = match tally.groups() {
            Groups::Nps(groups) => groups.promoters + groups.passives + groups.detractors,
            Groups::Csat(groups) => groups.satisfied + groups.not_satisfied,
        };
        prop_assert_eq!(grouped, tally.responses());
    }
}
