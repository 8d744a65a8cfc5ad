//! The clients of one run: their connections, and the work they do for the hub.
//!
//! Everything runs on one thread, so that state needs no locks; each connection is one task.

use std::{
    cell::RefCell,
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use tertulia_proto::chat::v1;
use tokio::{
    net::TcpStream,
    task::{JoinHandle, spawn_local},
    time::{Instant, sleep},
};

use crate::{
    hub::{Hub, Order},
    lane::Lane,
    wire::{Call, Conn},
};

/// One read of one connection at most.
const SCRATCH_LEN: usize = 256 << 10;
/// Connections opened at the same time.
const CONNECTING_MAX: usize = 64;
/// How often conditions are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What a client does with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Sends and receives over a Session; with `commands_only` without events.
    Session {
        /// See the contract.
        commands_only: bool,
    },
    /// Receives over StreamMessages; sends, if at all, by unary calls.
    Events,
    /// Unary calls alone.
    Calls,
}

/// A user to connect.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// User id.
    pub(crate) user: i64,
    /// The `authorization` header.
    pub(crate) bearer: String,
    /// What it does.
    pub(crate) role: Role,
}

struct Client {
    seat: Seat,
    conn: RefCell<Conn>,
    waker: RefCell<Option<Waker>>,
}

/// The clients of a run.
pub(crate) struct World {
    /// What is measured.
    pub(crate) hub: RefCell<Hub>,
    clients: RefCell<Vec<Rc<Client>>>,
    scratch: RefCell<Vec<u8>>,
    tasks: RefCell<Vec<JoinHandle<()>>>,
    address: SocketAddr,
    authority: String,
}

