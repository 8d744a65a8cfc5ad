//! Attackers with a token who ask for what is dear: long searches, great rooms, hidden pages, sleeping rooms.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tertulia_proto::{
    admin::v1::{PassivateRoomRequest, admin_service_client::AdminServiceClient},
    chat::v1::{
        AddParticipantsRequest, DeleteMessageRequest, GetMessageHistoryRequest, GetRoomParticipantsRequest,
        MarkMessagesAsReadRequest, SearchMessagesRequest,
    },
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{Code, Status};

use crate::{
    Pace, Scale, Seen, Span, Target, Who,
    target::{Caller, Tally, retry_after},
};

/// Those who fill rooms, each within the rate of one user.
const WRITERS: i64 = 40;
/// Users named in one call.
const USERS_PER_CALL: i64 = 1_000;

/// Searches two rooms: one of ordinary messages, one of combining marks.
pub(super) async fn long_rooms(target: &Target, scale: Scale) -> Result<Vec<String>> {
    let writers: Vec<i64> = (1..WRITERS).map(|index| target.user(index)).collect();
    let (plain, marks) =
        (target.group(target.user(0), writers.clone()).await?, target.group(target.user(0), writers).await?);
    let ordinary =
        |n| format!("message {n}: an ordinary line of an ordinary talk, neither long nor short, about the weather");
    target.fill(&plain, 0..WRITERS, scale.pick(20_000, 1_000), ordinary).await?;
    // 64 KiB of marks on one letter.
    let zalgo = |n| format!("{n}a{}", "\u{301}\u{316}".repeat(16_300));
    target.fill(&marks, 0..WRITERS, scale.pick(1_000, 40), zalgo).await?;
    Ok(vec![plain, marks])
}

/// A room of very many.
pub(super) async fn great_room(target: &Target, members: usize) -> Result<Vec<String>> {
    let room = target.group(target.user(0), vec![target.user(1)]).await?;
    let mut caller = target.caller_as(Who { user: target.user(0), admin: true, valid_s: 3_600 })?;
    let mut next = 2;
    while next < i64::try_from(members)? {
        let user_ids = (next..next + USERS_PER_CALL).map(|index| target.user(index)).collect();
        let request = AddParticipantsRequest { room_id: room.clone(), user_ids };
        match caller.add_participants(request).await {
            Ok(_) => next += USERS_PER_CALL,
            Err(status) if status.code() == Code::ResourceExhausted => sleep(retry_after(&status)).await,
            Err(status) => return Err(status).context("fill a great room"),
        }
    }
    Ok(vec![room])
}

/// A room of which the attacker has hidden everything.
pub(super) async fn hidden_room(target: &Target, messages: usize) -> Result<Vec<String>> {
    let room = target.group(target.user(0), (1..WRITERS).map(|index| target.user(index)).collect()).await?;
    target.fill(&room, 0..WRITERS, messages, |n| format!("to be hidden {n}")).await?;
    let mut caller = target.caller(target.user(0))?;
    loop {
        let page =
            GetMessageHistoryRequest { room_id: room.clone(), limit: 200, ..GetMessageHistoryRequest::default() };
        let answer = caller.get_message_history(page).await;
        let messages = match answer {
            Ok(answer) => answer.into_inner().messages,
            Err(status) if status.code() == Code::ResourceExhausted => {
                sleep(retry_after(&status)).await;
                continue;
            }
            Err(status) => return Err(status).context("read what is to be hidden"),
        };
        if messages.is_empty() {
            return Ok(vec![room]);
        }
        for message in messages {
            let hide = DeleteMessageRequest { message_id: message.id, for_me: true };
            while let Err(status) = caller.delete_message(hide).await {
                if status.code() != Code::ResourceExhausted {
                    return Err(status).context("hide a message");
                }
                sleep(retry_after(&status)).await;
            }
        }
    }
}

/// Rooms whose newest messages are as great as they may be, put to sleep.
pub(super) async fn sleeping_rooms(target: &Target, scale: Scale) -> Result<Vec<String>> {
    let others: Vec<i64> = (1..8).map(|index| target.user(index)).collect();
    let mut rooms = Vec::new();
    for _ in 0..scale.pick(16, 3) {
        let room = target.group(target.user(0), others.clone()).await?;
        target.fill(&room, 0..8, scale.pick(256, 32), |n| format!("{n} {}", "w".repeat(65_000))).await?;
        rooms.push(room);
    }
    let who = Who { user: target.user(90_000), admin: true, valid_s: 3_600 };
    let mut admin = AdminServiceClient::with_interceptor(target.endpoint()?.connect_lazy(), target.bearer(who)?);
    for room in &rooms {
        admin.passivate_room(PassivateRoomRequest { room_id: room.clone() }).await.context("put a room to sleep")?;
    }
    Ok(rooms)
}

