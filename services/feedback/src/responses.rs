//! Taking the one response of an invitation.

use common::db::Tx;
use common::platform::Platform;
use common::validate::Violations;

use crate::domain::ResponseId;
use crate::domain::survey::{InvitationState, SurveyType, state};
use crate::error::Error;
use crate::invitations::{hash, hold};
use crate::store::invitations::Invitation;
use crate::store::responses::Response;
use crate::surveys::check_open;
use crate::{events, store};

/// A customer's answer.
#[derive(Debug)]
pub struct Submit {
    /// The secret of the invitation.
    pub token: String,
    /// The score.
    pub score: i32,
    /// What the customer wrote.
    pub comment: String,
}

/// Records the response, and returns it with the customer's revision.
pub async fn submit(
    platform: &Platform,
    tx: &mut Tx,
    submit: Submit,
) -> Result<(Response, i64), Error> {
    let id = store::invitations::find_by_token(tx, &hash(&submit.token)).await?;
    let (invitation, revision) = hold(tx, &id.ok_or(Error::TokenNotFound)?).await?;
    let survey = store::surveys::hold(tx, &invitation.survey_id).await?;
    let now = platform.now();
    match state(invitation.standing(), now) {
        InvitationState::Issued => check_open(&survey)?,
        spent => return Err(refusal(spent, invitation)),
    }
    check_score(survey.survey_type, submit.score)?;

    let response = Response {
        response_id: ResponseId::new(&platform.ids),
        survey_id: invitation.survey_id,
        invitation_id: invitation.invitation_id,
        customer_id: invitation.customer_id,
        score: submit.score,
        comment: submit.comment,
        channel: invitation.channel,
        submitted_at: now,
    };
    // The lock has excluded a second response already; the key would, whatever happens to the lock.
    if !store::responses::insert(tx, &response).await? {
        return Err(Error::ResponseAlreadySubmitted(response.invitation_id));
    }
    let event = events::response_submitted(&response, survey.survey_type);
    tx.emit(&response.customer_id, revision, &event);
    Ok((response, revision))
}

fn refusal(spent: InvitationState, invitation: Invitation) -> Error {
    let invitation_id = invitation.invitation_id;
    match spent {
        InvitationState::Completed => Error::ResponseAlreadySubmitted(invitation_id),
        InvitationState::Revoked => Error::InvitationRevoked(invitation_id),
        InvitationState::Issued | InvitationState::Expired => Error::InvitationExpired {
            invitation_id,
            expires_at: invitation.expires_at,
        },
    }
}

fn check_score(survey: SurveyType, score: i32) -> Result<(), Error> {
    let scores = survey.scores();
    let mut violations = Violations::new();
    if !scores.contains(&score) {
        violations.add(
            "score",
            format!("must be {} to {}", scores.start(), scores.end()),
        );
    }
    Ok(violations.all(())?)
}
