//! The operations of the ledger: how each is called, and what its answer tells that no model can know.

use std::collections::BTreeMap;

use api::loyalty::v1 as pb;
use common::token::ConsistencyToken;
use pb::loyalty_service_client::LoyaltyServiceClient;
use tonic::transport::Channel;
use tonic::{Response as Reply, Status};

use crate::answers::{micros, stamp};

/// Whoever calls a server without authentication.
pub const CALLER: &str = "anonymous";

/// A call of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Enroll(pb::EnrollMemberRequest),
    Earn(pb::EarnPointsRequest),
    Redeem(pb::RedeemPointsRequest),
    Adjust(pb::AdjustPointsRequest),
    Transfer(pb::TransferPointsRequest),
    Extend(pb::ExtendExpiryRequest),
    Reverse(pb::ReverseTransactionRequest),
    Authorize(pb::AuthorizeHoldRequest),
    Capture(pb::CaptureHoldRequest),
    Void(pb::VoidHoldRequest),
    Balance(pb::GetBalanceRequest),
    Lots(pb::ListLotsRequest),
    Transactions(pb::ListTransactionsRequest),
    Hold(pb::GetHoldRequest),
    Holds(pb::ListHoldsRequest),
}

/// What a call answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    Enroll(pb::EnrollMemberResponse),
    Earn(pb::EarnPointsResponse),
    Redeem(pb::RedeemPointsResponse),
    Adjust(pb::AdjustPointsResponse),
    Transfer(pb::TransferPointsResponse),
    Extend(pb::ExtendExpiryResponse),
    Reverse(pb::ReverseTransactionResponse),
    Authorize(pb::AuthorizeHoldResponse),
    Capture(pb::CaptureHoldResponse),
    Void(pb::VoidHoldResponse),
    Balance(pb::GetBalanceResponse),
    Lots(pb::ListLotsResponse),
    Transactions(pb::ListTransactionsResponse),
    Hold(pb::GetHoldResponse),
    Holds(pb::ListHoldsResponse),
}

/// What only the service knows: ids, and the place in the customer's history.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub transaction_id: String,
    pub revision: i64,
    pub hold_id: String,
    /// New lots, in the order of the answer.
    pub lot_ids: Vec<String>,
    /// Id and revision of the posting in the ledger of who receives.
    pub received: (String, i64),
}

impl Request {
    /// Calls the service.
    pub async fn call(&self, channel: &Channel) -> Result<Reply<Response>, Status> {
        let mut to = LoyaltyServiceClient::new(channel.clone());
        match self.clone() {
            Self::Enroll(it) => to
                .enroll_member(it)
                .await
                .map(|it| it.map(Response::Enroll)),
            Self::Earn(it) => to.earn_points(it).await.map(|it| it.map(Response::Earn)),
            Self::Redeem(it) => to
                .redeem_points(it)
                .await
                .map(|it| it.map(Response::Redeem)),
            Self::Adjust(it) => to
                .adjust_points(it)
                .await
                .map(|it| it.map(Response::Adjust)),
            Self::Transfer(it) => {
                let reply = to.transfer_points(it).await;
                reply.map(|it| it.map(Response::Transfer))
            }
            Self::Extend(it) => to
                .extend_expiry(it)
                .await
                .map(|it| it.map(Response::Extend)),
            Self::Reverse(it) => {
                let reply = to.reverse_transaction(it).await;
                reply.map(|it| it.map(Response::Reverse))
            }
            Self::Authorize(it) => {
                let reply = to.authorize_hold(it).await;
                reply.map(|it| it.map(Response::Authorize))
            }
            Self::Capture(it) => to
                .capture_hold(it)
                .await
                .map(|it| it.map(Response::Capture)),
            Self::Void(it) => to.void_hold(it).await.map(|it| it.map(Response::Void)),
            Self::Balance(it) => to.get_balance(it).await.map(|it| it.map(Response::Balance)),
            Self::Lots(it) => to.list_lots(it).await.map(|it| it.map(Response::Lots)),
            Self::Transactions(it) => {
                let reply = to.list_transactions(it).await;
                reply.map(|it| it.map(Response::Transactions))
            }
            Self::Hold(it) => to.get_hold(it).await.map(|it| it.map(Response::Hold)),
            Self::Holds(it) => to.list_holds(it).await.map(|it| it.map(Response::Holds)),
        }
    }

