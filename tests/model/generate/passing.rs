//! What is asked of one member about what another one began, and what goes on to another one.

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
        let of_merged = self.of_merged(places, seen);
        if let Some(((of, _, place), survivor)) = of_merged
            && self.rng.random_bool(0.6)
        {
            *program_id = of;
            *whose = survivor;
            *id = place;
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

    /// What a hold lets go of one who is merged goes on to who stands for it.
    pub(super) fn of_held(&self, asked: Request) -> Request {
        let mut of = asked.customers().into_iter();
        if !of.all(|customer_id| self.may_be_merged(customer_id)) {
            return asked;
        }
        let (whose, _) = self.roles();
        Request::Elsewhere(Elsewhere {
            asked: Box::new(asked),
            whose,
        })
    }

    /// Something that a merged member began lately, and who stands for it.
    pub(super) fn of_merged(&mut self, places: &[Place], seen: &Seen) -> Option<(Place, String)> {
        let merges = seen.standing();
        let (of, _, both) = merges.choose(&mut self.rng)?;
        let is_its = |(program, customer, _): &&Place| program == of && *customer == both[1];
        let latest = places.iter().rev().filter(is_its).take(6);
        let places: Vec<_> = latest.collect();
        let place = places.choose(&mut self.rng)?;
        Some(((*place).clone(), both[0].clone()))
    }
}
