//! Requests of the `SurveyService` as domain values.

use std::collections::BTreeSet;

use api::feedback::v1 as pb;
use common::Error;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::validate::Violations;

use super::parse;
use crate::domain::metric::Confidence;
use crate::domain::survey::SurveyState;
use crate::domain::{InvitationId, SurveyId};
use crate::invitations::Invite;
use crate::responses::Submit;
use crate::store::responses::Range;
use crate::surveys::NewSurvey;

const INVITED_MAX: usize = 1000;
const TITLE_LENGTH_MAX: usize = 200;
const QUESTION_LENGTH_MAX: usize = 1000;
const COMMENT_LENGTH_MAX: usize = 4000;
const TOKEN_LENGTH_MAX: usize = 128;

impl TryFrom<pb::CreateSurveyRequest> for NewSurvey {
    type Error = Error;

    fn try_from(request: pb::CreateSurveyRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let survey_type = v.check("type", parse::survey_type(request.r#type));
        let title = v.check("title", parse::text(&request.title, 1..=TITLE_LENGTH_MAX));
        let question = v.check(
            "question",
            parse::text(&request.question, 1..=QUESTION_LENGTH_MAX),
        );
        let (survey_type, title, question) = v.all((survey_type, title, question))?;
        Ok(Self {
            survey_type,
            title,
            question,
        })
    }
}

pub(super) fn survey_id(raw: &str) -> Result<SurveyId, Error> {
    let mut v = Violations::new();
    let id = v.parse("survey_id", raw, SurveyId::parse);
    Ok(v.all((id,))?.0)
}

pub(super) fn close(request: &pb::CloseSurveyRequest) -> Result<SurveyId, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let id = v.parse("survey_id", request.survey_id.as_str(), SurveyId::parse);
    Ok(v.all((id,))?.0)
}

/// Which surveys to list, and which page.
pub(super) fn list_surveys(
    request: &pb::ListSurveysRequest,
) -> Result<(Option<SurveyState>, PageRequest), Error> {
    let mut v = Violations::new();
    let state = v.check("state", parse::any_survey_state(request.state));
    let query = format!("ListSurveys|{}", request.state);
    let page = PageRequest::parse(&mut v, request.page_size, &request.page_token, &query);
    v.all((state, page))
}

impl TryFrom<pb::CreateInvitationsRequest> for Invite {
    type Error = Error;

    fn try_from(request: pb::CreateInvitationsRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let survey_id = v.parse("survey_id", request.survey_id.as_str(), SurveyId::parse);
        let customers = customers(&mut v, &request.customer_ids);
        let channel = v.check("channel", parse::channel(request.channel));
        let expires_at = v.check(
            "expires_at",
            parse::required_time(request.expires_at.as_ref()),
        );
        if request.at_least.len() > INVITED_MAX {
            v.add(
                "at_least",
                format!("must have at most {INVITED_MAX} tokens"),
            );
        }
        let (survey_id, customers, channel, expires_at) =
            v.all((survey_id, customers, channel, expires_at))?;
        Ok(Self {
            survey_id,
            customers,
            channel,
            expires_at,
        })
    }
}

fn customers(v: &mut Violations, raw: &[String]) -> Option<Vec<CustomerId>> {
    if !(1..=INVITED_MAX).contains(&raw.len()) {
        v.add(
            "customer_ids",
            format!("must have 1 to {INVITED_MAX} customers"),
        );
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut customers = Vec::with_capacity(raw.len());
    for (at, raw) in raw.iter().enumerate() {
        let field = format!("customer_ids[{at}]");
        if !seen.insert(raw) {
            v.add(&field, "must not be a customer named before");
        }
        customers.push(v.parse(field, raw.as_str(), CustomerId::parse));
    }
    customers.into_iter().collect()
}

pub(super) fn invitation_id(raw: &str) -> Result<InvitationId, Error> {
    let mut v = Violations::new();
    let id = v.parse("invitation_id", raw, InvitationId::parse);
    Ok(v.all((id,))?.0)
}

pub(super) fn revoke(request: &pb::RevokeInvitationRequest) -> Result<InvitationId, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let id = v.parse(
        "invitation_id",
        request.invitation_id.as_str(),
        InvitationId::parse,
    );
    Ok(v.all((id,))?.0)
}

impl TryFrom<pb::SubmitResponseRequest> for Submit {
    type Error = Error;

    fn try_from(request: pb::SubmitResponseRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let token = v.check("token", parse::text(&request.token, 1..=TOKEN_LENGTH_MAX));
        let score = v.check("score", request.score.ok_or("must be given"));
        let comment = v.check(
            "comment",
            parse::text(&request.comment, 0..=COMMENT_LENGTH_MAX),
        );
        let (token, score, comment) = v.all((token, score, comment))?;
        Ok(Self {
            token,
            score,
            comment,
        })
    }
}

/// Which responses to list.
pub(super) struct ListResponses {
    pub survey: SurveyId,
    pub customer: Option<CustomerId>,
    pub page: PageRequest,
}

impl TryFrom<&pb::ListResponsesRequest> for ListResponses {
    type Error = Error;

    fn try_from(request: &pb::ListResponsesRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        let survey = v.parse("survey_id", request.survey_id.as_str(), SurveyId::parse);
        let customer = v.check("customer_id", parse::any_customer(&request.customer_id));
        let query = format!(
            "ListResponses|{}|{}",
            request.survey_id, request.customer_id
        );
        let page = PageRequest::parse(&mut v, request.page_size, &request.page_token, &query);
        let (survey, customer, page) = v.all((survey, customer, page))?;
        Ok(Self {
            survey,
            customer,
            page,
        })
    }
}

/// Which responses to measure, and how surely.
pub(super) fn metric(request: &pb::GetMetricRequest) -> Result<(Range, Confidence), Error> {
    let mut v = Violations::new();
    let survey = v.parse("survey_id", request.survey_id.as_str(), SurveyId::parse);
    let from = parse::optional_time(request.submitted_from.as_ref());
    let from = v.check("submitted_from", from);
    let before = parse::optional_time(request.submitted_before.as_ref());
    let before = v.check("submitted_before", before);
    if let (Some(Some(from)), Some(Some(before))) = (from, before)
        && from >= before
    {
        v.add("submitted_before", "must be after submitted_from");
    }
    let confidence = v.check("confidence", parse::confidence(request.confidence));
    let (survey, from, before, confidence) = v.all((survey, from, before, confidence))?;
    Ok((
        Range {
            survey,
            from,
            before,
        },
        confidence,
    ))
}
