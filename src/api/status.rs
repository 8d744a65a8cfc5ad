//! From what went wrong inside to what the caller is told: the one place that names gRPC codes and reasons. Nothing of
//! our insides passes.

use prost::Message as _;
use tertulia_proto::chat::v1::ErrorInfo;
use tonic::{Code, Status, metadata::MetadataValue};

use super::auth::AuthError;
use crate::{
    actors::error::CallError,
    domain::reject::{Flaw, Reject},
    line_pace::LinePace,
    storage::{Outcome, StoreErrorKind},
};

/// Every reason a caller can be given; one page each under `docs/errors`.
pub const REASONS: &[&str] = &[
    "admin_only",
    "auth_unavailable",
    "client_id_needed",
    "client_message_id_reused",
    "client_room_id_reused",
    "cursor_malformed",
    "deadline",
    "draining",
    "external_ref_taken",
    "internal",
    "last_owner",
    "malformed",
    "member_not_found",
    "message_deleted",
    "message_not_found",
    "missing_field",
    "not_addable",
    "not_allowed_here",
    "not_your_message",
    "out_of_range",
    "outcome_unknown",
    "overloaded",
    "partner_blocked",
    "rate_limited",
    "role_too_low",
    "room_deleted",
    "room_not_found",
    "room_unavailable",
    "send_not_allowed",
    "session_not_open",
    "store_failed",
    "store_unavailable",
    "stream_interrupted",
    "stream_replaced",
    "token_expired",
    "token_invalid",
    "token_missing",
    "too_long",
    "too_many",
    "too_many_edits",
    "too_many_members",
    "too_many_pins",
    "too_many_reactions",
    "too_many_streams",
    "unknown_command",
    "wrong_room_type",
];

/// What a caller is told.
#[derive(Clone, PartialEq, Debug)]
pub struct ApiError {
    code: Code,
    message: String,
    info: ErrorInfo,
}

impl ApiError {
    /// An error with a stable reason.
    #[must_use]
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(REASONS.contains(&reason), "every reason has a page");
        Self { code, message: message.into(), info: ErrorInfo { reason: reason.to_owned(), ..ErrorInfo::default() } }
    }

    fn retry_after(mut self, ms: u64) -> Self {
        self.info.retry_after_ms = i64::try_from(ms).unwrap_or(i64::MAX);
        self
    }

    fn unknown_if(mut self, unknown: bool) -> Self {
        self.info.outcome_unknown = unknown;
        self
    }

    /// The call came too often; try again after `ms` milliseconds.
    #[must_use]
    pub fn rate_limited(ms: u64) -> Self {
        Self::new(Code::ResourceExhausted, "rate_limited", "too many calls").retry_after(ms.max(1))
    }

    /// The stream or session gives no client id.
    #[must_use]
    pub fn client_id_needed() -> Self {
        Self::new(Code::InvalidArgument, "client_id_needed", "client_id_needed")
    }

    /// No answer before the deadline, of a call that may have happened or has not.
    #[must_use]
    pub fn deadline(may_have_happened: bool) -> Self {
        Self::new(Code::DeadlineExceeded, DEADLINE, "no answer in time").unknown_if(may_have_happened)
    }

    /// The caller's answers wait to be taken, and there is no room for another one.
    #[must_use]
    pub fn answers_waiting(retry_after_ms: u64) -> Self {
        let message = "too many answers wait to be taken";
        Self::new(Code::ResourceExhausted, "overloaded", message).retry_after(retry_after_ms)
    }

    /// The code of the server has a mistake, by which the call may have ended half done.
    #[must_use]
    pub fn panicked(may_have_happened: bool) -> Self {
        Self::new(Code::Internal, "internal", "a mistake of the server").unknown_if(may_have_happened)
    }

    /// The error of a call that only reads: it has changed nothing, whatever became of it.
    #[must_use]
    pub fn of_read(self) -> Self {
        self.unknown_if(false)
    }

    /// Too much is under way; nothing of this was begun.
    #[must_use]
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::new(Code::ResourceExhausted, "overloaded", message).retry_after(100)
    }

    /// The request did not come in time; nothing of it was begun.
    #[must_use]
    pub fn request_late() -> Self {
        Self::new(Code::DeadlineExceeded, "deadline", "the request did not come in time")
    }

    /// A message has more than so many bytes.
    #[must_use]
    pub fn too_large(bytes_max: usize) -> Self {
        Self::new(Code::ResourceExhausted, "too_long", format!("message is larger than {bytes_max} bytes"))
    }

    /// There is no such method.
    #[must_use]
    pub fn unknown_method() -> Self {
        Self::new(Code::Unimplemented, "unknown_command", "no such method")
    }

    /// A page cursor was not made by this server.
    #[must_use]
    pub fn cursor() -> Self {
        Self::new(Code::InvalidArgument, "cursor_malformed", "the cursor is not one of ours")
    }

    /// gRPC code, as a number.
    #[must_use]
    pub const fn code(&self) -> i32 {
        self.code as i32
    }

    /// For people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// For programs.
    #[must_use]
    pub const fn info(&self) -> &ErrorInfo {
        &self.info
    }
}

