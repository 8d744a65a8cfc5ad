//! The live client against a server that is small enough to be wrong on purpose.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use parking_lot::Mutex;
use tertulia_proto::chat::v1::{
    self as pb, Event, Room, SessionOpen, SessionReply, SessionRequest, SessionResponse,
    chat_service_server::{ChatService, ChatServiceServer},
    event, session_response,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    time::timeout,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, transport::Server};

use super::{
    Backoff, Client, ClientError, ClientOptions, Command, LiveClient, LiveItem, LiveMode, LiveOptions, Reply,
    commands::LiveCommands,
};

const ROOM: &str = "00000000-0000-7000-8000-000000000001";

/// What a stream does besides what it should.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Breaks after so many events.
    CutAfter(usize),
    /// Sends the last event that the client has seen once more.
    RepeatSeen,
    /// Says nothing at all after it was opened.
    Silent,
    /// Refuses to open.
    Refuse(tonic::Code, &'static str),
}

#[derive(Default)]
struct World {
    log: Vec<Event>,
    opens: Vec<SessionOpen>,
    faults: VecDeque<Fault>,
    rooms: Vec<Room>,
    tokens: Vec<String>,
    sends: Vec<String>,
    send_errors: VecDeque<Status>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<World>>);

impl Fake {
    /// A room with messages of these seqs.
    fn with_log(seqs: std::ops::RangeInclusive<i64>) -> Self {
        let fake = Self::default();
        fake.extend(seqs);
        fake
    }

    fn extend(&self, seqs: std::ops::RangeInclusive<i64>) {
        self.0.lock().log.extend(seqs.map(message));
    }

    fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().faults.extend(faults);
    }

    fn cursors_of_opens(&self) -> Vec<Option<i64>> {
        self.0.lock().opens.iter().map(|open| open.cursors.get(ROOM).copied()).collect()
    }

    /// The attempts' numbers, all of one process.
    fn attempts(&self) -> Vec<u64> {
        let attempts: Vec<pb::StreamAttempt> = self.0.lock().opens.iter().map(|open| open.attempt.unwrap()).collect();
        assert!(attempts.iter().all(|attempt| attempt.process == attempts[0].process));
        attempts.iter().map(|attempt| attempt.number).collect()
    }

    fn open(&self, open: SessionOpen) -> Result<BoxStream<'static, Result<Event, Status>>, Status> {
        let mut world = self.0.lock();
        let fault = world.faults.pop_front();
        if let Some(Fault::Refuse(code, reason)) = fault {
            let mut status = Status::new(code, "no");
            status.metadata_mut().insert("tertulia-reason", reason.parse().unwrap());
            return Err(status);
        }
        let after = open.cursors.get(ROOM).copied().unwrap_or(0);
        let from = if matches!(fault, Some(Fault::RepeatSeen)) { after - 1 } else { after };
        world.opens.push(open);
        let events = world.log.iter().filter(|event| event.seq > from).cloned().map(Ok);
        let mut frames: Vec<Result<Event, Status>> = vec![Ok(connected())];
        frames.extend(events);
        Ok(match fault {
            Some(Fault::CutAfter(count)) => {
                frames.truncate(1 + count);
                frames.push(Err(Status::unavailable("cut")));
                stream::iter(frames).boxed()
            }
            Some(Fault::Silent) => stream::iter(vec![Ok(connected())]).chain(stream::pending()).boxed(),
            _ => stream::iter(frames).chain(stream::pending()).boxed(),
        })
    }
}

fn message(seq: i64) -> Event {
    let message = pb::Message { id: 1_000 + seq, seq, n: seq, ..Default::default() };
    event(seq, event::Event::Message(message))
}

fn event(seq: i64, body: event::Event) -> Event {
    Event { room_id: ROOM.to_owned(), seq, event: Some(body), ..Event::default() }
}

fn connected() -> Event {
    Event { event: Some(event::Event::Connected(pb::Connected { interval_s: 15 })), ..Event::default() }
}

