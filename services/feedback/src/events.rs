//! What the service tells the change feed: facts, no free text.

use api::feedback::v1 as pb;
use common::time::Timestamp;

use crate::domain::survey::SurveyType;
use crate::domain::ticket::Event;
use crate::grpc::convert;
use crate::store::invitations::Invitation;
use crate::store::responses::Response;
use crate::store::tickets::Ticket;

pub(crate) fn invitation_created(invitation: &Invitation) -> pb::InvitationCreated {
    pb::InvitationCreated {
        customer_id: invitation.customer_id.to_string(),
        invitation_id: invitation.invitation_id.to_string(),
        survey_id: invitation.survey_id.to_string(),
        channel: convert::channel(invitation.channel).into(),
        created_at: Some(invitation.created_at.into()),
        expires_at: Some(invitation.expires_at.into()),
    }
}

pub(crate) fn invitation_revoked(invitation: &Invitation, at: Timestamp) -> pb::InvitationRevoked {
    pb::InvitationRevoked {
        customer_id: invitation.customer_id.to_string(),
        invitation_id: invitation.invitation_id.to_string(),
        survey_id: invitation.survey_id.to_string(),
        revoked_at: Some(at.into()),
    }
}

pub(crate) fn response_submitted(response: &Response, survey: SurveyType) -> pb::ResponseSubmitted {
    pb::ResponseSubmitted {
        customer_id: response.customer_id.to_string(),
        response_id: response.response_id.to_string(),
        survey_id: response.survey_id.to_string(),
        survey_type: convert::survey_type(survey).into(),
        invitation_id: response.invitation_id.to_string(),
        score: response.score,
        submitted_at: Some(response.submitted_at.into()),
    }
}

pub(crate) fn ticket_opened(ticket: &Ticket) -> pb::TicketOpened {
    pb::TicketOpened {
        customer_id: ticket.customer_id.to_string(),
        ticket: Some(facts(ticket)),
    }
}

pub(crate) fn ticket_changed(ticket: &Ticket, event: &Event) -> pb::TicketChanged {
    pb::TicketChanged {
        customer_id: ticket.customer_id.to_string(),
        ticket: Some(facts(ticket)),
        action: convert::action(event.act.step.action()).into(),
        from_state: convert::from_state(event.from).into(),
    }
}

fn facts(ticket: &Ticket) -> pb::TicketFacts {
    let progress = &ticket.progress;
    pb::TicketFacts {
        ticket_id: ticket.ticket_id.to_string(),
        r#type: convert::ticket_type(ticket.details.ticket_type).into(),
        priority: convert::priority(ticket.details.priority).into(),
        state: convert::ticket_state(progress.state).into(),
        assignee: progress.assignee.clone(),
        reopen_count: convert::small(progress.reopen_count),
        resolution_code: progress
            .resolution
            .as_ref()
            .map(|r| r.code.clone())
            .unwrap_or_default(),
        opened_at: Some(ticket.opened_at.into()),
        updated_at: Some(progress.updated_at.into()),
    }
}
