//! Requests of the `TicketService` as domain values.

use api::feedback::v1 as pb;
use common::Error;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::validate::Violations;

use super::parse;
use crate::domain::TicketId;
use crate::domain::ticket::{Resolution, Step};
use crate::store::tickets::{Details, Filter};
use crate::tickets::{Move, Open};

const SUBJECT_LENGTH_MAX: usize = 200;
const DESCRIPTION_LENGTH_MAX: usize = 10_000;
const ASSIGNEE_LENGTH_MAX: usize = 128;
const REASON_LENGTH_MAX: usize = 1000;
const RESOLUTION_LENGTH_MAX: usize = 4000;

impl TryFrom<pb::OpenTicketRequest> for Open {
    type Error = Error;

    fn try_from(request: pb::OpenTicketRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let customer = v.parse(
            "customer_id",
            request.customer_id.as_str(),
            CustomerId::parse,
        );
        let ticket_type = v.check("type", parse::ticket_type(request.r#type));
        let priority = v.check("priority", parse::priority(request.priority));
        let subject = v.check(
            "subject",
            parse::text(&request.subject, 1..=SUBJECT_LENGTH_MAX),
        );
        let description = parse::text(&request.description, 0..=DESCRIPTION_LENGTH_MAX);
        let description = v.check("description", description);
        let (customer, ticket_type, priority, subject, description) =
            v.all((customer, ticket_type, priority, subject, description))?;
        Ok(Self {
            customer,
            details: Details {
                ticket_type,
                priority,
                subject,
                description,
            },
        })
    }
}

/// What every transition carries.
struct Common<'a> {
    request_id: &'a str,
    ticket_id: &'a str,
    etag: String,
    reason: &'a str,
}

impl Common<'_> {
    fn with(self, step: Option<Step>, mut v: Violations) -> Result<Move, Error> {
        v.request_id(self.request_id);
        let ticket_id = v.parse("ticket_id", self.ticket_id, TicketId::parse);
        let reason = v.check("reason", parse::text(self.reason, 0..=REASON_LENGTH_MAX));
        let (ticket_id, step, reason) = v.all((ticket_id, step, reason))?;
        Ok(Move {
            ticket_id,
            etag: self.etag,
            step,
            reason,
        })
    }
}

/// The fields that the five request types have in common; no type can say so.
macro_rules! common {
    ($request:expr) => {
        Common {
            request_id: &$request.request_id,
            ticket_id: &$request.ticket_id,
            etag: $request.etag,
            reason: &$request.reason,
        }
    };
}

impl TryFrom<pb::AssignTicketRequest> for Move {
    type Error = Error;

    fn try_from(request: pb::AssignTicketRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        let assignee = v.check(
            "assignee",
            parse::text(&request.assignee, 1..=ASSIGNEE_LENGTH_MAX),
        );
        let step = assignee.map(|assignee| Step::Assign { assignee });
        common!(request).with(step, v)
    }
}

impl TryFrom<pb::StartWorkRequest> for Move {
    type Error = Error;

    fn try_from(request: pb::StartWorkRequest) -> Result<Self, Error> {
        common!(request).with(Some(Step::Start), Violations::new())
    }
}

impl TryFrom<pb::ResolveTicketRequest> for Move {
    type Error = Error;

    fn try_from(request: pb::ResolveTicketRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        let given = request.resolution.unwrap_or_default();
        let code = v.check("resolution.code", parse::resolution_code(&given.code));
        let text = v.check(
            "resolution.text",
            parse::text(&given.text, 1..=RESOLUTION_LENGTH_MAX),
        );
        let resolution = code.zip(text).map(|(code, text)| Resolution { code, text });
        common!(request).with(resolution.map(Step::Resolve), v)
    }
}

impl TryFrom<pb::ReopenTicketRequest> for Move {
    type Error = Error;

    fn try_from(request: pb::ReopenTicketRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        if request.reason.trim().is_empty() {
            v.add("reason", "must be given");
        }
        common!(request).with(Some(Step::Reopen), v)
    }
}

impl TryFrom<pb::CloseTicketRequest> for Move {
    type Error = Error;

    fn try_from(request: pb::CloseTicketRequest) -> Result<Self, Error> {
        common!(request).with(Some(Step::Close), Violations::new())
    }
}

pub(super) fn ticket_id(raw: &str) -> Result<TicketId, Error> {
    let mut v = Violations::new();
    let id = v.parse("ticket_id", raw, TicketId::parse);
    Ok(v.all((id,))?.0)
}

/// Which tickets to list, and which page.
pub(super) fn list(request: &pb::ListTicketsRequest) -> Result<(Filter, PageRequest), Error> {
    let mut v = Violations::new();
    let customer = v.check("customer_id", parse::any_customer(&request.customer_id));
    let state = v.check("state", parse::any_ticket_state(request.state));
    let assignee = v.check(
        "assignee",
        parse::text(&request.assignee, 0..=ASSIGNEE_LENGTH_MAX),
    );
    let ticket_type = v.check("type", parse::any_ticket_type(request.r#type));
    let query = format!(
        "ListTickets|{}|{}|{}|{}",
        request.customer_id, request.state, request.r#type, request.assignee
    );
    let page = PageRequest::parse(&mut v, request.page_size, &request.page_token, &query);
    let (customer, state, assignee, ticket_type, page) =
        v.all((customer, state, assignee, ticket_type, page))?;
    let assignee = Some(assignee).filter(|assignee| !assignee.is_empty());
    Ok((
        Filter {
            customer,
            state,
            assignee,
            ticket_type,
        },
        page,
    ))
}

/// Whose history to list, and which page.
pub(super) fn list_history(
    request: &pb::ListTicketHistoryRequest,
) -> Result<(TicketId, PageRequest), Error> {
    let mut v = Violations::new();
    let id = v.parse("ticket_id", request.ticket_id.as_str(), TicketId::parse);
    let query = format!("ListTicketHistory|{}", request.ticket_id);
    let page = PageRequest::parse(&mut v, request.page_size, &request.page_token, &query);
    v.all((id, page))
}
