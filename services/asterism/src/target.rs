//! A suite that runs already, and where.

use api::customer::v1::customer_profile_service_server;
use api::feedback::v1::survey_service_server;
use api::loyalty::v1::loyalty_service_server;
use api::segmentation::v1::segmentation_service_server;
use common::Error;
use common::client::ClientConfig;
use common::config::PeersConfig;

use crate::demo::client::Addresses;

/// One of the four services.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Name of its feed.
    pub feed: &'static str,
    /// A gRPC service that it alone has.
    pub grpc: &'static str,
}

/// All four, in the order in which they are spoken of.
const MEMBERS: [Member; 4] = [
    Member {
        feed: "customer",
        grpc: customer_profile_service_server::SERVICE_NAME,
    },
    Member {
        feed: "loyalty",
        grpc: loyalty_service_server::SERVICE_NAME,
    },
    Member {
        feed: "segmentation",
        grpc: segmentation_service_server::SERVICE_NAME,
    },
    Member {
        feed: "feedback",
        grpc: survey_service_server::SERVICE_NAME,
    },
];

/// Where a running suite is, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// Address of all four services, where they run as one.
    #[arg(long, value_name = "URL")]
    #[arg(conflicts_with_all = ["peer_customer", "peer_segmentation", "peer_loyalty", "peer_feedback"])]
    pub address: Option<String>,
    /// Addresses of the services, where they run apart, and the token.
    #[command(flatten)]
    pub peers: PeersConfig,
}

impl Target {
    /// The services that were named, each with its address.
    pub fn services(&self) -> Vec<(Member, &str)> {
        let address = |feed| self.address.as_deref().or(self.peers.address(feed));
        let named = MEMBERS.into_iter();
        named
            .filter_map(|member| Some((member, address(member.feed)?)))
            .collect()
    }

    /// The addresses of all four; refused when one was not named.
    pub fn all(&self) -> Result<Addresses, Error> {
        let named = self.services();
        let address = |service: &str| {
            let found = named.iter().find(|(member, _)| member.feed == service);
            let found = found.map(|(_, address)| (*address).to_owned());
            found.ok_or_else(|| {
                let flag = format!("set --address, or --peer-{service} and the others");
                Error::Config(format!(
                    "the address of the {service} service is missing: {flag}"
                ))
            })
        };
        Ok(Addresses {
            customer: address("customer")?,
            loyalty: address("loyalty")?,
            segmentation: address("segmentation")?,
            feedback: address("feedback")?,
        })
    }

    /// How they are called.
    pub fn client(&self) -> ClientConfig {
        ClientConfig::from(&self.peers.access)
    }
}