    /// The customers whose histories the answer depends on.
    pub fn customers(&self) -> Vec<&str> {
        match self {
            Self::Enroll(it) => vec![&it.customer_id],
            Self::Earn(it) => vec![&it.customer_id],
            Self::Redeem(it) => vec![&it.customer_id],
            Self::Adjust(it) => vec![&it.customer_id],
            Self::Transfer(it) => vec![&it.customer_id, &it.to_customer_id],
            Self::Extend(it) => vec![&it.customer_id],
            Self::Reverse(it) => vec![&it.customer_id],
            Self::Authorize(it) => vec![&it.customer_id],
            Self::Capture(it) => vec![&it.customer_id],
            Self::Void(it) => vec![&it.customer_id],
            Self::Balance(it) => vec![&it.customer_id],
            Self::Lots(it) => vec![&it.customer_id],
            Self::Transactions(it) => vec![&it.customer_id],
            Self::Hold(it) => vec![&it.customer_id],
            Self::Holds(it) => vec![&it.customer_id],
        }
    }

    /// Where it says whether it is dry, if it can be.
    pub fn dry_run(&mut self) -> Option<&mut bool> {
        match self {
            Self::Earn(it) => Some(&mut it.dry_run),
            Self::Redeem(it) => Some(&mut it.dry_run),
            Self::Adjust(it) => Some(&mut it.dry_run),
            Self::Transfer(it) => Some(&mut it.dry_run),
            Self::Extend(it) => Some(&mut it.dry_run),
            Self::Reverse(it) => Some(&mut it.dry_run),
            Self::Authorize(it) => Some(&mut it.dry_run),
            Self::Capture(it) => Some(&mut it.dry_run),
            Self::Void(it) => Some(&mut it.dry_run),
            Self::Enroll(_)
            | Self::Balance(_)
            | Self::Lots(_)
            | Self::Transactions(_)
            | Self::Hold(_)
            | Self::Holds(_) => None,
        }
    }

    /// Whether it only reads.
    pub fn is_read(&self) -> bool {
        use Request::{Balance, Hold, Holds, Lots, Transactions};
        matches!(
            self,
            Balance(_) | Lots(_) | Transactions(_) | Hold(_) | Holds(_)
        )
    }

    /// Whether it is to change anything.
    pub fn has_effect(&self) -> bool {
        !self.is_read() && !self.clone().dry_run().is_some_and(|dry_run| *dry_run)
    }

    /// Another request: the same, but for its reason. None where there is no reason to give.
    pub fn altered(&self) -> Option<Self> {
        let mut request = self.clone();
        let reason = match &mut request {
            Self::Earn(it) => &mut it.reason,
            Self::Redeem(it) => &mut it.reason,
            Self::Adjust(it) => &mut it.reason,
            Self::Transfer(it) => &mut it.reason,
            Self::Extend(it) => &mut it.reason,
            Self::Reverse(it) => &mut it.reason,
            Self::Authorize(it) => &mut it.reason,
            Self::Capture(it) => &mut it.reason,
            Self::Void(it) => &mut it.reason,
            Self::Enroll(_)
            | Self::Balance(_)
            | Self::Lots(_)
            | Self::Transactions(_)
            | Self::Hold(_)
            | Self::Holds(_) => return None,
        };
        reason.push_str(", on second thoughts");
        Some(request)
    }

    /// Instants that it names, at which what becomes of it may turn.
    pub fn instants(&self) -> Vec<i64> {
        let named = match self {
            Self::Earn(it) => vec![&it.occurred_at, &it.activates_at, &it.expires_at],
            Self::Adjust(it) => vec![&it.expires_at],
            _ => Vec::new(),
        };
        named.into_iter().flatten().map(micros).collect()
    }
}

impl Response {
    /// What only the service knows.
    pub fn told(&self) -> Told {
        let posting = |posting: &Option<pb::LedgerTransaction>| {
            let posting = posting.clone().unwrap_or_default();
            Told {
                transaction_id: posting.transaction_id,
                revision: posting.revision,
                ..Told::default()
            }
        };
        let lot = |lot: &pb::Lot| lot.lot_id.clone();
        let mut told = Told::default();
        match self {
            Self::Earn(it) => {
                told = posting(&it.transaction);
                told.lot_ids = it.lot.iter().map(lot).collect();
            }
            Self::Redeem(it) => told = posting(&it.transaction),
            Self::Adjust(it) => {
                told = posting(&it.transaction);
                told.lot_ids = it.lot.iter().map(lot).collect();
            }
            Self::Transfer(it) => {
                let received = posting(&it.received);
                told = posting(&it.transaction);
                told.received = (received.transaction_id, received.revision);
                told.lot_ids = it.lots.iter().map(lot).collect();
            }
            Self::Extend(it) => told.revision = it.extension.as_ref().map_or(0, |it| it.revision),
            Self::Reverse(it) => {
                told = posting(&it.transaction);
                told.lot_ids = it.restored.iter().map(|it| it.lot_id.clone()).collect();
            }
            Self::Authorize(it) => {
                told = posting(&it.transaction);
                told.hold_id = it.hold.clone().unwrap_or_default().hold_id;
            }
            Self::Capture(it) => told = posting(&it.transaction),
            Self::Void(it) => told = posting(&it.transaction),
            Self::Enroll(_)
            | Self::Balance(_)
            | Self::Lots(_)
            | Self::Transactions(_)
            | Self::Hold(_)
            | Self::Holds(_) => {}
        }
        told
    }

