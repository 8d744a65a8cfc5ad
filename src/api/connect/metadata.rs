//! Headers: which are metadata, which belong to a protocol, and the deadline among them.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;

use super::error::{Code, ConnectError};

const TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
/// Before the names of a unary answer's trailers, which HTTP/1.1 clients cannot be given as such.
const TRAILER_PREFIX: &str = "trailer-";

/// When a call must be over.
#[derive(Debug, Clone)]
pub(super) struct Deadline {
    at: Instant,
    grpc_timeout: HeaderValue,
}

impl Deadline {
    /// Reads `connect-timeout-ms`.
    ///
    /// # Errors
    /// `invalid_argument` unless it is a number of at most ten digits.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, ConnectError> {
        let Some(value) = headers.get(TIMEOUT) else {
            return Ok(None);
        };
        let digits =
            value.to_str().ok().filter(|text| text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit()));
        let millis = digits.and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| {
            ConnectError::new(Code::InvalidArgument, "connect-timeout-ms must be a number of at most ten digits")
        })?;
        // gRPC writes at most eight digits, so long timeouts go in seconds.
        let text = if millis < 100_000_000 { format!("{millis}m") } else { format!("{}S", millis / 1000) };
        let grpc_timeout = HeaderValue::from_str(&text)
            .map_err(|cause| ConnectError::new(Code::Internal, format!("timeout cannot be forwarded: {cause}")))?;
        Ok(Some(Self { at: Instant::now() + Duration::from_millis(millis), grpc_timeout }))
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }
}

/// Turns a Connect request's headers into those of a gRPC request. All of the client's own metadata stays.
pub(super) fn to_grpc_request(headers: &mut HeaderMap, deadline: Option<&Deadline>) {
    retain(headers, |name| !is_of_connection(name) && !is_of_content(name) && !is_of_protocol(name));
    headers.insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    if let Some(deadline) = deadline {
        headers.insert(GRPC_TIMEOUT, deadline.grpc_timeout.clone());
    }
}

/// Leaves only metadata of a gRPC answer's headers or trailers.
pub(super) fn keep_metadata(fields: &mut HeaderMap) {
    retain(fields, |name| !is_of_connection(name) && !is_of_content(name) && !is_of_protocol(name));
}

/// Adds trailers to a unary answer's headers, each under its prefix.
pub(super) fn append_trailers(headers: &mut HeaderMap, trailers: &HeaderMap) {
    for (name, value) in trailers {
        if let Ok(prefixed) = HeaderName::try_from(format!("{TRAILER_PREFIX}{name}")) {
            headers.append(prefixed, value.clone());
        }
    }
}

/// Metadata for the JSON that ends a stream.
pub(super) fn to_json(fields: &HeaderMap) -> BTreeMap<&str, Vec<String>> {
    let mut metadata = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in fields {
        metadata.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    metadata
}

/// Whether the answer is gRPC's; anything else comes from a middleware.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn retain(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| !keep(name)).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

fn is_of_connection(name: &HeaderName) -> bool {
    [header::CONNECTION, header::TE, header::TRAILER, header::TRANSFER_ENCODING, header::UPGRADE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

fn is_of_content(name: &HeaderName) -> bool {
    [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::ACCEPT_ENCODING, header::EXPECT]
        .contains(name)
}

/// A client must not smuggle `grpc-…` through Connect, either: the inner service would obey it.
fn is_of_protocol(name: &HeaderName) -> bool {
    name.as_str().starts_with("grpc-") || name.as_str().starts_with("connect-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_metadata_reaches_the_inner_service() {
        let mut sent = headers(&[
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("connect-protocol-version", "1"),
            ("grpc-encoding", "smuggled"),
            ("authorization", "Bearer x"),
            ("client-id", "phone"),
        ]);
        to_grpc_request(&mut sent, None);
        let expected = headers(&[
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("authorization", "Bearer x"),
            ("client-id", "phone"),
        ]);
        assert_eq!(sent, expected);
    }

    #[test]
    fn timeouts_fit_into_grpc() {
        for (sent, expected) in [("0", "0m"), ("99999999", "99999999m"), ("9999999999", "9999999S")] {
            let deadline = Deadline::from_headers(&headers(&[("connect-timeout-ms", sent)])).unwrap().unwrap();
            assert_eq!(deadline.grpc_timeout, expected);
        }
        for refused in ["", "-1", "1.5", "10000000000", "+1"] {
            let deadline = Deadline::from_headers(&headers(&[("connect-timeout-ms", refused)]));
            assert!(deadline.is_err(), "{refused}");
        }
    }

    #[test]
    fn trailers_of_unary_answers_are_prefixed() {
        let mut answer = HeaderMap::new();
        let mut trailers = headers(&[("cost", "1")]);
        trailers.append("cost", HeaderValue::from_static("2"));
        append_trailers(&mut answer, &trailers);
        assert_eq!(answer.get_all("trailer-cost").iter().collect::<Vec<_>>(), ["1", "2"]);
    }
}
