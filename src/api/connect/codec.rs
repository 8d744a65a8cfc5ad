//! The two encodings of a message, JSON and protobuf. Inside, a message is always protobuf.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor};

use super::{
    error::{Code, ConnectError},
    method::Method,
    strict::{self, Checked},
};

/// How the client writes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// Canonical proto3 JSON.
    Json,
    /// Protobuf's binary form.
    Proto,
}

impl Codec {
    /// The codec named `json` or `proto`.
    pub(super) fn by_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "proto" => Some(Self::Proto),
            _ => None,
        }
    }

    /// The content type of a unary message.
    pub(super) fn unary_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Proto => "application/proto",
        }
    }

    /// The content type of a stream of messages.
    pub(super) fn stream_type(self) -> &'static str {
        match self {
            Self::Json => "application/connect+json",
            Self::Proto => "application/connect+proto",
        }
    }

    /// A client's message as protobuf. Protobuf is not checked here: the inner service decodes it anyway.
    ///
    /// # Errors
    /// `invalid_argument` when JSON is malformed, does not fit the type, or names an enum's value that does not exist.
    /// Unknown fields are ignored, as in protobuf (a newer client may talk to an older server), unless `strict`.
    pub(super) fn decode(self, method: &Method, strict: bool, body: Bytes) -> Result<Bytes, ConnectError> {
        if self == Self::Proto {
            return Ok(body);
        }
        let message = &method.input;
        let invalid = |cause: serde_json::Error| {
            ConnectError::new(
                Code::InvalidArgument,
                format!("message is not valid JSON for {}: {cause}", message.full_name()),
            )
        };
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        if strict || method.has_enums {
            let mut value: serde_json::Value = serde_json::from_slice(&body).map_err(invalid)?;
            if strict::check(message, &mut value, strict)? == Checked::Changed {
                let decoded = DynamicMessage::deserialize_with_options(message.clone(), value, &options);
                return Ok(decoded.map_err(invalid)?.encode_to_vec().into());
            }
        }
        // From the text itself, so that the error says where in it.
        let mut json = serde_json::Deserializer::from_slice(&body);
        let decoded =
            DynamicMessage::deserialize_with_options(message.clone(), &mut json, &options).map_err(invalid)?;
        json.end().map_err(invalid)?;
        Ok(decoded.encode_to_vec().into())
    }

    /// A protobuf message in the client's encoding.
    ///
    /// # Errors
    /// `internal` when the inner service sent something that its descriptor does not describe.
    pub(super) fn encode(self, message: &MessageDescriptor, body: Bytes) -> Result<Bytes, ConnectError> {
        if self == Self::Proto {
            return Ok(body);
        }
        let internal = |cause: &dyn std::fmt::Display| {
            ConnectError::new(Code::Internal, format!("response cannot be written as JSON: {cause}"))
        };
        let decoded = DynamicMessage::decode(message.clone(), body).map_err(|cause| internal(&cause))?;
        Ok(serde_json::to_vec(&decoded).map_err(|cause| internal(&cause))?.into())
    }
}
