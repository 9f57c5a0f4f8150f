//! How far consumers are, told by the replica that holds their lease and by nobody else.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

static FOLLOWED: Mutex<BTreeMap<String, Progress>> = Mutex::new(BTreeMap::new());

/// What is known of a consumer that runs here.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    lag: Option<u64>,
    parked: Option<u64>,
}

fn followed() -> MutexGuard<'static, BTreeMap<String, Progress>> {
    FOLLOWED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How far a consumer is behind.
pub fn consumer_lag(consumer: &str, events: u64) {
    followed().entry(consumer.to_owned()).or_default().lag = Some(events);
}

/// How many events a consumer has set aside.
pub fn consumer_parked(consumer: &str, events: u64) {
    followed().entry(consumer.to_owned()).or_default().parked = Some(events);
}

/// Another replica may have the consumer's lease from now on, and tell of it.
pub fn consumer_left(consumer: &str) {
    followed().remove(consumer);
}

/// Tells at every scrape of the consumers that run here then.
pub(super) fn observe(meter: &Meter) {
    let tell = |instrument: &dyn AsyncInstrument<u64>, figure: fn(&Progress) -> Option<u64>| {
        for (consumer, progress) in followed().iter() {
            if let Some(figure) = figure(progress) {
                instrument.observe(figure, &[KeyValue::new("consumer", consumer.clone())]);
            }
        }
    };
    meter
        .u64_observable_gauge("asterism.consumer.lag")
        .with_description("Events yet to be applied.")
        .with_callback(move |gauge| tell(gauge, |progress| progress.lag))
        .build();
    meter
        .u64_observable_gauge("asterism.consumer.parked")
        .with_description("Events set aside.")
        .with_callback(move |gauge| tell(gauge, |progress| progress.parked))
        .build();
}

#[cfg(test)]
mod tests {
    use super::super::metrics;
    use super::*;

    #[test]
    fn whoever_left_a_consumer_tells_of_it_no_more() {
        let told = || {
            let text = metrics::text();
            let ours = |line: &&str| line.contains("consumer=\"unit.test\"");
            text.lines().filter(ours).count()
        };
        assert_eq!(told(), 0);
        consumer_lag("unit.test", 7);
        assert_eq!(told(), 1, "parked events are not known yet");
        consumer_parked("unit.test", 0);
        assert_eq!(told(), 2);
        assert_eq!(told(), 2, "every scrape is told");
        consumer_left("unit.test");
        assert_eq!(told(), 0);
    }
}
