//! Sums over the days of many customers at a time.

use std::collections::HashMap;

use common::db::{Access, Sql};
use common::ids::CustomerId;
use common::on;

use super::id_list;
use crate::domain::day::Day;
use crate::error::Error;

/// Days that count: both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: Day,
    /// The last.
    pub last: Day,
}

/// What a customer bought within a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bought {
    /// Number of orders.
    pub orders: i64,
    /// Sum of their totals.
    pub spend_micros: i64,
    /// Distinct categories.
    pub categories: i64,
}

/// What each of these customers bought within a span; who bought nothing is absent.
pub async fn bought(
    db: &mut impl Access,
    customers: &[CustomerId],
    span: Span,
) -> Result<HashMap<CustomerId, Bought>, Error> {
    const DAYS: Sql = Sql {
        postgres: "
        SELECT customer_id, CAST(SUM(orders) AS BIGINT), CAST(SUM(spend_micros) AS BIGINT)
        FROM customer_days
        WHERE customer_id = ANY (ARRAY(SELECT json_array_elements_text(CAST($1 AS json))))
            AND day >= $2 AND day <= $3 AND orders > 0
        GROUP BY customer_id",
        sqlite: "
        SELECT customer_id, SUM(orders), SUM(spend_micros)
        FROM customer_days
        WHERE customer_id IN (SELECT value FROM json_each($1))
            AND day >= $2 AND day <= $3 AND orders > 0
        GROUP BY customer_id",
    };
    let ids = id_list(customers);
    let days = DAYS.text(db.dialect());
    let rows: Vec<(CustomerId, i64, i64)> = on!(db, |conn| {
        sqlx::query_as(days)
            .bind(&ids)
            .bind(span.first)
            .bind(span.last)
            .fetch_all(conn)
            .await
    })?;
    let mut bought: HashMap<_, _> = rows
        .into_iter()
        .map(|(id, orders, spend_micros)| {
            (
                id,
                Bought {
                    orders,
                    spend_micros,
                    categories: 0,
                },
            )
        })
        .collect();
    for (id, categories) in list_categories(db, &ids, span).await? {
        bought.entry(id).or_default().categories = categories;
    }
    Ok(bought)
}

async fn list_categories(
    db: &mut impl Access,
    ids: &str,
    span: Span,
) -> Result<Vec<(CustomerId, i64)>, Error> {
    const CATEGORIES: Sql = Sql {
        postgres: "
        SELECT customer_id, COUNT(DISTINCT category)
        FROM customer_categories
        WHERE customer_id = ANY (ARRAY(SELECT json_array_elements_text(CAST($1 AS json))))
            AND day >= $2 AND day <= $3 AND orders > 0
        GROUP BY customer_id",
        sqlite: "
        SELECT customer_id, COUNT(DISTINCT category)
        FROM customer_categories
        WHERE customer_id IN (SELECT value FROM json_each($1))
            AND day >= $2 AND day <= $3 AND orders > 0
        GROUP BY customer_id",
    };
    let text = CATEGORIES.text(db.dialect());
    Ok(on!(db, |conn| {
        sqlx::query_as(text)
            .bind(ids)
            .bind(span.first)
            .bind(span.last)
            .fetch_all(conn)
            .await
    })?)
}

/// First and last day with an order, up to a day.
pub async fn purchase_days(
    db: &mut impl Access,
    customer: &CustomerId,
    last: Day,
) -> Result<Option<(Day, Day)>, Error> {
    const SELECT: &str = "
        SELECT MIN(day), MAX(day)
        FROM customer_days
        WHERE customer_id = $1 AND day <= $2 AND orders > 0";
    let (first, last): (Option<Day>, Option<Day>) = on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer)
        .bind(last)
        .fetch_one(conn)
        .await)?;
    Ok(first.zip(last))
}
