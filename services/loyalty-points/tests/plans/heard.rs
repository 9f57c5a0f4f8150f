//! The statements that were run, as the database driver tells them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// How often a statement was run, and how many rows it returned in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    pub times: u64,
    pub rows: u64,
}

/// Statements by their text.
pub type Statements = BTreeMap<String, Runs>;

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Statements>>);

static HEARD: LazyLock<Heard> = LazyLock::new(|| {
    let heard = Heard::default();
    let told = Targets::new().with_target("sqlx::query", LevelFilter::DEBUG);
    tracing_subscriber::registry()
        .with(heard.clone().with_filter(told))
        .try_init()
        .expect("nobody else listens in this process");
    heard
});
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The right to run alone in the process.
pub struct Alone(#[expect(dead_code, reason = "held")] tokio::sync::MutexGuard<'static, ()>);

/// Waits for the other tests of the process, and listens from then on.
pub async fn alone() -> Alone {
    let alone = ALONE.lock().await;
    LazyLock::force(&HEARD);
    Alone(alone)
}

/// What was run since this was last asked.
pub fn heard(_: &Alone) -> Statements {
    let mut heard = HEARD.0.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut heard)
}

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        // A short statement is told only by its beginning, which then is all of it.
        let text = match told.statement.trim() {
            "" => told.summary.trim().to_owned(),
            text => text.to_owned(),
        };
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = heard.entry(text).or_default();
        runs.times += 1;
        runs.rows += told.rows;
    }
}

#[derive(Default)]
struct Told {
    summary: String,
    statement: String,
    rows: u64,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "summary" => value.clone_into(&mut self.summary),
            "db.statement" => value.clone_into(&mut self.statement),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "rows_returned" {
            self.rows = value;
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
