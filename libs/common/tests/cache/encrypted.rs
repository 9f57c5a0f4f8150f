//! Redis over TLS.

use common::cache::{CacheBackend, RedisOptions};
use testkit::Authority;

use super::support::{Cache, Rows, eventually, key, options, patient, wait_until_online};

#[tokio::test]
async fn a_cache_believes_the_authority_in_its_file_only() {
    let (authority, other) = (Authority::new("ca"), Authority::new("another"));
    let server = testkit::encrypted_redis(authority.issue(&["127.0.0.1"])).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, other.pem()).unwrap();
    let believing = RedisOptions {
        ca_file: Some(ca_file.clone()),
        ..patient()
    };
    let near = CacheBackend::redis_with(&server.url, believing.clone())
        .await
        .unwrap();
    assert!(!*near.online().borrow(), "it believed a stranger");
    // The file is read again for the next attempt.
    std::fs::write(&ca_file, authority.pem()).unwrap();
    wait_until_online(&near, true).await;

    // Values and invalidations go over TLS alike.
    let far = CacheBackend::redis_with(&server.url, believing)
        .await
        .unwrap();
    wait_until_online(&far, true).await;
    let (reader, writer) = (
        Cache::new(&near, "tier", options()),
        Cache::new(&far, "tier", options()),
    );
    let rows = Rows::with(1);
    rows.warm(&reader, 0).await;
    writer.put(&key(0), &rows.commit(0)).await;
    eventually("the new version", async || rows.get(&reader, 0).await == 2).await;
}

#[tokio::test]
async fn authorities_without_tls_and_files_without_authorities_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, Authority::new("ca").pem()).unwrap();
    let with = |ca_file| RedisOptions {
        ca_file: Some(ca_file),
        ..patient()
    };
    let plain = CacheBackend::redis_with("redis://127.0.0.1:1", with(ca_file)).await;
    let error = plain.err().unwrap().to_string();
    assert!(error.contains("rediss://"), "{error}");
    let missing =
        CacheBackend::redis_with("rediss://127.0.0.1:1", with("no/such/file".into())).await;
    let error = missing.err().unwrap().to_string();
    assert!(error.contains("no/such/file"), "{error}");
}
