//! Requests as the use cases take them; every violation is collected.

mod program;

use api::loyalty::v1 as pb;
use common::Error;
use common::identity;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::time::Timestamp;
use common::validate::Violations;

use crate::domain::currency::CurrencyCode;
use crate::domain::known::Instants;
use crate::domain::program::ProgramId;
use crate::ledger::reads::Of;
use crate::ledger::{Account, PURCHASE, Source};
use crate::members::Enroll;
use crate::tiers::reads::{Wanted, WantedMany};

pub use program::new_program;

/// Customers in one batch at most.
const BATCH_MAX: usize = 1000;
/// Days in a window or a validity at most: a hundred years.
pub const DAYS_MAX: i32 = 36_500;
const REASON_MAX: usize = 500;

/// An optional instant. One that is malformed reads as absent and is recorded.
pub fn instant(
    v: &mut Violations,
    field: &str,
    raw: Option<&prost_types::Timestamp>,
) -> Option<Timestamp> {
    raw.and_then(|raw| v.check(field, Timestamp::try_from(raw)))
}

/// Which balance is asked for. What will be written is not known.
pub fn instants(
    v: &mut Violations,
    as_of: Option<&prost_types::Timestamp>,
    posted_by: Option<&prost_types::Timestamp>,
    now: Timestamp,
) -> Instants {
    let as_of = instant(v, "as_of", as_of);
    let posted_by = instant(v, "posted_by", posted_by);
    if posted_by.is_some_and(|posted_by| posted_by > now) {
        v.add("posted_by", "must not be in the future");
    }
    Instants { as_of, posted_by }
}

/// A program's id; empty means the default one.
pub fn program_id(v: &mut Violations, raw: &str) -> Option<ProgramId> {
    v.parse("program_id", raw, ProgramId::parse)
}

/// A read of one member's ledger.
pub struct RawOf<'a> {
    pub program_id: &'a str,
    pub customer_id: &'a str,
    pub currency: &'a str,
    pub at_least: &'a str,
}

impl<'a> RawOf<'a> {
    /// In one currency, if it is not empty.
    pub fn in_currency(self, currency: &'a str) -> Self {
        Self { currency, ..self }
    }
}

/// A point currency; empty means that none is named.
#[expect(clippy::option_option, reason = "the outer one says whether it parsed")]
pub fn currency(v: &mut Violations, raw: &str) -> Option<Option<CurrencyCode>> {
    currency_in(v, "points_currency", raw)
}

/// The same, in a field of another name.
#[expect(clippy::option_option, reason = "the outer one says whether it parsed")]
pub fn currency_in(v: &mut Violations, field: &str, raw: &str) -> Option<Option<CurrencyCode>> {
    if raw.is_empty() {
        return Some(None);
    }
    v.parse(field, raw, CurrencyCode::parse).map(Some)
}

/// Whose ledger to read.
pub fn of(v: &mut Violations, raw: &RawOf<'_>) -> Option<Of> {
    let program_id = program_id(v, raw.program_id);
    let customer_id = v.parse("customer_id", raw.customer_id, CustomerId::parse);
    let currency = currency(v, raw.currency);
    let at_least = raw.at_least.to_owned();
    Some(Of {
        program_id: program_id?,
        customer_id: customer_id?,
        currency: currency?,
        at_least,
    })
}

/// A page of one member's list.
pub struct RawPage<'a> {
    pub size: i32,
    pub token: &'a str,
    pub list: &'a str,
}

/// A page of a list about one member: whose, and which page.
pub fn member_page(raw: &RawOf<'_>, page: &RawPage<'_>) -> Result<(Of, PageRequest), Error> {
    let mut v = Violations::new();
    let of = of(&mut v, raw);
    let page = page_of(&mut v, raw, page);
    v.all((of, page))
}

/// Which page of a list about one member.
pub fn page_of(v: &mut Violations, of: &RawOf<'_>, page: &RawPage<'_>) -> Option<PageRequest> {
    let program_id = ProgramId::parse(of.program_id);
    let program_id = program_id.as_ref().map_or(of.program_id, ProgramId::as_str);
    let mut query = format!("{}|{program_id}|{}", page.list, of.customer_id);
    if !of.currency.is_empty() {
        query = format!("{query}|{}", of.currency);
    }
    PageRequest::parse(v, page.size, page.token, &query)
}

