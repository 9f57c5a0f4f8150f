//! From what this service knows to what it says.

use api::segmentation::v1 as pb;
use common::money::{Currency, Money};

use crate::distribution::Distribution;
use crate::domain::day::Day;
use crate::domain::model::{Indicator, Kind};
use crate::domain::reference::QuantileTable;
use crate::domain::score::Part;
use crate::error::Error;
use crate::features::Features;
use crate::ratings::{Explained, Summary};
use crate::store::features::Bought;
use crate::store::models::{ModelRow, ReferenceRow};
use crate::store::ratings::{HistoryRow, RatingRow};
use crate::store::rfm::{CellRow, RunRow, ScoreRow};

/// Stars, scores and codes: all far below 32 bits.
pub fn small(value: i64) -> i32 {
    i32::try_from(value).expect("stars, scores and codes are small")
}

fn money(currency: &Currency, micros: i64) -> api::r#type::v1::Money {
    Money {
        currency: currency.clone(),
        micros,
    }
    .into()
}

pub fn rating(row: &RatingRow) -> pb::Rating {
    pb::Rating {
        customer_id: row.customer_id.to_string(),
        stars: small(row.stars),
        raw_stars: small(row.raw_stars),
        held_reason: small(row.held),
        score_ppm: row.score_ppm,
        model_id: row.model_id.clone(),
        reference_id: row.reference_id.clone(),
        as_of: Some(row.as_of.into()),
        stars_since: Some(row.stars_since.into()),
        revision: row.revision,
    }
}

pub fn history_entry(row: &HistoryRow) -> pb::RatingHistoryEntry {
    pb::RatingHistoryEntry {
        rating: Some(rating(&row.rating)),
        previous_stars: small(row.previous_stars),
        changed_at: Some(row.changed_at.into()),
    }
}

pub fn explanation(explained: &Explained) -> pb::RatingExplanation {
    let Explained {
        rating: row,
        frozen,
        scored,
        explanation,
        text,
    } = explained;
    let indicators = frozen
        .definition
        .indicators
        .iter()
        .zip(&scored.parts)
        .zip(&explanation.needed);
    let score = scored.score;
    pb::RatingExplanation {
        rating: Some(rating(row)),
        indicators: indicators
            .map(|((of, part), needed)| indicator_explanation(*of, part, *needed))
            .collect(),
        next_stars: if explanation.next_score.is_some() {
            small(row.stars + 1)
        } else {
            0
        },
        next_star_score_ppm: explanation.next_score.unwrap_or_default(),
        distance_to_next_star_ppm: explanation.next_score.map_or(0, |next| next - score),
        demotion_score_ppm: explanation.demotion_score.unwrap_or_default(),
        dwell_until: Some(explanation.dwell_until.into()),
        text: text.clone(),
    }
}

fn indicator_explanation(
    of: Indicator,
    part: &Part,
    needed: Option<i64>,
) -> pb::IndicatorExplanation {
    pb::IndicatorExplanation {
        indicator: Some(indicator(of)),
        missing: part.value.is_none(),
        raw_value: part.value.map_or(0, |value| value.raw),
        percentile_ppm: part.value.map_or(0, |value| value.percentile),
        effective_weight_basis_points: part.effective_weight,
        contribution_ppm: part.contribution,
        needed_for_next_star: needed,
    }
}

fn indicator(of: Indicator) -> pb::Indicator {
    let kind = match of.kind {
        Kind::Spend => pb::IndicatorKind::Spend,
        Kind::Frequency => pb::IndicatorKind::Frequency,
        Kind::CategoryBreadth => pb::IndicatorKind::CategoryBreadth,
    };
    pb::Indicator {
        kind: kind.into(),
        window_days: of.window_days,
        weight_basis_points: small(of.weight),
    }
}

pub fn model(row: &ModelRow) -> Result<pb::RatingModel, Error> {
    let definition = row.definition()?;
    let state = match row.state.as_str() {
        "draft" => pb::RatingModelState::Draft,
        "active" => pb::RatingModelState::Active,
        _ => pb::RatingModelState::Retired,
    };
    Ok(pb::RatingModel {
        model_id: row.model_id.clone(),
        version: row.version,
        display_name: row.display_name.clone(),
        indicators: definition.indicators.into_iter().map(indicator).collect(),
        cut_scores_ppm: definition.bands.cuts.to_vec(),
        margin_ppm: definition.bands.margin,
        minimum_dwell_days: definition.bands.dwell_days,
        state: state.into(),
        created_at: Some(row.created_at.into()),
        activated_at: row.activated_at.map(Into::into),
    })
}

