//! A chunk of rows: posted together, answered row by row.

use std::sync::Arc;

use api::loyalty::v1 as pb;
use common::error::ErrorInfo;
use common::validate::Violations;
use tonic::Status;

use crate::State;
use crate::error::Error;
use crate::ledger::imports::{Header, Import, ImportRow, Outcome};
use crate::work::{Needs, Work};
use crate::writer::{Posting, Run};

/// Rows with their numbers; those that did not parse bring their violations along.
pub type Rows = Vec<(i64, Result<ImportRow, Violations>)>;

/// A chunk of rows.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// What holds for all rows.
    pub header: Arc<Header>,
    /// What earlier chunks of a dry run would have imported.
    pub before: Arc<Vec<ImportRow>>,
    /// The rows.
    pub rows: Arc<Rows>,
    /// Token to wait for.
    pub at_least: String,
}

impl Chunk {
    fn all(&self) -> impl Iterator<Item = &ImportRow> {
        let rows = self.rows.iter().filter_map(|(_, row)| row.as_ref().ok());
        self.before.iter().chain(rows)
    }
}

impl Posting for Chunk {
    type Answer = pb::ImportTransactionsResponse;

    fn at_least(&self) -> &str {
        &self.at_least
    }

    fn needs(&self) -> Needs {
        Needs {
            customers: self.all().map(|row| row.customer_id.clone()).collect(),
            sources: self.all().map(|row| row.source_key(&self.header)).collect(),
        }
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, Error> {
        let all: Vec<_> = self.all().collect();
        let mut import = Import::begin(work, &self.header, &all).await?;
        for row in self.before.iter() {
            // It was answered with its own chunk.
            drop(one(state, work, &mut import, row).await?);
        }
        let mut outcomes = Vec::with_capacity(self.rows.len());
        for (number, row) in self.rows.iter() {
            let outcome = match row {
                Ok(row) => match one(state, work, &mut import, row).await? {
                    Ok(outcome) => imported(state, row, outcome, run),
                    Err(error) => refused(error),
                },
                Err(violations) => malformed(violations),
            };
            outcomes.push(pb::ImportRowOutcome {
                row: *number,
                ..outcome
            });
        }
        Ok(pb::ImportTransactionsResponse {
            last_row: self.rows.last().map_or(0, |(number, _)| *number),
            outcomes,
        })
    }
}

/// Imports one row, or leaves no trace of it.
async fn one(
    state: &State,
    work: &mut Work<'_>,
    import: &mut Import<'_>,
    row: &ImportRow,
) -> Result<Result<Outcome, Error>, Error> {
    let mark = work.mark().await?;
    match import.row(state, work, row).await {
        Ok(outcome) => {
            work.keep(mark).await?;
            Ok(Ok(outcome))
        }
        Err(error) if !error.is_refusal() => Err(error),
        Err(refusal) => {
            if work.undo_to(mark).await? {
                Ok(Err(refusal))
            } else {
                // What cannot be undone in memory is decided again, with more care.
                Err(common::Error::Contended.into())
            }
        }
    }
}

fn imported(state: &State, row: &ImportRow, outcome: Outcome, run: Run) -> pb::ImportRowOutcome {
    let (status, posting_id, debt_incurred, revision) = match outcome {
        Outcome::Imported {
            posting_id,
            debt_incurred,
            revision,
        } => {
            let status = pb::ImportRowStatus::Imported;
            (status, posting_id, debt_incurred, revision)
        }
        Outcome::Already {
            posting_id,
            revision,
        } => {
            let status = pb::ImportRowStatus::AlreadyImported;
            (status, posting_id, 0, revision)
        }
    };
    let (transaction_id, consistency_token) = match run {
        Run::Real => (posting_id, state.platform.token(&row.customer_id, revision)),
        Run::Dry => Default::default(),
    };
    pb::ImportRowOutcome {
        status: status.into(),
        transaction_id,
        debt_incurred,
        consistency_token,
        ..Default::default()
    }
}

fn refused(error: Error) -> pb::ImportRowOutcome {
    let mut differing = Violations::new();
    if let Error::ImportConflict { fields, .. } = &error {
        for field in fields {
            differing.add(*field, "another value was imported");
        }
    }
    let status = Status::from(error);
    let ErrorInfo { reason, metadata } = ErrorInfo::of(&status);
    pb::ImportRowOutcome {
        status: pb::ImportRowStatus::Refused.into(),
        reason,
        message: status.message().to_owned(),
        metadata: metadata.into_iter().collect(),
        violations: told(&differing),
        ..Default::default()
    }
}

fn malformed(violations: &Violations) -> pb::ImportRowOutcome {
    let refused = refused(common::Error::Invalid(violations.clone()).into());
    pb::ImportRowOutcome {
        violations: told(violations),
        ..refused
    }
}

fn told(violations: &Violations) -> Vec<pb::ImportViolation> {
    let violation = |violation: &common::validate::Violation| pb::ImportViolation {
        field: violation.field.clone(),
        description: violation.description.clone(),
    };
    violations.iter().map(violation).collect()
}
