//! Surveys.

use common::db::{Access, Sql, Tx};
use common::on;
use common::page::PageRequest;
use common::time::Timestamp;

use super::{Below, Name};
use crate::domain::Named as _;
use crate::domain::SurveyId;
use crate::domain::survey::{SurveyState, SurveyType};
use crate::error::Error;

/// One question put to many customers.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Its id.
    pub survey_id: SurveyId,
    /// What it measures.
    pub survey_type: SurveyType,
    /// What colleagues call it.
    pub title: String,
    /// What the customer is asked.
    pub question: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// Grows with every change.
    pub revision: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(try_from = "String")]
    survey_id: SurveyId,
    #[sqlx(try_from = "String")]
    survey_type: Name<SurveyType>,
    title: String,
    question: String,
    created_at: Timestamp,
    closed_at: Option<Timestamp>,
    revision: i64,
}

impl From<Row> for Survey {
    fn from(row: Row) -> Self {
        Self {
            survey_id: row.survey_id,
            survey_type: row.survey_type.0,
            title: row.title,
            question: row.question,
            created_at: row.created_at,
            closed_at: row.closed_at,
            revision: row.revision,
        }
    }
}

/// Adds a survey.
pub async fn insert(tx: &mut Tx, survey: &Survey) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO survey (survey_id, survey_type, title, question, created_at, closed_at, revision)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(survey.survey_id.as_str())
        .bind(survey.survey_type.name())
        .bind(&survey.title)
        .bind(&survey.question)
        .bind(survey.created_at)
        .bind(survey.closed_at)
        .bind(survey.revision)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// The survey, or `SurveyNotFound`.
pub async fn get(db: &mut impl Access, id: &SurveyId) -> Result<Survey, Error> {
    const GET: &str = "
        SELECT survey_id, survey_type, title, question, created_at, closed_at, revision
        FROM survey
        WHERE survey_id = $1";
    let row = on!(db, |conn| sqlx::query_as::<_, Row>(GET)
        .bind(id.as_str())
        .fetch_optional(conn)
        .await)?;
    row.map(Survey::from)
        .ok_or_else(|| Error::SurveyNotFound(id.clone()))
}

/// Keeps others from changing a survey until the transaction ends; `SurveyNotFound` without one.
pub async fn lock(tx: &mut Tx, id: &SurveyId) -> Result<Survey, Error> {
    // SQLite's writer is alone anyway.
    const LOCK: Sql = Sql {
        postgres: "SELECT survey_id FROM survey WHERE survey_id = $1 FOR UPDATE",
        sqlite: "SELECT survey_id FROM survey WHERE survey_id = $1",
    };
    let text = LOCK.text(tx.dialect());
    on!(tx, |conn| sqlx::query(text)
        .bind(id.as_str())
        .fetch_optional(conn)
        .await
        .map(drop))?;
    get(tx, id).await
}

/// Keeps a survey from being closed until the transaction ends; `SurveyNotFound` without one.
pub async fn hold(tx: &mut Tx, id: &SurveyId) -> Result<Survey, Error> {
    const HOLD: Sql = Sql {
        postgres: "SELECT survey_id FROM survey WHERE survey_id = $1 FOR SHARE",
        sqlite: "SELECT survey_id FROM survey WHERE survey_id = $1",
    };
    let text = HOLD.text(tx.dialect());
    on!(tx, |conn| sqlx::query(text)
        .bind(id.as_str())
        .fetch_optional(conn)
        .await
        .map(drop))?;
    get(tx, id).await
}

/// Ends a survey.
pub async fn close(tx: &mut Tx, id: &SurveyId, now: Timestamp) -> Result<(), Error> {
    const CLOSE: &str = "
        UPDATE survey
        SET closed_at = $2, revision = revision + 1
        WHERE survey_id = $1";
    on!(tx, |conn| sqlx::query(CLOSE)
        .bind(id.as_str())
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// A page of surveys, newest first, and the token of the next; `None` selects every state.
pub async fn list(
    db: &mut impl Access,
    state: Option<SurveyState>,
    page: &PageRequest,
) -> Result<(Vec<Survey>, String), Error> {
    const LIST: &str = "
        SELECT survey_id, survey_type, title, question, created_at, closed_at, revision
        FROM survey
        WHERE (created_at, survey_id) < ($1, $2)
          AND (CAST($3 AS BOOLEAN) IS NULL OR (closed_at IS NULL) = CAST($3 AS BOOLEAN))
        ORDER BY created_at DESC, survey_id DESC
        LIMIT $4";
    let below = page.after().unwrap_or_else(Below::top);
    let open = state.map(|state| state == SurveyState::Open);
    let mut rows = on!(db, |conn| sqlx::query_as::<_, Row>(LIST)
        .bind(below.at)
        .bind(&below.id)
        .bind(open)
        .bind(page.size + 1)
        .fetch_all(conn)
        .await)?;
    let next = page.cut(&mut rows, |row| {
        Below::new(row.created_at, row.survey_id.as_str())
    });
    Ok((rows.into_iter().map(Survey::from).collect(), next))
}
