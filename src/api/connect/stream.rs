//! Server-streaming calls: enveloped messages, and a last envelope with the error and the trailers.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::{Body as _, Frame};
use prost_reflect::MessageDescriptor;
use serde::Serialize;
use tokio::time::Sleep;
use tower::Service;

use super::{
    Shared,
    codec::Codec,
    compression::{self, Compression},
    envelope::{self, Envelope, Splitter},
    error::{Code, ConnectError, WireError},
    metadata::{self, Deadline},
    method::Shape,
    request,
    route::Call,
    strict,
};
use crate::telemetry::panics;

const CONTENT_ENCODING: HeaderName = HeaderName::from_static("connect-content-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

/// Streams from the server are reads: one that ran into its deadline has changed nothing.
const MAY_HAVE_HAPPENED: bool = false;

/// Answers a streaming call; the response streams on after this returns. Dropping its body drops the inner stream.
pub(super) async fn serve<S>(
    inner: S,
    shared: Arc<Shared>,
    call: Call,
    request: Request<Body>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let codec = call.codec.unwrap_or(Codec::Proto);
    let accepted = accepted(request.headers());
    let deadline = Deadline::from_headers(request.headers());
    let opened = match &deadline {
        Ok(None) => open(inner, &shared, &call, codec, request, None).await?,
        Ok(Some(deadline)) => {
            let opening = open(inner, &shared, &call, codec, request, Some(deadline));
            match tokio::time::timeout_at(deadline.at(), opening).await {
                Ok(opened) => opened?,
                Err(_) => Err(ConnectError::deadline(MAY_HAVE_HAPPENED)),
            }
        }
        Err(error) => Err(error.clone()),
    };
    let (headers, extensions, source) = match opened {
        Ok(mut response) => {
            let extensions = std::mem::take(response.extensions_mut());
            let (headers, source) = begin(response);
            (headers, extensions, source)
        }
        Err(mut error) => {
            let metadata = error.take_metadata();
            (HeaderMap::new(), Extensions::new(), Source::Ended(Err(error), metadata))
        }
    };
    let body = Translator {
        source,
        splitter: Splitter::default(),
        deadline: deadline.ok().flatten().map(|deadline| Box::pin(tokio::time::sleep_until(deadline.at()))),
        output: call.method.output,
        codec,
        accepted,
        shared,
    };
    let mut response = respond(headers, codec, accepted, body);
    *response.extensions_mut() = extensions;
    Ok(response)
}

/// How a call is told of an error that is not its service's.
pub(super) struct Refusal {
    shared: Arc<Shared>,
    output: MessageDescriptor,
    codec: Codec,
    accepted: Compression,
}

impl Refusal {
    /// Of a call that is about to be served.
    pub(super) fn of(shared: &Arc<Shared>, call: &Call, request: &Request<Body>) -> Self {
        let (codec, accepted) = (call.codec.unwrap_or(Codec::Proto), accepted(request.headers()));
        Self { shared: Arc::clone(shared), output: call.method.output.clone(), codec, accepted }
    }

    /// The whole answer.
    pub(super) fn told(self, error: ConnectError) -> Response<Body> {
        let Self { shared, output, codec, accepted } = self;
        let source = Source::Ended(Err(error), HeaderMap::new());
        let body =
            Translator { source, splitter: Splitter::default(), deadline: None, output, codec, accepted, shared };
        respond(HeaderMap::new(), codec, accepted, body)
    }
}

/// Reads the request message and calls the inner service.
async fn open<S>(
    mut inner: S,
    shared: &Shared,
    call: &Call,
    codec: Codec,
    request: Request<Body>,
    deadline: Option<&Deadline>,
) -> Result<Result<Response<Body>, ConnectError>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    if let Err(error) = request::check_version(request.headers()) {
        return Ok(Err(error));
    }
    if call.method.shape == Shape::ClientStream {
        return Ok(Err(ConnectError::new(Code::Unimplemented, "client streams are served over gRPC only")));
    }
    let request = match shared.enter(request).await {
        Ok(request) => request,
        Err(refusal) => return Ok(Ok(refusal)),
    };
    let (parts, body) = request.into_parts();
    let grpc = async {
        let strict = strict::asked(&parts.headers, shared.options.strict_json)?;
        let message = request::read_enveloped(&parts.headers, body, codec, shared.options.max_request_bytes).await?;
        request::to_grpc(parts, &codec.decode(&call.method, strict, message.bytes)?, deadline)
    };
    match grpc.await {
        Ok(grpc) => inner.call(grpc).await.map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

/// Splits a gRPC answer into leading metadata and what follows.
fn begin(response: Response<Body>) -> (HeaderMap, Source) {
    let (mut parts, body) = response.into_parts();
    if !metadata::is_grpc(&parts.headers) {
        return (HeaderMap::new(), Source::Ended(Err(ConnectError::from_http(parts.status)), HeaderMap::new()));
    }
    let status = ConnectError::from_grpc(&parts.headers);
    metadata::keep_metadata(&mut parts.headers);
    match status {
        // Trailers-only: gRPC says that these headers are the trailers.
        Some(status) => (HeaderMap::new(), Source::Ended(status, parts.headers)),
        None => (parts.headers, Source::Open(body)),
    }
}

fn respond(metadata: HeaderMap, codec: Codec, accepted: Compression, body: Translator) -> Response<Body> {
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    *headers = metadata;
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(codec.stream_type()));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(compression::ACCEPTED));
    if accepted == Compression::Gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn accepted(headers: &HeaderMap) -> Compression {
    let list = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    list.map_or(Compression::Identity, Compression::accepted)
}

/// Where messages come from.
enum Source {
    /// The inner stream.
    Open(Body),
    /// It has ended in this way, with these trailers; the client does not know yet.
    Ended(Result<(), ConnectError>, HeaderMap),
    /// The client has been told.
    Done,
}

/// The response body: pulls a frame of the inner stream when the client has room, and translates what is in it.
struct Translator {
    source: Source,
    splitter: Splitter,
    deadline: Option<Pin<Box<Sleep>>>,
    output: MessageDescriptor,
    codec: Codec,
    accepted: Compression,
    shared: Arc<Shared>,
}

impl fmt::Debug for Translator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translator").field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// The JSON of the last envelope.
#[derive(Serialize)]
struct EndStream<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<WireError<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, Vec<String>>,
}

