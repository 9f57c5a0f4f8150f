//! Postings: double entry, and from when on each line counts.

use std::rc::Rc;

use api::loyalty::v1 as pb;
use pb::{LedgerAccount as Account, TransactionKind as Kind};

use super::Micros;
use super::member::Member;
use crate::answers::{micros, sort_entries, stamp};

impl Member {
    /// Adds a posting to the ledger and returns it whole. Points count from when they were earned or let go, all else
    /// from when it was posted.
    pub fn post(&mut self, posting: pb::LedgerTransaction, now: Micros) -> pb::LedgerTransaction {
        let occurred_at = posting.occurred_at.as_ref().map_or(now, micros).min(now);
        let counts_from = |entry: &pb::LedgerEntry| {
            let comes = match entry.account() {
                Account::Issuance => true,
                Account::Member => entry.points > 0,
                _ => false,
            };
            match posting.kind() {
                Kind::Release => occurred_at,
                Kind::Activate => now,
                _ if comes => occurred_at,
                _ => now,
            }
        };
        let from: Vec<_> = posting.entries.iter().map(counts_from).collect();
        self.post_from(posting, &from, now)
    }

    /// The same, with the instant from which each line counts.
    pub fn post_from(
        &mut self,
        posting: pb::LedgerTransaction,
        from: &[Micros],
        now: Micros,
    ) -> pb::LedgerTransaction {
        self.latest = self.latest.max(from.iter().copied().max());
        for (entry, at) in posting.entries.iter().zip(from) {
            if entry.account() == Account::Member {
                self.moves.push((entry.lot_id.clone(), *at, entry.points));
            }
        }
        let own = [Account::Member, Account::Held, Account::Debt];
        let own = |entry: &&pb::LedgerEntry| own.contains(&entry.account());
        let mut posting = pb::LedgerTransaction {
            program_id: self.program_id.clone(),
            customer_id: self.customer_id.clone(),
            points_currency: self.currency.clone(),
            points: posting
                .entries
                .iter()
                .filter(own)
                .map(|entry| entry.points)
                .sum(),
            posted_at: Some(stamp(now)),
            ..posting
        };
        sort_entries(&mut posting);
        self.postings.push(Rc::new(posting.clone()));
        posting
    }
}
