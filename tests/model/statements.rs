//! The digest of a statement, by the words of its contract.

use api::loyalty::v1 as pb;
use sha2::{Digest as _, Sha256};

use crate::answers::micros;

/// The digest of a statement that is told whole, on one page. Where the currency is a further one of the program it
/// is among what is digested.
pub fn digest(
    request: &pb::GetStatementRequest,
    program_id: &str,
    told: &pb::GetStatementResponse,
    is_first: bool,
) -> Vec<u8> {
    let mut values = Vec::new();
    let at = |at: &Option<prost_types::Timestamp>| micros(at.as_ref().expect("told")).to_string();
    values.push(if is_first {
        "asterism.statement.v1".to_owned()
    } else {
        "asterism.statement.v2".to_owned()
    });
    values.extend([program_id.to_owned(), request.customer_id.clone()]);
    values.extend((!is_first).then(|| told.points_currency.clone()));
    values.extend([at(&request.from), at(&request.to)]);
    values.extend(balance(told.opening.as_ref()));
    for posting in &told.movements {
        values.extend([
            posting.revision.to_string(),
            posting.transaction_id.clone(),
            name(posting.kind().as_str_name(), "TRANSACTION_KIND_"),
            posting.points.to_string(),
            posting.source_type.clone(),
            posting.source_ref.clone(),
            posting.rule.clone(),
            posting.reason_code.clone(),
            posting.reason.clone(),
            posting.reverses_transaction_id.clone(),
            posting.counterparty_customer_id.clone(),
            at(&posting.occurred_at),
            at(&posting.posted_at),
            posting.entries.len().to_string(),
        ]);
        for entry in &posting.entries {
            values.extend([
                name(entry.account().as_str_name(), "LEDGER_ACCOUNT_"),
                entry.lot_id.clone(),
                entry.hold_id.clone(),
                entry.points.to_string(),
            ]);
        }
    }
    values.extend(balance(told.closing.as_ref()));
    values.push(told.movement_count.to_string());
    let written = |value: String| format!("{}:{value},", value.len());
    let bytes: String = values.into_iter().map(written).collect();
    Sha256::digest(bytes).to_vec()
}

fn balance(balance: Option<&pb::StatementBalance>) -> [String; 3] {
    let balance = balance.expect("always told");
    [balance.points, balance.held, balance.debt].map(|points| points.to_string())
}

fn name(name: &str, prefix: &str) -> String {
    let short = name.strip_prefix(prefix).expect("names have their prefix");
    short.to_lowercase()
}
