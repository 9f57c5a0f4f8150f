//! Encryption, and callers who are known by their certificates.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::feed::v1::consumer_service_client::ConsumerServiceClient;
use common::client::{ClientConfig, Peer, connect};
use common::config::{ServerConfig, TlsConfig};
use common::server;
use rstest::rstest;
use tempfile::TempDir;
use testkit::{Authority, Issued};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::subject::{Server, anything, ask, echo, reason, subject};

/// What the certificates of these servers are issued for.
pub const NAME: &str = "asterism.test";

/// Files of both sides of TLS.
pub struct Files(pub TempDir);

impl Files {
    /// The files of a server: its certificate and what it knows of callers.
    pub fn new(pair: &Issued) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.replace("tls", pair);
        files
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a certificate and its key.
    pub fn replace(&self, name: &str, pair: &Issued) -> (PathBuf, PathBuf) {
        let certificate = self.write(&format!("{name}.crt"), &pair.certificate);
        let key = self.write(&format!("{name}.key"), &pair.key);
        (certificate, key)
    }

    pub fn server(&self) -> ServerConfig {
        let tls = TlsConfig {
            certificate_file: Some(self.path("tls.crt")),
            key_file: Some(self.path("tls.key")),
            ..TlsConfig::default()
        };
        ServerConfig {
            tls,
            ..ServerConfig::on_free_ports()
        }
    }

    /// A server whose callers need certificates of an authority.
    pub fn mutual(&self, callers: &Authority, scopes: Option<&str>) -> ServerConfig {
        let mut config = self.server();
        config.tls.client_ca_file = Some(self.write("callers.pem", &callers.pem()));
        config.tls.client_scopes_file = scopes.map(|scopes| self.write("scopes", scopes));
        config
    }

    /// A caller who believes an authority.
    pub fn caller(&self, believes: &Authority) -> ClientConfig {
        static CALLERS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("believed-{}.pem", CALLERS.fetch_add(1, Ordering::Relaxed));
        ClientConfig {
            ca_file: Some(self.write(&name, &believes.pem())),
            tls_name: Some(NAME.to_owned()),
            ..ClientConfig::default()
        }
    }
}

/// Tells who calls.
pub async fn start(config: ServerConfig) -> Server {
    let subject = subject(async |_| Ok(common::identity::current().subject.to_string()));
    Server::start_with(config, None, subject).await
}

pub fn client(address: SocketAddr, config: &ClientConfig) -> ConsumerServiceClient<Peer> {
    ConsumerServiceClient::new(connect(&format!("https://{address}"), config).unwrap())
}

/// One call over a connection of its own.
pub async fn call(address: SocketAddr, config: &ClientConfig) -> Result<String, Status> {
    let answer = client(address, config).await_position(ask("c")).await?;
    Ok(answer.into_inner().position)
}

fn lost(answer: &Result<String, Status>) -> bool {
    let lost = (Code::Unavailable, "CONNECTION_LOST".to_owned());
    answer.as_ref().is_err_and(|status| reason(status) == lost)
}

#[tokio::test]
async fn calls_are_encrypted_and_the_ops_port_stays_plain() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let server = start(files.server()).await;
    let answer = call(server.api, &files.caller(&authority)).await;
    assert_eq!(answer.unwrap(), "anonymous");
    assert!(server.ops_health().check(anything()).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn callers_believe_their_authority_and_the_name_only() {
    let (authority, other) = (Authority::new("ca"), Authority::new("another"));
    let files = Files::new(&authority.issue(&[NAME]));
    let server = start(files.server()).await;
    assert!(lost(&call(server.api, &files.caller(&other)).await));
    let elsewhere = ClientConfig {
        tls_name: Some("elsewhere.test".to_owned()),
        ..files.caller(&authority)
    };
    assert!(lost(&call(server.api, &elsewhere).await));
    let by_address = ClientConfig {
        tls_name: None,
        ..files.caller(&authority)
    };
    assert!(lost(&call(server.api, &by_address).await));
    files.replace("tls", &authority.issue(&["127.0.0.1"]));
    let server = start(files.server()).await;
    call(server.api, &by_address).await.unwrap();
}

#[tokio::test]
async fn a_caller_in_plaintext_is_refused_and_others_are_served() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let server = start(files.server()).await;
    let mut stranger = TcpStream::connect(server.api).await.unwrap();
    stranger
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    // Reset or closed, after an alert at most.
    let _ = stranger.read_to_end(&mut answer).await;
    assert!(answer.len() < 16, "{answer:?}");
    let plain = connect(&server.api.to_string(), &ClientConfig::default()).unwrap();
    let plain = ConsumerServiceClient::new(plain)
        .await_position(ask("c"))
        .await;
    assert_eq!(reason(&plain.unwrap_err()).1, "CONNECTION_LOST");
    call(server.api, &files.caller(&authority)).await.unwrap();
}

#[tokio::test]
async fn callers_who_never_say_who_they_are_hold_nobody_up() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let server = start(files.server()).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(server.api).await.unwrap());
    }
    call(server.api, &files.caller(&authority)).await.unwrap();
    // Their handshakes do not hold up the end either.
    server.stop().await;
}

