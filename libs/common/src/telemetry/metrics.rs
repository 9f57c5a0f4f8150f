//! The suite's instruments, and the text that Prometheus scrapes.
//!
//! They live in a provider of their own instead of the global one, which counts nothing before it is
//! set. Labels take values from closed sets only: methods, codes, names of pools, feeds and caches.

use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use tonic::Code;

pub use super::consumers::{consumer_lag, consumer_left, consumer_parked};
pub use super::lookups::CacheLookups;

use super::{consumers, lookups};

/// Seconds: from a cache hit to the default deadline.
const CALL_SECONDS: [f64; 15] = [
    0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0, 30.0,
];

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(Instruments::new);

struct Instruments {
    registry: Registry,
    provider: SdkMeterProvider,
    rpc_server: Histogram<f64>,
    rpc_client: Histogram<f64>,
    shed: Counter<u64>,
    pool_connections: Gauge<u64>,
    pool_wait: Histogram<f64>,
    feed_events: Counter<u64>,
    consumer_applied: Counter<u64>,
    consumer_leases: Counter<u64>,
    consumer_rewound: Counter<u64>,
    cache_invalidations: Counter<u64>,
    batch_items: Histogram<u64>,
    handshakes: Counter<u64>,
    certificate_expiry: Gauge<i64>,
    rotation_failing: Gauge<u64>,
    sealing_data_keys: Gauge<u64>,
    sealing_plain_rows: Gauge<u64>,
}

impl Instruments {
    fn new() -> Self {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .build()
            .expect("a new registry takes the exporter");
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let meter = provider.meter("asterism");
        let counter = |name, says| meter.u64_counter(name).with_description(says).build();
        let gauge = |name, says| meter.u64_gauge(name).with_description(says).build();
        consumers::observe(&meter);
        lookups::observe(&meter);
        Self {
            rpc_server: seconds(&meter, "rpc.server.call.duration", "Calls answered."),
            rpc_client: seconds(&meter, "rpc.client.call.duration", "Calls made."),
            shed: counter(
                "asterism.server.shed",
                "Calls refused because the server was full.",
            ),
            pool_connections: gauge("asterism.db.pool.connections", "Connections by state."),
            pool_wait: seconds(
                &meter,
                "asterism.db.pool.wait",
                "Time until a connection was had and a transaction begun, or given up.",
            ),
            feed_events: counter("asterism.feed.events", "Events that got their position."),
            consumer_applied: counter("asterism.consumer.applied", "Events applied."),
            consumer_leases: counter("asterism.consumer.leases", "Leases taken."),
            consumer_rewound: counter(
                "asterism.consumer.rewound",
                "Times that a feed was found restored from a backup, and followed from where it was.",
            ),
            cache_invalidations: counter("asterism.cache.invalidations", "Changed keys heard of."),
            batch_items: meter
                .u64_histogram("asterism.batch.items")
                .with_description("Items committed together.")
                .with_boundaries(
                    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
                        .map(f64::from)
                        .to_vec(),
                )
                .build(),
            handshakes: counter("asterism.tls.handshakes", "TLS handshakes by outcome."),
            certificate_expiry: meter
                .i64_gauge("asterism.tls.certificate.expiry")
                .with_description("When the certificate in use expires, in seconds since 1970.")
                .build(),
            rotation_failing: gauge(
                "asterism.rotation.failing",
                "1 while a replaced file cannot be used and the old value stays.",
            ),
            sealing_data_keys: gauge(
                "asterism.sealing.data_keys",
                "Data keys by the encryption key that they are wrapped under.",
            ),
            sealing_plain_rows: gauge(
                "asterism.sealing.plain_rows",
                "Rows that an older version wrote in the clear and that are not sealed yet.",
            ),
            registry,
            provider,
        }
    }
}

fn seconds(meter: &Meter, name: &'static str, says: &'static str) -> Histogram<f64> {
    meter
        .f64_histogram(name)
        .with_description(says)
        .with_unit("s")
        .with_boundaries(CALL_SECONDS.to_vec())
        .build()
}

fn label(name: &'static str, value: &'static str) -> KeyValue {
    KeyValue::new(name, value)
}

/// Makes meters that parts of the suite take from OpenTelemetry's global provider appear here, too.
pub(super) fn install() {
    opentelemetry::global::set_meter_provider(INSTRUMENTS.provider.clone());
}

