//! Everything that is stored of some customers, to be compared with their postings.

use common::db::Access;
use common::on;
use common::time::Timestamp;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::postings::PostingRow;
use crate::domain::currency::Wallet;

/// Customers: those after one and up to another.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// After this one.
    pub after: &'a str,
    /// Up to this one.
    pub to: &'a str,
}

/// The customers after one who are members of anything, in order.
pub async fn list_customers(
    db: &mut impl Access,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, common::Error> {
    const SELECT: &str = "
        SELECT DISTINCT customer_id
        FROM members
        WHERE customer_id > $1
        ORDER BY customer_id
        LIMIT $2";
    Ok(on!(db, |conn| sqlx::query_scalar(SELECT)
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// What a statement selects of the customers after `$1` and up to `$2`.
pub(super) async fn list<T>(
    db: &mut impl Access,
    select: &'static str,
    range: Range<'_>,
) -> Result<Vec<T>, common::Error>
where
    T: for<'r> FromRow<'r, PgRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
{
    Ok(on!(db, |conn| sqlx::query_as(select)
        .bind(range.after)
        .bind(range.to)
        .fetch_all(conn)
        .await)?)
}

/// A page of the customers' postings, those of each in order.
pub async fn list_postings(
    db: &mut impl Access,
    (customer_id, revision): (&str, i64),
    to: &str,
    limit: i64,
) -> Result<Vec<PostingRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, posting_id, program_id, revision, kind, points, source_type, source_ref,
               rule, reason_code, reason, reverses, counterparty, occurred_at, posted_at, decision,
               actor, approver, currency
        FROM postings
        WHERE (customer_id, revision) > ($1, $2) AND customer_id <= $3
        ORDER BY customer_id, revision
        LIMIT $4";
    Ok(on!(db, |conn| sqlx::query_as(SELECT)
        .bind(customer_id)
        .bind(revision)
        .bind(to)
        .bind(limit)
        .fetch_all(conn)
        .await)?)
}

/// A lot as stored.
#[derive(Debug, sqlx::FromRow)]
pub struct LotRow {
    /// The member's customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// The currency.
    #[sqlx(rename = "currency")]
    pub wallet: Wallet,
    /// The lot.
    pub lot_id: String,
    /// The posting that made it.
    pub posting_id: String,
    /// Points it began with.
    pub original: i64,
    /// Points left.
    pub remaining: i64,
    /// Points held.
    pub held: i64,
    /// Points spent.
    pub consumed: i64,
    /// Points written off.
    pub expired: i64,
    /// Points taken back.
    pub reversed: i64,
    /// Points that count for the tier.
    pub qualifying: i64,
    /// When it was earned.
    pub earned_at: Timestamp,
    /// From when on it can be spent.
    pub activates_at: Option<Timestamp>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// When a posting activated it.
    pub activated_by: Option<Timestamp>,
    /// When a posting cancelled it.
    pub cancelled_by: Option<Timestamp>,
}

/// When a lot that waited was settled by a posting of this kind.
macro_rules! settled_by {
    ($kind:literal) => {
        concat!(
            "(
                   SELECT s.occurred_at
                   FROM postings p
                   JOIN postings s
                       ON s.program_id = p.program_id
                       AND s.source_type = p.source_type
                       AND s.source_ref = p.source_ref
                       AND s.rule = 'pending/' || p.rule
                   WHERE p.customer_id = l.customer_id
                       AND p.posting_id = l.posting_id
                       AND s.kind = '",
            $kind,
            "'
               )"
        )
    };
}

/// Every lot of the customers, which are few.
pub async fn list_lots(
    db: &mut impl Access,
    range: Range<'_>,
) -> Result<Vec<LotRow>, common::Error> {
    const SELECT: &str = concat!(
        "
        SELECT l.customer_id, l.program_id, l.currency, l.lot_id, l.posting_id, l.original, l.remaining, l.held,
               l.consumed, l.expired, l.reversed, l.qualifying, l.earned_at, l.activates_at,
               l.expires_at, l.cancelled_at,
               ",
        settled_by!("activate"),
        " AS activated_by,
               ",
        settled_by!("cancel"),
        " AS cancelled_by
        FROM lots l
        WHERE l.customer_id > $1 AND l.customer_id <= $2
        ORDER BY l.customer_id, l.lot_id"
    );
    list(db, SELECT, range).await
}

/// An extension of a lot's expiry.
#[derive(Debug, sqlx::FromRow)]
pub struct ExtensionRow {
    /// The customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// The lot.
    pub lot_id: String,
    /// When it would have expired.
    pub from_expires_at: Timestamp,
    /// When it expires since.
    pub to_expires_at: Timestamp,
}

/// Every extension of lots of the customers, who are few, those of each lot in order.
pub async fn list_extensions(
    db: &mut impl Access,
    range: Range<'_>,
) -> Result<Vec<ExtensionRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, program_id, lot_id, from_expires_at, to_expires_at
        FROM expiry_extensions
        WHERE customer_id > $1 AND customer_id <= $2
        ORDER BY customer_id, revision";
    list(db, SELECT, range).await
}

/// A hold as stored.
#[derive(Debug, sqlx::FromRow)]
pub struct HoldRow {
    /// The member's customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// The currency.
    #[sqlx(rename = "currency")]
    pub wallet: Wallet,
    /// The hold.
    pub hold_id: String,
    /// The revision of the posting that made it.
    pub revision: i64,
    /// What has become of it.
    pub state: String,
    /// Points held at first.
    pub points: i64,
    /// Points still held.
    pub held: i64,
    /// Points captured.
    pub captured: i64,
    /// Points let go.
    pub released: i64,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub actor: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it times out.
    pub expires_at: Timestamp,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
}

/// Every hold of the customers, which are few.
pub async fn list_holds(
    db: &mut impl Access,
    range: Range<'_>,
) -> Result<Vec<HoldRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, program_id, currency, hold_id, revision, state, points, held, captured, released,
               reason, actor, created_at, expires_at, closed_at
        FROM holds
        WHERE customer_id > $1 AND customer_id <= $2
        ORDER BY customer_id, hold_id";
    list(db, SELECT, range).await
}

