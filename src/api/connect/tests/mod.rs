//! The adapter in front of real tonic services, and of hand-made gRPC answers where timing matters.

mod calls;
mod refusals;
mod streams;

use axum::body::Body;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::{Any, Timestamp};
use tertulia_proto::tokens::v1::{
    DeviceToken, GetTokensRequest, GetTokensResponse, Platform, RegisterTokenRequest, RegisterTokenResponse,
    RemoveTokenRequest, RemoveTokenResponse,
    tokens_service_server::{TokensService, TokensServiceServer},
};
use tonic::{Status, service::Routes};
use tonic_health::server::HealthReporter;
use tower::ServiceExt as _;

use super::{Connect, ConnectOptions};
use crate::api::grpc_web::GrpcWebLayer;

const LIMIT: usize = 64 * 1024;

/// Answers each method in a way that shows what arrived.
struct Tokens;

#[tonic::async_trait]
impl TokensService for Tokens {
    /// Refuses, with the token as a detail.
    async fn register_token(
        &self,
        request: tonic::Request<RegisterTokenRequest>,
    ) -> Result<tonic::Response<RegisterTokenResponse>, Status> {
        let token = request.into_inner().token.unwrap_or_default();
        let detail = Any { type_url: "type.googleapis.com/tokens.v1.DeviceToken".into(), value: token.encode_to_vec() };
        let details = RpcStatus { details: vec![detail] }.encode_to_vec();
        let mut status = Status::with_details(tonic::Code::AlreadyExists, "déjà là: 100 %", details.into());
        status.metadata_mut().insert("retry-hint", "never".parse().unwrap());
        Err(status)
    }

    /// Never answers.
    async fn remove_token(
        &self,
        _: tonic::Request<RemoveTokenRequest>,
    ) -> Result<tonic::Response<RemoveTokenResponse>, Status> {
        std::future::pending().await
    }

    /// One token, named after the caller's header.
    async fn get_tokens(
        &self,
        request: tonic::Request<GetTokensRequest>,
    ) -> Result<tonic::Response<GetTokensResponse>, Status> {
        let client_id = request.metadata().get("client-id").map_or("none", |value| value.to_str().unwrap());
        let mut response = tonic::Response::new(GetTokensResponse { tokens: vec![token(client_id)] });
        response.metadata_mut().insert("served-by", "test".parse().unwrap());
        Ok(response)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

fn token(client_id: &str) -> DeviceToken {
    DeviceToken {
        token: "t".into(),
        platform: Platform::Ios.into(),
        client_id: client_id.into(),
        registered_at: Some(Timestamp { seconds: 1, nanos: 0 }),
    }
}

fn pool() -> DescriptorPool {
    let mut pool = DescriptorPool::decode(tertulia_proto::DESCRIPTORS).unwrap();
    pool.decode_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
    pool
}

fn options() -> ConnectOptions {
    ConnectOptions { max_request_bytes: LIMIT, compress_min_bytes: 1024, strict_json: false }
}

/// The product's stack: services, gRPC-Web, Connect.
fn app() -> (Connect<axum::Router>, HealthReporter) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let inner =
        Routes::new(TokensServiceServer::new(Tokens)).add_service(health).into_axum_router().layer(GrpcWebLayer);
    (Connect::new(inner, pool(), options()), reporter)
}

async fn call(request: Request<Body>) -> Response<Body> {
    app().0.oneshot(request).await.unwrap()
}

/// A POST with some headers.
fn post(method: &str, content_type: &str, body: impl Into<Body>, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post(method).header("content-type", content_type);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

async fn json(response: Response<Body>) -> (StatusCode, HeaderMap, serde_json::Value) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&body).unwrap_or_else(|_| panic!("not JSON: {body:?}"));
    (parts.status, parts.headers, json)
}

/// A message in its five-byte frame.
fn frame(flags: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(flags);
    frame.put_u32(message.len().try_into().unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// The next frames of a stream, as flags and JSON.
async fn next(body: &mut Body) -> Option<Vec<(u8, serde_json::Value)>> {
    let data = body.frame().await?.unwrap().into_data().unwrap();
    let mut rest = &data[..];
    let mut frames = Vec::new();
    while let Some((&flags, tail)) = rest.split_first() {
        let (length, tail) = tail.split_first_chunk::<4>().unwrap();
        let (message, tail) = tail.split_at(u32::from_be_bytes(*length).try_into().unwrap());
        frames.push((flags, serde_json::from_slice(message).unwrap()));
        rest = tail;
    }
    Some(frames)
}
