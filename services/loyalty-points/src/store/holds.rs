//! Holds and the lots that they pin.

use std::collections::HashMap;

use common::db::{Access, Sql, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;
use serde::Serialize;

use super::accounts::{AccountKey, MemberKey};
use crate::domain::currency::Wallet;
use crate::domain::holds::{Hold, Pin, State};

/// A hold as stored.
#[derive(Debug, Clone)]
pub struct StoredHold {
    /// The member's customer.
    pub customer_id: CustomerId,
    /// The program.
    pub program_id: String,
    /// The currency.
    pub wallet: Wallet,
    /// The customer's revision with the posting that made it.
    pub revision: i64,
    /// Why.
    pub reason: String,
    /// Who authorised it; absent where that was not recorded.
    pub actor: Option<String>,
    /// The hold.
    pub hold: Hold,
}

impl StoredHold {
    /// The account whose points it holds.
    pub fn account(&self) -> AccountKey<'_> {
        AccountKey {
            customer_id: &self.customer_id,
            program_id: &self.program_id,
            wallet: &self.wallet,
        }
    }
}

#[derive(sqlx::FromRow)]
struct HoldRow {
    customer_id: CustomerId,
    hold_id: String,
    program_id: String,
    revision: i64,
    state: String,
    reason: String,
    actor: Option<String>,
    created_at: Timestamp,
    expires_at: Timestamp,
    closed_at: Option<Timestamp>,
    #[sqlx(rename = "currency")]
    wallet: Wallet,
}

#[derive(Serialize, sqlx::FromRow)]
struct PinRow {
    hold_id: String,
    lot_id: String,
    points: i64,
    held: i64,
    captured: i64,
    released: i64,
}

/// Writes a new hold with what it pins.
pub async fn insert(tx: &mut Tx, new: &StoredHold) -> Result<(), common::Error> {
    const INSERT: &str = "
        INSERT INTO holds
            (customer_id, hold_id, program_id, revision, state, points, held, captured, released,
             reason, created_at, expires_at, currency, actor)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    const INSERT_LOTS: Sql = Sql {
        postgres: "
            INSERT INTO hold_lots (customer_id, hold_id, lot_id, points, held, captured, released)
            SELECT $1, hold_id, lot_id, points, held, captured, released
            FROM json_to_recordset(CAST($2 AS json))
                AS pin (hold_id TEXT, lot_id TEXT, points BIGINT, held BIGINT, captured BIGINT,
                        released BIGINT)",
        sqlite: "
            INSERT INTO hold_lots (customer_id, hold_id, lot_id, points, held, captured, released)
            SELECT $1, value ->> 'hold_id', value ->> 'lot_id', value ->> 'points',
                   value ->> 'held', value ->> 'captured', value ->> 'released'
            FROM json_each($2)",
    };
    let hold = &new.hold;
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(&new.customer_id)
        .bind(&hold.hold_id)
        .bind(&new.program_id)
        .bind(new.revision)
        .bind(state(hold.state))
        .bind(hold.points())
        .bind(hold.held())
        .bind(hold.captured())
        .bind(hold.released())
        .bind(&new.reason)
        .bind(hold.created_at)
        .bind(hold.expires_at)
        .bind(&new.wallet)
        .bind(&new.actor)
        .execute(conn)
        .await
        .map(drop))?;
    let text = INSERT_LOTS.text(tx.dialect());
    Ok(on!(tx, |conn| sqlx::query(text)
        .bind(&new.customer_id)
        .bind(common::db::json_list(&rows(hold)))
        .execute(conn)
        .await
        .map(drop))?)
}

