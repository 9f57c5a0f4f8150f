//! The end of a round: all is read, members are merged and that is undone, and years pass.

use api::loyalty::v1 as pb;
use chrono::TimeDelta;
use futures::future::join_all;

use crate::VALIDITY;
use crate::answers::stamp;
use crate::driver;
use crate::history::History;
use crate::model::{DAY, GRACE, start_of, year_of};
use crate::operations::{
    Announce, Import, Merge, Recalculate, Request, Response, Sweep, Unmerge, policy,
};
use crate::service::{CLUB, CLUB_CURRENCIES, Service};

/// Merges members, while the service is killed, and undoes it; then years pass, and tiers are lost.
pub async fn close(
    service: &Service,
    history: &History,
    customers: &[String],
    (unit, number): (i64, usize),
) {
    let time = &history.time;
    // Behind whatever a clock that went back has shown: then what comes later has the later id. And behind the instants
    // from which policies hold.
    time.jump(TimeDelta::microseconds(8 * unit));
    publish(service, history, customers, number).await;
    read_tiers(service, history, customers, time.now()).await;
    for customer_id in customers {
        follow(service, history, customer_id).await;
    }
    // Whoever is merged into the first one owes something.
    let debt = Import::of_debt(&customers[1], time.now());
    let mut other = debt.clone();
    other.chunk.rows[0].points += 1;
    other.new.clear();
    for debt in [debt, other] {
        driver::read(service, history, &Request::Import(debt)).await;
    }
    let at = time.now();
    let merge = |pair: &[String]| {
        Request::Merge(Merge {
            id: format!("merge-{}", pair[1]),
            survivor: pair[0].clone(),
            absorbed: pair[1].clone(),
            points: 30,
            at,
        })
    };
    let merges: Vec<_> = customers.chunks_exact(2).map(merge).collect();
    let merges = merges.iter().map(|it| driver::read(service, history, it));
    tokio::join!(join_all(merges), service.kill_and_restart());
    time.jump(TimeDelta::microseconds(DAY));
    for customer_id in customers {
        buy(service, history, customer_id).await;
    }
    recalculate(service, history, customers, None).await;
    for _ in 0..3 {
        let next = start_of(year_of(time.now()) + 1) + GRACE;
        recalculate(service, history, customers, Some(next)).await;
        time.jump(TimeDelta::microseconds(next - time.now()));
        recalculate(service, history, customers, None).await;
    }
}

/// What is due is swept, once nobody else would come first: among it a hold of each member who has a point left. Two of
/// them are merged by then: what the hold of one lets go the sweep passes on, and that of the other the end of the merge.
pub async fn sweep(service: &Service, history: &History, customers: &[String], unit: i64) {
    let (survivors, others) = customers.split_at(customers.len() / 2);
    for customer_id in customers {
        // Now everybody has something to hold here, and to spend later.
        let given = pb::AdjustPointsRequest {
            request_id: format!("last-gift-{customer_id}"),
            customer_id: customer_id.clone(),
            points: 1_000,
            reason_code: "GOODWILL".to_owned(),
            ..Default::default()
        };
        driver::read(service, history, &Request::Adjust(given)).await;
        let units = if others.first() == Some(customer_id) {
            3
        } else {
            1
        };
        let hold = pb::AuthorizeHoldRequest {
            request_id: format!("last-hold-{customer_id}"),
            customer_id: customer_id.clone(),
            points: 1,
            timeout: Some(prost_types::Duration {
                seconds: units * unit / 1_000_000,
                nanos: 0,
            }),
            ..Default::default()
        };
        driver::read(service, history, &Request::Authorize(hold)).await;
    }
    let mut merges = Vec::new();
    for (survivor, absorbed) in survivors.iter().zip(others) {
        merges.extend(merge(service, history, [survivor, absorbed]).await);
    }
    history.time.jump(TimeDelta::microseconds(2 * unit));
    let asked = pb::SweepExpiryRequest {
        request_id: format!("last-{}", customers[0]),
        ..Default::default()
    };
    let sweep = Request::Sweep(Sweep::of_all(asked, customers));
    driver::read(service, history, &sweep).await;
    history.time.jump(TimeDelta::microseconds(2 * unit));
    for undo in merges {
        let mut again = undo.clone();
        again.asked.request_id.push_str("-again");
        for undo in [undo, again] {
            driver::read(service, history, &Request::UnmergeMembers(undo)).await;
        }
    }
}

