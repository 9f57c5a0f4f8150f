//! The published figures of the R package rfm 0.3.0, on its own 4,906 orders.

use std::collections::BTreeMap;
use std::path::PathBuf;

use api::customer::v1::TransactionRecorded;
use api::segmentation::v1 as pb;
use common::consumer::{Event, Projection as _};
use common::ids::CustomerId;
use common::money::Currency;
use common::time::Timestamp;
use prost_types::Any;
use rstest::rstest;
use segmentation::projections::Purchases;
use testkit::Backend;

use crate::world::{Buy, USD, World, at};

struct Order {
    customer: String,
    day: String,
    revenue: i64,
}

fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/rfm");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: {} is missing, so the RFM figures are not verified",
        folder.display()
    );
    None
}

/// Names are no customer ids: spaces and apostrophes become dots.
fn id_of(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '.' })
        .collect()
}

fn orders(folder: &std::path::Path) -> Vec<Order> {
    let text = std::fs::read_to_string(folder.join("rfm_data_orders.csv")).unwrap();
    let order = |line: &str| {
        let mut fields = line.split(',');
        Order {
            customer: id_of(fields.next().unwrap()),
            day: fields.next().unwrap().to_owned(),
            revenue: fields.next().unwrap().parse().unwrap(),
        }
    };
    text.lines().skip(1).map(order).collect()
}

/// Applies the orders as the consumer would, 500 to a transaction.
async fn apply(world: &mut World, orders: &[Order]) {
    let projection = Purchases::new(Currency::parse("USD").unwrap());
    for (batch, orders) in orders.chunks(500).enumerate() {
        let mut tx = world.server.platform.tx().await.unwrap();
        for (index, order) in orders.iter().enumerate() {
            let id = format!("t{batch}-{index}");
            let Order {
                customer,
                day,
                revenue,
            } = order;
            let buy = Buy {
                customer,
                id: &id,
                on: day,
                micros: revenue * USD,
                ..Buy::default()
            };
            let recorded = TransactionRecorded {
                customer_id: customer.clone(),
                transaction: Some(buy.transaction()),
            };
            let event = Event {
                position: String::new(),
                event_id: id.clone(),
                customer_id: CustomerId::parse(customer).unwrap(),
                revision: 1,
                recorded_at: Timestamp::EPOCH,
                payload: Any::from_msg(&recorded).unwrap(),
                traceparent: String::new(),
            };
            projection.apply(&mut tx, &event).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_published_figures_come_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(folder) = folder() else { return };
    let mut world = World::start(backend).await;
    let orders = orders(&folder);
    apply(&mut world, &orders).await;
    let request = pb::ComputeRfmRequest {
        as_of: at("2006-12-31"),
        rule: pb::QuintileRule::RRfm.into(),
        ..Default::default()
    };
    let run = world
        .client
        .compute_rfm(request)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    assert_eq!(run.customers, 995);
    assert_eq!(run.recency_cuts, [115.0, 181.0, 297.4, 482.0]);
    assert_eq!(run.frequency_cuts, [4.0, 5.0, 6.0, 8.0]);
    assert_eq!(run.monetary_cuts, [255.8, 382.0, 506.4, 666.0]);

    let examples = std::fs::read_to_string(folder.join("examples.csv")).unwrap();
    for line in examples.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let request = pb::GetRfmRequest {
            customer_id: id_of(fields[0]),
            ..Default::default()
        };
        let got = world
            .client
            .get_rfm(request)
            .await
            .unwrap()
            .into_inner()
            .score
            .unwrap();
        let numbers: Vec<i64> = fields[1..8]
            .iter()
            .map(|field| field.parse().unwrap())
            .collect();
        let monetary = got.monetary.unwrap().micros / USD;
        let scores = [
            got.recency_score,
            got.frequency_score,
            got.monetary_score,
            got.rfm_score,
        ];
        let mut all = vec![got.recency_days, got.frequency, monetary];
        all.extend(scores.map(i64::from));
        assert_eq!(all, numbers, "{line}");
    }

    let grid = pb::GetRfmGridRequest {
        split_by_monetary: true,
        ..Default::default()
    };
    let grid = world.client.get_rfm_grid(grid).await.unwrap().into_inner();
    let customers: i64 = grid.cells.iter().map(|cell| cell.customers).sum();
    let spend: i64 = grid
        .cells
        .iter()
        .map(|cell| cell.spend.as_ref().unwrap().micros)
        .sum();
    assert_eq!((customers, spend), (995, 464_158 * USD));
    champions(&folder, &grid.cells);
}

/// The segment "Champions" of upstream's own test: 158 customers, revenue 120,178.
fn champions(folder: &std::path::Path, cells: &[pb::RfmCell]) {
    let text = std::fs::read_to_string(folder.join("segment_rules.json")).unwrap();
    let schemes: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let rules = schemes["upstream_test"].as_array().unwrap();
    let rule = rules
        .iter()
        .find(|rule| rule["segment"] == "Champions")
        .unwrap();
    let inside = |component: &str, score: i32| {
        let range = &rule[component];
        (range[0].as_i64().unwrap()..=range[1].as_i64().unwrap()).contains(&i64::from(score))
    };
    let chosen: Vec<_> = cells
        .iter()
        .filter(|cell| {
            inside("recency", cell.recency_score)
                && inside("frequency", cell.frequency_score)
                && inside("monetary", cell.monetary_score)
        })
        .collect();
    let customers: i64 = chosen.iter().map(|cell| cell.customers).sum();
    let spend: i64 = chosen
        .iter()
        .map(|cell| cell.spend.as_ref().unwrap().micros)
        .sum();
    assert_eq!((customers, spend), (158, 120_178 * USD));
}
