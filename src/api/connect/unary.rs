//! Unary calls: one message each way, the error in the body, trailers among the headers.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use tower::Service;

use super::{
    Shared,
    codec::Codec,
    compression::Compression,
    envelope::Splitter,
    error::{Code, ConnectError},
    metadata::{self, Deadline},
    request::{self, Message},
    route::Call,
    strict,
};
use crate::api::deadline::Begun;

/// When to try again, in milliseconds.
const RETRY_AFTER_MS: &str = "tertulia-retry-after-ms";

/// What the inner service answered: metadata and, if all went well, the message.
struct Answer {
    headers: HeaderMap,
    /// Goes on with what is made of the answer.
    extensions: Extensions,
    trailers: HeaderMap,
    outcome: Result<Bytes, ConnectError>,
}

impl Answer {
    fn failed(mut error: ConnectError) -> Self {
        let (headers, trailers) = (error.take_metadata(), HeaderMap::new());
        Self { headers, extensions: Extensions::new(), trailers, outcome: Err(error) }
    }
}

/// Answers a unary call. Dropping the future drops the inner call.
pub(super) async fn serve<S>(
    inner: S,
    shared: Arc<Shared>,
    call: Call,
    mut request: Request<Body>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let begun = Begun::of(request.extensions_mut());
    let by_get = request.method() == http::Method::GET;
    let accepted = accepted(request.headers());
    let deadline = match Deadline::from_headers(request.headers()) {
        Ok(deadline) => deadline,
        Err(error) => return Ok(error.to_response(shared.methods.pool())),
    };
    let mut codec = call.codec.unwrap_or(Codec::Json);
    let exchange = exchange(inner, &shared, &call, request, deadline.as_ref(), &mut codec);
    let answer = match &deadline {
        None => exchange.await?,
        Some(deadline) => match tokio::time::timeout_at(deadline.at(), exchange).await {
            Ok(answer) => answer?,
            Err(_) => Answer::failed(ConnectError::deadline(!call.method.safe && begun.may_have_happened())),
        },
    };
    let mut response = respond(&shared, &call, codec, accepted, answer);
    if by_get {
        // Caches must not give one client's encoding to another.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    Ok(response)
}

/// Reads the request, calls the inner service, reads its answer.
async fn exchange<S>(
    mut inner: S,
    shared: &Shared,
    call: &Call,
    request: Request<Body>,
    deadline: Option<&Deadline>,
    codec: &mut Codec,
) -> Result<Answer, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    if let Err(error) = request::check_version(request.headers()) {
        return Ok(Answer::failed(error));
    }
    let request = match shared.enter(request).await {
        Ok(request) => request,
        Err(refusal) => return Ok(read_answer(refusal).await),
    };
    let (parts, body) = request.into_parts();
    let max_bytes = shared.options.max_request_bytes;
    let grpc = async {
        let strict = strict::asked(&parts.headers, shared.options.strict_json)?;
        let message = match call.codec {
            Some(codec) => request::read_unary(&parts.headers, body, codec, max_bytes).await?,
            None => request::read_query(parts.uri.query().unwrap_or_default(), max_bytes)?,
        };
        let Message { codec: named, bytes } = message;
        *codec = named;
        request::to_grpc(parts, &named.decode(&call.method, strict, bytes)?, deadline)
    };
    match grpc.await {
        Ok(grpc) => Ok(read_answer(inner.call(grpc).await?).await),
        Err(error) => Ok(Answer::failed(error)),
    }
}

/// Takes a gRPC answer apart. The status is in the headers when there is nothing else, in the trailers otherwise.
async fn read_answer(response: Response<Body>) -> Answer {
    let (mut parts, body) = response.into_parts();
    if !metadata::is_grpc(&parts.headers) {
        return Answer::failed(ConnectError::from_http(parts.status));
    }
    let in_headers = ConnectError::from_grpc(&parts.headers);
    metadata::keep_metadata(&mut parts.headers);
    let (headers, extensions) = (parts.headers, parts.extensions);
    let mut answer = Answer { headers, extensions, trailers: HeaderMap::new(), outcome: Ok(Bytes::new()) };
    // The service holds its one response message in memory anyway, so collecting it needs no bound of its own.
    let collected = match body.collect().await {
        Ok(collected) => collected,
        Err(cause) => {
            answer.outcome = Err(ConnectError::new(Code::Internal, format!("the response broke off: {cause}")));
            return answer;
        }
    };
    let mut trailers = collected.trailers().cloned().unwrap_or_default();
    let status = ConnectError::from_grpc(&trailers).or(in_headers);
    metadata::keep_metadata(&mut trailers);
    answer.trailers = trailers;
    answer.outcome = match status {
        Some(Ok(())) => only_message(&collected.to_bytes()),
        Some(Err(error)) => Err(error),
        None => Err(ConnectError::new(Code::Internal, "the response has no status")),
    };
    answer
}

fn only_message(body: &[u8]) -> Result<Bytes, ConnectError> {
    let mut splitter = Splitter::default();
    splitter.push(body);
    match (splitter.next(), splitter.is_empty()) {
        (Some(envelope), true) if envelope.flags == 0 => Ok(envelope.message),
        _ => Err(ConnectError::new(Code::Internal, "the response is not exactly one plain message")),
    }
}

/// Writes the answer as Connect.
fn respond(shared: &Shared, call: &Call, codec: Codec, accepted: Compression, answer: Answer) -> Response<Body> {
    let encoded = answer.outcome.and_then(|message| {
        let message = codec.encode(&call.method.output, message)?;
        let compress = accepted == Compression::Gzip && message.len() >= shared.options.compress_min_bytes;
        if compress { Ok((accepted.compress(message)?, true)) } else { Ok((message, false)) }
    });
    let mut response = match encoded {
        Ok((message, compressed)) => {
            let mut response = Response::new(Body::from(message));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(codec.unary_type()));
            if compressed {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Err(error) => error.to_response(shared.methods.pool()),
    };
    *response.extensions_mut() = answer.extensions;
    let headers = response.headers_mut();
    for (name, value) in &answer.headers {
        headers.append(name, value.clone());
    }
    metadata::append_trailers(headers, &answer.trailers);
    if let Some(seconds) = retry_after(&answer.headers).or_else(|| retry_after(&answer.trailers)) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// When to try again, for clients that know HTTP alone: whole seconds, and never none.
fn retry_after(fields: &HeaderMap) -> Option<u64> {
    let ms: u64 = fields.get(RETRY_AFTER_MS)?.to_str().ok()?.parse().ok()?;
    Some(ms.div_ceil(1_000).max(1))
}

fn accepted(headers: &HeaderMap) -> Compression {
    let mut lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    if lists.any(|list| Compression::accepted(list) == Compression::Gzip) {
        Compression::Gzip
    } else {
        Compression::Identity
    }
}