/// Merges two members; returns how that is undone.
async fn merge(service: &Service, history: &History, whose: [&String; 2]) -> Option<Unmerge> {
    let [survivor_id, absorbed_id] = whose.map(String::clone);
    let request = pb::MergeMembersRequest {
        request_id: format!("last-merge-{absorbed_id}"),
        survivor_id,
        absorbed_id,
        reason: "the same person".to_owned(),
        ..Default::default()
    };
    let answer = driver::ask(service, history, &Request::MergeMembers(request)).await;
    let Ok(Response::MergeMembers(told)) = answer else {
        return None;
    };
    let merge = told.merge.expect("always told");
    Some(Unmerge {
        asked: pb::UnmergeMembersRequest {
            request_id: format!("last-{}", merge.merge_id),
            merge_id: merge.merge_id,
            reason: "they are two".to_owned(),
            ..Default::default()
        },
        whose: vec![merge.survivor_id, merge.absorbed_id],
    })
}

/// Members move, or it is told who would at an instant to come.
async fn recalculate(
    service: &Service,
    history: &History,
    customers: &[String],
    as_of: Option<i64>,
) {
    let now = history.time.now();
    for program_id in ["default", CLUB] {
        let asked = pb::RecalculateTiersRequest {
            program_id: program_id.to_owned(),
            page_size: 1000,
            dry_run: as_of.is_some(),
            as_of: as_of.map(stamp),
            request_id: format!("{}/{program_id}/{now}", customers[0]),
            reason: "a new year".to_owned(),
            ..Default::default()
        };
        let request = Request::Recalculate(Recalculate::of_all(asked, customers));
        driver::read(service, history, &request).await;
    }
    read_tiers(service, history, customers, now).await;
}

/// A customer has no tier but what is earned, in all programs, and buys enough for the highest wherever money or
/// purchases count. Of one purchase it is told again.
async fn buy(service: &Service, history: &History, customer_id: &str) {
    for program_id in ["default", CLUB] {
        let clear = pb::ClearOverrideRequest {
            request_id: format!("clear/{program_id}/{customer_id}"),
            program_id: program_id.to_owned(),
            customer_id: customer_id.to_owned(),
            reason: "a new year".to_owned(),
            ..Default::default()
        };
        driver::read(service, history, &Request::ClearOverride(clear)).await;
    }
    for number in 0..2 {
        let id = format!("{customer_id} in the end {number}");
        let mut announce = Announce::of_dollars(&id, customer_id, (80, history.time.now()));
        let answer = driver::ask(service, history, &Request::Announce(announce.clone())).await;
        if let (Ok(Response::Announce(told)), 0) = (answer, number) {
            let known = told.postings.into_iter().flatten();
            announce.known = known.map(|posting| posting.transaction_id).collect();
            announce.id.push_str(" again");
            driver::read(service, history, &Request::Announce(announce)).await;
        }
    }
}

/// Each program has another policy from now on, and yet another a day later. Whoever thinks that the latest is older is
/// refused, and so is one that is to hold before it.
async fn publish(service: &Service, history: &History, customers: &[String], number: usize) {
    let now = history.time.now();
    for (place, program_id) in ["default", CLUB].into_iter().enumerate() {
        let publish = |number: usize, from: Option<i64>, expected: i64| {
            Request::Publish(pb::PublishTierPolicyRequest {
                request_id: format!("{}/{program_id}/{number}/{expected}", customers[0]),
                program_id: program_id.to_owned(),
                policy: Some(policy(program_id, number)),
                effective_at: from.map(stamp),
                reason: "a new year".to_owned(),
                expected_latest_version: expected,
                ..Default::default()
            })
        };
        let number = number + 2 * place;
        let requests = [
            publish(number, None, 0),
            publish(number, None, 1),
            publish(number + 1, Some(now + DAY), 0),
            publish(number + 2, None, 0),
        ];
        for request in &requests {
            driver::read(service, history, request).await;
        }
    }
}

