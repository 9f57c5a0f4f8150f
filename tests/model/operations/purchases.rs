//! Purchases: what the customer service announces of them, and what the ledger made of it.

use std::collections::BTreeMap;

use api::customer::v1 as customer;
use api::loyalty::v1 as pb;
use api::r#type::v1::Money;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::{Code, Response as Reply, Status};

use super::Told;
use crate::answers::{micros, stamp};
use crate::service::{CLUB, Service};

/// The programs that purchases may earn in.
pub const PROGRAMS: [&str; 2] = ["default", CLUB];
/// Why the ledger takes back what a purchase earned.
pub const VOIDED: &str = "purchase voided";
/// What it calls the sources of what purchases earn.
pub const PURCHASE: &str = "transaction";

/// What the customer service says of a purchase.
#[derive(Debug, Clone, PartialEq)]
pub struct Announce {
    /// By which it is known that it was said before, when the ledger could not be asked what became of it.
    pub id: String,
    pub purchase: customer::Transaction,
    /// One after the other.
    pub happened: Vec<Happened>,
    /// The postings that were made for it before.
    pub known: Vec<String>,
    /// Whether it was said before that it is void.
    pub is_void: bool,
    /// Whether it comes when nothing else goes on: what may count for a tier, or no longer does, without a posting has no
    /// other place in the order.
    pub is_alone: bool,
    /// Whether nobody else takes it back.
    pub is_private: bool,
}

/// What happened to a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    Recorded,
    Voided,
}

/// What the ledger made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Announced {
    /// In each of the programs the new posting, if there is one. It is read: nobody is told.
    pub postings: Vec<Option<pb::LedgerTransaction>>,
}

impl Announce {
    /// A purchase that nobody takes back.
    pub fn of_dollars(id: &str, customer_id: &str, (dollars, at): (i64, i64)) -> Self {
        let total = Money {
            currency_code: "USD".to_owned(),
            micros: dollars * 1_000_000,
        };
        Self {
            id: id.to_owned(),
            purchase: customer::Transaction {
                transaction_id: id.to_owned(),
                customer_id: customer_id.to_owned(),
                occurred_at: Some(stamp(at)),
                total: Some(total),
                ..Default::default()
            },
            happened: vec![Happened::Recorded],
            known: Vec::new(),
            is_void: false,
            is_alone: false,
            is_private: true,
        }
    }

    /// Says it, and reads what was posted once the ledger has heard.
    pub(super) async fn call(&self, service: &Service) -> Result<Reply<Announced>, Status> {
        let at_least = service.announce(self).await;
        let mut postings = Vec::new();
        for program_id in PROGRAMS {
            let request = pb::ListTransactionsRequest {
                program_id: program_id.to_owned(),
                customer_id: self.purchase.customer_id.clone(),
                page_size: 1000,
                at_least: at_least.clone(),
                ..Default::default()
            };
            let mut to = LoyaltyServiceClient::new(service.channel().clone());
            let page = match to.list_transactions(request).await {
                Ok(reply) => reply.into_inner(),
                Err(status) if status.code() == Code::NotFound => {
                    pb::ListTransactionsResponse::default()
                }
                Err(status) => return Err(status),
            };
            let mut new = page.transactions.into_iter().filter(|it| self.is_new(it));
            postings.push(new.next());
            if let Some(more) = new.next() {
                panic!("posted twice: {more:#?}\n{self:#?}");
            }
        }
        Ok(Reply::new(Announced { postings }))
    }

    /// Whether a posting was made for it, and not before.
    fn is_new(&self, posting: &pb::LedgerTransaction) -> bool {
        let is_of = posting.source_type == PURCHASE
            && posting.source_ref == self.purchase.transaction_id
            && !self.known.contains(&posting.transaction_id);
        let has = |happened| self.happened.contains(&happened);
        is_of
            && match posting.kind() {
                pb::TransactionKind::Earn => has(Happened::Recorded),
                pb::TransactionKind::Reverse => has(Happened::Voided) && posting.reason == VOIDED,
                _ => false,
            }
    }
}

impl Announced {
    pub(super) fn told(&self) -> Told {
        let items: Vec<_> = self.postings.iter().map(|it| told(it.as_ref())).collect();
        Told {
            lot_ids: items.iter().flat_map(|it| it.lot_ids.clone()).collect(),
            items,
            ..Told::default()
        }
    }

    pub(super) fn instant(&self) -> Option<i64> {
        let posting = self.postings.iter().flatten().next()?;
        posting.posted_at.as_ref().map(micros)
    }

    pub(super) fn revisions(&self) -> BTreeMap<String, i64> {
        let mut revisions = BTreeMap::new();
        for posting in self.postings.iter().flatten() {
            let last: &mut i64 = revisions.entry(posting.customer_id.clone()).or_default();
            *last = posting.revision.max(*last);
        }
        revisions
    }
}

/// What only the service knows of a posting.
fn told(posting: Option<&pb::LedgerTransaction>) -> Told {
    let Some(posting) = posting else {
        return Told::default();
    };
    let is_earned = posting.kind() == pb::TransactionKind::Earn;
    let new = |entry: &&pb::LedgerEntry| {
        is_earned && entry.account() == pb::LedgerAccount::Member && entry.points > 0
    };
    let lots = posting.entries.iter().filter(new);
    Told {
        transaction_id: posting.transaction_id.clone(),
        revision: posting.revision,
        lot_ids: lots.map(|entry| entry.lot_id.clone()).collect(),
        limits: Some(Ok(posting.limit_cuts.clone())),
        ..Told::default()
    }
}
