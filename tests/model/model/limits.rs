//! Earning limits: what they make of earnings, what is used of them, and how they are set.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, NaiveTime, Utc};
use common::time::Timestamp;
use tonic::Code;

use super::{Micros, Of, Step, World, of, program};
use crate::answers::{Refusal, micros, stamp};
use crate::operations::{CALLER, Traced};

/// So many limits of a program may hold at the same time.
const LIMITS_MAX: usize = 20;

/// A limit in one of its windows: the program, the limit, and when the window began, 0 for the whole life.
pub type Counter = (String, String, Micros);
/// Points earned and not taken back.
pub type Usage = BTreeMap<Counter, i64>;

/// The limits of a program, by their ids, those that have ended included.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    pub all: BTreeMap<String, pb::EarningLimit>,
    /// How often any of them was set or ended.
    pub version: i64,
}

/// What customers share.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The limits of each program.
    pub limits: BTreeMap<String, Limits>,
    /// From which item of a batch on the limits of a program are others: they may be set between two.
    pub then: Vec<(usize, String, Limits)>,
    /// What others have used of budgets, who are not in the world.
    pub elsewhere: Usage,
}

/// What limits leave of an earning.
#[derive(Debug)]
pub struct Granted {
    pub points: i64,
    pub cuts: Vec<pb::LimitCut>,
    /// Where it is counted.
    pub counted: Vec<Counter>,
    /// What each limit made of it, up to the one that left nothing.
    pub decided: Vec<pb::DecisionLimit>,
    /// Why nothing is left, where that is so.
    pub stopped_by: Option<Refusal>,
}

