//! Domain values as messages.

use api::feedback::v1 as pb;
use common::etag;
use common::time::Timestamp;

use crate::domain::metric::{Confidence, CsatGroups, Groups, NpsGroups, Tally};
use crate::domain::survey::{Channel, InvitationState, SurveyType, state};
use crate::domain::ticket::{Action, Event, Priority, Resolution, State, Step, TicketType};
use crate::store::invitations::Invitation;
use crate::store::responses::Response;
use crate::store::surveys::Survey;
use crate::store::tickets::Ticket;

pub(crate) fn survey(survey: Survey) -> pb::Survey {
    let state = match survey.closed_at {
        None => pb::SurveyState::Open,
        Some(_) => pb::SurveyState::Closed,
    };
    pb::Survey {
        survey_id: survey.survey_id.to_string(),
        r#type: survey_type(survey.survey_type).into(),
        title: survey.title,
        question: survey.question,
        state: state.into(),
        created_at: Some(survey.created_at.into()),
        closed_at: survey.closed_at.map(Into::into),
        etag: etag::of(survey.revision),
    }
}

pub(crate) fn survey_type(value: SurveyType) -> pb::SurveyType {
    match value {
        SurveyType::Nps => pb::SurveyType::Nps,
        SurveyType::Csat => pb::SurveyType::Csat,
    }
}

pub(crate) fn channel(value: Channel) -> pb::InvitationChannel {
    match value {
        Channel::Email => pb::InvitationChannel::Email,
        Channel::Sms => pb::InvitationChannel::Sms,
        Channel::App => pb::InvitationChannel::App,
        Channel::Web => pb::InvitationChannel::Web,
        Channel::Phone => pb::InvitationChannel::Phone,
    }
}

pub(crate) fn invitation(invitation: &Invitation, now: Timestamp) -> pb::Invitation {
    let state = match state(invitation.standing(), now) {
        InvitationState::Issued => pb::InvitationState::Issued,
        InvitationState::Completed => pb::InvitationState::Completed,
        InvitationState::Expired => pb::InvitationState::Expired,
        InvitationState::Revoked => pb::InvitationState::Revoked,
    };
    pb::Invitation {
        invitation_id: invitation.invitation_id.to_string(),
        survey_id: invitation.survey_id.to_string(),
        customer_id: invitation.customer_id.to_string(),
        channel: channel(invitation.channel).into(),
        state: state.into(),
        created_at: Some(invitation.created_at.into()),
        expires_at: Some(invitation.expires_at.into()),
        revoked_at: invitation.revoked_at.map(Into::into),
    }
}

pub(crate) fn response(response: Response) -> pb::SurveyResponse {
    pb::SurveyResponse {
        response_id: response.response_id.to_string(),
        survey_id: response.survey_id.to_string(),
        invitation_id: response.invitation_id.to_string(),
        customer_id: response.customer_id.to_string(),
        score: response.score,
        comment: response.comment,
        channel: channel(response.channel).into(),
        submitted_at: Some(response.submitted_at.into()),
    }
}

pub(crate) fn metric(survey: &Survey, tally: &Tally, level: Confidence) -> pb::Metric {
    let groups = tally.groups();
    let estimate = groups.estimate(level);
    let (method, groups) = match groups {
        Groups::Nps(NpsGroups {
            promoters,
            passives,
            detractors,
        }) => {
            let groups = pb::NpsGroups {
                promoters,
                passives,
                detractors,
            };
            (
                pb::IntervalMethod::AdjustedWald,
                pb::metric::Groups::Nps(groups),
            )
        }
        Groups::Csat(CsatGroups {
            satisfied,
            not_satisfied,
        }) => {
            let groups = pb::CsatGroups {
                satisfied,
                not_satisfied,
            };
            (pb::IntervalMethod::Wilson, pb::metric::Groups::Csat(groups))
        }
    };
    let count = |c: &crate::domain::metric::ScoreCount| pb::ScoreCount {
        score: c.score,
        responses: c.responses,
    };
    pb::Metric {
        survey_id: survey.survey_id.to_string(),
        r#type: survey_type(survey.survey_type).into(),
        responses: tally.responses(),
        value: estimate.map(|estimate| estimate.value),
        interval: estimate.map(|estimate| pb::Interval {
            low: estimate.low,
            high: estimate.high,
            confidence: confidence(level).into(),
            method: method.into(),
        }),
        groups: Some(groups),
        scores: tally.scores().iter().map(count).collect(),
    }
}

