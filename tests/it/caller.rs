//! A caller that knows the API by its descriptors alone: requests and answers are JSON, errors are what programs see.

use std::{collections::HashMap, net::SocketAddr, sync::LazyLock, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, SerializeOptions};
use serde_json::Value;
use tertulia::api::status::REASONS;
use tertulia_proto::chat::v1::ErrorInfo;
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

/// All that the API consists of.
pub(crate) static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(tertulia_proto::DESCRIPTORS).unwrap());

static METHODS: LazyLock<HashMap<String, MethodDescriptor>> = LazyLock::new(|| {
    POOL.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .map(|method| (method.name().to_owned(), method))
        .collect()
});

/// A method by its name, which no two services share.
pub(crate) fn method(name: &str) -> MethodDescriptor {
    METHODS.get(name).unwrap_or_else(|| panic!("no method {name}")).clone()
}

/// Where a method is served.
pub(crate) fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// JSON with everything in it: proto names, numbers as numbers, defaults too.
pub(crate) fn to_json(message: &DynamicMessage) -> Value {
    let options =
        SerializeOptions::new().skip_default_fields(false).stringify_64_bit_integers(false).use_proto_field_name(true);
    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap()
}

/// The request of a method.
pub(crate) fn request(method: &MethodDescriptor, json: Value) -> DynamicMessage {
    let shown = json.to_string();
    DynamicMessage::deserialize(method.input(), json)
        .unwrap_or_else(|error| panic!("{}: {shown}: {error}", method.name()))
}

/// Why a call failed, as a program sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) info: ErrorInfo,
    pub(crate) retry_after_ms: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let text = |name: &str| {
            let value = status.metadata().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let details = RpcStatus::decode(status.details()).unwrap();
        let info = details.details.first().map(|any| ErrorInfo::decode(any.value.as_slice()).unwrap());
        Self {
            code: status.code(),
            reason: text("tertulia-reason").unwrap_or_default(),
            message: status.message().to_owned(),
            info: info.unwrap_or_default(),
            retry_after_ms: text("tertulia-retry-after-ms").map(|ms| ms.parse().unwrap()),
        }
    }
}

impl Refusal {
    /// That it is one of those that are documented: what every refusal must be.
    pub(crate) fn check(&self, what: &str) {
        assert!(REASONS.contains(&self.reason.as_str()), "{what}: no stable reason: {self:?}");
        assert_eq!(self.info.reason, self.reason, "{what}: {self:?}");
        assert!(!matches!(self.code, Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss), "{what}: {self:?}");
    }

    /// Code, reason and field in one.
    pub(crate) fn is(&self, code: Code, reason: &str, field: &str) {
        let seen = (self.code, self.reason.as_str(), self.info.field.as_str());
        assert_eq!(seen, (code, reason, field), "{self:?}");
        self.check(reason);
    }
}

/// A user (or nobody in particular) with a connection.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) channel: Channel,
    token: Option<String>,
}

impl User {
    pub(crate) fn new(addr: SocketAddr, id: i64, token: Option<String>) -> Self {
        let channel = Endpoint::from_shared(format!("http://{addr}")).unwrap().tcp_nodelay(true).connect_lazy();
        Self { id, channel, token }
    }

    /// A request with the caller's token.
    pub(crate) fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    /// Sends bytes and takes bytes.
    pub(crate) async fn bytes(&self, path: &str, request: Request<Bytes>) -> Result<Bytes, Status> {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(64 << 20)
            .max_encoding_message_size(64 << 20);
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = path.parse().unwrap();
        let answer = grpc.unary(request, path, BytesCodec).await?;
        Ok(answer.into_inner())
    }

    /// Calls a method with a message.
    pub(crate) async fn send(&self, method: &MethodDescriptor, message: Bytes) -> Result<Value, Refusal> {
        let mut request = self.signed(message);
        request.set_timeout(Duration::from_secs(20));
        let answer = self.bytes(&path(method), request).await?;
        Ok(to_json(&DynamicMessage::decode(method.output(), answer).unwrap()))
    }

    /// Opens a stream with bytes as its first message, and says how it failed.
    pub(crate) async fn first_refusal(&self, method: &MethodDescriptor, message: Bytes) -> Refusal {
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = path(method).parse().unwrap();
        let request = self.signed(tokio_stream::once(message));
        let mut stream = match grpc.streaming(request, path, BytesCodec).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return status.into(),
        };
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{}: no refusal", method.name()),
                Err(status) => return status.into(),
            }
        }
    }

    /// Calls a method.
    pub(crate) async fn ask(&self, name: &str, json: Value) -> Result<Value, Refusal> {
        let method = method(name);
        self.send(&method, request(&method, json).encode_to_vec().into()).await
    }

    /// Calls a method that must succeed.
    pub(crate) async fn ok(&self, name: &str, json: Value) -> Value {
        let shown = json.to_string();
        match self.ask(name, json).await {
            Ok(answer) => answer,
            Err(refusal) => panic!("{name} {shown}: {refusal:?}"),
        }
    }

    /// Calls a method that must fail.
    pub(crate) async fn refused(&self, name: &str, json: Value) -> Refusal {
        let shown = json.to_string();
        match self.ask(name, json).await {
            Ok(answer) => panic!("{name} {shown}: {answer}"),
            Err(refusal) => {
                refusal.check(&format!("{name} {shown}"));
                refusal
            }
        }
    }
}

/// Passes messages as they are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Shorthand for what tests read most: `text(&answer, "/room/id")`.
pub(crate) fn text(json: &Value, pointer: &str) -> String {
    let found = json.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_else(|| panic!("no text at {pointer} of {json}")).to_owned()
}

/// A number of an answer.
pub(crate) fn number(json: &Value, pointer: &str) -> i64 {
    let found = json.pointer(pointer).and_then(Value::as_i64);
    found.unwrap_or_else(|| panic!("no number at {pointer} of {json}"))
}

/// The `field` of every element of a list.
pub(crate) fn each(json: &Value, list: &str, field: &str) -> Vec<Value> {
    let list = json.pointer(list).and_then(Value::as_array).unwrap_or_else(|| panic!("no list at {list} of {json}"));
    list.iter().map(|one| one[field].clone()).collect()
}

/// A group with these members, made by `owner`.
pub(crate) async fn group(owner: &User, others: &[i64]) -> String {
    let made = owner
        .ok("CreateRoom", serde_json::json!({"type": "group", "participants": others, "name": "Café de los jueves"}))
        .await;
    text(&made, "/room/id")
}

/// Sends a text; returns the message.
pub(crate) async fn say(user: &User, room: &str, content: &str) -> Value {
    let sent = user.ok("SendMessage", serde_json::json!({"room_id": room, "content": content})).await;
    sent["message"].clone()
}
