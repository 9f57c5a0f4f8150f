//! Settings: one struct for each concern, as flags and `ASTERISM_*` variables.
//!
//! Defaults stand beside their fields. Secrets come from variables or files and never show in `Debug`.

mod auth;
mod environment;
mod reread;
mod secret;
mod server;
mod stores;
mod telemetry;
mod tls;

use std::net::SocketAddr;
use std::str::FromStr as _;
use std::time::Duration;

pub use auth::AuthConfig;
pub use environment::refuse_unknown;
pub(crate) use reread::LOOK_EVERY;
pub use reread::Reread;
pub use secret::{Secret, write_secret};
pub use server::ServerConfig;
pub use stores::{DatabaseConfig, PeersConfig, RedisConfig};
pub use telemetry::{LogFormat, TelemetryConfig};
pub use tls::{PeerAccessConfig, TlsConfig};

/// The settings as they are when neither flag nor variable says otherwise.
pub fn defaults<A: clap::Args>() -> A {
    let command = A::augment_args(clap::Command::new("defaults"));
    let names: Vec<_> = command
        .get_arguments()
        .map(|arg| arg.get_id().clone())
        .collect();
    let command = names.iter().fold(command, |command, name| {
        command.mut_arg(name.as_str(), |arg| {
            arg.env(clap::builder::Resettable::Reset)
        })
    });
    let matches = command
        .try_get_matches_from(["defaults"])
        .expect("every setting has a default");
    A::from_arg_matches(&matches).expect("every default is valid")
}

/// Parses `30s`, `250ms`, `5m`, `2h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let count: u64 = text[..digits].parse().map_err(|_| hint(text))?;
    match &text[digits..] {
        "ms" => Ok(Duration::from_millis(count)),
        "s" => Ok(Duration::from_secs(count)),
        "m" => Ok(Duration::from_secs(count.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(count.saturating_mul(3600))),
        _ => Err(hint(text)),
    }
}

fn hint(text: &str) -> String {
    format!("{text:?} is not a duration: write it like 250ms, 30s, 5m or 2h")
}

/// An address to listen on. Names are not resolved: what is listened on must be plain to see.
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    SocketAddr::from_str(text)
        .map_err(|_| format!("{text:?} is not an address: write it like 127.0.0.1:50051"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for text in ["", "5", "s", "5 s", "-5s", "5d", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_concern_has_defaults() {
        assert_eq!(
            ServerConfig::default().listen,
            "127.0.0.1:50051".parse().unwrap()
        );
        assert!(!AuthConfig::default().is_enabled());
        assert_eq!(PeersConfig::default().address("customer"), None);
        assert!(DatabaseConfig::default().pool_max > 0);
        assert!(RedisConfig::default().redis_url.is_none());
        assert_eq!(TelemetryConfig::default().log, "info");
    }
}
