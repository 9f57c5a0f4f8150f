//! Merging customers, and undoing it.

use api::customer::v1 as pb;
use chrono::TimeDelta;
use pb::void_transaction_request::Transaction as Named;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::support::{
    Client, call, changes, create, customer, full_customer, get, history, interact, purchase,
    record, start, statuses,
};

fn merging(survivor: &str, absorbed: &str) -> pb::MergeCustomersRequest {
    pb::MergeCustomersRequest {
        survivor_id: survivor.to_owned(),
        absorbed_id: absorbed.to_owned(),
        reason: "same person".to_owned(),
        ..Default::default()
    }
}

async fn merge(
    client: &mut Client,
    survivor: &str,
    absorbed: &str,
) -> Result<pb::MergeCustomersResponse, Status> {
    let merged = client.merge_customers(merging(survivor, absorbed)).await?;
    Ok(merged.into_inner())
}

async fn merged(client: &mut Client, survivor: &str, absorbed: &str) -> pb::Merge {
    let merged = merge(client, survivor, absorbed).await.unwrap();
    merged.merge.unwrap()
}

fn unmerging(merge_id: &str) -> pb::UnmergeCustomersRequest {
    pb::UnmergeCustomersRequest {
        merge_id: merge_id.to_owned(),
        reason: "they are two".to_owned(),
        ..Default::default()
    }
}

async fn unmerge(
    client: &mut Client,
    merge_id: &str,
) -> Result<pb::UnmergeCustomersResponse, Status> {
    let unmerged = client.unmerge_customers(unmerging(merge_id)).await?;
    Ok(unmerged.into_inner())
}

async fn list(client: &mut Client, customer_id: &str, page_size: i32) -> Vec<String> {
    let mut request = pb::ListMergesRequest {
        customer_id: customer_id.to_owned(),
        page_size,
        ..Default::default()
    };
    let mut ids = Vec::new();
    loop {
        let page = client.list_merges(request.clone()).await.unwrap();
        let page = page.into_inner();
        ids.extend(page.merges.into_iter().map(|merge| merge.merge_id));
        if page.next_page_token.is_empty() {
            return ids;
        }
        request.page_token = page.next_page_token;
    }
}

/// Refused for a merged customer; the answer names who stands for it.
#[track_caller]
fn assert_merged<T: std::fmt::Debug>(refused: Result<T, Status>, customer: &str, survivor: &str) {
    let details = assert_refused(refused, Code::FailedPrecondition, "CUSTOMER_MERGED");
    let metadata = &details.error_info().unwrap().metadata;
    let named = (
        metadata["customer_id"].as_str(),
        metadata["survivor_id"].as_str(),
    );
    assert_eq!(named, (customer, survivor));
}

