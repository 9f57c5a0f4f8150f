//! The `SurveyService`.

use api::feedback::v1 as pb;
use api::feedback::v1::survey_service_server::SurveyService;
use common::mutation::{Begun, Call};
use common::platform::Platform;
use tonic::{Request, Response, Status};

use super::convert;
use super::survey_requests::{self as parse, ListResponses};
use crate::error::{CUSTOMER_NOT_FOUND, Error};
use crate::invitations::{Invite, Issued, Outcome};
use crate::responses::Submit;
use crate::store::invitations::Invitation;
use crate::store::responses::Response as Submitted;
use crate::surveys::NewSurvey;
use crate::{invitations, responses, store, surveys};

/// Surveys, invitations, responses and metrics.
#[derive(Clone)]
pub struct Surveys {
    platform: Platform,
}

impl Surveys {
    /// On this platform.
    pub fn new(platform: Platform) -> Self {
        Self { platform }
    }
}

#[tonic::async_trait]
impl SurveyService for Surveys {
    async fn create_survey(
        &self,
        request: Request<pb::CreateSurveyRequest>,
    ) -> Result<Response<pb::CreateSurveyResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.SurveyService/CreateSurvey",
            &request,
            &request.request_id,
        );
        let new = NewSurvey::try_from(request)?;
        let mut mutation = match self.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let survey = surveys::create(&self.platform, mutation.tx(), new).await;
        let answer = |survey| pb::CreateSurveyResponse {
            survey: Some(convert::survey(survey)),
        };
        mutation.finish(survey.map(answer)).await
    }

    async fn get_survey(
        &self,
        request: Request<pb::GetSurveyRequest>,
    ) -> Result<Response<pb::GetSurveyResponse>, Status> {
        let id = parse::survey_id(&request.get_ref().survey_id)?;
        let survey = store::surveys::get(&mut self.platform.reader().await?, &id).await?;
        Ok(Response::new(pb::GetSurveyResponse {
            survey: Some(convert::survey(survey)),
        }))
    }

    async fn list_surveys(
        &self,
        request: Request<pb::ListSurveysRequest>,
    ) -> Result<Response<pb::ListSurveysResponse>, Status> {
        let (state, page) = parse::list_surveys(request.get_ref())?;
        let mut reader = self.platform.reader().await?;
        let (surveys, next_page_token) = store::surveys::list(&mut reader, state, &page).await?;
        let surveys = surveys.into_iter().map(convert::survey).collect();
        Ok(Response::new(pb::ListSurveysResponse {
            surveys,
            next_page_token,
        }))
    }

    async fn close_survey(
        &self,
        request: Request<pb::CloseSurveyRequest>,
    ) -> Result<Response<pb::CloseSurveyResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.SurveyService/CloseSurvey",
            &request,
            &request.request_id,
        );
        let id = parse::close(&request)?;
        let mut mutation = match self.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let survey = surveys::close(&self.platform, mutation.tx(), &id, &request.etag).await;
        let answer = |survey| pb::CloseSurveyResponse {
            survey: Some(convert::survey(survey)),
        };
        mutation.finish(survey.map(answer)).await
    }

    async fn create_invitations(
        &self,
        request: Request<pb::CreateInvitationsRequest>,
    ) -> Result<Response<pb::CreateInvitationsResponse>, Status> {
        let mut request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.SurveyService/CreateInvitations",
            &request,
            &request.request_id,
        );
        let at_least = std::mem::take(&mut request.at_least);
        let invite = Invite::try_from(request)?;
        for token in &at_least {
            self.platform.at_least(token).await?;
        }
        let mut mutation = match self.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let mut tokens = Vec::new();
        let outcome = invitations::create(&self.platform, mutation.tx(), invite).await;
        let answer = |outcomes: Vec<Outcome>| {
            let outcomes = outcomes
                .into_iter()
                .map(|o| self.outcome(o, &mut tokens))
                .collect();
            pb::CreateInvitationsResponse { outcomes }
        };
        let mut response = mutation.finish(outcome.map(answer)).await?;
        show(tokens, response.get_mut());
        Ok(response)
    }

    async fn get_invitation(
        &self,
        request: Request<pb::GetInvitationRequest>,
    ) -> Result<Response<pb::GetInvitationResponse>, Status> {
        let request = request.into_inner();
        let id = parse::invitation_id(&request.invitation_id)?;
        self.platform.at_least(&request.at_least).await?;
        let found = store::invitations::find(&mut self.platform.reader().await?, &id).await?;
        let invitation = found.ok_or(Error::InvitationNotFound(id))?;
        let invitation = Some(convert::invitation(&invitation, self.platform.now()));
        Ok(Response::new(pb::GetInvitationResponse { invitation }))
    }

    async fn revoke_invitation(
        &self,
        request: Request<pb::RevokeInvitationRequest>,
    ) -> Result<Response<pb::RevokeInvitationResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.SurveyService/RevokeInvitation",
            &request,
            &request.request_id,
        );
        let id = parse::revoke(&request)?;
        let mut mutation = match self.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let outcome = invitations::revoke(&self.platform, mutation.tx(), &id).await;
        let answer = |(invitation, revision)| self.revoked(&invitation, revision);
        mutation.finish(outcome.map(answer)).await
    }

    async fn submit_response(
        &self,
        request: Request<pb::SubmitResponseRequest>,
    ) -> Result<Response<pb::SubmitResponseResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.SurveyService/SubmitResponse",
            &request,
            &request.request_id,
        );
        let submit = Submit::try_from(request)?;
        let mut mutation = match self.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let outcome = responses::submit(&self.platform, mutation.tx(), submit).await;
        let answer = |(response, revision)| self.submitted(response, revision);
        mutation.finish(outcome.map(answer)).await
    }

    async fn list_responses(
        &self,
        request: Request<pb::ListResponsesRequest>,
    ) -> Result<Response<pb::ListResponsesResponse>, Status> {
        let request = request.into_inner();
        let ListResponses {
            survey,
            customer,
            page,
        } = ListResponses::try_from(&request)?;
        self.platform.at_least(&request.at_least).await?;
        let mut reader = self.platform.reader().await?;
        store::surveys::get(&mut reader, &survey).await?;
        let (responses, next_page_token) =
            store::responses::list(&mut reader, &survey, customer.as_ref(), &page).await?;
        let responses = responses.into_iter().map(convert::response).collect();
        Ok(Response::new(pb::ListResponsesResponse {
            responses,
            next_page_token,
        }))
    }

    async fn get_metric(
        &self,
        request: Request<pb::GetMetricRequest>,
    ) -> Result<Response<pb::GetMetricResponse>, Status> {
        let request = request.into_inner();
        let (range, confidence) = parse::metric(&request)?;
        self.platform.at_least(&request.at_least).await?;
        let mut reader = self.platform.reader().await?;
        let (survey, tally) = surveys::measure(&mut reader, &range).await?;
        let metric = Some(convert::metric(&survey, &tally, confidence));
        Ok(Response::new(pb::GetMetricResponse { metric }))
    }
}

