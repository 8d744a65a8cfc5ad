//! Every field of every method with values that nobody should send: the answer is a good one or a documented refusal.
//!
//! Driven by the descriptors, so that a field that is added is covered on the day it is added.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, MethodDescriptor, Value,
};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};
use tonic::Code;

use crate::{
    caller::{POOL, User, group, method, request, say},
    sandbox::Sandbox,
};

/// A room in the state that most methods need: two members, two messages.
struct Scene {
    room: String,
    message: i64,
}

impl Scene {
    async fn set(ana: &User, ben: &User) -> Self {
        let room = group(ana, &[2, 3]).await;
        let message = say(ana, &room, "una").await;
        say(ben, &room, "dos").await;
        Self { room, message: message["id"].as_i64().unwrap() }
    }

    /// A good request of a method: by the names of its fields, which mean the same everywhere.
    fn good(&self, method: &MethodDescriptor) -> DynamicMessage {
        let mut json = serde_json::Map::new();
        for field in method.input().fields() {
            let value = match (field.name(), method.name()) {
                ("room_id", _) => json!(self.room),
                ("message_id", _) => json!(self.message),
                ("user_ids", _) => json!([3]),
                ("user_id", "UpdateParticipant") => json!(2),
                ("user_id", _) => json!(4),
                ("type", "CreateRoom") => json!("group"),
                ("participants", _) => json!([2]),
                ("name" | "query" | "content" | "reaction" | "source" | "position", _) => {
                    json!("texto")
                }
                ("client_id", _) => json!("c"),
                ("token", "RegisterToken") => {
                    json!({"token": "t", "platform": "IOS", "client_id": "c"})
                }
                _ => continue,
            };
            json.insert(field.name().to_owned(), value);
        }
        if method.name() == "ExplainUnread" {
            json.remove("user_id");
        }
        request(method, json.into())
    }
}

fn strings() -> Vec<Value> {
    let unknown = "7f1c1d2e-0000-4000-8000-00000000beef";
    let long = "x".repeat(70_000);
    ["", " ", "\0", "no-uuid", unknown, "AAAA", "../../etc", "' OR 1=1 --", "\u{202e}é̀🙈", &"x".repeat(300), &long]
        .map(|text| Value::String(text.to_owned()))
        .into()
}

/// Values of one scalar that a careless or hostile client might send.
fn scalars(kind: &Kind) -> Vec<Value> {
    match kind {
        Kind::String => strings(),
        Kind::Int64 => [i64::MIN, -1, 0, 1, 4_242, i64::MAX].map(Value::I64).into(),
        Kind::Int32 => [i32::MIN, -1, 0, 1, 1_000_000, i32::MAX].map(Value::I32).into(),
        Kind::Uint64 => [0, u64::MAX].map(Value::U64).into(),
        Kind::Bool => [true, false].map(Value::Bool).into(),
        Kind::Enum(_) => [-1, 0, 1, 2, 99, i32::MAX].map(Value::EnumNumber).into(),
        Kind::Message(message) => messages(message).into_iter().map(Value::Message).collect(),
        other => panic!("a kind without bad values: {other:?}"),
    }
}

/// Empty, and with each field alone bad.
fn messages(message: &MessageDescriptor) -> Vec<DynamicMessage> {
    let mut all = vec![DynamicMessage::new(message.clone())];
    for field in message.fields() {
        for bad in values(&field) {
            let mut one = DynamicMessage::new(message.clone());
            one.set_field(&field, bad);
            all.push(one);
        }
    }
    all
}

/// Bad values of a field, whatever its shape.
fn values(field: &FieldDescriptor) -> Vec<Value> {
    let kind = field.kind();
    if field.is_map() {
        let pair = |key: String, value: &Value| Value::Map([(MapKey::String(key), value.clone())].into());
        let entry = kind.as_message().unwrap().clone();
        let value_field = entry.map_entry_value_field();
        let any = scalars(&value_field.kind()).swap_remove(0);
        let many = (0..2_000).map(|n| (MapKey::String(n.to_string()), any.clone())).collect();
        let mut all = vec![Value::Map(many), pair(String::new(), &any), pair("k".repeat(70_000), &any)];
        all.extend(scalars(&value_field.kind()).iter().map(|value| pair("k".to_owned(), value)));
        all
    } else if field.cardinality() == Cardinality::Repeated {
        let each = scalars(&kind);
        let many = vec![each[each.len() / 2].clone(); 2_000];
        let distinct = (1..2_000).map(Value::I64).collect();
        let mut all = vec![Value::List(Vec::new()), Value::List(many)];
        if matches!(kind, Kind::Int64) {
            all.push(Value::List(distinct));
        }
        all.extend(each.into_iter().map(|value| Value::List(vec![value])));
        all
    } else {
        scalars(&kind)
    }
}

fn unary_methods() -> Vec<MethodDescriptor> {
    POOL.services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|method| !method.is_client_streaming() && !method.is_server_streaming())
        .collect()
}

