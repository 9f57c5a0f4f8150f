//! Imports: a chunk of rows in a stream of its own, and what became of it.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::transport::Channel;
use tonic::{Response as Reply, Status};

use super::{Request, Response, Told};
use crate::answers::{Answer, micros, stamp};

/// A chunk of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    pub chunk: pb::ImportTransactionsRequest,
    /// The rows that were never sent before, by their identifiers.
    pub new: Vec<String>,
}

/// What became of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    pub answer: pb::ImportTransactionsResponse,
    /// Of each row the posting, if it is new. The answer names it; what it is, and when it was made, is read.
    pub postings: Vec<Option<pb::LedgerTransaction>>,
    /// Since when customers have been members, where members are enrolled for it; read as well.
    pub enrolled: BTreeMap<String, prost_types::Timestamp>,
}

impl Import {
    /// More than anybody has is taken of the default program.
    pub fn of_debt(customer_id: &str, now: i64) -> Self {
        let external_id = format!("debt of {customer_id}");
        let row = pb::ImportRow {
            row: 1,
            customer_id: customer_id.to_owned(),
            external_id: external_id.clone(),
            kind: pb::ImportKind::Redeem.into(),
            points: 5_000,
            occurred_at: Some(stamp(now)),
            reason: "as it was there".to_owned(),
            force: true,
            ..Default::default()
        };
        let header = pb::ImportHeader {
            source_system: "the old one".to_owned(),
            ..Default::default()
        };
        Self {
            chunk: pb::ImportTransactionsRequest {
                header: Some(header),
                rows: vec![row],
            },
            new: vec![external_id],
        }
    }

    pub fn header(&self) -> &pb::ImportHeader {
        self.chunk.header.as_ref().expect("always given")
    }

    pub fn is_new(&self, row: &pb::ImportRow) -> bool {
        self.new.contains(&row.external_id)
    }

    fn without_rows(&self) -> Self {
        let chunk = pb::ImportTransactionsRequest {
            rows: Vec::new(),
            ..self.chunk.clone()
        };
        Self {
            chunk,
            new: self.new.clone(),
        }
    }

    /// Each customer once.
    pub(super) fn customers(&self) -> Vec<&str> {
        let mut customers: Vec<&str> = Vec::new();
        for row in &self.chunk.rows {
            if !customers.contains(&row.customer_id.as_str()) {
                customers.push(&row.customer_id);
            }
        }
        customers
    }

    pub(super) fn instants(&self) -> Vec<prost_types::Timestamp> {
        let rows = self.chunk.rows.iter();
        rows.flat_map(|row| [row.occurred_at, row.activates_at, row.expires_at])
            .flatten()
            .collect()
    }

    /// Sends them, and reads what was posted. Whoever is cut off sends them again: the rows' own keys see to that.
    pub(super) async fn call(&self, channel: &Channel) -> Result<Reply<Imported>, Status> {
        let mut to = LoyaltyServiceClient::new(channel.clone());
        let chunks = futures::stream::iter([self.chunk.clone()]);
        let reply = to.import_transactions(chunks).await?;
        let answer = reply.into_inner().message().await?;
        let answer = answer.ok_or_else(|| Status::unavailable("the stream was cut"))?;
        let mut postings = Vec::new();
        for (row, outcome) in self.chunk.rows.iter().zip(&answer.outcomes) {
            let is_posted = self.is_new(row) && !outcome.transaction_id.is_empty();
            postings.push(if is_posted {
                Some(self.read(&mut to, row, outcome).await?)
            } else {
                None
            });
        }
        let mut enrolled = BTreeMap::new();
        for (posting, outcome) in postings.iter().zip(&answer.outcomes) {
            let Some(posting) = posting.as_ref().filter(|_| self.header().enroll_missing) else {
                continue;
            };
            let request = pb::GetMemberRequest {
                program_id: self.header().program_id.clone(),
                customer_id: posting.customer_id.clone(),
                at_least: outcome.consistency_token.clone(),
            };
            let member = to.get_member(request).await?.into_inner().member;
            let since = member.and_then(|it| it.enrolled_at).expect("always told");
            enrolled.insert(posting.customer_id.clone(), since);
        }
        Ok(Reply::new(Imported {
            answer,
            postings,
            enrolled,
        }))
    }

