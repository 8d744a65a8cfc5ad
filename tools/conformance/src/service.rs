//! The suite's service: every request says how it is to be answered.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderMap;
use prost::Message;
use prost_types::Any;
use tertulia::api::connect::ConnectCall;
use tonic::{Code, Extensions, Request, Response, Status, Streaming, metadata::MetadataMap};

use crate::{
    metadata::{SendTrailers, from_fields, to_fields},
    proto::{
        BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse, ConformancePayload, Error,
        Header, IdempotentUnaryRequest, IdempotentUnaryResponse, ServerStreamRequest, ServerStreamResponse,
        StreamResponseDefinition, UnaryRequest, UnaryResponse, UnaryResponseDefinition, UnimplementedRequest,
        UnimplementedResponse,
        conformance_payload::{ConnectGetInfo, RequestInfo},
        conformance_service_server::ConformanceService,
        unary_response_definition,
    },
};

const TYPES: &str = "type.googleapis.com/connectrpc.conformance.v1.";

/// Implements the suite's service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suite;

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl ConformanceService for Suite {
    type ServerStreamStream = Responses<ServerStreamResponse>;
    type BidiStreamStream = Responses<BidiStreamResponse>;

    async fn unary(&self, request: Request<UnaryRequest>) -> Result<Response<UnaryResponse>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let info = info(&metadata, &extensions, vec![any("UnaryRequest", &message)]);
        answer(message.response_definition, info, |payload| UnaryResponse { payload: Some(payload) }).await
    }

    async fn idempotent_unary(
        &self,
        request: Request<IdempotentUnaryRequest>,
    ) -> Result<Response<IdempotentUnaryResponse>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let info = info(&metadata, &extensions, vec![any("IdempotentUnaryRequest", &message)]);
        answer(message.response_definition, info, |payload| IdempotentUnaryResponse { payload: Some(payload) }).await
    }

    async fn unimplemented(&self, _: Request<UnimplementedRequest>) -> Result<Response<UnimplementedResponse>, Status> {
        Err(Status::unimplemented("this method is not implemented, on purpose"))
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<ClientStreamRequest>>,
    ) -> Result<Response<ClientStreamResponse>, Status> {
        let (metadata, extensions, mut messages) = request.into_parts();
        let mut definition = None;
        let mut seen = Vec::new();
        while let Some(message) = messages.message().await? {
            seen.push(any("ClientStreamRequest", &message));
            if seen.len() == 1 {
                definition = message.response_definition;
            }
        }
        let info = info(&metadata, &extensions, seen);
        answer(definition, info, |payload| ClientStreamResponse { payload: Some(payload) }).await
    }

    async fn server_stream(
        &self,
        request: Request<ServerStreamRequest>,
    ) -> Result<Response<Self::ServerStreamStream>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let info = info(&metadata, &extensions, vec![any("ServerStreamRequest", &message)]);
        let definition = message.response_definition.unwrap_or_default();
        let payloads = payloads(&definition, info);
        Ok(with_metadata(
            &definition.response_headers,
            &definition.response_trailers,
            paced(payloads, definition.response_delay_ms, |payload| ServerStreamResponse { payload: Some(payload) }),
        ))
    }

    async fn bidi_stream(
        &self,
        request: Request<Streaming<BidiStreamRequest>>,
    ) -> Result<Response<Self::BidiStreamStream>, Status> {
        let (metadata, extensions, mut messages) = request.into_parts();
        let Some(first) = messages.message().await? else {
            return Ok(Response::new(stream::empty().boxed()));
        };
        let mut info = info(&metadata, &extensions, vec![any("BidiStreamRequest", &first)]);
        let definition = first.response_definition.unwrap_or_default();
        let (headers, trailers) = (definition.response_headers.clone(), definition.response_trailers.clone());
        let body = if first.full_duplex {
            converse(messages, definition, info)
        } else {
            while let Some(message) = messages.message().await? {
                info.requests.push(any("BidiStreamRequest", &message));
            }
            let payloads = payloads(&definition, info);
            paced(payloads, definition.response_delay_ms, |payload| BidiStreamResponse { payload: Some(payload) })
        };
        Ok(with_metadata(&headers, &trailers, body))
    }
}

/// The answer to a unary or client-streaming call.
async fn answer<T>(
    definition: Option<UnaryResponseDefinition>,
    info: RequestInfo,
    wrap: impl FnOnce(ConformancePayload) -> T,
) -> Result<Response<T>, Status> {
    let definition = definition.unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(definition.response_delay_ms.into())).await;
    let data = match definition.response {
        Some(unary_response_definition::Response::Error(error)) => {
            let mut fields = to_fields(&definition.response_headers);
            fields.extend(to_fields(&definition.response_trailers));
            let mut status = to_status(error, Some(&info));
            *status.metadata_mut() = MetadataMap::from_headers(fields);
            return Err(status);
        }
        Some(unary_response_definition::Response::ResponseData(data)) => data,
        None => Vec::new(),
    };
    let payload = ConformancePayload { data, request_info: Some(info) };
    Ok(with_metadata(&definition.response_headers, &definition.response_trailers, wrap(payload)))
}

