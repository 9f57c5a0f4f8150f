//! The CDNOW purchase log: reading it, and its rows as the API wants them.

use std::collections::BTreeSet;
use std::path::Path;

use api::customer::v1 as pb;
use api::r#type::v1::Money;
use chrono::{NaiveDate, NaiveTime};
use common::Error;
use common::time::Timestamp;

/// The sample: 6,919 purchases of 2,357 customers in 1997 and 1998; see its README for where it comes from.
const SAMPLE: &str = include_str!("../../../../tests/data/cdnow/cdnow_sample.txt");
/// What the log's orders are known by.
pub const SOURCE: &str = "cdnow";

/// One purchase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// Line of the log, from 1: there is no other key, and one customer may buy twice on a day.
    pub row: i64,
    /// From the customer's number in the sample, for example `cdnow-0001`.
    pub customer_id: String,
    /// The log has days only: midnight UTC.
    pub occurred_at: Timestamp,
    /// How many CDs.
    pub quantity: i64,
    /// Cents of a dollar.
    pub cents: i64,
}

/// The whole log, in the order of its lines.
#[derive(Debug, Clone)]
pub struct Log {
    /// Every line.
    pub purchases: Vec<Purchase>,
}

impl Log {
    /// Everybody who bought, sorted.
    pub fn customer_ids(&self) -> Vec<String> {
        let ids: BTreeSet<_> = self
            .purchases
            .iter()
            .map(|purchase| &purchase.customer_id)
            .collect();
        ids.into_iter().cloned().collect()
    }
}

/// Reads a file, or the built-in sample.
pub fn read(file: Option<&Path>) -> Result<Log, Error> {
    let Some(file) = file else {
        return parse(SAMPLE);
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::Config(format!("cannot read {}: {error}", file.display())))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Log, Error> {
    let mut purchases = Vec::new();
    for (row, line) in (1..).zip(text.lines()) {
        let purchase = parse_line(row, line).ok_or_else(|| {
            Error::Config(format!(
                "line {row} of the log is not: master id, sample id, yyyymmdd, CDs, dollars"
            ))
        })?;
        purchases.push(purchase);
    }
    Ok(Log { purchases })
}

fn parse_line(row: i64, line: &str) -> Option<Purchase> {
    let mut fields = line.split_whitespace();
    let (_master, id, date, quantity, dollars) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let date = NaiveDate::parse_from_str(date, "%Y%m%d").ok()?;
    let (whole, cents) = dollars.split_once('.')?;
    if cents.len() != 2 || fields.next().is_some() {
        return None;
    }
    Some(Purchase {
        row,
        customer_id: format!("{SOURCE}-{id}"),
        occurred_at: date.and_time(NaiveTime::MIN).and_utc().into(),
        quantity: quantity.parse().ok()?,
        cents: whole.parse::<i64>().ok()? * 100 + cents.parse::<i64>().ok()?,
    })
}

/// A customer as the import wants it. The log knows nothing of its customers but their numbers.
pub fn customer_row(row: i64, customer_id: &str) -> pb::CustomerRow {
    let customer = pb::Customer {
        customer_id: customer_id.to_owned(),
        source: SOURCE.to_owned(),
        tags: vec!["demo".to_owned()],
        ..pb::Customer::default()
    };
    pb::CustomerRow {
        row,
        customer: Some(customer),
    }
}

/// A purchase as the import wants it.
pub fn transaction_row(purchase: &Purchase) -> pb::TransactionRow {
    let amount = Money {
        currency_code: "USD".to_owned(),
        micros: purchase.cents * 10_000,
    };
    let line = pb::TransactionLine {
        sku: "CD".to_owned(),
        category: String::new(),
        quantity: purchase.quantity,
        amount: Some(amount.clone()),
    };
    let transaction = pb::Transaction {
        customer_id: purchase.customer_id.clone(),
        source: SOURCE.to_owned(),
        external_id: purchase.row.to_string(),
        occurred_at: Some(purchase.occurred_at.into()),
        total: Some(amount),
        lines: vec![line],
        ..pb::Transaction::default()
    };
    pb::TransactionRow {
        row: purchase.row,
        transaction: Some(transaction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_the_published_totals() {
        let log = read(None).unwrap();
        assert_eq!(log.purchases.len(), 6_919);
        assert_eq!(log.customer_ids().len(), 2_357);
        assert_eq!(
            log.purchases
                .iter()
                .map(|purchase| purchase.cents)
                .sum::<i64>(),
            24_409_194
        );
    }

    #[test]
    fn malformed_lines_are_named() {
        for line in [
            "",
            "1 1 19970101 2",
            "1 1 1997-01-01 2 3.00",
            "1 1 19970101 2 3.0",
            "1 1 19970101 2 3.00 x",
        ] {
            let error =
                parse(&format!("{}\n{line}\n", SAMPLE.lines().next().unwrap())).unwrap_err();
            assert!(error.to_string().starts_with("line 2 "), "{error}");
        }
    }
}
