//! The four services as they run in production.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use asterism::demo::TODAY;
use asterism::demo::client::{Addresses, Clients};
use journeys::process::{Launch, Process, free_address, run};
use journeys::token;
use testkit::PostgresDatabase;

/// Program and name of the feed of each service, in the order in which they are started.
const SERVICES: [(&str, &str); 4] = [
    ("customer-profile", "customer"),
    ("loyalty-points", "loyalty"),
    ("segmentation", "segmentation"),
    ("feedback", "feedback"),
];

/// Four processes, four databases, one Redis.
pub struct Suite {
    /// The services, in the order of their start: customer, loyalty, segmentation, feedback.
    pub services: Vec<Process>,
    /// Where keys and tokens are.
    pub folder: tempfile::TempDir,
    // Outlive the services that use them.
    _databases: Vec<PostgresDatabase>,
    _redis: testkit::RedisServer,
}

impl Suite {
    /// Migrates four empty databases and starts the services on them.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let redis = testkit::redis().await;
        let addresses: Vec<SocketAddr> = SERVICES.iter().map(|_| free_address()).collect();
        let shared = shared_settings(folder.path(), &addresses, &redis.url);
        let mut services = Vec::new();
        let mut databases = Vec::new();
        for ((program, _), api) in SERVICES.into_iter().zip(addresses) {
            let database = PostgresDatabase::empty().await;
            let mut arguments = shared.clone();
            arguments.push(format!("--database-url={}", database.url()));
            let migrate = arguments.iter().cloned().chain(["migrate".to_owned()]);
            run(program, migrate);
            let folder = folder.path();
            services.push(Process::start(Launch {
                program,
                api,
                arguments,
                folder,
            }));
            databases.push(database);
        }
        Self {
            services,
            folder,
            _databases: databases,
            _redis: redis,
        }
    }

    /// Clients with a token that may do everything.
    pub fn clients(&self) -> Clients {
        let token = token::token_file(self.folder.path(), "platform-team", token::all_scopes());
        self.clients_with(Some(token))
    }

    /// Clients with a token of the test's choice.
    pub fn clients_with(&self, token_file: Option<PathBuf>) -> Clients {
        let url = |service: usize| format!("http://{}", self.services[service].api);
        let addresses = Addresses {
            customer: url(0),
            loyalty: url(1),
            segmentation: url(2),
            feedback: url(3),
        };
        Clients::connect(&addresses, token_file).expect("addresses and tokens are well formed")
    }
}

fn shared_settings(folder: &Path, addresses: &[SocketAddr], redis: &str) -> Vec<String> {
    // Services read each other's feeds, and no more.
    let peer_token = token::token_file(folder, "services", ["feed.read"]);
    let mut settings = vec![
        format!("--redis-url={redis}"),
        format!("--auth-jwks-file={}", token::key_set(folder).display()),
        format!("--auth-issuer={}", token::ISSUER),
        format!("--auth-audience={}", token::AUDIENCE),
        format!("--peer-token-file={}", peer_token.display()),
        format!("--clock-start={TODAY}"),
    ];
    for ((_, source), address) in SERVICES.iter().zip(addresses) {
        settings.push(format!("--peer-{source}=http://{address}"));
    }
    settings
}
