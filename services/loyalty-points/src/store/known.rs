//! What was written of a member's lots after an instant.

use common::db::Access;
use common::on;
use common::time::Timestamp;

use super::accounts::AccountKey;
use crate::domain::known::Later;

/// What changed the times of a member's lots after an instant.
pub async fn get_later(
    db: &mut impl Access,
    account: AccountKey<'_>,
    posted_by: Timestamp,
) -> Result<Later, common::Error> {
    const EXTENDED: &str = "
        SELECT lot_id, from_expires_at
        FROM expiry_extensions
        WHERE customer_id = $1 AND program_id = $2 AND extended_at > $3
        ORDER BY revision DESC";
    const ACTIVATED: &str = "
        SELECT DISTINCT e.lot_id
        FROM postings p
        JOIN entries e ON e.customer_id = p.customer_id AND e.posting_id = p.posting_id
        WHERE p.customer_id = $1
            AND p.program_id = $2
            AND p.posted_at > $3
            AND p.kind = 'activate'
        ORDER BY e.lot_id";
    let extended = on!(db, |conn| sqlx::query_as::<_, (String, Timestamp)>(
        EXTENDED
    )
    .bind(account.customer_id)
    .bind(account.program_id)
    .bind(posted_by)
    .fetch_all(conn)
    .await)?;
    let activated = on!(db, |conn| sqlx::query_scalar::<_, String>(ACTIVATED)
        .bind(account.customer_id)
        .bind(account.program_id)
        .bind(posted_by)
        .fetch_all(conn)
        .await)?;
    // The first extension of a lot comes last and wins.
    Ok(Later {
        extended: extended.into_iter().collect(),
        activated: activated.into_iter().collect(),
    })
}