impl Step<'_> {
    /// What a caller may earn: something, or it is refused.
    pub fn grant(
        &mut self,
        whose: Of<'_>,
        code: &str,
        earning: (i64, Micros),
    ) -> Result<Granted, Refusal> {
        let granted = self.grant_left(whose, code, earning)?;
        match granted.stopped_by {
            Some(refusal) => Err(refusal),
            None => Ok(granted),
        }
    }

    /// Holds an earning against the limits of its currency: those that cut first, by their ids, then those that refuse.
    ///
    /// Where it is told what they left that is taken for granted: no answer tells what others had used of a budget. So is
    /// what it is counted against, where its trace is known; else this must come to the trace.
    pub fn grant_left(
        &mut self,
        whose: Of<'_>,
        code: &str,
        (points, earned_at): (i64, Micros),
    ) -> Result<Granted, Refusal> {
        let program_id = self.known(whose.program_id)?.to_owned();
        let mut limits = self.world.limits_of(&program_id, code);
        limits.sort_by_key(|limit| limit.excess() == pb::LimitExcess::Refuse);
        let starts = |limit: &pb::EarningLimit| window(limit.window(), earned_at).0.unwrap_or(0);
        let counter = |limit: &pb::EarningLimit| {
            let limit_id = limit.limit_id.clone();
            (program_id.clone(), limit_id, starts(limit))
        };
        let mut granted = Granted {
            points,
            cuts: Vec::new(),
            counted: limits.iter().map(counter).collect(),
            decided: Vec::new(),
            stopped_by: None,
        };
        if let Some(told) = &self.told.limits {
            granted.cuts = told.clone()?;
            granted.points = granted.cuts.last().map_or(points, |cut| cut.points_after);
            if let Some(decided) = &self.told.decided {
                let counters = decided.iter().map(|it| counter_of(&program_id, it));
                granted.counted = counters.collect();
                granted.decided.clone_from(decided);
            }
            return Ok(granted);
        }
        for (limit, counter) in limits.iter().zip(&granted.counted) {
            let left = (limit.points - self.world.used(limit, whose.customer_id, counter)).max(0);
            let before = granted.points;
            let is_stopped =
                before > left && (limit.excess() == pb::LimitExcess::Refuse || left == 0);
            granted.points = if is_stopped { 0 } else { before.min(left) };
            let (start, end) = window(limit.window(), earned_at);
            granted.decided.push(pb::DecisionLimit {
                limit_id: limit.limit_id.clone(),
                version: limit.version,
                window_start: start.map(stamp),
                window_end: end.map(stamp),
                points_before: before,
                points_after: granted.points,
            });
            if before <= left {
                continue;
            }
            granted.cuts.push(pb::LimitCut {
                limit_id: limit.limit_id.clone(),
                points_before: before,
                points_after: granted.points,
            });
            if is_stopped {
                let refusal = Refusal::new(Code::FailedPrecondition, "LIMIT_REACHED")
                    .with("limit_id", &limit.limit_id)
                    .with("left", left);
                granted.stopped_by = Some(match end {
                    Some(end) => refusal.with("window_end", Timestamp::from_micros(end)),
                    None => refusal,
                });
                break;
            }
        }
        let told = self.told.decided.as_ref();
        if told.is_some_and(|told| *told != granted.decided) {
            let refusal = Refusal::new(Code::Internal, "LIMITED_OTHERWISE");
            return Err(refusal.with("limits", format!("{:?}", granted.decided)));
        }
        Ok(granted)
    }

    /// What an earning was decided on.
    pub fn trace(&mut self, request: &pb::GetDecisionTraceRequest) -> Result<Traced, Refusal> {
        let id = &request.transaction_id;
        let accounts = self.accounts(of(&request.program_id, &request.customer_id))?;
        let limited = accounts.iter().find_map(|account| account.limited.get(id));
        let purchase = accounts.iter().find_map(|account| account.based.get(id));
        let refusal = || Refusal::new(Code::NotFound, "TRANSACTION_NOT_FOUND");
        let limited = limited.ok_or_else(|| refusal().with("transaction_id", id))?;
        Ok(Traced {
            limits: limited.clone(),
            purchase: purchase.cloned(),
        })
    }

    pub fn set_limit(
        &mut self,
        request: &pb::SetEarningLimitRequest,
    ) -> Result<pb::SetEarningLimitResponse, Refusal> {
        let program_id = self.known(&request.program_id)?.to_owned();
        let asked = request.limit.as_ref().expect("always given");
        let place = self.world.place(&program_id, &asked.points_currency);
        let place = place.ok_or_else(|| {
            Refusal::new(Code::NotFound, "CURRENCY_NOT_FOUND")
                .with("program_id", &program_id)
                .with("points_currency", &asked.points_currency)
        })?;
        let currency = self.world.programs[&program_id][place].code.clone();
        let limits = &mut self.world.around.limits;
        let limits = limits.entry(program_id).or_default();
        let known = limits.all.get(&asked.limit_id);
        let version = known.map_or(0, |known| known.version);
        if request.expected_version != 0 && request.expected_version != version {
            return Err(Refusal::new(Code::Aborted, "LIMIT_CHANGED")
                .with("limit_id", &asked.limit_id)
                .with("version", version));
        }
        if let Some(known) = known {
            let fields = [
                ("scope", known.scope == asked.scope),
                ("points_currency", known.points_currency == currency),
                ("window", known.window == asked.window),
            ];
            let fields = fields.into_iter().filter(|(_, is_same)| !is_same);
            let fields: Vec<_> = fields.map(|(field, _)| field).collect();
            if !fields.is_empty() {
                return Err(Refusal::new(Code::FailedPrecondition, "LIMIT_FIXED")
                    .with("limit_id", &asked.limit_id)
                    .with("fields", fields.join(",")));
            }
        }
        let holds = known.is_some_and(|known| !known.ended);
        if !holds && limits.all.values().filter(|it| !it.ended).count() >= LIMITS_MAX {
            let refusal = Refusal::new(Code::FailedPrecondition, "TOO_MANY_LIMITS");
            return Err(refusal.with("limits_max", LIMITS_MAX));
        }
        limits.version += 1;
        let limit = pb::EarningLimit {
            points_currency: currency,
            version: limits.version,
            actor: CALLER.to_owned(),
            reason: request.reason.clone(),
            changed_at: Some(stamp(self.now)),
            ended: false,
            ..asked.clone()
        };
        limits.all.insert(asked.limit_id.clone(), limit.clone());
        Ok(pb::SetEarningLimitResponse {
            limit: Some(limit),
            consistency_token: String::new(),
        })
    }

    /// It stays known.
    pub fn end_limit(
        &mut self,
        request: &pb::EndEarningLimitRequest,
    ) -> Result<pb::EndEarningLimitResponse, Refusal> {
        let program_id = self.known(&request.program_id)?.to_owned();
        let limits = &mut self.world.around.limits;
        let limits = limits.entry(program_id).or_default();
        let known = limits.all.get_mut(&request.limit_id);
        let version = known.as_ref().map_or(0, |known| known.version);
        let refuse = |code, reason| Refusal::new(code, reason).with("limit_id", &request.limit_id);
        if request.expected_version != 0 && request.expected_version != version {
            return Err(refuse(Code::Aborted, "LIMIT_CHANGED").with("version", version));
        }
        let known = known.ok_or_else(|| refuse(Code::NotFound, "LIMIT_NOT_FOUND"))?;
        if known.ended {
            return Err(refuse(Code::FailedPrecondition, "LIMIT_ENDED"));
        }
        limits.version += 1;
        known.ended = true;
        known.version = limits.version;
        CALLER.clone_into(&mut known.actor);
        known.reason.clone_from(&request.reason);
        known.changed_at = Some(stamp(self.now));
        Ok(pb::EndEarningLimitResponse {
            limit: Some(known.clone()),
            consistency_token: String::new(),
        })
    }

    pub fn usage(
        &mut self,
        request: &pb::GetLimitUsageRequest,
    ) -> Result<pb::GetLimitUsageResponse, Refusal> {
        let program_id = self.known(&request.program_id)?.to_owned();
        let customer_id = request.customer_id.as_str();
        let names_member = !customer_id.is_empty();
        if names_member {
            self.accounts(of(&program_id, customer_id))?;
        }
        let at = request.as_of.as_ref().map_or(self.now, micros);
        let mut answer = pb::GetLimitUsageResponse::default();
        let Some(limits) = self.world.around.limits.get(&program_id) else {
            return Ok(answer);
        };
        for limit in limits.all.values().filter(|it| !it.ended) {
            if limit.scope() == pb::LimitScope::Member && !names_member {
                continue;
            }
            let (start, end) = window(limit.window(), at);
            let limit_id = limit.limit_id.clone();
            let counter = (program_id.clone(), limit_id, start.unwrap_or(0));
            let used = self.world.used(limit, customer_id, &counter);
            answer.usages.push(pb::LimitUsage {
                limit: Some(limit.clone()),
                used,
                remaining: (limit.points - used).max(0),
                window_start: start.map(stamp),
                window_end: end.map(stamp),
            });
        }
        Ok(answer)
    }
}

