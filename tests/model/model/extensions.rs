//! Lots that can be spent for longer.

use std::collections::BTreeSet;

use api::loyalty::v1 as pb;
use tonic::Code;

use super::lot::Lot;
use super::{Of, Step, of, program};
use crate::answers::{Refusal, micros, stamp};
use crate::operations::{CALLER, Extend};

impl Step<'_> {
    pub fn extend(&mut self, extend: &Extend) -> Result<pb::ExtendExpiryResponse, Refusal> {
        let (now, told) = (self.now, self.told);
        let request = &extend.asked;
        let to = request.expires_at.as_ref().map(micros);
        let to = to.expect("always asked for");
        let whose = of(&request.program_id, &request.customer_id);
        self.stands(whose)?;
        self.find(whose, "")?.follow(now);
        // It posts nothing, so by itself it decides no tier.
        self.notice_only(whose)?;
        let member = self.find_with(whose, |it| it.has_lot(&request.lot_id))?;
        let points_currency = member.currency.clone();
        let lot = member.lots.iter_mut().find(|lot| lot.id == request.lot_id);
        let lot = lot.ok_or_else(|| {
            Refusal::new(Code::NotFound, "LOT_NOT_FOUND").with("lot_id", &request.lot_id)
        })?;
        let from = match lot.expires_at {
            Some(_) if lot.has_expired(now) => {
                return Err(Refusal::new(Code::FailedPrecondition, "LOT_EXPIRED"));
            }
            Some(from) if from < to => from,
            _ => return Err(Refusal::new(Code::FailedPrecondition, "EXPIRY_NOT_LATER")),
        };
        lot.expires_at = Some(to);
        let waits = lot.activates_at.is_none();
        let extension = |customer_id: &str, lot_id: &str, revision: i64| pb::ExpiryExtension {
            program_id: program(&request.program_id).to_owned(),
            customer_id: customer_id.to_owned(),
            lot_id: lot_id.to_owned(),
            from_expires_at: Some(stamp(from)),
            to_expires_at: Some(stamp(to)),
            reason: request.reason.clone(),
            extended_at: Some(stamp(now)),
            revision,
            points_currency: points_currency.clone(),
            actor: CALLER.to_owned(),
        };
        let balance = Some(member.balance(now));
        let mut of_same_earning = Vec::new();
        if waits {
            for (customer_id, lot_id) in self.of_same_earning(whose, &request.lot_id)? {
                let lot = self.lot_of(of(whose.program_id, &customer_id), &lot_id)?;
                if lot.activates_at.is_none() && lot.expires_at == Some(from) {
                    lot.expires_at = Some(to);
                    let revision = told.extended.get(of_same_earning.len());
                    let revision = revision.copied().unwrap_or(0);
                    of_same_earning.push(extension(&customer_id, &lot_id, revision));
                }
            }
        }
        Ok(pb::ExtendExpiryResponse {
            extension: Some(extension(
                &request.customer_id,
                &request.lot_id,
                told.revision,
            )),
            balance,
            consistency_token: String::new(),
            of_same_earning,
        })
    }

    /// The other lots of the earning that a lot is of: with its member and with those for whom that one stands. What
    /// merges moved from those leads from one to the other.
    fn of_same_earning(
        &self,
        whose: Of<'_>,
        lot_id: &str,
    ) -> Result<BTreeSet<(String, String)>, Refusal> {
        let program_id = self.known(whose.program_id)?;
        let (mut held, mut moved) = (Vec::new(), Vec::new());
        for (customer_id, customer) in &self.world.customers {
            let accounts = customer.members.get(program_id).into_iter().flatten();
            for account in accounts {
                let is_one = customer_id == whose.customer_id
                    || account.survivor.as_deref() == Some(whose.customer_id);
                for lot in &account.lots {
                    if is_one {
                        held.push((customer_id, &lot.id));
                    }
                    if let Some((from, from_lot)) = &lot.came_from
                        && self.survivor_of(program_id, from) == Some(whose.customer_id)
                    {
                        moved.push([from_lot, &lot.id]);
                    }
                }
            }
        }
        let mut family = BTreeSet::from([lot_id]);
        let mut size = 0;
        while size < family.len() {
            size = family.len();
            for ends in &moved {
                if ends.iter().any(|end| family.contains(end.as_str())) {
                    family.extend(ends.iter().map(|end| end.as_str()));
                }
            }
        }
        family.remove(lot_id);
        let held = held.into_iter();
        let held = held.filter(|(_, lot_id)| family.contains(lot_id.as_str()));
        Ok(held
            .map(|(customer_id, lot_id)| (customer_id.clone(), lot_id.clone()))
            .collect())
    }

    fn survivor_of(&self, program_id: &str, customer_id: &str) -> Option<&str> {
        let customer = self.world.customers.get(customer_id)?;
        customer.members.get(program_id)?[0].survivor.as_deref()
    }

    fn lot_of(&mut self, whose: Of<'_>, lot_id: &str) -> Result<&mut Lot, Refusal> {
        Ok(self.find_with(whose, |it| it.has_lot(lot_id))?.lot(lot_id))
    }
}
