//! The service config that callers load: it fits the contract, and repeats only what may be repeated.

use std::collections::{BTreeMap, BTreeSet};

use api::{DESCRIPTOR_SET, Method};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use serde_json::Value;

/// Neither reads by their scope nor with a `request_id`, and harmless to repeat all the same.
const REPEATABLE: [&str; 3] = [
    "/asterism.feed.v1.ConsumerService/AwaitPosition",
    "/asterism.feed.v1.ConsumerService/ListConsumers",
    "/asterism.feed.v1.ConsumerService/ListParkedEvents",
];
/// Whose answer is whole only the first time.
const ONCE: &str = "/asterism.feedback.v1.SurveyService/CreateInvitations";

/// The entries by what they are for: the path of a method, or of a service, which ends with a slash.
fn entries() -> BTreeMap<String, Value> {
    let text = journeys::read(&journeys::root().join("proto/service-config.json"));
    let config: Value = serde_json::from_str(&text).expect("the service config is JSON");
    let mut entries = BTreeMap::new();
    for entry in config["methodConfig"].as_array().expect("a list") {
        for name in entry["name"].as_array().expect("a list") {
            let service = name["service"].as_str().expect("a name has a service");
            let method = name["method"].as_str().unwrap_or_default();
            let path = format!("/{service}/{method}");
            let before = entries.insert(path.clone(), entry.clone());
            assert!(before.is_none(), "{path} is named twice");
        }
    }
    entries
}

fn service_of(path: &str) -> &str {
    &path[..=path.rfind('/').expect("a path has a method")]
}

/// What clients apply to each method: its own entry, or else that of its service.
fn applied() -> Vec<(&'static Method, Value)> {
    let entries = entries();
    let of = |method: &'static Method| {
        let entry = entries.get(method.path);
        let entry = entry.or_else(|| entries.get(service_of(method.path)));
        let entry = entry.unwrap_or_else(|| panic!("no entry is for {}", method.path));
        (method, entry.clone())
    };
    api::methods().iter().map(of).collect()
}

/// Paths of the methods whose request has a `request_id`.
fn with_request_id() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).expect("the build wrote it");
    let mut requests = BTreeSet::new();
    for file in &set.file {
        for message in &file.message_type {
            if message
                .field
                .iter()
                .any(|field| field.name() == "request_id")
            {
                requests.insert(format!(".{}.{}", file.package(), message.name()));
            }
        }
    }
    let mut paths = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                if requests.contains(method.input_type()) {
                    let (package, service) = (file.package(), service.name());
                    paths.insert(format!("/{package}.{service}/{}", method.name()));
                }
            }
        }
    }
    paths
}

#[test]
fn every_entry_is_for_something_that_exists() {
    let paths: BTreeSet<_> = api::methods().iter().map(|method| method.path).collect();
    let services: BTreeSet<_> = paths.iter().map(|path| service_of(path)).collect();
    for path in entries().keys() {
        assert!(
            paths.contains(path.as_str()) || services.contains(path.as_str()),
            "{path} does not exist"
        );
    }
}

#[test]
fn no_method_is_without_an_entry() {
    assert!(applied().len() > 100);
}

#[test]
fn only_what_may_be_repeated_is_repeated() {
    let identified = with_request_id();
    for (method, entry) in applied() {
        let path = method.path;
        let reads = method
            .scope
            .is_some_and(|scope| scope.rsplit('.').next() == Some("read"));
        let repeatable = reads || identified.contains(path) || REPEATABLE.contains(&path);
        let streams = method.client_streaming || method.server_streaming;
        let retried = entry.get("retryPolicy").is_some();
        assert_eq!(
            retried,
            repeatable && !streams && path != ONCE,
            "{path}: is it tried again?"
        );
        // A stream goes on for as long as its caller wants; who resumes it says from where.
        assert_eq!(entry.get("timeout").is_none(), streams, "{path}: timeout");
    }
}

#[test]
fn clients_can_read_every_entry() {
    let seconds = |value: &Value| -> f64 {
        let text = value.as_str().and_then(|text| text.strip_suffix('s'));
        let number = text.and_then(|text| text.parse().ok());
        number.unwrap_or_else(|| panic!("{value} is no duration"))
    };
    for (path, entry) in entries() {
        if let Some(timeout) = entry.get("timeout") {
            assert!(seconds(timeout) > 0.0, "{path}");
        }
        let Some(retry) = entry.get("retryPolicy") else {
            continue;
        };
        let attempts = retry["maxAttempts"].as_i64().expect("a number");
        // gRPC makes five of more.
        assert!((2..=5).contains(&attempts), "{path}");
        let (first, most) = (&retry["initialBackoff"], &retry["maxBackoff"]);
        assert!(0.0 < seconds(first) && seconds(first) <= seconds(most));
        assert!(retry["backoffMultiplier"].as_f64().expect("a number") >= 1.0);
        let codes = &retry["retryableStatusCodes"];
        // ABORTED may also mean that the caller has to decide anew: ETAG_MISMATCH.
        assert_eq!(
            codes,
            &serde_json::json!(["UNAVAILABLE", "RESOURCE_EXHAUSTED"]),
            "{path}"
        );
    }
}
