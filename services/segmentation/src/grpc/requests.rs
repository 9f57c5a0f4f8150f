//! From what callers say to what it means, with everything that is wrong named at once.

use api::segmentation::v1 as pb;
use common::Error;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::time::Timestamp;
use common::validate::Violations;

use crate::domain::quintile::TieRule;
use crate::ratings::Moment;
use crate::rfm::ComputeRfm;

const WINDOW_DAYS_MAX: i64 = 36_500;
const BATCH_MAX: usize = 1_000;
const ID_LEN_MAX: usize = 64;

type ProtoTime = Option<prost_types::Timestamp>;

/// A customer, and the moment to look from.
pub struct OfCustomer {
    pub customer: CustomerId,
    pub moment: Moment,
}

pub fn of_customer(customer_id: &str, as_of: ProtoTime) -> Result<OfCustomer, Error> {
    let mut v = Violations::new();
    let customer = v.parse("customer_id", customer_id, CustomerId::parse);
    let moment = moment(&mut v, as_of);
    let (customer, moment) = v.all((customer, moment))?;
    Ok(OfCustomer { customer, moment })
}

fn moment(v: &mut Violations, as_of: ProtoTime) -> Option<Moment> {
    let Some(as_of) = as_of else {
        return Some(Moment::Stored);
    };
    v.check("as_of", Timestamp::try_from(&as_of))
        .map(Moment::AsOf)
}

/// A moment that results are stored for: now, or one that has been.
fn past(v: &mut Violations, as_of: ProtoTime, now: Timestamp) -> Option<Timestamp> {
    match moment(v, as_of)? {
        Moment::Stored => Some(now),
        Moment::AsOf(as_of) if as_of <= now => Some(as_of),
        Moment::AsOf(_) => {
            v.add("as_of", format!("must not be later than now, {now}"));
            None
        }
    }
}

fn window(v: &mut Violations, window_days: i64) -> Option<i64> {
    if (0..=WINDOW_DAYS_MAX).contains(&window_days) {
        return Some(window_days);
    }
    v.add(
        "window_days",
        format!("must be 1 to {WINDOW_DAYS_MAX}, or 0 for the whole history"),
    );
    None
}

/// An id of ours, or empty where that has a meaning.
fn id(v: &mut Violations, field: &str, id: &str, required: bool) -> Option<String> {
    if id.len() > ID_LEN_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        v.add(field, "must be an id that this service returned");
        return None;
    }
    if required && id.is_empty() {
        v.add(field, "must be given");
        return None;
    }
    Some(id.to_owned())
}

pub fn compute_rfm(request: &pb::ComputeRfmRequest, now: Timestamp) -> Result<ComputeRfm, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let as_of = past(&mut v, request.as_of, now);
    let window_days = window(&mut v, request.window_days);
    let rule = match pb::QuintileRule::try_from(request.rule) {
        Ok(pb::QuintileRule::Unspecified | pb::QuintileRule::AboveCut) => Some(TieRule::AboveCut),
        Ok(pb::QuintileRule::RRfm) => Some(TieRule::RRfm),
        Err(_) => {
            v.add("rule", "must be a value of QuintileRule");
            None
        }
    };
    let (as_of, window_days, rule) = v.all((as_of, window_days, rule))?;
    Ok(ComputeRfm {
        as_of,
        window_days,
        rule,
    })
}

/// A run, by id or by moment.
pub struct OfRun {
    pub run_id: String,
    pub as_of: Timestamp,
}

pub fn of_run(run_id: &str, as_of: ProtoTime, now: Timestamp) -> Result<OfRun, Error> {
    let mut v = Violations::new();
    let run_id = id(&mut v, "run_id", run_id, false);
    let as_of = moment_or(&mut v, as_of, now);
    let (run_id, as_of) = v.all((run_id, as_of))?;
    Ok(OfRun { run_id, as_of })
}

fn moment_or(v: &mut Violations, as_of: ProtoTime, now: Timestamp) -> Option<Timestamp> {
    moment(v, as_of).map(|moment| or_now(moment, now))
}

