//! Who may call what.

use std::fs;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use common::auth::{Authenticator, Rejection};
use common::client::{ClientConfig, connect};
use common::config::{AuthConfig, ServerConfig};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rstest::rstest;
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::subject::{Server, anything, ask, details, reason, subject};

/// Keys of no value outside of these tests.
const SHARED: &[u8] = b"a secret of thirty-two bytes, tst";
const RSA: &[u8] = include_bytes!("keys/rsa.pem");
const ED25519: &[u8] = include_bytes!("keys/ed25519.pem");
const JWKS: &str = include_str!("keys/jwks.json");

fn keys() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), JWKS).unwrap();
    file
}

fn config(keys: &tempfile::NamedTempFile) -> AuthConfig {
    AuthConfig {
        jwks_file: Some(PathBuf::from(keys.path())),
        issuer: Some("https://issuer.test".to_owned()),
        audience: Some("asterism".to_owned()),
        ..AuthConfig::default()
    }
}

pub fn authenticator() -> Authenticator {
    Authenticator::from_config(&config(&keys()))
        .unwrap()
        .unwrap()
}

fn now() -> i64 {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    i64::try_from(now).unwrap()
}

fn claims() -> Value {
    json!({
        "sub": "team-a",
        "iss": "https://issuer.test",
        "aud": "asterism",
        "exp": now() + 300,
        "scope": "feed.read feed.admin",
    })
}

pub fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

pub fn signed(algorithm: Algorithm, kid: &str, claims: &Value) -> String {
    let key = match algorithm {
        Algorithm::RS256 | Algorithm::RS512 => EncodingKey::from_rsa_pem(RSA).unwrap(),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(ED25519).unwrap(),
        _ => EncodingKey::from_secret(SHARED),
    };
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(algorithm)
    };
    encode(&header, claims, &key).unwrap()
}

#[rstest]
#[case(Algorithm::HS256, "shared")]
#[case(Algorithm::RS256, "rsa")]
#[case(Algorithm::EdDSA, "ed")]
fn accepted_algorithms(#[case] algorithm: Algorithm, #[case] kid: &str) {
    let identity = authenticator()
        .verify(&signed(algorithm, kid, &claims()))
        .unwrap();
    assert_eq!(&*identity.subject, "team-a");
    assert!(identity.may("feed.read") && identity.may("feed.admin"));
    assert!(!identity.may("feed") && !identity.may("loyalty.points.write"));
}

#[test]
fn scopes_may_be_a_list() {
    let mut listed = with("scp", json!(["loyalty.points.read"]));
    listed.as_object_mut().unwrap().remove("scope");
    let token = signed(Algorithm::HS256, "shared", &listed);
    let identity = authenticator().verify(&token).unwrap();
    assert!(identity.may("loyalty.points.read") && !identity.may("feed.read"));
}

#[test]
fn a_token_without_a_key_id_is_tried_with_every_key_of_its_algorithm() {
    let key = EncodingKey::from_secret(SHARED);
    let token = encode(&Header::new(Algorithm::HS256), &claims(), &key).unwrap();
    assert!(authenticator().verify(&token).is_ok());
}

#[rstest]
#[case::expired(with("exp", json!(now() - 300)), Rejection::Expired)]
#[case::not_yet(with("nbf", json!(now() + 300)), Rejection::Expired)]
#[case::never_expires(with("exp", Value::Null), Rejection::Malformed)]
#[case::other_issuer(with("iss", json!("https://evil.test")), Rejection::Issuer)]
#[case::other_audience(with("aud", json!("elsewhere")), Rejection::Audience)]
#[case::no_subject(with("sub", Value::Null), Rejection::Malformed)]
fn claims_are_checked(#[case] claims: Value, #[case] why: Rejection) {
    let token = signed(Algorithm::HS256, "shared", &claims);
    assert_eq!(authenticator().verify(&token), Err(why));
}

#[rstest]
#[case::empty("", Rejection::Malformed)]
#[case::no_jwt("abc", Rejection::Malformed)]
#[case::huge(&"x".repeat(20_000), Rejection::Malformed)]
#[case::other_algorithm(&signed(Algorithm::HS512, "shared", &claims()), Rejection::Algorithm)]
#[case::same_family(&signed(Algorithm::RS512, "rsa", &claims()), Rejection::Algorithm)]
#[case::unknown_key(&signed(Algorithm::HS256, "other", &claims()), Rejection::UnknownKey)]
#[case::key_of_another_algorithm(&signed(Algorithm::HS256, "rsa", &claims()), Rejection::UnknownKey)]
// {"alg":"none"} . {"sub":"root"} . nothing
#[case::none("eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.", Rejection::Malformed)]
fn tokens_are_checked(#[case] token: &str, #[case] why: Rejection) {
    assert_eq!(authenticator().verify(token), Err(why));
}

