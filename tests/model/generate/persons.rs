//! Merges of members, and undoing them.
//!
//! Some customers may be merged into the others, so that there are no chains. Whoever may be merged buys nothing, and
//! shares no source with the others.

use api::loyalty::v1 as pb;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::{Generator, NOBODY, Seen, Whose};
use crate::operations::{Unmerge, may_be_merged};
use crate::service::CLUB;

impl Generator {
    pub(super) fn merge_members(&mut self, whose: Whose) -> pb::MergeMembersRequest {
        let (survivors, others) = self.roles();
        let survivor = survivors.choose(&mut self.rng);
        let absorbed = others.choose(&mut self.rng);
        pb::MergeMembersRequest {
            request_id: self.id(),
            program_id: whose.program_id,
            survivor_id: survivor.expect("there are some").clone(),
            absorbed_id: absorbed.expect("there are some").clone(),
            reason: "the same person".to_owned(),
            dry_run: self.dry(),
            ..Default::default()
        }
    }

    /// Mostly the merge that has stood for longest, so that few stand at a time.
    pub(super) fn unmerge_members(&mut self, seen: &Seen) -> Unmerge {
        let standing = seen.standing();
        let standing = standing.first();
        let undone = seen.undone.choose(&mut self.rng);
        let merge = match self.rng.random_range(0..10) {
            0 => None,
            1 => undone,
            _ => standing.or(undone),
        };
        let (program_id, merge_id, whose) = match merge {
            Some((program_id, merge_id, whose)) => {
                let elsewhere = self.rng.random_bool(0.03);
                let program_id = match program_id.as_str() {
                    CLUB if elsewhere => "",
                    _ if elsewhere => CLUB,
                    program_id => program_id,
                };
                (program_id, merge_id.as_str(), whose.clone())
            }
            None => ("", NOBODY, Vec::new()),
        };
        Unmerge {
            asked: pb::UnmergeMembersRequest {
                program_id: program_id.to_owned(),
                merge_id: merge_id.to_owned(),
                reason: "they are two".to_owned(),
                request_id: self.id(),
                dry_run: self.dry(),
                ..Default::default()
            },
            whose,
        }
    }

    /// Who may take others in, and who may be taken in.
    pub(super) fn roles(&self) -> (Vec<String>, Vec<String>) {
        let customers = self.customers.iter().cloned();
        customers.partition(|customer_id| !self.may_be_merged(customer_id))
    }

    pub(super) fn may_be_merged(&self, customer_id: &str) -> bool {
        may_be_merged(&self.customers, customer_id)
    }

    /// One who is never merged, other than this one.
    pub(super) fn survivor_other_than(&mut self, customer_id: &str) -> String {
        let (mut survivors, _) = self.roles();
        survivors.retain(|it| it != customer_id);
        let chosen = survivors.choose(&mut self.rng);
        chosen.expect("there are several").clone()
    }
}
