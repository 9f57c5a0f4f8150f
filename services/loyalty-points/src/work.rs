//! What one transaction does to members' ledgers: read at once, decided in memory, written at once.
//!
//! A posting alone and many that are committed together take the same path. What is read of a customer under the
//! lock is kept; what is decided changes the copy and is noted; [`Work::flush`] writes all of it, one statement for
//! each table; [`Work::write_usage`] ends with what is used of earning limits. Tables that are not kept here are used through
//! [`Work::tx`] as ever.
//!
//! Invariant: reads through here see what was noted before, written or not. Whoever reads kept tables past this
//! (postings, entries, lots, purchases, accounts, members) flushes first, and whoever writes them past this has the customer
//! forgotten.

mod accounts;
mod flush;
mod lots;
mod undo;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::db::{Access, Tx};
use common::ids::CustomerId;
use common::time::Timestamp;

use crate::domain::currency::Wallet;
use crate::domain::lots::Lot;
use crate::domain::plan::Holding;
use crate::error::Error;
use crate::store::entries::NewEntry;
use crate::store::members::{self, Lock, Standing};
use crate::store::merges;
use crate::store::postings::{self, PostingRow, SourceKey};
use crate::store::purchases::NewPurchase;
use undo::Change;
use usage::Usage;

/// The work of one transaction.
pub struct Work<'t> {
    tx: &'t mut Tx,
    customers: BTreeMap<CustomerId, Kept>,
    sources: HashMap<SourceKey, Option<String>>,
    postings: Vec<PostingRow>,
    entries: Vec<NewEntry>,
    purchases: Vec<NewPurchase>,
    changes: Vec<Change>,
    usage: Usage,
    care: Care,
    direct: bool,
    /// Customers who stay locked although what was kept of them was undone or is read anew.
    held: BTreeSet<CustomerId>,
}

/// How work can be undone in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// In memory, as long as nothing was written past it.
    Quick,
    /// Always, at the price of writing at each mark.
    Thorough,
}

/// Whom to lock before anything is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Whom a change is about. Whoever else it turns out to be about is locked then, out of order: rarely, two
    /// such changes meet.
    Named,
    /// All who are the same person too, so that those who have met do not meet again.
    Persons,
}

/// What is kept of a customer.
#[derive(Default)]
struct Kept {
    /// Absent: nobody knows such a customer.
    lock: Option<Lock>,
    stored_revision: i64,
    standings: Option<Vec<Row<Standing>>>,
    accounts: BTreeMap<AccountId, Row<Holding>>,
    lots: Option<BTreeMap<AccountId, BTreeMap<String, Row<Lot>>>>,
}

/// A program and a currency of it.
type AccountId = (String, Wallet);

/// A row, and what of it the database does not know.
#[derive(Clone)]
struct Row<T> {
    value: T,
    state: RowState,
}

#[derive(Clone, PartialEq, Eq)]
enum RowState {
    Stored,
    Changed,
    /// To be inserted; for a lot with its posting.
    New(String),
}

/// What some mutations will read.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Customers whose ledgers they post to.
    pub customers: Vec<CustomerId>,
    /// Sources that they post for.
    pub sources: Vec<SourceKey>,
}

impl Needs {
    /// One customer's ledger.
    pub fn of(customer_id: &CustomerId) -> Self {
        Self {
            customers: vec![customer_id.clone()],
            sources: Vec::new(),
        }
    }
}

impl Reach {
    /// What is needed, as far as this reaches.
    pub async fn of(self, needs: Needs, db: &mut impl Access) -> Result<Needs, common::Error> {
        if self == Self::Named {
            return Ok(needs);
        }
        let Needs {
            mut customers,
            sources,
        } = needs;
        let named: Vec<_> = customers.iter().collect();
        let persons = merges::list_same_persons(db, &named).await?;
        customers.extend(persons);
        Ok(Needs { customers, sources })
    }
}

impl<'t> Work<'t> {
    /// Nothing is read yet.
    pub fn new(tx: &'t mut Tx) -> Self {
        Self::with(tx, Care::Quick)
    }

    /// Nothing is read yet.
    pub fn with(tx: &'t mut Tx, care: Care) -> Self {
        Self {
            tx,
            customers: BTreeMap::new(),
            sources: HashMap::new(),
            postings: Vec::new(),
            entries: Vec::new(),
            purchases: Vec::new(),
            changes: Vec::new(),
            usage: Usage::default(),
            care,
            direct: false,
            held: BTreeSet::new(),
        }
    }

    /// The present instant, which stands still once customers are locked: what others posted while this waited
    /// for them lies in the past.
    pub fn now(&self) -> Timestamp {
        self.tx.now()
    }

    /// The transaction: for tables that are not kept here, and for events.
    pub fn tx(&mut self) -> &mut Tx {
        self.tx
    }

