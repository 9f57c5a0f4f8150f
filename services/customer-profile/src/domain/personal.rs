//! Personal data, together in one place and in one table, so that sealing it touches nothing else.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// What identifies a person. It never leaves the service in an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Personal {
    /// How the customer wants to be addressed.
    pub display_name: String,
    /// Given name.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// Ways to reach the customer.
    pub contacts: Vec<Contact>,
    /// Where mail goes.
    pub address: Address,
    /// Date of birth.
    pub birth_date: Option<NaiveDate>,
    /// As stated.
    pub gender: Gender,
}

/// A way to reach a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// What `value` is.
    pub kind: ContactKind,
    /// The address.
    pub value: String,
    /// What it is for.
    pub label: String,
}

/// Kind of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContactKind {
    Email,
    Phone,
    Mobile,
    Messenger,
    Social,
    Web,
    Other,
}

impl ContactKind {
    /// Whether an address of this kind has the form it must have.
    pub fn check(self, value: &str) -> Result<(), &'static str> {
        match self {
            Self::Email => match value.split_once('@') {
                Some((local, domain))
                    if !local.is_empty()
                        && !domain.is_empty()
                        && !domain.contains('@')
                        && !value.contains(char::is_whitespace) =>
                {
                    Ok(())
                }
                _ => Err("must have one @ with text around it and no spaces"),
            },
            Self::Phone | Self::Mobile => {
                let digits = value.chars().filter(char::is_ascii_digit).count();
                let allowed = |c: char| c.is_ascii_digit() || "+()-./ ".contains(c);
                if (3..=20).contains(&digits) && value.chars().all(allowed) {
                    Ok(())
                } else {
                    Err("must be a telephone number of 3 to 20 digits")
                }
            }
            Self::Messenger | Self::Social | Self::Web | Self::Other => Ok(()),
        }
    }
}

/// A postal address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street and the like.
    pub lines: Vec<String>,
    /// City.
    pub city: String,
    /// State or province.
    pub region: String,
    /// Postal code.
    pub postal_code: String,
    /// ISO 3166-1 alpha-2, or empty.
    pub country_code: String,
}

/// Gender as stated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Gender {
    #[default]
    Unknown,
    Female,
    Male,
    Other,
    Undisclosed,
}

impl Gender {
    /// The word for it.
    pub fn text(self) -> String {
        match self {
            Self::Unknown => "unknown",
            Self::Female => "female",
            Self::Male => "male",
            Self::Other => "other",
            Self::Undisclosed => "undisclosed",
        }
        .to_owned()
    }

    /// What a word says.
    pub fn of_text(text: &str) -> Option<Self> {
        let all = [
            Self::Unknown,
            Self::Female,
            Self::Male,
            Self::Other,
            Self::Undisclosed,
        ];
        all.into_iter().find(|gender| gender.text() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_have_the_form_of_their_kind() {
        for bad in ["", "a", "@b", "a@", "a@b@c", "a b@c"] {
            assert!(ContactKind::Email.check(bad).is_err(), "{bad}");
        }
        assert!(ContactKind::Email.check("ann@example.org").is_ok());
        assert!(ContactKind::Phone.check("+49 (30) 123-456").is_ok());
        assert!(ContactKind::Mobile.check("call me").is_err());
    }
}
