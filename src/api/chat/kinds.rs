//! What is known of a command before it is done: whether it only reads, and what its answer may come to. Room for the
//! answer is made by that, and corrected when the answer is there.

use super::{Caller, ChatService, Reply};
use crate::api::{
    answers::{ConnectionUse, Held},
    status::ApiError,
};

/// An answer that says little more than that it was done.
const BRIEF_BYTES: usize = 4 * 1024;
/// One message or room, or a page of short rows.
const ONE_BYTES: usize = 128 * 1024;
/// A page, which is bounded to about this.
const PAGE_BYTES: usize = 1024 * 1024;
/// When one whose answer turned out too large for the room that is left may ask again, ms.
const RETRY_AFTER_MS: u64 = 1_000;

/// Whether the method is declared without side effects, as those of the service are by their names.
pub(super) fn is_read(method: &str) -> bool {
    method.starts_with("Get") || matches!(method, "SearchMessages" | "ExplainUnread")
}

/// Bytes that the answer to a request of `request_bytes` may come to. What a caller gave comes back in some answers.
fn answer_bytes(method: &str, request_bytes: usize) -> usize {
    let own = match method {
        "GetMessageHistory" | "SearchMessages" | "GetPinnedMessages" | "GetRooms" => PAGE_BYTES,
        method if is_read(method) || method == "CreateRoom" => ONE_BYTES,
        _ => BRIEF_BYTES,
    };
    own + request_bytes
}

impl ChatService {
    /// Makes room for an answer before it is made.
    pub(super) async fn reserve(
        &self,
        connection: &ConnectionUse,
        caller: &Caller,
        method: &str,
        request_bytes: usize,
    ) -> Result<Held, ApiError> {
        let bytes = answer_bytes(method, request_bytes);
        self.door.answers.reserve(connection, caller.author.user, bytes).await
    }
}

/// The answer, if there is room for it now that its size is known. What was done is told in any case.
pub(super) fn settled(method: &str, held: &Held, reply: Reply) -> Reply {
    if !is_read(method) {
        if let Ok(answer) = &reply {
            held.grow_to(answer.len());
            held.settle(answer.len());
        }
        return reply;
    }
    let answer = reply.map_err(ApiError::of_read)?;
    if held.settle(answer.len()) { Ok(answer) } else { Err(ApiError::answers_waiting(RETRY_AFTER_MS)) }
}

#[cfg(test)]
mod tests {
    use prost_reflect::{DescriptorPool, prost_types::method_options::IdempotencyLevel};

    use super::*;

    #[test]
    fn reads_are_those_that_say_so() {
        let pool = DescriptorPool::decode(tertulia_proto::DESCRIPTORS).unwrap();
        let service = pool.get_service_by_name("chat.v1.ChatService").unwrap();
        for method in service.methods() {
            let options = method.method_descriptor_proto().options.clone().unwrap_or_default();
            let safe = options.idempotency_level() == IdempotencyLevel::NoSideEffects;
            assert_eq!(is_read(method.name()), safe, "{}", method.name());
        }
    }
}
