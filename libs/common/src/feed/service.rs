//! `ChangeFeedService` over the feeds that a server has.

use std::collections::BTreeMap;
use std::time::Duration;

use api::feed::v1 as pb;
use futures::stream::BoxStream;
use pb::change_feed_service_server::ChangeFeedService;
use tonic::{Request, Response, Status};

use super::Feed;
use super::watch::{self, Watching};
use crate::error::Error;
use crate::server::Drain;
use crate::validate::Violations;

const HEARTBEAT_SECONDS: i32 = 10;
const PAGE_SIZE: i32 = 100;

pub(crate) struct FeedService {
    pub feeds: BTreeMap<&'static str, Feed>,
    pub drain: Drain,
}

impl FeedService {
    /// The feed of that name, or the only one.
    fn feed(&self, source: &str) -> Result<&Feed, Error> {
        let only = || {
            self.feeds
                .values()
                .next()
                .filter(|_| source.is_empty() && self.feeds.len() == 1)
        };
        self.feeds
            .get(source)
            .or_else(only)
            .ok_or_else(|| Error::FeedNotFound(source.to_owned()))
    }
}

#[tonic::async_trait]
impl ChangeFeedService for FeedService {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<pb::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let seconds = in_range(
            &mut violations,
            "heartbeat_interval_seconds",
            request.heartbeat_interval_seconds,
            HEARTBEAT_SECONDS,
            60,
        );
        let (seconds,) = violations.all((seconds,))?;
        let feed = self.feed(&request.source)?.clone();
        let after = match feed.start(&request.after_position).await {
            // Told in the stream, so that a watcher learns it the same way at any time.
            Err(Error::PositionCompacted { .. }) => -1,
            after => after?,
        };
        let watching = Watching {
            feed,
            after,
            types: request.event_types,
            heartbeat: Duration::from_secs(seconds.unsigned_abs()),
            drain: self.drain.clone(),
        };
        Ok(Response::new(watch::stream(watching)))
    }

    async fn read_changes(
        &self,
        request: Request<pb::ReadChangesRequest>,
    ) -> Result<Response<pb::ReadChangesResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let size = in_range(
            &mut violations,
            "page_size",
            request.page_size,
            PAGE_SIZE,
            1000,
        );
        let (size,) = violations.all((size,))?;
        let feed = self.feed(&request.source)?;
        let after = feed.start(&request.after_position).await?;
        let page = feed.read(after, size, &request.event_types).await?;
        let next_position = feed.position(&page.head, page.number).encode();
        Ok(Response::new(pb::ReadChangesResponse {
            events: page.events,
            next_position,
        }))
    }

    async fn get_head(
        &self,
        request: Request<pb::GetHeadRequest>,
    ) -> Result<Response<pb::GetHeadResponse>, Status> {
        let feed = self.feed(&request.into_inner().source)?;
        let position = feed.head().await?.encode();
        Ok(Response::new(pb::GetHeadResponse { position }))
    }
}

/// A number from 1 to `max`, where 0 means the default.
fn in_range(
    violations: &mut Violations,
    field: &str,
    given: i32,
    default: i32,
    max: i32,
) -> Option<i64> {
    match given {
        0 => Some(i64::from(default)),
        1.. if given <= max => Some(i64::from(given)),
        _ => {
            violations.add(
                field,
                format!("must be 0 (which means {default}) or 1 to {max}"),
            );
            None
        }
    }
}
