//! The tables of the demo: everything in them is asked for over gRPC after the services caught up.

mod examples;
mod money;
mod table;

use api::customer::v1 as customer;
use api::feedback::v1 as feedback;
use api::loyalty::v1 as loyalty;
use api::segmentation::v1 as segmentation;
use common::time::Timestamp;
use tokio::task::JoinSet;
use tonic::Status;

use super::TODAY;
use super::cdnow::Log;
use super::client::Clients;
use super::load::Loaded;
use money::dollars;
use table::{percent, table};

/// Summaries asked for at once.
const AT_ONCE: usize = 16;
/// The window that the default rating model looks at.
const RATED_DAYS: i64 = 365;
/// The program that every customer is in.
pub const PROGRAM: &str = "default";

/// All tables, as text. Apart from the first line, two runs on one folder print the same.
pub async fn report(clients: &Clients, log: &Log, loaded: &Loaded) -> Result<String, Status> {
    let text = purchases(clients, log, loaded).await?;
    let survey = section("NPS of the scripted survey", &nps(clients).await?);
    Ok(text + &survey)
}

/// The tables that follow from the purchases alone.
pub async fn purchases(clients: &Clients, log: &Log, loaded: &Loaded) -> Result<String, Status> {
    rate(clients).await?;
    let mut text = format!(
        "New in this run: {} customers, {} purchases. Already there: {} customers, {} purchases.\n",
        loaded.customers_new, loaded.purchases_new, loaded.customers_known, loaded.purchases_known,
    );
    for (title, section) in [
        ("Customer profiles", profiles(clients, log).await?),
        ("Loyalty points and tiers", points(clients).await?),
        (
            "RFM grid: customers by recency (rows, 5 = bought lately) and frequency",
            rfm(clients).await?,
        ),
        ("Star rating: what each star holds", stars(clients).await?),
        ("Example customers", examples::examples(clients).await?),
    ] {
        text += &self::section(title, &section);
    }
    Ok(text)
}

fn section(title: &str, table: &str) -> String {
    format!("\n{title}\n{table}\n")
}

/// The day the tables are about.
pub(super) fn today() -> prost_types::Timestamp {
    TODAY.into()
}

/// Freezes the reference that stars are measured against, and scores everybody.
async fn rate(clients: &Clients) -> Result<(), Status> {
    let mut client = clients.segmentation.clone();
    let reference = segmentation::BuildReferenceRequest {
        as_of: Some(today()),
        ..Default::default()
    };
    client.build_reference(reference).await?;
    let rfm = segmentation::ComputeRfmRequest {
        as_of: Some(today()),
        ..Default::default()
    };
    client.compute_rfm(rfm).await?;
    Ok(())
}

/// Adds up what customer-profile says of each customer, in integers.
async fn profiles(clients: &Clients, log: &Log) -> Result<String, Status> {
    let mut ids = log.customer_ids().into_iter();
    let mut asked = JoinSet::new();
    let (mut customers, mut purchases, mut micros) = (0, 0, 0);
    loop {
        while asked.len() < AT_ONCE {
            let Some(customer_id) = ids.next() else { break };
            let mut client = clients.customers.clone();
            asked.spawn(async move {
                let request = customer::GetCustomerSummaryRequest {
                    customer_id,
                    ..Default::default()
                };
                client.get_customer_summary(request).await
            });
        }
        let Some(answer) = asked.join_next().await else {
            break;
        };
        let answer = answer
            .map_err(|error| Status::internal(error.to_string()))??
            .into_inner();
        let summary = answer.summary.unwrap_or_default();
        customers += 1;
        purchases += summary.transaction_count;
        micros += summary
            .spend
            .iter()
            .filter_map(|s| s.amount.as_ref())
            .map(|m| m.micros)
            .sum::<i64>();
    }
    Ok(table(
        &["customers", "purchases", "spend"],
        [vec![
            grouped(customers),
            grouped(purchases),
            dollars(micros),
        ]],
    ))
}

async fn points(clients: &Clients) -> Result<String, Status> {
    let request = loyalty::GetProgramSummaryRequest {
        program_id: PROGRAM.to_owned(),
        as_of: Some(today()),
    };
    let summary = clients
        .loyalty
        .clone()
        .get_program_summary(request)
        .await?
        .into_inner();
    let totals = table(
        &["members", "points outstanding", "pending", "debt"],
        [vec![
            grouped(summary.members),
            grouped(summary.points_outstanding),
            grouped(summary.points_pending),
            grouped(summary.points_debt),
        ]],
    );
    let tiers = summary.tiers.iter().map(|tier| {
        vec![
            tier.tier.clone(),
            grouped(tier.members),
            percent(tier.members, summary.members),
        ]
    });
    Ok(format!(
        "{totals}\n{}",
        table(&["tier", "members", "share"], tiers)
    ))
}

