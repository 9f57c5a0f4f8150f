//! Imports: a row of another system's ledger, posted as of when it occurred there.

use std::collections::{BTreeMap, HashMap};

use common::ids::CustomerId;
use common::time::Timestamp;

use super::{Account, Change, Origin, Source, open, write};
use crate::State;
use crate::domain::Points;
use crate::domain::adjust::{self, Hands};
use crate::domain::currency::{CurrencyCode, Wallet};
use crate::domain::decision::Decision;
use crate::domain::import::{self as decide, Row, RowKind, When};
use crate::domain::plan::Earn;
use crate::domain::program::{Program, ProgramId};
use crate::error::Error;
use crate::members::{self, Enroll};
use crate::store::imports::{self as store, OfSystem};
use crate::store::members::Standing;
use crate::store::postings::SourceKey;
use crate::work::Work;

/// What holds for all rows of an import.
#[derive(Debug, Clone)]
pub struct Header {
    /// The program.
    pub program_id: ProgramId,
    /// The currency, as the caller names it.
    pub currency: Option<CurrencyCode>,
    /// The currency in the program.
    pub wallet: Wallet,
    /// The other system.
    pub source_system: String,
    /// Whether known customers who are no members are enrolled.
    pub enrolls: bool,
    /// Who imports.
    pub actor: String,
}

/// A row, and whose it is.
#[derive(Debug, Clone)]
pub struct ImportRow {
    /// The member.
    pub customer_id: CustomerId,
    /// Its identifier in the other system.
    pub external_id: String,
    /// What it says.
    pub row: Row,
}

impl ImportRow {
    /// The permanent key of the posting.
    pub fn source_key(&self, header: &Header) -> SourceKey {
        SourceKey {
            program_id: header.program_id.to_string(),
            source_type: header.source_system.clone(),
            source_ref: self.external_id.clone(),
            rule: decide::rule(&header.wallet),
        }
    }
}

/// What became of a row.
#[derive(Debug)]
pub enum Outcome {
    /// It is posted.
    Imported {
        /// The posting.
        posting_id: String,
        /// Points that became debt.
        debt_incurred: i64,
        /// The customer's revision afterwards.
        revision: i64,
    },
    /// It was, with the same content.
    Already {
        /// The posting.
        posting_id: String,
        /// The customer's revision now.
        revision: i64,
    },
}

/// What the rows of one chunk are decided on.
pub struct Import<'a> {
    header: &'a Header,
    posted: HashMap<String, (CustomerId, String, Row)>,
    /// The latest instant from which anything of a member counts.
    latest: HashMap<CustomerId, Timestamp>,
}

impl<'a> Import<'a> {
    /// Reads what is known of the rows and their members.
    pub async fn begin(
        work: &mut Work<'_>,
        header: &'a Header,
        rows: &[&ImportRow],
    ) -> Result<Self, Error> {
        work.flush().await?;
        let mut import = Self {
            header,
            posted: HashMap::new(),
            latest: HashMap::new(),
        };
        let mut again = Vec::new();
        for row in rows {
            if work.find_source(&row.source_key(header)).await?.is_some() {
                again.push(row.external_id.as_str());
            }
        }
        if !again.is_empty() {
            import.read_posted(work, &again).await?;
        }
        let mut customers: Vec<_> = rows.iter().map(|row| &row.customer_id).collect();
        customers.sort_unstable();
        customers.dedup();
        let account = (header.program_id.as_str(), &header.wallet);
        import.latest = store::list_latest(work.tx(), account, &customers).await?;
        Ok(import)
    }

