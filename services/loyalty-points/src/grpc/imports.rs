//! Imports: a stream of chunks, each answered once it is committed.

mod chunk;
mod parse;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use api::loyalty::v1 as pb;
use common::ids::CustomerId;
use common::server::draining;
use common::{identity, validate::Violations};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};
use tracing::Instrument as _;

use self::chunk::Chunk;
use crate::State;
use crate::ledger::imports::{Header, ImportRow};
use crate::programs::wallet_of;
use crate::writer::{Order, Run};

/// Answers that wait for a slow caller; then the import waits too.
const ANSWERS_WAITING_MAX: usize = 4;
/// Rows of a dry run at most: those of its earlier chunks are decided again with each.
const DRY_ROWS_MAX: usize = 10_000;

/// What a stream of answers is.
pub type Answers = ReceiverStream<Result<pb::ImportTransactionsResponse, Status>>;

/// Imports chunk after chunk. The first error ends the stream; what was answered stays. A draining server ends it
/// between two chunks: the caller resumes elsewhere after the last row answered.
///
/// The work runs in a task of its own: when the caller goes away, the chunk under way is committed in peace.
pub fn import(
    state: &State,
    mut chunks: Streaming<pb::ImportTransactionsRequest>,
) -> Response<Answers> {
    let (answers, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
    let last_words = answers.clone();
    let drain = state.drain.clone();
    let mut import = Import::new(state.clone());
    let work = async move {
        loop {
            let chunk = tokio::select! {
                biased;
                () = drain.begun() => Some(Err(draining())),
                chunk = chunks.next() => chunk,
            };
            let answer = match chunk {
                None => break,
                Some(Ok(chunk)) => import.chunk(chunk).await,
                Some(Err(status)) => Err(status),
            };
            let failed = answer.is_err();
            if answers.send(answer).await.is_err() || failed {
                break;
            }
        }
    };
    let work = async move {
        // A stream that merely ends would tell the caller that every chunk was imported.
        if AssertUnwindSafe(work).catch_unwind().await.is_err() {
            let panicked = common::Error::Internal("an import panicked".to_owned());
            let _ = last_words.send(Err(panicked.into())).await;
        }
    };
    let work = identity::scope(identity::current(), work);
    tokio::spawn(work.in_current_span());
    Response::new(ReceiverStream::new(receiver))
}

/// A stream under way.
struct Import {
    state: State,
    header: Option<Opened>,
    last_row: i64,
    /// What earlier chunks of a dry run would have imported.
    told: HashMap<CustomerId, Vec<ImportRow>>,
    dry_rows: usize,
}

/// What the first message says.
#[derive(Clone)]
struct Opened {
    header: Arc<Header>,
    run: Run,
    at_least: String,
}

impl Import {
    fn new(state: State) -> Self {
        Self {
            state,
            header: None,
            last_row: 0,
            told: HashMap::new(),
            dry_rows: 0,
        }
    }

    async fn chunk(
        &mut self,
        request: pb::ImportTransactionsRequest,
    ) -> Result<pb::ImportTransactionsResponse, Status> {
        let mut v = Violations::new();
        let opened = self.open(&mut v, request.header);
        parse::numbers(&mut v, self.last_row, &request.rows);
        if opened.as_ref().is_some_and(|opened| opened.run == Run::Dry) {
            self.dry_rows += request.rows.len();
            if self.dry_rows > DRY_ROWS_MAX {
                let most = format!("must be at most {DRY_ROWS_MAX} in a dry stream");
                v.add("rows", most);
            }
        }
        let (mut opened,) = v.all((opened,))?;
        if self.header.is_none() {
            self.turn_to_currency(&mut opened).await?;
        }
        self.header = Some(opened.clone());
        let now = self.state.platform.now();
        let mut rows = Vec::with_capacity(request.rows.len());
        for raw in request.rows {
            rows.push((raw.row, parse::row(raw, now)));
        }
        let rows = Arc::new(rows);
        let chunk = Chunk {
            before: self.before(&rows),
            header: opened.header,
            rows: Arc::clone(&rows),
            at_least: opened.at_least,
        };
        let method = "asterism.loyalty.v1.LoyaltyService/ImportTransactions";
        // The rows' own keys make a repeat harmless.
        let nothing = pb::ImportTransactionsRequest::default();
        let order = Order::new(method, &nothing, ("", opened.run == Run::Dry));
        let answer = super::post(&self.state, order, chunk).await?.into_inner();
        self.last_row = answer.last_row;
        if opened.run == Run::Dry {
            self.tell(&rows, &answer.outcomes);
        }
        Ok(answer)
    }

    fn open(&self, v: &mut Violations, raw: Option<pb::ImportHeader>) -> Option<Opened> {
        match (&self.header, raw) {
            (None, Some(raw)) => parse::header(v, raw),
            (Some(opened), None) => Some(Opened {
                // The first chunk has waited for it.
                at_least: String::new(),
                ..opened.clone()
            }),
            (None, None) => {
                v.add("header", "must be given in the first message");
                None
            }
            (Some(_), Some(_)) => {
                v.add("header", "must be absent after the first message");
                None
            }
        }
    }

    /// Finds the currency in the program.
    async fn turn_to_currency(&self, opened: &mut Opened) -> Result<(), crate::error::Error> {
        let mut db = self.state.platform.reader().await?;
        let header = Arc::make_mut(&mut opened.header);
        let program = self.state.programs.get(&mut db, &header.program_id).await?;
        header.wallet = wallet_of(&program, header.currency.as_ref())?;
        Ok(())
    }

    /// What earlier chunks of a dry run would have imported for the members of a chunk.
    fn before(&self, rows: &chunk::Rows) -> Arc<Vec<ImportRow>> {
        let mut before = Vec::new();
        if !self.told.is_empty() {
            let wanted = rows.iter().filter_map(|(_, row)| row.as_ref().ok());
            let mut wanted: Vec<_> = wanted.map(|row| &row.customer_id).collect();
            wanted.sort_unstable();
            wanted.dedup();
            let told = wanted.into_iter().filter_map(|id| self.told.get(id));
            before.extend(told.flatten().cloned());
        }
        Arc::new(before)
    }

    fn tell(&mut self, rows: &chunk::Rows, outcomes: &[pb::ImportRowOutcome]) {
        for ((_, row), outcome) in rows.iter().zip(outcomes) {
            if let (Ok(row), pb::ImportRowStatus::Imported) = (row, outcome.status()) {
                let of_member = self.told.entry(row.customer_id.clone()).or_default();
                of_member.push(row.clone());
            }
        }
    }
}