/// What a hold has of a lot, as stored.
#[derive(Debug, sqlx::FromRow)]
pub struct PinRow {
    /// The member's customer.
    pub customer_id: String,
    /// The hold.
    pub hold_id: String,
    /// The lot.
    pub lot_id: String,
    /// Points held at first.
    pub points: i64,
    /// Points still held.
    pub held: i64,
    /// Points captured.
    pub captured: i64,
    /// Points let go.
    pub released: i64,
}

/// What every hold of the customers, who are few, has of which lots.
pub async fn list_pins(
    db: &mut impl Access,
    range: Range<'_>,
) -> Result<Vec<PinRow>, common::Error> {
    const SELECT: &str = "
        SELECT customer_id, hold_id, lot_id, points, held, captured, released
        FROM hold_lots
        WHERE customer_id > $1 AND customer_id <= $2
        ORDER BY customer_id, hold_id, lot_id";
    list(db, SELECT, range).await
}

/// A member's tier as stored, and what was recorded last of how it changed.
#[derive(Debug, sqlx::FromRow)]
pub struct TierRow {
    /// The member's customer.
    pub customer_id: String,
    /// The program.
    pub program_id: String,
    /// The tier.
    pub tier: String,
    /// The points it was decided on.
    pub tier_points: i64,
    /// Since when.
    pub tier_since: Timestamp,
    /// Until when that stands.
    pub tier_valid_until: Option<Timestamp>,
    /// The version of the policy that decided it.
    pub tier_policy: i64,
    /// The tier earned.
    pub earned_tier: Option<String>,
    /// The tier of the last change.
    pub changed_to: Option<String>,
    /// When it last became another.
    pub changed_at: Option<Timestamp>,
}

/// The tiers of the customers, who are few: of those who stand for themselves.
pub async fn list_tiers(
    db: &mut impl Access,
    range: Range<'_>,
) -> Result<Vec<TierRow>, common::Error> {
    const SELECT: &str = "
        SELECT m.customer_id, m.program_id, m.tier, m.tier_points, m.tier_since, m.tier_valid_until,
               m.tier_policy, m.earned_tier,
               (
                   SELECT c.to_tier
                   FROM tier_changes c
                   WHERE c.customer_id = m.customer_id AND c.program_id = m.program_id
                   ORDER BY c.revision DESC
                   LIMIT 1
               ) AS changed_to,
               (
                   SELECT c.changed_at
                   FROM tier_changes c
                   WHERE c.customer_id = m.customer_id
                       AND c.program_id = m.program_id
                       AND c.from_tier <> c.to_tier
                   ORDER BY c.revision DESC
                   LIMIT 1
               ) AS changed_at
        FROM members m
        WHERE m.customer_id > $1 AND m.customer_id <= $2 AND m.survivor IS NULL
        ORDER BY m.customer_id, m.program_id";
    list(db, SELECT, range).await
}