fn confidence(level: Confidence) -> pb::ConfidenceLevel {
    match level {
        Confidence::P90 => pb::ConfidenceLevel::ConfidenceLevel90,
        Confidence::P95 => pb::ConfidenceLevel::ConfidenceLevel95,
        Confidence::P99 => pb::ConfidenceLevel::ConfidenceLevel99,
    }
}

pub(crate) fn ticket(ticket: Ticket) -> pb::Ticket {
    let (details, progress) = (ticket.details, ticket.progress);
    pb::Ticket {
        ticket_id: ticket.ticket_id.to_string(),
        customer_id: ticket.customer_id.to_string(),
        r#type: ticket_type(details.ticket_type).into(),
        priority: priority(details.priority).into(),
        subject: details.subject,
        description: details.description,
        state: ticket_state(progress.state).into(),
        assignee: progress.assignee,
        resolution: progress.resolution.map(resolution),
        reopen_count: small(progress.reopen_count),
        opened_at: Some(ticket.opened_at.into()),
        updated_at: Some(progress.updated_at.into()),
        resolved_at: progress.resolved_at.map(Into::into),
        closed_at: progress.closed_at.map(Into::into),
        etag: etag::of(progress.version),
    }
}

pub(crate) fn history_entry(event: Event) -> pb::TicketHistoryEntry {
    let action = event.act.step.action();
    let mut entry = pb::TicketHistoryEntry {
        version: event.version,
        action: self::action(action).into(),
        from_state: from_state(event.from).into(),
        to_state: ticket_state(action.leads_to()).into(),
        actor: event.act.actor,
        reason: event.act.reason,
        occurred_at: Some(event.act.at.into()),
        ..pb::TicketHistoryEntry::default()
    };
    match event.act.step {
        Step::Assign { assignee } => entry.assignee = assignee,
        Step::Resolve(resolved) => entry.resolution = Some(resolution(resolved)),
        Step::Open | Step::Start | Step::Reopen | Step::Close => {}
    }
    entry
}

fn resolution(value: Resolution) -> pb::Resolution {
    pb::Resolution {
        code: value.code,
        text: value.text,
    }
}

pub(crate) fn ticket_type(value: TicketType) -> pb::TicketType {
    match value {
        TicketType::Complaint => pb::TicketType::Complaint,
        TicketType::Suggestion => pb::TicketType::Suggestion,
        TicketType::Consultation => pb::TicketType::Consultation,
    }
}

pub(crate) fn priority(value: Priority) -> pb::TicketPriority {
    match value {
        Priority::Low => pb::TicketPriority::Low,
        Priority::Normal => pb::TicketPriority::Normal,
        Priority::High => pb::TicketPriority::High,
        Priority::Urgent => pb::TicketPriority::Urgent,
    }
}

pub(crate) fn ticket_state(value: State) -> pb::TicketState {
    match value {
        State::New => pb::TicketState::New,
        State::Assigned => pb::TicketState::Assigned,
        State::InProgress => pb::TicketState::InProgress,
        State::Resolved => pb::TicketState::Resolved,
        State::Closed => pb::TicketState::Closed,
    }
}

/// The opening comes from no state.
pub(crate) fn from_state(value: Option<State>) -> pb::TicketState {
    value.map_or(pb::TicketState::Unspecified, ticket_state)
}

pub(crate) fn action(value: Action) -> pb::TicketAction {
    match value {
        Action::Opened => pb::TicketAction::Opened,
        Action::Assigned => pb::TicketAction::Assigned,
        Action::Started => pb::TicketAction::Started,
        Action::Resolved => pb::TicketAction::Resolved,
        Action::Reopened => pb::TicketAction::Reopened,
        Action::Closed => pb::TicketAction::Closed,
    }
}

/// A count that never gets near the limit.
pub(crate) fn small(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
