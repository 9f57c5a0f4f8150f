//! Writes a decided change: postings with entries, lots, the member with the tier, events.

use common::ids::CustomerId;
use common::time::Timestamp;

use super::Change;
use crate::State;
use crate::domain::currency::Wallet;
use crate::domain::decision::Decision;
use crate::domain::lots::{Allocation, Lot};
use crate::domain::plan::{Account, Entry, Holding, Kind, Posting};
use crate::domain::program::Program;
use crate::domain::terms::Recorded;
use crate::error::Error;
use crate::events;
use crate::store::entries::{EntryRow, NewEntry};
use crate::store::limit_usage::UsageKey;
use crate::store::members::Lock;
use crate::store::postings::PostingRow;
use crate::tiers::{self, Cause};
use crate::work::Work;

/// What something is posted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Kind of it.
    pub source_type: String,
    /// Which one.
    pub source_ref: String,
}

/// Where a posting comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// What it is for.
    pub source: Option<Source>,
    /// The rule that decided it.
    pub rule: String,
    /// Why, as reports count it.
    pub reason_code: Option<String>,
    /// Why.
    pub reason: String,
    /// The posting it reverses.
    pub reverses: Option<String>,
    /// The other member of a transfer.
    pub counterparty: Option<CustomerId>,
    /// What it is decided on, where its lines do not tell; what it tells of its lots is added.
    pub decision: Option<Decision>,
    /// Who asks for it; absent: the service itself.
    pub actor: Option<String>,
    /// Who else approves of it.
    pub approver: Option<String>,
    /// What it changes in the usage of earning limits.
    pub usage: Vec<(UsageKey, i64)>,
    /// From when on each of its lines counts, where the lines do not tell.
    pub effective: Option<Vec<Timestamp>>,
}

/// A change that was written.
#[derive(Debug)]
pub struct Written {
    /// The posting asked for.
    pub posting: PostingRow,
    /// Its lines.
    pub entries: Vec<EntryRow>,
    /// New lots: of an earning, or received.
    pub lots: Vec<Lot>,
    /// Points taken from lots.
    pub taken: Vec<Allocation>,
    /// Points that became debt.
    pub debt_incurred: i64,
    /// The customer's revision afterwards.
    pub revision: i64,
}

/// Writes a change under the customer's lock.
pub(super) async fn write(
    state: &State,
    work: &mut Work<'_>,
    lock: &mut Lock,
    change: Change<'_>,
) -> Result<Written, Error> {
    let Change {
        program,
        mut standing,
        plan,
        origin,
    } = change;
    let before = standing.holding();
    let mut ledger = Ledger {
        state,
        lock,
        program,
        wallet: standing.wallet().clone(),
    };
    // A write-off that frees nothing new comes before what it makes room for; points that had expired when they came
    // must exist before they can be written off, and held or spent points must have come back.
    let expires_first = match plan.posting.kind {
        Kind::Redeem
        | Kind::Reverse
        | Kind::Expire
        | Kind::Hold
        | Kind::Capture
        | Kind::Transfer
        | Kind::Activate
        | Kind::Cancel
        | Kind::Merge => true,
        Kind::Adjust => plan.created.is_empty(),
        Kind::Earn | Kind::Release | Kind::Refund | Kind::Unmerge => false,
    };
    let asked = (&plan.posting, plan.created.as_slice());
    let (posting, posted_entries) = match (&plan.expiry, expires_first) {
        (Some(expiry), true) => {
            let after = Holding {
                points: before.points + expiry.points(),
                ..before
            };
            ledger
                .append(work, (expiry, &[]), Origin::default(), after)
                .await?;
            ledger.append(work, asked, origin, plan.after).await?
        }
        (Some(expiry), false) => {
            let after = Holding {
                points: plan.after.points - expiry.points(),
                ..plan.after
            };
            let posted = ledger.append(work, asked, origin, after).await?;
            ledger
                .append(work, (expiry, &[]), Origin::default(), plan.after)
                .await?;
            posted
        }
        (None, _) => ledger.append(work, asked, origin, plan.after).await?,
    };

    for lot in &plan.created {
        work.add_lot(&posting, lot.clone()).await?;
    }
    for lot in plan.changed {
        work.put_lot(&posting, lot).await?;
    }

    let noted = (plan.posting.kind, plan.created.as_slice());
    let basis = tiers::basis::after(state, work, &mut standing, noted).await?;
    let takes_back = matches!(plan.posting.kind, Kind::Reverse | Kind::Cancel);
    let cause = if takes_back && standing.wallet().is_first() {
        Cause::Reversal
    } else {
        Cause::Usual
    };
    standing.turn_to(standing.wallet().clone(), plan.after);
    tiers::requalify(work.direct(), lock, &mut standing, &basis, cause).await?;
    work.put_standing(&standing).await?;
    tiers::announce(state, work.tx(), lock, &standing, basis.policy());
    Ok(Written {
        posting,
        entries: posted_entries,
        lots: plan.created,
        taken: plan.taken,
        debt_incurred: (plan.after.debt - before.debt).max(0),
        revision: lock.revision,
    })
}

