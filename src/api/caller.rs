//! Who calls: from the request's metadata to a user, on every call.

use std::sync::Arc;

use http::{Extensions, HeaderMap};

use super::{
    answers::Answers,
    auth::{AuthError, Expiry, Identity, Verifier, bearer_token},
    intake::Intake,
    limits::Limits,
    refusals::Refusals,
    status::ApiError,
};
use crate::{
    actors::Node,
    domain::{
        form::UrlSchemes,
        ids::UserId,
        profile::{Said, Stamp},
        reject::Reject,
        room::Author,
    },
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
    /// The caller whom the gate let in.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, ApiError> {
        // Without the gate nobody is anybody.
        extensions.get::<Self>().cloned().ok_or_else(|| AuthError::Missing.into())
    }

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
    pub(super) intake: Arc<Intake>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) answers: Arc<Answers>,
    pub(super) url_schemes: Arc<UrlSchemes>,
    pub(super) refusals: Arc<Refusals>,
}

impl Door {
    /// Whose token it is.
    pub(super) async fn identify(&self, headers: &HeaderMap) -> Result<Identity, ApiError> {
        let header = headers.get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let verified = match bearer_token(header) {
            Ok(token) => self.verify(token).await,
            Err(error) => Err(error),
        };
        verified.map_err(|error| self.refused(error))
    }

    async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        let now = self.node.now_ms();
        match self.verifier.verify_now(token, now) {
            // Another key may have come into use: worth one wait.
            Err(AuthError::UnknownKey | AuthError::KeysUnavailable) => self.verifier.verify(token, now).await,
            other => other,
        }
    }

    fn refused(&self, error: AuthError) -> ApiError {
        self.refusals.note(&error, &self.metrics);
        error.into()
    }

    /// The caller whom the gate let in, once the whole request is here: their token may have ended while its body came, or
    /// while it waited for its turn.
    pub(super) fn caller(&self, extensions: &Extensions) -> Result<Caller, ApiError> {
        let caller = Caller::of(extensions)?;
        self.still_holds(&caller)?;
        Ok(caller)
    }

    /// Whether the caller's token is valid now.
    pub(super) fn still_holds(&self, caller: &Caller) -> Result<(), ApiError> {
        if caller.expiry.has_passed(self.node.now_ms()) { Err(self.refused(AuthError::Expired)) } else { Ok(()) }
    }

    /// Counts a call, and notes what the token says of the user.
    pub(super) async fn admit(&self, identity: Identity) -> Result<Caller, ApiError> {
        let user = UserId(identity.user_id);
        self.limits.call(user, identity.admin).await?;
        let stamp = Stamp::new(identity.issued_at_ms, identity.expiry.at_ms(), self.node.now_ms());
        let said = Said { name: identity.name, picture: identity.picture, stamp };
        let name = self.node.heard(user, &said).await?;
        Ok(Caller { author: Author { user, admin: identity.admin }, name: name.into(), expiry: identity.expiry })
    }
}
