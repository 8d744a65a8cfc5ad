//! Errors: from gRPC's status to Connect's JSON and HTTP status.

use axum::body::Body;
use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use percent_encoding::percent_decode;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::Any;
use serde::Serialize;
use tertulia_proto::chat::v1::ErrorInfo;

use super::{compression, metadata};
use crate::api::status::outcome;

pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const REASON: HeaderName = HeaderName::from_static("tertulia-reason");
const OUTCOME: HeaderName = HeaderName::from_static("tertulia-outcome");
/// The message that carries a reason; an API whose descriptors lack it has none.
const ERROR_INFO: &str = "chat.v1.ErrorInfo";

/// Standard alphabet; writes no padding, reads with or without.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// gRPC's codes but OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Self; 16] = [
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code of a `grpc-status` value that is not `0`; what is no code is unknown.
    fn from_grpc(value: &[u8]) -> Self {
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<usize>().ok());
        let index = number.and_then(|number| number.checked_sub(1));
        index.and_then(|index| Self::ALL.get(index)).copied().unwrap_or(Self::Unknown)
    }

    /// The code of an answer that carries no gRPC status, such as a middleware's.
    fn from_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    /// The name on the wire.
    fn name(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// The HTTP status of a unary answer.
    fn http_status(self) -> StatusCode {
        let status = match self {
            // nginx's "client closed request"; HTTP itself has no name for it.
            Self::Canceled => 499,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// `google.rpc.Status`, which gRPC puts into a trailer. Code and message are repeated there; we read the trailers'.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConnectError {
    code: Code,
    message: String,
    details: Vec<Any>,
    /// Of what is refused here, before a service is asked.
    reason: Option<&'static str>,
    /// Whether the call may have happened all the same.
    outcome_unknown: bool,
    /// What a status of gRPC's carries beside.
    metadata: Box<HeaderMap>,
    /// The request's field that is wrong, if it is one.
    field: String,
}

impl ConnectError {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        let reason = match code {
            Code::InvalidArgument => Some("malformed"),
            Code::DeadlineExceeded => Some("deadline"),
            Code::ResourceExhausted => Some("too_long"),
            Code::Unimplemented => Some("unknown_command"),
            Code::Internal => Some("internal"),
            _ => None,
        };
        let (details, metadata) = (Vec::new(), Box::default());
        let field = String::new();
        Self { code, message: message.into(), details, reason, outcome_unknown: false, metadata, field }
    }

    /// The same, about a field of the request and with a reason of its own.
    pub(super) fn about(self, field: String, reason: &'static str) -> Self {
        Self { field, reason: Some(reason), ..self }
    }

    /// The reason and what carries it, for APIs that know of reasons.
    fn own_info(&self, pool: &DescriptorPool) -> Option<(&'static str, ErrorInfo)> {
        let reason = self.reason?;
        pool.get_message_by_name(ERROR_INFO)?;
        let info = ErrorInfo {
            reason: reason.to_owned(),
            outcome_unknown: self.outcome_unknown,
            field: self.field.clone(),
            ..ErrorInfo::default()
        };
        Some((reason, info))
    }

    /// What an error of our own says beside its JSON, as the services' errors do.
    pub(super) fn own_metadata(&self, pool: &DescriptorPool) -> HeaderMap {
        let mut metadata = HeaderMap::new();
        if let Some((reason, info)) = self.own_info(pool) {
            metadata.insert(REASON, HeaderValue::from_static(reason));
            if let Some(outcome) = outcome(&info) {
                metadata.insert(OUTCOME, HeaderValue::from_static(outcome));
            }
        }
        metadata
    }

    pub(super) fn too_large(max_bytes: usize) -> Self {
        Self::new(Code::ResourceExhausted, format!("message is larger than {max_bytes} bytes"))
    }

    /// The deadline of a call that may have happened or has not.
    pub(super) fn deadline(may_have_happened: bool) -> Self {
        let error = Self::new(Code::DeadlineExceeded, "the call's deadline has passed");
        Self { outcome_unknown: may_have_happened, ..error }
    }

    /// The code of the server has a mistake, by which the call may have ended half done.
    pub(super) fn panicked(may_have_happened: bool) -> Self {
        let error = Self::new(Code::Internal, "a mistake of the server");
        Self { outcome_unknown: may_have_happened, ..error }
    }

    /// For an answer that is not gRPC at all.
    pub(super) fn from_http(status: StatusCode) -> Self {
        Self::new(Code::from_http(status), format!("HTTP status {status} instead of a gRPC answer"))
    }

    /// How the call ended according to headers or trailers; nothing if they do not say.
    pub(super) fn from_grpc(fields: &HeaderMap) -> Option<Result<(), Self>> {
        let status = fields.get(GRPC_STATUS)?;
        if status == "0" {
            return Some(Ok(()));
        }
        let message = fields
            .get(GRPC_MESSAGE)
            .map_or_else(String::new, |value| percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned());
        let details = fields
            .get(GRPC_DETAILS)
            .and_then(|value| BASE64.decode(value.as_bytes()).ok())
            .and_then(|bytes| RpcStatus::decode(bytes.as_slice()).ok())
            .map_or_else(Vec::new, |status| status.details);
        let (code, metadata) = (Code::from_grpc(status.as_bytes()), Box::default());
        let field = String::new();
        Some(Err(Self { code, message, details, reason: None, outcome_unknown: false, metadata, field }))
    }

    /// For what a layer of gRPC's said of a request's body.
    pub(super) fn from_status(status: &tonic::Status) -> Self {
        let mut fields = HeaderMap::new();
        let written = status.add_header(&mut fields);
        let told = written.ok().and_then(|()| Self::from_grpc(&fields)).and_then(Result::err);
        let mut error = told.unwrap_or_else(|| Self::new(Code::Internal, "the request could not be read"));
        metadata::keep_metadata(&mut fields);
        *error.metadata = fields;
        error
    }

    /// What is told beside the error itself.
    pub(super) fn take_metadata(&mut self) -> HeaderMap {
        std::mem::take(&mut *self.metadata)
    }

    /// The JSON object.
    pub(super) fn to_wire<'a>(&'a self, pool: &DescriptorPool) -> WireError<'a> {
        let own = self.own_info(pool).map(|(_, info)| Any {
            type_url: format!("type.googleapis.com/{ERROR_INFO}"),
            value: info.encode_to_vec(),
        });
        let details = self.details.iter().chain(&own).map(|detail| WireDetail::new(detail, pool)).collect();
        WireError { code: self.code.name(), message: &self.message, details }
    }

    /// The whole answer to a unary call.
    pub(super) fn to_response(&self, pool: &DescriptorPool) -> Response<Body> {
        self.to_response_with(self.code.http_status(), pool)
    }

    /// The whole answer, with a status of HTTP's own making (404, 405, 415).
    pub(super) fn to_response_with(&self, status: StatusCode, pool: &DescriptorPool) -> Response<Body> {
        let json = serde_json::to_vec(&self.to_wire(pool)).unwrap_or_default();
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(compression::ACCEPTED));
        headers.extend(self.own_metadata(pool));
        response
    }
}

