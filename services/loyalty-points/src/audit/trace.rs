//! Why a posting came to its points: what it was decided on, and what each of its lines did to which lot.

use std::collections::HashMap;

use common::db::Access;
use common::time::Timestamp;

use super::facts;
use crate::State;
use crate::domain::decision::Decision;
use crate::domain::limits::{Applied, Window};
use crate::domain::program::{Program, ProgramId};
use crate::domain::replay::{Ledger, Move, What};
use crate::error::Error;
use crate::ledger::limits::applied_to;
use crate::ledger::reads::Of;
use crate::members;
use crate::store::entries::EntryRow;
use crate::store::postings::{self, PostingRow};
use crate::store::{extensions, histories, holds, refunds, seals};

/// Postings read at once.
const POSTINGS_AT_ONCE: i64 = 1000;

/// Why a posting came to its points.
#[derive(Debug)]
pub struct Trace {
    /// The posting.
    pub posting: PostingRow,
    /// Its lines.
    pub entries: Vec<EntryRow>,
    /// What it was decided on.
    pub basis: Basis,
    /// What its lines did, in order.
    pub steps: Vec<Step>,
    /// What limits made of it, in order, and the windows that it is counted in.
    pub limits: Vec<(Applied, Window)>,
    /// Code of its currency.
    pub currency: String,
}

/// What a posting was decided on.
#[derive(Debug)]
pub enum Basis {
    /// The caller said how many points.
    Asked(i64),
    /// The clock: points expired, or a hold timed out.
    Clock,
    /// A rule, as recorded, and the points it came to before limits cut them.
    Recorded(Decision, i64),
    /// A rule, but it was posted before rules were recorded.
    Unrecorded,
}

/// What a line did.
#[derive(Debug)]
pub struct Step {
    /// It.
    pub told: Move,
    /// When the lot was earned and when it expires, as that was then.
    pub lot: Option<(Timestamp, Option<Timestamp>)>,
}

/// Explains a member's posting by replaying all up to it.
pub async fn trace(state: &State, of: &Of, posting_id: &str) -> Result<Trace, Error> {
    let mut db = state.platform.snapshot().await?;
    let program = state.programs.get(&mut db, &of.program_id).await?;
    members::get(state, &mut db, &of.program_id, &of.customer_id).await?;
    let (customer_id, program_id) = (&of.customer_id, of.program_id.as_str());
    let posting = postings::find(&mut db, customer_id, program_id, posting_id).await?;
    let posting = posting.ok_or_else(|| Error::TransactionNotFound(posting_id.to_owned()))?;
    let (ledger, entries, moves) = replay(&mut db, &program, &posting).await?;
    let basis = basis(&mut db, &posting, &ledger, &moves).await?;

    let named: Vec<_> = moves
        .iter()
        .filter_map(|told| told.lot_id.as_deref())
        .collect();
    let lots = refunds::list_lots(&mut db, customer_id, program_id, &named).await?;
    let mut later: HashMap<_, _> = HashMap::new();
    for (lot_id, from) in extensions::list_after(&mut db, customer_id, posting.revision).await? {
        later.entry(lot_id).or_insert(from);
    }
    let times = |lot_id: &String| {
        let lot = lots.iter().find(|lot| lot.lot_id == *lot_id)?;
        let expires_at = later.get(lot_id).copied().or(lot.expires_at);
        Some((lot.earned_at, expires_at))
    };
    let step = |told: Move| Step {
        lot: told.lot_id.as_ref().and_then(times),
        told,
    };
    let limits = limits(state, &mut db, &posting).await?;
    Ok(Trace {
        basis,
        limits,
        steps: moves.into_iter().map(step).collect(),
        currency: program.code_of(&posting.wallet).to_owned(),
        posting,
        entries,
    })
}

async fn limits(
    state: &State,
    db: &mut impl Access,
    posting: &PostingRow,
) -> Result<Vec<(Applied, Window)>, Error> {
    let applied = applied_to(posting);
    let Some(version) = applied.iter().map(|applied| applied.version).max() else {
        return Ok(Vec::new());
    };
    let program_id = ProgramId::parse(&posting.program_id).map_err(common::Error::Internal)?;
    let program = state.programs.limited(db, &program_id, version).await?;
    let mut told = Vec::with_capacity(applied.len());
    for applied in applied {
        let mut known = program.limits.all().iter();
        let limit = known.find(|limit| limit.limit_id.as_str() == applied.limit_id);
        // A limit that was never set has limited nothing.
        let limit = limit.ok_or_else(|| Error::LedgerDiverged(posting.posting_id.clone()))?;
        let window = limit.window.starting(applied.window_start);
        told.push((applied, window));
    }
    Ok(told)
}

