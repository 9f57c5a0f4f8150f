//! Storing ratings, many in one statement: the same few statements serve one purchase and a whole batch.

use common::db::{Sql, Tx, json_list};
use common::on;
use serde_json::{Value, json};

use super::ratings::RatingRow;
use crate::error::Error;

/// A rating to store, and the stars before it.
#[derive(Debug)]
pub struct NewRating {
    /// The rating, with the revision it shall have.
    pub rating: RatingRow,
    /// 0 for the first.
    pub previous_stars: i64,
}

impl NewRating {
    /// Whether the stars change.
    pub fn is_change(&self) -> bool {
        self.rating.stars != self.previous_stars
    }
}

const RATINGS: Sql = Sql {
    postgres: "
        INSERT INTO ratings
            (customer_id, revision, stars, raw_stars, held, score_ppm, raw_values, model_id,
            reference_id, as_of, stars_since)
        SELECT customer_id, revision, stars, raw_stars, held, score_ppm, raw_values, model_id,
            reference_id, as_of, stars_since
        FROM json_to_recordset(CAST($1 AS json)) AS given (customer_id TEXT, revision BIGINT, stars BIGINT,
            raw_stars BIGINT, held BIGINT, score_ppm BIGINT, raw_values TEXT, model_id TEXT,
            reference_id TEXT, as_of BIGINT, stars_since BIGINT)
        WHERE TRUE
        ON CONFLICT (customer_id) DO UPDATE
        SET revision = EXCLUDED.revision, stars = EXCLUDED.stars, raw_stars = EXCLUDED.raw_stars,
            held = EXCLUDED.held, score_ppm = EXCLUDED.score_ppm, raw_values = EXCLUDED.raw_values,
            model_id = EXCLUDED.model_id, reference_id = EXCLUDED.reference_id,
            as_of = EXCLUDED.as_of, stars_since = EXCLUDED.stars_since",
    sqlite: "
        INSERT INTO ratings
            (customer_id, revision, stars, raw_stars, held, score_ppm, raw_values, model_id,
            reference_id, as_of, stars_since)
        SELECT value ->> 'customer_id', value ->> 'revision', value ->> 'stars', value ->> 'raw_stars',
            value ->> 'held', value ->> 'score_ppm', value ->> 'raw_values', value ->> 'model_id',
            value ->> 'reference_id', value ->> 'as_of', value ->> 'stars_since'
        FROM json_each($1)
        WHERE TRUE
        ON CONFLICT (customer_id) DO UPDATE
        SET revision = EXCLUDED.revision, stars = EXCLUDED.stars, raw_stars = EXCLUDED.raw_stars,
            held = EXCLUDED.held, score_ppm = EXCLUDED.score_ppm, raw_values = EXCLUDED.raw_values,
            model_id = EXCLUDED.model_id, reference_id = EXCLUDED.reference_id,
            as_of = EXCLUDED.as_of, stars_since = EXCLUDED.stars_since",
};

/// From the ratings just stored, so that the two can never differ.
const HISTORY: Sql = Sql {
    postgres: "
        INSERT INTO rating_history
            (customer_id, revision, previous_stars, stars, raw_stars, held, score_ppm, raw_values,
            model_id, reference_id, as_of, stars_since, changed_at)
        SELECT ratings.customer_id, revision, given.previous_stars, stars, raw_stars, held, score_ppm,
            raw_values, model_id, reference_id, as_of, stars_since, $2
        FROM ratings
        JOIN json_to_recordset(CAST($1 AS json)) AS given (customer_id TEXT, previous_stars BIGINT)
            ON given.customer_id = ratings.customer_id",
    sqlite: "
        INSERT INTO rating_history
            (customer_id, revision, previous_stars, stars, raw_stars, held, score_ppm, raw_values,
            model_id, reference_id, as_of, stars_since, changed_at)
        SELECT ratings.customer_id, revision, given.value ->> 'previous_stars', stars, raw_stars, held,
            score_ppm, raw_values, model_id, reference_id, as_of, stars_since, $2
        FROM json_each($1) AS given
        CROSS JOIN ratings
        WHERE ratings.customer_id = given.value ->> 'customer_id'",
};

const REVISIONS: Sql = Sql {
    postgres: "
        UPDATE customers
        SET revision = customers.revision + 1
        FROM json_to_recordset(CAST($1 AS json)) AS given (customer_id TEXT)
        WHERE customers.customer_id = given.customer_id",
    sqlite: "
        UPDATE customers
        SET revision = revision + 1
        WHERE customer_id IN (SELECT value ->> 'customer_id' FROM json_each($1))",
};

/// Stores ratings in one statement, and what changed in two more; the caller holds the customers' locks.
pub async fn upsert(tx: &mut Tx, ratings: &[NewRating]) -> Result<(), Error> {
    let all = json_list(&ratings.iter().map(as_json).collect::<Vec<_>>());
    let sql = RATINGS.text(common::db::Access::dialect(tx));
    on!(tx, |conn| sqlx::query(sql)
        .bind(all)
        .execute(conn)
        .await
        .map(drop))?;

    let changed: Vec<_> = ratings
        .iter()
        .filter(|rating| rating.is_change())
        .map(as_json)
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let (changed, now) = (json_list(&changed), tx.now());
    let sql = HISTORY.text(common::db::Access::dialect(tx));
    on!(tx, |conn| sqlx::query(sql)
        .bind(&changed)
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
    let sql = REVISIONS.text(common::db::Access::dialect(tx));
    on!(tx, |conn| sqlx::query(sql)
        .bind(&changed)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

fn as_json(new: &NewRating) -> Value {
    let rating = &new.rating;
    json!({
        "customer_id": rating.customer_id.as_str(),
        "revision": rating.revision,
        "previous_stars": new.previous_stars,
        "stars": rating.stars,
        "raw_stars": rating.raw_stars,
        "held": rating.held,
        "score_ppm": rating.score_ppm,
        "raw_values": rating.raw_values,
        "model_id": rating.model_id,
        "reference_id": rating.reference_id,
        "as_of": rating.as_of.micros(),
        "stars_since": rating.stars_since.micros(),
    })
}
