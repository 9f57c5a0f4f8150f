//! Collects everything that is wrong with a request, so that a caller learns of all of it at once.

use std::fmt::Display;

use crate::error::Error;

const VIOLATIONS_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, for example `transactions[3].total`.
    pub field: String,
    /// What it must be.
    pub description: String,
}

/// Everything that is wrong with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records that a field is wrong; the description says what it must be. Beyond a hundred nothing is
    /// recorded: a request of a few bytes an item must not grow a thousandfold here.
    pub fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(Violation {
                field: field.into(),
                description: description.into(),
            });
        }
    }

    /// The value, or `None` and the error recorded under the field.
    pub fn check<T, E: Display>(
        &mut self,
        field: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        result
            .map_err(|error| self.add(field, error.to_string()))
            .ok()
    }

    /// Parses a raw value, recording what is wrong with it.
    pub fn parse<R: ?Sized, T, E: Display>(
        &mut self,
        field: impl Into<String>,
        raw: &R,
        parse: impl FnOnce(&R) -> Result<T, E>,
    ) -> Option<T> {
        self.check(field, parse(raw))
    }

    /// Checks the form of an idempotency key: empty, or 1 to 64 printable ASCII characters (a UUID is best).
    pub fn request_id(&mut self, request_id: &str) {
        if request_id.len() > 64 || !request_id.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.add(
                "request_id",
                "must be at most 64 printable ASCII characters, best a UUID",
            );
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong, in the order it was found.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    /// The parsed values if nothing was recorded, otherwise the error that names every violation.
    pub fn all<V: Parsed>(self, values: V) -> Result<V::Values, Error> {
        match values.values() {
            Some(values) if self.is_empty() => Ok(values),
            _ => {
                debug_assert!(
                    !self.is_empty(),
                    "a value is missing without a recorded violation"
                );
                Err(Error::Invalid(self))
            }
        }
    }
}

/// A tuple of parsed values, each present if its parse went well.
pub trait Parsed {
    /// The tuple without the options.
    type Values;
    /// All of them or none.
    fn values(self) -> Option<Self::Values>;
}

macro_rules! parsed {
    ($($value:ident: $type:ident),*) => {
        impl<$($type),*> Parsed for ($(Option<$type>,)*) {
            type Values = ($($type,)*);
            fn values(self) -> Option<Self::Values> {
                let ($($value,)*) = self;
                Some(($($value?,)*))
            }
        }
    };
}

parsed!();
parsed!(a: A);
parsed!(a: A, b: B);
parsed!(a: A, b: B, c: C);
parsed!(a: A, b: B, c: C, d: D);
parsed!(a: A, b: B, c: C, d: D, e: E);
parsed!(a: A, b: B, c: C, d: D, e: E, f: F);
parsed!(a: A, b: B, c: C, d: D, e: E, f: F, g: G);
parsed!(a: A, b: B, c: C, d: D, e: E, f: F, g: G, h: H);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::CustomerId;

    #[test]
    fn every_violation_is_named() {
        let mut violations = Violations::new();
        let customer = violations.parse("customer_id", "a b", CustomerId::parse);
        violations.request_id(&"x".repeat(65));
        let Err(Error::Invalid(violations)) = violations.all((customer,)) else {
            panic!("two violations were recorded")
        };
        let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["customer_id", "request_id"]);
    }

    #[test]
    fn values_come_out_when_nothing_is_wrong() {
        let mut violations = Violations::new();
        let customer = violations.parse("customer_id", "c1", CustomerId::parse);
        let (customer,) = violations.all((customer,)).unwrap();
        assert_eq!(customer.as_str(), "c1");
    }
}
