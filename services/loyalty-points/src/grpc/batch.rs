//! Batches of postings: proto in, use case, proto out.

use api::loyalty::v1 as pb;
use common::Error;
use common::error::ErrorInfo;
use common::identity;
use common::validate::Violations;
use pb::batch_post_item::Item as RawItem;
use pb::batch_post_result::Outcome;
use tonic::{Code, Status};

use super::{Answer, post};
use crate::State;
use crate::error;
use crate::ledger::adjust::AdjustPoints;
use crate::ledger::limits::Expected;
use crate::ledger::transfer::TransferPoints;
use crate::ledger::{self, EarnPoints, RedeemPoints, ReverseTransaction};
use crate::work::{Needs, Work};
use crate::writer::{Order, Posting, Run};

const ITEMS_MAX: usize = 500;

pub async fn batch(state: &State, request: pb::BatchPostRequest) -> Answer<pb::BatchPostResponse> {
    let method = "asterism.loyalty.v1.LoyaltyService/BatchPost";
    let order = Order::new(method, &request, (&request.request_id, request.dry_run));
    let batch = Batch::try_from(request)?;
    if batch
        .items
        .iter()
        .any(|item| matches!(item, Item::Adjust(_)))
    {
        identity::require("loyalty.points.admin")?;
    }
    post(state, order, batch).await
}

/// How the items depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Independent,
    Linked,
}

/// Things to post, in their order.
#[derive(Debug, Clone)]
struct Batch {
    items: Vec<Item>,
    mode: Mode,
    at_least: String,
}

#[derive(Debug, Clone)]
enum Item {
    Earn(EarnPoints),
    Redeem(RedeemPoints),
    Adjust(AdjustPoints),
    Transfer(TransferPoints),
    Reverse(ReverseTransaction),
}

impl Item {
    fn needs(&self) -> Needs {
        match self {
            Self::Earn(item) => item.needs(),
            Self::Redeem(item) => item.needs(),
            Self::Adjust(item) => item.needs(),
            Self::Transfer(item) => item.needs(),
            Self::Reverse(item) => item.needs(),
        }
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Outcome, error::Error> {
        Ok(match self {
            Self::Earn(item) => Outcome::Earn(item.decide(state, work, run).await?),
            Self::Redeem(item) => Outcome::Redeem(item.decide(state, work, run).await?),
            Self::Adjust(item) => Outcome::Adjust(item.decide(state, work, run).await?),
            Self::Transfer(item) => Outcome::Transfer(item.decide(state, work, run).await?),
            Self::Reverse(item) => Outcome::Reverse(item.decide(state, work, run).await?),
        })
    }
}

impl Posting for Batch {
    type Answer = pb::BatchPostResponse;

    fn at_least(&self) -> &str {
        &self.at_least
    }

    fn needs(&self) -> Needs {
        let mut all = Needs::default();
        for needs in self.items.iter().map(Item::needs) {
            all.customers.extend(needs.customers);
            all.sources.extend(needs.sources);
        }
        all
    }

    fn earnings(&self) -> Vec<Expected> {
        let earning = |item: &Item| match item {
            Item::Earn(item) => item.earnings(),
            Item::Redeem(_) | Item::Adjust(_) | Item::Transfer(_) | Item::Reverse(_) => Vec::new(),
        };
        self.items.iter().flat_map(earning).collect()
    }

