//! What earning limits make of earnings.
//!
//! An earning is held against the limits that the program had when the member was read under the lock of its customer.
//! What it is counted in is recorded with it; what is taken back of it is given back to just that, whatever has become
//! of the limits.
//!
//! Members who were merged are one person: a cap limits what all of them earn. What each has earned stays counted where
//! it was earned, so an unmerge has nothing to move. Who stands for them is locked before it is added up, so two of
//! them cannot use the same room.

use std::sync::Arc;

use common::ids::CustomerId;
use common::time::Timestamp;

use crate::State;
use crate::domain::Points;
use crate::domain::currency::CurrencyCode;
use crate::domain::decision::Decision;
use crate::domain::limits::{self, Applied, EarningLimit, Granted, Room, Scope, Window};
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::programs;
use crate::store::accounts::AccountKey;
use crate::store::limit_usage::{Root, UsageKey};
use crate::store::members::Standing;
use crate::store::postings::PostingRow;
use crate::work::Work;

/// An earning that is to be decided, as far as that is known beforehand.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The program.
    pub program_id: ProgramId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The currency, where one is named.
    pub currency: Option<CurrencyCode>,
    /// When it was earned, if not now.
    pub earned_at: Option<Timestamp>,
}

/// Reads at once what is used of the limits that some earnings will be held against, of customers who were read.
pub async fn read_ahead(
    state: &State,
    work: &mut Work<'_>,
    earnings: &[Expected],
) -> Result<(), Error> {
    let (mut limited_ones, mut roots) = (Vec::new(), Vec::new());
    for earning in earnings {
        if !work.has_read(&earning.customer_id) {
            continue;
        }
        let program_id = earning.program_id.as_str();
        let standings = work.standings(&earning.customer_id, program_id).await?;
        // Of one that was merged, who stands for it may not be locked yet.
        let own =
            |standing: &Standing| standing.limits_version > 0 && standing.member.survivor.is_none();
        if let Some(standing) = standings.into_iter().find(own) {
            roots.extend(standing.absorbs.then(|| root_of(&standing)));
            limited_ones.push((earning, standing));
        }
    }
    work.read_persons(&roots).await?;
    let mut wanted = Vec::new();
    for (earning, standing) in limited_ones {
        let program_id = earning.program_id.as_str();
        let person = person(work, &standing).await?;
        let program = limited(state, work, &standing).await?;
        // Refused later.
        let Ok(wallet) = programs::wallet_of(&program, earning.currency.as_ref()) else {
            continue;
        };
        let at = earning.earned_at.unwrap_or_else(|| work.now());
        for limit in program.limits.of(&wallet) {
            let start = limit.window.at(at).key();
            wanted.extend(keys(program_id, limit, (&person, start)));
        }
    }
    if !wanted.is_empty() {
        work.read_usage(&wanted).await?;
    }
    Ok(())
}

/// What limits make of an earning of a locked member; `None` where there are none.
pub(super) async fn grant(
    state: &State,
    work: &mut Work<'_>,
    standing: &Standing,
    (points, earned_at): (Points, Timestamp),
) -> Result<Option<Granted>, Error> {
    if standing.limits_version == 0 {
        return Ok(None);
    }
    let program = limited(state, work, standing).await?;
    let limits: Vec<_> = program.limits.of(standing.wallet()).collect();
    if limits.is_empty() {
        return Ok(None);
    }
    let program_id = program.program_id.as_str();
    let person = person(work, standing).await?;
    let (mut all, mut counted) = (Vec::new(), Vec::new());
    for limit in limits {
        let window = limit.window.at(earned_at);
        let own = keys(program_id, limit, (&person, window.key()));
        all.extend_from_slice(&own);
        counted.push((limit, window, own));
    }
    if standing.member.survivor.is_none() {
        work.read_usage(&all).await?;
    } else {
        // Whoever stands for the member may have been locked only now.
        work.read_usage_anew(&all).await?;
    }
    let room = |(limit, window, own): (&Arc<EarningLimit>, Window, Vec<UsageKey>)| Room {
        limit: Arc::clone(limit),
        window,
        used: own.iter().map(|key| work.used(key)).sum(),
    };
    let rooms = counted.into_iter().map(room).collect();
    Ok(Some(limits::grant(points.get(), rooms)))
}

