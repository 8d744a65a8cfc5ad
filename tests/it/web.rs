//! A caller over HTTP/1.1: gRPC-Web and Connect as browsers and scripts speak them.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bytes::{Buf as _, Bytes};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tertulia_proto::chat::v1::ErrorInfo;

use crate::{
    caller::{method, path, request, to_json},
    listener::PATIENCE,
    sandbox::Sandbox,
};

/// A frame of gRPC, gRPC-Web or Connect.
pub(crate) fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[flags][..], &length, message].concat()
}

/// The frames of an answer: flags and content.
pub(crate) fn frames(mut bytes: Bytes) -> Vec<(u8, Bytes)> {
    let mut frames = Vec::new();
    while bytes.remaining() >= 5 {
        let (flags, length) = (bytes.get_u8(), bytes.get_u32() as usize);
        frames.push((flags, bytes.split_to(length)));
    }
    frames
}

/// The message, or the reason of the failure.
pub(crate) type Answer = Result<Value, String>;

/// A caller over HTTP/1.1.
pub(crate) struct Http {
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
    pub(crate) token: String,
}

impl Http {
    pub(crate) fn new(sandbox: &Sandbox, user: i64) -> Self {
        Self {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            base: sandbox.url(""),
            token: sandbox.token(user),
        }
    }

    pub(crate) fn post(&self, name: &str, kind: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
        self.client
            .post(format!("{}{}", self.base, path(&method(name))))
            .bearer_auth(&self.token)
            .header("content-type", kind)
            .body(body)
    }

    pub(crate) fn proto(name: &str, json: &Value) -> Vec<u8> {
        request(&method(name), json.clone()).encode_to_vec()
    }

    fn decoded(name: &str, bytes: &[u8]) -> Value {
        to_json(&DynamicMessage::decode(method(name).output(), bytes).unwrap())
    }

    pub(crate) async fn grpc_web(&self, name: &str, json: &Value, text: bool) -> Answer {
        let body = frame(0, &Self::proto(name, json));
        let (kind, body) = if text {
            ("application/grpc-web-text", STANDARD.encode(body).into_bytes())
        } else {
            ("application/grpc-web+proto", body)
        };
        let response = self.post(name, kind, body).header("accept", kind).send().await.unwrap();
        assert_eq!(response.status(), 200);
        if let Some(reason) = response.headers().get("tertulia-reason") {
            return Err(reason.to_str().unwrap().to_owned());
        }
        let mut bytes = response.bytes().await.unwrap();
        if text {
            // Each flush is padded on its own.
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let parts = text.split_inclusive('=').filter(|part| *part != "=");
            let decoded: Vec<u8> =
                parts.flat_map(|part| STANDARD_NO_PAD.decode(part.trim_end_matches('=')).unwrap()).collect();
            bytes = decoded.into();
        }
        let frames = frames(bytes);
        let (_, trailers) = frames.last().unwrap();
        let trailers = String::from_utf8_lossy(trailers).to_lowercase();
        assert!(trailers.replace(' ', "").contains("grpc-status:0"), "{trailers}");
        assert_eq!(frames[0].0, 0);
        Ok(Self::decoded(name, &frames[0].1))
    }

    async fn outcome(name: &str, response: reqwest::Response, as_json: bool) -> Answer {
        let ok = response.status().is_success();
        let header = response.headers().get("tertulia-reason").cloned();
        let body = response.bytes().await.unwrap();
        if !ok {
            let error: Value = serde_json::from_slice(&body).unwrap();
            let reason = reason_of(&error);
            assert_eq!(header.unwrap(), reason.as_str());
            return Err(reason);
        }
        let bytes = if as_json {
            let json = serde_json::from_slice(&body).unwrap();
            DynamicMessage::deserialize(
                method(name).output(),
                &mut serde_json::de::Deserializer::from_str(&Value::to_string(&json)),
            )
            .unwrap()
            .encode_to_vec()
        } else {
            body.to_vec()
        };
        Ok(Self::decoded(name, &bytes))
    }

    pub(crate) async fn connect_json(&self, name: &str, json: &Value) -> Answer {
        let response = self.post(name, "application/json", json.to_string().into()).send().await.unwrap();
        Self::outcome(name, response, true).await
    }

    pub(crate) async fn connect_proto(&self, name: &str, json: &Value) -> Answer {
        let response = self.post(name, "application/proto", Self::proto(name, json)).send().await.unwrap();
        Self::outcome(name, response, false).await
    }

    pub(crate) async fn connect_get(&self, name: &str, json: &Value) -> Answer {
        let message = URL_SAFE_NO_PAD.encode(json.to_string());
        let url = format!("{}{}?connect=v1&encoding=json&base64=1&message={message}", self.base, path(&method(name)));
        let response = self.client.get(url).bearer_auth(&self.token).send().await.unwrap();
        Self::outcome(name, response, true).await
    }
}

/// The reason in a Connect error's details.
pub(crate) fn reason_of(error: &Value) -> String {
    let detail = &error["details"][0];
    assert_eq!(detail["type"], "chat.v1.ErrorInfo", "{error}");
    let value = STANDARD_NO_PAD.decode(detail["value"].as_str().unwrap()).unwrap();
    let info = ErrorInfo::decode(value.as_slice()).unwrap();
    assert_eq!(detail["debug"]["reason"], json!(info.reason));
    info.reason
}

/// The JSON messages of a Connect stream.
pub(crate) struct ConnectStream {
    response: reqwest::Response,
    buffer: Vec<u8>,
}

impl ConnectStream {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self { response, buffer: Vec::new() }
    }

    /// Flags and content of the next envelope.
    pub(crate) async fn next(&mut self) -> (u8, Value) {
        loop {
            if let [flags, a, b, c, d, rest @ ..] = self.buffer.as_slice() {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                if rest.len() >= length {
                    let next = (*flags, serde_json::from_slice(&rest[..length]).unwrap());
                    self.buffer.drain(..5 + length);
                    return next;
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.unwrap().unwrap();
            self.buffer.extend_from_slice(&chunk.expect("more"));
        }
    }
}
