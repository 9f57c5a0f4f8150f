//! The versions of a program's tier policy: each holds from an instant on, until the next one does.

use std::sync::Arc;

use common::time::Timestamp;

use super::{ONE_IN_BASIS_POINTS, TierPolicy};

/// A policy as published. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersion {
    /// 1 for the one that the program was created with.
    pub version: i64,
    /// From when on it holds.
    pub effective_at: Timestamp,
    /// When it was published.
    pub published_at: Timestamp,
    /// Who published it; may be empty for the first.
    pub actor: String,
    /// Why; may be empty for the first.
    pub reason: String,
    /// The policy.
    pub policy: TierPolicy,
}

/// All versions that are known.
///
/// Invariant: there is at least one; `effective_at` never falls from one version to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyVersions(Vec<Arc<PolicyVersion>>);

impl PolicyVersions {
    /// Checks the invariant, whatever the order the versions come in.
    pub fn new(mut versions: Vec<PolicyVersion>) -> Result<Self, String> {
        versions.sort_by_key(|version| version.version);
        if versions.is_empty() {
            return Err("has no tier policy".to_owned());
        }
        let backwards = |pair: &[PolicyVersion]| pair[0].effective_at > pair[1].effective_at;
        if versions.windows(2).any(backwards) {
            return Err("has tier policies that hold in another order than published".to_owned());
        }
        Ok(Self(versions.into_iter().map(Arc::new).collect()))
    }

    /// From the first to the latest.
    pub fn all(&self) -> &[Arc<PolicyVersion>] {
        &self.0
    }

    /// The one that was published last, whether or not it holds yet.
    pub fn latest(&self) -> &Arc<PolicyVersion> {
        self.0.last().expect("there is at least one version")
    }

    /// The one that holds at an instant; before anything was published, the first.
    pub fn at(&self, at: Timestamp) -> &Arc<PolicyVersion> {
        let holds = |version: &&Arc<PolicyVersion>| version.effective_at <= at;
        self.0.iter().rev().find(holds).unwrap_or(&self.0[0])
    }

    /// A version by its number.
    pub fn get(&self, version: i64) -> Option<&Arc<PolicyVersion>> {
        self.0.iter().find(|known| known.version == version)
    }

    /// Those up to one.
    #[must_use]
    pub fn up_to(&self, last: i64) -> Self {
        let first = self.0.iter().take(1);
        let later = self.0.iter().skip(1);
        let later = later.filter(|version| version.version <= last);
        Self(first.chain(later).cloned().collect())
    }

    /// Whether any tier of any version up to one makes more or less of a purchase than the base rule.
    pub fn multiply_up_to(&self, last: i64) -> bool {
        let versions = self.0.iter().filter(|version| version.version <= last);
        let mut tiers = versions.flat_map(|version| version.policy.tiers());
        tiers.any(|tier| tier.multiplier != ONE_IN_BASIS_POINTS)
    }

    /// When another version takes over after an instant, as far as is known.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let later = self.0[1..].iter().map(|version| version.effective_at);
        later.filter(|effective_at| *effective_at > at).min()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::Rules;
    use super::super::fixtures::tier;
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::EPOCH + TimeDelta::days(n)
    }

    fn version(version: i64, from: i64) -> PolicyVersion {
        PolicyVersion {
            version,
            effective_at: day(from),
            published_at: day(0),
            actor: String::new(),
            reason: String::new(),
            policy: TierPolicy::new(Rules::rolling(10), vec![tier("Bronze", 1, 0)]).unwrap(),
        }
    }

    #[test]
    fn a_version_holds_until_the_next_one_does() {
        let versions = vec![version(3, 7), version(1, 2), version(2, 5), version(4, 7)];
        let versions = PolicyVersions::new(versions).unwrap();
        let in_force = [0, 2, 4, 5, 6, 7, 99].map(|n| versions.at(day(n)).version);
        assert_eq!(in_force, [1, 1, 1, 2, 2, 4, 4]);
        let next = [0, 5, 7].map(|n| versions.next_after(day(n)));
        assert_eq!(next, [Some(day(5)), Some(day(7)), None]);
    }

    #[test]
    fn a_version_to_come_multiplies_nothing_yet() {
        let mut doubled = tier("Bronze", 1, 0);
        doubled.multiplier = 20_000;
        let doubling = PolicyVersion {
            policy: TierPolicy::new(Rules::rolling(10), vec![doubled]).unwrap(),
            ..version(2, 7)
        };
        let versions = PolicyVersions::new(vec![version(1, 2), doubling, version(3, 8)]).unwrap();
        let multiply = [1, 2, 3].map(|last| versions.multiply_up_to(last));
        assert_eq!(multiply, [false, true, true]);
    }

    #[test]
    fn versions_up_to_one_are_as_if_no_other_was_published_since() {
        let versions = vec![version(1, 2), version(2, 5), version(3, 7)];
        let versions = PolicyVersions::new(versions).unwrap();
        let before = versions.up_to(2);
        assert_eq!((before.latest().version, before.at(day(8)).version), (2, 2));
        assert_eq!(before.next_after(day(5)), None);
        assert_eq!(versions.up_to(3), versions);
    }

    #[test]
    fn versions_that_hold_out_of_order_are_refused() {
        assert!(PolicyVersions::new(vec![]).is_err());
        assert!(PolicyVersions::new(vec![version(1, 5), version(2, 4)]).is_err());
    }
}
