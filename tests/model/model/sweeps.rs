//! Sweeps: holds that have timed out are let go, and points that have expired are written off.

use api::loyalty::v1 as pb;

use super::Step;
use super::member::Member;
use crate::operations::Sweep;

impl Step<'_> {
    pub fn sweep(&mut self, sweep: &Sweep) -> pb::SweepExpiryResponse {
        let now = self.now;
        let mut all = pb::SweepExpiryResponse::default();
        for customer_id in &sweep.customers {
            let Some(customer) = self.world.customers.get_mut(customer_id) else {
                continue;
            };
            for accounts in customer.members.values_mut() {
                let mut is_due = false;
                for account in accounts.iter_mut() {
                    let holds = account.holds.iter();
                    let due = holds.filter(|hold| hold.has_timed_out(now)).count();
                    let before = expired(account);
                    account.notice(now);
                    account.write_off(now, now, |_| true);
                    let points = expired(account) - before;
                    is_due |= due > 0 || points > 0;
                    all.holds_expired += i64::try_from(due).expect("few");
                    all.points_expired += points;
                }
                // Only a posting makes anything else of what time has done.
                for account in accounts.iter_mut().filter(|_| is_due) {
                    account.end_given(now);
                }
                all.members += i64::from(is_due);
            }
        }
        all
    }
}

fn expired(account: &Member) -> i64 {
    account.lots.iter().map(|lot| lot.expired).sum()
}
