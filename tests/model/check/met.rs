//! What a history has met of what there is: a run that meets too little proves nothing.

use api::loyalty::v1 as pb;

use crate::answers::Answer;
use crate::generate::is_further;
use crate::history::Event;
use crate::operations::purchases::Happened;
use crate::operations::{Announce, Announced, Merged, Request, Response, Standing, Swept, batches};

/// Each thing once for each time that it was met.
pub fn met(event: &Event) -> Vec<String> {
    let mut met = limits(&event.answer);
    match (&event.request, &event.answer) {
        (Request::Announce(announce), Ok(Response::Announce(announced))) => {
            met.extend(purchases(announce, announced));
        }
        (Request::Sweep(sweep), Ok(Response::Sweep(told))) if event.is_change() => {
            met.extend(swept(told));
            met.extend(
                sweep
                    .is_unasked
                    .then(|| "swept in the background".to_owned()),
            );
        }
        (_, Ok(Response::Recalculate(told))) if event.is_change() => {
            let change = told.change().expect("it moved somebody");
            if change.reason() == pb::TierChangeReason::AgedOut {
                met.push(format!("tier lost in {}", change.program_id));
            }
            met.push(format!("moved by {}", change.reason().as_str_name()));
        }
        (Request::Publish(_), Ok(Response::Publish(told))) if event.is_change() => {
            let policy = told.policy.as_ref().expect("always told");
            met.push(format!("policy by {}", policy.metric().as_str_name()));
            met.push(format!("policy in {}", policy.period().as_str_name()));
            met.push(format!("policy with {}", policy.downgrade().as_str_name()));
        }
        (Request::Tier(asked), Ok(Response::Tier(told))) => {
            let is_by_token = asked.as_of.is_none() && !asked.at_least.is_empty();
            met.extend(is_by_token.then(|| "tier by a token".to_owned()));
            met.extend(told.tier.as_ref().map(|tier| {
                let is_earned = tier.rank > 1 && tier.tier_override.is_none();
                let how = if is_earned { "earned" } else { "told" };
                format!("tier {how} by {}", tier.metric().as_str_name())
            }));
        }
        (_, Ok(Response::Progress(told))) => {
            let progress = told.progress.as_ref().expect("always told");
            let falls = progress.next_fall.as_ref();
            met.extend(falls.map(|_| "fall foretold".to_owned()));
            let rises = progress.forecasts.iter().any(|it| it.points_to_stay == 0);
            met.extend(rises.then(|| "move without a way to stay foretold".to_owned()));
        }
        (_, Ok(Response::Forecast(told))) => {
            let expires = told.buckets.iter().any(|it| it.points > 0);
            met.extend(expires.then(|| "points foretold to expire".to_owned()));
            let is_held = told.buckets.iter().any(|it| it.held > 0);
            met.extend(is_held.then(|| "held points foretold to expire".to_owned()));
        }
        (Request::SetLimit(it), Ok(_)) if event.is_change() => {
            let limit = it.limit.as_ref().expect("always given");
            let is_new = is_further(&limit.limit_id);
            met.extend(is_new.then(|| "limit set that is new".to_owned()));
        }
        (Request::EndLimit(_), Ok(_)) if event.is_change() => met.push("limit ended".to_owned()),
        (_, Ok(Response::Trace(told))) => {
            let is_new = told.limits.iter().any(|it| is_further(&it.limit_id));
            met.extend(is_new.then(|| "earning under a new limit".to_owned()));
            let by = told.purchase.as_ref().map(|it| it.tier_policy_version);
            let is_later = by.is_some_and(|version| version > 1);
            met.extend(is_later.then(|| "purchase by a later policy".to_owned()));
        }
        (Request::Merge(_), Ok(Response::Merge(told))) => met.extend(merges(told)),
        (Request::Elsewhere(_), Ok(told)) if event.is_change() => {
            let has_passed = !told.steps().is_empty();
            met.extend(has_passed.then(|| "passed on".to_owned()));
            if let Response::Batch(it) = told {
                let items = batches::responses(it).into_iter();
                let in_batch = |it: Response| Some(format!("{}, in a batch", elsewhere(&it)?));
                met.extend(
                    items
                        .filter(|it| !it.steps().is_empty())
                        .filter_map(in_batch),
                );
            } else {
                met.extend(elsewhere(told));
            }
        }
        (_, Ok(told)) if event.is_change() => met.extend(persons(told)),
        _ => {}
    }
    met
}

