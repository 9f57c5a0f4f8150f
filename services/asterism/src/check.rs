//! Asks a running suite whether it works, as its callers would: over the network, with a token.
//!
//! Of each service it wants gRPC health under the service's own name, and the end of its feed: a call that needs a
//! token with the scope `feed.read`, which the services call each other with, and that reads the database.

use std::time::{Duration, Instant};

use api::feed::v1::GetHeadRequest;
use api::feed::v1::change_feed_service_client::ChangeFeedServiceClient;
use common::Error;
use common::client::{Peer, connect};
use common::config::duration;
use common::error::ErrorInfo;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::target::{Member, Target};

/// What to ask, and whom.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckConfig {
    /// The services to ask.
    #[command(flatten)]
    pub target: Target,
    /// Also asks this server for gRPC health and no more: the ops port, say. May be given several times.
    #[arg(long, value_name = "URL")]
    pub health: Vec<String>,
    /// An answer that takes longer is a failure.
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "10s")]
    pub timeout: Duration,
    /// Asks again, for so long, who does not answer as it should: services may be starting.
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "0s")]
    pub wait: Duration,
}

/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// One server and what is wanted of it.
struct Question<'a> {
    /// Who should be there; `None` asks for health alone.
    member: Option<Member>,
    address: &'a str,
    peer: Peer,
    timeout: Duration,
}

/// Asks all, prints an answer for each, and fails if any of them is not what it should be.
pub async fn run(config: &CheckConfig) -> Result<(), Error> {
    let questions = config.questions()?;
    let until = Instant::now() + config.wait;
    let mut failed = 0;
    for question in &questions {
        let name = question.member.map_or("health", |member| member.feed);
        match question.ask_until(until).await {
            Ok(answer) => println!("ok      {name} at {}: {answer}", question.address),
            Err(trouble) => {
                failed += 1;
                println!("FAILED  {name} at {}: {trouble}", question.address);
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    let asked = questions.len();
    Err(Error::Internal(format!(
        "{failed} of {asked} checks failed"
    )))
}

impl CheckConfig {
    fn questions(&self) -> Result<Vec<Question<'_>>, Error> {
        let client = self.target.client();
        let services = self.target.services();
        let services = services
            .into_iter()
            .map(|(member, address)| (Some(member), address));
        let health = self.health.iter().map(|address| (None, address.as_str()));
        let all = services.chain(health).map(|(member, address)| {
            Ok(Question {
                member,
                address,
                peer: connect(address, &client)?,
                timeout: self.timeout,
            })
        });
        let all: Vec<_> = all.collect::<Result<_, Error>>()?;
        if all.is_empty() {
            return Err(Error::Config(
                "nothing to check: set --address, --peer-customer and the like, or --health"
                    .to_owned(),
            ));
        }
        Ok(all)
    }
}

impl Question<'_> {
    async fn ask_until(&self, until: Instant) -> Result<String, String> {
        loop {
            let answer = self.ask().await;
            if answer.is_ok() || Instant::now() >= until {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self) -> Result<String, String> {
        let Some(member) = self.member else {
            self.health("").await?;
            return Ok("serving".to_owned());
        };
        self.health(member.grpc).await?;
        let position = self.head(member.feed).await;
        let position = position.map_err(|status| explain(&status))?;
        Ok(format!("serving, its feed ends at {position}"))
    }

    async fn health(&self, name: &str) -> Result<(), String> {
        let request = self.request(HealthCheckRequest {
            service: name.to_owned(),
        });
        let answer = HealthClient::new(self.peer.clone()).check(request).await;
        let status = answer.map_err(|status| match status.code() {
            Code::NotFound => format!("another server answers: it knows no {name}"),
            _ => explain(&status),
        })?;
        match status.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => Err(format!("its health is {}", other.as_str_name())),
        }
    }

    async fn head(&self, service: &str) -> Result<String, Status> {
        let request = self.request(GetHeadRequest {
            source: service.to_owned(),
        });
        let mut feed = ChangeFeedServiceClient::new(self.peer.clone());
        Ok(feed.get_head(request).await?.into_inner().position)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}

/// A status for whoever has to mend it.
fn explain(status: &Status) -> String {
    let info = ErrorInfo::of(status);
    let hint = match info.reason.as_str() {
        "TOKEN_MISSING" => "; name a token with --peer-token-file",
        "MISSING_SCOPE" => "; the token needs the scope feed.read",
        _ => "",
    };
    let code = format!("{:?}", status.code());
    let reason = if info.reason.is_empty() {
        &code
    } else {
        &info.reason
    };
    format!("{reason}: {}{hint}", status.message())
}
