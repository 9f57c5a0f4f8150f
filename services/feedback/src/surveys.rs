//! Creating, closing and measuring surveys.

use common::db::{Access, Tx};
use common::etag;
use common::platform::Platform;

use crate::domain::SurveyId;
use crate::domain::metric::Tally;
use crate::domain::survey::SurveyType;
use crate::error::Error;
use crate::store;
use crate::store::responses::Range;
use crate::store::surveys::Survey;

/// A survey to create.
#[derive(Debug)]
pub struct NewSurvey {
    /// What it measures.
    pub survey_type: SurveyType,
    /// What colleagues call it.
    pub title: String,
    /// What the customer is asked.
    pub question: String,
}

/// Creates an open survey.
pub async fn create(platform: &Platform, tx: &mut Tx, new: NewSurvey) -> Result<Survey, Error> {
    let survey = Survey {
        survey_id: SurveyId::new(&platform.ids),
        survey_type: new.survey_type,
        title: new.title,
        question: new.question,
        created_at: platform.now(),
        closed_at: None,
        revision: 1,
    };
    store::surveys::insert(tx, &survey).await?;
    Ok(survey)
}

/// Ends a survey that the caller saw with this etag (empty: any).
pub async fn close(
    platform: &Platform,
    tx: &mut Tx,
    survey_id: &SurveyId,
    etag: &str,
) -> Result<Survey, Error> {
    let survey = store::surveys::lock(tx, survey_id).await?;
    etag::check(etag, survey.revision)?;
    check_open(&survey)?;
    store::surveys::close(tx, survey_id, platform.now()).await?;
    store::surveys::get(tx, survey_id).await
}

/// Refuses a survey that has ended.
pub fn check_open(survey: &Survey) -> Result<(), Error> {
    match survey.closed_at {
        None => Ok(()),
        Some(closed_at) => Err(Error::SurveyClosed {
            survey_id: survey.survey_id.clone(),
            closed_at,
        }),
    }
}

/// Counts a survey's responses.
pub async fn measure(db: &mut impl Access, range: &Range) -> Result<(Survey, Tally), Error> {
    let survey = store::surveys::get(db, &range.survey).await?;
    let counts = store::responses::count(db, range).await?;
    let tally = Tally::new(survey.survey_type, &counts);
    Ok((survey, tally))
}
