//! Requests as use cases, with everything that is wrong collected.

use std::collections::BTreeSet;

use api::customer::v1 as pb;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::platform::Platform;
use common::time::Timestamp;
use common::validate::Violations;

use super::profile;
use super::record::{self, Stamp};
use crate::domain::{ImportRow, Interaction, Mask, Transaction, trimmed};
use crate::error::Error;
use crate::imports::Chunk;
use crate::profiles::{Create, Delete, Update, fresh_id};
use crate::timeline::ListTimeline;
use crate::voids::{Named, Void};

const BATCH_MAX: usize = 1000;
/// Lines of all purchases of a batch: a chunk stays one short transaction.
const BATCH_LINES_MAX: usize = 10_000;

pub fn create(request: pb::CreateCustomerRequest, now: Timestamp) -> Result<Create, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let customer = given(&mut v, "customer", request.customer);
    let id = optional_id(&mut v, "customer.customer_id", &customer.customer_id);
    let profile = profile::parse(&mut v, "customer.", customer, now);
    v.all(())?;
    Ok(Create {
        customer_id: id,
        profile,
    })
}

pub fn update(request: pb::UpdateCustomerRequest, now: Timestamp) -> Result<Update, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let customer = given(&mut v, "customer", request.customer);
    let id = v.parse(
        "customer.customer_id",
        customer.customer_id.as_str(),
        CustomerId::parse,
    );
    let paths = request.update_mask.unwrap_or_default().paths;
    let mask = match Mask::parse(&paths) {
        Ok(mask) => Some(mask),
        Err(unknown) => {
            for path in unknown {
                v.add(
                    "update_mask",
                    format!("must name fields that can be set: {path:?} is none"),
                );
            }
            None
        }
    };
    let etag = customer.etag.clone();
    let profile = profile::parse(&mut v, "customer.", customer, now);
    let (customer_id, mask) = v.all((id, mask))?;
    Ok(Update {
        customer_id,
        etag,
        mask,
        profile,
    })
}

pub fn delete(request: pb::DeleteCustomerRequest) -> Result<Delete, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let id = v.parse(
        "customer_id",
        request.customer_id.as_str(),
        CustomerId::parse,
    );
    let (customer_id,) = v.all((id,))?;
    Ok(Delete {
        customer_id,
        etag: request.etag,
    })
}

pub fn customer_id(text: &str) -> Result<CustomerId, Error> {
    let mut v = Violations::new();
    let id = v.parse("customer_id", text, CustomerId::parse);
    let (id,) = v.all((id,))?;
    Ok(id)
}

/// Ids in the order asked for, each once.
pub fn customer_ids(texts: &[String]) -> Result<Vec<CustomerId>, Error> {
    let mut v = Violations::new();
    batch_size(&mut v, "customer_ids", texts.len());
    let mut seen = BTreeSet::new();
    let mut ids = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let id = v.parse(
            format!("customer_ids[{i}]"),
            text.as_str(),
            CustomerId::parse,
        );
        ids.extend(id.filter(|id| seen.insert(id.clone())));
    }
    v.all(())?;
    Ok(ids)
}

pub fn page(page_size: i32, page_token: &str, query: &str) -> Result<PageRequest, Error> {
    let mut v = Violations::new();
    let page = PageRequest::parse(&mut v, page_size, page_token, query);
    let (page,) = v.all((page,))?;
    Ok(page)
}

pub fn timeline(request: &pb::ListTimelineRequest) -> Result<ListTimeline, Error> {
    let mut v = Violations::new();
    let id = v.parse(
        "customer_id",
        request.customer_id.as_str(),
        CustomerId::parse,
    );
    let (mut transactions, mut interactions) = (request.kinds.is_empty(), request.kinds.is_empty());
    for (i, kind) in request.kinds.iter().enumerate() {
        match pb::TimelineKind::try_from(*kind) {
            Ok(pb::TimelineKind::Transaction) => transactions = true,
            Ok(pb::TimelineKind::Interaction) => interactions = true,
            Ok(pb::TimelineKind::Unspecified) | Err(_) => {
                v.add(format!("kinds[{i}]"), "must be a known kind");
            }
        }
    }
    let as_of = as_of(&mut v, request.as_of.as_ref(), Timestamp::MAX);
    // The next page of another customer, of other kinds or up to another instant makes no sense.
    let query = format!(
        "ListTimeline|{}|{transactions}|{interactions}|{as_of:?}",
        request.customer_id
    );
    let page = PageRequest::parse(&mut v, request.page_size, &request.page_token, &query);
    let (customer_id, as_of, page) = v.all((id, as_of, page))?;
    Ok(ListTimeline {
        customer_id,
        transactions,
        interactions,
        as_of,
        page,
    })
}

pub fn summary(
    request: &pb::GetCustomerSummaryRequest,
    now: Timestamp,
) -> Result<(CustomerId, Timestamp), Error> {
    let mut v = Violations::new();
    let id = v.parse(
        "customer_id",
        request.customer_id.as_str(),
        CustomerId::parse,
    );
    let as_of = as_of(&mut v, request.as_of.as_ref(), now);
    Ok(v.all((id, as_of))?)
}

pub fn record_transactions(
    platform: &Platform,
    request: pb::RecordTransactionsRequest,
) -> Result<Vec<Result<Transaction, Violations>>, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    batch_size(&mut v, "transactions", request.transactions.len());
    batch_lines(&mut v, "transactions", request.transactions.iter());
    v.all(())?;
    let stamp = Stamp {
        ids: &platform.ids,
        now: platform.now(),
    };
    Ok(request
        .transactions
        .into_iter()
        .map(|raw| record::transaction(stamp, raw))
        .collect())
}

