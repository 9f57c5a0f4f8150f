//! The place of an answer in the histories that it is a part of.

use std::collections::BTreeMap;

use common::token::{ConsistencyToken, SharedToken};

use super::{Response, extensions};

impl Response {
    /// The revisions after the change of the histories that it is a part of: its place in them.
    pub fn revisions(&self) -> BTreeMap<String, i64> {
        match self {
            Self::Import(it) => return it.revisions(),
            Self::Announce(it) => return it.revisions(),
            _ => {}
        }
        let mut revisions = BTreeMap::new();
        if let Self::Extend(it) = self {
            let last = |of: Vec<i64>| of.into_iter().max().unwrap_or(0);
            let all = extensions::revisions(it).into_iter();
            revisions.extend(all.map(|(whose, of)| (whose, last(of))));
        }
        for token in self.clone().tokens() {
            if let Ok(Some(token)) = ConsistencyToken::decode(token) {
                let last: &mut i64 = revisions.entry(token.customer_id.to_string()).or_default();
                *last = token.revision.max(*last);
            } else if let Some(token) = SharedToken::decode(token) {
                revisions.insert(token.subject, token.revision);
            }
        }
        if self.may_pass() {
            for posting in self.clone().postings() {
                let last = revisions.entry(posting.customer_id.clone()).or_default();
                *last = posting.revision.max(*last);
            }
            revisions.retain(|_, revision| *revision > 0);
        }
        revisions
    }

    /// The revision of the first thing asked for in a customer's history; 0 where it tells none.
    pub fn first_revision(&self, customer_id: &str) -> i64 {
        match self {
            Self::Extend(it) => {
                let revisions = extensions::revisions(it).remove(customer_id);
                return revisions.unwrap_or_default().into_iter().min().unwrap_or(0);
            }
            Self::SetLimit(it) => return it.limit.as_ref().map_or(0, |it| it.version),
            Self::EndLimit(it) => return it.limit.as_ref().map_or(0, |it| it.version),
            Self::Publish(it) => return it.policy.as_ref().map_or(0, |it| it.version),
            Self::Override(it) => return it.change.as_ref().map_or(0, |it| it.revision),
            Self::ClearOverride(it) => return it.change.as_ref().map_or(0, |it| it.revision),
            // What it posted it does not name.
            Self::MergeMembers(_)
            | Self::UnmergeMembers(_)
            | Self::Sweep(_)
            | Self::Recalculate(_) => {
                return self.revisions().get(customer_id).copied().unwrap_or(0);
            }
            _ => {}
        }
        let mut all = self.clone();
        let own = all.postings().into_iter();
        let own = own.filter(|posting| posting.customer_id == customer_id);
        if let Some(first) = own.map(|posting| posting.revision).min() {
            return first;
        }
        // Nor does it name what it posted to pass something on.
        if !self.may_pass() {
            return 0;
        }
        let last = self.revisions().get(customer_id).copied();
        last.unwrap_or(0)
    }
}