fn no<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in this fake"))
}

macro_rules! fake_service {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        #[tonic::async_trait]
        impl ChatService for Fake {
            $(async fn $name(&self, _: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                no()
            })*

            async fn get_rooms(
                &self,
                request: Request<pb::GetRoomsRequest>,
            ) -> Result<Response<pb::GetRoomsResponse>, Status> {
                let mut world = self.0.lock();
                let token = request.metadata().get("authorization").unwrap().to_str().unwrap();
                world.tokens.push(token.to_owned());
                // One room a page, the first one twice: rooms move while one reads.
                let page = request.into_inner().cursor.parse().unwrap_or(0_usize);
                let rooms: Vec<Room> = world.rooms.iter().skip(page.saturating_sub(1)).take(1).cloned().collect();
                let more = page < world.rooms.len();
                let next_cursor = if more { (page + 1).to_string() } else { String::new() };
                Ok(Response::new(pb::GetRoomsResponse { rooms, next_cursor, ..Default::default() }))
            }

            async fn send_message(
                &self,
                request: Request<pb::SendMessageRequest>,
            ) -> Result<Response<pb::SendMessageResponse>, Status> {
                let mut world = self.0.lock();
                world.sends.push(request.into_inner().client_message_id);
                world.send_errors.pop_front().map_or_else(|| Ok(Response::new(Default::default())), Err)
            }

            async fn get_room(&self, _: Request<pb::GetRoomRequest>) -> Result<Response<pb::GetRoomResponse>, Status> {
                // Later than any deadline of these tests.
                tokio::time::sleep(Duration::from_secs(60)).await;
                no()
            }

            type StreamMessagesStream = BoxStream<'static, Result<Event, Status>>;

            async fn stream_messages(
                &self,
                request: Request<pb::StreamMessagesRequest>,
            ) -> Result<Response<Self::StreamMessagesStream>, Status> {
                let pb::StreamMessagesRequest { client_id, room_id, cursors, presence_of, attempt } = request.into_inner();
                let open = SessionOpen { client_id, room_id, cursors, presence_of, attempt, commands_only: false };
                Ok(Response::new(self.open(open)?))
            }

            type SessionStream = BoxStream<'static, Result<SessionResponse, Status>>;

            async fn session(
                &self,
                request: Request<Streaming<SessionRequest>>,
            ) -> Result<Response<Self::SessionStream>, Status> {
                let mut requests = request.into_inner();
                let first = requests.message().await?.unwrap();
                let Some(Command::Open(open)) = first.command else { panic!("the first command must open") };
                let events = self.open(open)?.map(|event| {
                    Ok(SessionResponse { frame: Some(session_response::Frame::Event(event?)) })
                });
                let replies = requests.map(|request| {
                    let frame = session_response::Frame::Reply(answer(request?));
                    Ok(SessionResponse { frame: Some(frame) })
                });
                // Ends with the events: a cut takes everything with it.
                let both = stream::select(events.map(Some).chain(stream::iter([None])), replies.map(Some));
                Ok(Response::new(both.take_while(|frame| {
                    let goes_on = frame.is_some();
                    async move { goes_on }
                }).filter_map(|frame| async { frame }).boxed()))
            }
        }
    };
}

/// Sends are acknowledged, but for the content "refuse"; "ignore" is never answered.
fn answer(request: SessionRequest) -> SessionReply {
    let Some(Command::SendMessage(send)) = request.command else { panic!("only sends") };
    let result = if send.content == "refuse" {
        Reply::Error(pb::SessionError { code: 7, message: "no".to_owned(), info: None })
    } else {
        let message = pb::Message { content: send.content, ..Default::default() };
        Reply::SendMessage(pb::SendMessageResponse { message: Some(message), ..Default::default() })
    };
    SessionReply { request_id: request.request_id, result: Some(result) }
}

