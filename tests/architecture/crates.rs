//! Dependencies run one way: `asterism`, `tests` → services → libraries.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

struct Package {
    name: String,
    folder: String,
    dependencies: Vec<String>,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(journeys::root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"]
        .as_array()
        .expect("a workspace has packages");
    packages.iter().map(package).collect()
}

fn package(json: &Value) -> Package {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let manifest = text(&json["manifest_path"]);
    let folder = Path::new(&manifest)
        .strip_prefix(journeys::root())
        .expect("it is one of ours");
    Package {
        name: text(&json["name"]),
        folder: folder.to_string_lossy().into_owned(),
        dependencies: json["dependencies"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    }
}

/// The dependencies, of any kind, of packages in `from` on packages in `to`.
fn edges(from: &str, to: &str) -> Vec<String> {
    let packages = packages();
    let mut edges = Vec::new();
    for package in packages
        .iter()
        .filter(|package| package.folder.starts_with(from))
    {
        for other in packages.iter().filter(|other| other.folder.starts_with(to)) {
            if package.dependencies.contains(&other.name) {
                edges.push(format!("{} → {}", package.name, other.name));
            }
        }
    }
    edges
}

#[test]
fn no_service_depends_on_another() {
    let mut edges = edges("services/", "services/");
    edges.retain(|edge| !edge.starts_with("asterism →"));
    assert!(
        edges.is_empty(),
        "services meet through the protos only: {edges:?}"
    );
}

#[test]
fn no_library_depends_on_a_service() {
    assert_eq!(edges("libs/", "services/"), [""; 0]);
}

#[test]
fn nothing_depends_on_the_tests() {
    assert_eq!(edges("libs/", "tests/"), [""; 0]);
    assert_eq!(edges("services/", "tests/"), [""; 0]);
}

#[test]
fn the_test_kit_is_a_dependency_of_tests_only() {
    for package in packages()
        .iter()
        .filter(|package| !package.folder.starts_with("tests/"))
    {
        let manifest = journeys::read(&journeys::root().join(&package.folder));
        let shipped = manifest
            .split("[dev-dependencies]")
            .next()
            .unwrap_or_default();
        assert!(
            !shipped.contains("\ntestkit"),
            "{} ships the test kit",
            package.name
        );
    }
}
