//! Imports: chunks, outcomes, repetition.

use std::collections::BTreeMap;

use api::customer::v1 as pb;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::support::{
    Client, changes, create, customer, dollars, full_customer, get, history, line, map, purchase,
    start,
};
use pb::ImportStatus::{Created, Refused, Unchanged, Updated};

fn customer_rows(first: i64, customers: Vec<pb::Customer>) -> pb::ImportCustomersRequest {
    let row = |(row, customer)| pb::CustomerRow {
        row,
        customer: Some(customer),
    };
    pb::ImportCustomersRequest {
        rows: (first..).zip(customers).map(row).collect(),
    }
}

fn transaction_rows(
    first: i64,
    transactions: Vec<pb::Transaction>,
) -> pb::ImportTransactionsRequest {
    let row = |(row, transaction)| pb::TransactionRow {
        row,
        transaction: Some(transaction),
    };
    pb::ImportTransactionsRequest {
        rows: (first..).zip(transactions).map(row).collect(),
    }
}

async fn import_customers(
    client: &mut Client,
    chunks: Vec<pb::ImportCustomersRequest>,
) -> Vec<Result<pb::ImportCustomersResponse, Status>> {
    let answers = client
        .import_customers(tokio_stream::iter(chunks))
        .await
        .unwrap();
    answers.into_inner().collect().await
}

async fn import_transactions(
    client: &mut Client,
    chunks: Vec<pb::ImportTransactionsRequest>,
) -> Vec<Result<pb::ImportTransactionsResponse, Status>> {
    let answers = client
        .import_transactions(tokio_stream::iter(chunks))
        .await
        .unwrap();
    answers.into_inner().collect().await
}

