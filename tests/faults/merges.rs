//! The service is killed, as `kill -9` does, while members are merged and merges undone, by call and by the feed.

use api::customer::v1::{CustomerCreated, CustomerFacts, CustomerMerged, CustomerUnmerged};
use api::loyalty::v1 as pb;
use common::service::Service as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use journeys::process::{Launch, Process, free_address};
use loyalty_points::Loyalty;
use pb::audit_service_client::AuditServiceClient;
use pb::loyalty_service_client::LoyaltyServiceClient;
use pb::verify_ledger_response::Item;
use rstest::rstest;
use testkit::Backend::{Postgres, Sqlite};
use testkit::{Backend, Database, FeedSource, Upstream as _, until};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

/// Pairs of members who are merged at the same time.
const PAIRS: usize = 12;
/// What the survivor and the absorbed one of each pair have earned.
const POINTS: [i64; 2] = [30, 100];
/// So many of a round have been answered, or heard of, when the service is killed.
const KILLED_AFTER: [usize; 3] = [1, 4, 8];

struct Shop {
    customers: FeedSource,
    process: Process,
    channel: Channel,
    _kept: (Database, tempfile::TempDir),
}

fn ids(pair: usize) -> [String; 2] {
    [format!("s-{pair}"), format!("a-{pair}")]
}

impl Shop {
    /// A service of its own with all the pairs.
    async fn open(backend: Backend) -> Self {
        let customers = FeedSource::start("customer", backend).await;
        let database = Database::fresh(backend, Loyalty::NAME, Loyalty::migrations).await;
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(Launch {
            program: "loyalty-points",
            api: free_address(),
            arguments: vec![
                format!("--database-url={}", database.url()),
                format!("--peer-customer={}", customers.url()),
            ],
            folder: folder.path(),
        });
        let endpoint = Endpoint::from_shared(format!("http://{}", process.api));
        let shop = Self {
            customers,
            channel: endpoint.unwrap().connect_lazy(),
            process,
            _kept: (database, folder),
        };
        for pair in 0..PAIRS {
            for (id, points) in ids(pair).iter().zip(POINTS) {
                let facts = CustomerFacts {
                    customer_id: id.clone(),
                    ..Default::default()
                };
                let created = CustomerCreated {
                    customer: Some(facts),
                };
                shop.customers.emit(id, 1, &created).await;
                let earn = pb::EarnPointsRequest {
                    customer_id: id.clone(),
                    points,
                    source_type: "promotion".to_owned(),
                    source_ref: id.clone(),
                    at_least: shop.customers.token(id, 1),
                    ..Default::default()
                };
                answered(async || shop.client().earn_points(earn.clone()).await).await;
            }
        }
        shop
    }

    fn client(&self) -> LoyaltyServiceClient<Channel> {
        LoyaltyServiceClient::new(self.channel.clone())
    }

    fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process.start_again();
    }

    /// Asks the same of every pair at once, kills the service when so many were answered, and asks those again that
    /// have no answer.
    async fn ask<T: Clone + PartialEq + std::fmt::Debug>(
        &mut self,
        kill_after: usize,
        ask: impl AsyncFn(LoyaltyServiceClient<Channel>, usize) -> Result<T, Status>,
    ) -> Vec<T> {
        let mut answers: Vec<Option<T>> = vec![None; PAIRS];
        {
            let client = self.client();
            let all = (0..PAIRS).map(|pair| {
                let (ask, client) = (&ask, client.clone());
                async move { (pair, ask(client, pair).await) }
            });
            let mut all: FuturesUnordered<_> = all.collect();
            while answers.iter().flatten().count() < kill_after {
                let (pair, answer) = all.next().await.expect("more were asked");
                answers[pair] = Some(answer.unwrap());
            }
            self.process.kill();
            // Whether the others were cut off before, amid or after their commits: nobody knows.
        }
        self.process.start_again();
        let mut whole = Vec::new();
        for (pair, answer) in answers.into_iter().enumerate() {
            let again = answered(async || ask(self.client(), pair).await).await;
            if let Some(answer) = answer {
                assert_eq!(again, answer, "asked again for pair {pair}");
            }
            whole.push(again);
        }
        whole
    }

    async fn balance(&self, customer_id: &str) -> (i64, i64) {
        let request = pb::GetBalanceRequest {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        let read = async || self.client().get_balance(request.clone()).await;
        let balance = answered(read).await.into_inner().balance.unwrap();
        (balance.available, balance.debt)
    }

    async fn is_merged(&self, customer_id: &str) -> bool {
        let request = pb::GetMemberRequest {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        let read = async || self.client().get_member(request.clone()).await;
        let member = answered(read).await.into_inner().member.unwrap();
        member.state() == pb::MemberState::Merged
    }

    async fn count_merged(&self) -> usize {
        let mut merged = 0;
        for pair in 0..PAIRS {
            merged += usize::from(self.is_merged(&ids(pair)[1]).await);
        }
        merged
    }

    /// Nothing is lost or doubled: both of each pair have what they should, by as many postings as there were merges
    /// and unmerges; and the whole ledger replays.
    async fn check(&self, is_merged: bool, (merges, unmerges): (usize, usize)) {
        for pair in 0..PAIRS {
            let [survivor, absorbed] = ids(pair);
            let expected = if is_merged {
                [POINTS[0] + POINTS[1], 0]
            } else {
                POINTS
            };
            for (id, points) in [survivor, absorbed].iter().zip(expected) {
                assert_eq!(self.balance(id).await, (points, 0), "{id}");
                let request = pb::ListTransactionsRequest {
                    customer_id: id.clone(),
                    page_size: 1000,
                    ..Default::default()
                };
                let read = async || self.client().list_transactions(request.clone()).await;
                let postings = answered(read).await.into_inner().transactions;
                let of = |kind| postings.iter().filter(|it| it.kind() == kind).count();
                let counts = (
                    of(pb::TransactionKind::Merge),
                    of(pb::TransactionKind::Unmerge),
                );
                assert_eq!(counts, (merges, unmerges), "{id}");
                assert_eq!(postings.len(), 1 + merges + unmerges, "{id}");
            }
        }
        let mut audit = AuditServiceClient::new(self.channel.clone());
        audit.seal_now(pb::SealNowRequest::default()).await.unwrap();
        let replay = audit.verify_ledger(pb::VerifyLedgerRequest::default());
        let mut replay = replay.await.unwrap().into_inner();
        let mut last = None;
        while let Some(told) = replay.message().await.unwrap() {
            last = told.item;
        }
        assert!(matches!(last, Some(Item::Success(_))), "{last:?}");
    }
}

/// Asks until the service has answered.
async fn answered<T>(ask: impl AsyncFn() -> Result<T, Status>) -> T {
    let answer = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(status) => assert!(
                    matches!(status.code(), Code::Unavailable | Code::Aborted),
                    "{status:?}"
                ),
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::time::timeout(testkit::PATIENCE, answer).await;
    answer.expect("the service comes back")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn merges_and_unmerges_amid_kills_are_whole_and_happen_once(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    for (round, kill_after) in KILLED_AFTER.into_iter().enumerate() {
        let merge = async |mut client: LoyaltyServiceClient<Channel>, pair: usize| {
            let [survivor_id, absorbed_id] = ids(pair);
            let request = pb::MergeMembersRequest {
                request_id: format!("merge-{pair}-{round}"),
                survivor_id,
                absorbed_id,
                reason: "the same person".to_owned(),
                ..Default::default()
            };
            let merged = client.merge_members(request).await?.into_inner();
            Ok(merged.merge.expect("it was merged").merge_id)
        };
        let merge_ids = shop.ask(kill_after, merge).await;
        shop.check(true, (round + 1, round)).await;

        let unmerge = async |mut client: LoyaltyServiceClient<Channel>, pair: usize| {
            let request = pb::UnmergeMembersRequest {
                request_id: format!("unmerge-{pair}-{round}"),
                merge_id: merge_ids[pair].clone(),
                reason: "they are two".to_owned(),
                ..Default::default()
            };
            let unmerged = client.unmerge_members(request).await?.into_inner();
            Ok(unmerged.returned)
        };
        let returned = shop.ask(kill_after, unmerge).await;
        for returned in returned {
            let [all] = &returned[..] else {
                panic!("one currency: {returned:?}");
            };
            assert_eq!((all.points, all.debt), (POINTS[1], 0));
        }
        shop.check(false, (round + 1, round + 1)).await;
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn merges_and_unmerges_from_the_feed_amid_kills_are_whole_and_happen_once(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let mut shop = Shop::open(backend).await;
    let now = Some(prost_types::Timestamp {
        seconds: 1_700_000_000,
        nanos: 0,
    });
    for pair in 0..PAIRS {
        let [survivor_id, absorbed_id] = ids(pair);
        let merged = CustomerMerged {
            merge_id: format!("merge-{pair}"),
            survivor_id: survivor_id.clone(),
            absorbed_id: absorbed_id.clone(),
            merged_at: now,
        };
        for id in [&absorbed_id, &survivor_id] {
            shop.customers.emit(id, 2, &merged).await;
        }
    }
    let heard = async || shop.count_merged().await > 0;
    until("the first merge is heard of", heard).await;
    shop.kill_and_restart();
    let all = async || shop.count_merged().await == PAIRS;
    until("all merges are heard of", all).await;
    shop.check(true, (1, 0)).await;

    for pair in 0..PAIRS {
        let [survivor_id, absorbed_id] = ids(pair);
        let unmerged = CustomerUnmerged {
            merge_id: format!("merge-{pair}"),
            survivor_id: survivor_id.clone(),
            absorbed_id: absorbed_id.clone(),
            merged_at: now,
            unmerged_at: now,
        };
        for id in [&absorbed_id, &survivor_id] {
            shop.customers.emit(id, 3, &unmerged).await;
        }
    }
    let heard = async || shop.count_merged().await < PAIRS;
    until("the first unmerge is heard of", heard).await;
    shop.kill_and_restart();
    let all = async || shop.count_merged().await == 0;
    until("all unmerges are heard of", all).await;
    shop.check(false, (1, 1)).await;
}