/// One member's ledger, open for appending.
struct Ledger<'a> {
    state: &'a State,
    lock: &'a mut Lock,
    program: &'a Program,
    wallet: Wallet,
}

impl Ledger<'_> {
    /// Appends a posting with its entries and announces it. It tells of the lots that it makes.
    async fn append(
        &mut self,
        work: &mut Work<'_>,
        (posting, made): (&Posting, &[Lot]),
        origin: Origin,
        after: Holding,
    ) -> Result<(PostingRow, Vec<EntryRow>), Error> {
        let posted_at = work.now();
        let decision = Decision::with_lots(origin.decision, || Recorded::of(posting, made));
        let (source_type, source_ref) = origin
            .source
            .map(|source| (source.source_type, source.source_ref))
            .unzip();
        let row = PostingRow {
            customer_id: self.lock.customer_id.clone(),
            posting_id: self.state.platform.ids.uuid(),
            program_id: self.program.program_id.to_string(),
            revision: self.lock.next(),
            kind: kind(posting.kind).to_owned(),
            points: posting.points(),
            rule: source_type.is_some().then_some(origin.rule),
            source_type,
            source_ref,
            reason_code: origin.reason_code,
            reason: origin.reason,
            reverses: origin.reverses,
            counterparty: origin.counterparty,
            occurred_at: posting.occurred_at,
            posted_at,
            decision: decision.map(|decision| decision.to_json()),
            actor: origin.actor,
            approver: origin.approver,
            wallet: self.wallet.clone(),
        };
        let mut rows = rows(posting, posted_at);
        for (row, at) in rows.iter_mut().zip(origin.effective.iter().flatten()) {
            row.effective_at = at.micros();
        }
        let entry = |entry: &EntryRow| NewEntry {
            customer_id: row.customer_id.to_string(),
            program_id: row.program_id.clone(),
            posting_id: row.posting_id.clone(),
            entry: entry.clone(),
        };
        work.post(&row, rows.iter().map(entry)).await?;
        work.note_usage(origin.usage);
        let currency = self.program.code_of(&self.wallet);
        events::points_posted(work.tx(), (&row, &rows), after, currency);
        Ok((row, rows))
    }
}

fn rows(posting: &Posting, posted_at: Timestamp) -> Vec<EntryRow> {
    let row = |(line, entry): (i64, &Entry)| EntryRow {
        line,
        account: account(entry.account).to_owned(),
        lot_id: entry.lot_id.clone(),
        hold_id: entry.hold_id.clone(),
        points: entry.points,
        effective_at: posting.effective_at(entry, posted_at).micros(),
    };
    (0..).zip(&posting.entries).map(row).collect()
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Earn => "earn",
        Kind::Redeem => "redeem",
        Kind::Reverse => "reverse",
        Kind::Expire => "expire",
        Kind::Hold => "hold",
        Kind::Capture => "capture",
        Kind::Release => "release",
        Kind::Adjust => "adjust",
        Kind::Transfer => "transfer",
        Kind::Refund => "refund",
        Kind::Activate => "activate",
        Kind::Cancel => "cancel",
        Kind::Merge => "merge",
        Kind::Unmerge => "unmerge",
    }
}

fn account(account: Account) -> &'static str {
    match account {
        Account::Member => "member",
        Account::Held => "held",
        Account::Debt => "debt",
        Account::Issuance => "issuance",
        Account::Redeemed => "redeemed",
        Account::Expired => "expired",
        Account::Clearing => "clearing",
    }
}
