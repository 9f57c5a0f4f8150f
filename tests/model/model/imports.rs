//! Imports: rows of another system's ledger, posted as of when they occurred.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use pb::{ImportKind, ImportRowStatus, LedgerAccount as Account, TransactionKind as Kind};
use tonic::Code;

use super::member::{Earning, Lot, Member, Spending, of_lot, on};
use super::points::{bring_in, new_lot};
use super::{Micros, Step, World, of, program};
use crate::answers::{Refusal, micros};
use crate::operations::{Import, Imported, Told};

/// A row that was imported, and its posting.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    row: pb::ImportRow,
    id: String,
}

/// What a row comes to.
struct Done {
    status: ImportRowStatus,
    id: String,
    owed: i64,
    posting: Option<pb::LedgerTransaction>,
}

/// When a row occurred, and when its debt is settled: then, unless something later is in the ledger already.
#[derive(Clone, Copy)]
struct When {
    at: Micros,
    settled: Micros,
    now: Micros,
}

impl Step<'_> {
    pub fn import(&mut self, import: &Import) -> Result<Imported, Refusal> {
        let header = import.header();
        let program_id = self.known(&header.program_id)?.to_owned();
        let code = &header.points_currency;
        if self.world.place(&program_id, code).is_none() {
            return Err(Refusal::new(Code::NotFound, "CURRENCY_NOT_FOUND")
                .with("program_id", &program_id)
                .with("points_currency", code));
        }
        let mut answer = pb::ImportTransactionsResponse::default();
        let mut postings = Vec::new();
        for (n, row) in import.chunk.rows.iter().enumerate() {
            // Of dry rows nobody tells the lots, which differ all the same.
            let told = Told {
                nameless: format!("of row {}", row.row),
                ..self.told.items.get(n).cloned().unwrap_or_default()
            };
            let mut after = self.world.clone();
            let mut step = Step {
                world: &mut after,
                told: &told,
                now: self.now,
            };
            let (outcome, posting) = match step.row(header, row) {
                Ok(done) => {
                    *self.world = after;
                    let transaction_id = if header.dry_run {
                        String::new()
                    } else {
                        done.id
                    };
                    let outcome = pb::ImportRowOutcome {
                        status: done.status.into(),
                        transaction_id,
                        debt_incurred: done.owed,
                        ..Default::default()
                    };
                    (outcome, done.posting.filter(|_| !header.dry_run))
                }
                Err(refusal) => (refused(refusal), None),
            };
            answer.last_row = row.row;
            answer.outcomes.push(pb::ImportRowOutcome {
                row: row.row,
                ..outcome
            });
            postings.push(posting);
        }
        Ok(Imported {
            answer,
            postings,
            enrolled: BTreeMap::new(),
        })
    }

    fn row(&mut self, header: &pb::ImportHeader, row: &pb::ImportRow) -> Result<Done, Refusal> {
        let (now, told) = (self.now, self.told);
        let at = row.occurred_at.as_ref().map(micros).expect("always given");
        let (whose, code) = (
            of(&header.program_id, &row.customer_id),
            &header.points_currency,
        );
        match self.find(whose, code) {
            Ok(member) => {
                if let Some(known) = member.imported.get(&row.external_id) {
                    return again(known, row);
                }
            }
            Err(_) if header.enroll_missing => {
                if !gives(row) && !row.force {
                    return Err(insufficient(0));
                }
                let program_id = program(&header.program_id).to_owned();
                let since = told.enrolled_at.unwrap_or(now);
                let customer = (row.customer_id.as_str(), since);
                let accounts = World::enrolled(&self.world.programs, &program_id, customer);
                let customer = self.world.customers.entry(row.customer_id.clone());
                customer.or_default().join(&program_id, accounts);
            }
            Err(refusal) => return Err(refusal),
        }
        let first = row.activates_at.as_ref().map_or(at, micros);
        let by_program = self.expiry(&header.program_id, code, first);
        let member = self.open(whose, code)?;
        let is_last = member.latest.is_none_or(|latest| latest <= at);
        let settled = if is_last { at } else { now };
        let when = When { at, settled, now };
        let posting = pb::LedgerTransaction {
            source_type: header.source_system.clone(),
            source_ref: row.external_id.clone(),
            rule: member.rule("import"),
            reason_code: row.reason_code.clone(),
            ..told.posting(kind(row), at, &row.reason)
        };
        let (posting, owed) = if gives(row) {
            let expires_at = row.expires_at.as_ref().map(micros).or(by_program);
            let lot = new_lot(told, row.points, (at, Some(first), expires_at));
            (give(member, lot, row, posting, when), 0)
        } else {
            take(member, row, posting, when)?
        };
        let id = told.transaction_id.clone();
        let known = Known {
            row: row.clone(),
            id: id.clone(),
        };
        member.imported.insert(row.external_id.clone(), known);
        Ok(Done {
            status: ImportRowStatus::Imported,
            id,
            owed,
            posting: Some(posting),
        })
    }
}