impl TryFrom<pb::EnrollMemberRequest> for Enroll {
    type Error = Error;

    fn try_from(request: pb::EnrollMemberRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let program_id = program_id(&mut v, &request.program_id);
        let customer_id = v.parse("customer_id", &request.customer_id, |id| {
            CustomerId::parse(id)
        });
        let reason = reason(&mut v, request.reason);
        let (program_id, customer_id, reason) = v.all((program_id, customer_id, reason))?;
        Ok(Self {
            program_id,
            customer_id,
            at_least: request.at_least,
            actor: identity::current().subject.to_string(),
            reason,
        })
    }
}

impl TryFrom<pb::GetTierRequest> for Wanted {
    type Error = Error;

    fn try_from(request: pb::GetTierRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        let program_id = program_id(&mut v, &request.program_id);
        let customer_id = v.parse("customer_id", &request.customer_id, |id| {
            CustomerId::parse(id)
        });
        let as_of = instant(&mut v, "as_of", request.as_of.as_ref());
        let (program_id, customer_id) = v.all((program_id, customer_id))?;
        Ok(Self {
            program_id,
            customer_id,
            as_of,
            at_least: request.at_least,
        })
    }
}

impl TryFrom<pb::BatchGetTiersRequest> for WantedMany {
    type Error = Error;

    fn try_from(request: pb::BatchGetTiersRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        let program_id = program_id(&mut v, &request.program_id);
        let as_of = instant(&mut v, "as_of", request.as_of.as_ref());
        let customer_ids = customer_ids(&mut v, &request.customer_ids);
        let (program_id,) = v.all((program_id,))?;
        Ok(Self {
            program_id,
            customer_ids,
            as_of,
            at_least: request.at_least,
        })
    }
}

/// Customers, each once.
pub fn customer_ids(v: &mut Violations, raw: &[String]) -> Vec<CustomerId> {
    if raw.len() > BATCH_MAX {
        v.add("customer_ids", format!("must be at most {BATCH_MAX}"));
    }
    let mut seen = std::collections::HashSet::new();
    let mut customer_ids = Vec::new();
    for (n, raw) in raw.iter().take(BATCH_MAX).enumerate() {
        let parsed = v.parse(
            format!("customer_ids[{n}]"),
            raw.as_str(),
            CustomerId::parse,
        );
        customer_ids.extend(parsed.filter(|id| seen.insert(id.clone())));
    }
    customer_ids
}

/// Whose ledger to post to, on behalf of the caller.
pub fn account(
    v: &mut Violations,
    program: &str,
    customer: &str,
    at_least: String,
) -> Option<Account> {
    let program_id = program_id(v, program);
    let customer_id = v.parse("customer_id", customer, CustomerId::parse);
    Some(Account {
        program_id: program_id?,
        customer_id: customer_id?,
        currency: None,
        at_least,
        actor: Some(identity::current().subject.to_string()),
    })
}

/// In which currency; empty means the program's first.
pub fn in_currency(v: &mut Violations, account: Option<Account>, raw: &str) -> Option<Account> {
    let currency = currency(v, raw);
    Some(Account {
        currency: currency?,
        ..account?
    })
}

pub fn source(v: &mut Violations, source_type: String, source_ref: String) -> Option<Source> {
    if source_type == PURCHASE {
        v.add(
            "source_type",
            "must not be \"transaction\": purchases come from the customer service",
        );
    }
    let source_type = text(v, "source_type", source_type, 1..=64);
    let source_ref = text(v, "source_ref", source_ref, 1..=128);
    Some(Source {
        source_type: source_type?,
        source_ref: source_ref?,
    })
}

pub fn reason(v: &mut Violations, raw: String) -> Option<String> {
    text(v, "reason", raw, 0..=REASON_MAX)
}

/// Text of so many characters. PostgreSQL cannot store the character NUL.
pub fn text(
    v: &mut Violations,
    field: &str,
    raw: String,
    lengths: std::ops::RangeInclusive<usize>,
) -> Option<String> {
    if lengths.contains(&raw.chars().count()) && !raw.contains('\0') {
        return Some(raw);
    }
    let (from, to) = lengths.into_inner();
    v.add(
        field,
        format!("must be {from} to {to} characters without NUL"),
    );
    None
}
