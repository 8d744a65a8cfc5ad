//! From a Connect request to a gRPC request: the one message of a unary or server-streaming call.

use axum::body::Body;
use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method as Verb, Request, Uri, Version, header, request::Parts, uri::PathAndQuery};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use percent_encoding::percent_decode;

use super::{
    codec::Codec,
    compression::Compression,
    envelope::{self, Envelope, PREFIX_LEN, Splitter},
    error::{Code, ConnectError},
    metadata::{self, Deadline},
};

const VERSION: HeaderName = HeaderName::from_static("connect-protocol-version");
const STREAM_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");

/// URL-safe alphabet, with or without padding.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// In the extensions of every request that came by Connect, for services that care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectCall {
    get_query: Option<String>,
}

impl ConnectCall {
    /// The query of a call by GET, still encoded; `None` for a call by POST.
    #[must_use]
    pub fn get_query(&self) -> Option<&str> {
        self.get_query.as_deref()
    }
}

/// The decoded request: its codec and its message as the client wrote it, without compression.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) codec: Codec,
    pub(super) bytes: Bytes,
}

/// Refuses versions of the protocol that we do not know.
pub(super) fn check_version(headers: &HeaderMap) -> Result<(), ConnectError> {
    match headers.get(VERSION) {
        Some(version) if version != "1" => {
            Err(ConnectError::new(Code::InvalidArgument, "connect-protocol-version must be 1"))
        }
        _ => Ok(()),
    }
}

/// The message of a unary POST.
pub(super) async fn read_unary(
    headers: &HeaderMap,
    body: Body,
    codec: Codec,
    max_bytes: usize,
) -> Result<Message, ConnectError> {
    let compression = declared(headers, &header::CONTENT_ENCODING)?;
    let bytes = read_body(body, max_bytes, max_bytes).await?;
    Ok(Message { codec, bytes: compression.decompress(bytes, max_bytes)? })
}

/// The message of a GET.
pub(super) fn read_query(query: &str, max_bytes: usize) -> Result<Message, ConnectError> {
    let invalid = |message: &str| ConnectError::new(Code::InvalidArgument, message);
    let parameter = |name: &str| {
        let pair = query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        });
        pair.map(|value| percent_decode(value.replace('+', " ").as_bytes()).collect::<Vec<u8>>())
    };
    if parameter("connect").is_some_and(|version| version != b"v1") {
        return Err(invalid("query parameter connect must be v1"));
    }
    let encoding = parameter("encoding").ok_or_else(|| invalid("query parameter encoding is missing"))?;
    let codec = std::str::from_utf8(&encoding)
        .ok()
        .and_then(Codec::by_name)
        .ok_or_else(|| invalid("query parameter encoding must be json or proto"))?;
    let compression = Compression::declared(parameter("compression").as_deref())?;
    let mut message = parameter("message").ok_or_else(|| invalid("query parameter message is missing"))?;
    if parameter("base64").is_some_and(|flag| flag == b"1") {
        message = BASE64_URL.decode(&message).map_err(|_| invalid("query parameter message is not URL-safe base64"))?;
    }
    if message.len() > max_bytes {
        return Err(ConnectError::too_large(max_bytes));
    }
    Ok(Message { codec, bytes: compression.decompress(message.into(), max_bytes)? })
}

/// The one message of a server-streaming call.
pub(super) async fn read_enveloped(
    headers: &HeaderMap,
    body: Body,
    codec: Codec,
    max_bytes: usize,
) -> Result<Message, ConnectError> {
    let compression = declared(headers, &STREAM_ENCODING)?;
    let body = read_body(body, max_bytes.saturating_add(PREFIX_LEN), max_bytes).await?;
    let mut splitter = Splitter::default();
    splitter.push(&body);
    let (first, more) = (splitter.next(), splitter.next());
    if !splitter.is_empty() {
        return Err(ConnectError::new(Code::InvalidArgument, "the request ends within a message"));
    }
    // gRPC calls a wrong number of messages "unimplemented".
    let (Some(envelope), None) = (first, more) else {
        return Err(ConnectError::new(Code::Unimplemented, "the method takes exactly one request message"));
    };
    let bytes = open(envelope, compression, max_bytes)?;
    Ok(Message { codec, bytes })
}

fn open(envelope: Envelope, compression: Compression, max_bytes: usize) -> Result<Bytes, ConnectError> {
    let message = match (envelope.flags, compression) {
        (0, _) => envelope.message,
        (envelope::COMPRESSED, Compression::Gzip) => compression.decompress(envelope.message, max_bytes)?,
        (envelope::COMPRESSED, Compression::Identity) => {
            return Err(ConnectError::new(Code::Internal, "a message is compressed, but no compression was declared"));
        }
        (flags, _) => {
            return Err(ConnectError::new(Code::InvalidArgument, format!("invalid envelope flags {flags}")));
        }
    };
    if message.len() > max_bytes { Err(ConnectError::too_large(max_bytes)) } else { Ok(message) }
}

fn declared(headers: &HeaderMap, name: &HeaderName) -> Result<Compression, ConnectError> {
    Compression::declared(headers.get(name).map(|value| value.as_bytes()))
}

async fn read_body(body: Body, limit: usize, max_bytes: usize) -> Result<Bytes, ConnectError> {
    let collected = Limited::new(body, limit).collect().await.map_err(|cause| {
        if cause.is::<LengthLimitError>() {
            ConnectError::too_large(max_bytes)
        } else if let Some(refused) = refusal(&*cause) {
            refused
        } else {
            ConnectError::new(Code::InvalidArgument, format!("the request could not be read: {cause}"))
        }
    })?;
    Ok(collected.to_bytes())
}

/// What the one who let the call in says of its body, as gRPC's layers say it: by a status among the causes.
fn refusal(cause: &(dyn std::error::Error + 'static)) -> Option<ConnectError> {
    let mut causes = std::iter::successors(Some(cause), |cause| cause.source());
    causes.find_map(|cause| cause.downcast_ref::<tonic::Status>()).map(ConnectError::from_status)
}

/// The gRPC request for the inner service, with one protobuf message.
///
/// # Errors
/// `resource_exhausted` when the message is larger than a frame can be.
pub(super) fn to_grpc(
    mut parts: Parts,
    message: &[u8],
    deadline: Option<&Deadline>,
) -> Result<Request<Body>, ConnectError> {
    let mut frame = BytesMut::new();
    envelope::put(&mut frame, 0, message).ok_or_else(|| ConnectError::too_large(message.len()))?;
    let get_query = (parts.method == Verb::GET).then(|| parts.uri.query().unwrap_or_default().to_owned());
    parts.extensions.insert(ConnectCall { get_query });
    parts.method = Verb::POST;
    // gRPC-Web's layer refuses other requests than its own over HTTP/1.1.
    parts.version = Version::HTTP_2;
    parts.uri = without_query(parts.uri);
    metadata::to_grpc_request(&mut parts.headers, deadline);
    Ok(Request::from_parts(parts, Body::from(frame.freeze())))
}

fn without_query(uri: Uri) -> Uri {
    if uri.query().is_none() {
        return uri;
    }
    let path = PathAndQuery::try_from(uri.path()).ok();
    let mut parts = uri.into_parts();
    parts.path_and_query = path;
    Uri::from_parts(parts).unwrap_or_default()
}