#[tokio::test]
async fn a_caller_without_a_certificate_of_the_right_authority_is_not_let_in() {
    let (authority, other) = (Authority::new("ca"), Authority::new("another"));
    let files = Files::new(&authority.issue(&[NAME]));
    let server = start(files.mutual(&authority, Some("team-a feed.admin"))).await;
    assert!(lost(&call(server.api, &files.caller(&authority)).await));
    let forged = ClientConfig {
        pair: Some(files.replace("forged", &other.issue_common_name("team-a"))),
        ..files.caller(&authority)
    };
    assert!(lost(&call(server.api, &forged).await));
}

#[rstest]
#[case::uri(&["spiffe://cluster/team-a", "host.test"], "spiffe://cluster/team-a")]
#[case::host(&["host.test"], "host.test")]
#[case::any_of_several(&["first.test", "host.test"], "host.test")]
#[tokio::test]
async fn names_in_certificates_hold_scopes(#[case] names: &[&str], #[case] known: &str) {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let scopes = "spiffe://cluster/team-a feed.admin\nhost.test feed.admin\n";
    let server = start(files.mutual(&authority, Some(scopes))).await;
    let caller = ClientConfig {
        pair: Some(files.replace("caller", &authority.issue(names))),
        ..files.caller(&authority)
    };
    assert_eq!(call(server.api, &caller).await.unwrap(), known);
}

#[tokio::test]
async fn a_common_name_counts_only_where_there_is_no_other() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let scopes = "team-a feed.admin\nnever feed.admin\n";
    let server = start(files.mutual(&authority, Some(scopes))).await;
    let old = ClientConfig {
        pair: Some(files.replace("old", &authority.issue_common_name("team-a"))),
        ..files.caller(&authority)
    };
    assert_eq!(call(server.api, &old).await.unwrap(), "team-a");
    // Its common name is "never looked at".
    files.write("scopes", "never feed.admin\n");
    let named = ClientConfig {
        pair: Some(files.replace("named", &authority.issue(&["host.test"]))),
        ..files.caller(&authority)
    };
    let denied = call(server.api, &named).await.unwrap_err();
    let missing = (Code::PermissionDenied, "MISSING_SCOPE".to_owned());
    assert_eq!(reason(&denied), missing);
}

#[tokio::test]
async fn what_is_at_hand_is_for_callers_with_the_scope_only() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let config = files.mutual(&authority, Some("known.test feed.admin"));
    let subject = echo().at_hand(async |_| Some("at hand".to_owned()));
    let server = Server::start_with(config, None, subject).await;
    let caller = |name: &str| ClientConfig {
        pair: Some(files.replace(name, &authority.issue(&[name]))),
        ..files.caller(&authority)
    };
    let answer = call(server.api, &caller("known.test")).await;
    assert_eq!(answer.unwrap(), "at hand");
    let denied = call(server.api, &caller("unknown.test")).await.unwrap_err();
    assert_eq!(reason(&denied).1, "MISSING_SCOPE");
}

#[rstest]
#[case::no_key(|files: &Files, tls: &mut TlsConfig| { let _ = files; tls.key_file = None; }, "--tls-key-file")]
#[case::no_file(|files: &Files, tls: &mut TlsConfig| tls.key_file = Some(files.path("none")), "none")]
#[case::no_certificate(|files: &Files, _: &mut TlsConfig| drop(files.write("tls.crt", "")), "holds no certificate")]
#[case::no_pem(|files: &Files, _: &mut TlsConfig| drop(files.write("tls.key", "secret")), "no private key")]
#[case::another_key(
    |files: &Files, _: &mut TlsConfig| drop(files.write("tls.key", &Authority::new("x").issue(&[NAME]).key)),
    "keys may not be consistent"
)]
#[case::expired(
    |files: &Files, _: &mut TlsConfig| drop(files.replace("tls", &Authority::new("x").issue_expired(&[NAME]))),
    "expired"
)]
#[case::callers_who_may_nothing(
    |files: &Files, tls: &mut TlsConfig| tls.client_ca_file = Some(files.write("ca.pem", &Authority::new("x").pem())),
    "--tls-client-scopes-file"
)]
#[case::names_of_nobody(
    |files: &Files, tls: &mut TlsConfig| tls.client_scopes_file = Some(files.write("scopes", "a b")),
    "--tls-client-ca-file"
)]
#[tokio::test]
async fn settings_that_make_no_sense_stop_the_start(
    #[case] spoil: fn(&Files, &mut TlsConfig),
    #[case] says: &str,
) {
    let files = Files::new(&Authority::new("ca").issue(&[NAME]));
    let mut config = files.server();
    spoil(&files, &mut config.tls);
    let error = server::bind(config, false).await.unwrap_err().to_string();
    assert!(error.contains(says), "{error}");
}

#[tokio::test]
async fn only_callers_with_certificates_may_come_from_elsewhere() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let mut encrypted = files.server();
    encrypted.listen = everywhere;
    let error = server::bind(encrypted, false).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
    let mut mutual = files.mutual(&authority, Some("team-a feed.read"));
    mutual.listen = everywhere;
    assert!(server::bind(mutual, false).await.is_ok());
}

#[test]
fn callers_do_not_mistake_plaintext_for_tls() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.issue(&[NAME]));
    let trusting = files.caller(&authority);
    let none = ClientConfig::default();
    for (address, config, says) in [
        ("http://a:1", &trusting, "write https://"),
        ("https://a:1", &none, "--peer-ca-file"),
        ("ftp://a:1", &none, "write it like"),
    ] {
        let error = connect(address, config).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
