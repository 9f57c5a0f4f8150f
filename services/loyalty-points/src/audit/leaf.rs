//! A posting in canonical bytes.

use common::ids::CustomerId;

use crate::domain::chain::Canonical;
use crate::store::entries::EntryRow;
use crate::store::postings::PostingRow;

/// Everything that is sealed of a posting.
pub fn bytes(sequence: i64, posting: &PostingRow, entries: &[EntryRow]) -> Vec<u8> {
    // Taken apart whole: a column that is added must be sealed too. Add it as absent from older postings, at
    // the end.
    let PostingRow {
        customer_id,
        posting_id,
        program_id,
        revision,
        kind,
        points,
        source_type,
        source_ref,
        rule,
        reason_code,
        reason,
        reverses,
        counterparty,
        occurred_at,
        posted_at,
        decision,
        actor,
        approver,
        wallet,
    } = posting;
    let canonical = Canonical::posting()
        .number("sequence", sequence)
        .text("customer_id", customer_id.as_str())
        .text("posting_id", posting_id)
        .text("program_id", program_id)
        .number("revision", *revision)
        .text("kind", kind)
        .number("points", *points)
        .text_if_any("source_type", source_type.as_deref())
        .text_if_any("source_ref", source_ref.as_deref())
        .text_if_any("rule", rule.as_deref())
        .text_if_any("reason_code", reason_code.as_deref())
        .text("reason", reason)
        .text_if_any("reverses", reverses.as_deref())
        .number("occurred_at", occurred_at.micros())
        .number("posted_at", posted_at.micros())
        .text_if_any(
            "counterparty",
            counterparty.as_ref().map(CustomerId::as_str),
        )
        .text_if_any("decision", decision.as_deref())
        .text_if_any("actor", actor.as_deref())
        .text_if_any("approver", approver.as_deref())
        .text_if_any("currency", wallet.code());
    let append = |canonical: Canonical, row| canonical.value("entry", &entry(row));
    entries.iter().fold(canonical, append).into_bytes()
}

fn entry(row: &EntryRow) -> Vec<u8> {
    let EntryRow {
        line,
        account,
        lot_id,
        hold_id,
        points,
        effective_at,
    } = row;
    Canonical::of("entry")
        .number("line", *line)
        .text("account", account)
        .text_if_any("lot_id", lot_id.as_deref())
        .text_if_any("hold_id", hold_id.as_deref())
        .number("points", *points)
        .number("effective_at", *effective_at)
        .into_bytes()
}
