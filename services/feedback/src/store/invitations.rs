//! Invitations. Their tokens are known here by hash only.

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::on;
use common::time::Timestamp;

use super::Name;
use crate::domain::survey::{Channel, Standing};
use crate::domain::{InvitationId, Named as _, SurveyId};
use crate::error::Error;

/// The right of one customer to answer one survey once.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Its id.
    pub invitation_id: InvitationId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// What to answer.
    pub survey_id: SurveyId,
    /// How it reaches the customer.
    pub channel: Channel,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its time is up.
    pub expires_at: Timestamp,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// Whether it has its response.
    pub completed: bool,
}

impl Invitation {
    /// What decides whether it may be answered.
    pub fn standing(&self) -> Standing {
        Standing {
            completed: self.completed,
            revoked: self.revoked_at.is_some(),
            expires_at: self.expires_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(try_from = "String")]
    invitation_id: InvitationId,
    customer_id: CustomerId,
    #[sqlx(try_from = "String")]
    survey_id: SurveyId,
    #[sqlx(try_from = "String")]
    channel: Name<Channel>,
    created_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    completed: bool,
}

impl From<Row> for Invitation {
    fn from(row: Row) -> Self {
        Self {
            invitation_id: row.invitation_id,
            customer_id: row.customer_id,
            survey_id: row.survey_id,
            channel: row.channel.0,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            completed: row.completed,
        }
    }
}

/// Adds an invitation with the hash of its token.
pub async fn insert(
    tx: &mut Tx,
    invitation: &Invitation,
    token_sha256: &[u8],
) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO invitation (
            customer_id, invitation_id, survey_id, channel, token_sha256, created_at, expires_at, revoked_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, NULL)";
    on!(tx, |conn| sqlx::query(INSERT)
        .bind(&invitation.customer_id)
        .bind(invitation.invitation_id.as_str())
        .bind(invitation.survey_id.as_str())
        .bind(invitation.channel.name())
        .bind(token_sha256)
        .bind(invitation.created_at)
        .bind(invitation.expires_at)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}

/// The invitation, if there is one.
pub async fn find(db: &mut impl Access, id: &InvitationId) -> Result<Option<Invitation>, Error> {
    const FIND: &str = "
        SELECT i.invitation_id, i.customer_id, i.survey_id, i.channel, i.created_at, i.expires_at, i.revoked_at,
            r.invitation_id IS NOT NULL AS completed
        FROM invitation i
        LEFT JOIN survey_response r ON r.customer_id = i.customer_id AND r.invitation_id = i.invitation_id
        WHERE i.invitation_id = $1";
    let row = on!(db, |conn| sqlx::query_as::<_, Row>(FIND)
        .bind(id.as_str())
        .fetch_optional(conn)
        .await)?;
    Ok(row.map(Invitation::from))
}

/// The id of the invitation a token belongs to.
pub async fn find_by_token(
    db: &mut impl Access,
    token_sha256: &[u8],
) -> Result<Option<InvitationId>, Error> {
    const FIND: &str = "
        SELECT invitation_id
        FROM invitation
        WHERE token_sha256 = $1";
    let id = on!(db, |conn| sqlx::query_scalar::<_, String>(FIND)
        .bind(token_sha256)
        .fetch_optional(conn)
        .await)?;
    id.map(|id| InvitationId::parse(&id).map_err(Error::corrupt))
        .transpose()
}

/// Takes an invitation back.
pub async fn revoke(tx: &mut Tx, invitation: &Invitation, now: Timestamp) -> Result<(), Error> {
    const REVOKE: &str = "
        UPDATE invitation
        SET revoked_at = $3
        WHERE customer_id = $1 AND invitation_id = $2";
    on!(tx, |conn| sqlx::query(REVOKE)
        .bind(&invitation.customer_id)
        .bind(invitation.invitation_id.as_str())
        .bind(now)
        .execute(conn)
        .await
        .map(drop))?;
    Ok(())
}
