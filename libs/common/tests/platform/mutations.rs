//! Mutations that are repeated: one effect, equal answers.

use std::time::Duration;

use api::r#type::v1::Money;
use chrono::TimeDelta;
use common::error::Refusal;
use common::mutation::{Begun, Call, REPLAYED};
use common::on;
use common::platform::Platform;
use rstest::rstest;
use testkit::Backend::{self, Postgres, Sqlite};
use testkit::{Setup, TestServer, assert_refused, until};
use tonic::{Code, Response, Status};

use crate::subject::{Writer, bump, writer};

const METHOD: &str = "asterism.test.v1.Test/Count";

fn request(micros: i64) -> Money {
    Money {
        currency_code: "USD".to_owned(),
        micros,
    }
}

/// Counts up and answers with the count, or counts up and then refuses.
async fn call(
    platform: &Platform,
    request: Money,
    request_id: &str,
    refuse: Option<Code>,
) -> Result<Response<Money>, Status> {
    let call = Call::new(METHOD, &request, request_id);
    let mut mutation = match platform.begin::<Money>(call).await? {
        Begun::Replayed(answer) => return answer,
        Begun::Fresh(mutation) => mutation,
    };
    let micros = bump(mutation.tx(), "a").await;
    let outcome = match refuse {
        None => Ok(Money { micros, ..request }),
        Some(code) => Err(Refusal::new(code, "NO", format!("refused at {micros}")).into_status()),
    };
    mutation.finish(outcome).await
}

async fn counted(platform: &Platform) -> i64 {
    const SELECT: &str = "SELECT COALESCE(MAX(revision), 0) FROM counter";
    let mut reader = platform.reader().await.unwrap();
    on!(&mut reader, |conn| sqlx::query_scalar(SELECT)
        .fetch_one(conn)
        .await)
    .unwrap()
}

fn replayed<T>(response: &Response<T>) -> bool {
    response.metadata().get(REPLAYED).is_some()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_same_answer_and_has_one_effect(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let first = call(&writer.platform, request(5), "r1", None)
        .await
        .unwrap();
    let second = call(&writer.platform, request(5), "r1", None)
        .await
        .unwrap();
    assert!(!replayed(&first) && replayed(&second));
    assert_eq!(first.into_inner(), second.into_inner());
    assert_eq!(counted(&writer.platform).await, 1);
    call(&writer.platform, request(5), "r2", None)
        .await
        .unwrap();
    assert_eq!(counted(&writer.platform).await, 2);
    call(&writer.platform, request(5), "", None).await.unwrap();
    call(&writer.platform, request(5), "", None).await.unwrap();
    assert_eq!(
        counted(&writer.platform).await,
        4,
        "without a request_id nothing is remembered"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_reused_for_another_request_names_what_differs(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    call(&writer.platform, request(5), "r1", None)
        .await
        .unwrap();
    let refused = call(&writer.platform, request(6), "r1", None).await;
    let details = assert_refused(refused, Code::InvalidArgument, "REQUEST_ID_REUSED");
    assert_eq!(details.error_info().unwrap().metadata["fields"], "micros");
    assert_eq!(counted(&writer.platform).await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_have_one_effect_and_equal_answers(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let platform = writer.platform.clone();
        calls.spawn(async move { call(&platform, request(5), "r1", None).await });
    }
    let answers: Vec<_> = calls
        .join_all()
        .await
        .into_iter()
        .map(|answer| answer.unwrap())
        .collect();
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
    assert!(answers.iter().all(|answer| answer.get_ref().micros == 1));
    assert_eq!(counted(&writer.platform).await, 1);
}

/// Housekeeping begins with a look, so a restart is enough to see it.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_forgotten_after_a_month_and_no_sooner(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let mut writer = writer(backend).await;
    let repeat = async |writer: &TestServer<Writer>, request_id: &str| {
        let answer = call(&writer.platform, request(5), request_id, None).await;
        replayed(&answer.unwrap())
    };
    assert!(!repeat(&writer, "old").await);
    writer.clock.advance(TimeDelta::days(2));
    assert!(!repeat(&writer, "young").await);
    writer.clock.advance(TimeDelta::days(29));
    writer.stop().await;
    let writer = writer.restart().await;
    until("the old answer is forgotten", async || {
        !repeat(&writer, "old").await
    })
    .await;
    assert!(repeat(&writer, "young").await);
}

/// A duplicate that waits in vain for the first call is no internal error.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_that_waits_too_long_may_try_again(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let mut setup = Setup::<Writer>::default();
    setup.database.statement_timeout = Duration::from_millis(300);
    setup.database.pool_wait = Duration::from_millis(300);
    let writer = TestServer::start_as(backend, &[], setup).await;
    let begin = async || {
        let call = Call::new(METHOD, &request(5), "r1");
        writer.platform.begin::<Money>(call).await
    };
    let first = begin().await;
    let Err(error) = begin().await else {
        panic!("the first call still runs")
    };
    let refused = Err::<Response<()>, _>(Status::from(error));
    assert_refused(refused, Code::Unavailable, "DATABASE_UNAVAILABLE");
    drop(first);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_definitive_refusal_is_remembered_and_leaves_no_trace(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let refuse = Some(Code::FailedPrecondition);
    let first = call(&writer.platform, request(5), "r1", refuse)
        .await
        .unwrap_err();
    // Now it would succeed, but the outcome of a key never flips.
    let second = call(&writer.platform, request(5), "r1", None)
        .await
        .unwrap_err();
    assert_eq!(first.message(), second.message());
    assert!(second.metadata().get(REPLAYED).is_some());
    assert_refused(
        Err::<Response<()>, _>(second),
        Code::FailedPrecondition,
        "NO",
    );
    assert_eq!(counted(&writer.platform).await, 0);
    let head = writer.platform.feed().head().await.unwrap();
    assert_eq!(head.number, 0, "the refused effect emitted nothing");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_is_not_remembered(
    #[values(Sqlite, Postgres)] backend: Backend,
    #[values(Code::Unavailable, Code::Internal, Code::Aborted)] code: Code,
) {
    let writer = writer(backend).await;
    call(&writer.platform, request(5), "r1", Some(code))
        .await
        .unwrap_err();
    assert_eq!(counted(&writer.platform).await, 0);
    let answer = call(&writer.platform, request(5), "r1", None)
        .await
        .unwrap();
    assert!(!replayed(&answer));
    assert_eq!(counted(&writer.platform).await, 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn time_stands_still_in_a_transaction_once_it_says_so(
    #[values(Sqlite, Postgres)] backend: Backend,
) {
    let writer = writer(backend).await;
    let mut tx = writer.platform.tx().await.unwrap();
    let began = tx.now();
    writer.clock.advance(TimeDelta::seconds(1));
    assert_eq!(tx.now(), began + TimeDelta::seconds(1));
    tx.stand_still();
    writer.clock.advance(TimeDelta::seconds(1));
    assert_eq!(tx.now(), began + TimeDelta::seconds(1));
    // Others go on.
    assert_eq!(writer.platform.now(), began + TimeDelta::seconds(2));
}