pub fn reference(row: &ReferenceRow) -> Result<pb::RatingReference, Error> {
    Ok(pb::RatingReference {
        reference_id: row.reference_id.clone(),
        model_id: row.model_id.clone(),
        as_of: Some(row.as_of.into()),
        customers: row.customers,
        indicator_populations: row
            .tables()?
            .iter()
            .map(QuantileTable::population)
            .collect(),
        built_at: Some(row.built_at.into()),
    })
}

pub fn summary(summary: Summary) -> pb::RerateSummary {
    let Summary {
        rated,
        changed,
        skipped,
    } = summary;
    pb::RerateSummary {
        rated,
        changed,
        skipped,
    }
}

pub fn features(found: &Features, currency: &Currency) -> pb::Features {
    let window = |&(window_days, bought): &(i64, Bought)| pb::WindowFeatures {
        window_days,
        orders: bought.orders,
        spend: Some(money(currency, bought.spend_micros)),
        categories: bought.categories,
    };
    let day = |day: Day| day.start().into();
    let days = found.purchase_days;
    pb::Features {
        customer_id: found.customer.customer_id.to_string(),
        as_of: Some(found.as_of.into()),
        first_purchase_day: days.map(|(first, _)| day(first)),
        last_purchase_day: days.map(|(_, last)| day(last)),
        recency_days: days.map(|(_, last)| Day::of(found.as_of).days_since(last)),
        total: found.windows.first().map(window),
        windows: found.windows.iter().skip(1).map(window).collect(),
        ignored_transactions: found.customer.ignored_transactions,
    }
}

pub fn rfm_run(row: &RunRow) -> Result<pb::RfmRun, Error> {
    let [recency_cuts, frequency_cuts, monetary_cuts] = row.cuts()?;
    Ok(pb::RfmRun {
        run_id: row.run_id.clone(),
        as_of: Some(row.as_of.into()),
        window_days: row.window_days,
        // The codes stored are those of the enum.
        rule: small(row.rule),
        customers: row.customers,
        recency_cuts,
        frequency_cuts,
        monetary_cuts,
        created_at: Some(row.created_at.into()),
    })
}

pub fn rfm_score(run_id: &str, row: &ScoreRow, currency: &Currency) -> pb::RfmScore {
    let (r, f, m) = (row.recency_score, row.frequency_score, row.monetary_score);
    pb::RfmScore {
        customer_id: row.customer_id.to_string(),
        run_id: run_id.to_owned(),
        recency_days: row.recency_days,
        frequency: row.frequency,
        monetary: Some(money(currency, row.monetary_micros)),
        recency_score: small(r),
        frequency_score: small(f),
        monetary_score: small(m),
        rfm_score: small(100 * r + 10 * f + m),
    }
}

pub fn rfm_cell(row: &CellRow, currency: &Currency) -> pb::RfmCell {
    pb::RfmCell {
        recency_score: small(row.recency_score),
        frequency_score: small(row.frequency_score),
        monetary_score: small(row.monetary_score),
        customers: row.customers,
        spend: Some(money(currency, row.monetary_micros)),
    }
}

pub fn distribution(found: &Distribution, currency: &Currency) -> pb::GetStarDistributionResponse {
    let buckets = found.buckets.iter().map(|bucket| pb::StarBucket {
        stars: small(bucket.row.stars),
        customers: bucket.row.customers,
        spend: Some(money(currency, bucket.row.spend_micros)),
        spend_share_basis_points: bucket.share_basis_points,
    });
    let spend = found
        .buckets
        .iter()
        .map(|bucket| bucket.row.spend_micros)
        .sum();
    pb::GetStarDistributionResponse {
        buckets: buckets.collect(),
        customers: found
            .buckets
            .iter()
            .map(|bucket| bucket.row.customers)
            .sum(),
        spend: Some(money(currency, spend)),
        unrated_customers: found.unrated_customers,
    }
}
