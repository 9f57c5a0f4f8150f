//! Which keys changed: told by pushes of Redis and by writes of this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use tokio::sync::watch;

/// What all our Redis keys begin with.
pub(super) const PREFIX: &str = "asterism:";

/// Names one session of connections to Redis, counted from 1.
pub(super) type SessionId = u32;

/// While the stamp stays the same, no invalidation was missed and nothing was flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp(u64);

/// An L1 cache that must forget keys.
pub(super) trait Listener: Send + Sync {
    /// `key` is the name without the cache's prefix.
    fn changed(&self, key: &str);
    /// Gives memory back; entries of another stamp are void anyway.
    fn all_changed(&self);
}

/// An L1 cache and the prefix of its keys in Redis.
type Subscriber = (Arc<str>, Weak<dyn Listener>);

/// Spreads invalidations to all caches of a backend.
pub(super) struct Tracking {
    /// Session in the upper half, flushes seen by it (from 1) in the lower; 0 while off.
    stamp: AtomicU64,
    listeners: RwLock<Vec<Subscriber>>,
    online: watch::Sender<bool>,
}

impl Tracking {
    pub fn new() -> Self {
        Self {
            stamp: AtomicU64::new(0),
            listeners: RwLock::default(),
            online: watch::Sender::new(false),
        }
    }

    /// Adds a cache whose Redis keys begin with `prefix`.
    pub fn listen(&self, prefix: Arc<str>, listener: &Arc<dyn Listener>) {
        let mut listeners = self
            .listeners
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|(_, listener)| listener.strong_count() > 0);
        listeners.push((prefix, Arc::downgrade(listener)));
    }

    /// `None` while invalidations are not received.
    pub fn stamp(&self) -> Option<Stamp> {
        let stamp = self.stamp.load(Ordering::SeqCst);
        (stamp != 0).then_some(Stamp(stamp))
    }

    pub fn online(&self) -> watch::Receiver<bool> {
        self.online.subscribe()
    }

    /// From now on every change is heard by this session.
    pub fn on(&self, session: SessionId) {
        self.stamp
            .store((u64::from(session) << 32) | 1, Ordering::SeqCst);
        self.announce();
    }

    /// Changes are no longer heard by this session. Late news of an earlier session has no effect.
    pub fn off(&self, session: SessionId) {
        if self.update(session, |_| 0) {
            self.announce();
            self.for_each(|_, listener| listener.all_changed());
        }
    }

    /// All of Redis was emptied.
    pub fn flushed(&self, session: SessionId) {
        if self.update(session, |stamp| stamp + 1) {
            self.for_each(|_, listener| listener.all_changed());
        }
    }

    /// One key changed.
    pub fn changed(&self, redis_key: &str) {
        self.for_each(|prefix, listener| {
            if let Some(key) = redis_key.strip_prefix(prefix) {
                listener.changed(key);
            }
        });
    }

    /// Reads the stamp under the channel's lock, so that the last announcement is the right one.
    fn announce(&self) {
        self.online
            .send_modify(|online| *online = self.stamp().is_some());
    }

    fn update(&self, session: SessionId, next: impl Fn(u64) -> u64) -> bool {
        let ours = |stamp: u64| stamp >> 32 == u64::from(session);
        let change = |stamp: u64| ours(stamp).then(|| next(stamp));
        self.stamp
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, change)
            .is_ok()
    }

    fn for_each(&self, act: impl Fn(&str, &dyn Listener)) {
        let listeners = self
            .listeners
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        for (prefix, listener) in listeners.iter() {
            if let Some(listener) = listener.upgrade() {
                act(prefix, listener.as_ref());
            }
        }
    }
}
