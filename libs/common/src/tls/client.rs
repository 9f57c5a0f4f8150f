//! Connections to other services.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tower::Service;

use super::{H2, Pair, authorities, provider};
use crate::config::Reread;
use crate::error::Error;
use crate::telemetry::metrics;

const HTTPS_PORT: u16 = 443;

/// Makes connections as the files say at that moment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    current: Arc<Reread<Arc<ClientConfig>>>,
    /// Whom the other side must prove to be, if not the host of its address.
    name: Option<ServerName<'static>>,
}

impl Connector {
    /// Believes certificates of the authorities in a file, and shows a certificate (file and key) if there is one.
    pub fn open(
        authorities_file: PathBuf,
        pair: Option<(PathBuf, PathBuf)>,
        name: Option<&str>,
    ) -> Result<Self, Error> {
        let mut files = vec![authorities_file];
        files.extend(
            pair.into_iter()
                .flat_map(|(certificate, key)| [certificate, key]),
        );
        let current = Reread::open_all("peer-tls", files, |texts| {
            let pair = texts.get(1).zip(texts.get(2));
            parse(&texts[0], pair)
        })?;
        let name = name.map(|name| server_name(name).map_err(Error::Config));
        Ok(Self {
            current: Arc::new(current),
            name: name.transpose()?,
        })
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned())
        .map_err(|error| format!("{host:?} is no name of a server: {error}"))
}

fn parse(ca: &str, pair: Option<(&String, &String)>) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(authorities(ca)?);
    let mut config = match pair {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let pair = Pair::parse(certificate, key)?;
            let config = builder
                .with_client_auth_cert(pair.chain, pair.key)
                .map_err(|error| error.to_string())?;
            metrics::certificate_expires("client", pair.expires);
            config
        }
    };
    config.alpn_protocols = vec![H2.to_vec()];
    Ok(Arc::new(config))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The endpoint's connect timeout is the bound of all this.
    fn call(&mut self, uri: Uri) -> Self::Future {
        let (config, name) = (self.current.get(), self.name.clone());
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let name = name
                .map_or_else(|| server_name(host), Ok)
                .map_err(io::Error::other)?;
            let address = (
                host.trim_start_matches('[').trim_end_matches(']'),
                uri.port_u16().unwrap_or(HTTPS_PORT),
            );
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Ok(TokioIo::new(stream))
        })
    }
}
