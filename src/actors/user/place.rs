//! A stream's place among all streams of its user, on all nodes; given back when the stream goes, however it goes.

use std::sync::Arc;

use crate::{
    actors::{
        Context,
        error::{Call, CallError},
    },
    domain::ids::UserId,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Place {
    context: Arc<Context>,
    user: UserId,
    client_id: String,
}

impl Place {
    /// Takes a place, unless all are taken by other clients of the user.
    pub(super) async fn take(context: &Arc<Context>, user: UserId, client_id: &str) -> Call<Self> {
        let max = context.options.streams_per_user_max;
        if !context.ephemera.stream_opens(user, client_id, max).await {
            return Err(CallError::TooManyStreams);
        }
        Ok(Self { context: Arc::clone(context), user, client_id: client_id.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.context.ephemera.stream_closed(self.user, &self.client_id, self.context.clock.now_ms());
    }
}