/// Of one member.
fn swept(told: &Swept) -> Vec<String> {
    let member = told.member().expect("it did something");
    let all = [
        ("hold swept", member.holds_expired),
        ("points swept", member.points_expired),
        ("notice told", member.notices),
    ];
    let met = all.into_iter().filter(|(_, times)| *times > 0);
    let passed = ["passed on", "hold of a merged member swept, passed on"];
    let passed = passed.into_iter().filter(|_| !member.passed_on.is_empty());
    let met = met.map(|(what, _)| what).chain(passed);
    met.map(str::to_owned).collect()
}

fn purchases(announce: &Announce, announced: &Announced) -> Vec<String> {
    let mut met = Vec::new();
    let total = announce.purchase.total.as_ref().map_or(0, |it| it.micros);
    let is_void = announce.happened.contains(&Happened::Voided);
    let is_again = announced.postings.iter().all(Option::is_none) && !announce.known.is_empty();
    let again = if is_void {
        "purchase voided before"
    } else {
        "purchase told again"
    };
    met.extend(is_again.then_some(again));
    for posting in announced.postings.iter().flatten() {
        met.push(if is_void {
            "purchase voided"
        } else {
            "purchase"
        });
        if !is_void && posting.points > total / 1_000_000 {
            met.push("purchase multiplied");
        }
        if !is_void && posting.points == 0 {
            met.push("purchase of which nothing is left");
        }
        if !posting.limit_cuts.is_empty() {
            met.push("purchase cut");
        }
    }
    met.into_iter().map(str::to_owned).collect()
}

/// Merges amid other calls.
fn persons(told: &Response) -> Vec<String> {
    let sum = |moved: &[pb::MovedPoints]| moved.iter().map(|it| it.points).sum::<i64>();
    let mut met = Vec::new();
    match told {
        Response::MergeMembers(it) => {
            let merge = it.merge.as_ref().expect("always told");
            met.push(format!("members merged in {}", merge.program_id));
            let has_debt = it.moved.iter().any(|moved| moved.debt > 0);
            met.extend(has_debt.then(|| "merge of debt".to_owned()));
        }
        Response::UnmergeMembers(it) => {
            let (moved, returned) = (sum(&it.moved), sum(&it.returned));
            let is_spent = returned < moved;
            met.extend(is_spent.then(|| "merge of which something was spent".to_owned()));
            let is_back = returned > 0;
            met.extend(is_back.then(|| "merge of which something came back".to_owned()));
        }
        _ => {}
    }
    met
}

/// What was decided in the ledger of who was merged into the one that was asked, or passed on to who stands for that one.
fn elsewhere(told: &Response) -> Option<String> {
    let by = "by who stands for the member";
    let (what, by) = match told {
        Response::Reverse(it) => match it.transaction.as_ref()?.kind() {
            pb::TransactionKind::Refund => ("refund", by),
            _ => ("reversal", by),
        },
        Response::Activate(_) => ("activation", by),
        Response::Cancel(_) => ("cancellation", by),
        Response::Capture(_) => ("final capture", "of a merged member"),
        Response::Void(_) => ("void", "of a merged member"),
        _ => return None,
    };
    let has_passed = !told.steps().is_empty();
    match told {
        // Whether its member was merged nothing else tells.
        Response::Capture(_) | Response::Void(_) if !has_passed => None,
        _ if has_passed => Some(format!("{what} {by}, passed on")),
        _ => Some(format!("{what} {by}")),
    }
}

fn merges(told: &Merged) -> Vec<String> {
    let owes = |standing: &Standing| standing.balances.iter().any(|it| it.debt > 0);
    let all = [
        ("merge", true),
        ("merge with spending", told.spent.is_some()),
        ("merge with debt", told.apart.values().any(owes)),
    ];
    let met = all.into_iter().filter(|(_, is_met)| *is_met);
    met.map(|(what, _)| what.to_owned()).collect()
}

/// The limits that cut or refuse.
fn limits(answer: &Answer) -> Vec<String> {
    let mut named = Vec::new();
    match answer {
        Err(refusal) => named.extend(refusal.metadata.get("limit_id").cloned()),
        Ok(Response::Batch(it)) => {
            let refusals = it.results.iter().filter_map(batches::refusal);
            named.extend(refusals.filter_map(|it| it.metadata.get("limit_id").cloned()));
        }
        Ok(_) => {}
    }
    if let Ok(response) = answer {
        let mut response = response.clone();
        let cuts = |posting: &mut pb::LedgerTransaction| std::mem::take(&mut posting.limit_cuts);
        let cuts = response.postings().into_iter().flat_map(cuts);
        named.extend(cuts.map(|cut| cut.limit_id));
    }
    let is_long = |it: &String| it == "a-month" || it == "a-year";
    let of_long = named.iter().filter(|it| is_long(it));
    let of_long = of_long.map(|_| "limit of a month or year".to_owned());
    let all = named.iter().map(|it| format!("limit {it}"));
    all.chain(of_long).collect()
}