/// What a caller may earn: at least one point.
pub(super) async fn grant_asked(
    state: &State,
    work: &mut Work<'_>,
    standing: &Standing,
    earning: (Points, Timestamp),
) -> Result<(Points, Vec<Applied>), Error> {
    let Some(granted) = grant(state, work, standing, earning).await? else {
        return Ok((earning.0, Vec::new()));
    };
    if let Some(room) = granted.stopped_by {
        return Err(Error::LimitReached {
            left: room.left(),
            ends_at: room.window.end,
            limit_id: room.limit.limit_id.clone(),
        });
    }
    let points = Points::parse(granted.points).map_err(common::Error::Internal)?;
    Ok((points, granted.applied))
}

/// What so many points of an earning, or taken back of one, change in the usage of the limits that it is counted in.
pub(super) fn counted(
    of: AccountKey<'_>,
    applied: &[Applied],
    points: i64,
) -> Vec<(UsageKey, i64)> {
    let change = |applied: &Applied| {
        let whose = (applied.scope, of.customer_id);
        let start = applied.window_start;
        (key(of.program_id, &applied.limit_id, whose, start), points)
    };
    applied.iter().map(change).collect()
}

/// What limits made of an earning that was posted: those that it is counted in.
pub fn applied_to(earned: &PostingRow) -> Vec<Applied> {
    // Most postings are not limited, and need not be taken apart to know it.
    let decision = earned.decision.as_deref();
    let decision = decision.filter(|json| json.contains(r#""limits":["#));
    let decision = decision.and_then(Decision::from_json);
    decision.map_or_else(Vec::new, |decision| decision.limits().to_vec())
}

/// The customers who are one person: whoever stands for the member, who gets locked, and all that it stands for.
async fn person(work: &mut Work<'_>, standing: &Standing) -> Result<Vec<CustomerId>, Error> {
    let member = &standing.member;
    if is_alone(standing) {
        return Ok(vec![member.customer_id.clone()]);
    }
    let mut root = root_of(standing);
    let mut next = member.survivor.clone();
    while let Some(survivor) = next {
        // It may have been taken in itself before it was locked.
        work.lock(&survivor).await?;
        let found = work.standings(&survivor, &member.program_id).await?;
        next = found.into_iter().next().and_then(|of| of.member.survivor);
        root.customer_id = survivor.to_string();
    }
    work.read_persons(std::slice::from_ref(&root)).await?;
    Ok(work.person(&root))
}

/// The member as one that stands for itself.
fn root_of(standing: &Standing) -> Root {
    Root {
        program_id: standing.member.program_id.clone(),
        customer_id: standing.member.customer_id.to_string(),
    }
}

/// The member's program, with the limits that the member was read with.
async fn limited(
    state: &State,
    work: &mut Work<'_>,
    standing: &Standing,
) -> Result<Arc<Program>, Error> {
    let program_id = ProgramId::parse(&standing.member.program_id);
    let program_id = program_id.map_err(common::Error::Internal)?;
    let version = standing.limits_version;
    state
        .programs
        .limited(work.tx(), &program_id, version)
        .await
}

/// Whether the member neither stands for others nor others for it.
fn is_alone(standing: &Standing) -> bool {
    !standing.absorbs && standing.member.survivor.is_none()
}

/// What counts in one window of a limit: of a cap, what each of the person has earned.
fn keys(
    program_id: &str,
    limit: &EarningLimit,
    (person, window_start): (&[CustomerId], i64),
) -> Vec<UsageKey> {
    let of = |customer_id| {
        let whose = (limit.scope, customer_id);
        key(program_id, limit.limit_id.as_str(), whose, window_start)
    };
    let counted = match limit.scope {
        Scope::Member => person.iter(),
        Scope::Program => person[..person.len().min(1)].iter(),
    };
    counted.map(of).collect()
}

fn key(
    program_id: &str,
    limit_id: &str,
    (scope, customer_id): (Scope, &CustomerId),
    window_start: i64,
) -> UsageKey {
    UsageKey {
        program_id: program_id.to_owned(),
        limit_id: limit_id.to_owned(),
        customer_id: match scope {
            Scope::Member => customer_id.to_string(),
            Scope::Program => String::new(),
        },
        window_start,
    }
}
