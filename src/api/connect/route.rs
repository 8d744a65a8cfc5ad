//! Which protocol a request speaks, and whether it may.

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method as Verb, Request, Response, StatusCode, header};

use super::{
    codec::Codec,
    error::{Code, ConnectError},
    method::{Method, Methods, Shape},
};

const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// What happens to a request.
#[derive(Debug)]
pub(super) enum Route {
    /// It is gRPC or gRPC-Web: the inner service answers.
    Grpc,
    /// A unary Connect call.
    Unary(Call),
    /// A streaming Connect call.
    Stream(Call),
    /// No protocol of ours.
    Refused(Response<Body>),
}

/// A Connect call whose method and codec are known.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// A GET names its codec in the query.
    pub(super) codec: Option<Codec>,
}

/// What the content type says.
enum Content {
    Grpc,
    Unary(Codec),
    Stream(Codec),
    Other,
}

/// Decides by path, HTTP method and content type; reads no body.
pub(super) fn route(methods: &Methods, request: &Request<Body>) -> Route {
    let content = content(request.headers());
    if matches!(content, Content::Grpc) {
        // Whatever gRPC service is not in the pool still belongs to the inner service.
        return if request.method() == Verb::POST { Route::Grpc } else { wrong_verb("POST") };
    }
    let Some(method) = methods.get(request.uri().path()) else {
        let error = ConnectError::new(Code::Unimplemented, "there is no such method");
        return Route::Refused(error.to_response_with(StatusCode::NOT_FOUND, methods.pool()));
    };
    let can_get = method.safe && method.shape == Shape::Unary;
    match (request.method(), content) {
        (&Verb::GET, _) if can_get => Route::Unary(Call { method: method.clone(), codec: None }),
        (&Verb::POST, Content::Unary(codec)) if method.shape == Shape::Unary => {
            Route::Unary(Call { method: method.clone(), codec: Some(codec) })
        }
        (&Verb::POST, Content::Stream(codec)) if method.shape != Shape::Unary => {
            Route::Stream(Call { method: method.clone(), codec: Some(codec) })
        }
        (&Verb::POST, _) => wrong_type(method.shape),
        _ if can_get => wrong_verb("GET, POST"),
        _ => wrong_verb("POST"),
    }
}

fn content(headers: &HeaderMap) -> Content {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/grpc" | "application/grpc+proto" => Content::Grpc,
        "application/grpc-web" | "application/grpc-web+proto" => Content::Grpc,
        "application/grpc-web-text" | "application/grpc-web-text+proto" => Content::Grpc,
        "application/json" => Content::Unary(Codec::Json),
        "application/proto" => Content::Unary(Codec::Proto),
        "application/connect+json" => Content::Stream(Codec::Json),
        "application/connect+proto" => Content::Stream(Codec::Proto),
        _ => Content::Other,
    }
}

/// 405, naming what would do.
fn wrong_verb(allowed: &'static str) -> Route {
    refused(StatusCode::METHOD_NOT_ALLOWED, header::ALLOW, allowed)
}

/// 415, naming what would do.
fn wrong_type(shape: Shape) -> Route {
    let accepted = match shape {
        Shape::Unary => "application/json, application/proto, application/grpc, application/grpc-web",
        Shape::ServerStream => {
            "application/connect+json, application/connect+proto, application/grpc, application/grpc-web"
        }
        Shape::ClientStream => "application/grpc, application/grpc-web",
    };
    refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, ACCEPT_POST, accepted)
}

/// An answer of HTTP alone: a client that speaks none of the protocols would not read their errors.
fn refused(status: StatusCode, name: HeaderName, accepted: &'static str) -> Route {
    let mut response = Response::new(Body::from(format!("{status}; accepted: {accepted}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(name, HeaderValue::from_static(accepted));
    Route::Refused(response)
}