impl World {
    /// A world without clients.
    pub(crate) fn new(hub: Hub, address: SocketAddr, authority: &str) -> Rc<Self> {
        Rc::new(Self {
            hub: RefCell::new(hub),
            clients: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_LEN]),
            tasks: RefCell::default(),
            address,
            authority: authority.to_owned(),
        })
    }

    /// Connects these users, after those that are, and waits until all their streams live.
    ///
    /// # Errors
    /// When one cannot connect, or not all live within `patience`.
    pub(crate) async fn connect(self: &Rc<Self>, seats: Vec<Seat>, patience: Duration) -> Result<()> {
        let goal = self.clients.borrow().len() + seats.len();
        stream::iter(seats.into_iter().map(|seat| self.dial(seat)))
            .buffered(CONNECTING_MAX)
            .try_for_each(|client| async move {
                self.start(client);
                Ok(())
            })
            .await?;
        if !self.until(patience, |hub| hub.ready >= goal).await {
            let hub = self.hub.borrow();
            let first = hub.errors.iter().next().map(|(word, e)| format!("; {word}: {}", e.example));
            bail!("{} of {goal} clients have a live stream{}", hub.ready, first.unwrap_or_default());
        }
        Ok(())
    }

    async fn dial(&self, seat: Seat) -> Result<Client> {
        let sock =
            TcpStream::connect(self.address).await.with_context(|| format!("cannot connect to {}", self.address))?;
        sock.set_nodelay(true)?;
        let conn = RefCell::new(Conn::new(sock, self.authority.clone()));
        Ok(Client { seat, conn, waker: RefCell::default() })
    }

    fn start(self: &Rc<Self>, client: Client) {
        let client = Rc::new(client);
        let index = self.clients.borrow().len();
        self.clients.borrow_mut().push(client.clone());
        let world = self.clone();
        let task = spawn_local(async move {
            let error = poll_fn(|cx| world.poll_client(index, &client, cx)).await;
            let mut hub = world.hub.borrow_mut();
            hub.error("connection", format!("{error:#}"));
            hub.broken = true;
        });
        self.tasks.borrow_mut().push(task);
    }

    /// Moves one connection on; ready only with the error that ended it.
    fn poll_client(&self, index: usize, client: &Client, cx: &mut Context<'_>) -> Poll<anyhow::Error> {
        let mut waker = client.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        loop {
            let read = {
                let mut hub = self.hub.borrow_mut();
                let mut lane = Lane { hub: &mut hub, client: index, streamless: client.seat.role == Role::Calls };
                client.conn.borrow_mut().poll_read(cx, &mut self.scratch.borrow_mut(), &mut lane)
            };
            match read {
                Poll::Ready(Ok(())) => self.dispatch(),
                Poll::Ready(Err(e)) => return Poll::Ready(e),
                Poll::Pending => break,
            }
        }
        // Also what the connection itself has to say: settings, pings, windows.
        match client.conn.borrow_mut().poll_flush(cx) {
            Ok(()) => Poll::Pending,
            Err(e) => Poll::Ready(e.into()),
        }
    }

    /// Does the work that the hub asks for.
    pub(crate) fn dispatch(&self) {
        let mut touched: Vec<usize> = Vec::new();
        let mut orders = std::mem::take(&mut self.hub.borrow_mut().outbox);
        for (index, order) in orders.drain(..) {
            let client = self.clients.borrow()[index].clone();
            if let Err(e) = self.carry_out(&client, order) {
                let mut hub = self.hub.borrow_mut();
                hub.error("connection", format!("{e:#}"));
                hub.broken = true;
            }
            if !touched.contains(&index) {
                touched.push(index);
            }
        }
        // Keeps the allocation; nothing is lost, since only this function empties the box and nothing fills it here.
        self.hub.borrow_mut().outbox = orders;
        for index in touched {
            let client = self.clients.borrow()[index].clone();
            if !matches!(client.conn.borrow_mut().flush(), Ok(true))
                && let Some(waker) = client.waker.borrow().as_ref()
            {
                // Its own task waits for room in the socket, or finds out what is wrong with it.
                waker.wake_by_ref();
            }
        }
    }

    fn carry_out(&self, client: &Client, order: Order) -> Result<()> {
        let mut conn = client.conn.borrow_mut();
        let bearer = &client.seat.bearer;
        match order {
            Order::Open => open_stream(&mut conn, &client.seat),
            Order::Send(number) => {
                let request = self.hub.borrow().request(number);
                if let Role::Session { .. } = client.seat.role {
                    let command = v1::session_request::Command::SendMessage(request);
                    let frame = v1::SessionRequest { request_id: number + 1, command: Some(command) };
                    if !conn.send(Call::Session, &frame.encode_to_vec()) {
                        bail!("the session has ended");
                    }
                    return Ok(());
                }
                let path = "/chat.v1.ChatService/SendMessage";
                conn.open(Call::Send(number), path, bearer, &request.encode_to_vec(), true)
            }
            Order::Page => {
                let hub = self.hub.borrow();
                let request = v1::GetMessageHistoryRequest {
                    room_id: hub.rooms.first().map(|r| r.id.clone()).unwrap_or_default(),
                    limit: i32::try_from(hub.page_len)?,
                    ..Default::default()
                };
                let path = "/chat.v1.ChatService/GetMessageHistory";
                conn.open(Call::Page(hub.clock().now_ns()), path, bearer, &request.encode_to_vec(), true)
            }
        }
    }

    /// Waits for a condition; false if it has not come true within `patience` or the run is broken. Meanwhile starts
    /// again what failed.
    pub(crate) async fn until(&self, patience: Duration, condition: impl Fn(&Hub) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            {
                let mut hub = self.hub.borrow_mut();
                if condition(&hub) {
                    return true;
                }
                if hub.broken || Instant::now() >= deadline {
                    return false;
                }
                for again in std::mem::take(&mut hub.delayed) {
                    match again {
                        Some(client) if hub.running => hub.outbox.push((client, Order::Page)),
                        Some(_) => {}
                        None => hub.launch(),
                    }
                }
            }
            self.dispatch();
            sleep(LOOK_EVERY.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }
}

impl World {
    /// Closes all connections.
    pub(crate) async fn close(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            // Cancelled, which is what was asked for.
            task.await.ok();
        }
        self.clients.borrow_mut().clear();
    }
}

fn open_stream(conn: &mut Conn, seat: &Seat) -> Result<()> {
    let client_id = format!("loadgen-{}", seat.user);
    match seat.role {
        Role::Session { commands_only } => {
            let open = v1::SessionOpen { client_id, commands_only, ..Default::default() };
            let command = v1::session_request::Command::Open(open);
            let first = v1::SessionRequest { request_id: 0, command: Some(command) }.encode_to_vec();
            conn.open(Call::Session, "/chat.v1.ChatService/Session", &seat.bearer, &first, false)
        }
        Role::Events => {
            let first = v1::StreamMessagesRequest { client_id, ..Default::default() }.encode_to_vec();
            conn.open(Call::Events, "/chat.v1.ChatService/StreamMessages", &seat.bearer, &first, true)
        }
        Role::Calls => Ok(()),
    }
}
