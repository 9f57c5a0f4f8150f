//! What the layers know about the method that is called.

use api::Method;

/// Methods outside of our protos that every server answers, with their metric labels.
const KIT_METHODS: [&str; 4] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Full method name for labels and spans. Whatever is unknown becomes `_OTHER`, so that nobody can
/// make metrics grow by calling invented methods.
pub(crate) fn label(path: &str) -> &'static str {
    if let Some(method) = api::method(path) {
        return &method.path[1..];
    }
    let name = path.strip_prefix('/').unwrap_or(path);
    KIT_METHODS
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("_OTHER")
}

/// Whether the method is known to take and give one message. Streams live as long as they like.
pub(super) fn is_unary(path: &str) -> bool {
    api::method(path).is_some_and(
        |Method {
             client_streaming,
             server_streaming,
             ..
         }| { !client_streaming && !server_streaming },
    )
}
