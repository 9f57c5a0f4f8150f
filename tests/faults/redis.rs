//! Redis is never the truth: it may be flushed, stopped and started again under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use api::customer::v1::{CustomerCreated, CustomerFacts};
use api::loyalty::v1::loyalty_service_client::LoyaltyServiceClient;
use api::loyalty::v1::{EarnPointsRequest, GetTierRequest};
use loyalty_points::Loyalty;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::{FeedSource, Setup, TestServer, until};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

const MEMBERS: usize = 8;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn redis_may_be_flushed_stopped_and_restarted_under_load(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let customers = FeedSource::start("customer", backend).await;
    let redis = testkit::redis().await;
    let setup = Setup::<Loyalty> {
        redis: Some(redis.url.clone()),
        ..Setup::default()
    };
    let server = TestServer::start_as(backend, &[&customers], setup).await;
    let replica = server.replica().await;
    for member in 0..MEMBERS {
        let id = format!("m-{member}");
        let facts = CustomerFacts {
            customer_id: id.clone(),
            ..Default::default()
        };
        customers
            .emit(
                &id,
                1,
                &CustomerCreated {
                    customer: Some(facts),
                },
            )
            .await;
    }
    server.caught_up(&customers).await;

    let load = Arc::new(Load::default());
    let mut callers = JoinSet::new();
    for member in 0..MEMBERS {
        let writer = LoyaltyServiceClient::new(server.channel());
        let reader = LoyaltyServiceClient::new(replica.channel());
        callers.spawn(earn_and_look(
            format!("m-{member}"),
            writer,
            reader,
            load.clone(),
        ));
    }
    for _ in 0..3 {
        load.goes_on().await;
        redis.flush();
        load.goes_on().await;
        redis.stop();
        load.goes_on().await;
        redis.start();
    }
    load.goes_on().await;
    load.stop.store(true, Ordering::Relaxed);
    for caller in callers.join_all().await {
        caller.expect("a call failed or was stale");
    }
}

#[derive(Default)]
struct Load {
    stop: AtomicBool,
    rounds: AtomicU64,
}

impl Load {
    /// Returns when every member has had a few more rounds.
    async fn goes_on(&self) {
        let enough = self.rounds.load(Ordering::Relaxed) + 6 * MEMBERS as u64;
        let reached = async || self.rounds.load(Ordering::Relaxed) >= enough;
        until("the load goes on", reached).await;
    }
}

/// Writes through one replica and reads through the other with the write's token: never an error, and
/// never an answer older than the write.
async fn earn_and_look(
    customer_id: String,
    mut writer: LoyaltyServiceClient<Channel>,
    mut reader: LoyaltyServiceClient<Channel>,
    load: Arc<Load>,
) -> Result<(), Status> {
    for points in 1.. {
        if load.stop.load(Ordering::Relaxed) {
            break;
        }
        let earn = EarnPointsRequest {
            program_id: "default".to_owned(),
            customer_id: customer_id.clone(),
            points: 1,
            source_type: "test".to_owned(),
            source_ref: format!("{customer_id}-{points}"),
            ..Default::default()
        };
        let earned = writer.earn_points(earn).await?.into_inner();
        let look = GetTierRequest {
            program_id: "default".to_owned(),
            customer_id: customer_id.clone(),
            at_least: earned.consistency_token,
            ..Default::default()
        };
        let tier = reader
            .get_tier(look)
            .await?
            .into_inner()
            .tier
            .unwrap_or_default();
        if tier.qualifying_points != points {
            return Err(Status::data_loss(format!(
                "{} after {points}",
                tier.qualifying_points
            )));
        }
        load.rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