/// Points that come repay debt first.
fn give(
    member: &mut Member,
    lot: Lot,
    row: &pb::ImportRow,
    posting: pb::LedgerTransaction,
    when: When,
) -> pb::LedgerTransaction {
    let is_earned = row.kind() == ImportKind::Earn;
    let counts = is_earned && member.is_first && !row.not_qualifying;
    let lot = Lot {
        qualifying: if counts { row.points } else { 0 },
        ..lot
    };
    if is_earned {
        let earning = Earning {
            lot_id: lot.id.clone(),
            revision: posting.revision,
            lines: Vec::new(),
            settled_by: None,
            source: (posting.source_type.clone(), posting.source_ref.clone()),
            rule: posting.rule.clone(),
            reversed: (0, 0),
            adjusted: 0,
            counted: Vec::new(),
            latest: String::new(),
        };
        let id = posting.transaction_id.clone();
        member.earnings.insert(id, earning);
    }
    bring_in(member, lot, posting, (when.settled, when.now))
}

/// Points that go, from lots as they were then, as far as nothing since has needed them. What is missing is taken
/// from what there is otherwise and becomes debt, if that is forced.
fn take(
    member: &mut Member,
    row: &pb::ImportRow,
    posting: pb::LedgerTransaction,
    when: When,
) -> Result<(pb::LedgerTransaction, i64), Refusal> {
    let points = row.points.abs();
    member.lots.sort_by_key(Lot::spending_order);
    let mut missing = points;
    // Lot, points, and from when on they count.
    let mut taken: Vec<(String, i64, Micros)> = Vec::new();
    for place in 0..member.lots.len() {
        let unneeded = member.unneeded(&member.lots[place], when.at);
        let lot = &mut member.lots[place];
        let was_there = match lot.state(when.at) {
            pb::LotState::Active => true,
            pb::LotState::Expired => row.kind() == ImportKind::Expire,
            _ => false,
        };
        let part = missing.min(unneeded);
        if was_there && part > 0 {
            missing -= part;
            leave(lot, part, row.kind());
            taken.push((lot.id.clone(), part, when.at));
        }
    }
    if missing > 0 && !row.force {
        return Err(insufficient(points - missing));
    }
    if missing > 0 {
        member.write_off(when.settled, when.now, |_| true);
        for state in [pb::LotState::Active, pb::LotState::Pending] {
            for lot in &mut member.lots {
                let part = missing.min(lot.remaining);
                if part == 0 || lot.state(when.settled) != state {
                    continue;
                }
                missing -= part;
                leave(lot, part, row.kind());
                match taken.iter_mut().find(|(lot_id, ..)| *lot_id == lot.id) {
                    Some(taken) => *taken = (lot.id.clone(), taken.1 + part, when.settled),
                    None => taken.push((lot.id.clone(), part, when.settled)),
                }
            }
        }
        member.debt += missing;
    }
    let contra = match row.kind() {
        ImportKind::Expire => Account::Expired,
        ImportKind::Adjust => Account::Issuance,
        _ => Account::Redeemed,
    };
    let mut entries = vec![(on(contra, points), when.at)];
    if missing > 0 {
        entries.push((on(Account::Debt, -missing), when.settled));
    }
    let of_lots = taken.iter();
    entries.extend(of_lots.map(|(lot_id, points, from)| (of_lot(lot_id, -points), *from)));
    if row.kind() == ImportKind::Adjust {
        for (lot_id, points, _) in &taken {
            let of_lot = |earning: &&mut Earning| earning.lot_id == *lot_id;
            if let Some(earning) = member.earnings.values_mut().find(of_lot) {
                earning.adjusted += points;
            }
        }
    }
    if row.kind() == ImportKind::Redeem {
        let spending = Spending {
            parts: taken
                .into_iter()
                .map(|(lot_id, points, _)| (lot_id, points, 0))
                .collect(),
            latest: String::new(),
        };
        member
            .spendings
            .insert(posting.transaction_id.clone(), spending);
    }
    let (entries, from): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let posting = pb::LedgerTransaction { entries, ..posting };
    Ok((member.post_from(posting, &from, when.now), missing))
}

