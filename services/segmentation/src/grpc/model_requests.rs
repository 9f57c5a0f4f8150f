//! Reading the definition of a new rating model.

use api::segmentation::v1 as pb;
use common::Error;
use common::validate::Violations;

use crate::domain::model::{
    Bands, DWELL_DAYS_DEFAULT, Definition, Indicator, Kind, MARGIN_DEFAULT, WEIGHT_TOTAL,
};
use crate::models::CreateModel;

const NAME_LEN_MAX: usize = 100;
const DAYS_MAX: i64 = 3_650;

pub fn create_model(request: &pb::CreateRatingModelRequest) -> Result<CreateModel, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let display_name = display_name(&mut v, &request.display_name);
    let indicators = indicators(&mut v, &request.indicators);
    let bands = bands(&mut v, request);
    let (display_name, indicators, bands) = v.all((display_name, indicators, bands))?;
    Ok(CreateModel {
        display_name,
        definition: Definition { indicators, bands },
    })
}

fn display_name(v: &mut Violations, raw: &str) -> Option<String> {
    let name = raw.trim();
    if name.is_empty() || name.chars().count() > NAME_LEN_MAX || name.chars().any(char::is_control)
    {
        v.add(
            "display_name",
            format!("must be 1 to {NAME_LEN_MAX} characters"),
        );
        return None;
    }
    Some(name.to_owned())
}

fn indicators(v: &mut Violations, raw: &[pb::Indicator]) -> Option<Vec<Indicator>> {
    // More than the limit is refused below; naming each of a million would not help.
    let parsed: Vec<_> = raw
        .iter()
        .take(11)
        .enumerate()
        .map(|(at, raw)| indicator(v, at, raw))
        .collect();
    let indicators: Vec<Indicator> = parsed.into_iter().collect::<Option<_>>()?;
    v.check("indicators", Definition::check_indicators(&indicators))?;
    Some(indicators)
}

fn indicator(v: &mut Violations, at: usize, raw: &pb::Indicator) -> Option<Indicator> {
    let kind = match raw.kind() {
        pb::IndicatorKind::Spend => Some(Kind::Spend),
        pb::IndicatorKind::Frequency => Some(Kind::Frequency),
        pb::IndicatorKind::CategoryBreadth => Some(Kind::CategoryBreadth),
        pb::IndicatorKind::Unspecified => {
            v.add(format!("indicators[{at}].kind"), "must be given");
            None
        }
    };
    let window_days = Some(raw.window_days).filter(|days| (1..=DAYS_MAX).contains(days));
    if window_days.is_none() {
        v.add(
            format!("indicators[{at}].window_days"),
            format!("must be 1 to {DAYS_MAX}"),
        );
    }
    let weight =
        Some(i64::from(raw.weight_basis_points)).filter(|w| (1..=WEIGHT_TOTAL).contains(w));
    if weight.is_none() {
        let field = format!("indicators[{at}].weight_basis_points");
        v.add(field, format!("must be 1 to {WEIGHT_TOTAL}"));
    }
    Some(Indicator {
        kind: kind?,
        window_days: window_days?,
        weight: weight?,
    })
}

fn bands(v: &mut Violations, request: &pb::CreateRatingModelRequest) -> Option<Bands> {
    let cuts = v.check("cut_scores_ppm", Bands::cuts_of(&request.cut_scores_ppm));
    let margin = request.margin_ppm.unwrap_or(MARGIN_DEFAULT);
    let margin = cuts.and_then(|cuts| v.check("margin_ppm", Bands::margin_of(margin, cuts)));
    let dwell_days = request.minimum_dwell_days.unwrap_or(DWELL_DAYS_DEFAULT);
    if !(0..=DAYS_MAX).contains(&dwell_days) {
        v.add("minimum_dwell_days", format!("must be 0 to {DAYS_MAX}"));
    }
    Some(Bands {
        cuts: cuts?,
        margin: margin?,
        dwell_days,
    })
}
