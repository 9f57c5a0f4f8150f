//! A program and its base earning rule.

use std::sync::Arc;

use chrono::TimeDelta;
use common::money::Money;
use common::time::Timestamp;

use super::currency::{CurrencyCode, PointCurrency, Wallet};
use super::limits::Limits;
use super::tiers::versions::{PolicyVersion, PolicyVersions};
use super::{POINTS_PER_POSTING_MAX, Points};

/// The program that always exists and that every new customer is enrolled in.
pub const DEFAULT: &str = "default";

/// A program's identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramId(String);

impl ProgramId {
    /// Checks the form; empty means the default program.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = if text.is_empty() { DEFAULT } else { text };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
        if text.len() > 64 || !text.chars().all(allowed) {
            return Err("must be at most 64 characters of A-Z a-z 0-9 . _ ~ -".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The default program.
    pub fn default_program() -> Self {
        Self(DEFAULT.to_owned())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ProgramId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What earns points, how long they last, which tiers they qualify for. Never changes once created, but for tier
/// policies that are added, and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its identifier.
    pub program_id: ProgramId,
    /// What people call it.
    pub display_name: String,
    /// Code of its first points.
    pub points_currency: CurrencyCode,
    /// The base rule.
    pub earning_rule: EarningRule,
    /// Days for which its first points can be spent; 0 means for ever.
    pub validity_days: i64,
    /// Its further points.
    pub further_currencies: Vec<PointCurrency>,
    /// How many days before points expire their member is told, the nearest first; none: never.
    pub expiry_notice_days: Vec<i64>,
    /// Adjustments of more points than this need a second person; 0: none do.
    pub adjustment_approval_limit: i64,
    /// Its tier policies.
    pub policies: PolicyVersions,
    /// What may be earned in it.
    pub limits: Limits,
    /// When it was created.
    pub created_at: Timestamp,
}

impl Program {
    /// When points that become spendable at an instant expire.
    pub fn expiry_of(&self, wallet: &Wallet, activates_at: Timestamp) -> Option<Timestamp> {
        let further = self.further(wallet);
        let days = further.map_or(self.validity_days, |currency| currency.validity_days);
        (days > 0).then(|| activates_at + TimeDelta::days(days))
    }

    /// The wallet of a currency, if the program has it.
    pub fn wallet(&self, code: &CurrencyCode) -> Option<Wallet> {
        if *code == self.points_currency {
            return Some(Wallet::first());
        }
        let mut further = self.further_currencies.iter();
        let known = further.any(|currency| currency.code == *code);
        known.then(|| Wallet::further(code))
    }

    /// One for each currency, the first one first.
    pub fn wallets(&self) -> impl Iterator<Item = Wallet> {
        let further = self.further_currencies.iter();
        let further = further.map(|currency| Wallet::further(&currency.code));
        std::iter::once(Wallet::first()).chain(further)
    }

    /// The code of a wallet's currency.
    pub fn code_of<'a>(&'a self, wallet: &'a Wallet) -> &'a str {
        wallet.code().unwrap_or(self.points_currency.as_str())
    }

    fn further(&self, wallet: &Wallet) -> Option<&PointCurrency> {
        let code = wallet.code()?;
        let mut further = self.further_currencies.iter();
        further.find(|currency| currency.code.as_str() == code)
    }

    /// The tier policy that holds at an instant.
    pub fn policy_at(&self, at: Timestamp) -> &Arc<PolicyVersion> {
        self.policies.at(at)
    }
}

/// So many points for each whole unit of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarningRule {
    /// The amount that earns.
    pub unit: Money,
    /// What it earns.
    pub points_per_unit: i64,
}

/// What a purchase comes to by the base rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earning {
    /// So many points.
    Points(Points),
    /// Less than a unit.
    Nothing,
    /// In a currency that the program does not earn on.
    OtherCurrency,
    /// More than one posting may move.
    TooMuch,
}

impl EarningRule {
    /// Rounds down once for the whole purchase.
    pub fn earn(&self, total: &Money) -> Earning {
        if total.currency != self.unit.currency {
            return Earning::OtherCurrency;
        }
        let points = total
            .micros
            .div_euclid(self.unit.micros)
            .checked_mul(self.points_per_unit);
        match points {
            Some(..=0) => Earning::Nothing,
            Some(points) if points <= POINTS_PER_POSTING_MAX => Earning::Points(Points(points)),
            _ => Earning::TooMuch,
        }
    }
}

#[cfg(test)]
mod tests {
    use common::money::Currency;

    use super::*;

    fn money(code: &str, micros: i64) -> Money {
        Money {
            currency: Currency::parse(code).unwrap(),
            micros,
        }
    }

    fn rule() -> EarningRule {
        EarningRule {
            unit: money("USD", 1_000_000),
            points_per_unit: 2,
        }
    }

    #[test]
    fn whole_units_earn_and_the_rest_is_dropped() {
        let earned = |micros| rule().earn(&money("USD", micros));
        assert_eq!(earned(29_330_000), Earning::Points(Points(58)));
        assert_eq!(earned(999_999), Earning::Nothing);
        assert_eq!(earned(0), Earning::Nothing);
        assert_eq!(earned(-29_330_000), Earning::Nothing);
    }

    #[test]
    fn another_currency_earns_nothing() {
        assert_eq!(
            rule().earn(&money("EUR", 29_330_000)),
            Earning::OtherCurrency
        );
    }

    #[test]
    fn an_absurd_total_does_not_overflow() {
        assert_eq!(rule().earn(&money("USD", i64::MAX)), Earning::TooMuch);
    }
}
