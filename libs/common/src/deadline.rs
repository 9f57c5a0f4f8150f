//! How much time the current call has left. The server's deadline layer sets it, the client sends it
//! on, and whoever waits inside a handler asks for it.

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Option<Instant>;
}

/// Time left until the current call's deadline; zero when it has passed, `None` when there is none.
pub fn remaining() -> Option<Duration> {
    current().map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// The current call's deadline, if it has one.
pub fn current() -> Option<Instant> {
    DEADLINE.try_with(|deadline| *deadline).ok().flatten()
}

/// Runs `work` as part of a call with this deadline. Spawned tasks do not inherit it: carry
/// [`current`] into them.
pub async fn scope<F: Future>(deadline: Option<Instant>, work: F) -> F::Output {
    DEADLINE.scope(deadline, work).await
}

/// The `grpc-timeout` header: at most eight digits and a unit. A malformed one counts as absent.
pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// `left` in the finest unit that eight digits can hold.
pub(crate) fn to_header(left: Duration) -> HeaderValue {
    const LIMIT: u128 = 100_000_000;
    let text = if left.as_micros() < LIMIT {
        format!("{}u", left.as_micros())
    } else if left.as_millis() < LIMIT {
        format!("{}m", left.as_millis())
    } else {
        format!("{}S", u128::from(left.as_secs()).min(LIMIT - 1))
    };
    HeaderValue::try_from(text).expect("digits and a letter are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Duration> {
        from_headers(&HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-timeout"),
            HeaderValue::from_str(text).unwrap(),
        )]))
    }

    #[test]
    fn timeouts_have_up_to_eight_digits_and_a_unit() {
        assert_eq!(parse("2H"), Some(Duration::from_hours(2)));
        assert_eq!(parse("3M"), Some(Duration::from_mins(3)));
        assert_eq!(parse("15S"), Some(Duration::from_secs(15)));
        assert_eq!(parse("99999999m"), Some(Duration::from_millis(99_999_999)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parse("0n"), Some(Duration::ZERO));
    }

    #[test]
    fn malformed_timeouts_count_as_absent() {
        for text in ["", "S", "1", "1x", "-1S", "+1S", "1.5S", "123456789S", "1ä"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_sent_on_is_what_is_left() {
        for left in [
            0,
            1,
            99_999_999,
            100_000_000,
            90_000_000_000,
            99_999_999_000_000,
        ] {
            let left = Duration::from_micros(left);
            assert_eq!(parse(to_header(left).to_str().unwrap()), Some(left));
        }
        assert_eq!(to_header(Duration::MAX), "99999999S");
    }
}