async fn start_with(backend: Backend, ids: &[&str]) -> (crate::support::Server, Client) {
    let (server, mut client) = start(backend).await;
    for id in ids {
        create(&mut client, full_customer(id)).await.unwrap();
    }
    (server, client)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_keeps_both_records_and_is_undone_without_a_trace_in_them(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start_with(backend, &["a", "b"]).await;
    let before = (
        get(&mut client, "a").await.unwrap(),
        get(&mut client, "b").await.unwrap(),
    );

    let done = merge(&mut client, "b", "a").await.unwrap();
    let merge = done.merge.unwrap();
    assert_eq!(
        (merge.survivor_id.as_str(), merge.absorbed_id.as_str()),
        ("b", "a")
    );
    assert_eq!(
        (merge.actor.as_str(), merge.reason.as_str()),
        ("anonymous", "same person")
    );
    let absorbed = get(&mut client, "a").await.unwrap();
    let expected = pb::Customer {
        revision: 2,
        merged_into: "b".to_owned(),
        survivor_id: "b".to_owned(),
        ..before.0.clone()
    };
    assert_eq!(
        (&absorbed, done.absorbed.as_ref()),
        (&expected, Some(&expected))
    );
    let survivor = get(&mut client, "b").await.unwrap();
    let expected = pb::Customer {
        revision: 2,
        ..before.1.clone()
    };
    assert_eq!(
        (&survivor, done.survivor.as_ref()),
        (&expected, Some(&expected))
    );

    let undone = unmerge(&mut client, &merge.merge_id).await.unwrap();
    let stored = client
        .get_merge(pb::GetMergeRequest {
            merge_id: merge.merge_id.clone(),
            at_least: undone.consistency_token,
        })
        .await
        .unwrap()
        .into_inner()
        .merge
        .unwrap();
    assert_eq!(undone.merge.as_ref(), Some(&stored));
    assert!(stored.unmerged_at.is_some());
    assert_eq!(stored.unmerge_reason, "they are two");
    for (id, before) in [("a", before.0), ("b", before.1)] {
        let after = get(&mut client, id).await.unwrap();
        let expected = pb::Customer {
            revision: 3,
            ..before
        };
        assert_eq!(after, expected);
        let kinds: Vec<_> = history(&server, id).await;
        let told = ["CustomerCreated", "CustomerMerged", "CustomerUnmerged"];
        let told: Vec<_> = (1..).zip(told.map(str::to_owned)).collect();
        assert_eq!(kinds, told);
    }
    let event = changes(&server).await.remove(2);
    assert_eq!(event.customer_id, "a");
    let event: pb::CustomerMerged = event.payload.unwrap().to_msg().unwrap();
    assert_eq!(
        (
            event.merge_id,
            event.survivor_id,
            event.absorbed_id,
            event.merged_at
        ),
        (
            merge.merge_id,
            "b".to_owned(),
            "a".to_owned(),
            merge.merged_at
        )
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_merged_customer_is_not_changed_but_what_it_buys_is_recorded(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start_with(backend, &["a", "b"]).await;
    record(&mut client, vec![purchase("a", "1")]).await.unwrap();
    merged(&mut client, "b", "a").await;
    let events = changes(&server).await.len();

    let update = pb::UpdateCustomerRequest {
        customer: Some(customer("a")),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["*".to_owned()],
        }),
        ..Default::default()
    };
    assert_merged(client.update_customer(update).await, "a", "b");
    let delete = |id: &str| pb::DeleteCustomerRequest {
        customer_id: id.to_owned(),
        ..Default::default()
    };
    assert_merged(client.delete_customer(delete("a")).await, "a", "b");
    let refused = client.delete_customer(delete("b")).await;
    assert_refused(refused, Code::FailedPrecondition, "CUSTOMER_HAS_ABSORBED");
    let rows = pb::ImportCustomersRequest {
        rows: vec![pb::CustomerRow {
            row: 1,
            customer: Some(pb::Customer {
                industry: "mining".to_owned(),
                ..customer("a")
            }),
        }],
    };
    let imported = client.import_customers(tokio_stream::once(rows)).await;
    let imported = imported.unwrap().into_inner().message().await.unwrap();
    assert_eq!(imported.unwrap().outcomes[0].reason, "CUSTOMER_MERGED");
    assert_eq!(changes(&server).await.len(), events);

    let outcomes = record(&mut client, vec![purchase("a", "1"), purchase("a", "2")])
        .await
        .unwrap();
    assert_eq!(
        statuses(&outcomes),
        [
            pb::RecordStatus::AlreadyRecorded,
            pb::RecordStatus::Recorded
        ]
    );
    for outcome in &outcomes {
        assert_eq!(outcome.survivor_id, "b");
    }
    let outcomes = interact(&mut client, vec![call("a", "1"), call("b", "2")])
        .await
        .unwrap();
    assert_eq!(outcomes[0].survivor_id, "b");
    assert_eq!(outcomes[1].survivor_id, "");
    let void = pb::VoidTransactionRequest {
        transaction: Some(Named::Key(pb::TransactionKey {
            source: "pos".to_owned(),
            external_id: "1".to_owned(),
        })),
        reason: "returned".to_owned(),
        ..Default::default()
    };
    let voided = client.void_transaction(void).await.unwrap().into_inner();
    assert_eq!(voided.transaction.unwrap().customer_id, "a");
    let kinds = history(&server, "a").await;
    let kinds: Vec<_> = kinds[3..].iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "TransactionRecorded",
            "InteractionRecorded",
            "TransactionVoided"
        ]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn chains_lead_to_their_end_and_admit_no_cycle(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start_with(backend, &["a", "b", "c"]).await;
    let first = merged(&mut client, "b", "a").await;
    server.clock.advance(TimeDelta::seconds(1));
    let second = merged(&mut client, "c", "b").await;
    let stands = |customer: pb::Customer| (customer.merged_into, customer.survivor_id);
    let told = |into: &str, survivor: &str| (into.to_owned(), survivor.to_owned());
    assert_eq!(stands(get(&mut client, "a").await.unwrap()), told("b", "c"));
    assert_eq!(stands(get(&mut client, "b").await.unwrap()), told("c", "c"));
    assert_merged(merge(&mut client, "a", "c").await, "a", "c");
    assert_merged(merge(&mut client, "c", "a").await, "a", "c");
    assert_merged(merge(&mut client, "b", "c").await, "b", "c");

    unmerge(&mut client, &first.merge_id).await.unwrap();
    assert_eq!(stands(get(&mut client, "a").await.unwrap()), told("", ""));
    assert_eq!(stands(get(&mut client, "b").await.unwrap()), told("c", "c"));
    server.clock.advance(TimeDelta::seconds(1));
    let third = merged(&mut client, "c", "a").await;
    unmerge(&mut client, &second.merge_id).await.unwrap();
    assert_eq!(stands(get(&mut client, "a").await.unwrap()), told("c", "c"));

    let ids = |merges: &[&pb::Merge]| -> Vec<_> {
        merges.iter().map(|merge| merge.merge_id.clone()).collect()
    };
    assert_eq!(
        list(&mut client, "", 2).await,
        ids(&[&third, &second, &first])
    );
    assert_eq!(list(&mut client, "b", 1).await, ids(&[&second, &first]));
    assert_eq!(list(&mut client, "nobody", 1).await, ids(&[]));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_merged_or_undone_is_refused_and_changes_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start_with(backend, &["a", "b"]).await;
    let status = client
        .merge_customers(pb::MergeCustomersRequest {
            survivor_id: "no id".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(
        violations(&status),
        ["survivor_id", "absorbed_id", "reason"]
    );
    let status = merge(&mut client, "a", "a").await.unwrap_err();
    assert_eq!(violations(&status), ["absorbed_id"]);
    let status = client
        .unmerge_customers(pb::UnmergeCustomersRequest::default())
        .await
        .unwrap_err();
    assert_eq!(violations(&status), ["merge_id", "reason"]);
    let status = client
        .list_merges(pb::ListMergesRequest {
            customer_id: "no id".to_owned(),
            page_token: "none".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(violations(&status), ["customer_id", "page_token"]);
    for (survivor, absorbed) in [("a", "nobody"), ("nobody", "a")] {
        let refused = merge(&mut client, survivor, absorbed).await;
        assert_refused(refused, Code::NotFound, "CUSTOMER_NOT_FOUND");
    }
    for (survivor_etag, absorbed_etag) in [("\"9\"", ""), ("", "\"9\"")] {
        let request = pb::MergeCustomersRequest {
            survivor_etag: survivor_etag.to_owned(),
            absorbed_etag: absorbed_etag.to_owned(),
            ..merging("b", "a")
        };
        let refused = client.merge_customers(request).await;
        assert_refused(refused, Code::Aborted, "ETAG_MISMATCH");
    }
    let refused = unmerge(&mut client, "nothing").await;
    assert_refused(refused, Code::NotFound, "MERGE_NOT_FOUND");
    let request = pb::GetMergeRequest {
        merge_id: "nothing".to_owned(),
        ..Default::default()
    };
    let refused = client.get_merge(request).await;
    assert_refused(refused, Code::NotFound, "MERGE_NOT_FOUND");
    assert_eq!(changes(&server).await.len(), 2);

    let merge = merged(&mut client, "b", "a").await;
    unmerge(&mut client, &merge.merge_id).await.unwrap();
    let refused = unmerge(&mut client, &merge.merge_id).await;
    assert_refused(refused, Code::FailedPrecondition, "MERGE_ALREADY_UNDONE");
    assert_eq!(changes(&server).await.len(), 6);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_nothing_and_a_repeat_is_answered_as_before(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, mut client) = start_with(backend, &["a", "b"]).await;
    let request = pb::MergeCustomersRequest {
        request_id: "m-1".to_owned(),
        ..merging("b", "a")
    };
    let dry = pb::MergeCustomersRequest {
        dry_run: true,
        ..request.clone()
    };
    let dry = client.merge_customers(dry).await.unwrap().into_inner();
    assert_eq!(dry.absorbed.unwrap().merged_into, "b");
    assert_eq!(dry.merge.unwrap().merge_id, "");
    assert_eq!(dry.consistency_token, "");
    assert_eq!(changes(&server).await.len(), 2);

    let first = client.merge_customers(request.clone()).await.unwrap();
    let again = client.merge_customers(request).await.unwrap();
    assert_eq!(first.get_ref(), again.get_ref());
    assert_eq!(changes(&server).await.len(), 4);

    let merge_id = first.into_inner().merge.unwrap().merge_id;
    let dry = pb::UnmergeCustomersRequest {
        dry_run: true,
        ..unmerging(&merge_id)
    };
    let dry = client.unmerge_customers(dry).await.unwrap().into_inner();
    assert_eq!(dry.absorbed.unwrap().merged_into, "");
    assert_eq!(get(&mut client, "a").await.unwrap().merged_into, "b");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn two_customers_merged_into_each_other_at_once_are_merged_one_way(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (server, client) = start_with(backend, &["a", "b"]).await;
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let mut client = client.clone();
        callers.spawn(async move {
            let (survivor, absorbed) = if caller % 2 == 0 {
                ("a", "b")
            } else {
                ("b", "a")
            };
            merge(&mut client, survivor, absorbed).await.is_ok()
        });
    }
    let done = callers.join_all().await;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    assert_eq!(changes(&server).await.len(), 4);
}
