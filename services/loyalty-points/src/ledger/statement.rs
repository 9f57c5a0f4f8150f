//! Statements: opening, movements, closing and a digest of them all, from one snapshot.

use std::collections::HashMap;

use common::db::Access;
use common::ids::CustomerId;
use common::page::PageRequest;
use common::time::Timestamp;

use super::reads::Of;
use crate::State;
use crate::domain::statement::{Canonical, Standing};
use crate::error::Error;
use crate::store::entries::{self, EntryRow};
use crate::store::postings::PostingRow;
use crate::store::statements::{self, Period};

/// The values that a digest starts with: another layout of the rest has another name.
const LAYOUT: &str = "asterism.statement.v1";
/// The same for currencies that a program has beside its first: their statements tell which.
const LAYOUT_OF_FURTHER: &str = "asterism.statement.v2";
/// Postings read at once.
const BATCH: i64 = 1000;

/// A period: from the first instant until before the second.
#[derive(Debug, Clone, Copy)]
pub struct FromTo {
    /// Start.
    pub from: Timestamp,
    /// End; after `from`.
    pub to: Timestamp,
}

/// A posting with its lines.
pub type Movement = (PostingRow, Vec<EntryRow>);

/// A page of a statement.
#[derive(Debug)]
pub struct Statement {
    /// Before the period.
    pub opening: Standing,
    /// The movements on this page.
    pub movements: Vec<Movement>,
    /// After the period.
    pub closing: Standing,
    /// Points that could not be spent yet, before and after the period.
    pub pending: (i64, i64),
    /// Movements on all pages.
    pub count: i64,
    /// SHA-256 over all pages.
    pub digest: Vec<u8>,
    /// Token of the next page.
    pub next_page_token: String,
    /// Code of the currency.
    pub currency: String,
}

/// A page of a member's statement. Its digest is that of the whole, so all of the period is read for every page,
/// a batch at a time.
pub async fn statement(
    state: &State,
    of: &Of,
    period: FromTo,
    page: &PageRequest,
) -> Result<Statement, Error> {
    let mut db = state.platform.snapshot().await?;
    let (program, wallet) = of.account(state, &mut db).await?;
    let FromTo { from, to } = period;
    let period = Period {
        account: of.key(&wallet),
        from,
        to,
    };
    let (opening, count) = statements::get_opening(&mut db, period).await?;
    let mut canonical = Canonical::default();
    canonical.text(if wallet.is_first() {
        LAYOUT
    } else {
        LAYOUT_OF_FURTHER
    });
    canonical.text(of.program_id.as_str());
    canonical.text(of.customer_id.as_str());
    if let Some(code) = wallet.code() {
        canonical.text(code);
    }
    canonical.number(from.micros());
    canonical.number(to.micros());
    canonical.standing(opening);

    let begin: i64 = page.after().unwrap_or(0);
    let wanted = usize::try_from(page.size + 1).expect("a size is between 1 and 1000");
    let (mut closing, mut movements, mut after) = (opening, Vec::new(), 0);
    loop {
        let batch = batch(&mut db, period, after).await?;
        let Some((last, _)) = batch.last() else {
            break;
        };
        after = last.revision;
        for movement in batch {
            closing = with(closing, &movement);
            append(&mut canonical, &movement);
            if movement.0.revision > begin && movements.len() < wanted {
                movements.push(movement);
            }
        }
    }
    canonical.standing(closing);
    canonical.number(count);
    let pending = (
        statements::get_pending(&mut db, period, from).await?,
        statements::get_pending(&mut db, period, to).await?,
    );
    let next_page_token = page.cut(&mut movements, |(posting, _)| posting.revision);
    Ok(Statement {
        opening,
        movements,
        closing,
        pending,
        count,
        digest: canonical.digest(),
        next_page_token,
        currency: program.code_of(&wallet).to_owned(),
    })
}

async fn batch(
    db: &mut impl Access,
    period: Period<'_>,
    after: i64,
) -> Result<Vec<Movement>, Error> {
    let rows = statements::list(db, period, after, BATCH).await?;
    let ids: Vec<_> = rows.iter().map(|row| row.posting_id.as_str()).collect();
    let mut lines: HashMap<String, Vec<EntryRow>> = HashMap::new();
    for (posting_id, entry) in entries::list(db, period.account.customer_id, &ids).await? {
        lines.entry(posting_id).or_default().push(entry);
    }
    let with_lines = |row: PostingRow| {
        let lines = lines.remove(&row.posting_id).unwrap_or_default();
        (row, lines)
    };
    Ok(rows.into_iter().map(with_lines).collect())
}

fn with(standing: Standing, (_, lines): &Movement) -> Standing {
    let mut after = standing;
    for line in lines {
        match line.account.as_str() {
            "member" => after.points += line.points,
            "held" => {
                after.points += line.points;
                after.held += line.points;
            }
            "debt" => {
                after.points += line.points;
                after.debt -= line.points;
            }
            _ => {}
        }
    }
    after
}

fn append(canonical: &mut Canonical, (posting, lines): &Movement) {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    canonical.number(posting.revision);
    canonical.text(&posting.posting_id);
    canonical.text(&posting.kind);
    canonical.number(posting.points);
    for text in [
        &posting.source_type,
        &posting.source_ref,
        &posting.rule,
        &posting.reason_code,
    ] {
        canonical.text(&optional(text));
    }
    canonical.text(&posting.reason);
    canonical.text(&optional(&posting.reverses));
    canonical.text(posting.counterparty.as_ref().map_or("", CustomerId::as_str));
    canonical.number(posting.occurred_at.micros());
    canonical.number(posting.posted_at.micros());
    canonical.text(&lines.len().to_string());
    for line in lines {
        canonical.text(&line.account);
        canonical.text(&optional(&line.lot_id));
        canonical.text(&optional(&line.hold_id));
        canonical.number(line.points);
    }
}
