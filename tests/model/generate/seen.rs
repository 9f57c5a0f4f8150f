//! What callers have seen so far, to come back to.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use pb::TransactionKind::{Capture, Earn, Redeem};

use crate::operations::{Import, Imported, Request, Response, batches};

#[derive(Debug, Default)]
pub struct Seen {
    pub lots: Vec<Place>,
    pub holds: Vec<Place>,
    pub postings: Vec<Place>,
    /// Of purchases.
    pub bought: Vec<Place>,
    /// Sources, each with who earned by it.
    pub sources: Vec<(String, String)>,
    /// Sources of points that wait for an event, or did.
    pub waiting: Vec<Place>,
    /// Rows that were imported, with what held for all of theirs.
    pub rows: Vec<(pb::ImportHeader, pb::ImportRow)>,
    /// Merges of members, and those of them that are undone.
    pub merges: Vec<Merge>,
    pub undone: Vec<Merge>,
    /// Limits, each with the version and the usage that was told last.
    pub limits: BTreeMap<String, (i64, i64)>,
}

/// Something in a member's ledger: program, customer, id.
pub type Place = (String, String, String);
/// A merge: program, id, and the survivor with the absorbed one.
pub type Merge = (String, String, Vec<String>);

impl Seen {
    /// Remembers what an answer named.
    pub fn remember(&mut self, request: &Request, response: &Response) {
        if let Response::Usage(told) = response {
            for usage in &told.usages {
                let limit = usage.limit.clone().unwrap_or_default();
                self.limits
                    .insert(limit.limit_id, (limit.version, usage.used));
            }
        }
        if !request.has_effect() {
            return;
        }
        if let (Request::Batch(batch), Response::Batch(answer)) = (request.plain(), response) {
            for (request, result) in batches::requests(batch).iter().zip(&answer.results) {
                if let Some(response) = batches::response(result) {
                    self.remember(request, &response);
                }
            }
            return;
        }
        if let (Request::Import(asked), Response::Import(answer)) = (request, response) {
            self.remember_rows(asked, answer);
            return;
        }
        match response {
            Response::MergeMembers(it) => self.remember_merge(it.merge.as_ref(), &it.moved),
            Response::UnmergeMembers(it) => self.remember_merge(it.merge.as_ref(), &it.returned),
            _ => {}
        }
        self.remember_passed(response.clone());
        let told = response.told();
        for posting in response.clone().postings() {
            let place = |id: &str| place(posting, id);
            // Of those that cannot be reversed some are enough.
            let can_be_reversed = matches!(posting.kind(), Earn | Redeem | Capture);
            let is_private = matches!(request, Request::Announce(it) if it.is_private);
            if is_private {
                // Nobody takes it back but who told of it.
            } else if can_be_reversed || self.postings.len().is_multiple_of(5) {
                self.postings.push(place(&posting.transaction_id));
            }
            if !told.hold_id.is_empty() {
                self.holds.push(place(&told.hold_id));
            }
            let lots = posting.entries.iter().map(|entry| entry.lot_id.as_str());
            let new = lots.filter(|lot_id| told.lot_ids.iter().any(|new| new == lot_id));
            self.lots.extend(new.map(place));
            if matches!(request, Request::Announce(it) if !it.is_private) {
                self.bought.push(place(&posting.transaction_id));
            }
            if let Request::Earn(earn) = request {
                self.sources
                    .push((earn.customer_id.clone(), earn.source_ref.clone()));
                // Those with lines are come back to most.
                if !earn.lines.is_empty() {
                    let again = place(&posting.transaction_id);
                    self.postings.extend([again.clone(), again]);
                }
                // Of those that never waited some are enough.
                if earn.activates_on_event || self.sources.len().is_multiple_of(9) {
                    self.waiting.push(place(&earn.source_ref));
                }
            }
        }
    }
}

impl Seen {
    /// The merges that stand, the first made first.
    pub fn standing(&self) -> Vec<Merge> {
        let stands = |merge: &&Merge| !self.undone.contains(merge);
        self.merges.iter().filter(stands).cloned().collect()
    }

    /// A merge that was made or undone, and the lots that points went into.
    fn remember_merge(&mut self, merge: Option<&pb::MemberMerge>, moved: &[pb::MovedPoints]) {
        let merge = merge.expect("always told");
        let pb::MemberMerge {
            program_id,
            merge_id,
            survivor_id,
            absorbed_id,
            ..
        } = merge.clone();
        let is_undone = merge.unmerged_at.is_some();
        let into = if is_undone {
            &absorbed_id
        } else {
            &survivor_id
        };
        for lot in moved.iter().flat_map(|moved| &moved.lots) {
            self.lots
                .push((program_id.clone(), into.clone(), lot.lot_id.clone()));
        }
        let merge = (program_id, merge_id, vec![survivor_id, absorbed_id]);
        let merges = if is_undone {
            &mut self.undone
        } else {
            &mut self.merges
        };
        merges.push(merge);
    }

    /// The lots that points went into which were passed on.
    fn remember_passed(&mut self, mut response: Response) {
        let steps = response.steps();
        let Some(posting) = response.postings().into_iter().next() else {
            return;
        };
        for step in &steps {
            for lot in step.moved.iter().flat_map(|moved| &moved.lots) {
                let (program, customer) = (&posting.program_id, &step.to_customer_id);
                self.lots
                    .push((program.clone(), customer.clone(), lot.lot_id.clone()));
            }
        }
    }

    fn remember_rows(&mut self, asked: &Import, answer: &Imported) {
        for (row, posting) in asked.chunk.rows.iter().zip(&answer.postings) {
            let Some(posting) = posting else {
                continue;
            };
            self.rows.push((asked.header().clone(), row.clone()));
            let can_be_reversed = matches!(posting.kind(), Earn | Redeem);
            if can_be_reversed {
                self.postings.push(place(posting, &posting.transaction_id));
            }
        }
    }
}

fn place(posting: &pb::LedgerTransaction, id: &str) -> Place {
    let (program, customer) = (&posting.program_id, &posting.customer_id);
    (program.clone(), customer.clone(), id.to_owned())
}
