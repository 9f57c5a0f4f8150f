//! A misspelt variable must not be ignored silently.

use std::collections::BTreeSet;

use clap::Command;

use crate::error::Error;

const PREFIX: &str = "ASTERISM_";

/// Refuses `ASTERISM_*` variables among `variables` that no flag of `command` or its subcommands reads.
pub fn refuse_unknown(
    command: &Command,
    variables: impl IntoIterator<Item = String>,
) -> Result<(), Error> {
    let mut known = BTreeSet::new();
    collect(command, &mut known);
    let unknown: Vec<_> = variables
        .into_iter()
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let unknown = unknown.join(", ");
    Err(Error::Config(format!(
        "unknown variable: {unknown}; --help lists those that exist"
    )))
}

fn collect(command: &Command, known: &mut BTreeSet<String>) {
    let names = command.get_arguments().filter_map(clap::Arg::get_env);
    known.extend(names.map(|name| name.to_string_lossy().into_owned()));
    for subcommand in command.get_subcommands() {
        collect(subcommand, known);
    }
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;
    use crate::config::ServerConfig;

    #[test]
    fn misspelt_variables_are_refused() {
        let command = ServerConfig::augment_args(Command::new("test"));
        let given = |name: &str| refuse_unknown(&command, [name.to_owned()]);
        assert!(given("ASTERISM_LISTEN").is_ok());
        assert!(given("PATH").is_ok());
        let error = given("ASTERISM_LISTNE").unwrap_err();
        assert!(error.to_string().contains("ASTERISM_LISTNE"), "{error}");
    }
}
