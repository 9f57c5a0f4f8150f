//! The service is killed, as `kill -9` does, amid a recalculation of tiers that is asked for again each time.

use api::customer::v1::{CustomerCreated, CustomerFacts};
use api::loyalty::v1 as pb;
use common::service::Service as _;
use journeys::process::{Launch, Process, free_address};
use loyalty_points::Loyalty;
use pb::loyalty_service_client::LoyaltyServiceClient;
use rstest::rstest;
use testkit::Backend::{Postgres, Sqlite};
use testkit::{Backend, Database, FeedSource, Upstream as _};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

const MEMBERS: usize = 24;
const IN_A_MESSAGE: i32 = 4;
/// So many messages have arrived when the service is killed.
const KILLED_AFTER: [usize; 4] = [0, 1, 2, 4];

fn id(member: usize) -> String {
    format!("c-{member:02}")
}

/// Members who are to move: the policy asks for more than it did when they earned their points.
async fn members(client: &mut LoyaltyServiceClient<Channel>, customers: &FeedSource) {
    for member in 0..MEMBERS {
        let facts = CustomerFacts {
            customer_id: id(member),
            ..Default::default()
        };
        let created = CustomerCreated {
            customer: Some(facts),
        };
        customers.emit(&id(member), 1, &created).await;
        let earn = pb::EarnPointsRequest {
            customer_id: id(member),
            points: 100,
            source_type: "promotion".to_owned(),
            source_ref: id(member),
            at_least: customers.token(&id(member), 1),
            ..Default::default()
        };
        client.earn_points(earn).await.unwrap();
    }
    let tier = |(rank, name, threshold): (i32, &str, i64)| pb::Tier {
        rank,
        name: name.to_owned(),
        threshold,
        ..Default::default()
    };
    let tiers = [(1, "Bronze", 0), (2, "Silver", 200), (3, "Gold", 500)];
    let publish = pb::PublishTierPolicyRequest {
        policy: Some(pb::TierPolicy {
            tiers: tiers.into_iter().map(tier).collect(),
            ..Default::default()
        }),
        reason: "too many had Silver".to_owned(),
        ..Default::default()
    };
    client.publish_tier_policy(publish).await.unwrap();
}

/// Asks, and takes so many messages at most.
async fn take(
    mut client: LoyaltyServiceClient<Channel>,
    most: usize,
) -> Result<(bool, Vec<pb::RecalculateTiersResponse>), Status> {
    let request = pb::RecalculateTiersRequest {
        request_id: "r1".to_owned(),
        reason: "too many had Silver".to_owned(),
        page_size: IN_A_MESSAGE,
        ..Default::default()
    };
    let answer = client.recalculate_tiers(request).await?;
    let replayed = answer.metadata().contains_key("asterism-replayed");
    let mut stream = answer.into_inner();
    let mut messages = Vec::new();
    while messages.len() < most
        && let Some(message) = stream.message().await?
    {
        messages.push(message);
    }
    Ok((replayed, messages))
}

/// Asks until the service has answered.
async fn taken(
    client: &LoyaltyServiceClient<Channel>,
    most: usize,
) -> (bool, Vec<pb::RecalculateTiersResponse>) {
    let answer = async {
        loop {
            match take(client.clone(), most).await {
                Ok(answer) => return answer,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::time::timeout(testkit::PATIENCE, answer).await;
    answer.expect("the service comes back")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_recalculation_amid_kills_tells_everybody_who_was_moved(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let customers = FeedSource::start("customer", backend).await;
    let database = Database::fresh(backend, Loyalty::NAME, Loyalty::migrations).await;
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(Launch {
        program: "loyalty-points",
        api: free_address(),
        arguments: vec![
            format!("--database-url={}", database.url()),
            format!("--peer-customer={}", customers.url()),
        ],
        folder: folder.path(),
    });
    let endpoint = Endpoint::from_shared(format!("http://{}", process.api)).unwrap();
    let mut client = LoyaltyServiceClient::new(endpoint.connect_lazy());
    members(&mut client, &customers).await;

    let mut before = Vec::new();
    for most in KILLED_AFTER {
        let (_, messages) = taken(&client, most).await;
        process.kill();
        let known = messages.len().min(before.len());
        assert_eq!(messages[..known], before[..known]);
        if messages.len() > before.len() {
            before = messages;
        }
        process.start_again();
    }
    let (_, whole) = taken(&client, usize::MAX).await;
    assert_eq!(whole[..before.len()], before);
    let (replayed, again) = taken(&client, usize::MAX).await;
    assert_eq!((replayed, &again), (true, &whole));

    let changes: Vec<_> = whole.iter().flat_map(|told| &told.changes).collect();
    let moved: Vec<_> = changes.iter().map(|it| it.customer_id.clone()).collect();
    assert_eq!(moved, (0..MEMBERS).map(id).collect::<Vec<_>>());
    for change in changes {
        assert_eq!(
            (change.to_tier.as_str(), change.reason()),
            ("Bronze", pb::TierChangeReason::PolicyChanged)
        );
        let request = pb::ListTierHistoryRequest {
            customer_id: change.customer_id.clone(),
            ..Default::default()
        };
        let history = client.list_tier_history(request).await.unwrap();
        let history = history.into_inner().changes;
        let of_policy = history.iter().filter(|it| it.reason() == change.reason());
        assert_eq!(of_policy.collect::<Vec<_>>(), [change]);
    }
}