fake_service! {
    create_room(CreateRoomRequest) -> CreateRoomResponse;
    update_room(UpdateRoomRequest) -> UpdateRoomResponse;
    delete_room(DeleteRoomRequest) -> DeleteRoomResponse;
    get_room_participants(GetRoomParticipantsRequest) -> GetRoomParticipantsResponse;
    add_participants(AddParticipantsRequest) -> AddParticipantsResponse;
    remove_participants(RemoveParticipantsRequest) -> RemoveParticipantsResponse;
    update_participant(UpdateParticipantRequest) -> UpdateParticipantResponse;
    leave_room(LeaveRoomRequest) -> LeaveRoomResponse;
    set_room_preferences(SetRoomPreferencesRequest) -> SetRoomPreferencesResponse;
    get_join_progress(GetJoinProgressRequest) -> GetJoinProgressResponse;
    get_privacy(GetPrivacyRequest) -> GetPrivacyResponse;
    set_privacy(SetPrivacyRequest) -> SetPrivacyResponse;
    block_user(BlockUserRequest) -> BlockUserResponse;
    unblock_user(UnblockUserRequest) -> UnblockUserResponse;
    get_blocked_users(GetBlockedUsersRequest) -> GetBlockedUsersResponse;
    get_message(GetMessageRequest) -> GetMessageResponse;
    get_message_history(GetMessageHistoryRequest) -> GetMessageHistoryResponse;
    edit_message(EditMessageRequest) -> EditMessageResponse;
    delete_message(DeleteMessageRequest) -> DeleteMessageResponse;
    react_to_message(ReactToMessageRequest) -> ReactToMessageResponse;
    mark_messages_as_read(MarkMessagesAsReadRequest) -> MarkMessagesAsReadResponse;
    mark_messages_as_delivered(MarkMessagesAsDeliveredRequest) -> MarkMessagesAsDeliveredResponse;
    search_messages(SearchMessagesRequest) -> SearchMessagesResponse;
    pin_message(PinMessageRequest) -> PinMessageResponse;
    unpin_message(UnpinMessageRequest) -> UnpinMessageResponse;
    get_pinned_messages(GetPinnedMessagesRequest) -> GetPinnedMessagesResponse;
    get_message_receipts(GetMessageReceiptsRequest) -> GetMessageReceiptsResponse;
    set_typing(SetTypingRequest) -> SetTypingResponse;
    get_presence(GetPresenceRequest) -> GetPresenceResponse;
    explain_unread(ExplainUnreadRequest) -> ExplainUnreadResponse;
    set_sync_state(SetSyncStateRequest) -> SetSyncStateResponse;
    get_sync_state(GetSyncStateRequest) -> GetSyncStateResponse;
}

/// The fake behind a real socket, in a runtime of its own: dropping it cuts every connection.
struct Running {
    at: SocketAddr,
    home: Option<Runtime>,
}

impl Running {
    /// Serves from another thread.
    async fn start(fake: &Fake, at: Option<SocketAddr>) -> Self {
        let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (fake, at) = (fake.clone(), at.unwrap_or_else(any));
        let at = home.spawn(serve(fake, at)).await.unwrap();
        Self { at, home: Some(home) }
    }

    /// Serves from the test's own thread, so that both follow one paused clock.
    async fn start_here(fake: &Fake) -> Self {
        Self { at: serve(fake.clone(), any()).await, home: None }
    }

    fn client(&self) -> Client {
        let options = ClientOptions::new(format!("http://{}", self.at), "secret");
        Client::connect_lazy(&options).unwrap().with_deadline(Duration::from_millis(500))
    }

    fn live(&self, mode: LiveMode, cursors: Option<HashMap<String, i64>>) -> LiveClient {
        let backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(20));
        let client_id = "test".to_owned();
        let options = LiveOptions { client_id, mode, cursors, backoff, user_id: 1, ..LiveOptions::default() };
        LiveClient::new(self.client(), options)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.shutdown_background();
        }
    }
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn serve(fake: Fake, at: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(at).await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = Server::builder().add_service(ChatServiceServer::new(fake));
    Handle::current().spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    at
}

