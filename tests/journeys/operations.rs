//! What operators do, with the programs as they are shipped: migrate, encrypt, restore.

use std::path::Path;

use api::feed::v1 as pb;
use asterism::demo::client::{Addresses, Clients};
use common::client::{ClientConfig, connect};
use journeys::process::{Launch, Process, free_address, refused, run};
use pb::change_feed_service_client::ChangeFeedServiceClient;
use testkit::{Authority, Issued, PostgresDatabase, assert_refused, until};
use tonic::Code;

/// The service that consumes nothing, so that it can run alone.
const ALONE: &str = "customer-profile";

/// Asks for a customer of whom nothing is known.
fn nobody() -> api::customer::v1::CreateCustomerRequest {
    api::customer::v1::CreateCustomerRequest {
        customer: Some(api::customer::v1::Customer::default()),
        ..Default::default()
    }
}

fn begin(arguments: Vec<String>, folder: &Path) -> Process {
    Process::begin(Launch {
        program: ALONE,
        api: free_address(),
        arguments,
        folder,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_waits_for_its_migration_and_serves_without_a_restart() {
    let (folder, database) = (
        tempfile::tempdir().unwrap(),
        PostgresDatabase::empty().await,
    );
    let settings = vec![format!("--database-url={}", database.url())];
    let mut service = begin(settings.clone(), folder.path());
    until("it says what it waits for", async || {
        service.ask("/readyz").is_some_and(|answer| {
            answer.starts_with("HTTP/1.1 503") && answer.contains("run the migrate command")
        })
    })
    .await;
    let live = service.ask("/livez").unwrap();
    assert!(live.starts_with("HTTP/1.1 200"), "{live}");
    run(ALONE, settings.into_iter().chain(["migrate".to_owned()]));
    service.wait_until_ready();
    let clients = Clients::connect(&Addresses::all_at(&format!("http://{}", service.api)), None);
    let create = nobody();
    let created = clients.unwrap().customers.create_customer(create).await;
    created.expect("it serves");
    assert_eq!(service.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_waits_can_be_told_to_end() {
    let (folder, database) = (
        tempfile::tempdir().unwrap(),
        PostgresDatabase::empty().await,
    );
    let settings = vec![format!("--database-url={}", database.url())];
    let mut service = begin(settings, folder.path());
    until("it waits", async || service.ask("/readyz").is_some()).await;
    assert_eq!(service.terminate(), Some(0));
}

fn feed(address: &str) -> ChangeFeedServiceClient<common::client::Peer> {
    ChangeFeedServiceClient::new(connect(address, &ClientConfig::default()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_is_begun_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data={}", folder.path().display());
    let service = Process::start(Launch {
        program: ALONE,
        api: free_address(),
        arguments: vec![data.clone()],
        folder: folder.path(),
    });
    let mut client = feed(&format!("http://{}", service.api));
    let request = pb::GetHeadRequest::default();
    let old = client
        .get_head(request)
        .await
        .unwrap()
        .into_inner()
        .position;
    drop(service);
    let told = run(ALONE, [&data, "feed", "new-epoch"].map(str::to_owned));
    assert!(told.contains("the feed of customer begins epoch"), "{told}");
    let service = Process::start(Launch {
        program: ALONE,
        api: free_address(),
        arguments: vec![data.clone()],
        folder: folder.path(),
    });
    let after = pb::ReadChangesRequest {
        after_position: old,
        ..Default::default()
    };
    let answer = feed(&format!("http://{}", service.api))
        .read_changes(after)
        .await;
    assert_refused(answer, Code::FailedPrecondition, "FEED_EPOCH_CHANGED");
    drop(service);
    // The suite's data folder holds four of them.
    let told = run("asterism", ["feed", &data, "new-epoch"].map(str::to_owned));
    assert_eq!(told.lines().count(), 4, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_needs_the_schema() {
    let database = PostgresDatabase::empty().await;
    let url = format!("--database-url={}", database.url());
    let command = [url, "feed".to_owned(), "new-epoch".to_owned()];
    let (code, says) = refused(ALONE, command);
    assert_eq!(code, Some(64), "{says}");
    assert!(says.contains("run the migrate command"), "{says}");
}

/// Settings of TLS on both sides, for callers with certificates alone.
fn mutual(folder: &Path, authority: &Authority, pair: &Issued, scopes: &str) -> Vec<String> {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (ca, certificate) = (
        file("ca.pem", &authority.pem()),
        file("tls.crt", &pair.certificate),
    );
    let (key, scopes) = (file("tls.key", &pair.key), file("scopes", scopes));
    vec![
        format!("--tls-certificate-file={certificate}"),
        format!("--tls-key-file={key}"),
        format!("--tls-client-ca-file={ca}"),
        format!("--tls-client-scopes-file={scopes}"),
        format!("--peer-ca-file={ca}"),
        format!("--peer-certificate-file={certificate}"),
        format!("--peer-key-file={key}"),
    ]
}

/// The services of the suite call each other over the port that everybody uses, and prove who they are like everybody.
#[tokio::test(flavor = "multi_thread")]
async fn the_suite_encrypts_all_it_says_and_certificates_are_all_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let pair = authority.issue(&["suite.test"]);
    let scopes =
        "suite.test feed.read\noperator.test feed.read feed.admin customer.profiles.write\n";
    let mut arguments = vec![
        "serve".to_owned(),
        format!("--data={}", folder.path().display()),
        "--peer-tls-name=suite.test".to_owned(),
    ];
    arguments.extend(mutual(folder.path(), &authority, &pair, scopes));
    let suite = Process::start(Launch {
        program: "asterism",
        api: free_address(),
        arguments,
        folder: folder.path(),
    });
    let operator = authority.issue(&["operator.test"]);
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let operator = ClientConfig {
        ca_file: Some(folder.path().join("ca.pem")),
        pair: Some((
            write("operator.crt", &operator.certificate),
            write("operator.key", &operator.key),
        )),
        tls_name: Some("suite.test".to_owned()),
        ..ClientConfig::default()
    };
    let address = format!("https://{}", suite.api);
    let peer = connect(&address, &operator).unwrap();
    let mut customers =
        api::customer::v1::customer_profile_service_client::CustomerProfileServiceClient::new(
            peer.clone(),
        );
    customers
        .create_customer(nobody())
        .await
        .expect("the operator may");
    // The consumers dial the suite's own port, over TLS, with its certificate, and are let in.
    let mut feed = ChangeFeedServiceClient::new(peer.clone());
    let head = pb::GetHeadRequest {
        source: "customer".to_owned(),
    };
    let head = feed.get_head(head).await.unwrap().into_inner().position;
    let mut consumers = pb::consumer_service_client::ConsumerServiceClient::new(peer);
    let wait = pb::AwaitPositionRequest {
        consumer: "loyalty.customer".to_owned(),
        position: head,
    };
    consumers
        .await_position(wait)
        .await
        .expect("the feed is followed");

    let stranger = ClientConfig {
        pair: None,
        ..operator
    };
    let mut stranger = ChangeFeedServiceClient::new(connect(&address, &stranger).unwrap());
    let refused = stranger.get_head(pb::GetHeadRequest::default()).await;
    assert_refused(refused, Code::Unavailable, "CONNECTION_LOST");
}

#[test]
fn settings_that_contradict_each_other_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ca");
    let pair = authority.issue(&["suite.test"]);
    let all = mutual(folder.path(), &authority, &pair, "a feed.read");
    let own = |count: usize| all[..count].to_vec();
    let plain = |setting: &str| vec![setting.to_owned()];
    for (arguments, says) in [
        (own(1), "--tls-key-file"),
        (own(3), "--tls-client-scopes-file"),
        (plain("--redis-ca-file=ca.pem"), "--redis-url"),
        (plain("--listen=0.0.0.0:0"), "--tls-client-ca-file"),
    ] {
        let data = format!("--data={}", folder.path().display());
        let (code, told) = refused(ALONE, arguments.into_iter().chain([data]));
        assert_eq!(code, Some(64), "{told}");
        assert!(told.contains(says), "{told}");
    }
    let data = format!("--data={}", folder.path().display());
    let (code, told) = refused(ALONE, [data]);
    assert_eq!(code, Some(64), "{told}");
    for says in ["--customer-encryption-keys-file", "openssl rand -base64 32"] {
        assert!(told.contains(says), "{told}");
    }
    let mut serve = vec!["serve".to_owned()];
    serve.extend(own(2));
    let (code, told) = refused("asterism", serve);
    assert_eq!(code, Some(64), "{told}");
    assert!(told.contains("--peer-tls-name"), "{told}");
}