    /// The transaction, for writing past this. That cannot be undone alone.
    pub fn direct(&mut self) -> &mut Tx {
        self.direct = true;
        self.tx
    }

    /// Locks the customers, in the order of their ids, and reads all that the decisions need.
    pub async fn read(&mut self, needs: &Needs) -> Result<(), common::Error> {
        let wanted = needs.customers.iter();
        let mut wanted: Vec<_> = wanted
            .filter(|id| !self.customers.contains_key(id))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        if !wanted.is_empty() {
            for id in &wanted {
                self.customers.insert((*id).clone(), Kept::default());
            }
            for lock in self.lock_all(&wanted).await? {
                let kept = self.customers.entry(lock.customer_id.clone()).or_default();
                kept.stored_revision = lock.revision;
                kept.lock = Some(lock);
            }
            self.read_standings(&wanted).await?;
            self.read_lots(&wanted).await?;
        }
        let unknown = needs
            .sources
            .iter()
            .filter(|key| !self.sources.contains_key(key));
        let unknown: Vec<_> = unknown.cloned().collect();
        if !unknown.is_empty() {
            let posted = postings::list_by_source(self.tx, &unknown).await?;
            self.sources
                .extend(unknown.into_iter().map(|key| (key, None)));
            self.sources
                .extend(posted.into_iter().map(|(key, id)| (key, Some(id))));
        }
        Ok(())
    }

    /// A customer's lock, if the customer is known.
    pub async fn lock(&mut self, customer_id: &CustomerId) -> Result<Option<Lock>, common::Error> {
        if !self.customers.contains_key(customer_id) {
            let locked = self.lock_all(&[customer_id]).await?.pop();
            let kept = Kept {
                stored_revision: locked.as_ref().map_or(0, |lock| lock.revision),
                lock: locked,
                ..Kept::default()
            };
            self.customers.insert(customer_id.clone(), kept);
        }
        Ok(self.customers[customer_id].lock.clone())
    }

    /// Time goes on only where somebody else may have had one of the customers meanwhile.
    async fn lock_all(&mut self, wanted: &[&CustomerId]) -> Result<Vec<Lock>, common::Error> {
        if wanted.iter().all(|id| self.held.contains(*id)) {
            members::lock_again(self.tx, wanted).await
        } else {
            members::lock(self.tx, wanted).await
        }
    }

    /// Notes the revision of a customer's latest change.
    pub fn settle(&mut self, lock: &Lock) {
        let kept = self.kept(&lock.customer_id);
        let before = kept.lock.replace(lock.clone());
        self.changes
            .push(Change::Lock(lock.customer_id.clone(), before));
    }

    /// The posting of a source, if there is one.
    pub async fn find_source(&mut self, key: &SourceKey) -> Result<Option<String>, common::Error> {
        if !self.sources.contains_key(key) {
            let needs = Needs {
                customers: Vec::new(),
                sources: vec![key.clone()],
            };
            self.read(&needs).await?;
        }
        Ok(self.sources[key].clone())
    }

    /// Notes a posting with its lines, unless its source was posted before by the same rule.
    pub async fn post(
        &mut self,
        posting: &PostingRow,
        entries: impl Iterator<Item = NewEntry>,
    ) -> Result<(), Error> {
        if let Some(key) = posting.source_key() {
            if let Some(posted) = self.find_source(&key).await? {
                return Err(Error::SourceAlreadyPosted(posted));
            }
            let id = posting.posting_id.clone();
            self.sources.insert(key.clone(), Some(id));
            self.changes.push(Change::Source(key));
        }
        self.postings.push(posting.clone());
        self.entries.extend(entries);
        Ok(())
    }

    /// Notes a purchase.
    pub fn add_purchase(&mut self, purchase: NewPurchase) {
        self.purchases.push(purchase);
    }

    /// Reads a customer anew from now on, after something was written past this.
    pub async fn forget(&mut self, customer_id: &CustomerId) -> Result<(), common::Error> {
        self.flush().await?;
        let kept = self.kept(customer_id);
        kept.standings = None;
        kept.lots = None;
        Ok(())
    }

    /// Reads all customers anew from now on.
    async fn forget_standings(&mut self) -> Result<(), common::Error> {
        self.flush().await?;
        for kept in self.customers.values_mut() {
            kept.standings = None;
            kept.lots = None;
        }
        Ok(())
    }

    /// The transaction, for writing what is kept of a customer past this: it is read anew afterwards.
    pub async fn past(&mut self, customer_id: &CustomerId) -> Result<&mut Tx, common::Error> {
        self.flush().await?;
        let kept = self.customers.remove(customer_id);
        if kept.is_some_and(|kept| kept.lock.is_some()) {
            self.held.insert(customer_id.clone());
        }
        Ok(self.direct())
    }

    fn kept(&mut self, customer_id: &CustomerId) -> &mut Kept {
        self.customers
            .get_mut(customer_id)
            .expect("a customer is locked before anything else")
    }
}
