//! What is decided in the ledger of a merged member, and passed on to who stands for it.

use api::loyalty::v1 as pb;

use super::{Request, Response, batches, persons};

/// What is asked of one member, in which another one may have a part: of one who may stand for others, about what one of
/// them began; or of one who may be merged, whose hold may let something go. Who that may be the caller remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Elsewhere {
    pub asked: Box<Request>,
    /// Who else may have a part in it.
    pub whose: Vec<String>,
}

impl Elsewhere {
    /// Who is asked, and who else may have a part in it.
    pub(super) fn customers(&self) -> Vec<&str> {
        let mut customers = self.asked.customers();
        customers.extend(self.whose.iter().map(String::as_str));
        customers
    }
}

impl Response {
    /// What went from one member to another beside what was asked for, of whatever may tell of that.
    pub fn passed_on(&mut self) -> Option<&mut Vec<pb::PassedOn>> {
        match self {
            Self::Reverse(it) => Some(&mut it.passed_on),
            Self::Activate(it) => Some(&mut it.passed_on),
            Self::Cancel(it) => Some(&mut it.passed_on),
            Self::Capture(it) => Some(&mut it.passed_on),
            Self::Void(it) => Some(&mut it.passed_on),
            Self::Sweep(it) => it.passed_on(),
            _ => None,
        }
    }

    /// What of other lots made up for points that were spent.
    pub fn recovered(&mut self) -> Option<&mut Vec<pb::LotAllocation>> {
        match self {
            Self::Reverse(it) => Some(&mut it.recovered),
            Self::Cancel(it) => Some(&mut it.recovered),
            _ => None,
        }
    }

    /// All that went from one member to another, by whatever items.
    pub fn steps_mut(&mut self) -> Vec<&mut pb::PassedOn> {
        match self {
            Self::Batch(it) => {
                let results = it.results.iter_mut();
                results.filter_map(batches::passed_on).flatten().collect()
            }
            other => other.passed_on().into_iter().flatten().collect(),
        }
    }

    pub fn steps(&self) -> Vec<pb::PassedOn> {
        let mut response = self.clone();
        response
            .steps_mut()
            .into_iter()
            .map(|it| it.clone())
            .collect()
    }

    /// Whether it tells of such things.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Batch(_)) || self.clone().passed_on().is_some()
    }

    /// Whether all that was done was done in other ledgers than this one's.
    pub fn is_elsewhere(&self, customer_id: &str) -> bool {
        let mut response = self.clone();
        let is_here = |posting: &mut pb::LedgerTransaction| posting.customer_id == customer_id;
        let posts_here = response.postings().into_iter().any(is_here);
        !posts_here && self.steps().is_empty()
    }
}

/// The lots that were passed on.
pub(super) fn lots(steps: &[pb::PassedOn]) -> Vec<pb::MovedLot> {
    steps
        .iter()
        .flat_map(|it| persons::lots(&it.moved))
        .collect()
}

/// Its token, and those of whoever received what was passed on.
pub(super) fn tokens<'a>(
    own: &'a mut String,
    steps: &'a mut [pb::PassedOn],
) -> Vec<&'a mut String> {
    let received = steps.iter_mut().map(|it| &mut it.consistency_token);
    std::iter::once(own).chain(received).collect()
}
