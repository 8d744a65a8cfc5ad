//! Unary calls.

use std::io::Read as _;

use base64::Engine as _;
use http::HeaderValue;
use serde_json::json;
use tower::service_fn;

use super::*;
use crate::api::connect::{ConnectCall, cors};

const GET_TOKENS: &str = "/tokens.v1.TokensService/GetTokens";
const REGISTER: &str = "/tokens.v1.TokensService/RegisterToken";
const REMOVE: &str = "/tokens.v1.TokensService/RemoveToken";

fn expected() -> serde_json::Value {
    json!({"tokens": [{
        "token": "t", "platform": "IOS", "clientId": "phone", "registeredAt": "1970-01-01T00:00:01Z",
    }]})
}

#[tokio::test]
async fn json_in_and_out() {
    let request = post(GET_TOKENS, "application/json; charset=utf-8", "{\"newer\": 1}", &[("client-id", "phone")]);
    let (status, headers, body) = json(call(request).await).await;
    assert_eq!((status, body), (StatusCode::OK, expected()));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["served-by"], "test");
    let leaked = headers.keys().any(|name| name.as_str().starts_with("grpc-"));
    assert!(!leaked, "{headers:?}");
}

#[tokio::test]
async fn protobuf_in_and_out() {
    let response = call(post(GET_TOKENS, "application/proto", Body::empty(), &[("client-id", "phone")])).await;
    assert_eq!(response.headers()["content-type"], "application/proto");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(GetTokensResponse::decode(body).unwrap().tokens, [token("phone")]);
}

#[tokio::test]
async fn get_of_a_method_without_side_effects() {
    for query in [
        "encoding=json&message=%7B%7D",
        "connect=v1&encoding=json&base64=1&message=e30",
        "encoding=json&base64=1&message=e30%3D",
    ] {
        let request = Request::get(format!("{GET_TOKENS}?{query}")).header("client-id", "phone");
        let (status, headers, body) = json(call(request.body(Body::empty()).unwrap()).await).await;
        assert_eq!((status, body), (StatusCode::OK, expected()), "{query}");
        assert_eq!(headers["vary"], "accept-encoding");
    }
}

#[tokio::test]
async fn an_error_has_its_code_its_message_and_its_details() {
    let request = post(REGISTER, "application/json", r#"{"token": {"clientId": "phone"}}"#, &[]);
    let (status, headers, body) = json(call(request).await).await;
    let value = DeviceToken { client_id: "phone".into(), ..DeviceToken::default() }.encode_to_vec();
    let value = base64::prelude::BASE64_STANDARD_NO_PAD.encode(value);
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["retry-hint"], "never");
    let detail = json!({"type": "tokens.v1.DeviceToken", "value": value, "debug": {"clientId": "phone"}});
    assert_eq!(body, json!({"code": "already_exists", "message": "déjà là: 100 %", "details": [detail]}));
}

#[tokio::test]
async fn errors_of_protobuf_calls_are_json_too() {
    let (status, _, body) = json(call(post(REGISTER, "application/proto", Body::empty(), &[])).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("already_exists")));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_call() {
    let request = post(REMOVE, "application/json", "{}", &[("connect-timeout-ms", "50")]);
    let started = tokio::time::Instant::now();
    let (status, _, body) = json(call(request).await).await;
    assert_eq!((status, &body["code"]), (StatusCode::GATEWAY_TIMEOUT, &json!("deadline_exceeded")));
    assert!(started.elapsed().as_millis() < 100, "{:?}", started.elapsed());
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_accept_it() {
    let long = "x".repeat(4000);
    for (accepted, compressed) in [("br, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false)] {
        let headers = [("client-id", long.as_str()), ("accept-encoding", accepted)];
        let response = call(post(GET_TOKENS, "application/proto", Body::empty(), &headers)).await;
        assert_eq!(response.headers().get("content-encoding").is_some(), compressed, "{accepted}");
        let mut body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        if compressed {
            let packed = std::mem::take(&mut body);
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut body).unwrap();
        }
        let answer = GetTokensResponse::decode(body.as_slice()).unwrap();
        assert_eq!(answer.tokens, [token(&long)]);
    }
}

#[tokio::test]
async fn trailers_are_prefixed_and_the_call_is_marked() {
    let inner = service_fn(async |request: Request<Body>| {
        let call = request.extensions().get::<ConnectCall>().unwrap().clone();
        assert_eq!(call.get_query(), Some("encoding=json&message=%7B%7D"));
        assert_eq!(request.uri().query(), None);
        assert_eq!((request.method(), request.version()), (&http::Method::POST, http::Version::HTTP_2));
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("cost", HeaderValue::from_static("3"));
        let body = http_body_util::Full::new(frame(0, b"")).with_trailers(std::future::ready(Some(Ok(trailers))));
        let response = Response::builder().header("content-type", "application/grpc").body(Body::new(body));
        Ok::<_, std::convert::Infallible>(response.unwrap())
    });
    let request = Request::get(format!("{GET_TOKENS}?encoding=json&message=%7B%7D")).body(Body::empty()).unwrap();
    let (status, headers, body) = json(Connect::new(inner, pool(), options()).oneshot(request).await.unwrap()).await;
    assert_eq!((status, body), (StatusCode::OK, json!({})));
    assert_eq!(headers["trailer-cost"], "3");
    assert!(!headers.contains_key("trailer-grpc-status"));
}

#[tokio::test]
async fn grpc_and_grpc_web_pass() {
    for (content_type, version) in
        [("application/grpc", http::Version::HTTP_2), ("application/grpc-web+proto", http::Version::HTTP_11)]
    {
        let mut request = post(GET_TOKENS, content_type, frame(0, b""), &[]);
        *request.version_mut() = version;
        let response = call(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], content_type);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(&frame(0, &GetTokensResponse { tokens: vec![token("none")] }.encode_to_vec())));
    }
}

#[tokio::test]
async fn a_browser_may_call_and_read_the_status() {
    use tower::Layer as _;
    use tower_http::cors::AllowOrigin;

    let service = cors(AllowOrigin::any(), &[]).layer(app().0);
    let preflight = Request::options(GET_TOKENS)
        .header("origin", "https://example.org")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,connect-protocol-version,content-type");
    let response = service.clone().oneshot(preflight.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(
        response.headers()["access-control-allow-headers"],
        "authorization,connect-protocol-version,content-type"
    );
    let request = post(GET_TOKENS, "application/json", "{}", &[("origin", "https://example.org")]);
    let response = service.oneshot(request).await.unwrap();
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("grpc-status") && exposed.contains("grpc-message"), "{exposed}");
}
