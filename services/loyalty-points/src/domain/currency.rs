//! Point currencies: a program has one or more, and a member an account in each.
//!
//! Invariant: points never move from one currency to another.

use std::fmt;

use serde::Deserialize;

/// Point currencies beside the first one that a program has at most.
pub const FURTHER_MAX: usize = 20;

/// Code of a point currency: 2 to 12 upper-case letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CurrencyCode(String);

impl CurrencyCode {
    /// Checks the form, not whether any program has the currency.
    pub fn parse(code: &str) -> Result<Self, String> {
        let is_code =
            (2..=12).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase());
        if is_code {
            Ok(Self(code.to_owned()))
        } else {
            Err("must be 2 to 12 upper-case letters".to_owned())
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A point currency beside a program's first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointCurrency {
    /// Its code.
    pub code: CurrencyCode,
    /// What people call it.
    pub display_name: String,
    /// Days for which its points can be spent; 0 means for ever.
    pub validity_days: i64,
}

/// Which of a program's point currencies points are in. The first one has no code here: what was written before
/// there were others is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type, Deserialize)]
#[sqlx(transparent)]
pub struct Wallet(String);

impl Wallet {
    /// The first currency: of purchases, of the base rule and of tiers.
    pub const fn first() -> Self {
        Self(String::new())
    }

    /// A further one.
    pub fn further(code: &CurrencyCode) -> Self {
        Self(code.0.clone())
    }

    /// Whether it is the first one.
    pub fn is_first(&self) -> bool {
        self.0.is_empty()
    }

    /// The code, of a further one.
    pub fn code(&self) -> Option<&str> {
        Some(self.as_stored()).filter(|code| !code.is_empty())
    }

    /// The one that is stored as this: empty for the first one.
    pub const fn from_stored(code: String) -> Self {
        Self(code)
    }

    /// As it is stored: the empty text for the first one.
    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// The name of a rule when it posts in this currency, so that one source can earn in several, in each once.
    pub fn rule(&self, rule: &str) -> String {
        match self.code() {
            None => rule.to_owned(),
            Some(code) => format!("{rule}/{code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_upper_case_letters() {
        for code in ["PT", "MILES", "ABCDEFGHIJKL"] {
            assert_eq!(CurrencyCode::parse(code).unwrap().as_str(), code);
        }
        for code in ["", "P", "pts", "PT5", "ABCDEFGHIJKLM", "ÄÖ"] {
            CurrencyCode::parse(code).unwrap_err();
        }
    }

    #[test]
    fn a_source_earns_in_each_currency_by_a_rule_of_its_own() {
        let miles = Wallet::further(&CurrencyCode::parse("MILES").unwrap());
        assert_eq!(Wallet::first().rule("direct"), "direct");
        assert_eq!(miles.rule("direct"), "direct/MILES");
        assert_eq!(
            (Wallet::first().code(), miles.code()),
            (None, Some("MILES"))
        );
    }
}