impl Member {
    /// How many points of a lot nothing has needed since an instant: the least that it has had left from then on.
    fn unneeded(&self, lot: &Lot, since: Micros) -> i64 {
        let mut later: BTreeMap<Micros, i64> = BTreeMap::new();
        for (_, at, points) in self
            .moves
            .iter()
            .filter(|it| it.0 == lot.id && it.1 > since)
        {
            *later.entry(*at).or_default() += points;
        }
        let mut left = lot.remaining;
        let mut least = left;
        for points in later.values().rev() {
            left -= points;
            least = least.min(left);
        }
        least.max(0)
    }
}

fn leave(lot: &mut Lot, points: i64, kind: ImportKind) {
    lot.remaining -= points;
    match kind {
        ImportKind::Expire => lot.expired += points,
        ImportKind::Adjust => lot.reversed += points,
        _ => lot.consumed += points,
    }
}

fn gives(row: &pb::ImportRow) -> bool {
    match row.kind() {
        ImportKind::Earn => true,
        ImportKind::Adjust => row.points > 0,
        _ => false,
    }
}

fn kind(row: &pb::ImportRow) -> Kind {
    match row.kind() {
        ImportKind::Earn => Kind::Earn,
        ImportKind::Expire => Kind::Expire,
        ImportKind::Adjust => Kind::Adjust,
        ImportKind::Redeem | ImportKind::Unspecified => Kind::Redeem,
    }
}

fn insufficient(available: i64) -> Refusal {
    let refusal = Refusal::new(Code::FailedPrecondition, "INSUFFICIENT_POINTS");
    refusal.with("available", available)
}

/// The same row changes nothing; another one under its name is refused. Only its points ever differ here.
fn again(known: &Known, row: &pb::ImportRow) -> Result<Done, Refusal> {
    if known.row.points != row.points {
        let refusal = Refusal {
            fields: vec!["points".to_owned()],
            ..Refusal::new(Code::AlreadyExists, "IMPORT_CONFLICT")
        };
        let refusal = refusal.with("transaction_id", &known.id);
        return Err(refusal.with("fields", "points"));
    }
    Ok(Done {
        status: ImportRowStatus::AlreadyImported,
        id: known.id.clone(),
        owed: 0,
        posting: None,
    })
}

fn refused(refusal: Refusal) -> pb::ImportRowOutcome {
    let violation = |field| pb::ImportViolation {
        field,
        description: String::new(),
    };
    pb::ImportRowOutcome {
        status: ImportRowStatus::Refused.into(),
        reason: refusal.reason,
        metadata: refusal.metadata.into_iter().collect(),
        violations: refusal.fields.into_iter().map(violation).collect(),
        ..Default::default()
    }
}
