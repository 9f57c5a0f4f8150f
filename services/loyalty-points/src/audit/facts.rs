//! Stored postings as the replay takes them.

use common::time::Timestamp;

use crate::domain::decision::Decision;
use crate::domain::import;
use crate::domain::plan::{Account, Kind};
use crate::domain::program::Program;
use crate::domain::replay::{Fact, Imported, Ledger, Line, Move};
use crate::domain::terms::Terms;
use crate::ledger::PURCHASE;
use crate::ledger::purchases::BASE_RULE;
use crate::store::entries::EntryRow;
use crate::store::postings::PostingRow;

/// Adds the next posting to a member's ledger.
pub fn apply(
    ledger: &mut Ledger,
    program: &Program,
    posting: &PostingRow,
    entries: &[EntryRow],
) -> Result<Vec<Move>, String> {
    let decision = posting.decision.as_deref().and_then(Decision::from_json);
    let terms = terms(program, posting, decision.as_ref());
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
        imported: imported(posting, decision.as_ref())?,
        terms: terms.as_deref(),
        times_out_at: match decision {
            Some(Decision::Hold { expires_at }) => Some(Timestamp::from_micros(expires_at)),
            _ => None,
        },
        actor: posting.actor.as_deref(),
        lines: &lines?,
    })
}

/// What a posting says of the lots that it makes, or what the program makes of that.
fn terms(
    program: &Program,
    posting: &PostingRow,
    decision: Option<&Decision>,
) -> Option<Vec<Terms>> {
    let (earned_at, source) = (posting.occurred_at, posting.source_type.as_deref());
    let usual = |activates_at| Terms {
        earned_at,
        activates_at: Some(activates_at),
        expires_at: program.expiry_of(&posting.wallet, activates_at),
    };
    if let Some(Decision::Import(row)) = decision {
        let activates_at = row.activates_at.map_or(earned_at, Timestamp::from_micros);
        let given = row.expires_at.map(Timestamp::from_micros);
        let usual = usual(activates_at);
        return Some(vec![Terms {
            expires_at: given.or(usual.expires_at),
            ..usual
        }]);
    }
    if source == Some(PURCHASE) && posting.rule.as_deref() == Some(BASE_RULE) {
        return Some(vec![usual(earned_at)]);
    }
    let told = decision.and_then(Decision::lots)?.iter();
    Some(told.map(|lot| lot.terms(earned_at)).collect())
}

fn imported(posting: &PostingRow, decision: Option<&Decision>) -> Result<Option<Imported>, String> {
    if !posting.rule.as_deref().is_some_and(import::is_rule) {
        return Ok(None);
    }
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