fn at(seq: i64) -> Option<HashMap<String, i64>> {
    Some(HashMap::from([(ROOM.to_owned(), seq)]))
}

async fn item(live: &mut LiveClient) -> LiveItem {
    timeout(Duration::from_secs(10), live.next()).await.expect("an item within 10 s").expect("no final error")
}

/// The seqs of the next events, whatever happens to the connection meanwhile.
async fn seqs(live: &mut LiveClient, count: usize) -> Vec<i64> {
    let mut seqs = Vec::new();
    while seqs.len() < count {
        if let LiveItem::Event(event) = item(live).await {
            seqs.push(event.seq);
        }
    }
    seqs
}

#[tokio::test]
async fn a_cut_stream_resumes_after_the_last_event_handed_on() {
    for mode in [LiveMode::Session, LiveMode::Stream] {
        let fake = Fake::with_log(1..=10);
        fake.faults([Fault::CutAfter(3), Fault::CutAfter(0), Fault::CutAfter(4)]);
        let server = Running::start(&fake, None).await;
        let mut live = server.live(mode, at(0));
        assert_eq!(seqs(&mut live, 10).await, (1..=10).collect::<Vec<_>>(), "{mode:?}");
        assert_eq!(fake.cursors_of_opens(), [Some(0), Some(3), Some(3), Some(7)], "{mode:?}");
        assert_eq!(fake.attempts(), [1, 2, 3, 4], "{mode:?}");
        let stats = live.stats();
        assert_eq!((stats.opened, stats.events, stats.duplicates, stats.gaps), (4, 10, 0, 0), "{mode:?}");
    }
}

#[tokio::test]
async fn an_event_sent_twice_is_handed_on_once_and_counted() {
    let fake = Fake::with_log(1..=6);
    fake.faults([Fault::CutAfter(3), Fault::RepeatSeen]);
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, at(0));
    assert_eq!(seqs(&mut live, 6).await, (1..=6).collect::<Vec<_>>());
    assert_eq!(live.stats().duplicates, 1);
    assert_eq!(live.cursors()[ROOM], 6);
}

#[tokio::test]
async fn a_missing_event_is_counted() {
    let fake = Fake::with_log(1..=2);
    fake.extend(4..=4);
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, at(0));
    assert_eq!(seqs(&mut live, 3).await, [1, 2, 4]);
    assert_eq!(live.stats().gaps, 1);
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_is_found_again() {
    let fake = Fake::with_log(1..=2);
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, at(0));
    assert_eq!(seqs(&mut live, 2).await, [1, 2]);
    let address = server.at;
    drop(server);
    while !matches!(item(&mut live).await, LiveItem::Down { .. }) {}
    // Nobody listens now.
    while !matches!(item(&mut live).await, LiveItem::Down { .. }) {}
    fake.extend(3..=5);
    let _server = Running::start(&fake, Some(address)).await;
    assert_eq!(seqs(&mut live, 3).await, [3, 4, 5]);
    assert_eq!(fake.cursors_of_opens(), [Some(0), Some(2)]);
}

#[tokio::test]
async fn next_may_be_dropped_at_any_await() {
    let fake = Fake::with_log(1..=200);
    fake.faults([Fault::CutAfter(50), Fault::CutAfter(50)]);
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, at(0));
    let mut seen = Vec::new();
    while seen.len() < 200 {
        // Polled once and dropped if not ready.
        match futures_util::FutureExt::now_or_never(live.next()) {
            Some(Ok(LiveItem::Event(event))) => seen.push(event.seq),
            Some(other) => drop(other.unwrap()),
            None => tokio::time::sleep(Duration::from_micros(200)).await,
        }
    }
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_cursors_the_present_state_is_where_it_starts() {
    let fake = Fake::with_log(1..=9);
    let room = |id: &str, last_seq| Room { id: id.to_owned(), last_seq, ..Room::default() };
    fake.0.lock().rooms = vec![room(ROOM, 7), room("other", 3)];
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, None);
    assert!(matches!(item(&mut live).await, LiveItem::Up));
    assert_eq!(seqs(&mut live, 2).await, [8, 9]);
    let open = fake.0.lock().opens[0].clone();
    assert_eq!(open.cursors, HashMap::from([(ROOM.to_owned(), 7), ("other".to_owned(), 3)]));
    assert_eq!(fake.0.lock().tokens[0], "Bearer secret");
}

