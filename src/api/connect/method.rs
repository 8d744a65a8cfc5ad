//! The methods that can be called, by path.

use std::collections::HashMap;

use prost_reflect::{
    DescriptorPool, MessageDescriptor, MethodDescriptor, prost_types::method_options::IdempotencyLevel,
};

use super::strict;

/// How many messages go each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One and one.
    Unary,
    /// One request, many responses.
    ServerStream,
    /// Many requests: over gRPC only.
    ClientStream,
}

/// One callable method.
#[derive(Debug, Clone)]
pub(super) struct Method {
    pub(super) shape: Shape,
    /// Declared without side effects, so that GET may call it.
    pub(super) safe: bool,
    pub(super) input: MessageDescriptor,
    /// Whether there is an enum anywhere in the input.
    pub(super) has_enums: bool,
    pub(super) output: MessageDescriptor,
}

/// All methods of a pool.
#[derive(Debug)]
pub(super) struct Methods {
    pool: DescriptorPool,
    by_path: HashMap<String, Method>,
}

impl Methods {
    pub(super) fn new(pool: DescriptorPool) -> Self {
        let by_path = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| (path(&method), Method::new(&method)))
            .collect();
        Self { pool, by_path }
    }

    /// The method at an URL path such as `/chat.v1.ChatService/SendMessage`.
    pub(super) fn get(&self, path: &str) -> Option<&Method> {
        self.by_path.get(path)
    }

    /// Where the types of `Any` are looked up.
    pub(super) fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

impl Method {
    fn new(method: &MethodDescriptor) -> Self {
        let shape = match (method.is_client_streaming(), method.is_server_streaming()) {
            (false, false) => Shape::Unary,
            (false, true) => Shape::ServerStream,
            (true, _) => Shape::ClientStream,
        };
        let proto = method.method_descriptor_proto();
        let safe = proto
            .options
            .as_ref()
            .is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects);
        let has_enums = strict::has_enums(&method.input());
        Self { shape, safe, input: method.input(), has_enums, output: method.output() }
    }
}
