//! The purchase log goes in through gRPC, and the figures that come out are those of the demo.

use std::sync::Arc;
use std::time::Duration;

use api::loyalty::v1::GetProgramSummaryRequest;
use asterism::demo::client::{Addresses, Clients};
use asterism::demo::{TODAY, cdnow, load, report, survey};
use common::config::{DatabaseConfig, ServerConfig};
use common::time::StartedAt;
use journeys::process::Process;
use testkit::until;
use tokio::sync::OnceCell;
use tonic::Code;

use crate::suite::Suite;

/// Imports the log and returns the tables without the line on what was new. While a service is down
/// it does what any client does: it tries again.
async fn tables(clients: &Clients) -> String {
    let log = cdnow::read(None).expect("the sample is built in");
    let loaded = loop {
        match load::load(clients, &log).await {
            Ok(loaded) => break loaded,
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    survey::run(clients, &log)
        .await
        .expect("the survey can be held");
    let report = report::report(clients, &log, &loaded)
        .await
        .expect("every figure is there");
    let start = report
        .find("Customer profiles")
        .expect("it is the first table");
    report[start..].to_owned()
}

/// The tables of the all-in-one with its SQLite files, made once: what the demo prints.
async fn demo_tables() -> &'static str {
    static TABLES: OnceCell<String> = OnceCell::const_new();
    TABLES.get_or_init(make_demo_tables).await
}

async fn make_demo_tables() -> String {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let config = asterism::suite::SuiteConfig {
        server: ServerConfig::on_free_ports(),
        database: DatabaseConfig {
            data: folder.path().into(),
            ..DatabaseConfig::default()
        },
        ..asterism::suite::SuiteConfig::default()
    };
    let clock = Arc::new(StartedAt::new(TODAY));
    let suite = asterism::suite::Suite::start(&config, clock)
        .await
        .expect("it starts");
    let address = Addresses::all_at(&format!("http://{}", suite.api));
    let clients = Clients::connect(&address, None).expect("the address is well formed");
    let tables = tables(&clients).await;
    suite.stop().await.expect("it stops");
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_come_to_the_figures_of_the_demo() {
    let suite = Suite::start().await;
    let clients = suite.clients();
    let figures = tables(&clients).await;
    for figure in ["2,357", "6,919", "244,091.94"] {
        assert!(figures.contains(figure), "{figure} is missing:\n{figures}");
    }
    assert_same_lines(&figures, demo_tables().await);

    assert_eq!(
        tables(&clients).await,
        figures,
        "importing twice changes nothing"
    );
    for mut service in suite.services {
        assert_eq!(service.terminate(), Some(0), "SIGTERM is an orderly end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_killed_during_the_import_lose_and_double_nothing() {
    let mut suite = Suite::start().await;
    let clients = suite.clients();
    let import = tokio::spawn({
        let clients = clients.clone();
        async move { tables(&clients).await }
    });
    // The consumers are behind, and in the middle of their work, while there are fewer members than this.
    wait_for_members(&clients, 1_000).await;
    let consumers = &mut suite.services[1..];
    consumers.iter_mut().for_each(Process::kill);
    consumers.iter_mut().for_each(Process::start_again);
    let figures = import.await.expect("the import outlives the kills");
    assert_same_lines(&figures, demo_tables().await);
}

/// Returns once so many customers have become members.
async fn wait_for_members(clients: &Clients, members: i64) {
    let request = GetProgramSummaryRequest {
        program_id: report::PROGRAM.to_owned(),
        as_of: Some(TODAY.into()),
    };
    let has_come = async || {
        let mut loyalty = clients.loyalty.clone();
        let summary = loyalty.get_program_summary(request.clone()).await;
        summary.is_ok_and(|summary| summary.into_inner().members >= members)
    };
    until("the members come", has_come).await;
}

/// Names the first line that differs: the whole tables are long.
#[track_caller]
fn assert_same_lines(left: &str, right: &str) {
    for (left, right) in left.lines().zip(right.lines()) {
        assert_eq!(left, right);
    }
    assert_eq!(left.lines().count(), right.lines().count());
}