async fn probe(user: &User, method: &MethodDescriptor, message: &DynamicMessage) {
    if let Err(refusal) = user.send(method, message.encode_to_vec().into()).await {
        let mut shown = format!("{} {message:?}", method.name());
        shown.truncate(400);
        refusal.check(&shown);
        assert_ne!(refusal.code, Code::Unimplemented, "{shown}");
        let of_a_field = ["missing_field", "too_long", "too_many", "out_of_range", "malformed", "not_allowed_here"];
        if of_a_field.contains(&refusal.reason.as_str()) {
            assert_eq!(refusal.code, Code::InvalidArgument, "{shown}: {refusal:?}");
            assert!(!refusal.info.field.is_empty(), "{shown}: no field: {refusal:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_values_are_refused_and_nobody_else_notices() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let beside = group(&sandbox.user(7), &[8]).await;
    let mut bystander = sandbox.user(8).listen("phone", &[(&beside, 1)]).await;
    let at_once = Arc::new(Semaphore::new(8));
    let mut probes = JoinSet::new();
    for method in unary_methods() {
        let admin = method.parent_service().full_name() == "admin.v1.AdminService";
        let (user, ana, ben) = (if admin { sandbox.admin() } else { ana.clone() }, ana.clone(), ben.clone());
        let at_once = Arc::clone(&at_once);
        probes.spawn(async move {
            let _permit = at_once.acquire_owned().await.unwrap();
            let scene = Scene::set(&ana, &ben).await;
            let good = scene.good(&method);
            for field in method.input().fields() {
                for bad in values(&field) {
                    let mut message = good.clone();
                    message.set_field(&field, bad);
                    probe(&user, &method, &message).await;
                }
            }
            if let Err(refusal) = user.send(&method, good.encode_to_vec().into()).await {
                // Used up by a probe that was good after all.
                refusal.check(method.name());
            }
        });
    }
    let seven = sandbox.user(7);
    let mut said = 0;
    while !probes.is_empty() {
        while let Some(done) = probes.try_join_next() {
            done.unwrap();
        }
        say(&seven, &beside, &said.to_string()).await;
        said += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    say(&seven, &beside, "fin").await;
    let mut expected: Vec<String> = (0..said).map(|n| n.to_string()).collect();
    expected.push("fin".to_owned());
    assert_eq!(bystander.contents_until("fin").await, expected);
}

/// For each enum in a message, at any depth: the message with a number there that means nothing. With its path.
fn unknown_numbers(message: &MessageDescriptor) -> Vec<(String, DynamicMessage)> {
    let mut all = Vec::new();
    for field in message.fields() {
        let inner = match field.kind() {
            Kind::Enum(_) => vec![(field.name().to_owned(), Value::EnumNumber(99))],
            Kind::Message(inner) if field.cardinality() != Cardinality::Repeated => unknown_numbers(&inner)
                .into_iter()
                .map(|(path, inner)| (format!("{}.{path}", field.name()), Value::Message(inner)))
                .collect(),
            _ => Vec::new(),
        };
        for (path, value) in inner {
            let mut one = DynamicMessage::new(message.clone());
            one.set_field(&field, value);
            all.push((path, one));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_that_no_enum_has_are_out_of_range() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let scene = Scene::set(&ana, &ben).await;
    let mut enums = 0;
    for method in unary_methods() {
        for (path, unknown) in unknown_numbers(&method.input()) {
            let mut message = scene.good(&method);
            let top = path.split('.').next().unwrap();
            message.set_field_by_name(top, unknown.get_field_by_name(top).unwrap().into_owned());
            let refusal = ana.send(&method, message.encode_to_vec().into()).await.unwrap_err();
            refusal.is(Code::InvalidArgument, "out_of_range", &path);
            enums += 1;
        }
    }
    assert!(enums >= 5, "{enums}");
}

/// Protobuf's length-delimited field.
fn field_bytes(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out.to_vec()
}

/// A message for each string in it, at any depth: that string is not UTF-8, and nothing else is there. With its path.
fn not_utf8(message: &MessageDescriptor) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for field in message.fields() {
        match field.kind() {
            Kind::String => all.push((field.name().to_owned(), field_bytes(field.number(), b"\xff\xfe\x80"))),
            Kind::Message(inner) => all.extend(
                not_utf8(&inner)
                    .into_iter()
                    .map(|(path, bytes)| (format!("{}.{path}", field.name()), field_bytes(field.number(), &bytes))),
            ),
            _ => {}
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_utf8_or_no_message_is_malformed() {
    let sandbox = Sandbox::start().await;
    let (admin, ana) = (sandbox.admin(), sandbox.user(1));
    let mut strings = 0;
    for method in unary_methods() {
        for (path, bytes) in not_utf8(&method.input()) {
            let refusal = admin.send(&method, bytes.into()).await.unwrap_err();
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::InvalidArgument, "malformed"),
                "{} {path}: {refusal:?}",
                method.name()
            );
            let first = path.split('.').next().unwrap();
            assert!(refusal.info.field.starts_with(first), "{} {path}: {refusal:?}", method.name());
            refusal.check(&path);
            strings += 1;
        }
        for garbage in [&[0xff_u8; 9][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0a], &[0x0b], &[0x07]] {
            let refusal = admin.send(&method, Bytes::copy_from_slice(garbage)).await.unwrap_err();
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::InvalidArgument, "malformed"),
                "{}: {refusal:?}",
                method.name()
            );
        }
    }
    assert!(strings > 40, "{strings}");
    for name in ["StreamMessages", "Session"] {
        let method = method(name);
        for bytes in not_utf8(&method.input()).into_iter().map(|(_, bytes)| bytes).chain([vec![0xff; 9]]) {
            let refusal = ana.first_refusal(&method, bytes.into()).await;
            assert_eq!(
                (refusal.code, refusal.reason.as_str()),
                (Code::InvalidArgument, "malformed"),
                "{name}: {refusal:?}"
            );
        }
    }
}