async fn rfm(clients: &Clients) -> Result<String, Status> {
    let request = segmentation::GetRfmGridRequest {
        as_of: Some(today()),
        ..Default::default()
    };
    let grid = clients
        .segmentation
        .clone()
        .get_rfm_grid(request)
        .await?
        .into_inner();
    let customers = |recency: i32, frequency: i32| -> i64 {
        let cell = |cell: &&segmentation::RfmCell| {
            cell.recency_score == recency && cell.frequency_score == frequency
        };
        grid.cells
            .iter()
            .filter(cell)
            .map(|cell| cell.customers)
            .sum()
    };
    let rows = (1..=5).rev().map(|recency| {
        let cells = (1..=5).map(|frequency| grouped(customers(recency, frequency)));
        std::iter::once(format!("R{recency}"))
            .chain(cells)
            .collect()
    });
    Ok(table(&["", "F1", "F2", "F3", "F4", "F5"], rows))
}

async fn stars(clients: &Clients) -> Result<String, Status> {
    let rated = distribution(clients, RATED_DAYS).await?;
    let ever = distribution(clients, 0).await?;
    let spend = |bucket: &segmentation::StarBucket| bucket.spend.as_ref().map_or(0, |m| m.micros);
    let rows = rated
        .buckets
        .iter()
        .zip(&ever.buckets)
        .map(|(rated_days, ever_bucket)| {
            vec![
                table::stars(rated_days.stars),
                grouped(rated_days.customers),
                percent(rated_days.customers, rated.customers),
                dollars(spend(rated_days)),
                percent(rated_days.spend_share_basis_points, 10_000),
                dollars(spend(ever_bucket)),
                percent(ever_bucket.spend_share_basis_points, 10_000),
            ]
        });
    Ok(table(
        &[
            "stars",
            "customers",
            "share",
            "spend in 365 days",
            "share",
            "spend ever",
            "share",
        ],
        rows,
    ))
}

async fn distribution(
    clients: &Clients,
    window_days: i64,
) -> Result<segmentation::GetStarDistributionResponse, Status> {
    let request = segmentation::GetStarDistributionRequest {
        as_of: Some(today()),
        window_days,
    };
    Ok(clients
        .segmentation
        .clone()
        .get_star_distribution(request)
        .await?
        .into_inner())
}

async fn nps(clients: &Clients) -> Result<String, Status> {
    let mut client = clients.surveys.clone();
    let surveys = client
        .list_surveys(feedback::ListSurveysRequest::default())
        .await?
        .into_inner();
    let survey_id = surveys
        .surveys
        .into_iter()
        .next()
        .unwrap_or_default()
        .survey_id;
    let request = feedback::GetMetricRequest {
        survey_id,
        ..Default::default()
    };
    let metric = client
        .get_metric(request)
        .await?
        .into_inner()
        .metric
        .unwrap_or_default();
    let Some(feedback::metric::Groups::Nps(groups)) = metric.groups else {
        return Err(Status::internal("the survey's metric is not an NPS"));
    };
    let interval = metric.interval.unwrap_or_default();
    let number = |value: Option<f64>| value.map_or("absent".to_owned(), |v| format!("{v:.1}"));
    Ok(table(
        &[
            "responses",
            "promoters",
            "passives",
            "detractors",
            "NPS",
            "95 % interval",
        ],
        [vec![
            grouped(metric.responses),
            grouped(groups.promoters),
            grouped(groups.passives),
            grouped(groups.detractors),
            number(metric.value),
            format!("{:.1} to {:.1}", interval.low, interval.high),
        ]],
    ))
}

/// A count with a comma between thousands.
pub(super) fn grouped(number: i64) -> String {
    money::grouped(number)
}

/// A day of a timestamp.
pub(super) fn day(time: Option<&prost_types::Timestamp>) -> String {
    let time = time.and_then(|time| Timestamp::try_from(time).ok());
    time.map_or("never".to_owned(), |time| {
        time.to_chrono().date_naive().to_string()
    })
}