    /// Imports a row, unless it was before.
    pub async fn row(
        &mut self,
        state: &State,
        work: &mut Work<'_>,
        row: &ImportRow,
    ) -> Result<Outcome, Error> {
        if let Some(posting_id) = work.find_source(&row.source_key(self.header)).await? {
            return self.again(work, row, posting_id).await;
        }
        let account = self.enrolled(state, work, row).await?;
        let revision = revision(work, &row.customer_id).await?;
        let (program, mut lock, standing) = open(state, work, &account).await?;
        if lock.revision != revision {
            // Holds that had timed out have been let go.
            self.read_latest(work, &row.customer_id).await?;
        }
        self.approve(&program, &row.row)?;
        let decided = self.decide(state, work, (&program, &standing), row).await?;
        // What is written off counts from now on.
        let written_off = decided.plan.expiry.as_ref().map(|_| work.now());
        let latest = decided.effective.iter().copied().max().max(written_off);
        let change = Change {
            program: &program,
            standing,
            plan: decided.plan,
            origin: self.origin(row, decided.effective),
        };
        let written = write::write(state, work, &mut lock, change).await?;
        work.settle(&lock);
        let latest = latest.max(self.latest.get(&row.customer_id).copied());
        let latest = latest.expect("a posting has lines");
        self.latest.insert(row.customer_id.clone(), latest);
        let posting_id = written.posting.posting_id.clone();
        let posted = (row.customer_id.clone(), posting_id, row.row.clone());
        self.posted.insert(row.external_id.clone(), posted);
        Ok(Outcome::Imported {
            revision: written.revision,
            debt_incurred: written.debt_incurred,
            posting_id: written.posting.posting_id,
        })
    }

    /// Tells a row that was imported before from another one under its name.
    async fn again(
        &mut self,
        work: &mut Work<'_>,
        row: &ImportRow,
        posting_id: String,
    ) -> Result<Outcome, Error> {
        if !self.posted.contains_key(&row.external_id) {
            // By another import in the same transaction.
            work.flush().await?;
            self.read_posted(work, &[&row.external_id]).await?;
        }
        let mut fields = Vec::new();
        if let Some((customer_id, _, posted)) = self.posted.get(&row.external_id) {
            if *customer_id != row.customer_id {
                fields.push("customer_id");
            }
            fields.extend(row.row.differing(posted));
        }
        if !fields.is_empty() {
            return Err(Error::ImportConflict { posting_id, fields });
        }
        let revision = revision(work, &row.customer_id).await?;
        Ok(Outcome::Already {
            posting_id,
            revision,
        })
    }

    /// The row's member, enrolled where that is asked for.
    async fn enrolled(
        &self,
        state: &State,
        work: &mut Work<'_>,
        row: &ImportRow,
    ) -> Result<Account, Error> {
        let customer_id = &row.customer_id;
        let Some(lock) = work.lock(customer_id).await? else {
            return Err(Error::CustomerNotFound(customer_id.clone()));
        };
        let program_id = self.header.program_id.as_str();
        let is_member = !work.standings(customer_id, program_id).await?.is_empty();
        if !is_member && self.header.enrolls {
            if lock.deleted {
                return Err(Error::CustomerNotFound(customer_id.clone()));
            }
            if !row.row.gives() && !row.row.force {
                // Nobody is enrolled for what is refused.
                return Err(Error::InsufficientPoints { available: 0 });
            }
            let enroll = Enroll {
                program_id: self.header.program_id.clone(),
                customer_id: customer_id.clone(),
                at_least: String::new(),
                actor: self.header.actor.clone(),
                reason: format!("imported from {}", self.header.source_system),
            };
            let tx = work.past(customer_id).await?;
            members::enroll_locked(state, tx, lock, &enroll).await?;
        }
        Ok(Account {
            program_id: self.header.program_id.clone(),
            customer_id: customer_id.clone(),
            currency: self.header.currency.clone(),
            at_least: String::new(),
            actor: Some(self.header.actor.clone()),
        })
    }

    fn approve(&self, program: &Program, row: &Row) -> Result<(), Error> {
        if row.kind == RowKind::Adjust {
            let points = Points::parse(row.points.abs()).expect("parsed with the row");
            let hands = Hands {
                actor: &self.header.actor,
                approver: row.approver.as_deref(),
            };
            adjust::approve(points, program.adjustment_approval_limit, hands)?;
        }
        Ok(())
    }

