//! The timeline.

use api::customer::v1 as pb;
use pb::timeline_entry::Entry;
use rstest::rstest;
use testkit::{Backend, assert_refused, violations};
use tonic::Code;

use crate::support::{
    Client, at, call, create, customer, dollars, interact, line, purchase, record, start,
};

fn request(customer_id: &str) -> pb::ListTimelineRequest {
    pb::ListTimelineRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    }
}

/// Purchases p1 to p5 and calls i1 to i5, one of each at noon of the first five days of June.
async fn fill(client: &mut Client) {
    create(client, customer("c1")).await.unwrap();
    create(client, customer("other")).await.unwrap();
    let day = |day: i32| Some(at(&format!("2025-06-0{day}T12:00:00Z")));
    let transactions = (1..=5).map(|i| pb::Transaction {
        occurred_at: day(i),
        lines: vec![line("a", 1, dollars(5))],
        ..purchase("c1", &format!("p{i}"))
    });
    let interactions = (1..=5).map(|i| pb::Interaction {
        occurred_at: day(i),
        ..call("c1", &format!("i{i}"))
    });
    let mut transactions: Vec<_> = transactions.collect();
    transactions.push(purchase("other", "p9"));
    record(client, transactions).await.unwrap();
    interact(client, interactions.collect()).await.unwrap();
}

fn name(entry: &pb::TimelineEntry) -> String {
    match entry.entry.as_ref().unwrap() {
        Entry::Transaction(transaction) => {
            assert_eq!(transaction.lines.len(), 1);
            transaction.external_id.clone()
        }
        Entry::Interaction(interaction) => {
            assert_eq!(interaction.subject, "late parcel of Mr Jones");
            interaction.external_id.clone()
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn pages_show_every_entry_once_newest_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    fill(&mut client).await;
    let (mut entries, mut token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListTimelineRequest {
            page_size: 3,
            page_token: token,
            ..request("c1")
        };
        let page = client.list_timeline(request).await.unwrap().into_inner();
        entries.extend(page.entries);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let times: Vec<_> = entries
        .iter()
        .map(|entry| entry.occurred_at.unwrap().seconds)
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b));
    let mut names: Vec<_> = entries.iter().map(name).collect();
    names.sort();
    assert_eq!(
        names,
        ["i1", "i2", "i3", "i4", "i5", "p1", "p2", "p3", "p4", "p5"]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn kinds_and_an_instant_narrow_the_list(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    fill(&mut client).await;
    let request = pb::ListTimelineRequest {
        kinds: vec![pb::TimelineKind::Interaction.into()],
        as_of: Some(at("2025-06-02T12:00:00Z")),
        ..request("c1")
    };
    let page = client.list_timeline(request).await.unwrap().into_inner();
    assert_eq!(
        page.entries.iter().map(name).collect::<Vec<_>>(),
        ["i2", "i1"]
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_list_and_unknown_customers_are_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    fill(&mut client).await;
    let first = pb::ListTimelineRequest {
        page_size: 1,
        ..request("c1")
    };
    let token = client
        .list_timeline(first)
        .await
        .unwrap()
        .into_inner()
        .next_page_token;
    let foreign = pb::ListTimelineRequest {
        page_token: token,
        ..request("other")
    };
    let status = client.list_timeline(foreign).await.unwrap_err();
    assert_eq!(violations(&status), ["page_token"]);
    let unknown = client.list_timeline(request("nobody")).await;
    assert_refused(unknown, Code::NotFound, "CUSTOMER_NOT_FOUND");
    let bad = pb::ListTimelineRequest {
        kinds: vec![0, 9],
        page_size: -1,
        ..request("a b")
    };
    let status = client.list_timeline(bad).await.unwrap_err();
    assert_eq!(
        violations(&status),
        ["customer_id", "kinds[0]", "kinds[1]", "page_size"]
    );
}

/// A page ends early before it grows beyond what one message takes.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn purchases_with_many_lines_are_spread_over_pages(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (_server, mut client) = start(backend).await;
    create(&mut client, customer("c1")).await.unwrap();
    let day = |day: i32| Some(at(&format!("2025-06-{day:02}T12:00:00Z")));
    for i in 1..=5 {
        let large = pb::Transaction {
            occurred_at: day(i),
            total: None,
            lines: vec![line(&"x".repeat(128), 1, dollars(5)); 1000],
            ..purchase("c1", &format!("p{i}"))
        };
        record(&mut client, vec![large]).await.unwrap();
    }
    let calls = (1..=5).map(|i| pb::Interaction {
        occurred_at: day(i),
        ..call("c1", &format!("i{i}"))
    });
    interact(&mut client, calls.collect()).await.unwrap();

    let (mut days, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let request = pb::ListTimelineRequest {
            page_token: token,
            ..request("c1")
        };
        let page = client.list_timeline(request).await.unwrap().into_inner();
        days.extend(page.entries.iter().map(|entry| entry.occurred_at));
        token = page.next_page_token;
        pages += 1;
        if token.is_empty() {
            break;
        }
    }
    let expected: Vec<_> = (1..=5).rev().flat_map(|i| [day(i), day(i)]).collect();
    assert_eq!((days, pages), (expected, 3));
}