/// The reason of errors on a deadline.
const DEADLINE: &str = "deadline";
/// Metadata that says whether the call may have happened.
const OUTCOME: &str = "tertulia-outcome";
const UNKNOWN: &str = "unknown";

/// What is said of a failed call's outcome. On a deadline always something: there a client expects the worst.
#[must_use]
pub fn outcome(info: &ErrorInfo) -> Option<&'static str> {
    match info.outcome_unknown {
        true => Some(UNKNOWN),
        false => (info.reason == DEADLINE).then_some("not_applied"),
    }
}

/// `google.rpc.Status`, as `grpc-status-details-bin` carries it.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let any = prost_types::Any {
            type_url: "type.googleapis.com/chat.v1.ErrorInfo".to_owned(),
            value: error.info.encode_to_vec(),
        };
        let details = RpcStatus { code: error.code as i32, message: error.message.clone(), details: vec![any] };
        let mut status = Self::with_details(error.code, error.message, details.encode_to_vec().into());
        let metadata = status.metadata_mut();
        if let Ok(reason) = MetadataValue::try_from(error.info.reason.as_str()) {
            metadata.insert("tertulia-reason", reason);
        }
        if error.info.retry_after_ms > 0 {
            metadata.insert("tertulia-retry-after-ms", error.info.retry_after_ms.into());
        }
        if let Some(outcome) = outcome(&error.info) {
            metadata.insert(OUTCOME, MetadataValue::from_static(outcome));
        }
        status
    }
}

/// What prost says before it says which field it could not read.
const NOT_DECODED: &str = "failed to decode Protobuf message: ";

/// How the gRPC library begins to say that the bytes of a request are no frames, or cannot be decompressed.
const NOT_FRAMED: [&str; 4] = [
    "protocol error: received message with",
    "Unexpected EOF decoding",
    "Error decompressing",
    "Missing request message",
];
/// How it begins to say that it does not know a compression.
const NOT_DECOMPRESSED: &str = "Content is compressed with";

/// Gives a reason to what the gRPC library refuses by itself: a message that is none or is too large, a method that is
/// not there, its own failures. What the protocol layers refuse has one, and gets its details. All else is as it was.
#[must_use]
pub fn with_reason(status: Status) -> Status {
    if let Some(reason) = status.metadata().get("tertulia-reason") {
        let known = REASONS.iter().find(|known| status.details().is_empty() && reason == **known);
        return known.copied().map(|reason| with_details(&status, reason)).unwrap_or(status);
    }
    let message = status.message();
    let told = match status.code() {
        Code::Internal => {
            if let Some(why) = message.strip_prefix(NOT_DECODED) {
                let mut error = ApiError::new(Code::InvalidArgument, "malformed", message);
                error.info.field = unread_field(why);
                error
            } else if NOT_FRAMED.iter().any(|begin| message.starts_with(begin)) {
                // The code is the one that the protocol demands.
                ApiError::new(Code::Internal, "malformed", message)
            } else {
                tracing::error!(message, "a call failed in the gRPC library");
                ApiError::panicked(true)
            }
        }
        // The library's word for a message that was small on the way.
        Code::ResourceExhausted | Code::OutOfRange => ApiError::new(Code::ResourceExhausted, "too_long", message),
        Code::Unimplemented if message.starts_with(NOT_DECOMPRESSED) => {
            let mut told = Status::from(ApiError::new(Code::Unimplemented, "malformed", message));
            // Which ones it does know.
            if let Some(known) = status.metadata().get("grpc-accept-encoding") {
                told.metadata_mut().insert("grpc-accept-encoding", known.clone());
            }
            return told;
        }
        Code::Unimplemented => ApiError::new(Code::Unimplemented, "unknown_command", message),
        _ => return status,
    };
    told.into()
}

fn with_details(status: &Status, reason: &'static str) -> Status {
    let unknown = status.metadata().get(OUTCOME).is_some_and(|outcome| outcome == UNKNOWN);
    ApiError::new(status.code(), reason, status.message()).unknown_if(unknown).into()
}

/// The path of the field in `Inner.field: Request.field: why`, the innermost first; empty when there is none.
fn unread_field(why: &str) -> String {
    let mut names: Vec<&str> = why
        .split(": ")
        .map_while(|step| step.split_once('.').map(|(_, field)| field))
        .take_while(|field| !field.contains(' '))
        .collect();
    names.reverse();
    names.join(".")
}

/// [`with_reason`] for an answer that is nothing but a status.
pub fn response_with_reason(response: http::Response<axum::body::Body>) -> http::Response<axum::body::Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok => with_reason(status).into_http(),
        _ => response,
    }
}

