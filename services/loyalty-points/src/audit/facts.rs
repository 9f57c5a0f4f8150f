//! Stored postings as the replay takes them.

use crate::domain::decision::Decision;
use crate::domain::import;
use crate::domain::plan::{Account, Kind};
use crate::domain::replay::{Fact, Imported, Ledger, Line, Move};
use crate::store::entries::EntryRow;
use crate::store::postings::PostingRow;

/// Adds the next posting to a member's ledger.
pub fn apply(
    ledger: &mut Ledger,
    posting: &PostingRow,
    entries: &[EntryRow],
) -> Result<Vec<Move>, String> {
    let line = |entry| line(entry).ok_or_else(|| "its accounts are unknown".to_owned());
    let lines: Result<Vec<_>, _> = entries.iter().map(line).collect();
    let kind = kind(&posting.kind);
    ledger.apply(&Fact {
        kind: kind.ok_or_else(|| format!("the kind {} is unknown", posting.kind))?,
        posting_id: &posting.posting_id,
        revision: posting.revision,
        wallet: &posting.wallet,
        reverses: posting.reverses.as_deref(),
        reason: &posting.reason,
        occurred_at: posting.occurred_at,
        posted_at: posting.posted_at,
        imported: imported(posting)?,
        lines: &lines?,
    })
}

fn imported(posting: &PostingRow) -> Result<Option<Imported>, String> {
    if !posting.rule.as_deref().is_some_and(import::is_rule) {
        return Ok(None);
    }
    let decision = posting.decision.as_deref().and_then(Decision::from_json);
    let Some(Decision::Import(row)) = decision else {
        return Err("it does not tell what was imported".to_owned());
    };
    Ok(Some(Imported {
        qualifies: row.qualifies,
    }))
}

fn line(entry: &EntryRow) -> Option<Line<'_>> {
    Some(Line {
        account: match entry.account.as_str() {
            "member" => Account::Member,
            "held" => Account::Held,
            "debt" => Account::Debt,
            "issuance" => Account::Issuance,
            "redeemed" => Account::Redeemed,
            "expired" => Account::Expired,
            "clearing" => Account::Clearing,
            _ => return None,
        },
        lot_id: entry.lot_id.as_deref(),
        hold_id: entry.hold_id.as_deref(),
        points: entry.points,
    })
}

fn kind(text: &str) -> Option<Kind> {
    Some(match text {
        "earn" => Kind::Earn,
        "redeem" => Kind::Redeem,
        "reverse" => Kind::Reverse,
        "expire" => Kind::Expire,
        "hold" => Kind::Hold,
        "capture" => Kind::Capture,
        "release" => Kind::Release,
        "adjust" => Kind::Adjust,
        "transfer" => Kind::Transfer,
        "refund" => Kind::Refund,
        "activate" => Kind::Activate,
        "cancel" => Kind::Cancel,
        "merge" => Kind::Merge,
        "unmerge" => Kind::Unmerge,
        _ => return None,
    })
}
