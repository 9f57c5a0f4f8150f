//! RFM runs and their scores.

use common::db::{Access, Sql, Tx, json_list};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde_json::json;

use super::features::Span;
use crate::domain::day::Day;
use crate::error::{Error, stored_json};

/// What a customer bought within the span of a run.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct BuyerRow {
    /// Who.
    pub customer_id: CustomerId,
    /// Day of the last order.
    pub last_day: Day,
    /// Number of orders.
    pub orders: i64,
    /// Sum of their totals.
    pub spend_micros: i64,
}

/// A run as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RunRow {
    /// Its id.
    pub run_id: String,
    /// The moment it holds for.
    pub as_of: Timestamp,
    /// 0 for the whole history.
    pub window_days: i64,
    /// Code of the tie rule.
    pub rule: i64,
    /// Customers scored.
    pub customers: i64,
    /// JSON: recency, frequency and monetary cuts.
    pub cuts: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl RunRow {
    /// Recency, frequency and monetary cuts.
    pub fn cuts(&self) -> Result<[Vec<f64>; 3], Error> {
        stored_json(&self.cuts)
    }
}

/// A customer's scores as stored.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ScoreRow {
    /// Who.
    pub customer_id: CustomerId,
    /// Days since the last order.
    pub recency_days: i64,
    /// Orders.
    pub frequency: i64,
    /// Spend.
    pub monetary_micros: i64,
    /// 1 to 5.
    pub recency_score: i64,
    /// 1 to 5.
    pub frequency_score: i64,
    /// 1 to 5.
    pub monetary_score: i64,
}

/// One cell as stored.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct CellRow {
    /// 1 to 5.
    pub recency_score: i64,
    /// 1 to 5.
    pub frequency_score: i64,
    /// 1 to 5.
    pub monetary_score: i64,
    /// Customers in it.
    pub customers: i64,
    /// Their spend.
    pub monetary_micros: i64,
}

/// A page of the customers who bought within a span, in the order of ids.
pub async fn list_buyers(
    db: &mut impl Access,
    span: Span,
    after: &str,
    limit: i64,
) -> Result<Vec<BuyerRow>, Error> {
    const SELECT: &str = "
        SELECT customer_id, MAX(day) AS last_day, CAST(SUM(orders) AS BIGINT) AS orders,
            CAST(SUM(spend_micros) AS BIGINT) AS spend_micros
        FROM customer_days
        WHERE customer_id > $1 AND day >= $2 AND day <= $3 AND orders > 0
        GROUP BY customer_id
        ORDER BY customer_id
        LIMIT $4";
    Ok(on!(db, |conn| {
        sqlx::query_as(SELECT)
            .bind(after)
            .bind(span.first)
            .bind(span.last)
            .bind(limit)
            .fetch_all(conn)
            .await
    })?)
}

/// Stores scores of a run that nobody sees before its run is stored.
pub async fn insert_scores(tx: &mut Tx, run_id: &str, scores: &[ScoreRow]) -> Result<(), Error> {
    const INSERT: Sql = Sql {
        postgres: "
        INSERT INTO rfm_scores
            (run_id, customer_id, recency_days, frequency, monetary_micros, recency_score,
            frequency_score, monetary_score)
        SELECT $1, customer_id, recency_days, frequency, monetary_micros, recency_score,
            frequency_score, monetary_score
        FROM json_to_recordset(CAST($2 AS json)) AS given (customer_id TEXT, recency_days BIGINT,
            frequency BIGINT, monetary_micros BIGINT, recency_score BIGINT, frequency_score BIGINT,
            monetary_score BIGINT)",
        sqlite: "
        INSERT INTO rfm_scores
            (run_id, customer_id, recency_days, frequency, monetary_micros, recency_score,
            frequency_score, monetary_score)
        SELECT $1, value ->> 'customer_id', value ->> 'recency_days', value ->> 'frequency',
            value ->> 'monetary_micros', value ->> 'recency_score', value ->> 'frequency_score',
            value ->> 'monetary_score'
        FROM json_each($2)",
    };
    let rows: Vec<_> = scores
        .iter()
        .map(|row| {
            json!({
                "customer_id": row.customer_id.as_str(),
                "recency_days": row.recency_days,
                "frequency": row.frequency,
                "monetary_micros": row.monetary_micros,
                "recency_score": row.recency_score,
                "frequency_score": row.frequency_score,
                "monetary_score": row.monetary_score,
            })
        })
        .collect();
    let text = INSERT.text(tx.dialect());
    on!(tx, |conn| {
        sqlx::query(text)
            .bind(run_id)
            .bind(json_list(&rows))
            .execute(conn)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Stores a run: from here on it can be read.
pub async fn insert_run(tx: &mut Tx, run: &RunRow) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO rfm_runs (run_id, as_of, window_days, rule, customers, cuts, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    on!(tx, |conn| {
        sqlx::query(INSERT)
            .bind(&run.run_id)
            .bind(run.as_of)
            .bind(run.window_days)
            .bind(run.rule)
            .bind(run.customers)
            .bind(&run.cuts)
            .bind(run.created_at)
            .execute(conn)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// The run of an id; for an empty id the newest that holds for a moment or before.
pub async fn get_run(
    db: &mut impl Access,
    run_id: &str,
    as_of: Timestamp,
) -> Result<RunRow, Error> {
    const BY_ID: &str = "
        SELECT run_id, as_of, window_days, rule, customers, cuts, created_at
        FROM rfm_runs
        WHERE run_id = $1";
    const NEWEST: &str = "
        SELECT run_id, as_of, window_days, rule, customers, cuts, created_at
        FROM rfm_runs
        WHERE as_of <= $1
        ORDER BY as_of DESC, run_id DESC
        LIMIT 1";
    let found: Option<RunRow> = if run_id.is_empty() {
        on!(db, |conn| sqlx::query_as(NEWEST)
            .bind(as_of)
            .fetch_optional(conn)
            .await)?
    } else {
        on!(db, |conn| sqlx::query_as(BY_ID)
            .bind(run_id)
            .fetch_optional(conn)
            .await)?
    };
    let which = || {
        if run_id.is_empty() {
            format!("as of {as_of}")
        } else {
            run_id.to_owned()
        }
    };
    found.ok_or_else(|| Error::RfmRunNotFound(which()))
}

/// A customer's scores in a run.
pub async fn find_score(
    db: &mut impl Access,
    run_id: &str,
    customer: &CustomerId,
) -> Result<Option<ScoreRow>, Error> {
    const SELECT: &str = "
        SELECT customer_id, recency_days, frequency, monetary_micros, recency_score,
            frequency_score, monetary_score
        FROM rfm_scores
        WHERE run_id = $1 AND customer_id = $2";
    Ok(on!(db, |conn| {
        sqlx::query_as(SELECT)
            .bind(run_id)
            .bind(customer)
            .fetch_optional(conn)
            .await
    })?)
}

/// Cells of a run that have customers: 125 at most.
pub async fn list_cells(db: &mut impl Access, run_id: &str) -> Result<Vec<CellRow>, Error> {
    const SELECT: &str = "
        SELECT recency_score, frequency_score, monetary_score, COUNT(*) AS customers,
            CAST(SUM(monetary_micros) AS BIGINT) AS monetary_micros
        FROM rfm_scores
        WHERE run_id = $1
        GROUP BY recency_score, frequency_score, monetary_score
        ORDER BY recency_score, frequency_score, monetary_score";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(run_id)
        .fetch_all(conn)
        .await)?)
}