pub fn record_interactions(
    platform: &Platform,
    request: &pb::RecordInteractionsRequest,
) -> Result<Vec<Result<Interaction, Violations>>, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    batch_size(&mut v, "interactions", request.interactions.len());
    v.all(())?;
    let stamp = Stamp {
        ids: &platform.ids,
        now: platform.now(),
    };
    Ok(request
        .interactions
        .iter()
        .map(|raw| record::interaction(stamp, raw))
        .collect())
}

pub fn void(request: pb::VoidTransactionRequest) -> Result<Void, Error> {
    use pb::void_transaction_request::Transaction as Raw;
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let transaction = match request.transaction {
        Some(Raw::TransactionId(id)) => v.check("transaction_id", trimmed(&id, 64)).map(Named::Id),
        Some(Raw::Key(raw)) => {
            let source = v.check("key.source", trimmed(&raw.source, 64));
            let external_id = v.check("key.external_id", trimmed(&raw.external_id, 128));
            source.zip(external_id).map(|(source, external_id)| {
                Named::Key(crate::domain::Key {
                    source,
                    external_id,
                })
            })
        }
        None => {
            v.add("transaction", "must be given: transaction_id or key");
            None
        }
    };
    let reason = v.check("reason", trimmed(&request.reason, 200));
    let (transaction, reason) = v.all((transaction, reason))?;
    Ok(Void {
        transaction,
        reason,
    })
}

/// A chunk of customers; `row_before` is the last row number of the chunk before.
pub fn import_customers(
    platform: &Platform,
    request: pb::ImportCustomersRequest,
    row_before: Option<i64>,
) -> Result<Chunk<ImportRow>, Error> {
    let numbers: Vec<_> = request.rows.iter().map(|row| row.row).collect();
    let mut v = Violations::new();
    chunk(&mut v, &numbers, row_before);
    v.all(())?;
    let now = platform.now();
    let parse = |row: pb::CustomerRow| {
        let fresh_id = fresh_id(platform)?;
        Ok(import_row(row.customer, fresh_id, now))
    };
    let rows = request
        .rows
        .into_iter()
        .map(parse)
        .collect::<Result<_, Error>>()?;
    Ok(Chunk { numbers, rows })
}

/// A chunk of purchases, likewise.
pub fn import_transactions(
    platform: &Platform,
    request: pb::ImportTransactionsRequest,
    row_before: Option<i64>,
) -> Result<Chunk<Transaction>, Error> {
    let numbers: Vec<_> = request.rows.iter().map(|row| row.row).collect();
    let mut v = Violations::new();
    chunk(&mut v, &numbers, row_before);
    batch_lines(
        &mut v,
        "rows",
        request
            .rows
            .iter()
            .filter_map(|row| row.transaction.as_ref()),
    );
    v.all(())?;
    let stamp = Stamp {
        ids: &platform.ids,
        now: platform.now(),
    };
    let parse = |row: pb::TransactionRow| match row.transaction {
        Some(raw) => record::transaction(stamp, raw),
        None => Err(missing("transaction")),
    };
    Ok(Chunk {
        numbers,
        rows: request.rows.into_iter().map(parse).collect(),
    })
}

fn import_row(
    customer: Option<pb::Customer>,
    fresh_id: CustomerId,
    now: Timestamp,
) -> Result<ImportRow, Violations> {
    let customer = customer.ok_or_else(|| missing("customer"))?;
    let mut v = Violations::new();
    let customer_id = optional_id(&mut v, "customer_id", &customer.customer_id);
    if customer.customer_id.is_empty() && customer.external_ids.is_empty() {
        v.add(
            "customer_id",
            "must be given, or an external id: a repeated import would double the row",
        );
    }
    let profile = profile::parse(&mut v, "", customer, now);
    if v.is_empty() {
        Ok(ImportRow {
            customer_id,
            fresh_id,
            profile,
        })
    } else {
        Err(v)
    }
}

fn given<T: Default>(v: &mut Violations, field: &str, value: Option<T>) -> T {
    v.check(field, value.ok_or("must be given"))
        .unwrap_or_default()
}

fn missing(field: &str) -> Violations {
    let mut v = Violations::new();
    v.add(field, "must be given");
    v
}

fn optional_id(v: &mut Violations, field: &str, text: &str) -> Option<CustomerId> {
    if text.is_empty() {
        None
    } else {
        v.parse(field, text, CustomerId::parse)
    }
}

fn as_of(
    v: &mut Violations,
    time: Option<&prost_types::Timestamp>,
    default: Timestamp,
) -> Option<Timestamp> {
    match time {
        None => Some(default),
        Some(time) => v.check("as_of", Timestamp::try_from(time)),
    }
}

fn batch_size(v: &mut Violations, field: &str, count: usize) {
    if count == 0 || count > BATCH_MAX {
        v.add(field, format!("must be 1 to {BATCH_MAX}"));
    }
}

fn batch_lines<'a>(
    v: &mut Violations,
    field: &str,
    transactions: impl Iterator<Item = &'a pb::Transaction>,
) {
    if transactions
        .map(|transaction| transaction.lines.len())
        .sum::<usize>()
        > BATCH_LINES_MAX
    {
        v.add(
            field,
            format!("must have at most {BATCH_LINES_MAX} lines together"),
        );
    }
}

fn chunk(v: &mut Violations, numbers: &[i64], row_before: Option<i64>) {
    batch_size(v, "rows", numbers.len());
    let mut before = row_before;
    for (i, number) in numbers.iter().enumerate() {
        if before.is_some_and(|before| *number <= before) {
            v.add(
                format!("rows[{i}].row"),
                "must be greater than the row before",
            );
        }
        before = Some(*number);
    }
}