impl World {
    /// The limits of a currency that hold, by their ids.
    fn limits_of(&self, program_id: &str, code: &str) -> Vec<pb::EarningLimit> {
        let Some(place) = self.place(program_id, code) else {
            return Vec::new();
        };
        let code = &self.programs[program_id][place].code;
        let limits = self.around.limits.get(program_id);
        let limits = limits.into_iter().flat_map(|limits| limits.all.values());
        let limits = limits.filter(|limit| limit.points_currency == *code && !limit.ended);
        limits.cloned().collect()
    }

    /// The limits that are told by a history of them.
    pub fn limits_in(&self, history: &str) -> Option<Limits> {
        let limits = self.around.limits.iter();
        let mut limits = limits.filter(|(program_id, _)| history_of(program_id) == history);
        limits.next().map(|(_, limits)| limits.clone())
    }

    /// What is used of a limit: by the member, or by all together.
    fn used(&self, limit: &pb::EarningLimit, customer_id: &str, counter: &Counter) -> i64 {
        let is_counted =
            |whose: &str| limit.scope() == pb::LimitScope::Program || whose == customer_id;
        let customers = self.customers.iter();
        let counted = customers.filter(|(whose, _)| is_counted(whose));
        let accounts = counted.flat_map(|(_, customer)| customer.accounts());
        let (mut used, mut by_others) = (0, 0);
        for account in accounts {
            used += account.counted.get(counter).unwrap_or(&0);
            let others = account.others.values();
            by_others += others.filter_map(|it| it.used.get(counter)).sum::<i64>();
        }
        match limit.scope() {
            pb::LimitScope::Program => {
                used + self.around.elsewhere.get(counter).copied().unwrap_or(0)
            }
            // Members who are merged are one person.
            _ => used + by_others,
        }
    }
}

impl Around {
    /// Limits that nobody has earned anything under.
    pub fn of(limits: Vec<(&str, pb::EarningLimit)>) -> Self {
        let mut around = Self::default();
        for (program_id, limit) in limits {
            let limits = around.limits.entry(program_id.to_owned()).or_default();
            limits.version = limits.version.max(limit.version);
            limits.all.insert(limit.limit_id.clone(), limit);
        }
        around
    }

    /// The budget that a counter is of; none if it is of a cap.
    pub fn budget(&self, counter: &Counter) -> Option<&pb::EarningLimit> {
        let (program_id, limit_id, _) = counter;
        let limit = self.limits.get(program_id)?.all.get(limit_id)?;
        (limit.scope() == pb::LimitScope::Program).then_some(limit)
    }
}

/// What the changes of a program's limits are a history of.
pub fn history_of(program_id: &str) -> String {
    format!("limits/{}", program(program_id))
}

/// Where an earning is counted by what its trace says of a limit.
fn counter_of(program_id: &str, decided: &pb::DecisionLimit) -> Counter {
    let start = decided.window_start.as_ref().map_or(0, micros);
    (program_id.to_owned(), decided.limit_id.clone(), start)
}

/// When the window begins that an instant belongs to, and when it is over.
fn window(window: pb::LimitWindow, at: Micros) -> (Option<Micros>, Option<Micros>) {
    let date = DateTime::<Utc>::from_timestamp_micros(at).expect("an instant");
    let date = date.date_naive();
    let since_monday = Days::new(date.weekday().num_days_from_monday().into());
    let first_of = |month| NaiveDate::from_ymd_opt(date.year(), month, 1).expect("a date");
    let (first, after) = match window {
        pb::LimitWindow::Lifetime | pb::LimitWindow::Unspecified => return (None, None),
        pb::LimitWindow::Day => (date, date + Days::new(1)),
        pb::LimitWindow::Week => (date - since_monday, date - since_monday + Days::new(7)),
        pb::LimitWindow::Month => {
            let first = first_of(date.month());
            (first, first + Months::new(1))
        }
        pb::LimitWindow::Year => (first_of(1), first_of(1) + Months::new(12)),
    };
    let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
    (Some(midnight(first)), Some(midnight(after)))
}