impl http_body::Body for Translator {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let data = match ready!(panics::catch_poll(cx, |cx| this.poll_data(cx))) {
            Ok(data) => data,
            Err(panicked) => {
                panicked.note("");
                this.end(Err(ConnectError::panicked(MAY_HAVE_HAPPENED)), HeaderMap::new());
                this.finish()
            }
        };
        Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Done)
    }
}

impl Translator {
    /// The next messages, or the last envelope; empty at the end.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            if self.deadline.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
                self.deadline = None;
                self.end(Err(ConnectError::deadline(MAY_HAVE_HAPPENED)), HeaderMap::new());
            }
            let Source::Open(body) = &mut self.source else {
                return Poll::Ready(self.finish());
            };
            let frame = ready!(Pin::new(body).poll_frame(cx));
            let messages = self.take(frame);
            if !messages.is_empty() {
                return Poll::Ready(messages);
            }
        }
    }

    /// Translates a frame of the inner stream: to messages, or to the stream's end.
    fn take(&mut self, frame: Option<Result<Frame<Bytes>, axum::Error>>) -> Bytes {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(cause)) => {
                let error = ConnectError::new(Code::Internal, format!("the response broke off: {cause}"));
                self.end(Err(error), HeaderMap::new());
                return Bytes::new();
            }
            None => {
                self.end(Err(ConnectError::new(Code::Internal, "the response has no status")), HeaderMap::new());
                return Bytes::new();
            }
        };
        match frame.into_data() {
            Ok(data) => {
                self.splitter.push(&data);
                self.translate()
            }
            Err(frame) => {
                self.end_with(frame.into_trailers().unwrap_or_default());
                Bytes::new()
            }
        }
    }

    /// All whole messages that have arrived.
    fn translate(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        while let Some(envelope) = self.splitter.next() {
            if let Err(error) = self.append(&mut out, envelope) {
                self.end(Err(error), HeaderMap::new());
                break;
            }
        }
        out.freeze()
    }

    fn append(&self, out: &mut BytesMut, envelope: Envelope) -> Result<(), ConnectError> {
        if envelope.flags != 0 {
            return Err(ConnectError::new(Code::Internal, "a response message is compressed, which was not asked for"));
        }
        let message = self.codec.encode(&self.output, envelope.message)?;
        let compress = self.accepted == Compression::Gzip && message.len() >= self.shared.options.compress_min_bytes;
        let (flags, message) =
            if compress { (envelope::COMPRESSED, self.accepted.compress(message)?) } else { (0, message) };
        envelope::put(out, flags, &message)
            .ok_or_else(|| ConnectError::new(Code::Internal, "a response message is too large for a frame"))
    }

    fn end_with(&mut self, mut trailers: HeaderMap) {
        let status = ConnectError::from_grpc(&trailers)
            .unwrap_or_else(|| Err(ConnectError::new(Code::Internal, "the response has no status")));
        let status = match status {
            Ok(()) if !self.splitter.is_empty() => {
                Err(ConnectError::new(Code::Internal, "the response ends within a message"))
            }
            other => other,
        };
        metadata::keep_metadata(&mut trailers);
        self.end(status, trailers);
    }

    /// Lets go of the inner stream, at once: its producer may be waiting for room.
    fn end(&mut self, status: Result<(), ConnectError>, trailers: HeaderMap) {
        if !matches!(self.source, Source::Done) {
            self.source = Source::Ended(status, trailers);
        }
    }

    /// The last envelope; empty when it has been sent.
    fn finish(&mut self) -> Bytes {
        let Source::Ended(status, mut trailers) = std::mem::replace(&mut self.source, Source::Done) else {
            return Bytes::new();
        };
        self.deadline = None;
        let error = status.as_ref().err().map(|error| error.to_wire(self.shared.methods.pool()));
        if let Err(error) = &status {
            trailers.extend(error.own_metadata(self.shared.methods.pool()));
        }
        let end = EndStream { error, metadata: metadata::to_json(&trailers) };
        let json = serde_json::to_vec(&end).unwrap_or_else(|_| b"{}".to_vec());
        let mut out = BytesMut::new();
        // A status that does not fit into four gigabytes cannot come out of HTTP headers.
        let _ = envelope::put(&mut out, envelope::END_STREAM, &json);
        out.freeze()
    }
}
