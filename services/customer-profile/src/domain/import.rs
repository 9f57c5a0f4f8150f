//! What an import does with each row of customers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::ids::CustomerId;
use common::time::Timestamp;

use super::{ATTRIBUTES_MAX, Customer, EXTERNAL_IDS_MAX, Key, Mask, Profile};

/// One row.
#[derive(Debug, Clone)]
pub struct ImportRow {
    /// The customer it names, if it does.
    pub customer_id: Option<CustomerId>,
    /// The id to create the customer under if none is found.
    pub fresh_id: CustomerId,
    /// Its values.
    pub profile: Profile,
}

/// The customers and external ids that a chunk touches, brought up to date row by row.
#[derive(Debug)]
pub struct Import {
    /// The customers that exist.
    pub customers: BTreeMap<CustomerId, Customer>,
    /// Who has the external ids.
    pub owners: HashMap<Key, CustomerId>,
    /// Ids of deleted customers.
    pub retired: BTreeSet<CustomerId>,
}

/// What becomes of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowDecision {
    /// A new customer.
    Create(Customer),
    /// A changed customer, and which fields changed.
    Update(Customer, Vec<&'static str>),
    /// The customer has these values.
    Unchanged(CustomerId),
    /// Not acceptable.
    Refuse(RowRefusal),
}

/// Why a row is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowRefusal {
    /// Its id belonged to a deleted customer.
    CustomerIdRetired,
    /// One of its external ids belongs to another customer.
    ExternalIdTaken,
    /// Its external ids belong to different customers.
    AmbiguousCustomer,
    /// Together with what the customer has, its attributes or external ids are too many.
    LimitExceeded,
    /// Its customer was merged into another.
    CustomerMerged,
}

impl RowRefusal {
    /// The reason as callers see it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::CustomerIdRetired => "CUSTOMER_ID_RETIRED",
            Self::ExternalIdTaken => "EXTERNAL_ID_TAKEN",
            Self::AmbiguousCustomer => "AMBIGUOUS_CUSTOMER",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::CustomerMerged => "CUSTOMER_MERGED",
        }
    }
}

impl Import {
    /// Decides one row, seeing the rows before it.
    pub fn decide(&mut self, row: &ImportRow, now: Timestamp) -> RowDecision {
        let decision = match self.find(row) {
            Ok(id) => self.revise(&id, row, now),
            Err(refusal) => Err(refusal),
        };
        decision.unwrap_or_else(RowDecision::Refuse)
    }

    fn find(&self, row: &ImportRow) -> Result<CustomerId, RowRefusal> {
        let owners: BTreeSet<_> = row
            .profile
            .external_keys()
            .filter_map(|key| self.owners.get(&key).cloned())
            .collect();
        match (&row.customer_id, owners.len()) {
            (Some(id), _) if self.retired.contains(id) => Err(RowRefusal::CustomerIdRetired),
            (Some(id), _) if owners.iter().any(|owner| owner != id) => {
                Err(RowRefusal::ExternalIdTaken)
            }
            (Some(id), _) => Ok(id.clone()),
            (None, 0) => Ok(row.fresh_id.clone()),
            (None, 1) => Ok(owners.into_iter().next().expect("there is one")),
            (None, _) => Err(RowRefusal::AmbiguousCustomer),
        }
    }

    fn revise(
        &mut self,
        id: &CustomerId,
        row: &ImportRow,
        now: Timestamp,
    ) -> Result<RowDecision, RowRefusal> {
        let Some(customer) = self.customers.get_mut(id) else {
            let customer = Customer::new(id.clone(), row.profile.clone(), now);
            self.own(&customer, &[]);
            self.customers.insert(id.clone(), customer.clone());
            return Ok(RowDecision::Create(customer));
        };
        if customer.merged.is_some() {
            return Err(RowRefusal::CustomerMerged);
        }
        let before: Vec<_> = customer.profile.external_keys().collect();
        let profile = merged(&customer.profile, &row.profile);
        if profile.attributes.len() > ATTRIBUTES_MAX
            || profile.external_ids.len() > EXTERNAL_IDS_MAX
        {
            return Err(RowRefusal::LimitExceeded);
        }
        let changed = customer.revise(profile, now);
        if changed.is_empty() {
            return Ok(RowDecision::Unchanged(id.clone()));
        }
        let customer = customer.clone();
        self.own(&customer, &before);
        Ok(RowDecision::Update(customer, changed))
    }

    fn own(&mut self, customer: &Customer, before: &[Key]) {
        for key in before {
            self.owners.remove(key);
        }
        for key in customer.profile.external_keys() {
            self.owners.insert(key, customer.id.clone());
        }
    }
}

/// Populated fields replace, maps grow: a file that knows one external id must not drop the others.
fn merged(current: &Profile, row: &Profile) -> Profile {
    let mut profile = Mask::Populated.apply(current, row);
    for (key, value) in &current.attributes {
        profile
            .attributes
            .entry(key.clone())
            .or_insert_with(|| value.clone());
    }
    for (source, id) in &current.external_ids {
        profile
            .external_ids
            .entry(source.clone())
            .or_insert_with(|| id.clone());
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CustomerId {
        CustomerId::parse(text).unwrap()
    }

    fn row(customer_id: Option<&str>, external: &[(&str, &str)], tag: &str) -> ImportRow {
        let mut profile = Profile::default();
        profile.tags.insert(tag.to_owned());
        for (source, external_id) in external {
            profile
                .external_ids
                .insert((*source).to_owned(), (*external_id).to_owned());
        }
        ImportRow {
            customer_id: customer_id.map(id),
            fresh_id: id("fresh"),
            profile,
        }
    }

    fn empty() -> Import {
        Import {
            customers: BTreeMap::new(),
            owners: HashMap::new(),
            retired: BTreeSet::new(),
        }
    }

    #[test]
    fn a_row_finds_its_customer_by_external_id_and_keeps_the_others() {
        let mut import = empty();
        let first = row(Some("c1"), &[("crm", "5"), ("web", "9")], "a");
        assert!(matches!(
            import.decide(&first, Timestamp::EPOCH),
            RowDecision::Create(_)
        ));
        let RowDecision::Update(customer, changed) =
            import.decide(&row(None, &[("crm", "5")], "b"), Timestamp::EPOCH)
        else {
            panic!("the tag changed")
        };
        assert_eq!(
            (customer.id, customer.revision, changed),
            (id("c1"), 2, vec!["tags"])
        );
        assert_eq!(customer.profile.external_ids.len(), 2);
    }

    #[test]
    fn external_ids_decide_between_refusals() {
        let mut import = empty();
        import.decide(&row(Some("c1"), &[("crm", "1")], "a"), Timestamp::EPOCH);
        import.decide(&row(Some("c2"), &[("web", "2")], "a"), Timestamp::EPOCH);
        import.retired.insert(id("gone"));
        let cases = [
            (
                row(Some("c2"), &[("crm", "1")], "a"),
                RowRefusal::ExternalIdTaken,
            ),
            (
                row(None, &[("crm", "1"), ("web", "2")], "a"),
                RowRefusal::AmbiguousCustomer,
            ),
            (row(Some("gone"), &[], "a"), RowRefusal::CustomerIdRetired),
        ];
        for (row, refusal) in cases {
            assert_eq!(
                import.decide(&row, Timestamp::EPOCH),
                RowDecision::Refuse(refusal)
            );
        }
    }
}