/// Replays the member's postings up to one; returns what its lines did.
async fn replay(
    db: &mut impl Access,
    program: &Program,
    wanted: &PostingRow,
) -> Result<(Ledger, Vec<EntryRow>, Vec<Move>), Error> {
    let diverged = || Error::LedgerDiverged(wanted.posting_id.clone());
    let customer_id = wanted.customer_id.as_str();
    let (mut ledger, mut after) = (Ledger::default(), i64::MIN);
    loop {
        let start = (customer_id, after);
        let page = histories::list_postings(db, start, customer_id, POSTINGS_AT_ONCE).await?;
        after = page.last().ok_or_else(diverged)?.revision;
        let of_account = |posting: &&PostingRow| {
            (&posting.program_id, &posting.wallet) == (&wanted.program_id, &wanted.wallet)
        };
        let page: Vec<_> = page.iter().filter(of_account).collect();
        let keys: Vec<_> = page.iter().map(|posting| seals::key(posting)).collect();
        let mut entries = seals::list_entries(db, &keys).await?;
        for (posting, key) in page.into_iter().zip(&keys) {
            let lines = entries.remove(key).unwrap_or_default();
            let moves =
                facts::apply(&mut ledger, program, posting, &lines).map_err(|_| diverged())?;
            if posting.posting_id == wanted.posting_id {
                return Ok((ledger, lines, moves));
            }
        }
    }
}

async fn basis(
    db: &mut impl Access,
    posting: &PostingRow,
    ledger: &Ledger,
    moves: &[Move],
) -> Result<Basis, Error> {
    let sum = |wanted: &[What]| -> i64 {
        let wanted = moves.iter().filter(|told| wanted.contains(&told.what));
        wanted.map(|told| told.points).sum()
    };
    let recorded = posting.decision.as_deref().map(Decision::from_json);
    let counts = |told: &Option<Decision>| told.as_ref().is_none_or(Decision::counts_points);
    if let Some(recorded) = recorded.filter(counts) {
        // Nobody is told a reason that does not lead to the points.
        let points = recorded.as_ref().and_then(Decision::points);
        let limited = recorded.as_ref().and_then(Decision::limited_points);
        let posted = match &recorded {
            Some(Decision::Purchase { .. } | Decision::Limited { .. }) => sum(&[What::Made]),
            Some(Decision::Refund { .. }) => sum(&[What::Returned]),
            Some(Decision::Import(_)) => sum(&[
                What::Made,
                What::Spent,
                What::Taken,
                What::Expired,
                What::Owed,
            ]),
            _ => sum(&[
                What::TakenBack,
                What::TakenBackExpired,
                What::Recovered,
                What::Owed,
            ]),
        };
        return match recorded.zip(points) {
            Some((recorded, points)) if limited == Some(posted) => {
                Ok(Basis::Recorded(recorded, points))
            }
            _ => Err(Error::LedgerDiverged(posting.posting_id.clone())),
        };
    }
    let hold_id = moves.iter().find_map(|told| told.hold_id.as_deref());
    Ok(match posting.kind.as_str() {
        "expire" => Basis::Clock,
        // All that there was, whatever it came to.
        "merge" | "unmerge" => Basis::Asked(posting.points.abs()),
        "earn" if posting.rule.as_deref() == Some(crate::ledger::purchases::BASE_RULE) => {
            Basis::Unrecorded
        }
        "reverse" | "refund" => Basis::Unrecorded,
        "release" => {
            let hold_id = hold_id.unwrap_or_default();
            let (customer_id, program_id) = (&posting.customer_id, &posting.program_id);
            let stored = holds::find(db, customer_id, program_id, hold_id).await?;
            let closed = ledger
                .holds
                .get(hold_id)
                .zip(stored)
                .and_then(|(facts, stored)| facts.closed(stored.hold.expires_at));
            match closed {
                Some((["expired"], _)) => Basis::Clock,
                _ => Basis::Asked(sum(&[What::Released])),
            }
        }
        _ => Basis::Asked(sum(&[
            What::Made,
            What::Spent,
            What::Sent,
            What::Taken,
            What::Held,
            What::Captured,
        ])),
    })
}
