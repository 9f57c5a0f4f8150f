//! Who is calling. The server's authentication layer sets it for the time of a call.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, LazyLock};

use tonic::{Code, Status};

use crate::error::Refusal;

tokio::task_local! {
    static IDENTITY: Identity;
}

/// A caller and what it may do. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token's subject; `anonymous` where there is no authentication and outside of calls.
    pub subject: Arc<str>,
    /// What the caller may do.
    pub scopes: Scopes,
}

/// The scopes that a caller holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// Everything: a server without authentication, which is reachable over loopback only.
    All,
    /// These and no others.
    Only(Arc<BTreeSet<String>>),
}

impl Identity {
    /// A caller with exactly these scopes.
    pub fn new(subject: &str, scopes: impl IntoIterator<Item = String>) -> Self {
        let scopes = Scopes::Only(Arc::new(scopes.into_iter().collect()));
        Self {
            subject: subject.into(),
            scopes,
        }
    }

    /// The caller of a server without authentication.
    pub fn unchecked() -> Self {
        static ANYBODY: LazyLock<Arc<str>> = LazyLock::new(|| "anonymous".into());
        Self {
            subject: Arc::clone(&ANYBODY),
            scopes: Scopes::All,
        }
    }

    /// Whether the caller may do what `scope` stands for.
    pub fn may(&self, scope: &str) -> bool {
        match &self.scopes {
            Scopes::All => true,
            Scopes::Only(scopes) => scopes.contains(scope),
        }
    }
}

/// Refuses the current caller unless it may do what `scope` stands for.
pub fn require(scope: &str) -> Result<(), Status> {
    if current().may(scope) {
        Ok(())
    } else {
        Err(missing(scope))
    }
}

/// The refusal of a caller who lacks a scope.
pub(crate) fn missing(scope: &str) -> Status {
    let message = format!("scope {scope} is required");
    let refusal = Refusal::new(Code::PermissionDenied, "MISSING_SCOPE", message);
    refusal.with("scope", scope).into_status()
}

/// The caller of the current call; outside of calls `anonymous`, who may do nothing.
pub fn current() -> Identity {
    IDENTITY
        .try_with(Clone::clone)
        .unwrap_or_else(|_| Identity::new("anonymous", []))
}

/// Runs `work` as part of a call by `identity`. Spawned tasks do not inherit it: carry [`current`]
/// into them.
pub async fn scope<F: Future>(identity: Identity, work: F) -> F::Output {
    IDENTITY.scope(identity, work).await
}