/// All metrics in the text format of Prometheus.
pub fn text() -> String {
    // Gathering cannot fail; encoding fails for families without a metric only, which are not gathered.
    TextEncoder::new()
        .encode_to_string(&INSTRUMENTS.registry.gather())
        .unwrap_or_default()
}

/// A call was answered with this code (as [`code_name`] writes it).
pub fn rpc_served(method: &'static str, code: &'static str, took: Duration) {
    let labels = [
        label("rpc.method", method),
        label("rpc.response.status_code", code),
    ];
    INSTRUMENTS.rpc_server.record(took.as_secs_f64(), &labels);
}

/// A call to another service ended.
pub fn rpc_called(method: &'static str, code: &'static str, took: Duration) {
    let labels = [
        label("rpc.method", method),
        label("rpc.response.status_code", code),
    ];
    INSTRUMENTS.rpc_client.record(took.as_secs_f64(), &labels);
}

/// A call was refused because the server was full.
pub fn call_shed() {
    INSTRUMENTS.shed.add(1, &[]);
}

/// State of a connection pool, for example `loyalty`.
pub fn pool(name: &'static str, in_use: u64, idle: u64) {
    let set = |state, count| {
        INSTRUMENTS
            .pool_connections
            .record(count, &[label("pool", name), label("state", state)]);
    };
    set("in_use", in_use);
    set("idle", idle);
}

/// A connection was taken, or could not be had in time.
pub fn pool_waited(name: &'static str, waited: Duration) {
    INSTRUMENTS
        .pool_wait
        .record(waited.as_secs_f64(), &[label("pool", name)]);
}

/// Events of a service got their positions in its feed.
pub fn feed_events(source: &'static str, count: u64) {
    INSTRUMENTS
        .feed_events
        .add(count, &[label("source", source)]);
}

/// A consumer applied events.
pub fn consumer_applied(consumer: &str, count: u64) {
    INSTRUMENTS
        .consumer_applied
        .add(count, &[KeyValue::new("consumer", consumer.to_owned())]);
}

/// A consumer's lease changed hands.
pub fn consumer_lease_taken(consumer: &str) {
    INSTRUMENTS
        .consumer_leases
        .add(1, &[KeyValue::new("consumer", consumer.to_owned())]);
}

/// A consumer's feed was restored from a backup.
pub fn consumer_rewound(consumer: &str) {
    INSTRUMENTS
        .consumer_rewound
        .add(1, &[KeyValue::new("consumer", consumer.to_owned())]);
}

/// A handshake ended: `ok`, `failed`, `timeout`, or `refused` because too many were under way.
pub fn handshake(outcome: &'static str) {
    INSTRUMENTS.handshakes.add(1, &[label("outcome", outcome)]);
}

/// When the certificate of this side (`server` or `client`) expires, in seconds since 1970.
pub fn certificate_expires(side: &'static str, at: i64) {
    INSTRUMENTS
        .certificate_expiry
        .record(at, &[label("side", side)]);
}

/// Whether what is in a rotated file cannot be used.
pub fn rotation_failing(file: &'static str, failing: bool) {
    INSTRUMENTS
        .rotation_failing
        .record(u64::from(failing), &[label("file", file)]);
}

/// How many data keys of a service are wrapped under an encryption key, which the file of keys holds or not. Ids of keys are
/// the operator's: few.
pub fn sealing_data_keys(source: &'static str, key_id: &str, held: bool, count: u64) {
    let labels = [
        label("source", source),
        KeyValue::new("key", key_id.to_owned()),
        label("held", if held { "true" } else { "false" }),
    ];
    INSTRUMENTS.sealing_data_keys.record(count, &labels);
}

/// How many rows of a table are not sealed yet.
pub fn sealing_plain_rows(source: &'static str, table: &'static str, count: u64) {
    let labels = [label("source", source), label("table", table)];
    INSTRUMENTS.sealing_plain_rows.record(count, &labels);
}

/// This process was told of a changed key, or changed it itself.
pub fn cache_invalidated(cache: &'static str) {
    INSTRUMENTS
        .cache_invalidations
        .add(1, &[label("cache", cache)]);
}

/// Items were committed together.
pub fn batch(name: &'static str, items: u64) {
    INSTRUMENTS
        .batch_items
        .record(items, &[label("batch", name)]);
}

/// A status code as specifications write it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Codes that say the server failed, and not that the request was wrong (OpenTelemetry's RPC
/// conventions).
pub fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
