//! `ConsumerService`: shows the consumers of this server and steers what they parked.

use std::collections::BTreeMap;
use std::time::Duration;

use api::feed::v1 as pb;
use pb::consumer_service_server::ConsumerService;
use tonic::{Request, Response, Status};

use super::{Consumer, store};
use crate::deadline;
use crate::error::Error;
use crate::feed::Position;
use crate::page::PageRequest;
use crate::time::Timestamp;
use crate::validate::Violations;

const POLLING: Duration = Duration::from_millis(10);
/// Left over for the answer when waiting ends at the caller's deadline.
const ANSWER_MARGIN: Duration = Duration::from_millis(30);

pub(crate) struct AdminService {
    pub consumers: BTreeMap<String, Consumer>,
}

impl AdminService {
    fn consumer(&self, name: &str) -> Result<&Consumer, Error> {
        self.consumers
            .get(name)
            .ok_or_else(|| Error::ConsumerNotFound(name.to_owned()))
    }
}

#[tonic::async_trait]
impl ConsumerService for AdminService {
    async fn list_consumers(
        &self,
        _: Request<pb::ListConsumersRequest>,
    ) -> Result<Response<pb::ListConsumersResponse>, Status> {
        let mut consumers = Vec::new();
        for consumer in self.consumers.values() {
            consumers.push(describe(consumer).await?);
        }
        Ok(Response::new(pb::ListConsumersResponse { consumers }))
    }

    async fn await_position(
        &self,
        request: Request<pb::AwaitPositionRequest>,
    ) -> Result<Response<pb::AwaitPositionResponse>, Status> {
        let request = request.into_inner();
        let consumer = self.consumer(&request.consumer)?;
        let wanted = Position::decode(&request.position)?;
        if wanted.source != consumer.source {
            return Err(Error::InvalidPosition.into());
        }
        loop {
            let stored = find(consumer)
                .await?
                .map(|stored| stored.position)
                .unwrap_or_default();
            if let Ok(position) = Position::decode(&stored)
                && position.epoch == wanted.epoch
                && position.number >= wanted.number
            {
                return Ok(Response::new(pb::AwaitPositionResponse {
                    position: stored,
                }));
            }
            // Nothing was ever written: there is nothing to wait for.
            if stored.is_empty() && wanted.number == 0 {
                return Ok(Response::new(pb::AwaitPositionResponse {
                    position: request.position,
                }));
            }
            if deadline::remaining().is_some_and(|left| left <= ANSWER_MARGIN) {
                return Err(Error::DeadlineExceeded.into());
            }
            tokio::time::sleep(POLLING).await;
        }
    }

    async fn list_parked_events(
        &self,
        request: Request<pb::ListParkedEventsRequest>,
    ) -> Result<Response<pb::ListParkedEventsResponse>, Status> {
        let request = request.into_inner();
        let consumer = self.consumer(&request.consumer)?;
        let mut violations = Violations::new();
        let query = format!("ListParkedEvents|{}", consumer.name);
        let page = PageRequest::parse(
            &mut violations,
            request.page_size,
            &request.page_token,
            &query,
        );
        let (page,) = violations.all((page,))?;
        let (micros, event_id) = page
            .after::<(i64, String)>()
            .unwrap_or((i64::MIN, String::new()));
        let mut reader = consumer.platform.reader().await?;
        let after = (Timestamp::from_micros(micros), event_id);
        let mut parked =
            store::list_parked(&mut reader, &consumer.name, after, page.size + 1).await?;
        let next_page_token = page.cut(&mut parked, |last| {
            (last.since.micros(), last.event().event_id)
        });
        let parked_events = parked.iter().map(parked_to_proto).collect();
        Ok(Response::new(pb::ListParkedEventsResponse {
            parked_events,
            next_page_token,
        }))
    }

    async fn replay_parked_event(
        &self,
        request: Request<pb::ReplayParkedEventRequest>,
    ) -> Result<Response<pb::ReplayParkedEventResponse>, Status> {
        let request = request.into_inner();
        let consumer = self.consumer(&request.consumer)?;
        let mut tx = consumer.platform.tx().await?;
        if !store::update_replay(&mut tx, &consumer.name, &request.event_id).await? {
            return Err(Error::ParkedEventNotFound(request.event_id).into());
        }
        tx.commit().await?;
        consumer.replay.notify_one();
        Ok(Response::new(pb::ReplayParkedEventResponse {}))
    }

    async fn discard_parked_event(
        &self,
        request: Request<pb::DiscardParkedEventRequest>,
    ) -> Result<Response<pb::DiscardParkedEventResponse>, Status> {
        let request = request.into_inner();
        let consumer = self.consumer(&request.consumer)?;
        let mut tx = consumer.platform.tx().await?;
        if !store::delete_parked(&mut tx, &consumer.name, &request.event_id).await? {
            return Err(Error::ParkedEventNotFound(request.event_id).into());
        }
        tx.commit().await?;
        Ok(Response::new(pb::DiscardParkedEventResponse {}))
    }
}

async fn find(consumer: &Consumer) -> Result<Option<store::Stored>, Error> {
    store::find(&mut consumer.platform.reader().await?, &consumer.name).await
}

async fn describe(consumer: &Consumer) -> Result<pb::Consumer, Error> {
    let stored = find(consumer).await?;
    let mut described = pb::Consumer {
        name: consumer.name.clone(),
        source: consumer.source.to_owned(),
        ..pb::Consumer::default()
    };
    if let Some(stored) = stored {
        described.position = stored.position;
        described.lag_events = stored.lag_events;
        described.parked_events = stored.parked_events;
        described.lease_owner = stored.owner;
        described.lease_epoch = stored.epoch;
    }
    Ok(described)
}

fn parked_to_proto(parked: &store::Parked) -> pb::ParkedEvent {
    pb::ParkedEvent {
        event: Some(parked.event().to_proto()),
        failure: parked.failure.clone(),
        attempts: i32::try_from(parked.attempts).unwrap_or(i32::MAX),
        parked_at: Some(parked.since.into()),
    }
}
