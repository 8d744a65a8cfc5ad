//! A client that takes nothing of its answers until it is told to: HTTP/2 by hand, with windows of its own.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{self, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response};
use parking_lot::Mutex;
use tertulia::tasks::{self, TaskKind};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle, time::timeout};

use crate::{
    listener::PATIENCE,
    web::{frame, frames},
};

/// A connection whose streams have a window of their own making.
pub(crate) struct Stalled {
    send: SendRequest<Bytes>,
    windows: mpsc::Sender<u32>,
    driver: JoinHandle<()>,
    token: String,
    /// Requests that are not at their end.
    open: Mutex<Vec<SendStream<Bytes>>>,
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Stalled {
    /// Connects; each stream may be sent `window` bytes.
    pub(crate) async fn connect(addr: SocketAddr, token: &str, window: u32) -> Self {
        let socket = TcpStream::connect(addr).await.unwrap();
        let (send, mut connection) = client::Builder::new()
            .initial_window_size(window)
            .initial_connection_window_size(1 << 30)
            .handshake(socket)
            .await
            .unwrap();
        let (windows, mut wanted) = mpsc::channel(1);
        let driver = tasks::spawn(TaskKind::Client, async move {
            loop {
                tokio::select! {
                    _ = &mut connection => return,
                    Some(window) = wanted.recv() => connection.set_initial_window_size(window).unwrap(),
                }
            }
        });
        Self { send, windows, driver, token: token.to_owned(), open: Mutex::default() }
    }

    /// Gives every stream that is open this window.
    pub(crate) async fn open(&self, window: u32) {
        self.windows.send(window).await.unwrap();
    }

    /// The server has closed the connection.
    pub(crate) async fn closed(&mut self) {
        timeout(PATIENCE, &mut self.driver).await.expect("closed in time").unwrap();
    }

    /// Begins a call with a body that is whole, but for a session's.
    pub(crate) async fn begin(&self, path: &str, kind: &str, body: Vec<u8>) -> ResponseFuture {
        let goes_on = path.ends_with("/Session");
        let request = Request::post(format!("http://localhost{path}"))
            .header("content-type", kind)
            .header("te", "trailers")
            .header("authorization", format!("Bearer {}", self.token));
        let mut send = self.send.clone().ready().await.unwrap();
        let (answer, mut out) = send.send_request(request.body(()).unwrap(), false).unwrap();
        out.send_data(body.into(), !goes_on).unwrap();
        if goes_on {
            self.open.lock().push(out);
        }
        answer
    }

    /// Begins a gRPC call of the chat service.
    pub(crate) async fn grpc(&self, method: &str, message: &impl prost::Message) -> ResponseFuture {
        let path = format!("/chat.v1.ChatService/{method}");
        self.begin(&path, "application/grpc", frame(0, &message.encode_to_vec())).await
    }
}

/// The head of an answer.
pub(crate) async fn head(answer: ResponseFuture) -> Result<Response<RecvStream>, h2::Error> {
    timeout(PATIENCE, answer).await.expect("an answer in time")
}

/// All that comes: messages, and the trailers or the reset.
pub(crate) async fn rest(body: RecvStream) -> (Vec<Bytes>, Result<HeaderMap, h2::Error>) {
    let (bytes, ended) = bytes(body, true).await;
    (frames(bytes.into()).into_iter().map(|(_, message)| message).collect(), ended)
}

/// All bytes that come, and the trailers or the reset. Who does not make room gets no more than the first window.
pub(crate) async fn bytes(mut body: RecvStream, makes_room: bool) -> (Vec<u8>, Result<HeaderMap, h2::Error>) {
    let mut bytes = Vec::new();
    let ended = loop {
        match timeout(PATIENCE, body.data()).await.expect("the answer goes on") {
            Some(Ok(data)) => {
                if makes_room {
                    let _ = body.flow_control().release_capacity(data.len());
                }
                bytes.extend_from_slice(&data);
            }
            Some(Err(error)) => break Err(error),
            None => break body.trailers().await.map(Option::unwrap_or_default),
        }
    };
    (bytes, ended)
}
