//! What readers are told.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;

use super::holds::{no_such_hold, shown};
use super::member::{Lot, Member};
use super::{Micros, Of, Step, of};
use crate::answers::{Refusal, micros, stamp};

/// A balance names this many expiries at most.
const NEXT_EXPIRIES_MAX: usize = 10;

impl Step<'_> {
    pub fn balance(
        &mut self,
        request: &pb::GetBalanceRequest,
    ) -> Result<pb::GetBalanceResponse, Refusal> {
        let at = request.as_of.as_ref().map_or(self.now, micros);
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.find(whose, &request.points_currency)?;
        // Nobody has to have noticed that holds timed out.
        member.notice(at);
        Ok(pb::GetBalanceResponse {
            balance: Some(member.balance(at)),
        })
    }

    pub fn balances(
        &mut self,
        request: &pb::ListBalancesRequest,
    ) -> Result<pb::ListBalancesResponse, Refusal> {
        let at = request.as_of.as_ref().map_or(self.now, micros);
        let accounts = self.accounts(of(&request.program_id, &request.customer_id))?;
        for account in accounts.iter_mut() {
            account.notice(at);
        }
        Ok(pb::ListBalancesResponse {
            balances: accounts.iter().map(|account| account.balance(at)).collect(),
        })
    }

    pub fn lots(&mut self, request: &pb::ListLotsRequest) -> Result<pb::ListLotsResponse, Refusal> {
        let now = self.now;
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.listed(whose, &request.points_currency)?;
        member.lots.sort_by_key(Lot::spending_order);
        let lots = member.lots.iter().map(|lot| member.shown(lot, now));
        Ok(pb::ListLotsResponse {
            lots: page(lots, request.page_size),
            next_page_token: String::new(),
        })
    }

    pub fn transactions(
        &mut self,
        request: &pb::ListTransactionsRequest,
    ) -> Result<pb::ListTransactionsResponse, Refusal> {
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.listed(whose, &request.points_currency)?;
        let latest = member
            .postings
            .iter()
            .rev()
            .map(|posting| (**posting).clone());
        Ok(pb::ListTransactionsResponse {
            transactions: page(latest, request.page_size),
            next_page_token: String::new(),
        })
    }

    pub fn hold(&mut self, request: &pb::GetHoldRequest) -> Result<pb::GetHoldResponse, Refusal> {
        let now = self.now;
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.find_with(whose, |it| it.has_hold(&request.hold_id))?;
        Ok(pb::GetHoldResponse {
            hold: Some(member.hold(&request.hold_id, now)?),
        })
    }

    pub fn holds(
        &mut self,
        request: &pb::ListHoldsRequest,
    ) -> Result<pb::ListHoldsResponse, Refusal> {
        let now = self.now;
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.listed(whose, &request.points_currency)?;
        let latest = member
            .holds
            .iter()
            .rev()
            .map(|hold| shown(member, hold, now));
        Ok(pb::ListHoldsResponse {
            holds: page(latest, request.page_size),
            next_page_token: String::new(),
        })
    }
}

impl Step<'_> {
    /// The account that a list is about. Nobody asks for a list of several: in which order changes of one customer
    /// came that nobody was told of is not known here.
    fn listed(&mut self, whose: Of<'_>, code: &str) -> Result<&mut Member, Refusal> {
        if code.is_empty() {
            let accounts = self.accounts(whose)?;
            assert_eq!(accounts.len(), 1, "a list names the currency");
        }
        self.find(whose, code)
    }
}

fn page<T>(all: impl Iterator<Item = T>, page_size: i32) -> Vec<T> {
    let size = if page_size == 0 { 100 } else { page_size };
    all.take(usize::try_from(size).expect("asked for above zero"))
        .collect()
}

impl Member {
    pub fn told(&self) -> pb::Member {
        pb::Member {
            program_id: self.program_id.clone(),
            customer_id: self.customer_id.clone(),
            state: match &self.survivor {
                None => pb::MemberState::Active.into(),
                Some(_) => pb::MemberState::Merged.into(),
            },
            // There are no chains.
            merged_into: self.survivor.clone().unwrap_or_default(),
            survivor_id: self.survivor.clone().unwrap_or_default(),
            enrolled_at: Some(stamp(self.enrolled_at)),
        }
    }

    /// What can be spent; holds that timed out were let go before.
    pub fn balance(&self, at: Micros) -> pb::Balance {
        let (mut available, mut pending) = (0, 0);
        let mut expiries: BTreeMap<Micros, i64> = BTreeMap::new();
        for lot in &self.lots {
            match lot.state(at) {
                pb::LotState::Active => {
                    available += lot.remaining;
                    if let Some(expires_at) = lot.expires_at.filter(|_| lot.remaining > 0) {
                        *expiries.entry(expires_at).or_default() += lot.remaining;
                    }
                }
                pb::LotState::Pending => pending += lot.remaining,
                _ => {}
            }
        }
        let expiry = |(expires_at, points)| pb::Expiry {
            expires_at: Some(stamp(expires_at)),
            points,
        };
        pb::Balance {
            available,
            pending,
            debt: self.debt,
            next_expiries: expiries
                .into_iter()
                .take(NEXT_EXPIRIES_MAX)
                .map(expiry)
                .collect(),
            as_of: Some(stamp(at)),
            held: self.lots.iter().map(|lot| lot.held).sum(),
            points_currency: self.currency.clone(),
        }
    }

    pub fn hold(&self, hold_id: &str, at: Micros) -> Result<pb::Hold, Refusal> {
        let hold = self.holds.iter().find(|hold| hold.id == hold_id);
        hold.map(|hold| shown(self, hold, at))
            .ok_or_else(|| no_such_hold(hold_id))
    }

    pub fn shown_lot(&self, lot_id: &str, at: Micros) -> pb::Lot {
        let lot = self.lots.iter().find(|lot| lot.id == lot_id);
        self.shown(lot.expect("lots never go away"), at)
    }

    fn shown(&self, lot: &Lot, at: Micros) -> pb::Lot {
        pb::Lot {
            lot_id: lot.id.clone(),
            program_id: self.program_id.clone(),
            customer_id: self.customer_id.clone(),
            transaction_id: lot.posting_id.clone(),
            state: lot.state(at).into(),
            original: lot.original,
            remaining: lot.remaining,
            consumed: lot.consumed,
            expired: lot.expired,
            reversed: lot.reversed,
            earned_at: Some(stamp(lot.earned_at)),
            activates_at: lot.activates_at.map(stamp),
            expires_at: lot.expires_at.map(stamp),
            held: lot.held,
            cancelled_at: lot.cancelled_at.map(stamp),
            points_currency: self.currency.clone(),
        }
    }
}