/// An error as Connect writes it.
#[derive(Debug, Serialize)]
pub(super) struct WireError<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<WireDetail>,
}

#[derive(Debug, Serialize)]
struct WireDetail {
    r#type: String,
    value: String,
    /// For people who read the answer; programs decode `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<serde_json::Value>,
}

impl WireDetail {
    fn new(detail: &Any, pool: &DescriptorPool) -> Self {
        let name = detail.type_url.rsplit('/').next().unwrap_or_default();
        let debug = pool
            .get_message_by_name(name)
            .and_then(|message| DynamicMessage::decode(message, detail.value.as_slice()).ok())
            .and_then(|message| serde_json::to_value(&message).ok());
        Self { r#type: name.to_owned(), value: BASE64.encode(&detail.value), debug }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grpc_code_has_its_name_and_status() {
        let expected = [
            (1, "canceled", 499),
            (2, "unknown", 500),
            (3, "invalid_argument", 400),
            (4, "deadline_exceeded", 504),
            (5, "not_found", 404),
            (6, "already_exists", 409),
            (7, "permission_denied", 403),
            (8, "resource_exhausted", 429),
            (9, "failed_precondition", 400),
            (10, "aborted", 409),
            (11, "out_of_range", 400),
            (12, "unimplemented", 501),
            (13, "internal", 500),
            (14, "unavailable", 503),
            (15, "data_loss", 500),
            (16, "unauthenticated", 401),
            (17, "unknown", 500),
        ];
        for (number, name, status) in expected {
            let code = Code::from_grpc(number.to_string().as_bytes());
            assert_eq!((code.name(), code.http_status().as_u16()), (name, status), "grpc-status {number}");
        }
        assert_eq!(Code::from_grpc(b"not a number"), Code::Unknown);
    }

    #[test]
    fn the_message_is_percent_decoded() {
        let mut trailers = HeaderMap::new();
        assert_eq!(ConnectError::from_grpc(&trailers), None);
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("5"));
        trailers.insert(GRPC_MESSAGE, HeaderValue::from_static("no room %F0%9F%9A%AA"));
        let error = ConnectError::from_grpc(&trailers).unwrap().unwrap_err();
        assert_eq!(error, ConnectError::new(Code::NotFound, "no room 🚪"));
    }
}
