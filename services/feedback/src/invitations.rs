//! Inviting customers, and taking invitations back.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::db::Tx;
use common::ids::CustomerId;
use common::platform::Platform;
use common::time::Timestamp;
use common::validate::Violations;
use sha2::{Digest as _, Sha256};

use crate::domain::survey::Channel;
use crate::domain::{InvitationId, SurveyId};
use crate::error::Error;
use crate::store::invitations::Invitation;
use crate::surveys::check_open;
use crate::{events, store};

/// Bytes of randomness in a token: 192 bits.
const TOKEN_BYTES: usize = 24;

/// Whom to invite.
#[derive(Debug)]
pub struct Invite {
    /// What to answer.
    pub survey_id: SurveyId,
    /// Who; no one twice.
    pub customers: Vec<CustomerId>,
    /// How the invitations reach them.
    pub channel: Channel,
    /// When their time is up.
    pub expires_at: Timestamp,
}

/// A new invitation with its secret.
#[derive(Debug)]
pub struct Issued {
    /// As stored.
    pub invitation: Invitation,
    /// Shown to the caller once, and kept nowhere.
    pub token: String,
    /// Of the customer, after this.
    pub revision: i64,
}

/// What became of one customer: `None` where the customer is unknown.
#[derive(Debug)]
pub struct Outcome {
    /// Who.
    pub customer: CustomerId,
    /// The invitation.
    pub issued: Option<Issued>,
}

/// The hash under which a token is known.
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

/// Invites every customer that is known, in the order given.
pub async fn create(
    platform: &Platform,
    tx: &mut Tx,
    invite: Invite,
) -> Result<Vec<Outcome>, Error> {
    let now = platform.now();
    if invite.expires_at <= now {
        let mut violations = Violations::new();
        violations.add("expires_at", "must be in the future");
        violations.all(())?;
    }
    let survey = store::surveys::hold(tx, &invite.survey_id).await?;
    check_open(&survey)?;

    // Locks are taken in the order of ids, so that two batches never wait for each other in a
    // circle.
    let mut order: Vec<usize> = (0..invite.customers.len()).collect();
    order.sort_by_key(|&at| &invite.customers[at]);
    let mut outcomes = Vec::with_capacity(order.len());
    for at in order {
        outcomes.push((at, issue(platform, tx, &invite, at, now).await?));
    }
    outcomes.sort_by_key(|(at, _)| *at);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

async fn issue(
    platform: &Platform,
    tx: &mut Tx,
    invite: &Invite,
    at: usize,
    now: Timestamp,
) -> Result<Outcome, Error> {
    let customer = invite.customers[at].clone();
    let revision = match store::customers::advance_living(tx, &customer).await {
        Ok(revision) => revision,
        Err(Error::CustomerNotFound(_)) => {
            return Ok(Outcome {
                customer,
                issued: None,
            });
        }
        Err(error) => return Err(error),
    };
    let token = URL_SAFE_NO_PAD.encode(platform.ids.random_bytes::<TOKEN_BYTES>());
    let invitation = Invitation {
        invitation_id: InvitationId::new(&platform.ids),
        customer_id: customer.clone(),
        survey_id: invite.survey_id.clone(),
        channel: invite.channel,
        created_at: now,
        expires_at: invite.expires_at,
        revoked_at: None,
        completed: false,
    };
    store::invitations::insert(tx, &invitation, &hash(&token)).await?;
    tx.emit(
        &customer,
        revision,
        &events::invitation_created(&invitation),
    );
    Ok(Outcome {
        customer,
        issued: Some(Issued {
            invitation,
            token,
            revision,
        }),
    })
}

/// Takes an invitation back that has no response yet; one that has expired may be taken back too.
pub async fn revoke(
    platform: &Platform,
    tx: &mut Tx,
    id: &InvitationId,
) -> Result<(Invitation, i64), Error> {
    let (mut invitation, revision) = hold(tx, id).await?;
    if invitation.completed {
        return Err(Error::ResponseAlreadySubmitted(id.clone()));
    }
    if invitation.revoked_at.is_some() {
        return Err(Error::InvitationRevoked(id.clone()));
    }
    let now = platform.now();
    store::invitations::revoke(tx, &invitation, now).await?;
    invitation.revoked_at = Some(now);
    tx.emit(
        &invitation.customer_id,
        revision,
        &events::invitation_revoked(&invitation, now),
    );
    Ok((invitation, revision))
}

/// Locks the customer of an invitation, then reads the invitation as it is under that lock.
pub(crate) async fn hold(tx: &mut Tx, id: &InvitationId) -> Result<(Invitation, i64), Error> {
    let not_found = || Error::InvitationNotFound(id.clone());
    let seen = store::invitations::find(tx, id)
        .await?
        .ok_or_else(not_found)?;
    let revision = store::customers::advance_living(tx, &seen.customer_id).await?;
    let invitation = store::invitations::find(tx, id)
        .await?
        .ok_or_else(not_found)?;
    Ok((invitation, revision))
}