    async fn read(
        &self,
        to: &mut LoyaltyServiceClient<Channel>,
        row: &pb::ImportRow,
        outcome: &pb::ImportRowOutcome,
    ) -> Result<pb::LedgerTransaction, Status> {
        let request = pb::ListTransactionsRequest {
            program_id: self.header().program_id.clone(),
            customer_id: row.customer_id.clone(),
            page_size: 1000,
            at_least: outcome.consistency_token.clone(),
            ..Default::default()
        };
        let page = to.list_transactions(request).await?.into_inner();
        let mut postings = page.transactions.into_iter();
        let named = postings.find(|it| it.transaction_id == outcome.transaction_id);
        Ok(named.unwrap_or_else(|| panic!("no such posting: {outcome:#?}")))
    }
}

/// What was sent, and what was answered: a chunk is committed as one, so all whose rows are posted have one place in
/// the order; of whom every row is refused has one of its own. Where an answer was lost a refused row may have been
/// imported when all were sent again: then each row has a place of its own.
pub(super) fn placed(import: &Import, imported: &Imported) -> Vec<(Request, Answer)> {
    let again = imported.was_sent_again();
    let posted: Vec<_> = imported.postings.iter().flatten().collect();
    let place = |row: &pb::ImportRow| {
        let is_posted = posted.iter().any(|it| it.customer_id == row.customer_id);
        (!is_posted).then(|| row.customer_id.clone())
    };
    let mut parts: Vec<(Import, Imported)> = Vec::new();
    let outcomes = imported.answer.outcomes.iter().zip(&imported.postings);
    for (row, (outcome, posting)) in import.chunk.rows.iter().zip(outcomes) {
        let same = |(part, _): &&mut (Import, Imported)| place(&part.chunk.rows[0]) == place(row);
        let (part, told) = match parts.iter_mut().find(same).filter(|_| !again) {
            Some(part) => part,
            None => parts.push_mut((import.without_rows(), imported.without_rows())),
        };
        part.chunk.rows.push(row.clone());
        told.answer.outcomes.push(outcome.clone());
        told.answer.last_row = row.row;
        told.postings.push(posting.clone());
    }
    let placed = |(import, told)| (Request::Import(import), Ok(Response::Import(told)));
    parts.into_iter().map(placed).collect()
}

impl Imported {
    fn without_rows(&self) -> Self {
        Self {
            answer: pb::ImportTransactionsResponse::default(),
            postings: Vec::new(),
            enrolled: self.enrolled.clone(),
        }
    }

    fn was_sent_again(&self) -> bool {
        let mut rows = self.answer.outcomes.iter().zip(&self.postings);
        rows.any(|(row, posting)| {
            posting.is_some() && row.status() == pb::ImportRowStatus::AlreadyImported
        })
    }

    /// What only the service knows of a row.
    pub(super) fn told(&self, posting: Option<&pb::LedgerTransaction>) -> Told {
        let Some(posting) = posting else {
            return Told::default();
        };
        let is_new = |entry: &&pb::LedgerEntry| {
            entry.account() == pb::LedgerAccount::Member && entry.points > 0
        };
        let lots = posting.entries.iter().filter(is_new);
        Told {
            transaction_id: posting.transaction_id.clone(),
            revision: posting.revision,
            lot_ids: lots.map(|entry| entry.lot_id.clone()).collect(),
            enrolled_at: self.enrolled.get(&posting.customer_id).map(micros),
            ..Told::default()
        }
    }

    /// Its place in each history. The tokens tell a later one where a row was sent again.
    pub(super) fn revisions(&self) -> BTreeMap<String, i64> {
        let mut revisions = BTreeMap::new();
        for posting in self.postings.iter().flatten() {
            let last: &mut i64 = revisions.entry(posting.customer_id.clone()).or_default();
            *last = posting.revision.max(*last);
        }
        revisions
    }

    pub(super) fn words(&mut self) -> Vec<&mut String> {
        let mut words = Vec::new();
        for row in &mut self.answer.outcomes {
            words.push(&mut row.message);
            words.extend(row.violations.iter_mut().map(|it| &mut it.description));
        }
        words
    }

    /// A new row that was cut off and sent again may be told as imported already: as far as it goes, that is the same.
    pub fn as_if_told_at_first(&mut self, expected: &Self) {
        self.enrolled.clear();
        let rows = self.answer.outcomes.iter_mut().zip(&self.postings);
        for ((told, posting), expected) in rows.zip(&expected.answer.outcomes) {
            if posting.is_some() && told.status() == pb::ImportRowStatus::AlreadyImported {
                told.status = expected.status;
                told.debt_incurred = expected.debt_incurred;
            }
        }
    }
}
