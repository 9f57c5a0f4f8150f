//! Settings of the feedback service.

use chrono::TimeDelta;

use crate::domain::ticket::Policy;

const REOPEN_WINDOW_DAYS: u16 = 14;

/// Settings of the feedback service.
#[derive(Debug, Clone, clap::Args)]
// Several services share one command line in the all-in-one.
#[group(id = "feedback")]
pub struct Config {
    /// Days after its closing within which a ticket may be reopened; later a new one is opened.
    #[arg(
        long = "feedback-reopen-window-days",
        env = "ASTERISM_FEEDBACK_REOPEN_WINDOW_DAYS",
        default_value_t = REOPEN_WINDOW_DAYS,
        value_parser = clap::value_parser!(u16).range(1..=3650)
    )]
    pub reopen_window_days: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reopen_window_days: REOPEN_WINDOW_DAYS,
        }
    }
}

impl Config {
    pub(crate) fn ticket_policy(&self) -> Policy {
        Policy {
            reopen_window: TimeDelta::days(i64::from(self.reopen_window_days)),
        }
    }
}
