//! Who calls: from the request's metadata to a user, on every call.

use std::sync::Arc;

use http::HeaderMap;

use super::{
    answers::Answers,
    auth::{AuthError, Expiry, Identity, Verifier, bearer_token},
    limits::Limits,
    status::ApiError,
};
use crate::{
    actors::Node,
    domain::{ids::UserId, reject::Reject, room::Author},
    telemetry::metrics::Metrics,
};

/// An authenticated caller.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) author: Author,
    pub(super) name: Arc<str>,
    pub(super) expiry: Expiry,
}

impl Caller {
    pub(super) fn must_be_admin(&self) -> Result<(), ApiError> {
        if self.author.admin { Ok(()) } else { Err(Reject::AdminOnly.into()) }
    }
}

/// The door: what every call passes.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) node: Node,
    pub(super) verifier: Verifier,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) answers: Arc<Answers>,
}

impl Door {
    /// Whose token this is, without counting a call.
    pub(super) fn user(&self, headers: &HeaderMap) -> Result<UserId, ApiError> {
        let header = headers.get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let identity = self.verifier.verify_now(bearer_token(header)?, self.node.now_ms())?;
        Ok(UserId(identity.user_id))
    }

    /// Lets a call in: verifies its token, counts it, and notes what the token says of the user.
    pub(super) async fn enter(&self, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let header = headers.get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let token = bearer_token(header)?;
        let now = self.node.now_ms();
        let identity = match self.verifier.verify_now(token, now) {
            Ok(identity) => identity,
            // Another key may have come into use: worth one wait.
            Err(AuthError::UnknownKey | AuthError::KeysUnavailable) => self.verifier.verify(token, now).await?,
            Err(error) => return Err(error.into()),
        };
        self.admit(identity).await
    }

    async fn admit(&self, identity: Identity) -> Result<Caller, ApiError> {
        let user = UserId(identity.user_id);
        self.limits.user(user).await?;
        self.node.seen(user, &identity.name, &identity.picture).await?;
        Ok(Caller {
            author: Author { user, admin: identity.admin },
            name: identity.name.as_str().into(),
            expiry: identity.expiry,
        })
    }
}
