//! Sweeps: holds that have timed out are let go, points that have expired are written off, and notices are told of those
//! that will.

use api::loyalty::v1 as pb;

use super::member::Member;
use super::{DAY, Micros, Step, of};
use crate::operations::{Sweep, Swept};

/// How many days ahead the default program tells that points expire, the nearest first. No other one does.
const NOTICE_DAYS: [i64; 2] = [7, 30];

/// That it was told: of which lot, when that expires, and how many days ahead.
pub type Notice = (String, Micros, i64);

impl Step<'_> {
    /// The part of a sweep that is about one member. Of all of it there is nothing to foretell.
    pub fn sweep(&mut self, sweep: &Sweep) -> Swept {
        let now = self.now;
        let mut swept = Swept::default();
        let Some((program_id, customer_id)) = sweep.of.as_ref() else {
            return swept;
        };
        let whose = of(program_id, customer_id);
        let Ok(accounts) = self.accounts(whose) else {
            return swept;
        };
        let mut member = pb::SweptMember {
            program_id: program_id.clone(),
            customer_id: customer_id.clone(),
            ..Default::default()
        };
        for account in accounts.iter_mut() {
            let holds = account.holds.iter();
            let due = holds.filter(|hold| hold.has_timed_out(now)).count();
            let before = expired(account);
            account.notice(now);
            account.write_off(now, now, |_| true);
            member.holds_expired += i64::try_from(due).expect("few");
            member.points_expired += expired(account) - before;
        }
        // Only a posting makes anything else of what time has done.
        if member.holds_expired > 0 || member.points_expired > 0 {
            for account in accounts.iter_mut() {
                account.end_given(now);
            }
            let at = if sweep.asked.dry_run { None } else { Some(now) };
            let whose = (program_id.clone(), customer_id.clone());
            swept.posted_at.extend(at.map(|at| (whose, at)));
        }
        member.passed_on = self.pass_on(whose).unwrap_or_default();
        let Ok(accounts) = self.accounts(whose) else {
            return swept;
        };
        if !sweep.is_unasked {
            member.notices = accounts.iter_mut().map(|it| it.tell(now)).sum();
        }
        if member.holds_expired + member.points_expired + member.notices > 0 {
            swept.messages.push(pb::SweepExpiryResponse {
                swept: vec![member],
                ..Default::default()
            });
        }
        swept
    }
}

impl Member {
    /// Tells the notices that lots with something left are due for, of each the nearest; returns how many.
    fn tell(&mut self, now: Micros) -> i64 {
        if self.program_id != "default" {
            return 0;
        }
        let mut told = 0;
        for lot in &self.lots {
            let Some(at) = lot.expires_at.filter(|at| lot.remaining > 0 && now < *at) else {
                continue;
            };
            let Some(days) = NOTICE_DAYS.iter().find(|days| at <= now + **days * DAY) else {
                continue;
            };
            let is_told = |it: &Notice| it.0 == lot.id && it.1 == at && it.2 <= *days;
            if !self.noticed.iter().any(is_told) {
                self.noticed.push((lot.id.clone(), at, *days));
                told += 1;
            }
        }
        told
    }
}

fn expired(account: &Member) -> i64 {
    account.lots.iter().map(|lot| lot.expired).sum()
}
