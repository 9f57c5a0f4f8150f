//! What is asked for of all members at once: whether all that is told of it agrees with itself. What was done for each
//! member has a place of its own among the changes.

use std::collections::BTreeSet;

use api::loyalty::v1 as pb;

use crate::history::Event;
use crate::operations::{Recalculate, Recalculated, Request, Response, Sweep, Swept, token};

/// Whether it is all of it.
pub fn is_whole(event: &Event) -> bool {
    match (&event.request, &event.answer) {
        (Request::Sweep(it), Ok(_)) => it.of.is_none(),
        (Request::Recalculate(it), Ok(_)) => it.of.is_none(),
        _ => false,
    }
}

pub fn check(event: &Event) -> Result<(), String> {
    let agrees = match (&event.request, &event.answer) {
        (Request::Sweep(asked), Ok(Response::Sweep(told))) => swept(asked, told),
        (Request::Recalculate(asked), Ok(Response::Recalculate(told))) => recalculated(asked, told),
        _ => false,
    };
    if agrees {
        return Ok(());
    }
    Err(format!("it does not agree with itself: {event:#?}"))
}

/// Each member is told once, in order, and counts are those of all so far.
fn swept(asked: &Sweep, told: &Swept) -> bool {
    let mut so_far = pb::SweepExpiryResponse::default();
    let mut once = BTreeSet::new();
    told.messages.iter().all(|message| {
        for member in &message.swept {
            so_far.members += 1;
            so_far.holds_expired += member.holds_expired;
            so_far.points_expired += member.points_expired;
            so_far.notices += member.notices;
        }
        so_far.swept.clone_from(&message.swept);
        let key = |it: &pb::SweptMember| (it.customer_id.clone(), it.program_id.clone());
        let is_new = |it: &pb::SweptMember| once.insert(key(it));
        let own = message.swept.iter();
        let own = own.map(|it| (&it.customer_id, &it.consistency_token));
        let steps = message.swept.iter().flat_map(|it| &it.passed_on);
        let received = steps.map(|it| (&it.to_customer_id, &it.consistency_token));
        let tokens = own.chain(received);
        *message == so_far
            && message.swept.is_sorted_by_key(key)
            && message.swept.iter().all(is_new)
            && are_of(asked.asked.dry_run, tokens)
    })
}

/// Each member is told once, in order, with a token of the revision that it tells.
fn recalculated(asked: &Recalculate, told: &Recalculated) -> bool {
    let mut last = String::new();
    let is_dry = asked.asked.dry_run;
    let mut rest = told.messages.len();
    !told.messages.is_empty()
        && told.messages.iter().all(|message| {
            rest -= 1;
            let changes = &message.changes;
            let tokens = &message.consistency_tokens;
            let whose = changes.iter().map(|it| &it.customer_id);
            let revisions = changes.iter().map(|it| it.revision);
            let of_tokens = tokens.iter().map(|it| token(it).1);
            changes.iter().all(|change| {
                let before = std::mem::replace(&mut last, change.customer_id.clone());
                before < change.customer_id
            }) && i64::try_from(changes.len()).is_ok_and(|moved| moved <= message.members)
                && message.next_page_token.is_empty() == (rest == 0)
                && if is_dry {
                    tokens.is_empty() && revisions.eq(changes.iter().map(|_| 0))
                } else {
                    revisions.eq(of_tokens) && are_of(false, whose.zip(tokens))
                }
        })
}

/// Whether each has a token of its own history, unless it is dry.
fn are_of<'a>(is_dry: bool, mut tokens: impl Iterator<Item = (&'a String, &'a String)>) -> bool {
    tokens.all(|(whose, text)| {
        if is_dry {
            text.is_empty()
        } else {
            token(text).0 == *whose
        }
    })
}