fn row_statuses(response: &pb::ImportCustomersResponse) -> Vec<pb::ImportStatus> {
    response
        .outcomes
        .iter()
        .map(pb::CustomerRowOutcome::status)
        .collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn customers_are_created_updated_or_left_alone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    let by_crm = |industry: &str| pb::Customer {
        industry: industry.to_owned(),
        external_ids: map(&[("crm", "5")]),
        ..customer("")
    };
    let chunks = vec![
        customer_rows(
            1,
            vec![
                full_customer("c1"),
                by_crm("retail"),
                by_crm("banking"),
                customer(""),
            ],
        ),
        customer_rows(
            5,
            vec![
                full_customer("c1"),
                pb::Customer {
                    birth_date: "x".to_owned(),
                    ..customer("c2")
                },
                pb::Customer {
                    external_ids: map(&[("crm", "5")]),
                    ..customer("c1")
                },
            ],
        ),
    ];
    let answers = import_customers(&mut client, chunks.clone()).await;
    let [first, second] = &answers[..] else {
        panic!("one answer for each chunk: {answers:?}")
    };
    let (first, second) = (first.as_ref().unwrap(), second.as_ref().unwrap());
    assert_eq!(row_statuses(first), [Created, Created, Updated, Refused]);
    assert_eq!(first.outcomes[3].violations[0].field, "customer_id");
    assert_eq!(first.last_row, 4);
    assert_eq!(row_statuses(second), [Unchanged, Refused, Refused]);
    assert_eq!(second.outcomes[1].violations[0].field, "birth_date");
    assert_eq!(
        (second.outcomes[2].row, second.outcomes[2].reason.as_str()),
        (7, "EXTERNAL_ID_TAKEN")
    );

    let found = &first.outcomes[1].customer_id;
    assert_eq!(&first.outcomes[2].customer_id, found);
    assert_eq!(get(&mut client, found).await.unwrap().industry, "banking");
    let kinds = history(&server, found).await;
    assert_eq!(
        kinds,
        [
            (1, "CustomerCreated".to_owned()),
            (2, "CustomerUpdated".to_owned())
        ]
    );

    // Again: a file that says two things about one customer says them again, nothing else changes.
    let before = changes(&server).await.len();
    let again = import_customers(&mut client, chunks).await;
    let again = again[0].as_ref().unwrap();
    assert_eq!(row_statuses(again), [Unchanged, Updated, Updated, Refused]);
    assert_eq!(changes(&server).await.len(), before + 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_imported_once_and_a_repeat_says_so(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let chunk = |first| {
        let ids = first..first + 3;
        let mut rows: Vec<_> = ids.map(|i: i64| purchase("c1", &i.to_string())).collect();
        rows.push(purchase("nobody", "n"));
        transaction_rows(first * 10, rows)
    };
    for expected in [
        pb::RecordStatus::Recorded,
        pb::RecordStatus::AlreadyRecorded,
    ] {
        let answers = import_transactions(&mut client, vec![chunk(1), chunk(4)]).await;
        assert_eq!(answers.len(), 2);
        for (answer, last_row) in answers.into_iter().zip([13, 43]) {
            let answer = answer.unwrap();
            let statuses: Vec<_> = answer
                .outcomes
                .iter()
                .map(|row| row.outcome.as_ref().unwrap().status())
                .collect();
            assert_eq!(
                statuses,
                [expected, expected, expected, pb::RecordStatus::Refused]
            );
            assert_eq!(answer.last_row, last_row);
        }
    }
    assert_eq!(get(&mut client, "c1").await.unwrap().revision, 7);
    assert_eq!(changes(&server).await.len(), 7);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_chunk_ends_the_stream_and_what_was_answered_stays(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let chunks = vec![
        transaction_rows(5, vec![purchase("c1", "1")]),
        transaction_rows(5, vec![purchase("c1", "2")]),
        transaction_rows(6, vec![purchase("c1", "3")]),
    ];
    let mut answers = import_transactions(&mut client, chunks).await;
    assert_eq!(answers.len(), 2);
    let status = answers.pop().unwrap().unwrap_err();
    assert_eq!(violations(&status), ["rows[0].row"]);
    assert_refused(
        Err::<(), _>(status),
        Code::InvalidArgument,
        "INVALID_REQUEST",
    );
    assert_eq!(get(&mut client, "c1").await.unwrap().revision, 2);
    let empty = import_customers(&mut client, vec![customer_rows(1, Vec::new())]).await;
    assert_eq!(violations(empty[0].as_ref().unwrap_err()), ["rows"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_customer_is_not_imported_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let delete = pb::DeleteCustomerRequest {
        customer_id: "c1".to_owned(),
        ..Default::default()
    };
    client.delete_customer(delete).await.unwrap();
    let answers = import_customers(&mut client, vec![customer_rows(1, vec![customer("c1")])]).await;
    assert_eq!(
        answers[0].as_ref().unwrap().outcomes[0].reason,
        "CUSTOMER_ID_RETIRED"
    );
}

/// How a file is sent: cut into chunks, chunks repeated, in any order.
fn sendings() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((0..30_usize, 1..12_usize), 1..8)
}

/// Any chunks in any order with any repetition, followed by the whole file, leave what the whole file leaves.
#[rstest]
fn any_chunking_and_repetition_of_an_import_leaves_the_same_state(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, client) = runtime.block_on(start(backend));
    let run = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 12,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&sendings(), |sendings| {
        run.set(run.get() + 1);
        let mut client = client.clone();
        // Each case has customers of its own in the same database.
        runtime.block_on(send_and_check(&mut client, run.get(), &sendings));
        Ok(())
    });
    result.unwrap();
    let mut revisions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for event in runtime.block_on(changes(&server)) {
        revisions
            .entry(event.customer_id)
            .or_default()
            .push(event.revision);
    }
    for (customer, revisions) in revisions {
        let ordered = revisions
            .iter()
            .zip(1..)
            .all(|(revision, expected)| *revision == expected);
        assert!(ordered, "{customer}: {revisions:?}");
    }
}

async fn send_and_check(client: &mut Client, run: i32, sendings: &[(usize, usize)]) {
    let id = |i: usize| format!("r{run}-c{}", i % 4);
    let file: Vec<_> = (0..30)
        .map(|i| pb::Transaction {
            total: None,
            lines: vec![line("a", 1, dollars(i64::try_from(i).unwrap()))],
            ..purchase(&id(i), &format!("r{run}-t{}", i % 25))
        })
        .collect();
    // Rows 25 to 29 reuse the keys of 0 to 4 with other amounts: conflicts, whichever comes first.
    let customers = (0..4).map(|i| customer(&id(i))).collect();
    import_customers(client, vec![customer_rows(1, customers)]).await;
    for (from, len) in sendings {
        let rows = file[..25]
            .iter()
            .cycle()
            .skip(*from)
            .take(*len)
            .cloned()
            .collect();
        for answer in import_transactions(client, vec![transaction_rows(1, rows)]).await {
            answer.unwrap();
        }
    }
    import_transactions(client, vec![transaction_rows(1, file)])
        .await
        .remove(0)
        .unwrap();
    for customer in 0..4_usize {
        let request = pb::GetCustomerSummaryRequest {
            customer_id: id(customer),
            ..Default::default()
        };
        let summary = client
            .get_customer_summary(request)
            .await
            .unwrap()
            .into_inner();
        let summary = summary.summary.unwrap();
        let mine = (0..25_usize).filter(|i| i % 4 == customer);
        let count = i64::try_from(mine.clone().count()).unwrap();
        let sum = i64::try_from(mine.sum::<usize>()).unwrap();
        assert_eq!(summary.spend[0].amount, Some(dollars(sum)));
        assert_eq!(summary.transaction_count, count);
        assert_eq!(summary.freshness.unwrap().revision, count + 1);
    }
}

/// Ten thousand purchases in full chunks, as a platform team's first load would send them.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_import_is_answered_chunk_by_chunk(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    let customers = (0..1000).map(|i| customer(&format!("c{i}"))).collect();
    import_customers(&mut client, vec![customer_rows(1, customers)]).await;
    let rows = |chunk: i64| {
        let ids = chunk * 1000..(chunk + 1) * 1000;
        ids.map(|i| pb::Transaction {
            lines: vec![line("a", 1, dollars(5))],
            ..purchase(&format!("c{}", i * 7 % 1000), &i.to_string())
        })
        .collect()
    };
    let chunks = (0..10)
        .map(|chunk| transaction_rows(chunk * 1000, rows(chunk)))
        .collect();
    let answers = import_transactions(&mut client, chunks).await;
    let last_rows = answers.into_iter().map(|answer| answer.unwrap().last_row);
    assert!(last_rows.eq((1..=10).map(|chunk| chunk * 1000 - 1)));
}
