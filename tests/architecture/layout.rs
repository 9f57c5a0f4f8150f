//! The top of the repository stays a short list.

use std::process::Command;

const FOLDERS: [&str; 6] = [".cargo", ".ci", "helm", "libs", "proto", "services"];
const FILES: [&str; 7] = [
    ".clippy.toml",
    ".dockerignore",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
];

#[test]
fn the_top_level_holds_nothing_but_the_layout() {
    let root = journeys::root();
    for entry in std::fs::read_dir(&root).expect("the root can be read") {
        let entry = entry.expect("the root can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = FOLDERS.contains(&name.as_str()) || FILES.contains(&name.as_str());
        assert!(
            known || ["tests", ".git", "target"].contains(&name.as_str()) || is_ignored(&name),
            "{name} does not belong at the top: the layout has a folder for everything"
        );
    }
}

fn is_ignored(name: &str) -> bool {
    Command::new("git")
        .args(["check-ignore", "-q", name])
        .current_dir(journeys::root())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn each_service_has_the_same_shape() {
    for service in [
        "customer-profile",
        "segmentation",
        "loyalty-points",
        "feedback",
    ] {
        let folder = journeys::root().join("services").join(service);
        for part in [
            "migrations/postgres",
            "migrations/sqlite",
            "src/lib.rs",
            "src/error.rs",
        ] {
            assert!(
                folder.join(part).exists(),
                "services/{service} has no {part}"
            );
        }
        let main = journeys::read(&folder.join("src/main.rs"));
        assert!(
            main.lines().count() <= 20,
            "services/{service}/src/main.rs only starts it"
        );
    }
}
