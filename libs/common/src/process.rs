//! The main function of a service: settings, telemetry, database, ports, and a polite end.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use futures::future::{FutureExt as _, OptionFuture};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::cache::{CacheBackend, RedisOptions};
use crate::config::{
    AuthConfig, DatabaseConfig, PeersConfig, RedisConfig, ServerConfig, TelemetryConfig,
    refuse_unknown,
};
use crate::error::Error;
use crate::feed::Position;
use crate::ids::Ids;
use crate::platform::{Platform, PlatformOptions};
use crate::server::{self, Drain, Serve, Unready};
use crate::service::{Assembly, Running, Service};
use crate::telemetry;
use crate::time::{Clock, StartedAt, SystemClock, Timestamp};

/// Exit code for settings that make no sense (`EX_USAGE`).
const BAD_CONFIG: u8 = 64;

/// After so many tasks of its own a thread looks for one that was woken from outside. SQLite answers from threads of its
/// own: when a batch of postings has been committed, whoever leads the next one would stand behind all who are told of it.
const OTHERS_TURN: u32 = 8;

/// Settings of a service that runs as a process of its own.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    about = "One service of the Asterism suite, as a process of its own."
)]
struct Cli<C: clap::Args> {
    #[command(flatten)]
    server: ServerConfig,
    #[command(flatten)]
    auth: AuthConfig,
    #[command(flatten)]
    database: DatabaseConfig,
    #[command(flatten)]
    redis: RedisConfig,
    #[command(flatten)]
    peers: PeersConfig,
    #[command(flatten)]
    telemetry: TelemetryConfig,
    #[command(flatten)]
    service: C,
    /// Starts the clock at this instant, like 1998-07-01T00:00:00Z, instead of the present: for
    /// rehearsals on old data.
    #[arg(long, env = "ASTERISM_CLOCK_START", value_parser = instant, value_name = "TIME")]
    clock_start: Option<Timestamp>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Brings the database schema up to date, then exits.
    Migrate,
    /// Looks after the change feed.
    Feed {
        #[command(subcommand)]
        command: FeedCommand,
    },
}

/// What can be done to a change feed while its service does not run.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum FeedCommand {
    /// Tells readers that the database was restored from a backup: positions of before are refused from now on, and
    /// the refusal says where to resume. Run it after the restore and before the service writes again.
    NewEpoch,
}

/// Runs one service until it is told to stop. With `migrate`, brings its schema up to date instead.
pub fn main<S: Service>() -> ExitCode {
    match parse::<Cli<S::Config>>(S::NAME) {
        Ok(cli) => exit_code(block_on(run::<S>(cli))),
        Err(exit) => exit,
    }
}

/// Settings from flags and variables. `Err` is the code to exit with at once, after `--help` or after
/// the user was told what is wrong.
pub fn parse<P: Parser>(name: &'static str) -> Result<P, ExitCode> {
    let command = P::command().name(name);
    let matches = command.clone().try_get_matches();
    let settings = matches
        .and_then(|matches| P::from_arg_matches(&matches))
        .map_err(|answer| {
            // Nobody to tell when standard error is closed.
            let _ = answer.print();
            if answer.use_stderr() {
                ExitCode::from(BAD_CONFIG)
            } else {
                ExitCode::SUCCESS
            }
        })?;
    let variables = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    refuse_unknown(&command, variables).map_err(|error| exit_code(Err(error)))?;
    Ok(settings)
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let time = chrono::DateTime::parse_from_rfc3339(text);
    let time =
        time.map_err(|_| format!("{text:?} is not a time: write it like 1998-07-01T00:00:00Z"))?;
    Ok(time.to_utc().into())
}

/// Tells the user what went wrong, and the parent process whether the settings were to blame.
pub fn exit_code(outcome: Result<(), Error>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    eprintln!("error: {error}");
    match error {
        Error::Config(_) => ExitCode::from(BAD_CONFIG),
        _ => ExitCode::FAILURE,
    }
}

/// Runs to its end what a program does, on the runtime that all programs of the suite run on.
pub fn block_on<F: Future>(main: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .global_queue_interval(OTHERS_TURN)
        .build();
    runtime
        .expect("threads and a poller can be had")
        .block_on(main)
}

/// Completes on Ctrl-C or SIGTERM. A second one ends the process without farewell.
pub async fn stopped() {
    signalled().await;
    tokio::spawn(async {
        signalled().await;
        std::process::exit(130);
    });
}