/// The moment asked for, or now.
pub fn or_now(moment: Moment, now: Timestamp) -> Timestamp {
    match moment {
        Moment::Stored => now,
        Moment::AsOf(as_of) => as_of,
    }
}

pub fn get_rfm(request: &pb::GetRfmRequest, now: Timestamp) -> Result<(CustomerId, OfRun), Error> {
    let mut v = Violations::new();
    let customer = v.parse("customer_id", &request.customer_id, |id| {
        CustomerId::parse(id)
    });
    let run_id = id(&mut v, "run_id", &request.run_id, false);
    let as_of = moment_or(&mut v, request.as_of, now);
    let (customer, run_id, as_of) = v.all((customer, run_id, as_of))?;
    Ok((customer, OfRun { run_id, as_of }))
}

pub fn model_id(raw: &str) -> Result<String, Error> {
    let mut v = Violations::new();
    let model_id = id(&mut v, "model_id", raw, false);
    v.all((model_id,)).map(|(model_id,)| model_id)
}

pub fn activate_model(request: &pb::ActivateRatingModelRequest) -> Result<String, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let model_id = id(&mut v, "model_id", &request.model_id, true);
    v.all((model_id,)).map(|(model_id,)| model_id)
}

pub fn build_reference(
    request: &pb::BuildReferenceRequest,
    now: Timestamp,
) -> Result<(String, Timestamp), Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let model_id = id(&mut v, "model_id", &request.model_id, false);
    let as_of = past(&mut v, request.as_of, now);
    v.all((model_id, as_of))
}

pub fn rerate(request: &pb::RerateCustomersRequest, now: Timestamp) -> Result<Timestamp, Error> {
    let mut v = Violations::new();
    v.request_id(&request.request_id);
    let as_of = past(&mut v, request.as_of, now);
    v.all((as_of,)).map(|(as_of,)| as_of)
}

pub fn batch(request: &pb::BatchGetRatingsRequest) -> Result<(Vec<CustomerId>, Moment), Error> {
    let mut v = Violations::new();
    let count = request.customer_ids.len();
    if count == 0 || count > BATCH_MAX {
        v.add(
            "customer_ids",
            format!("must have 1 to {BATCH_MAX} entries"),
        );
    }
    let mut customers = Vec::new();
    let mut known = std::collections::HashSet::new();
    for (at, raw) in request.customer_ids.iter().take(BATCH_MAX).enumerate() {
        let customer = v.check(format!("customer_ids[{at}]"), CustomerId::parse(raw));
        customers.extend(customer.filter(|customer| known.insert(customer.clone())));
    }
    let moment = moment(&mut v, request.as_of);
    v.all((Some(customers), moment))
}

pub fn history(request: &pb::ListRatingHistoryRequest) -> Result<(CustomerId, PageRequest), Error> {
    let mut v = Violations::new();
    let customer = v.parse("customer_id", &request.customer_id, |id| {
        CustomerId::parse(id)
    });
    let query = format!("ListRatingHistory|{}", request.customer_id);
    let page = PageRequest::parse(&mut v, request.page_size, &request.page_token, &query);
    v.all((customer, page))
}

pub fn by_star(request: &pb::ListByStarRequest) -> Result<(i64, PageRequest), Error> {
    let mut v = Violations::new();
    let stars = i64::from(request.stars);
    if !(1..=5).contains(&stars) {
        v.add("stars", "must be 1 to 5");
    }
    let query = format!("ListByStar|{stars}");
    let page = PageRequest::parse(&mut v, request.page_size, &request.page_token, &query);
    v.all((Some(stars), page))
}

pub fn distribution(request: &pb::GetStarDistributionRequest) -> Result<(Moment, i64), Error> {
    let mut v = Violations::new();
    let moment = moment(&mut v, request.as_of);
    let window_days = window(&mut v, request.window_days);
    v.all((moment, window_days))
}
