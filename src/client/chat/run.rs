//! The event loop: terminal, live stream, answers and time go into the model; effects and frames come out.
//!
//! Owns the sources and the calls under way; must not know what any of it means.

use std::{io, time::Duration};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, pending},
    stream::FuturesUnordered,
};
use ratatui::crossterm::event::{Event as TerminalEvent, EventStream, KeyEventKind};
use tertulia_proto::chat::v1::Room;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use uuid::Uuid;

use super::{
    input::{Effect, Input, Outcome},
    model::Model,
    perform::perform,
    terminal::Borrowed,
    view::draw,
};
use crate::client::{Backoff, Client, ClientError, ClientOptions, LiveClient, LiveItem, LiveOptions};

/// Between two ticks of the model.
const TICK: Duration = Duration::from_millis(250);
/// Between two frames while much happens.
const FRAME: Duration = Duration::from_millis(33);
/// How long the last words (such as "stopped typing") may take on the way out.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the terminal client needs to know.
#[derive(Clone)]
pub struct ChatOptions {
    /// `http://host:port`.
    pub server: String,
    /// JWT of the user.
    pub token: String,
    /// The token's user.
    pub user_id: i64,
}

impl std::fmt::Debug for ChatOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatOptions")
            .field("server", &self.server)
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

/// The terminal client came to an end it was not asked for.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The terminal cannot be used.
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
    /// The server refuses us for good, such as for an expired token.
    #[error("the server ended the conversation")]
    Server(#[from] ClientError),
}

/// Runs the terminal client until the user quits; the terminal is as before when it returns.
///
/// Must be called within a tokio runtime with I/O and time, with standard output on a terminal. An unreachable
/// server is no error: it is tried again until the user quits.
///
/// # Errors
/// When the terminal cannot be used, or the server refuses for good.
pub async fn run(options: ChatOptions) -> Result<(), ChatError> {
    let client = Client::connect_lazy(&ClientOptions::new(options.server.as_str(), options.token.as_str()))?;
    let mut borrowed = Borrowed::take().map_err(ChatError::Terminal)?;
    let mut chat = Chat::new(client, options.user_id);
    let result = chat.run(&mut borrowed).await;
    drop(borrowed);
    result
}

struct Chat {
    client: Client,
    client_id: String,
    model: Model,
    live: Source,
    calls: FuturesUnordered<BoxFuture<'static, Option<Outcome>>>,
}

/// Where live items come from.
enum Source {
    /// The first list of rooms is being read: it says where the stream begins.
    Boot(BoxFuture<'static, Result<Vec<Room>, ClientError>>),
    Live(Box<LiveClient>),
}

enum Turn {
    Input(Input),
    Booted(Result<Vec<Room>, ClientError>),
    Live(Result<LiveItem, ClientError>),
    Terminal(Option<io::Result<TerminalEvent>>),
    Nothing,
}

impl Chat {
    fn new(client: Client, user_id: i64) -> Self {
        let session = Uuid::new_v4().simple().to_string();
        Self {
            live: Source::Boot(boot(client.clone(), Duration::ZERO)),
            client_id: format!("chat-{session}"),
            model: Model::new(user_id, session),
            client,
            calls: FuturesUnordered::new(),
        }
    }

    async fn run(&mut self, borrowed: &mut Borrowed) -> Result<(), ChatError> {
        let started = Instant::now();
        let mut keys = EventStream::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_frame = Instant::now();
        let mut boots = Backoff::default();
        let size = borrowed.terminal.size().map_err(ChatError::Terminal)?;
        self.update(Input::Resize { width: size.width, height: size.height });
        while !self.model.quitting {
            let turn = tokio::select! {
                event = keys.next() => Turn::Terminal(event),
                Some(outcome) = self.calls.next(), if !self.calls.is_empty() => {
                    outcome.map_or(Turn::Nothing, |outcome| Turn::Input(Input::Done(Box::new(outcome))))
                }
                turn = self.live.next() => turn,
                _ = ticks.tick() => Turn::Input(Input::Tick { now_ms: millis(started.elapsed()) }),
                () = sleep_until(next_frame) => {
                    borrowed.terminal.draw(|frame| draw(frame, &self.model)).map_err(ChatError::Terminal)?;
                    // Nothing to draw before the next turn, which is a tick at the latest.
                    next_frame = Instant::now() + TICK * 4;
                    continue;
                }
            };
            self.turn(turn, &mut boots)?;
            next_frame = next_frame.min(Instant::now() + FRAME);
        }
        self.farewell().await;
        Ok(())
    }