async fn signalled() {
    let why = "the runtime can listen to signals";
    let mut terminate = signal(SignalKind::terminate()).expect(why);
    let mut interrupt = signal(SignalKind::interrupt()).expect(why);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn run<S: Service>(cli: Cli<S::Config>) -> Result<(), Error> {
    let _guard = telemetry::init(&cli.telemetry, S::NAME)?;
    match cli.command {
        None => serve::<S>(cli).await,
        Some(Command::Migrate) => migrate::<S>(&cli).await,
        Some(Command::Feed {
            command: FeedCommand::NewEpoch,
        }) => begin_epoch::<S>(&cli).await,
    }
}

/// A port opens last, when nothing is left that can be wrong with the settings. While the schema is too old the
/// process waits for whoever migrates it, unready, and nothing but the ops port answers.
async fn serve<S: Service>(cli: Cli<S::Config>) -> Result<(), Error> {
    let authenticator = Authenticator::from_config(&cli.auth)?;
    server::check(&cli.server, authenticator.is_some())?;
    let platform = connect::<S>(&cli, false).await?;
    let drain = Drain::new();
    let mut assembly = Assembly::new(cli.peers.clone(), drain.clone());
    assembly.add::<S>(&cli.service, &platform)?;
    let assembled = assembly.assemble();
    let bound = server::bind(cli.server, authenticator.is_some()).await?;
    let (api, ops) = (bound.api_addr(), bound.ops_addr());
    let serve = Serve {
        routes: assembled.routes,
        lookups: assembled.lookups,
        health_names: assembled.health_names,
        authenticator,
        drain,
    };
    let prepared = CancellationToken::new();
    let unready = Unready {
        reason: platform.outdated(),
        until: prepare::<S>(platform.clone(), prepared.clone()).boxed(),
    };
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(bound.serve_after(unready, serve, shutdown.clone()));
    let mut stopped = pin!(stopped());
    let background = tokio::select! {
        () = prepared.cancelled() => {
            tracing::info!(service = S::NAME, %api, %ops, "serving");
            let background = assembled.background.start();
            stopped.await;
            Some(background)
        }
        () = &mut stopped => None,
    };
    shutdown.cancel();
    let stop_background = OptionFuture::from(background.map(Running::stop));
    let (served, _) = tokio::join!(serving, stop_background);
    platform.db.close().await;
    served.map_err(|error| Error::Internal(format!("the server failed: {error}")))?
}

async fn prepare<S: Service>(platform: Platform, prepared: CancellationToken) {
    if !platform.prepare(S::migrations).await.unwrap_or(false) {
        tracing::warn!("{}; waiting", platform.outdated());
        platform.prepared(S::migrations).await;
    }
    prepared.cancel();
}

async fn migrate<S: Service>(cli: &Cli<S::Config>) -> Result<(), Error> {
    let platform = connect::<S>(cli, true).await?;
    platform.prepare(S::migrations).await?;
    platform.db.close().await;
    tracing::info!(service = S::NAME, "the schema is up to date");
    Ok(())
}

async fn begin_epoch<S: Service>(cli: &Cli<S::Config>) -> Result<(), Error> {
    let platform = connect::<S>(cli, false).await?;
    if !platform.prepare(S::migrations).await? {
        return Err(Error::Config(platform.outdated()));
    }
    let begins = platform.renew_feed_epoch().await?;
    platform.db.close().await;
    println!("{}", epoch_begun(S::NAME, &begins));
    Ok(())
}

/// What an operator is told of a new epoch.
pub fn epoch_begun(service: &str, begins: &Position) -> String {
    let Position { epoch, number, .. } = begins;
    format!("the feed of {service} begins epoch {epoch} after change {number}")
}

/// A SQLite file belongs to this process alone, so it is migrated right away.
async fn connect<S: Service>(cli: &Cli<S::Config>, migrate: bool) -> Result<Platform, Error> {
    let url = cli.database.url_for(S::NAME)?;
    let embedded = url.reveal().starts_with("sqlite:");
    let cache = match &cli.redis.redis_url {
        Some(url) if !migrate && cli.command.is_none() => {
            let options = RedisOptions {
                cluster: cli.redis.redis_cluster,
                ca_file: cli.redis.redis_ca_file.clone(),
                ..RedisOptions::default()
            };
            CacheBackend::redis_with(url.reveal(), options).await?
        }
        _ if embedded => CacheBackend::in_process(),
        _ => CacheBackend::without_news(),
    };
    let clock: Arc<dyn Clock> = match cli.clock_start {
        Some(start) => Arc::new(StartedAt::new(start)),
        None => Arc::new(SystemClock),
    };
    let options = PlatformOptions {
        database_url: url.reveal().to_owned(),
        database: cli.database.clone(),
        migrate: migrate || embedded,
        clock: clock.clone(),
        ids: Ids::new(clock),
        cache,
    };
    Platform::connect(S::NAME, S::migrations, options).await
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[derive(Clone, Debug, clap::Args)]
    struct NoSettings {}

    fn parse(args: &[&str]) -> Result<Cli<NoSettings>, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"service").chain(args))
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::<NoSettings>::command().debug_assert();
        assert!(parse(&[]).unwrap().command.is_none());
        assert!(matches!(
            parse(&["migrate"]).unwrap().command,
            Some(Command::Migrate)
        ));
    }

    #[test]
    fn unknown_and_contradictory_settings_are_refused() {
        for args in [
            &["--lisden", "127.0.0.1:1"][..],
            &["--listen", "everywhere"],
            &["--deadline", "30"],
            &["--auth-jwks-file", "keys.json"],
            &["--auth-issuer", "https://issuer.test"],
            &["--auth-algorithms", "none"],
            &["--redis-cluster"],
            &["--redis-ca-file", "ca.pem"],
            &["--tls-certificate-file", "tls.crt"],
            &["--tls-key-file", "tls.key"],
            &["--tls-client-ca-file", "ca.pem"],
            &["--tls-client-scopes-file", "scopes"],
            &[
                "--peer-certificate-file",
                "tls.crt",
                "--peer-key-file",
                "tls.key",
            ],
            &["--peer-ca-file", "ca.pem", "--peer-key-file", "tls.key"],
            &["--peer-tls-name", "asterism"],
            &["feed"],
            &["--database-url", "sqlite:a", "--database-url-file", "b"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let args = [
            "--database-url",
            "postgres://u:hunter2@db/x",
            "--redis-url",
            "redis://:hunter2@r",
        ];
        let shown = format!("{:?}", parse(&args).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
