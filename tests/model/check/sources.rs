//! Sources: they belong to no customer, so they are looked into on their own.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;

use crate::history::Event;
use crate::model::{World, program};
use crate::operations::{Request, Response, batches};

/// An earning that somebody asked for, by a call or an item of a batch.
struct Asked<'a> {
    event: &'a Event,
    /// Program, and source in its currency.
    key: (String, String),
    outcome: Outcome,
}

enum Outcome {
    /// By this posting.
    Earned(String),
    /// The source had earned by this posting.
    ByPosting(String),
    /// Nothing that tells of the source.
    Other,
}

/// A source earns once in each currency, and whoever is told so is told by which posting.
pub fn check(world: &World, events: &[Event]) -> Result<(), String> {
    let asked: Vec<_> = events
        .iter()
        .flat_map(|event| asked(world, event))
        .collect();
    let mut earned: BTreeMap<&(String, String), (&Event, &String)> = BTreeMap::new();
    for asked in asked.iter().filter(|it| it.event.request.has_effect()) {
        if let Outcome::Earned(id) = &asked.outcome {
            let event = asked.event;
            if let Some((other, _)) = earned.insert(&asked.key, (event, id)) {
                return Err(format!("a source earned twice: {other:#?}\n{event:#?}"));
            }
        }
    }
    for Asked {
        event,
        key,
        outcome,
    } in &asked
    {
        let Some((earning, id)) = earned.get(key).copied() else {
            if matches!(outcome, Outcome::ByPosting(_)) {
                return Err(format!("the source never earned: {event:#?}"));
            }
            continue;
        };
        let is_wrong = match outcome {
            Outcome::ByPosting(says) => says != id || earning.started > event.ended,
            Outcome::Earned(_) => earning.ended < event.started,
            Outcome::Other => false,
        };
        if is_wrong {
            return Err(format!(
                "the source had earned by: {earning:#?}\nbut: {event:#?}"
            ));
        }
    }
    Ok(())
}

fn asked<'a>(world: &World, event: &'a Event) -> Vec<Asked<'a>> {
    let key = |earn: &pb::EarnPointsRequest| {
        let program_id = program(&earn.program_id).to_owned();
        let place = world.place(&program_id, &earn.points_currency);
        let source = format!("{}/{}/{place:?}", earn.source_type, earn.source_ref);
        (program_id, source)
    };
    match (event.request.plain(), &event.answer) {
        (Request::Earn(earn), answer) => {
            let outcome = match answer {
                Ok(response) => Outcome::Earned(response.told().transaction_id),
                Err(refusal) => by_posting(&refusal.reason, refusal.metadata.get("transaction_id")),
            };
            let key = key(earn);
            vec![Asked {
                event,
                key,
                outcome,
            }]
        }
        (Request::Batch(batch), Ok(Response::Batch(answer))) => {
            let undone = answer.posted == 0 || !event.request.has_effect();
            let mut all: Vec<Asked<'_>> = Vec::new();
            for (request, result) in batches::requests(batch).iter().zip(&answer.results) {
                let Request::Earn(earn) = request else {
                    continue;
                };
                let key = key(earn);
                let outcome = match (batches::response(result), batches::refusal(result)) {
                    (Some(response), _) => Outcome::Earned(response.told().transaction_id),
                    // By an item before it, of which nothing stays.
                    _ if undone && all.iter().any(|it| it.key == key) => Outcome::Other,
                    (None, Some(it)) => by_posting(&it.reason, it.metadata.get("transaction_id")),
                    (None, None) => Outcome::Other,
                };
                all.push(Asked {
                    event,
                    key,
                    outcome,
                });
            }
            all
        }
        _ => Vec::new(),
    }
}

fn by_posting(reason: &str, posting: Option<&String>) -> Outcome {
    match posting {
        Some(id) if reason == "SOURCE_ALREADY_POSTED" => Outcome::ByPosting(id.clone()),
        _ => Outcome::Other,
    }
}