#[test]
fn a_changed_token_has_a_wrong_signature() {
    let token = signed(Algorithm::EdDSA, "ed", &claims());
    let other = signed(Algorithm::EdDSA, "ed", &with("sub", json!("root")));
    let (_, signature) = token.rsplit_once('.').unwrap();
    let (message, _) = other.rsplit_once('.').unwrap();
    let forged = format!("{message}.{signature}");
    assert_eq!(authenticator().verify(&forged), Err(Rejection::Signature));
}

#[test]
fn algorithms_can_be_narrowed() {
    let config = AuthConfig {
        algorithms: vec![Algorithm::EdDSA],
        ..config(&keys())
    };
    let file = keys();
    let config = AuthConfig {
        jwks_file: Some(file.path().to_owned()),
        ..config
    };
    let narrow = Authenticator::from_config(&config).unwrap().unwrap();
    assert!(
        narrow
            .verify(&signed(Algorithm::EdDSA, "ed", &claims()))
            .is_ok()
    );
    let token = signed(Algorithm::HS256, "shared", &claims());
    assert_eq!(narrow.verify(&token), Err(Rejection::Algorithm));
}

#[rstest]
#[case::no_json("{")]
#[case::no_keys(r#"{"keys":[]}"#)]
fn keys_that_cannot_be_used_stop_the_start(#[case] text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    assert!(Authenticator::from_config(&config(&file)).is_err());
}

async fn guarded() -> Server {
    let subject = subject(async |_| Ok(common::identity::current().subject.to_string()));
    Server::start_with(
        ServerConfig::on_free_ports(),
        Some(authenticator()),
        subject,
    )
    .await
}

fn bearing<M>(message: M, token: &str) -> Request<M> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

#[tokio::test]
async fn callers_are_known_to_handlers() {
    let server = guarded().await;
    let token = signed(Algorithm::RS256, "rsa", &claims());
    let answer = server
        .consumers()
        .await_position(bearing(ask("c"), &token))
        .await
        .unwrap();
    assert_eq!(answer.get_ref().position, "team-a");
}

#[tokio::test]
async fn calls_without_a_good_token_are_unauthenticated() {
    let server = guarded().await;
    let mut client = server.consumers();
    let missing = client.await_position(ask("c")).await.unwrap_err();
    assert_eq!(
        reason(&missing),
        (Code::Unauthenticated, "TOKEN_MISSING".to_owned())
    );
    let expired = signed(Algorithm::HS256, "shared", &with("exp", json!(now() - 300)));
    let expired = client
        .await_position(bearing(ask("c"), &expired))
        .await
        .unwrap_err();
    assert_eq!(
        reason(&expired),
        (Code::Unauthenticated, "TOKEN_EXPIRED".to_owned())
    );
    let mut basic = Request::new(ask("c"));
    basic
        .metadata_mut()
        .insert("authorization", MetadataValue::from_static("Basic dTpw"));
    let basic = client.await_position(basic).await.unwrap_err();
    assert_eq!(
        reason(&basic),
        (Code::Unauthenticated, "TOKEN_MALFORMED".to_owned())
    );
}

#[tokio::test]
async fn calls_beyond_the_scopes_are_denied() {
    let server = guarded().await;
    let token = signed(
        Algorithm::HS256,
        "shared",
        &with("scope", json!("feed.read")),
    );
    let denied = server
        .consumers()
        .await_position(bearing(ask("c"), &token))
        .await
        .unwrap_err();
    assert_eq!(
        reason(&denied),
        (Code::PermissionDenied, "MISSING_SCOPE".to_owned())
    );
    assert_eq!(
        details(&denied).error_info().unwrap().metadata["scope"],
        "feed.admin"
    );
    let head = bearing(api::feed::v1::GetHeadRequest::default(), &token);
    assert!(server.feed().get_head(head).await.is_ok());
}

#[tokio::test]
async fn probes_need_no_token() {
    let server = guarded().await;
    assert!(server.health().check(anything()).await.is_ok());
}

#[tokio::test]
async fn peers_send_the_token_from_their_file() {
    let server = guarded().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        file.path(),
        signed(Algorithm::EdDSA, "ed", &claims()) + "\n",
    )
    .unwrap();
    let config = ClientConfig {
        token_file: Some(file.path().to_owned()),
        ..ClientConfig::default()
    };
    let peer = connect(&server.api.to_string(), &config).unwrap();
    let mut client = api::feed::v1::consumer_service_client::ConsumerServiceClient::new(peer);
    assert_eq!(
        client
            .await_position(ask("c"))
            .await
            .unwrap()
            .get_ref()
            .position,
        "team-a"
    );
}
