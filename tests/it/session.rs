//! Sessions: the same commands with numbers going in, answers and events coming out.

use tertulia_proto::chat::v1::{
    self as pb, event::Event as Happened, session_reply::Result as Answer, session_request::Command,
};
use tonic::Code;

use crate::{
    caller::{group, say},
    listener::send,
    sandbox::Sandbox,
};

fn open(client_id: &str) -> pb::SessionOpen {
    pb::SessionOpen { client_id: client_id.to_owned(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_are_pipelined_and_events_come_beside() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut session = ben.session(open("bot")).await.unwrap();
    session.event(|event| matches!(event.event, Some(Happened::Connected(_))).then_some(())).await;
    let mut posted = Vec::new();
    for n in 0..300 {
        posted.push(session.post(Some(send(&id, &n.to_string()))).await);
    }
    for (n, request) in posted.into_iter().enumerate() {
        let Answer::SendMessage(sent) = session.answer(request).await else { panic!("not an ack") };
        let message = sent.message.unwrap();
        assert_eq!(message.content, n.to_string());
        assert_eq!(message.n, i64::try_from(n).unwrap() + 1, "in the order they were given");
    }
    say(&ana, &id, "eco").await;
    let from_ana = session.event(|event| match &event.event {
        Some(Happened::Message(message)) if message.sender_id == 1 => Some(event.seq),
        _ => None,
    });
    assert_eq!(from_ana.await, 302);
    let Answer::GetRoom(room) = session.ask(Command::GetRoom(pb::GetRoomRequest { room_id: id.clone() })).await else {
        panic!("not a room")
    };
    assert_eq!(room.room.unwrap().last_n, 301);

    let Answer::Error(error) = session.ask(Command::GetRoom(pb::GetRoomRequest { room_id: "nada".to_owned() })).await
    else {
        panic!("no error")
    };
    let info = error.info.unwrap();
    assert_eq!(
        (error.code, info.reason.as_str(), info.field.as_str()),
        (Code::InvalidArgument as i32, "malformed", "room_id")
    );
    let empty = session.post(None).await;
    let Answer::Error(error) = session.answer(empty).await else { panic!("no error") };
    assert_eq!(error.info.unwrap().reason, "unknown_command");
    let Answer::Error(error) = session.ask(Command::Open(open("again"))).await else { panic!("no error") };
    assert_eq!(error.info.unwrap().reason, "unknown_command");
    let Answer::SendMessage(_) = session.ask(send(&id, "sigue viva")).await else { panic!("not an ack") };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_resumes_and_ends_as_told() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    for n in 0..5 {
        say(&ana, &id, &n.to_string()).await;
    }
    let resumed = pb::SessionOpen { cursors: [(id.clone(), 3)].into(), ..open("bot") };
    let mut session = ben.session(resumed).await.unwrap();
    for seq in 4..=6 {
        session.event(|event| (event.seq == seq).then_some(())).await;
    }
    let mut quiet = ben.session(pb::SessionOpen { commands_only: true, ..open("quiet") }).await.unwrap();
    let Answer::SendMessage(_) = quiet.ask(send(&id, "de paso")).await else { panic!("not an ack") };
    session.event(|event| (event.seq == 7).then_some(())).await;
    assert!(quiet.events.iter().all(|event| event.seq == 0), "{:?}", quiet.events);

    let last = quiet.post(Some(send(&id, "adiós"))).await;
    let crate::listener::Session { requests, .. } = &mut quiet;
    *requests = tokio::sync::mpsc::channel(1).0;
    let Answer::SendMessage(_) = quiet.answer(last).await else { panic!("not an ack") };
    assert_eq!(quiet.end().await, None, "whoever stops talking is answered and let go");

    let mut replaced = ben.session(open("bot")).await.unwrap();
    session.end().await.unwrap().is(Code::Aborted, "stream_replaced", "");
    let Answer::SendMessage(_) = replaced.ask(send(&id, "yo")).await else { panic!("not an ack") };

    let wrong = tokio_stream::iter([pb::SessionRequest { request_id: 1, command: Some(send(&id, "x")) }]);
    let mut answer = ben.stub().session(ben.signed(wrong)).await.unwrap().into_inner();
    let refusal = crate::caller::Refusal::from(answer.message().await.unwrap_err());
    refusal.is(Code::FailedPrecondition, "session_not_open", "");
}
