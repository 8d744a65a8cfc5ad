//! What a browser needs before it calls us from a page of another origin.

use std::time::Duration;

use http::{HeaderName, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Response headers of the three protocols that a page's script may read.
const EXPOSED: [HeaderName; 7] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("connect-content-encoding"),
    HeaderName::from_static("connect-accept-encoding"),
    header::CONTENT_ENCODING,
];

/// How long a browser may remember the answer to a preflight; Chromium caps it at this.
const PREFLIGHT_AGE: Duration = Duration::from_secs(2 * 60 * 60);

/// The layer for Connect and gRPC-Web, to be put outside of [`Connect`](super::Connect).
///
/// Scripts may send every header that they ask for (metadata is open-ended, and `*` would not cover `authorization`),
/// and read the protocols' headers and those in `exposed` (name trailers of unary calls with their `trailer-` prefix).
/// Credentials in cookies are not allowed: calls are authorized by a header.
pub fn cors(origins: AllowOrigin, exposed: &[HeaderName]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED.iter().chain(exposed).cloned().collect::<Vec<_>>())
        .max_age(PREFLIGHT_AGE)
}