    async fn decide(
        self,
        state: &State,
        work: &mut Work<'_>,
        run: Run,
    ) -> Result<Self::Answer, error::Error> {
        let count = self.items.len();
        for item in &self.items {
            if let Item::Reverse(reverse) = item {
                ledger::lock_ahead(state, work, reverse).await?;
            }
        }
        let whole = work.mark().await?;
        let mut outcomes = Vec::with_capacity(count);
        for (index, item) in self.items.into_iter().enumerate() {
            let mark = work.mark().await?;
            match item.decide(state, work, run).await {
                Ok(outcome) => {
                    work.keep(mark).await?;
                    outcomes.push(outcome);
                }
                Err(error) if !error.is_refusal() => return Err(error),
                Err(refused) => {
                    undo(work.undo_to(mark).await?)?;
                    let refused = refusal(&refused.into());
                    if self.mode == Mode::Linked {
                        undo(work.undo_to(whole).await?)?;
                        return Ok(all_refused(count, index, &refused));
                    }
                    outcomes.push(Outcome::Refusal(refused));
                }
            }
        }
        work.keep(whole).await?;
        Ok(answer(outcomes))
    }
}

/// What cannot be undone in memory is decided again, with more care.
fn undo(is_undone: bool) -> Result<(), common::Error> {
    is_undone.then_some(()).ok_or(common::Error::Contended)
}

fn answer(outcomes: Vec<Outcome>) -> pb::BatchPostResponse {
    let posted = outcomes
        .iter()
        .filter(|outcome| !matches!(outcome, Outcome::Refusal(_)))
        .count();
    pb::BatchPostResponse {
        posted: i32::try_from(posted).expect("a batch has few items"),
        results: outcomes
            .into_iter()
            .map(|outcome| pb::BatchPostResult {
                outcome: Some(outcome),
            })
            .collect(),
    }
}

/// One item of a linked batch is refused: the others fall with it.
fn all_refused(
    count: usize,
    culprit: usize,
    refused: &pb::BatchPostRefusal,
) -> pb::BatchPostResponse {
    let outcome = |index| {
        let refusal = if index == culprit {
            refused.clone()
        } else {
            pb::BatchPostRefusal {
                code: Code::Aborted.into(),
                reason: "LINKED_ITEM_FAILED".to_owned(),
                message: format!("item {culprit}, which this one is linked to, is refused"),
                metadata: [("culprit".to_owned(), culprit.to_string())].into(),
            }
        };
        Outcome::Refusal(refusal)
    };
    answer((0..count).map(outcome).collect())
}

fn refusal(status: &Status) -> pb::BatchPostRefusal {
    let ErrorInfo { reason, metadata } = ErrorInfo::of(status);
    pb::BatchPostRefusal {
        code: status.code().into(),
        reason,
        message: status.message().to_owned(),
        metadata: metadata.into_iter().collect(),
    }
}

impl TryFrom<pb::BatchPostRequest> for Batch {
    type Error = Error;

    fn try_from(request: pb::BatchPostRequest) -> Result<Self, Error> {
        let mut v = Violations::new();
        v.request_id(&request.request_id);
        let mode = match pb::BatchMode::try_from(request.mode) {
            Ok(pb::BatchMode::Unspecified | pb::BatchMode::Independent) => Some(Mode::Independent),
            Ok(pb::BatchMode::Linked) => Some(Mode::Linked),
            Err(_) => {
                v.add("mode", "must be one of the modes");
                None
            }
        };
        if !(1..=ITEMS_MAX).contains(&request.items.len()) {
            v.add("items", format!("must be 1 to {ITEMS_MAX}"));
            return Err(Error::Invalid(v));
        }
        let mut items = Vec::with_capacity(request.items.len());
        for (index, item) in request.items.into_iter().enumerate() {
            items.extend(parse(&mut v, index, item.item)?);
        }
        let (mode,) = v.all((mode,))?;
        Ok(Self {
            items,
            mode,
            at_least: request.at_least,
        })
    }
}

fn parse(v: &mut Violations, index: usize, item: Option<RawItem>) -> Result<Option<Item>, Error> {
    let (name, around, parsed) = match item {
        None => {
            v.add(format!("items[{index}].item"), "must be given");
            return Ok(None);
        }
        Some(RawItem::Earn(raw)) => {
            let around = (raw.request_id.clone(), raw.at_least.clone(), raw.dry_run);
            ("earn", around, EarnPoints::try_from(raw).map(Item::Earn))
        }
        Some(RawItem::Redeem(raw)) => {
            let around = (raw.request_id.clone(), raw.at_least.clone(), raw.dry_run);
            (
                "redeem",
                around,
                RedeemPoints::try_from(raw).map(Item::Redeem),
            )
        }
        Some(RawItem::Adjust(raw)) => {
            let around = (raw.request_id.clone(), raw.at_least.clone(), raw.dry_run);
            (
                "adjust",
                around,
                AdjustPoints::try_from(raw).map(Item::Adjust),
            )
        }
        Some(RawItem::Transfer(raw)) => {
            let around = (raw.request_id.clone(), raw.at_least.clone(), raw.dry_run);
            (
                "transfer",
                around,
                TransferPoints::try_from(raw).map(Item::Transfer),
            )
        }
        Some(RawItem::Reverse(raw)) => {
            let around = (raw.request_id.clone(), raw.at_least.clone(), raw.dry_run);
            (
                "reverse",
                around,
                ReverseTransaction::try_from(raw).map(Item::Reverse),
            )
        }
    };
    let field = |field: &str| format!("items[{index}].{name}.{field}");
    let (request_id, at_least, dry_run) = around;
    let of_the_batch = [
        ("request_id", !request_id.is_empty()),
        ("at_least", !at_least.is_empty()),
        ("dry_run", dry_run),
    ];
    for (name, _) in of_the_batch.into_iter().filter(|(_, given)| *given) {
        v.add(field(name), "must be absent: the one of the batch counts");
    }
    match parsed {
        Ok(item) => Ok(Some(item)),
        Err(Error::Invalid(violations)) => {
            for violation in violations.iter() {
                v.add(field(&violation.field), violation.description.clone());
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