/// Writes what has become of a hold and of what it pins.
pub async fn update(
    tx: &mut Tx,
    customer_id: &CustomerId,
    hold: &Hold,
) -> Result<(), common::Error> {
    const UPDATE: &str = "
        UPDATE holds
        SET state = $3, held = $4, captured = $5, released = $6, closed_at = $7
        WHERE customer_id = $1 AND hold_id = $2";
    const UPDATE_LOT: &str = "
        UPDATE hold_lots
        SET held = $4, captured = $5, released = $6
        WHERE customer_id = $1 AND hold_id = $2 AND lot_id = $3";
    on!(tx, |conn| sqlx::query(UPDATE)
        .bind(customer_id)
        .bind(&hold.hold_id)
        .bind(state(hold.state))
        .bind(hold.held())
        .bind(hold.captured())
        .bind(hold.released())
        .bind(hold.closed_at)
        .execute(conn)
        .await
        .map(drop))?;
    for pin in &hold.pins {
        on!(tx, |conn| sqlx::query(UPDATE_LOT)
            .bind(customer_id)
            .bind(&hold.hold_id)
            .bind(&pin.lot_id)
            .bind(pin.held)
            .bind(pin.captured)
            .bind(pin.released)
            .execute(conn)
            .await
            .map(drop))?;
    }
    Ok(())
}

/// A member's hold, if there is one with that id.
pub async fn find(
    db: &mut impl Access,
    customer_id: &CustomerId,
    program_id: &str,
    hold_id: &str,
) -> Result<Option<StoredHold>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, hold_id, program_id, revision, state, reason, actor, created_at,
               expires_at, closed_at, currency
        FROM holds
        WHERE customer_id = $1 AND program_id = $2 AND hold_id = $3";
    let row = on!(db, |conn| sqlx::query_as::<_, HoldRow>(SELECT)
        .bind(customer_id)
        .bind(program_id)
        .bind(hold_id)
        .fetch_optional(conn)
        .await)?;
    let holds = with_pins(db, customer_id, row.into_iter().collect()).await?;
    Ok(holds.into_iter().next())
}

/// A member's holds that are open as far as anything has noticed. Unlimited, as a decision needs all of them.
pub async fn list_open(
    db: &mut impl Access,
    of: MemberKey<'_>,
) -> Result<Vec<StoredHold>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, hold_id, program_id, revision, state, reason, actor, created_at,
               expires_at, closed_at, currency
        FROM holds
        WHERE customer_id = $1
            AND program_id = $2
            AND ($3 IS NULL OR currency = $3)
            AND state = 'authorized'
        ORDER BY expires_at, hold_id";
    let rows = on!(db, |conn| sqlx::query_as::<_, HoldRow>(SELECT)
        .bind(of.customer_id)
        .bind(of.program_id)
        .bind(of.wallet)
        .fetch_all(conn)
        .await)?;
    with_pins(db, of.customer_id, rows).await
}

/// A member's holds before a revision, the latest first.
pub async fn list(
    db: &mut impl Access,
    of: MemberKey<'_>,
    before: i64,
    limit: i64,
) -> Result<Vec<StoredHold>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, hold_id, program_id, revision, state, reason, actor, created_at,
               expires_at, closed_at, currency
        FROM holds
        WHERE customer_id = $1
            AND program_id = $2
            AND ($3 IS NULL OR currency = $3)
            AND revision < $4
        ORDER BY revision DESC
        LIMIT $5";
    let rows = on!(db, |conn| sqlx::query_as::<_, HoldRow>(SELECT)
        .bind(of.customer_id)
        .bind(of.program_id)
        .bind(of.wallet)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await)?;
    with_pins(db, of.customer_id, rows).await
}