    /// The instant of its decision, if it tells.
    pub fn instant(&self) -> Option<i64> {
        let balance = match self {
            Self::Earn(it) => &it.balance,
            Self::Redeem(it) => &it.balance,
            Self::Adjust(it) => &it.balance,
            Self::Transfer(it) => &it.balance,
            Self::Extend(it) => &it.balance,
            Self::Reverse(it) => &it.balance,
            Self::Authorize(it) => &it.balance,
            Self::Capture(it) => &it.balance,
            Self::Void(it) => &it.balance,
            // Of a balance at another instant this is that instant, which decides just as much.
            Self::Balance(it) => &it.balance,
            Self::Enroll(it) => return it.member.as_ref()?.enrolled_at.as_ref().map(micros),
            Self::Lots(_) | Self::Transactions(_) | Self::Hold(_) | Self::Holds(_) => &None,
        };
        balance.as_ref()?.as_of.as_ref().map(micros)
    }

    /// Tokens, and where pages go on: opaque.
    pub fn tokens(&mut self) -> Vec<&mut String> {
        match self {
            Self::Enroll(it) => vec![&mut it.consistency_token],
            Self::Earn(it) => vec![&mut it.consistency_token],
            Self::Redeem(it) => vec![&mut it.consistency_token],
            Self::Adjust(it) => vec![&mut it.consistency_token],
            Self::Transfer(it) => vec![
                &mut it.consistency_token,
                &mut it.recipient_consistency_token,
            ],
            Self::Extend(it) => vec![&mut it.consistency_token],
            Self::Reverse(it) => vec![&mut it.consistency_token],
            Self::Authorize(it) => vec![&mut it.consistency_token],
            Self::Capture(it) => vec![&mut it.consistency_token],
            Self::Void(it) => vec![&mut it.consistency_token],
            Self::Balance(_) | Self::Hold(_) => Vec::new(),
            Self::Lots(it) => vec![&mut it.next_page_token],
            Self::Transactions(it) => vec![&mut it.next_page_token],
            Self::Holds(it) => vec![&mut it.next_page_token],
        }
    }

    /// The postings in it.
    pub fn postings(&mut self) -> Vec<&mut pb::LedgerTransaction> {
        match self {
            Self::Earn(it) => it.transaction.iter_mut().collect(),
            Self::Redeem(it) => it.transaction.iter_mut().collect(),
            Self::Adjust(it) => it.transaction.iter_mut().collect(),
            Self::Transfer(it) => it.transaction.iter_mut().chain(&mut it.received).collect(),
            Self::Reverse(it) => it.transaction.iter_mut().collect(),
            Self::Authorize(it) => it.transaction.iter_mut().collect(),
            Self::Capture(it) => it.transaction.iter_mut().collect(),
            Self::Void(it) => it.transaction.iter_mut().collect(),
            Self::Transactions(it) => it.transactions.iter_mut().collect(),
            Self::Enroll(_)
            | Self::Extend(_)
            | Self::Balance(_)
            | Self::Lots(_)
            | Self::Hold(_)
            | Self::Holds(_) => Vec::new(),
        }
    }

    /// The customers' revisions after the change: its place in their histories.
    pub fn revisions(&self) -> BTreeMap<String, i64> {
        let mut revisions = BTreeMap::new();
        for token in self.clone().tokens() {
            if let Ok(Some(token)) = ConsistencyToken::decode(token) {
                revisions.insert(token.customer_id.to_string(), token.revision);
            }
        }
        revisions
    }
}

impl Told {
    /// A posting that the caller asked for.
    pub fn posting(
        &self,
        kind: pb::TransactionKind,
        occurred_at: i64,
        reason: &str,
    ) -> pb::LedgerTransaction {
        pb::LedgerTransaction {
            transaction_id: self.transaction_id.clone(),
            revision: self.revision,
            kind: kind.into(),
            occurred_at: Some(stamp(occurred_at)),
            reason: reason.to_owned(),
            actor: CALLER.to_owned(),
            ..Default::default()
        }
    }

    /// The nth new lot.
    pub fn lot_id(&self, n: usize) -> String {
        self.lot_ids.get(n).cloned().unwrap_or_default()
    }
}
