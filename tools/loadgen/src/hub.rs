//! The state of one run: what was sent, who still has to get it, and what was measured.
//!
//! Fed by the connections (see `lane.rs`); asks for work to be done through [`Hub::outbox`]. Does no I/O.

use std::collections::BTreeMap;

use tertulia_proto::chat::v1;

use crate::{
    clock::Clock,
    marker::{self, MARKER_LEN},
    scan::{self, Event},
    tally::Tally,
};

/// When the next message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When one was acknowledged.
    OnAck,
    /// When one was delivered to all.
    OnDelivered,
    /// Not by the hub.
    Outside,
}

/// A room and who of it is connected.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// UUID.
    pub(crate) id: String,
    /// Clients that send, in turn.
    pub(crate) senders: Vec<usize>,
    /// How many clients other than the sender get each message.
    pub(crate) receivers: u32,
}

/// Work for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Open its stream.
    Open,
    /// Send the message with this number.
    Send(u64),
    /// Ask for the newest page.
    Page,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    sent_ns: u64,
    room: u32,
    sender: u32,
    left: u32,
    open: bool,
}

/// How often an error happened, and its first details.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorCount {
    /// Times.
    pub(crate) count: u64,
    /// Of the first one.
    pub(crate) example: String,
}

/// The state of a run.
#[derive(Debug)]
pub(crate) struct Hub {
    clock: Clock,
    /// When the bytes that are being handled arrived.
    pub(crate) now_ns: u64,
    tag: u32,
    filler: String,
    /// When the next message is sent.
    pub(crate) pace: Pace,
    /// Messages to send at most.
    pub(crate) limit: u64,
    /// Whether new work is started at all.
    pub(crate) running: bool,
    /// Whether what happens now is counted.
    pub(crate) measuring: bool,
    /// The rooms; message number `i` goes to room `i mod len`.
    pub(crate) rooms: Vec<Room>,
    /// Messages a page must hold.
    pub(crate) page_len: usize,
    /// What was counted.
    pub(crate) tally: Tally,
    /// Everything that should not have happened.
    pub(crate) errors: BTreeMap<String, ErrorCount>,
    /// Work for the clients, by client.
    pub(crate) outbox: Vec<(usize, Order)>,
    /// Clients whose stream is alive.
    pub(crate) ready: usize,
    /// Sends without an answer.
    pub(crate) unacked: u64,
    /// Deliveries that have not come.
    pub(crate) undelivered: u64,
    /// Sends or pages to start again after an error.
    pub(crate) delayed: Vec<Option<usize>>,
    /// Set when a connection is gone: the run is void.
    pub(crate) broken: bool,
    flights: Vec<Flight>,
    seen: Vec<Seen>,
}

/// What one client has seen of each of its rooms.
#[derive(Debug, Default)]
struct Seen {
    ready: bool,
    last: Vec<(u32, i64)>,
}

impl Hub {
    /// A run whose messages carry `tag` and have `content_len` bytes (at least [`MARKER_LEN`]).
    pub(crate) fn new(clock: Clock, tag: u32, content_len: usize, clients: usize) -> Self {
        Self {
            clock,
            now_ns: 0,
            tag,
            filler: " one two three four five six"
                .chars()
                .cycle()
                .take(content_len.saturating_sub(MARKER_LEN))
                .collect(),
            pace: Pace::Outside,
            limit: u64::MAX,
            running: true,
            measuring: false,
            rooms: Vec::new(),
            page_len: 0,
            tally: Tally::default(),
            errors: BTreeMap::new(),
            outbox: Vec::new(),
            ready: 0,
            unacked: 0,
            undelivered: 0,
            delayed: Vec::new(),
            broken: false,
            flights: Vec::new(),
            seen: (0..clients).map(|_| Seen::default()).collect(),
        }
    }

