//! A client made of a socket: it says what no library would say, and nothing more.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{listener::PATIENCE, sandbox::Sandbox};

/// A connection.
pub(crate) struct Raw {
    pub(crate) socket: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(sandbox: &Sandbox) -> Self {
        Self::to(sandbox.addr()).await
    }

    pub(crate) async fn to(addr: SocketAddr) -> Self {
        Self { socket: timeout(PATIENCE, TcpStream::connect(addr)).await.unwrap().unwrap() }
    }

    /// Says that nothing more will be said.
    pub(crate) async fn shut(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// Reads until a text has come.
    pub(crate) async fn until(&mut self, text: &str) {
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains(text) {
            let read = timeout(PATIENCE, self.socket.read_buf(&mut seen)).await.expect("more in time").unwrap();
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&seen));
        }
    }

    /// All that comes until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.socket.read_to_end(&mut rest)).await.expect("an end in time").unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }

    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // Whoever is refused at once may find that the other side has gone.
        let _ = self.socket.write_all(bytes.as_ref()).await;
    }

    /// Head and body of an answer of HTTP/1.1 with a known length.
    pub(crate) async fn answer(&mut self) -> String {
        let mut answer = Vec::new();
        let whole = async {
            loop {
                let mut part = [0; 4_096];
                let read = self.socket.read(&mut part).await.unwrap();
                answer.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&answer);
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    assert_ne!(read, 0, "{text}");
                    continue;
                };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.map_or(0, |length| length.parse().unwrap());
                if read == 0 || body.len() >= length {
                    return text.into_owned();
                }
            }
        };
        timeout(PATIENCE, whole).await.expect("an answer in time")
    }

    /// Whether the server closes it.
    pub(crate) async fn is_closed_within(&mut self, limit: Duration) -> bool {
        let closed = async {
            let mut part = [0; 4_096];
            while let Ok(1..) = self.socket.read(&mut part).await {}
        };
        timeout(limit, closed).await.is_ok()
    }
}
