//! A value from files that somebody else replaces while we run: keys, tokens and certificates are rotated.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::telemetry::metrics;

/// The files are looked at no more often than this, whatever the load.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);

type Parse<T> = Box<dyn Fn(&[String]) -> Result<T, String> + Send + Sync>;

/// A value from one file or from some that belong together, read again when they have changed.
///
/// Contents are compared, not times: it does not matter how a file is replaced. Files that cannot be used are
/// told of once, in the log and as `asterism.rotation.failing`, and the value of before stays.
pub struct Reread<T> {
    /// What the files are for, in a word, as the metric names it.
    purpose: &'static str,
    paths: Vec<PathBuf>,
    parse: Parse<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: T,
    /// Digest of what was read last, whether it could be used or not.
    seen: [u8; 32],
    looked: Instant,
}

impl<T: Clone> Reread<T> {
    /// Reads one file; a process does not start with one it cannot use.
    pub fn open(
        purpose: &'static str,
        path: PathBuf,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Self::open_all(purpose, vec![path], move |texts| parse(&texts[0]))
    }

    /// Reads files that belong together, like a certificate and its key. `parse` gets their texts in the order
    /// of `paths`.
    pub fn open_all(
        purpose: &'static str,
        paths: Vec<PathBuf>,
        parse: impl Fn(&[String]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let texts = read(&paths);
        let seen = digest(&texts);
        let parse: Parse<T> = Box::new(parse);
        let value = usable(&paths, texts, &parse).map_err(Error::Config)?;
        metrics::rotation_failing(purpose, false);
        let state = Mutex::new(State {
            value,
            seen,
            looked: Instant::now(),
        });
        Ok(Self {
            purpose,
            paths,
            parse,
            state,
        })
    }

    /// The value as the files have it, or had it while they could last be used.
    pub fn get(&self) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            self.look_again(&mut state);
        }
        state.value.clone()
    }

    /// As if the patience between two looks were over.
    #[cfg(test)]
    pub fn get_later(&self) -> T {
        let long_ago = Instant::now()
            .checked_sub(LOOK_EVERY)
            .expect("the machine runs for longer");
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looked = long_ago;
        drop(state);
        self.get()
    }

    fn look_again(&self, state: &mut State<T>) {
        let texts = read(&self.paths);
        let seen = digest(&texts);
        if seen == state.seen {
            return;
        }
        state.seen = seen;
        let read = usable(&self.paths, texts, &self.parse);
        metrics::rotation_failing(self.purpose, read.is_err());
        match read {
            Ok(value) => {
                tracing::info!(purpose = self.purpose, file = %self.paths[0].display(), "read again");
                state.value = value;
            }
            // Half written, perhaps: whatever comes next is tried.
            Err(error) => {
                tracing::error!(purpose = self.purpose, error, "the old value stays in use");
            }
        }
    }
}

/// What the files hold is secret.
impl<T> fmt::Debug for Reread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

type Texts = Result<Vec<String>, String>;

fn read(paths: &[PathBuf]) -> Texts {
    let text = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
    };
    paths.iter().map(text).collect()
}

fn usable<T>(paths: &[PathBuf], texts: Texts, parse: &Parse<T>) -> Result<T, String> {
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    parse(&texts?).map_err(|error| format!("{}: {error}", names.join(", ")))
}

fn digest(texts: &Texts) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([u8::from(texts.is_ok())]);
    for text in texts.as_deref().unwrap_or_else(std::slice::from_ref) {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn number(text: &str) -> Result<i64, String> {
        text.trim().parse().map_err(|_| "not a number".to_owned())
    }

    fn failing(purpose: &str) -> bool {
        let series = format!("asterism_rotation_failing{{file=\"{purpose}\"");
        let text = metrics::text();
        let line = text.lines().find(|line| line.starts_with(&series));
        line.unwrap().ends_with(" 1")
    }

    #[test]
    fn a_replaced_file_is_read_again_and_a_broken_one_is_not_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "1").unwrap();
        let value = Reread::open("test-one", file.path().to_owned(), number).unwrap();
        fs::write(file.path(), "2").unwrap();
        assert_eq!(value.get(), 1);
        assert_eq!(value.get_later(), 2);
        fs::write(file.path(), "half writ").unwrap();
        assert_eq!(value.get_later(), 2);
        assert!(failing("test-one"));
        fs::remove_file(file.path()).unwrap();
        assert_eq!(value.get_later(), 2);
        fs::write(file.path(), "3").unwrap();
        assert_eq!(value.get_later(), 3);
        assert!(!failing("test-one"));
    }

    /// A Secret in a Pod is a folder of links through `..data`, which is exchanged as a whole.
    #[test]
    fn files_exchanged_by_a_link_are_read_together() {
        let folder = tempfile::tempdir().unwrap();
        let version = |name: &str, first: &str, second: &str| {
            let version = folder.path().join(name);
            fs::create_dir(&version).unwrap();
            fs::write(version.join("first"), first).unwrap();
            fs::write(version.join("second"), second).unwrap();
        };
        version("v1", "1", "10");
        version("v2", "2", "20");
        let data = folder.path().join("..data");
        symlink("v1", &data).unwrap();
        let paths = vec![data.join("first"), data.join("second")];
        let both = |texts: &[String]| Ok((number(&texts[0])?, number(&texts[1])?));
        let value = Reread::open_all("test-link", paths, both).unwrap();
        assert_eq!(value.get(), (1, 10));
        let next = folder.path().join("..data_next");
        symlink("v2", &next).unwrap();
        fs::rename(&next, &data).unwrap();
        assert_eq!(value.get_later(), (2, 20));
    }

    #[test]
    fn a_file_that_cannot_be_used_stops_the_start() {
        let error = Reread::open("test-none", PathBuf::from("no/such/file"), number).unwrap_err();
        assert!(error.to_string().contains("no/such/file"), "{error}");
    }
}
