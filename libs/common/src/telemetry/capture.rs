//! Spans kept in memory, for tests that assert them.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The spans that ended in this process. Tests that run in parallel share it: look for your trace.
#[derive(Clone, Debug, Default)]
pub struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl Spans {
    /// Names of the spans of a trace that have ended, in the order in which they ended.
    pub fn of_trace(&self, trace_id: &str) -> Vec<String> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_trace = spans
            .iter()
            .filter(|s| s.span_context.trace_id().to_string() == trace_id);
        of_trace.map(|span| span.name.to_string()).collect()
    }
}

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(batch);
        Ok(())
    }
}

static SPANS: LazyLock<Spans> = LazyLock::new(|| {
    super::metrics::install();
    super::trace::spans_are_recorded();
    let spans = Spans::default();
    let tracer = SdkTracerProvider::builder()
        .with_simple_exporter(spans.clone())
        .build();
    let traces = tracing_opentelemetry::layer()
        .with_tracer(tracer.tracer("asterism"))
        .with_filter(LevelFilter::INFO);
    // A test binary that has a subscriber of its own keeps it, and captures nothing.
    let _ = tracing_subscriber::registry().with(traces).try_init();
    spans
});

/// Keeps every span of this process in memory. The twin of [`super::init`] for tests.
pub fn init_for_test() -> Spans {
    SPANS.clone()
}