impl From<Reject> for ApiError {
    fn from(reject: Reject) -> Self {
        let code = match &reject {
            Reject::Invalid { .. } => Code::InvalidArgument,
            Reject::RoomNotFound | Reject::MessageNotFound | Reject::MemberNotFound => Code::NotFound,
            Reject::RoleTooLow
            | Reject::NotYourMessage
            | Reject::SendNotAllowed
            | Reject::PartnerBlocked
            | Reject::NotAddable
            | Reject::AdminOnly => Code::PermissionDenied,
            Reject::ClientMessageIdReused | Reject::ClientRoomIdReused | Reject::ExternalRefTaken => {
                Code::AlreadyExists
            }
            Reject::RoomDeleted
            | Reject::MessageDeleted
            | Reject::WrongRoomType
            | Reject::TooManyMembers
            | Reject::TooManyPins
            | Reject::TooManyReactions
            | Reject::TooManyEdits
            | Reject::LastOwner => Code::FailedPrecondition,
        };
        let mut error = Self::new(code, reject.reason(), reject.to_string());
        if let Reject::Invalid { field, flaw, bounds } = reject {
            field.clone_into(&mut error.info.field);
            error.message = format!("{field}: {}{bounds}", describe(flaw));
        }
        error
    }
}

/// What callers are told of a store that is gone, or takes no writes.
const STORE_UNAVAILABLE: &str = "the store cannot be reached, or cannot write";

const fn describe(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Missing => "must be given",
        Flaw::TooLong => "too long",
        Flaw::TooMany => "too many",
        Flaw::OutOfRange => "out of range",
        Flaw::Malformed => "malformed",
        Flaw::NotAllowedHere => "not allowed here",
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let unknown = error.outcome() == Outcome::Unknown;
        let told = match error {
            CallError::Rejected(reject) => return reject.into(),
            CallError::Overloaded => {
                Self::new(Code::ResourceExhausted, "overloaded", "too much to do").retry_after(100)
            }
            CallError::RateLimited { retry_after_ms } => Self::rate_limited(retry_after_ms),
            CallError::Gone => Self::new(Code::Unavailable, "room_unavailable", "the room is moving").retry_after(100),
            CallError::Dropped => Self::new(Code::Unavailable, "outcome_unknown", "the room failed").retry_after(100),
            CallError::Deadline => return Self::deadline(true),
            CallError::Failed { retry_after_ms, is_of_store: true } => {
                Self::new(Code::Unavailable, "store_unavailable", STORE_UNAVAILABLE).retry_after(retry_after_ms)
            }
            CallError::Failed { retry_after_ms, is_of_store: false } => {
                Self::new(Code::Unavailable, "room_unavailable", "the room failed too often")
                    .retry_after(retry_after_ms)
            }
            CallError::TooManyStreams => {
                Self::new(Code::ResourceExhausted, "too_many_streams", "too many streams of this user")
            }
            CallError::Overtaken => Self::new(Code::Aborted, "stream_replaced", "another stream has this client id"),
            CallError::Draining => {
                Self::new(Code::Unavailable, "draining", "the server is going down").retry_after(1_000)
            }
            CallError::Store(error) => {
                static PACE: LinePace = LinePace::new();
                if let Some(left_out) = PACE.line() {
                    tracing::error!(error = %crate::error::Chain(&error), left_out, "a call failed in the store");
                }
                match error.kind() {
                    StoreErrorKind::Overloaded => {
                        Self::new(Code::ResourceExhausted, "overloaded", "too much to do").retry_after(100)
                    }
                    StoreErrorKind::Timeout | StoreErrorKind::Unavailable => {
                        Self::new(Code::Unavailable, "store_unavailable", STORE_UNAVAILABLE).retry_after(500)
                    }
                    StoreErrorKind::Fenced => {
                        Self::new(Code::Unavailable, "room_unavailable", "the room is moving").retry_after(100)
                    }
                    StoreErrorKind::Corrupt => Self::new(Code::DataLoss, "store_failed", "stored data cannot be read"),
                    StoreErrorKind::NotFound | StoreErrorKind::Conflict | StoreErrorKind::Invalid => {
                        Self::new(Code::Internal, "store_failed", "the store refused")
                    }
                }
            }
        };
        told.unknown_if(unknown)
    }
}

impl From<crate::storage::StoreError> for ApiError {
    fn from(error: crate::storage::StoreError) -> Self {
        CallError::from(error).into()
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let reason = error.reason();
        let code = if reason == "auth_unavailable" { Code::Unavailable } else { Code::Unauthenticated };
        let message = match reason {
            "token_missing" => "a bearer token is needed",
            "token_expired" => "the token has expired",
            "auth_unavailable" => "the keys cannot be had just now",
            _ => "the token is not valid",
        };
        Self::new(code, reason, message)
    }
}
