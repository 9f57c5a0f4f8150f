//! Whether the server wants calls, as gRPC health and for HTTP probes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// Readiness of a server, by service and as a whole. Clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    reporter: HealthReporter,
    names: Arc<[String]>,
    serving: Arc<AtomicBool>,
    reason: Arc<Mutex<String>>,
}

impl Health {
    /// Not serving yet.
    pub(super) async fn new(names: Vec<String>) -> Self {
        let health = Self {
            reporter: HealthReporter::new(),
            names: names.into(),
            serving: Arc::default(),
            reason: Arc::default(),
        };
        health.set_serving(false).await;
        health
    }

    /// Whether load balancers should send calls here.
    pub fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    /// Why it is not serving; empty where there is nothing to say.
    pub(super) fn reason(&self) -> String {
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone()
    }

    /// Says why it is not serving, for people.
    pub(super) fn set_reason(&self, text: String) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// Tells load balancers whether to send calls here.
    pub async fn set_serving(&self, serving: bool) {
        self.serving.store(serving, Ordering::Relaxed);
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in std::iter::once("").chain(self.names.iter().map(String::as_str)) {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// The gRPC health service.
    pub(super) fn routes(&self) -> Router {
        let service = HealthService::from_health_reporter(self.reporter.clone());
        Routes::new(HealthServer::new(service)).into_axum_router()
    }
}