#[tokio::test]
async fn rooms_that_came_while_there_were_none_are_announced() {
    let fake = Fake::default();
    fake.faults([Fault::CutAfter(0)]);
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, None);
    assert!(matches!(item(&mut live).await, LiveItem::Up));
    assert!(matches!(item(&mut live).await, LiveItem::Down { .. }));
    fake.0.lock().rooms = vec![Room { id: ROOM.to_owned(), last_seq: 4, ..Room::default() }];
    assert!(matches!(item(&mut live).await, LiveItem::Up));
    let LiveItem::Event(event) = item(&mut live).await else { panic!("the room is announced") };
    assert!(matches!(event.event, Some(event::Event::RoomJoin(join)) if join.room.is_some()));
    assert_eq!(live.cursors()[ROOM], 4);
}

#[tokio::test]
async fn resync_join_and_leave_are_handed_on_and_move_the_cursors() {
    let fake = Fake::default();
    let resync = pb::ResyncRequired { from_seq: 1, resumed_after_seq: 20, drop_up_to_seq: 20 };
    let left = pb::RoomLeave { user_ids: vec![1], removed: true, ..Default::default() };
    fake.0.lock().log = vec![
        Event { seq: 0, ..event(0, event::Event::ResyncRequired(resync)) },
        message(21),
        event(22, event::Event::RoomJoin(pb::RoomJoin::default())),
        event(23, event::Event::RoomLeave(left)),
    ];
    // The filter of the fake lets events without seq pass only from below 0.
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, at(-1));
    assert_eq!(seqs(&mut live, 4).await, [0, 21, 22, 23]);
    assert_eq!((live.stats().resyncs, live.stats().gaps, live.stats().duplicates), (1, 0, 0));
    assert!(live.cursors().is_empty(), "a room one was removed from is not asked for again");
}

#[tokio::test]
async fn what_no_retry_changes_is_an_error_and_the_rest_is_not() {
    let fake = Fake::default();
    fake.faults([
        Fault::Refuse(tonic::Code::Unavailable, "starting"),
        Fault::Refuse(tonic::Code::Aborted, "stream_replaced"),
        Fault::Refuse(tonic::Code::Unauthenticated, "token_expired"),
    ]);
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, at(0));
    assert!(matches!(item(&mut live).await, LiveItem::Down { error, .. } if error.reason() == "starting"));
    assert_eq!(live.next().await.unwrap_err().reason(), "stream_replaced");
    assert_eq!(live.next().await.unwrap_err().reason(), "token_expired");
    assert!(matches!(item(&mut live).await, LiveItem::Up), "the owner may insist");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_reopened() {
    let fake = Fake::with_log(1..=1);
    fake.faults([Fault::Silent]);
    let server = Running::start_here(&fake).await;
    let mut live = server.live(LiveMode::Session, at(0));
    assert!(matches!(live.next().await.unwrap(), LiveItem::Up));
    let began = tokio::time::Instant::now();
    let down = live.next().await.unwrap();
    assert!(matches!(down, LiveItem::Down { error: ClientError::Deadline { .. }, .. }), "{down:?}");
    assert!(began.elapsed() >= Duration::from_secs(30) && began.elapsed() < Duration::from_secs(45));
}