/// What a member's holds held at an instant, by the entries effective by then and posted by another one; of amounts
/// only `held` is told.
pub async fn list_open_at(
    db: &mut impl Access,
    of: MemberKey<'_>,
    as_of: Timestamp,
    posted_by: Timestamp,
) -> Result<Vec<Hold>, common::Error> {
    const SELECT: &str = "
        SELECT h.hold_id, h.created_at, h.expires_at, e.lot_id, CAST(SUM(e.points) AS BIGINT) AS held
        FROM postings p
        JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
        JOIN holds h ON h.customer_id = e.customer_id AND h.hold_id = e.hold_id
        WHERE p.customer_id = $1
            AND e.program_id = $2
            AND ($3 IS NULL OR h.currency = $3)
            AND e.account = 'held'
            AND e.effective_at <= $4
            AND p.posted_at <= $5
        GROUP BY h.hold_id, h.created_at, h.expires_at, e.lot_id
        HAVING SUM(e.points) > 0
        ORDER BY h.hold_id, e.lot_id";
    #[derive(sqlx::FromRow)]
    struct Row {
        hold_id: String,
        created_at: Timestamp,
        expires_at: Timestamp,
        lot_id: String,
        held: i64,
    }
    let rows = on!(db, |conn| sqlx::query_as::<_, Row>(SELECT)
        .bind(of.customer_id)
        .bind(of.program_id)
        .bind(of.wallet)
        .bind(as_of)
        .bind(posted_by)
        .fetch_all(conn)
        .await)?;
    let hold = |rows: &[Row]| Hold {
        hold_id: rows[0].hold_id.clone(),
        state: State::Authorized,
        created_at: rows[0].created_at,
        expires_at: rows[0].expires_at,
        closed_at: None,
        pins: rows
            .iter()
            .map(|row| Pin {
                lot_id: row.lot_id.clone(),
                points: row.held,
                held: row.held,
                captured: 0,
                released: 0,
            })
            .collect(),
    };
    let same = |a: &Row, b: &Row| a.hold_id == b.hold_id;
    Ok(rows.chunk_by(same).map(hold).collect())
}

async fn with_pins(
    db: &mut impl Access,
    customer_id: &CustomerId,
    rows: Vec<HoldRow>,
) -> Result<Vec<StoredHold>, common::Error> {
    const SELECT: Sql = Sql {
        postgres: "
            SELECT hold_id, lot_id, points, held, captured, released
            FROM hold_lots
            WHERE customer_id = $1
                AND hold_id IN (SELECT json_array_elements_text(CAST($2 AS json)))
            ORDER BY hold_id, lot_id",
        sqlite: "
            SELECT hold_id, lot_id, points, held, captured, released
            FROM hold_lots
            WHERE customer_id = $1
                AND hold_id IN (SELECT value FROM json_each($2))
            ORDER BY hold_id, lot_id",
    };
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = rows.iter().map(|row| row.hold_id.as_str()).collect();
    let text = SELECT.text(db.dialect());
    let found = on!(db, |conn| sqlx::query_as::<_, PinRow>(text)
        .bind(customer_id)
        .bind(common::db::json_list(&ids))
        .fetch_all(conn)
        .await)?;
    let mut pins: HashMap<String, Vec<Pin>> = HashMap::new();
    for row in found {
        pins.entry(row.hold_id).or_default().push(Pin {
            lot_id: row.lot_id,
            points: row.points,
            held: row.held,
            captured: row.captured,
            released: row.released,
        });
    }
    let stored = |row: HoldRow| StoredHold {
        customer_id: row.customer_id,
        program_id: row.program_id,
        wallet: row.wallet,
        revision: row.revision,
        reason: row.reason,
        actor: row.actor,
        hold: Hold {
            pins: pins.remove(&row.hold_id).unwrap_or_default(),
            hold_id: row.hold_id,
            state: parse_state(&row.state),
            created_at: row.created_at,
            expires_at: row.expires_at,
            closed_at: row.closed_at,
        },
    };
    Ok(rows.into_iter().map(stored).collect())
}

fn rows(hold: &Hold) -> Vec<PinRow> {
    let row = |pin: &Pin| PinRow {
        hold_id: hold.hold_id.clone(),
        lot_id: pin.lot_id.clone(),
        points: pin.points,
        held: pin.held,
        captured: pin.captured,
        released: pin.released,
    };
    hold.pins.iter().map(row).collect()
}

fn state(state: State) -> &'static str {
    match state {
        State::Authorized => "authorized",
        State::Captured => "captured",
        State::Voided => "voided",
        State::Expired => "expired",
    }
}

/// The column's CHECK admits no others.
fn parse_state(state: &str) -> State {
    match state {
        "captured" => State::Captured,
        "voided" => State::Voided,
        "expired" => State::Expired,
        _ => State::Authorized,
    }
}