    async fn decide(
        &self,
        state: &State,
        work: &mut Work<'_>,
        (program, standing): (&Program, &Standing),
        row: &ImportRow,
    ) -> Result<decide::Decided, Error> {
        let (customer_id, at) = (&row.customer_id, row.row.at());
        let is_last = self.latest.get(customer_id).is_none_or(|last| *last <= at);
        let settled_at = if is_last { at } else { work.now() };
        let when = When { at, settled_at };
        if row.row.gives() {
            let given = given(state, program, standing.wallet(), &row.row);
            return Ok(decide::give(standing.holding(), given, &row.row, when)?);
        }
        let lots = work.open_lots(standing.key()).await?;
        let mut usable = BTreeMap::new();
        if !is_last {
            work.flush().await?;
            let program_id = program.program_id.as_str();
            let later = store::list_later(work.tx(), customer_id, program_id, at).await?;
            usable = decide::usable(&lots, &later);
        }
        let holding = standing.holding();
        Ok(decide::take(holding, lots, &usable, &row.row, when)?)
    }

    fn origin(&self, row: &ImportRow, effective: Vec<Timestamp>) -> Origin {
        Origin {
            source: Some(Source {
                source_type: self.header.source_system.clone(),
                source_ref: row.external_id.clone(),
            }),
            rule: decide::rule(&self.header.wallet),
            reason_code: row.row.reason_code.clone(),
            reason: row.row.reason.clone(),
            decision: Some(Decision::Import(row.row.clone())),
            actor: Some(self.header.actor.clone()),
            approver: row.row.approver.clone(),
            effective: Some(effective),
            ..Origin::default()
        }
    }

    async fn read_posted(&mut self, work: &mut Work<'_>, refs: &[&str]) -> Result<(), Error> {
        let of = OfSystem {
            program_id: self.header.program_id.as_str(),
            wallet: &self.header.wallet,
            source_type: &self.header.source_system,
            source_refs: refs,
        };
        for found in store::list(work.tx(), of).await? {
            let decision = found.decision.as_deref().and_then(Decision::from_json);
            let Some(Decision::Import(row)) = decision else {
                let what = format!("posting {} tells no imported row", found.posting_id);
                return Err(common::Error::Internal(what).into());
            };
            let posted = (found.customer_id, found.posting_id, row);
            self.posted.insert(found.source_ref, posted);
        }
        Ok(())
    }

    async fn read_latest(
        &mut self,
        work: &mut Work<'_>,
        customer_id: &CustomerId,
    ) -> Result<(), Error> {
        work.flush().await?;
        let account = (self.header.program_id.as_str(), &self.header.wallet);
        let latest = store::list_latest(work.tx(), account, &[customer_id]).await?;
        self.latest.extend(latest);
        Ok(())
    }
}

async fn revision(work: &mut Work<'_>, customer_id: &CustomerId) -> Result<i64, Error> {
    let lock = work.lock(customer_id).await?;
    Ok(lock.map_or(0, |lock| lock.revision))
}

/// The lot of a row that gives points.
fn given(state: &State, program: &Program, wallet: &Wallet, row: &Row) -> Earn {
    let earned_at = row.at();
    let activates_at = row.activates_at.map(Timestamp::from_micros);
    let activates_at = activates_at.unwrap_or(earned_at);
    let expires_at = row.expires_at.map(Timestamp::from_micros);
    Earn {
        lot_id: state.platform.ids.uuid(),
        wallet: wallet.clone(),
        points: Points::parse(row.points).expect("parsed with the row"),
        earned_at,
        activates_at: Some(activates_at),
        expires_at: expires_at.or_else(|| program.expiry_of(wallet, activates_at)),
    }
}
