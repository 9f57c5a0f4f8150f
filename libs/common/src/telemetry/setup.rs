//! Sets up logs and traces for a process, once.

use std::io::{IsTerminal as _, stderr};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{LogFormat, TelemetryConfig};
use crate::error::Error;

/// Sends what is still to be sent when it is dropped. Keep it until the end of `main`.
#[must_use = "traces are lost when the guard is dropped early"]
#[derive(Debug)]
pub struct Guard {
    tracer: SdkTracerProvider,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.tracer.shutdown() {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Sets up logs and traces of this process, which appears under the name of `service`. Call it within
/// the runtime.
pub fn init(config: &TelemetryConfig, service: &str) -> Result<Guard, Error> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|error| Error::Config(format!("--log {:?}: {error}", config.log)))?;
    super::metrics::install();
    let tracer = tracer(config, service)?;
    let traces = tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_tracer(tracer.tracer("asterism"));
    tracing_subscriber::registry()
        .with(log(config.log_format).with_filter(filter))
        .with(traces.with_filter(LevelFilter::INFO))
        .try_init()
        .map_err(|error| Error::Internal(format!("telemetry was set up before: {error}")))?;
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        tracing::error!(panic.message = message, panic.place = place, "panicked");
    }));
    Ok(Guard { tracer })
}

fn log(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let terminal = stderr().is_terminal();
    match format {
        LogFormat::Json => fmt::layer().json().with_writer(stderr).boxed(),
        LogFormat::Auto if !terminal => fmt::layer().json().with_writer(stderr).boxed(),
        LogFormat::Auto | LogFormat::Text => fmt::layer()
            .compact()
            .with_ansi(terminal)
            .with_writer(stderr)
            .boxed(),
    }
}

/// Without an endpoint nothing is recorded, yet every call has its trace id, in logs and across
/// services.
fn tracer(config: &TelemetryConfig, service: &str) -> Result<SdkTracerProvider, Error> {
    let resource = Resource::builder()
        .with_service_name(service.to_owned())
        .build();
    let provider = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = &config.otlp_endpoint else {
        let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        return Ok(provider.with_sampler(sampler).build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| Error::Config(format!("--otlp-endpoint {endpoint}: {error}")))?;
    super::trace::spans_are_recorded();
    let ratio = Sampler::TraceIdRatioBased(config.trace_ratio);
    Ok(provider
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_batch_exporter(exporter)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{set_parent, trace_id, traceparent};

    #[test]
    fn calls_have_trace_ids_even_where_no_trace_is_recorded() {
        let tracer = tracer(&TelemetryConfig::default(), "test")
            .unwrap()
            .tracer("test");
        let traces = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(traces), || {
            let span = tracing::info_span!("rpc");
            let id = trace_id(&span).expect("a trace id");
            let stored = span.in_scope(traceparent);
            assert!(stored.contains(&id), "{stored}");

            let later = tracing::info_span!("apply");
            set_parent(&later, &stored);
            assert_eq!(trace_id(&later), Some(id));
        });
    }
}
