//! Sends the log through the streaming imports, as a platform team's client would.

use std::time::Duration;

use api::customer::v1 as pb;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::cdnow::{Log, customer_row, transaction_row};
use super::client::Clients;

/// Rows in one message: one database transaction at the other end.
const CHUNK: usize = 500;

/// What the imports answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Customers that were new.
    pub customers_new: u64,
    /// Customers that were there already.
    pub customers_known: u64,
    /// Purchases that were new.
    pub purchases_new: u64,
    /// Purchases that were there already.
    pub purchases_known: u64,
}

/// Imports customers, then purchases, then waits for the other services.
pub async fn load(clients: &Clients, log: &Log) -> Result<Loaded, Status> {
    let mut loaded = Loaded::default();
    import_customers(clients, log, &mut loaded).await?;
    import_purchases(clients, log, &mut loaded).await?;
    let waiting =
        ProgressBar::new_spinner().with_message("waiting for the other services to catch up");
    waiting.enable_steady_tick(Duration::from_millis(100));
    clients.caught_up().await?;
    waiting.finish_with_message("points, features and known customers are up to date");
    Ok(loaded)
}

async fn import_customers(clients: &Clients, log: &Log, loaded: &mut Loaded) -> Result<(), Status> {
    let ids = log.customer_ids();
    let rows: Vec<_> = (1..)
        .zip(&ids)
        .map(|(row, id)| customer_row(row, id))
        .collect();
    let chunks: Vec<_> = rows
        .chunks(CHUNK)
        .map(|rows| pb::ImportCustomersRequest {
            rows: rows.to_vec(),
        })
        .collect();
    let bar = bar("customers", ids.len());
    let requests = tokio_stream::iter(chunks);
    let mut answers = clients
        .customers
        .clone()
        .import_customers(requests)
        .await?
        .into_inner();
    while let Some(answer) = answers.next().await {
        for outcome in answer?.outcomes {
            match outcome.status() {
                pb::ImportStatus::Created => loaded.customers_new += 1,
                pb::ImportStatus::Updated | pb::ImportStatus::Unchanged => {
                    loaded.customers_known += 1;
                }
                pb::ImportStatus::Refused | pb::ImportStatus::Unspecified => {
                    return Err(refused("customer", outcome.row, &outcome.reason));
                }
            }
            bar.inc(1);
        }
    }
    bar.finish();
    Ok(())
}

async fn import_purchases(clients: &Clients, log: &Log, loaded: &mut Loaded) -> Result<(), Status> {
    let rows: Vec<_> = log.purchases.iter().map(transaction_row).collect();
    let chunks: Vec<_> = rows
        .chunks(CHUNK)
        .map(|rows| pb::ImportTransactionsRequest {
            rows: rows.to_vec(),
        })
        .collect();
    let bar = bar("purchases", rows.len());
    let requests = tokio_stream::iter(chunks);
    let mut answers = clients
        .customers
        .clone()
        .import_transactions(requests)
        .await?
        .into_inner();
    while let Some(answer) = answers.next().await {
        for row in answer?.outcomes {
            let outcome = row.outcome.unwrap_or_default();
            match outcome.status() {
                pb::RecordStatus::Recorded => loaded.purchases_new += 1,
                pb::RecordStatus::AlreadyRecorded => loaded.purchases_known += 1,
                pb::RecordStatus::Conflict
                | pb::RecordStatus::Refused
                | pb::RecordStatus::Unspecified => {
                    return Err(refused("purchase", row.row, &outcome.reason));
                }
            }
            bar.inc(1);
        }
    }
    bar.finish();
    Ok(())
}

fn refused(what: &str, row: i64, reason: &str) -> Status {
    Status::failed_precondition(format!("{what} in row {row} was refused: {reason}"))
}

fn bar(what: &'static str, len: usize) -> ProgressBar {
    let template = "{msg:>10} [{bar:40}] {pos}/{len} {per_sec} {elapsed}";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let len = u64::try_from(len).expect("a length fits 64 bits");
    ProgressBar::new(len)
        .with_style(style.progress_chars("=> "))
        .with_message(what)
}
