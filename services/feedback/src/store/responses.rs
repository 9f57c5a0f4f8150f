//! Responses and their counts.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::page::PageRequest;
use common::time::Timestamp;

use super::{Below, Name};
use crate::domain::metric::ScoreCount;
use crate::domain::survey::Channel;
use crate::domain::{InvitationId, Named as _, ResponseId, SurveyId};
use crate::error::Error;

/// One customer's answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Its id.
    pub response_id: ResponseId,
    /// The survey answered.
    pub survey_id: SurveyId,
    /// The invitation used.
    pub invitation_id: InvitationId,
    /// Who answered.
    pub customer_id: CustomerId,
    /// The score.
    pub score: i32,
    /// What the customer wrote.
    pub comment: String,
    /// How the invitation had reached the customer.
    pub channel: Channel,
    /// When it arrived.
    pub submitted_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(try_from = "String")]
    response_id: ResponseId,
    #[sqlx(try_from = "String")]
    survey_id: SurveyId,
    #[sqlx(try_from = "String")]
    invitation_id: InvitationId,
    customer_id: CustomerId,
    #[sqlx(try_from = "i64")]
    score: i32,
    comment: String,
    #[sqlx(try_from = "String")]
    channel: Name<Channel>,
    submitted_at: Timestamp,
}

impl From<Row> for Response {
    fn from(row: Row) -> Self {
        Self {
            response_id: row.response_id,
            survey_id: row.survey_id,
            invitation_id: row.invitation_id,
            customer_id: row.customer_id,
            score: row.score,
            comment: row.comment,
            channel: row.channel.0,
            submitted_at: row.submitted_at,
        }
    }
}

/// Adds a response; `false` where the invitation already has one, and nothing is added.
pub async fn insert(tx: &mut Tx, response: &Response) -> Result<bool, Error> {
    const INSERT: &str = "
        INSERT INTO survey_response (
            customer_id, invitation_id, response_id, survey_id, score, comment, channel, submitted_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (customer_id, invitation_id) DO NOTHING";
    let added = on!(tx, |conn| sqlx::query(INSERT)
        .bind(&response.customer_id)
        .bind(response.invitation_id.as_str())
        .bind(response.response_id.as_str())
        .bind(response.survey_id.as_str())
        .bind(i64::from(response.score))
        .bind(&response.comment)
        .bind(response.channel.name())
        .bind(response.submitted_at)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))?;
    Ok(added == 1)
}

/// A page of a survey's responses, newest first, and the token of the next.
pub async fn list(
    db: &mut impl Access,
    survey: &SurveyId,
    customer: Option<&CustomerId>,
    page: &PageRequest,
) -> Result<(Vec<Response>, String), Error> {
    const ALL: &str = "
        SELECT response_id, survey_id, invitation_id, customer_id, score, comment, channel, submitted_at
        FROM survey_response
        WHERE survey_id = $1
          AND (submitted_at, response_id) < ($2, $3)
        ORDER BY submitted_at DESC, response_id DESC
        LIMIT $4";
    const OF_CUSTOMER: &str = "
        SELECT response_id, survey_id, invitation_id, customer_id, score, comment, channel, submitted_at
        FROM survey_response
        WHERE survey_id = $1
          AND (submitted_at, response_id) < ($2, $3)
          AND customer_id = $5
        ORDER BY submitted_at DESC, response_id DESC
        LIMIT $4";
    let below = page.after().unwrap_or_else(Below::top);
    let mut rows = on!(db, |conn| {
        let query = sqlx::query_as::<_, Row>(if customer.is_some() { OF_CUSTOMER } else { ALL })
            .bind(survey.as_str())
            .bind(below.at)
            .bind(&below.id)
            .bind(page.size + 1);
        match customer {
            Some(customer) => query.bind(customer).fetch_all(conn).await,
            None => query.fetch_all(conn).await,
        }
    })?;
    let next = page.cut(&mut rows, |row| {
        Below::new(row.submitted_at, row.response_id.as_str())
    });
    Ok((rows.into_iter().map(Response::from).collect(), next))
}

/// Which responses to count.
#[derive(Debug, Clone)]
pub struct Range {
    /// Of this survey.
    pub survey: SurveyId,
    /// Submitted at or after this; `None` has no beginning.
    pub from: Option<Timestamp>,
    /// Submitted before this; `None` has no end.
    pub before: Option<Timestamp>,
}

/// Responses by score.
pub async fn count(db: &mut impl Access, range: &Range) -> Result<Vec<ScoreCount>, Error> {
    const COUNT: &str = "
        SELECT score, COUNT(*) AS responses
        FROM survey_response
        WHERE survey_id = $1
          AND submitted_at >= $2
          AND submitted_at < $3
        GROUP BY score
        ORDER BY score";
    #[derive(sqlx::FromRow)]
    struct Count {
        #[sqlx(try_from = "i64")]
        score: i32,
        responses: i64,
    }
    let from = range.from.map_or(i64::MIN, Timestamp::micros);
    let before = range.before.map_or(i64::MAX, Timestamp::micros);
    let counts = on!(db, |conn| sqlx::query_as::<_, Count>(COUNT)
        .bind(range.survey.as_str())
        .bind(from)
        .bind(before)
        .fetch_all(conn)
        .await)?;
    Ok(counts
        .into_iter()
        .map(|c| ScoreCount {
            score: c.score,
            responses: c.responses,
        })
        .collect())
}
