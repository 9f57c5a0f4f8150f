//! What an answer tells that no model can know, and where in it that stands.

use api::loyalty::v1 as pb;

use super::{CALLER, Response, batches, passing, persons};
use crate::answers::{Refusal, micros, stamp};

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
    /// Id and revision of each posting that settles an earning.
    pub settled: Vec<(String, i64)>,
    /// The posting that a source had made before, where that is why nothing was earned.
    pub already_posted: Option<String>,
    /// When a member was enrolled for it, if it asks for that: a moment before it was decided.
    pub enrolled_at: Option<i64>,
    /// What limits left of an earning that was decided: what they cut, or why they left nothing.
    pub limits: Option<Result<Vec<pb::LimitCut>, Refusal>>,
    /// The revision of each further lot that is extended.
    pub extended: Vec<i64>,
    /// What it is counted against, of an earning whose trace was read.
    pub decided: Option<Vec<pb::DecisionLimit>>,
    /// Of each item of a batch, and of each row of an import.
    pub items: Vec<Told>,
    /// The merge that was made.
    pub merge_id: String,
    /// The lots that points went into, by a merge or back.
    pub moved: Vec<pb::MovedLot>,
    /// What new lots are called that the answer does not name, as all is undone.
    pub nameless: String,
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
                let cuts = it.transaction.clone().unwrap_or_default().limit_cuts;
                told.limits = Some(Ok(cuts));
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
            Self::Extend(it) => {
                told.revision = it.extension.as_ref().map_or(0, |it| it.revision);
                told.extended = it.of_same_earning.iter().map(|it| it.revision).collect();
            }
            Self::Reverse(it) => {
                told = posting(&it.transaction);
                told.lot_ids = it.restored.iter().map(|it| it.lot_id.clone()).collect();
                told.moved = passing::lots(&it.passed_on);
            }
            Self::Authorize(it) => {
                told = posting(&it.transaction);
                told.hold_id = it.hold.clone().unwrap_or_default().hold_id;
            }
            Self::Capture(it) => {
                told = posting(&it.transaction);
                told.moved = passing::lots(&it.passed_on);
            }
            Self::Void(it) => {
                told = posting(&it.transaction);
                told.moved = passing::lots(&it.passed_on);
            }
            Self::Activate(it) => {
                told.settled = settled(&it.transactions);
                told.moved = passing::lots(&it.passed_on);
            }
            Self::Cancel(it) => {
                told.settled = settled(&it.transactions);
                told.moved = passing::lots(&it.passed_on);
            }
            Self::Batch(it) => {
                let items = it.results.iter().enumerate();
                told.items = items.map(|(n, result)| batches::told(n, result)).collect();
            }
            Self::Import(it) => {
                let rows = it.postings.iter();
                told.items = rows.map(|row| it.told(row.as_ref())).collect();
            }
            Self::Announce(it) => told = it.told(),
            Self::MergeMembers(it) => {
                told.merge_id = it.merge.clone().unwrap_or_default().merge_id;
                told.moved = persons::lots(&it.moved);
            }
            // What had timed out went over before anything came back.
            Self::UnmergeMembers(it) => {
                told.moved = [persons::lots(&it.returned), persons::lots(&it.moved)].concat();
            }
            Self::Sweep(it) => {
                let mut swept = it.clone();
                told.moved = passing::lots(swept.passed_on().map_or(&[], |it| it.as_slice()));
            }
            Self::Enroll(_)
            | Self::Recalculate(_)
            | Self::Merge(_)
            | Self::Balance(_)
            | Self::Balances(_)
            | Self::Forecast(_)
            | Self::Override(_)
            | Self::ClearOverride(_)
            | Self::SetLimit(_)
            | Self::EndLimit(_)
            | Self::Publish(_)
            | Self::Usage(_)
            | Self::Trace(_)
            | Self::Tier(_)
            | Self::Progress(_)
            | Self::TierHistory(_)
            | Self::Lots(_)
            | Self::Transactions(_)
            | Self::Statement(_)
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
            Self::Activate(it) => &it.balance,
            Self::Cancel(it) => &it.balance,
            Self::Batch(it) => return batches::responses(it).iter().find_map(Self::instant),
            Self::Import(it) => {
                let posting = it.postings.iter().flatten().next()?;
                return posting.posted_at.as_ref().map(micros);
            }
            Self::Announce(it) => return it.instant(),
            Self::Sweep(it) => return it.posted_at.values().next().copied(),
            Self::Recalculate(it) => return it.change()?.changed_at.as_ref().map(micros),
            Self::Override(it) => return it.change.as_ref()?.changed_at.as_ref().map(micros),
            Self::ClearOverride(it) => return it.change.as_ref()?.changed_at.as_ref().map(micros),
            Self::MergeMembers(it) => {
                return it.survivor_balances.first()?.as_of.as_ref().map(micros);
            }
            Self::UnmergeMembers(it) => {
                return it.survivor_balances.first()?.as_of.as_ref().map(micros);
            }
            Self::SetLimit(it) => return it.limit.as_ref()?.changed_at.as_ref().map(micros),
            Self::EndLimit(it) => return it.limit.as_ref()?.changed_at.as_ref().map(micros),
            Self::Publish(it) => return it.policy.as_ref()?.published_at.as_ref().map(micros),
            // Of a balance at another instant this is that instant, which decides just as much.
            Self::Balance(it) => &it.balance,
            Self::Progress(it) => return it.progress.as_ref()?.as_of.as_ref().map(micros),
            Self::Forecast(it) => return it.as_of.as_ref().map(micros),
            Self::Balances(it) => return it.balances.first()?.as_of.as_ref().map(micros),
            Self::Enroll(it) => return it.member.as_ref()?.enrolled_at.as_ref().map(micros),
            // A tier is asked about an instant, whatever it is; the others tell none.
            Self::Tier(_)
            | Self::TierHistory(_)
            | Self::Merge(_)
            | Self::Usage(_)
            | Self::Trace(_)
            | Self::Lots(_)
            | Self::Transactions(_)
            | Self::Statement(_)
            | Self::Hold(_)
            | Self::Holds(_) => &None,
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
            Self::Reverse(it) => passing::tokens(&mut it.consistency_token, &mut it.passed_on),
            Self::Authorize(it) => vec![&mut it.consistency_token],
            Self::Capture(it) => passing::tokens(&mut it.consistency_token, &mut it.passed_on),
            Self::Void(it) => passing::tokens(&mut it.consistency_token, &mut it.passed_on),
            Self::Activate(it) => passing::tokens(&mut it.consistency_token, &mut it.passed_on),
            Self::Cancel(it) => passing::tokens(&mut it.consistency_token, &mut it.passed_on),
            Self::Batch(it) => it.results.iter_mut().flat_map(batches::tokens).collect(),
            Self::Override(it) => vec![&mut it.consistency_token],
            Self::ClearOverride(it) => vec![&mut it.consistency_token],
            Self::SetLimit(it) => vec![&mut it.consistency_token],
            Self::EndLimit(it) => vec![&mut it.consistency_token],
            Self::Publish(it) => vec![&mut it.consistency_token],
            Self::Import(it) => {
                let rows = it.answer.outcomes.iter_mut();
                rows.map(|row| &mut row.consistency_token).collect()
            }
            Self::MergeMembers(it) => {
                vec![
                    &mut it.consistency_token,
                    &mut it.absorbed_consistency_token,
                ]
            }
            Self::UnmergeMembers(it) => {
                vec![
                    &mut it.consistency_token,
                    &mut it.survivor_consistency_token,
                ]
            }
            Self::Sweep(it) => it.tokens(),
            Self::Recalculate(it) => it.tokens(),
            Self::Announce(_)
            | Self::Merge(_)
            | Self::Balance(_)
            | Self::Balances(_)
            | Self::Forecast(_)
            | Self::Tier(_)
            | Self::Progress(_)
            | Self::Usage(_)
            | Self::Trace(_)
            | Self::Hold(_) => Vec::new(),
            Self::TierHistory(it) => vec![&mut it.next_page_token],
            Self::Lots(it) => vec![&mut it.next_page_token],
            Self::Transactions(it) => vec![&mut it.next_page_token],
            Self::Statement(it) => vec![&mut it.next_page_token],
            Self::Holds(it) => vec![&mut it.next_page_token],
        }
    }

    /// What refusals say to people.
    pub fn words(&mut self) -> Vec<&mut String> {
        match self {
            Self::Batch(it) => it.results.iter_mut().filter_map(batches::words).collect(),
            Self::Import(it) => it.words(),
            _ => Vec::new(),
        }
    }

    /// The tier in it, and the change of one.
    pub fn tiers(&mut self) -> (Option<&mut pb::MemberTier>, Option<&mut pb::TierChange>) {
        match self {
            Self::Override(it) => (it.tier.as_mut(), it.change.as_mut()),
            Self::ClearOverride(it) => (it.tier.as_mut(), it.change.as_mut()),
            Self::Tier(it) => (it.tier.as_mut(), None),
            Self::Recalculate(it) => (None, it.change_mut()),
            _ => (None, None),
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
            Self::Activate(it) => it.transactions.iter_mut().collect(),
            Self::Cancel(it) => it.transactions.iter_mut().collect(),
            Self::Batch(it) => it.results.iter_mut().flat_map(batches::postings).collect(),
            Self::Import(it) => it.postings.iter_mut().flatten().collect(),
            Self::Announce(it) => it.postings.iter_mut().flatten().collect(),
            Self::Transactions(it) => it.transactions.iter_mut().collect(),
            Self::Statement(it) => it.movements.iter_mut().collect(),
            Self::Enroll(_)
            | Self::Sweep(_)
            | Self::Recalculate(_)
            | Self::MergeMembers(_)
            | Self::UnmergeMembers(_)
            | Self::Merge(_)
            | Self::Extend(_)
            | Self::Balance(_)
            | Self::Balances(_)
            | Self::Forecast(_)
            | Self::Override(_)
            | Self::ClearOverride(_)
            | Self::SetLimit(_)
            | Self::EndLimit(_)
            | Self::Publish(_)
            | Self::Usage(_)
            | Self::Trace(_)
            | Self::Tier(_)
            | Self::Progress(_)
            | Self::TierHistory(_)
            | Self::Lots(_)
            | Self::Hold(_)
            | Self::Holds(_) => Vec::new(),
        }
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

    /// The same without what limits left: to be found out.
    #[must_use]
    pub fn without_limits(mut self) -> Self {
        self.limits = None;
        let items = self.items.into_iter();
        self.items = items.map(Self::without_limits).collect();
        self
    }

    /// The nth new lot.
    pub fn lot_id(&self, n: usize) -> String {
        let named = self.lot_ids.get(n).cloned();
        named.unwrap_or_else(|| match self.nameless.as_str() {
            "" => String::new(),
            nameless => format!("{nameless}/{n}"),
        })
    }

    /// What is told of the nth posting that settles an earning.
    pub fn settling(&self, n: usize) -> Self {
        let (transaction_id, revision) = self.settled.get(n).cloned().unwrap_or_default();
        Self {
            transaction_id,
            revision,
            ..Self::default()
        }
    }
}

fn settled(postings: &[pb::LedgerTransaction]) -> Vec<(String, i64)> {
    let told = |it: &pb::LedgerTransaction| (it.transaction_id.clone(), it.revision);
    postings.iter().map(told).collect()
}
