//! What the descriptor set says about methods and fields.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// Every proto file of the suite with imports and comments, encoded; reflection serves it.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// One RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// HTTP path, for example `/asterism.loyalty.v1.LoyaltyService/GetTier`.
    pub path: &'static str,
    /// What a caller must hold to call it; a method without one is denied.
    pub scope: Option<&'static str>,
    /// Whether the request is a stream.
    pub client_streaming: bool,
    /// Whether the response is a stream.
    pub server_streaming: bool,
}

static METHODS: &[Method] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));

static BY_PATH: LazyLock<HashMap<&'static str, &'static Method>> =
    LazyLock::new(|| METHODS.iter().map(|method| (method.path, method)).collect());

static FIELDS: LazyLock<HashMap<String, HashMap<u32, String>>> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET).expect("the build wrote a descriptor set");
    let mut fields = HashMap::new();
    for file in set.file {
        for message in &file.message_type {
            index_fields(file.package(), message, &mut fields);
        }
    }
    fields
});

/// Every method of the suite.
pub fn methods() -> &'static [Method] {
    METHODS
}

/// The method at an HTTP path.
pub fn method(path: &str) -> Option<&'static Method> {
    BY_PATH.get(path).copied()
}

/// Name of a field by its number, for messages that tell a caller which field differs.
pub fn field_name(message: &str, number: u32) -> Option<&'static str> {
    FIELDS.get(message)?.get(&number).map(String::as_str)
}

fn index_fields(
    parent: &str,
    message: &DescriptorProto,
    fields: &mut HashMap<String, HashMap<u32, String>>,
) {
    let name = format!("{parent}.{}", message.name());
    let numbers = message
        .field
        .iter()
        .map(|field| (field.number().unsigned_abs(), field.name().to_owned()))
        .collect();
    for nested in &message.nested_type {
        index_fields(&name, nested, fields);
    }
    fields.insert(name, numbers);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_scope() {
        let without: Vec<_> = methods().iter().filter(|m| m.scope.is_none()).collect();
        assert!(
            without.is_empty(),
            "methods without a scope option are denied: {without:?}"
        );
        assert!(methods().len() > 5);
    }

    #[test]
    fn fields_are_found_by_number() {
        assert_eq!(field_name("asterism.type.v1.Money", 2), Some("micros"));
        assert_eq!(field_name("asterism.type.v1.Money", 9), None);
    }
}
