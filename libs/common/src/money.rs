//! Money: exact amounts in one currency.

use std::fmt;

use api::r#type::v1 as pb;

/// ISO 4217 code: three upper-case letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct Currency(String);

impl Currency {
    /// Checks the form, not whether the currency exists.
    pub fn parse(code: &str) -> Result<Self, String> {
        if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(Self(code.to_owned()))
        } else {
            Err("must be an ISO 4217 code of three upper-case letters, such as USD".to_owned())
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An amount in millionths of the currency's unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Money {
    /// Of what.
    pub currency: Currency,
    /// How much, in millionths.
    pub micros: i64,
}

impl TryFrom<Option<pb::Money>> for Money {
    type Error = String;

    fn try_from(money: Option<pb::Money>) -> Result<Self, String> {
        let money = money.ok_or("must be given")?;
        let currency =
            Currency::parse(&money.currency_code).map_err(|e| format!("currency_code {e}"))?;
        Ok(Self {
            currency,
            micros: money.micros,
        })
    }
}

impl From<Money> for pb::Money {
    fn from(money: Money) -> Self {
        Self {
            currency_code: money.currency.0,
            micros: money.micros,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_of_another_form_are_refused() {
        for bad in ["", "usd", "US", "USDT", "U$D"] {
            assert!(Currency::parse(bad).is_err(), "{bad}");
        }
    }
}
