//! L2: versioned values in Redis.
//!
//! A Redis value is the version in 19 digits (so that text order is number order), a mark, and the
//! value as JSON. The mark is `=` for a value and `!` for a fence, which refuses older versions and
//! answers no read.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::{RedisError, Script};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::unsent::Unsent;
use super::{FENCE, Value, Versioned};

const DIGITS: usize = 19;

/// Consecutive timeouts after which the session is given up, so that a dead Redis does not cost
/// every caller a timeout.
const TIMEOUTS_MAX: u32 = 3;

/// Sets the value unless a newer one is held; setting what is held already would only cause pushes.
static STORE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local held = redis.call('GET', KEYS[1])
        if held and (held == ARGV[2] or string.sub(held, 1, 19) > ARGV[1]) then return 0 end
        redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
        return 1",
    )
});

/// Replaces what is older than the version by a fence.
static RAISE_FENCE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local held = redis.call('GETRANGE', KEYS[1], 0, 19)
        if string.sub(held, 1, 19) > ARGV[1] or held == ARGV[1] .. '=' then return 0 end
        redis.call('SET', KEYS[1], ARGV[1] .. '!', 'PX', ARGV[2])
        return 1",
    )
});

/// The connection of the current session.
#[derive(Clone)]
pub(super) struct Link {
    pub connection: Connection,
    /// Cancelled by whoever finds that the session is of no use any more.
    pub lost: CancellationToken,
}

pub(super) struct Remote {
    link: watch::Sender<Option<Link>>,
    response_timeout: Duration,
    timeouts: AtomicU32,
    unsent: Unsent,
}

impl Remote {
    pub fn new(response_timeout: Duration) -> Self {
        Self {
            link: watch::Sender::new(None),
            response_timeout,
            timeouts: AtomicU32::new(0),
            unsent: Unsent::default(),
        }
    }

    pub fn unsent(&self) -> &Unsent {
        &self.unsent
    }

    /// Called when a session begins and when it ends.
    pub fn set_link(&self, link: Option<Link>) {
        self.timeouts.store(0, Ordering::Relaxed);
        self.link.send_replace(link);
    }

    /// What Redis holds of `keys`, in their order; all absent if it does not answer.
    pub async fn find<V: Value>(&self, keys: &[String]) -> Vec<Option<Versioned<V>>> {
        let mut mget = redis::cmd("MGET");
        mget.arg(keys);
        let answer = self
            .ask(async |mut connection: Connection| {
                mget.query_async::<Vec<Option<Vec<u8>>>>(&mut connection)
                    .await
            })
            .await
            .unwrap_or_default();
        let mut held = answer.into_iter();
        let find = |key: &String| {
            let found: Versioned<V> = parse(&held.next()??)?;
            (found.version >= self.unsent.floor(key)).then_some(found)
        };
        keys.iter().map(find).collect()
    }

    /// Whether Redis now holds this version or a newer one.
    pub async fn store<V: Value>(&self, key: &str, new: &Versioned<V>, ttl: Duration) -> bool {
        let Ok(value) = serde_json::to_string(&new.value) else {
            tracing::error!(key, "a cached value cannot be written as JSON");
            return false;
        };
        let version = digits(new.version);
        let value = format!("{version}={value}");
        self.run(STORE.key(key).arg(version).arg(value).arg(millis(ttl)))
            .await
    }

    /// Whether Redis now answers nothing older than `version`; `i64::MAX` fences off everything.
    pub async fn fence(&self, key: &str, version: i64) -> bool {
        self.run(RAISE_FENCE.key(key).arg(digits(version)).arg(millis(FENCE)))
            .await
    }

    async fn run(&self, script: &redis::ScriptInvocation<'_>) -> bool {
        self.ask(async |mut connection: Connection| {
            script.invoke_async::<i64>(&mut connection).await
        })
        .await
        .is_some()
    }

    /// Asks Redis if there is a session; `None` if it does not answer in time or answers an error.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(Connection) -> Result<T, RedisError>,
    ) -> Option<T> {
        let link = self.link.borrow().clone()?;
        match tokio::time::timeout(self.response_timeout, question(link.connection)).await {
            Ok(Ok(answer)) => {
                self.timeouts.store(0, Ordering::Relaxed);
                return Some(answer);
            }
            Ok(Err(error)) if error.is_unrecoverable_error() => link.lost.cancel(),
            Ok(Err(error)) if !error.is_timeout() => {
                tracing::debug!(%error, "Redis refused a cache command");
            }
            Ok(Err(_)) | Err(_) => {
                if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_MAX {
                    link.lost.cancel();
                }
            }
        }
        None
    }
}

fn digits(version: i64) -> String {
    format!("{:019}", version.max(0))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

fn parse<V: Value>(held: &[u8]) -> Option<Versioned<V>> {
    let (version, rest) = held.split_at_checked(DIGITS)?;
    let version = std::str::from_utf8(version).ok()?.parse().ok()?;
    let value = serde_json::from_slice(rest.strip_prefix(b"=")?).ok()?;
    Some(Versioned { version, value })
}
