//! Requests that get an error before any service sees them.

use std::{
    convert::Infallible,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::StreamExt as _;
use serde_json::json;

use super::*;

const GET_TOKENS: &str = "/tokens.v1.TokensService/GetTokens";
const REGISTER: &str = "/tokens.v1.TokensService/RegisterToken";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn wrong_requests_get_their_code() {
    let content = "application/json";
    let too_long = vec![b' '; LIMIT + 1];
    let bomb = gzip(&vec![b' '; 100 * LIMIT]);
    let deep = format!("{{\"newer\": {}", "[".repeat(10_000));
    let cases = [
        (post("/tokens.v1.TokensService/Nothing", content, "{}", &[]), 404, "unimplemented"),
        (post(GET_TOKENS, content, "{}", &[("connect-protocol-version", "2")]), 400, "invalid_argument"),
        (post(GET_TOKENS, content, "{}", &[("connect-timeout-ms", "soon")]), 400, "invalid_argument"),
        (post(GET_TOKENS, content, "{}", &[("content-encoding", "br")]), 501, "unimplemented"),
        (post(GET_TOKENS, content, "{}", &[("content-encoding", "gzip")]), 400, "invalid_argument"),
        (post(GET_TOKENS, content, "", &[]), 400, "invalid_argument"),
        (post(GET_TOKENS, content, "{} {}", &[]), 400, "invalid_argument"),
        (post(REGISTER, content, r#"{"token": 1}"#, &[]), 400, "invalid_argument"),
        (post(REGISTER, content, deep, &[]), 400, "invalid_argument"),
        (post(GET_TOKENS, content, too_long, &[]), 429, "resource_exhausted"),
        (post(GET_TOKENS, content, bomb, &[("content-encoding", "gzip")]), 429, "resource_exhausted"),
    ];
    for (request, status, code) in cases {
        let case = format!("{request:?}");
        let (actual, headers, body) = json(call(request).await).await;
        assert_eq!((actual.as_u16(), &body["code"]), (status, &json!(code)), "{case}");
        assert_eq!(headers["accept-encoding"], "gzip");
    }
}

#[tokio::test]
async fn wrong_queries_get_their_code() {
    for (query, status, code) in [
        ("message=%7B%7D", 400, "invalid_argument"),
        ("encoding=text&message=%7B%7D", 400, "invalid_argument"),
        ("encoding=json", 400, "invalid_argument"),
        ("encoding=json&message=%7B%7D&connect=v2", 400, "invalid_argument"),
        ("encoding=json&message=e3%2B&base64=1", 400, "invalid_argument"),
        ("encoding=json&message=%7B%7D&compression=br", 501, "unimplemented"),
    ] {
        let request = Request::get(format!("{GET_TOKENS}?{query}")).body(Body::empty()).unwrap();
        let (actual, _, body) = json(call(request).await).await;
        assert_eq!((actual.as_u16(), &body["code"]), (status, &json!(code)), "{query}");
    }
}

#[tokio::test]
async fn http_says_what_would_do() {
    let get = |path: &str| Request::get(path).body(Body::empty()).unwrap();
    let delete = |path: &str| Request::delete(path).body(Body::empty()).unwrap();
    let cases = [
        (get(REGISTER), 405, "allow", "POST"),
        (get(WATCH), 405, "allow", "POST"),
        (delete(GET_TOKENS), 405, "allow", "GET, POST"),
        (
            post(GET_TOKENS, "text/html", "", &[]),
            415,
            "accept-post",
            "application/json, application/proto, application/grpc, application/grpc-web",
        ),
        (
            post(GET_TOKENS, "application/connect+json", "", &[]),
            415,
            "accept-post",
            "application/json, application/proto, application/grpc, application/grpc-web",
        ),
        (
            post(WATCH, "application/json", "", &[]),
            415,
            "accept-post",
            "application/connect+json, application/connect+proto, application/grpc, application/grpc-web",
        ),
    ];
    for (request, status, name, value) in cases {
        let case = format!("{request:?}");
        let response = call(request).await;
        assert_eq!((response.status().as_u16(), response.headers()[name].to_str().unwrap()), (status, value), "{case}");
    }
}

#[tokio::test]
async fn wrong_stream_requests_end_their_stream() {
    let two = [frame(0, b"{}"), frame(0, b"{}")].concat();
    let compressed = frame(1, &gzip(b"{}"));
    type Case<'a> = (Vec<u8>, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 8] = [
        (Vec::new(), &[], "unimplemented"),
        (two, &[], "unimplemented"),
        (frame(0, b"{}")[..6].to_vec(), &[], "invalid_argument"),
        (frame(0, b"{").to_vec(), &[], "invalid_argument"),
        (compressed.to_vec(), &[], "internal"),
        (frame(0, b"{}").to_vec(), &[("connect-content-encoding", "br")], "unimplemented"),
        (frame(0, &vec![b' '; LIMIT + 1]).to_vec(), &[], "resource_exhausted"),
        (frame(0, b"{}").to_vec(), &[("connect-protocol-version", "0")], "invalid_argument"),
    ];
    for (body, headers, code) in cases {
        let response = call(post(WATCH, "application/connect+json", body, headers)).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/connect+json");
        let mut body = response.into_body();
        let frames = next(&mut body).await.unwrap();
        assert_eq!((frames[0].0, &frames[0].1["error"]["code"]), (2, &json!(code)));
        assert_eq!(next(&mut body).await, None);
    }
}

#[tokio::test]
async fn a_stream_of_requests_is_for_grpc() {
    let request = post("/chat.v1.ChatService/Session", "application/connect+json", "", &[]);
    let frames = next(&mut call(request).await.into_body()).await.unwrap();
    assert_eq!(frames[0].1["error"]["code"], "unimplemented");
}

#[tokio::test]
async fn http_1_clients_are_heard_out() {
    for (version, expected) in [(http::Version::HTTP_11, 3), (http::Version::HTTP_2, 0)] {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let pieces = futures_util::stream::iter(0..3).map(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Infallible>(Bytes::from_static(b"piece"))
        });
        let body = Body::from_stream(pieces);
        let mut request = post(GET_TOKENS, "text/html", body, &[]);
        *request.version_mut() = version;
        assert_eq!(call(request).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(read.load(Ordering::SeqCst), expected, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_1_clients_that_never_finish_get_their_answer() {
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
    let mut request = post(GET_TOKENS, "text/html", body, &[]);
    *request.version_mut() = http::Version::HTTP_11;
    assert_eq!(call(request).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