/// Sends over the session while the live client is polled, as its owner does.
async fn call(live: &mut LiveClient, commands: &LiveCommands, content: &str) -> Result<Reply, ClientError> {
    let send = pb::SendMessageRequest { content: content.to_owned(), ..Default::default() };
    let call = commands.call(Command::SendMessage(send));
    tokio::pin!(call);
    loop {
        tokio::select! {
            answer = &mut call => return answer,
            item = live.next() => drop(item),
        }
    }
}

#[tokio::test]
async fn commands_are_answered_refused_or_lost() {
    let fake = Fake::default();
    let server = Running::start(&fake, None).await;
    let mut live = server.live(LiveMode::Session, at(0));
    let commands = live.commands();
    let early = call(&mut live, &commands, "early").await;
    assert!(matches!(early, Err(ClientError::Lost { sent: false })), "{early:?}");
    while !matches!(item(&mut live).await, LiveItem::Up) {}
    let answer = call(&mut live, &commands, "hello").await.unwrap();
    let Reply::SendMessage(sent) = answer else { panic!("{answer:?}") };
    assert_eq!(sent.message.unwrap().content, "hello");
    let refused = call(&mut live, &commands, "refuse").await.unwrap_err();
    assert_eq!(refused.reason(), "permissiondenied");
    drop(server);
    let lost = call(&mut live, &commands, "late").await;
    assert!(matches!(lost, Err(ClientError::Lost { .. })), "{lost:?}");
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let server = Running::start(&Fake::default(), None).await;
    let client = server.client();
    let error = client.get_room(pb::GetRoomRequest::default()).await.unwrap_err();
    // Either side may notice first.
    assert!(error.is_transient(), "{error:?}");
    assert!(
        matches!(error, ClientError::Deadline { .. })
            || error.reason() == "deadlineexceeded"
            || error.reason() == "cancelled"
    );
    let error = Client::connect("http://127.0.0.1:1", "t").await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }), "{error:?}");
    assert!(matches!(Client::connect("nonsense\n", "t").await.unwrap_err(), ClientError::Address { .. }));
    let lazy = |server: &str, token: &str| Client::connect_lazy(&ClientOptions::new(server, token));
    assert!(matches!(lazy("http://a", "t\n").unwrap_err(), ClientError::Token));
    assert!(matches!(lazy("https://a", "t").unwrap_err(), ClientError::Tls { .. }));
    assert!(lazy("localhost:7700", "t").is_ok());
}

#[tokio::test]
async fn a_list_is_read_to_its_end_and_each_room_once() {
    let fake = Fake::default();
    let ids = ["a", "b", "c"];
    fake.0.lock().rooms = ids.map(|id| Room { id: id.to_owned(), ..Room::default() }).to_vec();
    let server = Running::start(&fake, None).await;
    let rooms = server.client().all_rooms().await.unwrap();
    assert_eq!(rooms.iter().map(|room| room.id.as_str()).collect::<Vec<_>>(), ids);
}

#[tokio::test]
async fn a_send_is_repeated_under_one_id_until_answered_for_good() {
    let fake = Fake::default();
    let unavailable = || Status::unavailable("not now");
    fake.0.lock().send_errors = [unavailable(), unavailable()].into();
    let server = Running::start(&fake, None).await;
    let send = |id: &str| pb::SendMessageRequest { client_message_id: id.to_owned(), ..Default::default() };
    let patience = Duration::from_secs(10);
    server.client().send_until_acked(send("x"), patience).await.unwrap();
    assert_eq!(fake.0.lock().sends, ["x", "x", "x"]);
    fake.0.lock().send_errors = [Status::permission_denied("never")].into();
    let error = server.client().send_until_acked(send("y"), patience).await.unwrap_err();
    assert_eq!(error.reason(), "permissiondenied");
    assert_eq!(fake.0.lock().sends[3..], ["y"]);
    let error = server.client().send_until_acked(send(""), patience).await.unwrap_err();
    assert!(matches!(error, ClientError::Unexpected { .. }), "without an id a repetition could double it");
}