/// Whoever has the token of a change is not told the tier that a cache had before.
async fn follow(service: &Service, history: &History, customer_id: &str) {
    let mut tier = pb::GetTierRequest {
        customer_id: customer_id.to_owned(),
        ..Default::default()
    };
    // Without a token it may be as old as caches are, which is not looked at.
    let cached = Request::Tier(tier.clone()).call(service).await;
    cached.expect("everybody is a member");
    let given = pb::OverrideTierRequest {
        request_id: format!("follow/{customer_id}"),
        customer_id: customer_id.to_owned(),
        tier: "Gold".to_owned(),
        reason: "as a favour".to_owned(),
        ..Default::default()
    };
    let answer = driver::ask(service, history, &Request::Override(given)).await;
    if let Ok(Response::Override(told)) = answer {
        tier.at_least = told.consistency_token;
        driver::read(service, history, &Request::Tier(tier)).await;
    }
}

async fn read_tiers(service: &Service, history: &History, customers: &[String], at: i64) {
    for customer_id in customers {
        for program_id in ["default", CLUB] {
            let tier = pb::GetTierRequest {
                program_id: program_id.to_owned(),
                customer_id: customer_id.clone(),
                as_of: Some(stamp(at)),
                ..Default::default()
            };
            driver::read(service, history, &Request::Tier(tier)).await;
            let progress = pb::GetTierProgressRequest {
                program_id: program_id.to_owned(),
                customer_id: customer_id.clone(),
                ..Default::default()
            };
            driver::read(service, history, &Request::Progress(progress)).await;
            let changes = pb::ListTierHistoryRequest {
                program_id: program_id.to_owned(),
                customer_id: customer_id.clone(),
                page_size: 1000,
                ..Default::default()
            };
            driver::read(service, history, &Request::TierHistory(changes)).await;
        }
    }
}

/// Reads what limits made of every earning of the round.
pub async fn read_traces(service: &Service, history: &History) {
    let traces = history.traces();
    for some in traces.chunks(8) {
        join_all(some.iter().map(|it| driver::read(service, history, it))).await;
    }
}

/// Reads all there is about the customers, once nothing moves any more.
pub async fn read_all(service: &Service, history: &History, customers: &[String]) {
    read_tiers(service, history, customers, history.time.now()).await;
    for customer_id in customers {
        for program_id in ["default", CLUB] {
            let balances = pb::ListBalancesRequest {
                program_id: program_id.to_owned(),
                customer_id: customer_id.clone(),
                ..Default::default()
            };
            driver::read(service, history, &Request::Balances(balances)).await;
            let usage = pb::GetLimitUsageRequest {
                program_id: program_id.to_owned(),
                customer_id: customer_id.clone(),
                ..Default::default()
            };
            driver::read(service, history, &Request::Usage(usage)).await;
        }
        let [first, further] = CLUB_CURRENCIES;
        for (program_id, code) in [("default", ""), (CLUB, first), (CLUB, further)] {
            let (program_id, customer_id) = (program_id.to_owned(), customer_id.clone());
            let points_currency = code.to_owned();
            let page_size = 1000;
            let lots = pb::ListLotsRequest {
                program_id: program_id.clone(),
                customer_id: customer_id.clone(),
                points_currency: points_currency.clone(),
                page_size,
                ..Default::default()
            };
            let postings = pb::ListTransactionsRequest {
                program_id: program_id.clone(),
                customer_id: customer_id.clone(),
                points_currency: points_currency.clone(),
                page_size,
                ..Default::default()
            };
            let holds = pb::ListHoldsRequest {
                program_id: program_id.clone(),
                customer_id: customer_id.clone(),
                points_currency: points_currency.clone(),
                page_size,
                ..Default::default()
            };
            let statement = pb::GetStatementRequest {
                program_id: program_id.clone(),
                customer_id: customer_id.clone(),
                points_currency: points_currency.clone(),
                from: Some(stamp(0)),
                to: Some(stamp(history.time.now() + VALIDITY)),
                page_size,
                ..Default::default()
            };
            let forecast = pb::ForecastExpiryRequest {
                program_id: program_id.clone(),
                customer_id: customer_id.clone(),
                points_currency: points_currency.clone(),
                horizon_days: 740,
                bucket_days: 74,
                ..Default::default()
            };
            let balance = pb::GetBalanceRequest {
                program_id,
                customer_id,
                points_currency,
                ..Default::default()
            };
            for request in [
                Request::Lots(lots),
                Request::Transactions(postings),
                Request::Statement(statement),
                Request::Holds(holds),
                Request::Forecast(forecast),
                Request::Balance(balance),
            ] {
                driver::read(service, history, &request).await;
            }
        }
    }
}
