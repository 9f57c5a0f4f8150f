//! A value from a file that somebody else replaces while we run: keys and tokens are rotated.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::error::Error;

/// The file is looked at no more often than this, whatever the load.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A value from a file, read again when the file has changed.
pub(crate) struct Reread<T> {
    path: PathBuf,
    parse: fn(&str) -> Result<T, String>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: T,
    modified: Option<SystemTime>,
    looked: Instant,
}

impl<T: Clone> Reread<T> {
    /// Reads the file; a process does not start with one it cannot use.
    pub fn open(path: PathBuf, parse: fn(&str) -> Result<T, String>) -> Result<Self, Error> {
        let modified = modified(&path);
        let value = read(&path, parse).map_err(Error::Config)?;
        Ok(Self {
            path,
            parse,
            state: Mutex::new(State {
                value,
                modified,
                looked: Instant::now(),
            }),
        })
    }

    /// The value as the file has it, or had it while it was last whole.
    pub fn get(&self) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            self.look_again(&mut state);
        }
        state.value.clone()
    }

    fn look_again(&self, state: &mut State<T>) {
        let modified = modified(&self.path);
        if modified == state.modified {
            return;
        }
        match read(&self.path, self.parse) {
            Ok(value) => {
                tracing::info!(file = %self.path.display(), "read again");
                (state.value, state.modified) = (value, modified);
            }
            // Half written, perhaps; it is tried again.
            Err(error) => tracing::warn!(error, "not read again, the old value stays"),
        }
    }
}

/// What the file holds is secret.
impl<T> fmt::Debug for Reread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn read<T>(path: &Path, parse: fn(&str) -> Result<T, String>) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string());
    text.and_then(|text| parse(&text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<i64, String> {
        text.trim().parse().map_err(|_| "not a number".to_owned())
    }

    /// As if the patience between two looks were over.
    fn get_later(file: &Reread<i64>) -> i64 {
        let long_ago = Instant::now().checked_sub(LOOK_EVERY).unwrap();
        file.state.lock().unwrap().looked = long_ago;
        file.get()
    }

    #[test]
    fn a_replaced_file_is_read_again_and_a_broken_one_is_not_used() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "1").unwrap();
        let value = Reread::open(file.path().to_owned(), number).unwrap();
        fs::write(file.path(), "2").unwrap();
        fs::File::open(file.path())
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(value.get(), 1);
        assert_eq!(get_later(&value), 2);
        fs::write(file.path(), "half writ").unwrap();
        assert_eq!(get_later(&value), 2);
        fs::remove_file(file.path()).unwrap();
        assert_eq!(get_later(&value), 2);
        fs::write(file.path(), "3").unwrap();
        assert_eq!(get_later(&value), 3);
    }

    #[test]
    fn a_file_that_cannot_be_used_stops_the_start() {
        let error = Reread::open(PathBuf::from("no/such/file"), number).unwrap_err();
        assert!(error.to_string().contains("no/such/file"), "{error}");
    }
}
