//! Keys that are exchanged, lost and found.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rstest::rstest;
use testkit::{Backend, assert_refused, until};
use tonic::Code;

use super::behind::{FIRST, KeyFile, SECOND, THIRD, key_ids, start_on};
use super::{erasure, person, subject};
use crate::support::{call, create, customer, get, interact};

const OFTEN: Duration = Duration::from_millis(5);

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_seals_what_is_new_and_the_old_one_opens_what_is_old(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let keys = KeyFile::with(&[FIRST]);
    let (server, client) = start_on(backend, &keys, Duration::ZERO).await;
    create(&mut client.clone(), person("old")).await.unwrap();
    keys.replace(&[SECOND, FIRST]);
    let number = AtomicU32::new(0);
    until("new customers are under the new key", async || {
        let id = format!("new{}", number.fetch_add(1, Ordering::Relaxed));
        create(&mut client.clone(), customer(&id)).await.unwrap();
        let old = get(&mut client.clone(), "old").await.unwrap();
        assert_eq!(old.name, person("old").name);
        key_ids(&server).await == ["first", "second"]
    })
    .await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_brought_under_a_new_key_and_the_old_one_can_go(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let keys = KeyFile::with(&[FIRST]);
    let (server, mut client) = start_on(backend, &keys, OFTEN).await;
    for id in ["c1", "c2"] {
        create(&mut client, person(id)).await.unwrap();
        interact(&mut client, vec![call(id, id)]).await.unwrap();
    }
    keys.replace(&[SECOND, FIRST]);
    until("all is under the second key", async || {
        key_ids(&server).await == ["second"]
    })
    .await;
    // That the first is gone from memory too shows when the third is in use.
    keys.replace(&[THIRD, SECOND]);
    until("all is under the third key", async || {
        key_ids(&server).await == ["third"]
    })
    .await;
    for id in ["c1", "c2"] {
        assert_eq!(get(&mut client, id).await.unwrap().name, person(id).name);
        assert_eq!(
            subject(&mut client, id).await.unwrap(),
            "late parcel of Mr Jones"
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_is_named_and_nothing_is_lost(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let keys = KeyFile::with(&[FIRST]);
    let (_server, client) = start_on(backend, &keys, OFTEN).await;
    for id in ["c1", "c2"] {
        create(&mut client.clone(), person(id)).await.unwrap();
    }
    keys.replace(&[SECOND]);
    until("the first key is missed", async || {
        get(&mut client.clone(), "c1").await.is_err()
    })
    .await;
    let status = get(&mut client.clone(), "c1").await.unwrap_err();
    assert!(
        status.message().contains("encryption key first"),
        "{status:?}"
    );
    assert_refused::<()>(Err(status), Code::Unavailable, "ENCRYPTION_KEY_MISSING");
    // The rest of the service goes on, and whoever wants to be forgotten is.
    create(&mut client.clone(), person("c3")).await.unwrap();
    get(&mut client.clone(), "c3").await.unwrap();
    erasure::delete(&mut client.clone(), "c2").await.unwrap();
    keys.replace(&[SECOND, FIRST]);
    until("the key is back", async || {
        get(&mut client.clone(), "c1").await.is_ok()
    })
    .await;
    let found = get(&mut client.clone(), "c1").await.unwrap();
    assert_eq!(found.name, person("c1").name);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_hangs_on_a_key(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    // All servers of this process share their metrics: only this one knows these keys.
    let id = |name: &str| format!("{name}-{backend:?}");
    let line = |name: &str, key: &str| key.replace(name, &id(name));
    let (first, second) = (line("first", FIRST), line("second", SECOND));
    let keys = KeyFile::with(&[&first]);
    let (_server, mut client) = start_on(backend, &keys, OFTEN).await;
    for id in ["c1", "c2"] {
        create(&mut client, person(id)).await.unwrap();
    }
    let gauge = |name: &str, held: bool| {
        let labels = format!("held=\"{held}\",key=\"{}\"", id(name));
        let text = common::telemetry::metrics::text();
        let line = text.lines().find(|line| line.contains(&labels));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    until("two data keys are counted", async || {
        gauge("first", true) == Some(2)
    })
    .await;
    keys.replace(&[&second]);
    until("they are missed", async || gauge("first", false) == Some(2)).await;
    assert_eq!(gauge("first", true), Some(0));
    keys.replace(&[&second, &first]);
    until("none is left", async || {
        gauge("second", true) == Some(2) && gauge("first", true) == Some(0)
    })
    .await;
    assert_eq!(gauge("first", false), Some(0));
}
