//! Statements: what there was, what was written in a period, and what there is after it.

use api::loyalty::v1 as pb;
use pb::LedgerAccount as Account;

use super::member::Member;
use super::{Micros, Step, of};
use crate::answers::{Refusal, micros, stamp};

impl Step<'_> {
    /// The digest is looked into apart: it is over ids that only the service knows.
    pub fn statement(
        &mut self,
        request: &pb::GetStatementRequest,
    ) -> Result<pb::GetStatementResponse, Refusal> {
        let instant = |at: &Option<prost_types::Timestamp>| micros(at.as_ref().expect("given"));
        let (from, to) = (instant(&request.from), instant(&request.to));
        let whose = of(&request.program_id, &request.customer_id);
        let member = self.find(whose, &request.points_currency)?;
        let within = |posting: &&pb::LedgerTransaction| (from..to).contains(&written_at(posting));
        let postings = member.postings.iter().map(|posting| &**posting);
        let movements: Vec<_> = postings.filter(within).cloned().collect();
        Ok(pb::GetStatementResponse {
            opening: Some(standing(member, from)),
            closing: Some(standing(member, to)),
            movement_count: i64::try_from(movements.len()).expect("few"),
            movements,
            points_currency: member.currency.clone(),
            ..Default::default()
        })
    }
}

fn written_at(posting: &pb::LedgerTransaction) -> Micros {
    micros(posting.posted_at.as_ref().expect("postings tell"))
}

/// What all that was written before an instant comes to.
fn standing(member: &Member, at: Micros) -> pb::StatementBalance {
    let mut standing = pb::StatementBalance {
        at: Some(stamp(at)),
        ..Default::default()
    };
    let before = member.postings.iter().filter(|it| written_at(it) < at);
    for entry in before.flat_map(|posting| &posting.entries) {
        match entry.account() {
            Account::Member => {
                standing.points += entry.points;
                let lot = member.lots.iter().find(|lot| lot.id == entry.lot_id);
                let lot = lot.expect("lots never go away");
                let waits = lot.activates_at.is_none_or(|from| from >= at);
                if waits && lot.expires_at.is_none_or(|until| until >= at) {
                    standing.pending += entry.points;
                }
            }
            Account::Held => {
                standing.points += entry.points;
                standing.held += entry.points;
            }
            Account::Debt => {
                standing.points += entry.points;
                standing.debt -= entry.points;
            }
            _ => {}
        }
    }
    standing
}