    /// The clock of the run.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Messages sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.flights.len() as u64
    }

    /// Sends the next message, unless the run is over.
    pub(crate) fn launch(&mut self) {
        let number = self.sent();
        if !self.running || number >= self.limit {
            return;
        }
        let index = self.flights.len() % self.rooms.len();
        let turn = self.flights.len() / self.rooms.len();
        let room = &self.rooms[index];
        let sender = room.senders[turn % room.senders.len()];
        self.flights.push(Flight {
            sent_ns: self.clock.now_ns(),
            room: u32::try_from(index).unwrap_or(u32::MAX),
            sender: u32::try_from(sender).unwrap_or(u32::MAX),
            left: room.receivers,
            open: true,
        });
        self.unacked += 1;
        self.undelivered += u64::from(room.receivers);
        self.outbox.push((sender, Order::Send(number)));
    }

    /// The request that sends a message.
    pub(crate) fn request(&self, number: u64) -> v1::SendMessageRequest {
        let flight = usize::try_from(number).ok().and_then(|i| self.flights.get(i));
        let room = flight.and_then(|f| self.rooms.get(f.room as usize));
        v1::SendMessageRequest {
            room_id: room.map(|r| r.id.clone()).unwrap_or_default(),
            content: marker::write(self.tag, number, &self.filler),
            client_message_id: format!("{:08x}-{number:x}", self.tag),
            ..Default::default()
        }
    }

    /// Counts something that should not have happened.
    pub(crate) fn error(&mut self, word: &str, example: impl Into<String>) {
        let entry = self.errors.entry(word.to_owned()).or_default();
        entry.count += 1;
        if entry.count == 1 {
            entry.example = example.into();
        }
    }

    /// Takes the answer to a send.
    pub(crate) fn acked(&mut self, number: u64, body: &[u8]) {
        let Ok((durability, duplicate)) = scan::sent(body) else {
            return self.error("malformed", "answer to a send");
        };
        let Some(flight) = self.close(number) else {
            return self.error("stray_answer", format!("message {number}"));
        };
        if duplicate {
            self.error("duplicate", format!("message {number} was new"));
        }
        self.tally.durability(durability);
        if self.measuring {
            self.tally.ack(self.now_ns.saturating_sub(flight.sent_ns));
        }
        if self.pace == Pace::OnAck {
            self.launch();
        }
    }

    /// Takes an error in answer to a send, as a word for counting and the details.
    pub(crate) fn refused(&mut self, number: u64, word: &str, example: String) {
        let Some(flight) = self.close(number) else {
            return;
        };
        self.undelivered = self.undelivered.saturating_sub(u64::from(flight.left));
        if let Some(flight) = usize::try_from(number).ok().and_then(|i| self.flights.get_mut(i)) {
            flight.left = 0;
        }
        self.error(word, example);
        if self.pace != Pace::Outside {
            self.delayed.push(None);
        }
    }

    /// Takes the answer of a send: true the first time only.
    fn close(&mut self, number: u64) -> Option<Flight> {
        let flight = self.flights.get_mut(usize::try_from(number).ok()?).filter(|f| f.open)?;
        flight.open = false;
        self.unacked = self.unacked.saturating_sub(1);
        Some(*flight)
    }

    fn delivered(&mut self, client: usize, n: i64, content: &[u8]) {
        let Some(index) = marker::read(content, self.tag).and_then(|number| usize::try_from(number).ok()) else {
            return;
        };
        let Some(flight) = self.flights.get_mut(index) else {
            return self.error("stray_message", format!("n {n}"));
        };
        let room = flight.room;
        if flight.sender as usize != client {
            if flight.left == 0 {
                return self.error("doubled", format!("message {index} came again"));
            }
            flight.left -= 1;
            let (left, sent_ns) = (flight.left, flight.sent_ns);
            self.undelivered = self.undelivered.saturating_sub(1);
            if self.measuring {
                self.tally.delivery(self.now_ns.saturating_sub(sent_ns));
            }
            if left == 0 && self.pace == Pace::OnDelivered {
                self.launch();
            }
        }
        self.check_order(client, room, n);
    }

    /// Each room's messages must come to each client without gaps and in order.
    fn check_order(&mut self, client: usize, room: u32, n: i64) {
        let Some(seen) = self.seen.get_mut(client) else {
            return;
        };
        let Some((_, last)) = seen.last.iter_mut().find(|(r, _)| *r == room) else {
            seen.last.push((room, n));
            return;
        };
        let expected = *last + 1;
        *last = n;
        if n != expected {
            self.error("out_of_order", format!("n {n} came where {expected} was due"));
        }
    }

    /// Takes an event of a client's stream.
    pub(crate) fn event(&mut self, client: usize, event: Event<'_>) {
        match event {
            Event::Message { n, content } => self.delivered(client, n, content),
            Event::Connected => self.alive(client),
            Event::Resync => self.error("resync", "the server skipped events of a slow reader"),
            Event::Other => {}
        }
    }

    /// Takes the first sign of life of a client's stream.
    pub(crate) fn alive(&mut self, client: usize) {
        if let Some(seen) = self.seen.get_mut(client).filter(|s| !s.ready) {
            seen.ready = true;
            self.ready += 1;
        }
    }

    /// Takes a page, asked for at `began_ns`.
    pub(crate) fn page(&mut self, client: usize, began_ns: u64, body: &[u8]) {
        match scan::page_len(body) {
            Ok(len) if len == self.page_len => {}
            Ok(len) => self.error("short_page", format!("{len} messages")),
            Err(_) => self.error("malformed", "page"),
        }
        if self.measuring {
            self.tally.page(self.now_ns.saturating_sub(began_ns));
        }
        if self.running {
            self.outbox.push((client, Order::Page));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Hub {
        let mut hub = Hub::new(Clock::start(), 0xabcd, 100, 3);
        hub.rooms.push(Room { id: "r".into(), senders: vec![0], receivers: 2 });
        hub.measuring = true;
        hub
    }

    fn content(hub: &Hub, number: u64) -> Vec<u8> {
        hub.request(number).content.into_bytes()
    }

    #[test]
    fn content_has_its_length_and_number() {
        let mut hub = hub();
        hub.launch();
        let content = content(&hub, 0x1f);
        assert_eq!(content.len(), 100);
        assert_eq!(marker::read(&content, 0xabcd), Some(0x1f));
        assert_eq!(marker::read(&content, 1), None);
    }

    #[test]
    fn next_one_goes_when_all_have_it() {
        let mut hub = hub();
        hub.pace = Pace::OnDelivered;
        hub.launch();
        let content = content(&hub, 0);
        for client in [0, 1] {
            hub.delivered(client, 1, &content);
            assert_eq!(hub.sent(), 1);
        }
        hub.delivered(2, 1, &content);
        assert_eq!((hub.sent(), hub.undelivered), (2, 2));
        assert!(hub.errors.is_empty());
    }

    #[test]
    fn gaps_and_doubles_are_errors() {
        let mut hub = hub();
        for _ in 0..3 {
            hub.launch();
        }
        let contents: Vec<_> = (0..3).map(|i| content(&hub, i)).collect();
        hub.delivered(1, 1, &contents[0]);
        hub.delivered(1, 3, &contents[2]);
        assert_eq!(hub.errors["out_of_order"].count, 1);
        hub.delivered(2, 1, &contents[0]);
        hub.delivered(2, 1, &contents[0]);
        assert_eq!(hub.errors["doubled"].count, 1);
    }

    #[test]
    fn a_refused_send_is_an_error_and_tried_anew() {
        let mut hub = hub();
        hub.pace = Pace::OnAck;
        hub.launch();
        hub.refused(0, "rate_limited", String::new());
        assert_eq!((hub.unacked, hub.undelivered, hub.delayed.len()), (0, 0, 1));
        assert_eq!(hub.errors["rate_limited"].count, 1);
    }
}
