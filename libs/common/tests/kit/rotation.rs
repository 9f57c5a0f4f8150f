//! Certificates, keys, tokens and scopes are replaced while the server runs.

use std::fs;
use std::path::Path;

use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use common::auth::Authenticator;
use common::client::{ClientConfig, connect};
use common::config::{AuthConfig, ServerConfig};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use testkit::{Authority, until};
use tonic::Code;

use crate::subject::{Server, ask, echo, reason};
use crate::tls::{Files, NAME, call, client, start};

#[tokio::test]
async fn new_connections_use_the_new_certificate_and_old_ones_go_on() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new(&old.issue(&[NAME]));
    let server = start(files.server()).await;
    let (knows_old, knows_new) = (files.caller(&old), files.caller(&new));
    let mut connected = client(server.api, &knows_old);
    connected.await_position(ask("c")).await.unwrap();
    assert!(call(server.api, &knows_new).await.is_err());

    files.replace("tls", &new.issue(&[NAME]));
    until("the new certificate is shown", async || {
        call(server.api, &knows_new).await.is_ok()
    })
    .await;
    assert!(call(server.api, &knows_old).await.is_err());
    connected.await_position(ask("c")).await.unwrap();
}

#[tokio::test]
async fn scopes_of_certificates_change_on_open_connections() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let server = start(files.mutual(&authority, Some("team-a feed.read"))).await;
    let caller = ClientConfig {
        pair: Some(files.replace("caller", &authority.issue_common_name("team-a"))),
        ..files.caller(&authority)
    };
    let mut connected = client(server.api, &caller);
    let denied = connected.await_position(ask("c")).await.unwrap_err();
    assert_eq!(reason(&denied).1, "MISSING_SCOPE");
    files.write("scopes", "team-a feed.read feed.admin");
    until("the scope is granted", async || {
        connected.clone().await_position(ask("c")).await.is_ok()
    })
    .await;
    files.write("scopes", "team-b feed.read");
    until("the scope is withdrawn", async || {
        connected.clone().await_position(ask("c")).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn callers_show_their_new_certificate_and_believe_the_new_authority() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::new(&old.issue(&[NAME]));
    let scopes = "before feed.admin\nafter feed.admin\n";
    let server = start(files.mutual(&old, Some(scopes))).await;
    let caller = ClientConfig {
        pair: Some(files.replace("caller", &old.issue_common_name("before"))),
        ..files.caller(&old)
    };
    // One caller for all its connections, as in a service.
    let peer = connect(&format!("https://{}", server.api), &caller).unwrap();
    let mut client = ConsumerServiceClient::new(peer.clone());
    let answer = client.await_position(ask("c")).await.unwrap();
    assert_eq!(answer.into_inner().position, "before");
    files.replace("caller", &new.issue_common_name("after"));
    fs::write(caller.ca_file.as_ref().unwrap(), new.pem()).unwrap();
    let address = server.api;
    server.stop().await;
    files.replace("tls", &new.issue(&[NAME]));
    let again = ServerConfig {
        listen: address,
        ..files.mutual(&new, Some(scopes))
    };
    let _server = start(again).await;
    until("it connects again, anew", async || {
        let answer = client.clone().await_position(ask("c")).await;
        answer.is_ok_and(|answer| answer.into_inner().position == "after")
    })
    .await;
}

fn token(secret: &[u8], subject: &str) -> String {
    let expires = jsonwebtoken::get_current_timestamp() + 300;
    let claims = json!({
        "sub": subject, "iss": "https://issuer.test", "aud": "asterism", "exp": expires,
        "scope": "feed.admin",
    });
    let key = EncodingKey::from_secret(secret);
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

/// A key set with the shared secret "first" or "later", as RFC 7517 writes it.
fn write_keys(file: &Path, secret: &str) {
    let encoded = match secret {
        "first" => "Zmlyc3Q",
        "later" => "bGF0ZXI",
        other => panic!("{other}"),
    };
    let keys = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": encoded }] });
    fs::write(file, keys.to_string()).unwrap();
}

#[tokio::test]
async fn keys_of_the_issuer_and_tokens_of_peers_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, peer_token) = (folder.path().join("jwks.json"), folder.path().join("token"));
    write_keys(&keys, "first");
    fs::write(&peer_token, token(b"first", "services")).unwrap();
    let config = AuthConfig {
        jwks_file: Some(keys.clone()),
        issuer: Some("https://issuer.test".to_owned()),
        audience: Some("asterism".to_owned()),
        ..AuthConfig::default()
    };
    let authenticator = Authenticator::from_config(&config).unwrap();
    let server = Server::start_with(ServerConfig::on_free_ports(), authenticator, echo()).await;
    let config = ClientConfig {
        token_file: Some(peer_token.clone()),
        ..ClientConfig::default()
    };
    let peer = connect(&server.api.to_string(), &config).unwrap();
    let client = ConsumerServiceClient::new(peer);
    client.clone().await_position(ask("c")).await.unwrap();

    // A withdrawn key counts no more, although its token was believed a moment ago.
    write_keys(&keys, "later");
    until("the old key is withdrawn", async || {
        let answer = client.clone().await_position(ask("c")).await;
        answer.is_err_and(|status| status.code() == Code::Unauthenticated)
    })
    .await;
    fs::write(&peer_token, token(b"later", "services")).unwrap();
    until("the new token is sent", async || {
        client.clone().await_position(ask("c")).await.is_ok()
    })
    .await;
}
