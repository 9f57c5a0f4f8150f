//! Each layer keeps to its own words.

use std::path::{Path, PathBuf};

/// The sources of the four services, without comments.
fn service_sources() -> Vec<(PathBuf, String)> {
    journeys::files(&journeys::root().join("services"), ".rs")
        .into_iter()
        .filter(|file| file.components().any(|part| part.as_os_str() == "src"))
        .map(|file| {
            let code = without_comments(&journeys::read(&file));
            (file, code)
        })
        .collect()
}

fn without_comments(source: &str) -> String {
    let code = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.collect::<Vec<_>>().join("\n")
}

/// Whether the file is the module of this name or below it.
fn is_in_module(file: &Path, module: &str) -> bool {
    let file_name = format!("{module}.rs");
    file.components()
        .any(|part| part.as_os_str() == module || part.as_os_str() == &*file_name)
}

/// Whether the code has the word, not as a part of a longer one.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part)
    })
}

#[test]
fn only_stores_speak_sql() {
    for (file, code) in service_sources() {
        let speaks = code.contains("sqlx::query") || code.contains("QueryBuilder");
        assert!(
            !speaks || is_in_module(&file, "store"),
            "{} has SQL, which belongs into its crate's store",
            file.display()
        );
    }
}

#[test]
fn domain_rules_are_pure() {
    for (file, code) in service_sources() {
        if !is_in_module(&file, "domain") {
            continue;
        }
        // How a value is written in a column is a part of the value, like its JSON.
        let code = code.replace("sqlx::Type", "").replace("#[sqlx(", "");
        for word in ["tonic", "sqlx", "async", "await", "tokio"] {
            assert!(
                !has_word(&code, word),
                "{} uses {word}: domain is pure",
                file.display()
            );
        }
    }
}

#[test]
fn every_select_lists_its_columns() {
    let root = journeys::root();
    let sources = ["libs", "services", "tests"]
        .iter()
        .flat_map(|folder| journeys::files(&root.join(folder), ".rs"))
        .chain(journeys::files(&root, ".sql"));
    // Put together here, so that this file passes its own test.
    let star = ["SELECT", "*"].join(" ");
    for file in sources {
        let code = without_comments(&journeys::read(&file)).to_uppercase();
        assert!(
            !code.contains(&star),
            "{}: list the columns",
            file.display()
        );
    }
}

/// SQLite compares each row of one side with each of the other, whatever indexes there are: group a union of both.
#[test]
fn no_statement_joins_fully() {
    let folders = ["libs", "services"];
    let sources = folders.map(|folder| journeys::files(&journeys::root().join(folder), ".rs"));
    for file in sources.into_iter().flatten() {
        let code = without_comments(&journeys::read(&file));
        let words: Vec<_> = code.split_whitespace().collect();
        let is_full = |pair: &[&str]| {
            ["FULL", "RIGHT"].contains(&pair[0]) && ["JOIN", "OUTER"].contains(&pair[1])
        };
        let full = words.windows(2).any(is_full);
        assert!(!full, "{} has a full join", file.display());
    }
}

#[test]
fn nothing_is_left_to_do_in_the_sources() {
    let root = journeys::root();
    let marks = [
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["X", "XX"].concat(),
    ];
    for folder in ["libs", "services", "tests", "proto"] {
        for ending in [".rs", ".proto", ".sql"] {
            for file in journeys::files(&root.join(folder), ending) {
                let source = journeys::read(&file);
                for mark in &marks {
                    assert!(!has_word(&source, mark), "{} says {mark}", file.display());
                }
            }
        }
    }
}
