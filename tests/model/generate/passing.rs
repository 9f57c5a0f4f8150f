//! What is asked of one member about what another one began.

use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::seen::Place;
use super::{Generator, Seen};
use crate::operations::{Elsewhere, Request};

impl Generator {
    /// What a merged member began who stands for it is asked about, and now and then somebody else.
    pub(super) fn elsewhere(&mut self, mut asked: Request, seen: &Seen) -> Request {
        let (places, program_id, whose, id) = match &mut asked {
            Request::Reverse(it) => (
                &seen.postings,
                &mut it.program_id,
                &mut it.customer_id,
                &mut it.transaction_id,
            ),
            Request::Activate(it) => (
                &seen.waiting,
                &mut it.program_id,
                &mut it.customer_id,
                &mut it.source_ref,
            ),
            Request::Cancel(it) => (
                &seen.waiting,
                &mut it.program_id,
                &mut it.customer_id,
                &mut it.source_ref,
            ),
            other => unreachable!("nobody else is asked about it: {other:?}"),
        };
        let merges = seen.standing();
        if let Some((of, _, both)) = merges.choose(&mut self.rng)
            && self.rng.random_bool(0.35)
        {
            let is_its = |(program, customer, _): &&Place| program == of && *customer == both[1];
            let places: Vec<_> = places.iter().filter(is_its).collect();
            let Some((.., place)) = places.choose(&mut self.rng) else {
                return asked;
            };
            program_id.clone_from(of);
            whose.clone_from(&both[0]);
            id.clone_from(place);
        } else if self.may_be_merged(whose) && self.rng.random_bool(0.05) {
            *whose = self.survivor_other_than("");
        } else {
            return asked;
        }
        let (_, whose) = self.roles();
        Request::Elsewhere(Elsewhere {
            asked: Box::new(asked),
            whose,
        })
    }
}
