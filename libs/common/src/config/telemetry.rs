//! Logs and traces.

/// What is logged, and where traces go.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetryConfig {
    /// What to log, like `info` or `info,common::feed=debug`.
    #[arg(long, env = "ASTERISM_LOG", default_value = "info")]
    pub log: String,
    /// How to log.
    #[arg(long, env = "ASTERISM_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
    /// OTLP endpoint (gRPC) that receives traces, like `http://collector:4317`.
    #[arg(long, env = "ASTERISM_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Share of new traces that are recorded, 0 to 1. A caller that records its trace decides itself.
    #[arg(long, env = "ASTERISM_TRACE_RATIO", default_value_t = 1.0)]
    pub trace_ratio: f64,
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Text,
    /// A JSON object for each event.
    Json,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        super::defaults()
    }
}