/// What is asked again and again.
#[derive(Clone, Debug)]
enum Call {
    Search(SearchMessagesRequest),
    Participants(GetRoomParticipantsRequest),
    History(GetMessageHistoryRequest),
    Read(MarkMessagesAsReadRequest),
}

impl Call {
    async fn make(&self, caller: &mut Caller) -> Result<(), Status> {
        match self.clone() {
            Self::Search(request) => caller.search_messages(request).await.map(drop),
            Self::Participants(request) => caller.get_room_participants(request).await.map(drop),
            Self::History(request) => caller.get_message_history(request).await.map(drop),
            Self::Read(request) => caller.mark_messages_as_read(request).await.map(drop),
        }
    }
}

/// Calls of one user, some at the same time and all within one rate, until the span ends.
async fn storm(target: &Target, what: &str, at_once: usize, span: &Span, calls: Vec<Call>) -> Result<Seen> {
    let (calls, pace) = (Arc::new(calls), target.pace());
    let mut lanes = JoinSet::new();
    for lane in 0..at_once {
        let mut caller = target.caller(target.user(0))?;
        let (calls, pace, span): (_, Pace, _) = (Arc::clone(&calls), pace.clone(), span.clone());
        lanes.spawn(async move {
            let (mut tally, mut longest) = (Tally::default(), Duration::ZERO);
            for index in lane.. {
                pace.turn().await;
                if span.is_over() {
                    break;
                }
                let began = Instant::now();
                let answer = calls[index % calls.len()].make(&mut caller).await;
                longest = longest.max(began.elapsed());
                if let Err(status) = &answer {
                    tokio::select! {
                        () = sleep(retry_after(status)) => {}
                        () = span.end() => {}
                    }
                }
                tally.count(&answer);
            }
            (tally, longest)
        });
    }
    let (mut tally, mut longest) = (Tally::default(), Duration::ZERO);
    for (of_lane, took) in lanes.join_all().await {
        tally.merge(of_lane);
        longest = longest.max(took);
    }
    Ok(Seen::line(format!(
        "{what}, {at_once} at a time: {tally}; the longest took {:.0} ms",
        longest.as_secs_f64() * 1e3
    )))
}

pub(super) async fn search(target: &Target, rooms: &[String], at_once: usize, span: &Span) -> Result<Seen> {
    let search = |room: &String| {
        let query = "what nobody has said".to_owned();
        Call::Search(SearchMessagesRequest { room_id: room.clone(), query, ..SearchMessagesRequest::default() })
    };
    storm(target, "searches for what is not there", at_once, span, rooms.iter().map(search).collect()).await
}

pub(super) async fn participants(target: &Target, rooms: &[String], at_once: usize, span: &Span) -> Result<Seen> {
    let query = "nobody is called so".to_owned();
    let request =
        GetRoomParticipantsRequest { room_id: rooms[0].clone(), query, ..GetRoomParticipantsRequest::default() };
    storm(target, "participants by a name that nobody has", at_once, span, vec![Call::Participants(request)]).await
}

pub(super) async fn history(target: &Target, rooms: &[String], at_once: usize, span: &Span) -> Result<Seen> {
    let request = GetMessageHistoryRequest { room_id: rooms[0].clone(), ..GetMessageHistoryRequest::default() };
    storm(target, "pages of a room that is hidden whole", at_once, span, vec![Call::History(request)]).await
}

pub(super) async fn wake(target: &Target, rooms: &[String], span: &Span) -> Result<Seen> {
    let mark = |room: &String| {
        Call::Read(MarkMessagesAsReadRequest { room_id: room.clone(), ..MarkMessagesAsReadRequest::default() })
    };
    let marks: Vec<Call> = rooms.iter().map(mark).collect();
    // The same from somebody who has no business there.
    let stranger = Target { user_base: target.user(50_000), ..target.clone() };
    let (member, other) = tokio::join!(
        storm(target, "rooms woken by a member", 4, span, marks.clone()),
        storm(&stranger, "rooms knocked at by a stranger", 4, span, marks),
    );
    let (mut seen, other) = (member?, other?);
    seen.lines.extend(other.lines);
    Ok(seen)
}