fn with_metadata<T>(headers: &[Header], trailers: &[Header], message: T) -> Response<T> {
    let mut response = Response::new(message);
    *response.metadata_mut() = MetadataMap::from_headers(to_fields(headers));
    response.extensions_mut().insert(SendTrailers(to_fields(trailers)));
    response
}

/// What a stream answers when it has seen all requests.
fn payloads(definition: &StreamResponseDefinition, info: RequestInfo) -> Vec<Result<ConformancePayload, Status>> {
    let mut info = Some(info);
    let mut payloads: Vec<_> = definition
        .response_data
        .iter()
        .map(|data| Ok(ConformancePayload { data: data.clone(), request_info: info.take() }))
        .collect();
    if let Some(error) = &definition.error {
        payloads.push(Err(to_status(error.clone(), info.as_ref())));
    }
    payloads
}

/// Sends payloads with a delay before each but the error.
fn paced<T: 'static>(
    payloads: Vec<Result<ConformancePayload, Status>>,
    delay_ms: u32,
    wrap: fn(ConformancePayload) -> T,
) -> Responses<T> {
    stream::iter(payloads)
        .then(move |payload| async move {
            if payload.is_ok() {
                tokio::time::sleep(Duration::from_millis(delay_ms.into())).await;
            }
            payload.map(wrap)
        })
        .boxed()
}

/// One response for each request, then what is left of the definition.
fn converse(
    messages: Streaming<BidiStreamRequest>,
    definition: StreamResponseDefinition,
    info: RequestInfo,
) -> Responses<BidiStreamResponse> {
    let delay = Duration::from_millis(definition.response_delay_ms.into());
    let error = definition.error;
    let turns = definition.response_data.into_iter();
    let state = (messages, turns, Some(info), error, 0_usize);
    stream::unfold(state, move |(mut messages, mut turns, info, mut error, sent)| async move {
        let mut info = info;
        if sent > 0 && info.is_none() {
            match messages.message().await {
                Ok(Some(message)) => {
                    let requests = vec![any("BidiStreamRequest", &message)];
                    info = Some(RequestInfo { requests, ..RequestInfo::default() });
                }
                Ok(None) => {}
                Err(status) => {
                    return Some((Err(status), (messages, Vec::new().into_iter(), None, None, sent)));
                }
            }
        }
        let Some(data) = turns.next() else {
            let detail = info.filter(|_| sent == 0);
            let status = to_status(error.take()?, detail.as_ref());
            return Some((Err(status), (messages, turns, None, None, sent)));
        };
        tokio::time::sleep(delay).await;
        let payload = ConformancePayload { data, request_info: info };
        Some((Ok(BidiStreamResponse { payload: Some(payload) }), (messages, turns, None, error, sent + 1)))
    })
    .boxed()
}

/// What was seen of the request.
fn info(metadata: &MetadataMap, extensions: &Extensions, requests: Vec<Any>) -> RequestInfo {
    let headers = metadata.clone().into_headers();
    let get = extensions.get::<ConnectCall>().and_then(ConnectCall::get_query);
    RequestInfo {
        timeout_ms: timeout_ms(&headers),
        request_headers: from_fields(&headers),
        requests,
        connect_get_info: get.map(|query| ConnectGetInfo { query_params: query_params(query) }),
    }
}

fn query_params(query: &str) -> Vec<Header> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| Header { name: name.into(), value: vec![value.into()] }).collect()
}

fn timeout_ms(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = digits.parse().ok()?;
    match unit {
        "H" => Some(number * 3_600_000),
        "M" => Some(number * 60_000),
        "S" => Some(number * 1000),
        "m" => Some(number),
        "u" => Some(number / 1000),
        "n" => Some(number / 1_000_000),
        _ => None,
    }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("{TYPES}{name}"), value: message.encode_to_vec() }
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

fn to_status(error: Error, info: Option<&RequestInfo>) -> Status {
    let mut details = error.details;
    details.extend(info.map(|info| any("ConformancePayload.RequestInfo", info)));
    let message = error.message.unwrap_or_default();
    let rpc = RpcStatus { code: error.code, message: message.clone(), details };
    Status::with_details(Code::from_i32(error.code), message, rpc.encode_to_vec().into())
}
