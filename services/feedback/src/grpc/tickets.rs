//! The `TicketService`.

use api::feedback::v1 as pb;
use api::feedback::v1::ticket_service_server::TicketService;
use common::mutation::{Begun, Call};
use common::platform::Platform;
use prost::Message;
use tonic::{Request, Response, Status};

use super::{convert, ticket_requests as parse};
use crate::domain::ticket::Policy;
use crate::error::Error;
use crate::tickets::{Changed, Move, Open};
use crate::{store, tickets};

/// Tickets and their history.
#[derive(Clone)]
pub struct Tickets {
    platform: Platform,
    policy: Policy,
}

impl Tickets {
    /// On this platform, with these settings.
    pub fn new(platform: Platform, policy: Policy) -> Self {
        Self { platform, policy }
    }

    /// What all transitions do; they differ in what they parse and in the type of the answer.
    async fn step<T: Message + Default>(
        &self,
        call: Call,
        step: Move,
        answer: impl FnOnce(pb::Ticket, String) -> T,
    ) -> Result<Response<T>, Status> {
        let mut mutation = match self.platform.begin(call).await? {
            Begun::Replayed(replayed) => return replayed,
            Begun::Fresh(mutation) => mutation,
        };
        let outcome = tickets::take(&self.platform, mutation.tx(), self.policy, step).await;
        mutation
            .finish(outcome.map(|changed| self.changed(changed, answer)))
            .await
    }

    fn changed<T>(&self, changed: Changed, answer: impl FnOnce(pb::Ticket, String) -> T) -> T {
        let token = self
            .platform
            .token(&changed.ticket.customer_id, changed.revision);
        answer(convert::ticket(changed.ticket), token)
    }
}

#[tonic::async_trait]
impl TicketService for Tickets {
    async fn open_ticket(
        &self,
        request: Request<pb::OpenTicketRequest>,
    ) -> Result<Response<pb::OpenTicketResponse>, Status> {
        let mut request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.TicketService/OpenTicket",
            &request,
            &request.request_id,
        );
        let at_least = std::mem::take(&mut request.at_least);
        let open = Open::try_from(request)?;
        self.platform.at_least(&at_least).await?;
        let mut mutation = match self.platform.begin(call).await? {
            Begun::Replayed(answer) => return answer,
            Begun::Fresh(mutation) => mutation,
        };
        let outcome = tickets::open(&self.platform, mutation.tx(), open).await;
        if let Err(unknown @ Error::CustomerNotFound(_)) = outcome {
            // Perhaps only not heard of yet: not stored, so that a retry can succeed.
            return Err(unknown.into());
        }
        let answer = |ticket, consistency_token| pb::OpenTicketResponse {
            ticket: Some(ticket),
            consistency_token,
        };
        mutation
            .finish(outcome.map(|changed| self.changed(changed, answer)))
            .await
    }

    async fn assign_ticket(
        &self,
        request: Request<pb::AssignTicketRequest>,
    ) -> Result<Response<pb::AssignTicketResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.TicketService/AssignTicket",
            &request,
            &request.request_id,
        );
        self.step(call, request.try_into()?, |ticket, consistency_token| {
            pb::AssignTicketResponse {
                ticket: Some(ticket),
                consistency_token,
            }
        })
        .await
    }

    async fn start_work(
        &self,
        request: Request<pb::StartWorkRequest>,
    ) -> Result<Response<pb::StartWorkResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.TicketService/StartWork",
            &request,
            &request.request_id,
        );
        self.step(call, request.try_into()?, |ticket, consistency_token| {
            pb::StartWorkResponse {
                ticket: Some(ticket),
                consistency_token,
            }
        })
        .await
    }

    async fn resolve_ticket(
        &self,
        request: Request<pb::ResolveTicketRequest>,
    ) -> Result<Response<pb::ResolveTicketResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.TicketService/ResolveTicket",
            &request,
            &request.request_id,
        );
        self.step(call, request.try_into()?, |ticket, consistency_token| {
            pb::ResolveTicketResponse {
                ticket: Some(ticket),
                consistency_token,
            }
        })
        .await
    }

    async fn reopen_ticket(
        &self,
        request: Request<pb::ReopenTicketRequest>,
    ) -> Result<Response<pb::ReopenTicketResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.TicketService/ReopenTicket",
            &request,
            &request.request_id,
        );
        self.step(call, request.try_into()?, |ticket, consistency_token| {
            pb::ReopenTicketResponse {
                ticket: Some(ticket),
                consistency_token,
            }
        })
        .await
    }

    async fn close_ticket(
        &self,
        request: Request<pb::CloseTicketRequest>,
    ) -> Result<Response<pb::CloseTicketResponse>, Status> {
        let request = request.into_inner();
        let call = Call::new(
            "asterism.feedback.v1.TicketService/CloseTicket",
            &request,
            &request.request_id,
        );
        self.step(call, request.try_into()?, |ticket, consistency_token| {
            pb::CloseTicketResponse {
                ticket: Some(ticket),
                consistency_token,
            }
        })
        .await
    }

    async fn get_ticket(
        &self,
        request: Request<pb::GetTicketRequest>,
    ) -> Result<Response<pb::GetTicketResponse>, Status> {
        let request = request.into_inner();
        let id = parse::ticket_id(&request.ticket_id)?;
        self.platform.at_least(&request.at_least).await?;
        let ticket = store::tickets::get(&mut self.platform.reader().await?, &id).await?;
        Ok(Response::new(pb::GetTicketResponse {
            ticket: Some(convert::ticket(ticket)),
        }))
    }

    async fn list_tickets(
        &self,
        request: Request<pb::ListTicketsRequest>,
    ) -> Result<Response<pb::ListTicketsResponse>, Status> {
        let request = request.into_inner();
        let (filter, page) = parse::list(&request)?;
        self.platform.at_least(&request.at_least).await?;
        let mut reader = self.platform.reader().await?;
        let (tickets, next_page_token) = store::tickets::list(&mut reader, &filter, &page).await?;
        let tickets = tickets.into_iter().map(convert::ticket).collect();
        Ok(Response::new(pb::ListTicketsResponse {
            tickets,
            next_page_token,
        }))
    }

    async fn list_ticket_history(
        &self,
        request: Request<pb::ListTicketHistoryRequest>,
    ) -> Result<Response<pb::ListTicketHistoryResponse>, Status> {
        let request = request.into_inner();
        let (id, page) = parse::list_history(&request)?;
        self.platform.at_least(&request.at_least).await?;
        let mut reader = self.platform.reader().await?;
        let ticket = store::tickets::get(&mut reader, &id).await?;
        let (events, next_page_token) =
            store::tickets::list_events(&mut reader, &ticket, &page).await?;
        let entries = events.into_iter().map(convert::history_entry).collect();
        Ok(Response::new(pb::ListTicketHistoryResponse {
            entries,
            next_page_token,
        }))
    }
}
