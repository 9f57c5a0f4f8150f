//! A small scripted NPS survey, so that feedback has something to show.
//!
//! The log holds no opinions: who answers and what follows from the number of purchases, by a fixed
//! rule, and is made up. Fixed request ids make a second run find the first one's survey.

use std::collections::BTreeMap;

use api::feedback::v1 as pb;
use chrono::TimeDelta;
use tonic::Status;

use super::TODAY;
use super::cdnow::Log;
use super::client::Clients;

/// Every so many customers are asked.
const ASKED_EVERY: usize = 20;
/// Of those asked, every so many do not answer.
const SILENT_EVERY: usize = 4;

/// Asks a sample of customers and answers for them.
pub async fn run(clients: &Clients, log: &Log) -> Result<(), Status> {
    let survey_id = create(clients).await?;
    let mut purchases: BTreeMap<&str, i32> = BTreeMap::new();
    for purchase in &log.purchases {
        *purchases.entry(&purchase.customer_id).or_default() += 1;
    }
    let asked = purchases.into_iter().step_by(ASKED_EVERY);
    for (place, (customer, purchases)) in asked.enumerate() {
        let answers = place % SILENT_EVERY != 0;
        ask(
            clients,
            &survey_id,
            customer,
            answers.then(|| score(place, purchases)),
        )
        .await?;
    }
    Ok(())
}

/// Invites one customer and answers for them. A token is shown only once: where a crash came between
/// invitation and answer, the invitation is revoked and made anew.
async fn ask(
    clients: &Clients,
    survey_id: &str,
    customer: &str,
    score: Option<i32>,
) -> Result<(), Status> {
    for attempt in 1.. {
        let issued = invite(clients, survey_id, customer, attempt).await?;
        let Some(score) = score else { break };
        if !issued.token.is_empty() {
            return answer(clients, customer, issued.token, score).await;
        }
        let invitation_id = issued.invitation.unwrap_or_default().invitation_id;
        let request = pb::GetInvitationRequest {
            invitation_id: invitation_id.clone(),
            ..Default::default()
        };
        let found = clients
            .surveys
            .clone()
            .get_invitation(request)
            .await?
            .into_inner();
        match found.invitation.unwrap_or_default().state() {
            pb::InvitationState::Completed => break,
            pb::InvitationState::Revoked => {}
            _ => {
                let request = pb::RevokeInvitationRequest {
                    invitation_id,
                    ..Default::default()
                };
                clients.surveys.clone().revoke_invitation(request).await?;
            }
        }
    }
    Ok(())
}

async fn invite(
    clients: &Clients,
    survey_id: &str,
    customer: &str,
    attempt: u32,
) -> Result<pb::IssuedInvitation, Status> {
    let request = pb::CreateInvitationsRequest {
        request_id: format!("demo-invitation-{customer}-{attempt}"),
        survey_id: survey_id.to_owned(),
        customer_ids: vec![customer.to_owned()],
        channel: pb::InvitationChannel::Email.into(),
        expires_at: Some((TODAY + TimeDelta::days(30)).into()),
        at_least: Vec::new(),
    };
    let invited = clients
        .surveys
        .clone()
        .create_invitations(request)
        .await?
        .into_inner();
    match invited
        .outcomes
        .into_iter()
        .next()
        .and_then(|outcome| outcome.outcome)
    {
        Some(pb::invitation_outcome::Outcome::Issued(issued)) => Ok(issued),
        _ => Err(Status::failed_precondition(format!(
            "{customer} was not invited"
        ))),
    }
}

async fn create(clients: &Clients) -> Result<String, Status> {
    let request = pb::CreateSurveyRequest {
        request_id: "demo-survey".to_owned(),
        r#type: pb::SurveyType::Nps.into(),
        title: "CDNOW, July 1998".to_owned(),
        question: "How likely are you to recommend CDNOW to a friend?".to_owned(),
    };
    let created = clients
        .surveys
        .clone()
        .create_survey(request)
        .await?
        .into_inner();
    Ok(created.survey.unwrap_or_default().survey_id)
}

async fn answer(
    clients: &Clients,
    customer: &str,
    token: String,
    score: i32,
) -> Result<(), Status> {
    let request = pb::SubmitResponseRequest {
        request_id: format!("demo-response-{customer}"),
        token,
        score: Some(score),
        comment: String::new(),
    };
    clients.surveys.clone().submit_response(request).await?;
    Ok(())
}

/// Those who buy more like it better, with some spread.
fn score(place: usize, purchases: i32) -> i32 {
    let spread = i32::try_from(place % 5).expect("less than five");
    (4 + purchases.min(5) + spread).min(10)
}
