//! What callers may do by their certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Reread;
use crate::error::Error;
use crate::identity::Identity;

type Known = Arc<BTreeMap<String, Identity>>;

/// Names in certificates and the scopes they hold.
#[derive(Debug)]
pub(crate) struct CertificateScopes(Option<Reread<Known>>);

impl CertificateScopes {
    /// Reads the file; without one no certificate gives any scope.
    pub fn open(file: Option<PathBuf>) -> Result<Self, Error> {
        let known = file.map(|file| Reread::open("client-scopes", file, parse));
        known.transpose().map(Self)
    }

    /// Who bears a certificate with these names, if the file knows one of them.
    pub fn find(&self, names: &[String]) -> Option<Identity> {
        let known = self.0.as_ref()?.get();
        names.iter().find_map(|name| known.get(name).cloned())
    }
}

/// On each line a name and its scopes; `#` begins a comment.
fn parse(text: &str) -> Result<Known, String> {
    let mut known = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        // Within a word it may belong to a URI.
        let words = line.split_whitespace();
        let mut words = words.take_while(|word| !word.starts_with('#'));
        let Some(name) = words.next() else {
            continue;
        };
        let scopes: BTreeSet<_> = words.map(str::to_owned).collect();
        if scopes.is_empty() {
            return Err(format!("line {number}: {name} holds no scope"));
        }
        let identity = Identity::new(name, scopes);
        if known.insert(name.to_owned(), identity).is_some() {
            return Err(format!("line {number}: {name} stands there twice"));
        }
    }
    Ok(Arc::new(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_what_their_line_says() {
        let known = parse(
            "# the other services\n\
             spiffe://c/loyalty feed.read  # follows the feeds\n\n\
             team-a\tloyalty.points.read loyalty.points.write\n",
        )
        .unwrap();
        assert_eq!(known.len(), 2);
        assert!(known["spiffe://c/loyalty"].may("feed.read"));
        assert!(known["team-a"].may("loyalty.points.write") && !known["team-a"].may("feed.read"));
    }

    #[test]
    fn lines_that_cannot_be_meant_are_refused() {
        for (text, says) in [
            ("team-a", "line 1: team-a holds no scope"),
            ("team-a # feed.read", "holds no scope"),
            ("a feed.read\na feed.admin", "line 2: a stands there twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