    fn turn(&mut self, turn: Turn, boots: &mut Backoff) -> Result<(), ChatError> {
        match turn {
            Turn::Input(input) => self.update(input),
            Turn::Terminal(Some(Ok(event))) => {
                if let Some(input) = terminal_input(event) {
                    self.update(input);
                }
            }
            Turn::Terminal(Some(Err(error))) => return Err(ChatError::Terminal(error)),
            Turn::Terminal(None) => {
                return Err(ChatError::Terminal(io::ErrorKind::UnexpectedEof.into()));
            }
            Turn::Booted(Ok(rooms)) => self.go_live(rooms),
            Turn::Booted(Err(error)) if error.is_transient() => {
                let wait = boots.next_wait(error.retry_after());
                self.update(Input::Down { error: describe(&error), retry_in_ms: millis(wait) });
                self.live = Source::Boot(boot(self.client.clone(), wait));
            }
            Turn::Live(Ok(LiveItem::Up)) => self.update(Input::Up),
            Turn::Live(Ok(LiveItem::Down { error, retry_in })) => {
                if let Source::Live(live) = &mut self.live {
                    live.set_presence_of(self.model.partners());
                }
                self.update(Input::Down { error: describe(&error), retry_in_ms: millis(retry_in) });
            }
            Turn::Live(Ok(LiveItem::Event(event))) => self.update(Input::Event(event)),
            Turn::Booted(Err(error)) | Turn::Live(Err(error)) => {
                return Err(ChatError::Server(error));
            }
            Turn::Nothing => {}
        }
        Ok(())
    }

    fn update(&mut self, input: Input) {
        for effect in self.model.update(input) {
            if effect == Effect::Reconnect {
                self.reconnect();
            } else if effect != Effect::Quit {
                self.calls.push(perform(self.client.clone(), effect).boxed());
            }
        }
    }

    fn reconnect(&mut self) {
        match &mut self.live {
            Source::Boot(boot_now) => *boot_now = boot(self.client.clone(), Duration::ZERO),
            Source::Live(live) => live.retry_now(),
        }
    }

    fn go_live(&mut self, rooms: Vec<Room>) {
        let cursors = rooms.iter().map(|room| (room.id.clone(), room.last_seq)).collect();
        self.update(Input::Done(Box::new(Outcome::Rooms(Ok(rooms)))));
        let options = LiveOptions {
            client_id: self.client_id.clone(),
            user_id: self.model.me,
            cursors: Some(cursors),
            presence_of: self.model.partners(),
            ..LiveOptions::default()
        };
        self.live = Source::Live(Box::new(LiveClient::new(self.client.clone(), options)));
    }

    /// What is on its way gets a moment to leave.
    async fn farewell(&mut self) {
        let all = async { while self.calls.next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, all).await;
    }
}

impl Source {
    async fn next(&mut self) -> Turn {
        match self {
            Self::Boot(boot) => {
                let result = boot.await;
                // Whatever comes replaces it; until then it must not be polled again.
                *self = Self::Boot(pending().boxed());
                Turn::Booted(result)
            }
            Self::Live(live) => Turn::Live(live.next().await),
        }
    }
}

fn boot(client: Client, wait: Duration) -> BoxFuture<'static, Result<Vec<Room>, ClientError>> {
    async move {
        sleep(wait).await;
        client.all_rooms().await
    }
    .boxed()
}

fn terminal_input(event: TerminalEvent) -> Option<Input> {
    match event {
        TerminalEvent::Key(key) => (key.kind != KeyEventKind::Release).then_some(Input::Key(key)),
        TerminalEvent::Paste(text) => Some(Input::Paste(text)),
        TerminalEvent::FocusGained => Some(Input::Focus(true)),
        TerminalEvent::FocusLost => Some(Input::Focus(false)),
        TerminalEvent::Resize(width, height) => Some(Input::Resize { width, height }),
        TerminalEvent::Mouse(_) => None,
    }
}

/// The error and what it came from, in one line.
fn describe(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
