//! RFM: recency, frequency and monetary value in fifths of the base.

use common::db::Access;
use common::ids::CustomerId;
use common::platform::Platform;
use common::time::Timestamp;

use crate::domain::day::Day;
use crate::domain::quintile::{Cuts, TieRule};
use crate::domain::reference::ONE;
use crate::error::{Error, to_json};
use crate::features::span;
use crate::store;
use crate::store::features::Span;
use crate::store::rfm::{self, BuyerRow, CellRow, RunRow, ScoreRow};

const BATCH: i64 = 1_000;

/// A run to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComputeRfm {
    pub as_of: Timestamp,
    pub window_days: i64,
    pub rule: TieRule,
}

/// The cuts of the three components.
struct AllCuts {
    recency: Cuts,
    frequency: Cuts,
    monetary: Cuts,
}

/// Scores the base: one pass over a snapshot for the cuts, one that stores scores in batches, and last the run,
/// which makes them visible.
pub(crate) async fn compute(platform: &Platform, run: ComputeRfm) -> Result<RunRow, Error> {
    let day = Day::of(run.as_of);
    let span = span(day, run.window_days);
    let run_id = platform.ids.uuid();
    let mut snapshot = platform.snapshot().await?;
    let (cuts, customers) = read_cuts(&mut snapshot, span, run.rule).await?;
    let mut after = String::new();
    loop {
        let buyers = rfm::list_buyers(&mut snapshot, span, &after, BATCH).await?;
        let Some(last) = buyers.last() else { break };
        last.customer_id.as_str().clone_into(&mut after);
        let scores: Vec<_> = buyers
            .into_iter()
            .map(|buyer| cuts.score(buyer, day))
            .collect();
        let mut tx = platform.tx().await?;
        rfm::insert_scores(&mut tx, &run_id, &scores).await?;
        tx.commit().await?;
    }
    let AllCuts {
        recency,
        frequency,
        monetary,
    } = &cuts;
    let row = RunRow {
        run_id,
        as_of: run.as_of,
        window_days: run.window_days,
        rule: run.rule.code(),
        customers,
        cuts: to_json(&[
            recency.display(1),
            frequency.display(1),
            monetary.display(ONE),
        ]),
        created_at: platform.now(),
    };
    let mut tx = platform.tx().await?;
    rfm::insert_run(&mut tx, &row).await?;
    tx.commit().await?;
    Ok(row)
}

async fn read_cuts(
    db: &mut impl Access,
    span: Span,
    rule: TieRule,
) -> Result<(AllCuts, i64), Error> {
    let (mut recency, mut frequency, mut monetary) = (Vec::new(), Vec::new(), Vec::new());
    let mut after = String::new();
    loop {
        let buyers = rfm::list_buyers(db, span, &after, BATCH).await?;
        let Some(last) = buyers.last() else { break };
        last.customer_id.as_str().clone_into(&mut after);
        for buyer in &buyers {
            recency.push(span.last.days_since(buyer.last_day));
            frequency.push(buyer.orders);
            monetary.push(buyer.spend_micros);
        }
    }
    let customers = i64::try_from(recency.len()).expect("a base fits 63 bits");
    let cuts = AllCuts {
        recency: Cuts::of(recency, rule, 1).ok_or(Error::EmptyBase)?,
        frequency: Cuts::of(frequency, rule, 1).ok_or(Error::EmptyBase)?,
        monetary: Cuts::of(monetary, rule, ONE).ok_or(Error::EmptyBase)?,
    };
    Ok((cuts, customers))
}

impl AllCuts {
    fn score(&self, buyer: BuyerRow, as_of: Day) -> ScoreRow {
        let recency_days = as_of.days_since(buyer.last_day);
        ScoreRow {
            customer_id: buyer.customer_id,
            recency_days,
            frequency: buyer.orders,
            monetary_micros: buyer.spend_micros,
            recency_score: self.recency.rank_reversed(recency_days),
            frequency_score: self.frequency.rank(buyer.orders),
            monetary_score: self.monetary.rank(buyer.spend_micros),
        }
    }
}

/// A customer's scores in a run (empty: the newest as of a moment).
pub(crate) async fn get(
    db: &mut impl Access,
    customer: &CustomerId,
    run_id: &str,
    as_of: Timestamp,
) -> Result<(RunRow, ScoreRow), Error> {
    store::get_customer(db, customer).await?;
    let run = rfm::get_run(db, run_id, as_of).await?;
    match rfm::find_score(db, &run.run_id, customer).await? {
        Some(score) => Ok((run, score)),
        None => Err(Error::NotInRun {
            customer: customer.clone(),
            run_id: run.run_id,
        }),
    }
}

/// Every cell of a run's grid, also those without customers, best first.
pub(crate) async fn grid(
    db: &mut impl Access,
    run_id: &str,
    as_of: Timestamp,
    split_by_monetary: bool,
) -> Result<(RunRow, Vec<CellRow>), Error> {
    let run = rfm::get_run(db, run_id, as_of).await?;
    let filled = rfm::list_cells(db, &run.run_id).await?;
    let monetary_scores: &[i64] = if split_by_monetary {
        &[5, 4, 3, 2, 1]
    } else {
        &[0]
    };
    let mut cells = Vec::with_capacity(25 * monetary_scores.len());
    for recency_score in (1..=5).rev() {
        for frequency_score in (1..=5).rev() {
            for &monetary_score in monetary_scores {
                let inside = filled.iter().filter(|cell| {
                    (cell.recency_score, cell.frequency_score) == (recency_score, frequency_score)
                        && (monetary_score == 0 || cell.monetary_score == monetary_score)
                });
                let empty = CellRow {
                    recency_score,
                    frequency_score,
                    monetary_score,
                    customers: 0,
                    monetary_micros: 0,
                };
                cells.push(inside.fold(empty, |sum, cell| CellRow {
                    customers: sum.customers + cell.customers,
                    monetary_micros: sum.monetary_micros + cell.monetary_micros,
                    ..sum
                }));
            }
        }
    }
    Ok((run, cells))
}
