//! The protos say what a caller needs to know.

use api::DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// Numbers of the fields that lead to a method in a file's descriptor: service, then method.
const SERVICE: i32 = 6;
const METHOD: i32 = 2;

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).expect("the build wrote it");
    let ours = set
        .file
        .into_iter()
        .filter(|file| file.package().starts_with("asterism."));
    ours.collect()
}

/// The comment before an element.
fn comment<'a>(file: &'a FileDescriptorProto, path: &[i32]) -> &'a str {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter(|location| location.path == path)
        .find_map(|location| location.leading_comments.as_deref())
        .unwrap_or_default()
}

fn index(position: usize) -> i32 {
    position.try_into().expect("a file is short")
}

#[test]
fn every_method_has_a_scope_of_its_service() {
    for method in api::methods() {
        let scope = method
            .scope
            .unwrap_or_else(|| panic!("{} has no scope", method.path));
        let words: Vec<_> = scope.split('.').collect();
        assert!(
            words.len() >= 2 && words.iter().all(|word| !word.is_empty()),
            "{}: a scope reads service.thing.verb, not {scope}",
            method.path
        );
        assert!(
            ["read", "write", "admin"].contains(words.last().expect("split gives one")),
            "{}: scope {scope} ends in neither read, write nor admin",
            method.path
        );
    }
}

#[test]
fn every_method_says_what_it_does_and_how_it_fails() {
    for file in files() {
        for (s, service) in file.service.iter().enumerate() {
            for (m, method) in service.method.iter().enumerate() {
                let comment = comment(&file, &[SERVICE, index(s), METHOD, index(m)]);
                let name = format!("{}/{}", service.name(), method.name());
                assert!(!comment.trim().is_empty(), "{name} has no comment");
            }
        }
    }
}

#[test]
fn every_method_has_a_request_and_a_response_of_its_own() {
    let mut seen = std::collections::HashSet::new();
    for file in files() {
        for service in &file.service {
            for method in &service.method {
                for message in [method.input_type(), method.output_type()] {
                    assert!(seen.insert(message.to_owned()), "{message} is used twice");
                }
                assert!(
                    method
                        .input_type()
                        .ends_with(&format!(".{}Request", method.name()))
                );
                assert!(
                    method
                        .output_type()
                        .ends_with(&format!(".{}Response", method.name()))
                );
            }
        }
    }
}
