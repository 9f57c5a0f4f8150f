//! The fields of a customer that an update may name.

use super::Profile;

/// One field, as fine as an update mask may name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    DisplayName,
    GivenName,
    FamilyName,
    Contacts,
    AddressLines,
    City,
    Region,
    PostalCode,
    CountryCode,
    BirthDate,
    Gender,
    Industry,
    Source,
    Tags,
    Attributes,
    ExternalIds,
}

impl Field {
    /// Every field with its path, in the order of the proto.
    const PATHS: [(Self, &'static str); 16] = [
        (Self::DisplayName, "name.display_name"),
        (Self::GivenName, "name.given_name"),
        (Self::FamilyName, "name.family_name"),
        (Self::Contacts, "contacts"),
        (Self::AddressLines, "address.lines"),
        (Self::City, "address.city"),
        (Self::Region, "address.region"),
        (Self::PostalCode, "address.postal_code"),
        (Self::CountryCode, "address.country_code"),
        (Self::BirthDate, "birth_date"),
        (Self::Gender, "gender"),
        (Self::Industry, "industry"),
        (Self::Source, "source"),
        (Self::Tags, "tags"),
        (Self::Attributes, "attributes"),
        (Self::ExternalIds, "external_ids"),
    ];

    /// Paths of the fields in which two profiles differ.
    pub fn changed(a: &Profile, b: &Profile) -> Vec<&'static str> {
        if a == b {
            return Vec::new();
        }
        let differs = |field: Self| {
            let mut copy = a.clone();
            field.copy(b, &mut copy);
            copy != *a
        };
        Self::PATHS
            .iter()
            .filter(|(field, _)| differs(*field))
            .map(|(_, path)| *path)
            .collect()
    }

    /// The fields at or below a path; none for an unknown path.
    fn below(path: &str) -> impl Iterator<Item = Self> {
        Self::PATHS
            .iter()
            .filter(move |(_, known)| {
                known
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
            .map(|(field, _)| *field)
    }

    fn copy(self, from: &Profile, to: &mut Profile) {
        let (person, into) = (&from.personal, &mut to.personal);
        match self {
            Self::DisplayName => into.display_name.clone_from(&person.display_name),
            Self::GivenName => into.given_name.clone_from(&person.given_name),
            Self::FamilyName => into.family_name.clone_from(&person.family_name),
            Self::Contacts => into.contacts.clone_from(&person.contacts),
            Self::AddressLines => into.address.lines.clone_from(&person.address.lines),
            Self::City => into.address.city.clone_from(&person.address.city),
            Self::Region => into.address.region.clone_from(&person.address.region),
            Self::PostalCode => into
                .address
                .postal_code
                .clone_from(&person.address.postal_code),
            Self::CountryCode => into
                .address
                .country_code
                .clone_from(&person.address.country_code),
            Self::BirthDate => into.birth_date = person.birth_date,
            Self::Gender => into.gender = person.gender,
            Self::Industry => to.industry.clone_from(&from.industry),
            Self::Source => to.source.clone_from(&from.source),
            Self::Tags => to.tags.clone_from(&from.tags),
            Self::Attributes => to.attributes.clone_from(&from.attributes),
            Self::ExternalIds => to.external_ids.clone_from(&from.external_ids),
        }
    }
}

/// Which fields an update changes (AIP-134).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask {
    /// Every field that has a value in the request.
    Populated,
    /// These, empty or not.
    Fields(Vec<Field>),
}

impl Mask {
    /// Reads paths; returns those that name no field a caller may set.
    pub fn parse(paths: &[String]) -> Result<Self, Vec<String>> {
        let mut fields = Vec::new();
        let mut unknown = Vec::new();
        for path in paths {
            let before = fields.len();
            match path.as_str() {
                "*" => fields.extend(Field::PATHS.iter().map(|(field, _)| *field)),
                path => fields.extend(Field::below(path)),
            }
            if fields.len() == before {
                unknown.push(path.clone());
            }
        }
        match (unknown.is_empty(), paths.is_empty()) {
            (false, _) => Err(unknown),
            (true, true) => Ok(Self::Populated),
            (true, false) => Ok(Self::Fields(fields)),
        }
    }

    /// The current profile with the masked fields taken from the given one.
    pub fn apply(&self, current: &Profile, given: &Profile) -> Profile {
        let mut profile = current.clone();
        match self {
            Self::Fields(fields) => fields
                .iter()
                .for_each(|field| field.copy(given, &mut profile)),
            Self::Populated => {
                let populated = Field::changed(&Profile::default(), given);
                for (field, path) in Field::PATHS {
                    if populated.contains(&path) {
                        field.copy(given, &mut profile);
                    }
                }
            }
        }
        profile
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(given_name: &str, industry: &str) -> Profile {
        let mut profile = Profile {
            industry: industry.to_owned(),
            ..Profile::default()
        };
        profile.personal.given_name = given_name.to_owned();
        profile
    }

    fn mask(paths: &[&str]) -> Result<Mask, Vec<String>> {
        Mask::parse(&paths.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn without_a_mask_populated_fields_are_taken_and_empty_ones_are_kept() {
        let current = profile("Ann", "retail");
        assert_eq!(
            mask(&[]).unwrap().apply(&current, &profile("Eve", "")),
            profile("Eve", "retail")
        );
    }

    #[test]
    fn a_named_field_is_cleared_and_others_are_kept() {
        let current = profile("Ann", "retail");
        let cleared = mask(&["name"])
            .unwrap()
            .apply(&current, &profile("", "banking"));
        assert_eq!(cleared, profile("", "retail"));
    }

    #[test]
    fn a_star_replaces_everything() {
        let given = profile("", "banking");
        assert_eq!(
            mask(&["*"])
                .unwrap()
                .apply(&profile("Ann", "retail"), &given),
            given
        );
    }

    #[test]
    fn unknown_paths_are_all_named() {
        let unknown = mask(&["nam", "tags", "name.", "customer_id", "etag", ""]).unwrap_err();
        assert_eq!(unknown, ["nam", "name.", "customer_id", "etag", ""]);
    }

    #[test]
    fn changed_fields_come_in_the_order_of_the_proto() {
        let changed = Field::changed(&profile("Ann", "retail"), &profile("Eve", "banking"));
        assert_eq!(changed, ["name.given_name", "industry"]);
    }
}
