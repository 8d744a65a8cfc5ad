//! The API as a whole: nothing that is described is missing, and nothing else is there.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tertulia_proto::chat::v1 as pb;
use tonic::Code;

use crate::{
    caller::{POOL, Refusal, path},
    sandbox::Sandbox,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_of_every_service_is_implemented() {
    let sandbox = Sandbox::start().await;
    let admin = sandbox.admin();
    let mut unary = 0;
    for service in POOL.services() {
        for method in service.methods() {
            if method.is_client_streaming() || method.is_server_streaming() {
                continue;
            }
            unary += 1;
            let empty = DynamicMessage::new(method.input()).encode_to_vec();
            if let Err(refusal) = admin.send(&method, empty.into()).await {
                refusal.check(method.full_name());
                assert_ne!(refusal.code, Code::Unimplemented, "{}", method.full_name());
            }
        }
    }
    assert_eq!(unary, 35 + 3 + 8, "chat, tokens, admin: a new method needs tests of its own");
    let refusal = admin.try_listen(pb::StreamMessagesRequest::default()).await.err().unwrap();
    refusal.is(Code::InvalidArgument, "client_id_needed", "");
    let mut session = admin.session(pb::SessionOpen::default()).await.unwrap();
    session.end().await.unwrap().is(Code::InvalidArgument, "client_id_needed", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_unimplemented() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    for path in ["/chat.v1.ChatService/Fly", "/chat.v2.ChatService/GetRoom", "/tokens.v1.TokensService/Fly"] {
        let answer = ana.bytes(path, ana.signed(Bytes::new())).await;
        let refusal = Refusal::from(answer.unwrap_err());
        refusal.is(Code::Unimplemented, "unknown_command", "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_carry_every_unary_method_of_the_chat() {
    let chat = POOL.get_service_by_name("chat.v1.ChatService").unwrap();
    let commands = POOL.get_message_by_name("chat.v1.SessionRequest").unwrap();
    let replies = POOL.get_message_by_name("chat.v1.SessionReply").unwrap();
    for method in chat.methods().filter(|method| !method.is_server_streaming()) {
        let command = commands.fields().find(|field| field.kind().as_message() == Some(&method.input()));
        let reply = replies.fields().find(|field| field.kind().as_message() == Some(&method.output()));
        assert!(
            command.is_some() && command.as_ref().map(|f| f.number()) == reply.map(|f| f.number()),
            "{}",
            path(&method)
        );
    }
}
