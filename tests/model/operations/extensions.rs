//! Lots that can be spent for longer.

use std::collections::{BTreeMap, BTreeSet};

use api::loyalty::v1 as pb;

use super::{Request, Response};
use crate::answers::Answer;

/// A lot to extend. Whose other lots are extended with it, only the answer tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Extend {
    pub asked: pb::ExtendExpiryRequest,
    /// Other members with lots of the same earning.
    pub others: Vec<String>,
}

impl From<pb::ExtendExpiryRequest> for Extend {
    fn from(asked: pb::ExtendExpiryRequest) -> Self {
        Self {
            asked,
            others: Vec::new(),
        }
    }
}

/// It has a place in the histories of all whose lots it extends.
pub(super) fn placed(extend: &Extend, told: &pb::ExtendExpiryResponse) -> Vec<(Request, Answer)> {
    let whose = told.of_same_earning.iter().map(|it| it.customer_id.clone());
    let mut others: BTreeSet<_> = whose.collect();
    others.remove(&extend.asked.customer_id);
    let request = Request::Extend(Extend {
        others: others.into_iter().collect(),
        ..extend.clone()
    });
    vec![(request, Ok(Response::Extend(told.clone())))]
}

/// The revisions of what was recorded in a customer's history, or in all.
pub(super) fn revisions(told: &pb::ExtendExpiryResponse) -> BTreeMap<String, Vec<i64>> {
    let mut revisions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for it in told.extension.iter().chain(&told.of_same_earning) {
        let of_customer = revisions.entry(it.customer_id.clone()).or_default();
        of_customer.extend((it.revision > 0).then_some(it.revision));
    }
    revisions.retain(|_, revisions| !revisions.is_empty());
    revisions
}