impl Surveys {
    /// The outcome without its token: that one goes aside, since the answer is stored for repeated
    /// requests.
    fn outcome(&self, outcome: Outcome, tokens: &mut Vec<String>) -> pb::InvitationOutcome {
        use pb::invitation_outcome::Outcome as Choice;
        let choice = match outcome.issued {
            None => Choice::Refused(pb::InvitationRefusal {
                reason: CUSTOMER_NOT_FOUND.to_owned(),
                message: Error::CustomerNotFound(outcome.customer.clone()).to_string(),
            }),
            Some(Issued {
                invitation,
                token,
                revision,
            }) => {
                tokens.push(token);
                Choice::Issued(pb::IssuedInvitation {
                    invitation: Some(convert::invitation(&invitation, invitation.created_at)),
                    token: String::new(),
                    consistency_token: self.platform.token(&outcome.customer, revision),
                })
            }
        };
        pb::InvitationOutcome {
            customer_id: outcome.customer.into(),
            outcome: Some(choice),
        }
    }

    fn revoked(&self, invitation: &Invitation, revision: i64) -> pb::RevokeInvitationResponse {
        pb::RevokeInvitationResponse {
            invitation: Some(convert::invitation(invitation, self.platform.now())),
            consistency_token: self.platform.token(&invitation.customer_id, revision),
        }
    }

    fn submitted(&self, response: Submitted, revision: i64) -> pb::SubmitResponseResponse {
        let consistency_token = self.platform.token(&response.customer_id, revision);
        pb::SubmitResponseResponse {
            response: Some(convert::response(response)),
            consistency_token,
        }
    }
}

/// Puts the tokens into a fresh answer, in the order of its invitations.
fn show(tokens: Vec<String>, response: &mut pb::CreateInvitationsResponse) {
    use pb::invitation_outcome::Outcome as Choice;
    let issued = response
        .outcomes
        .iter_mut()
        .filter_map(|outcome| match &mut outcome.outcome {
            Some(Choice::Issued(issued)) => Some(issued),
            Some(Choice::Refused(_)) | None => None,
        });
    for (issued, token) in issued.zip(tokens) {
        issued.token = token;
    }
}
