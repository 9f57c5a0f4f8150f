//! Answers in a form that can be compared: refusals by their details, and responses without what cannot be foretold.

use std::collections::BTreeMap;
use std::fmt::Display;

use api::loyalty::v1 as pb;
use common::time::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::model::is_nameless;
use crate::operations::{Response, Told, batches, sort_moved};

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub reason: String,
    pub metadata: BTreeMap<String, String>,
    /// The fields that are invalid.
    pub fields: Vec<String>,
}

/// What a call came to.
pub type Answer = Result<Response, Refusal>;

impl Refusal {
    pub fn new(code: Code, reason: &str) -> Self {
        Self {
            code,
            reason: reason.to_owned(),
            metadata: BTreeMap::new(),
            fields: Vec::new(),
        }
    }

    pub fn invalid(field: &str) -> Self {
        Self {
            fields: vec![field.to_owned()],
            ..Self::new(Code::InvalidArgument, "INVALID_REQUEST")
        }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// The refusal that a status tells of; none if it did not come from a handler of ours, as when a connection
    /// was cut.
    pub fn of(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info()?;
        Some(Self {
            code: status.code(),
            reason: info.reason,
            metadata: info.metadata.into_iter().collect(),
            fields: testkit::violations(status),
        })
    }

    /// What only the service knows of it: the posting that a source made before.
    pub fn told(&self) -> Told {
        let by_source = self.reason == "SOURCE_ALREADY_POSTED";
        Told {
            already_posted: self
                .metadata
                .get("transaction_id")
                .filter(|_| by_source)
                .cloned(),
            ..Told::default()
        }
    }

    /// Whether the same request may well fare better: nothing was decided.
    pub fn is_passing(&self) -> bool {
        let is_final = self.reason == "LIMIT_CHANGED" || self.reason == "TIER_POLICY_CHANGED";
        !is_final
            && matches!(
                self.code,
                Code::Unavailable
                    | Code::Aborted
                    | Code::ResourceExhausted
                    | Code::DeadlineExceeded
            )
    }

    /// Whether the service promises the same refusal to whoever repeats the request.
    pub fn is_stored(&self) -> bool {
        let unheard_of = self.reason == "MEMBER_NOT_FOUND" || self.reason == "CUSTOMER_NOT_FOUND";
        let is_definitive = matches!(
            self.code,
            Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition | Code::OutOfRange
        );
        is_definitive && !unheard_of
    }
}

pub fn stamp(micros: i64) -> prost_types::Timestamp {
    Timestamp::from_micros(micros).into()
}

pub fn micros(stamp: &prost_types::Timestamp) -> i64 {
    Timestamp::try_from(stamp).expect("an instant").micros()
}

/// The contract says what a posting's lines are, not in which order they come.
pub fn sort_entries(posting: &mut pb::LedgerTransaction) {
    posting.entries.sort_by(|a, b| {
        let key = |entry: &pb::LedgerEntry| {
            (
                entry.account,
                entry.lot_id.clone(),
                entry.hold_id.clone(),
                entry.points,
            )
        };
        key(a).cmp(&key(b))
    });
}

/// Whether an answer is the one expected.
pub fn agrees(expected: &Answer, told: &Answer) -> bool {
    match (expected, told) {
        (Ok(expected), Ok(told)) => comparable(expected, told) == *expected,
        (Err(expected), Err(told)) => expected == told,
        _ => false,
    }
}

/// An answer as far as it can be foretold.
pub fn comparable(expected: &Response, told: &Response) -> Response {
    let mut told = told.clone();
    told.tokens().into_iter().for_each(String::clear);
    told.words().into_iter().for_each(String::clear);
    sort_moved(&mut told);
    if let Response::Statement(statement) = &mut told {
        statement.digest.clear();
    }
    let (tier, change) = told.tiers();
    if let Some(tier) = tier {
        // Changes that nobody asked for have revisions too, and when a tier began is told by its history.
        (tier.since, tier.valid_until, tier.revision) = (None, None, 0);
    }
    if let Some(change) = change {
        change.revision = 0;
    }
    if let (Response::TierHistory(expected), Response::TierHistory(told)) = (expected, &mut told) {
        told.changes = as_of_each_call(&expected.changes, &told.changes);
    }
    if let (Response::Import(expected), Response::Import(told)) = (expected, &mut told) {
        told.as_if_told_at_first(expected);
    }
    if let (Response::Batch(expected), Response::Batch(told)) = (expected, &mut told) {
        unidentified_refusals(expected, told);
    }
    named_alike(expected, &mut told);
    let mut expected = expected.clone();
    let foretold = expected.postings().into_iter().map(|it| it.clone());
    for (foretold, posting) in foretold.collect::<Vec<_>>().iter().zip(told.postings()) {
        unidentified(foretold, posting);
    }
    told
}

/// The moves that were told. Of several at one instant it is not known which were of one call, so by which version the
/// last call that moved the member did: that is as expected.
fn as_of_each_call(expected: &[pb::TierChange], told: &[pb::TierChange]) -> Vec<pb::TierChange> {
    let mut moves = changed(told);
    for change in &mut moves {
        let at_once = |it: &&pb::TierChange| it.changed_at == change.changed_at;
        let (mut expected, told) = (expected.iter().filter(at_once), told.iter().filter(at_once));
        if told.count() > 1
            && let Some(expected) = expected.next()
        {
            change.policy_version = expected.policy_version;
        }
    }
    moves
}

/// From which tier to which a member went when, and by which version of the policy, the latest first: what one call
/// changes several times goes from the first to the last of these.
pub fn changed(changes: &[pb::TierChange]) -> Vec<pb::TierChange> {
    let mut all: Vec<pb::TierChange> = Vec::new();
    let moves = changes.iter().rev().filter(|it| it.from_tier != it.to_tier);
    for change in moves {
        let mut change = pb::TierChange {
            from_tier: change.from_tier.clone(),
            to_tier: change.to_tier.clone(),
            changed_at: change.changed_at,
            policy_version: change.policy_version,
            ..Default::default()
        };
        let at_once =
            all.pop_if(|it| it.changed_at == change.changed_at && it.to_tier == change.from_tier);
        if let Some(before) = at_once {
            change.from_tier = before.from_tier;
        }
        if change.from_tier != change.to_tier {
            all.push(change);
        }
    }
    all.reverse();
    all
}

/// A refusal may name a posting of an item before it, which was undone with the batch, or would have been made by a dry
/// one: nobody else knows its id.
fn unidentified_refusals(expected: &pb::BatchPostResponse, told: &mut pb::BatchPostResponse) {
    let refusals = told.results.iter_mut().zip(&expected.results);
    for (told, expected) in refusals {
        let Some((told, expected)) = batches::refusal_mut(told).zip(batches::refusal(expected))
        else {
            continue;
        };
        let undone =
            |(_, value): &(&String, &String)| value.is_empty() || batches::is_of_item_undone(value);
        for (key, value) in expected.metadata.iter().filter(undone) {
            if let Some(named) = told.metadata.get_mut(key) {
                named.clone_from(value);
            }
        }
    }
}

/// A lot that a dry run would make may have a name in its lines, which nobody else knows.
fn named_alike(expected: &Response, told: &mut Response) {
    let entries = |response: &Response| {
        let mut response = response.clone();
        let postings = response.postings().into_iter();
        postings
            .flat_map(|it| it.entries.clone())
            .collect::<Vec<_>>()
    };
    if told
        .postings()
        .iter()
        .any(|it| !it.transaction_id.is_empty())
    {
        return;
    }
    let foretold = entries(expected);
    let mut named = entries(told);
    named.retain(|it| foretold.iter().all(|known| known.lot_id != it.lot_id));
    for line in foretold.iter().filter(|it| is_nameless(&it.lot_id)) {
        let is_it = |it: &pb::LedgerEntry| (it.account, it.points) == (line.account, line.points);
        let Some(place) = named.iter().position(is_it) else {
            continue;
        };
        let name = named.swap_remove(place).lot_id;
        let lines = told.postings().into_iter().flat_map(|it| &mut it.entries);
        for lot_id in lines.map(|it| &mut it.lot_id).filter(|it| **it == name) {
            lot_id.clone_from(&line.lot_id);
        }
        let taken = told.recovered().into_iter().flatten();
        for lot_id in taken.map(|it| &mut it.lot_id).filter(|it| **it == name) {
            lot_id.clone_from(&line.lot_id);
        }
    }
}

/// Postings that the caller did not ask for, such as write-offs, have ids that only the service knows.
pub fn unidentified(foretold: &pb::LedgerTransaction, posting: &mut pb::LedgerTransaction) {
    sort_entries(posting);
    if foretold.transaction_id.is_empty() {
        posting.transaction_id.clear();
        posting.revision = 0;
    }
    if foretold.source_ref.is_empty() && posting.source_type == "transfer" {
        // Of a dry run: the posting in the giver's ledger will not have been.
        posting.source_ref.clear();
    }
}
