//! The kinds of attackers. Each is prepared (rooms are filled within the rates of ordinary users) and then let loose.

mod people;
mod reads;
mod sessions;
mod strangers;
mod wire;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use tokio::time::timeout;

use crate::{Scale, Seen, Span, Target};

/// Longest time to prepare an attack.
const PREPARE_MAX: Duration = Duration::from_secs(300);

/// A kind of attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Without a token: connections that say nothing, or half of what they began
    Silent,
    /// Without a token: a thousand bodies on one connection, none of which ends
    Bodies,
    /// Asks for great pages on one connection and reads none
    TinyWindows,
    /// Searches long rooms, also of combining marks, for what is not there
    Search,
    /// Looks for participants by name in a great room
    Participants,
    /// Reads the history of a room of which it has hidden everything
    Hidden,
    /// Wakes sleeping rooms of great messages, as a member and as a stranger
    Wake,
    /// Keeps a session busy beyond the end of its token
    ExpiredSession,
    /// Adds strangers to its rooms, and makes channels for everyone
    Adders,
    /// Sends to a room that it is not in
    Strangers,
}

/// A room, or several, made ready.
#[derive(Debug)]
pub struct Prepared {
    profile: Profile,
    target: Target,
    scale: Scale,
    rooms: Vec<String>,
    /// The good client's room.
    victim: String,
}

impl Profile {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// How long it needs at least to show a fault.
    #[must_use]
    pub const fn least(self, scale: Scale) -> Duration {
        match (self, scale) {
            // Beyond every deadline of a handshake; beyond the end of a token with the leeway.
            (Self::Silent | Self::ExpiredSession, Scale::Full) => Duration::from_secs(45),
            _ => Duration::ZERO,
        }
    }

    /// Makes ready what it needs. `victim` is the good client's room.
    ///
    /// # Errors
    /// When the server refuses what any user may do, or takes longer than five minutes.
    pub async fn prepare(self, target: &Target, scale: Scale, victim: &str) -> Result<Prepared> {
        let preparing = async {
            match self {
                Self::TinyWindows => sessions::great_pages(target, scale.pick(200, 40)).await,
                Self::ExpiredSession => sessions::great_pages(target, scale.pick(100, 20)).await,
                Self::Search => reads::long_rooms(target, scale).await,
                Self::Participants => reads::great_room(target, scale.pick(50_000, 3_000)).await,
                Self::Hidden => reads::hidden_room(target, scale.pick(2_000, 200)).await,
                Self::Wake => reads::sleeping_rooms(target, scale).await,
                Self::Silent | Self::Bodies | Self::Adders | Self::Strangers => Ok(Vec::new()),
            }
        };
        let rooms = timeout(PREPARE_MAX, preparing).await.context("preparing takes too long")??;
        Ok(Prepared { profile: self, target: target.clone(), scale, rooms, victim: victim.to_owned() })
    }
}

impl Prepared {
    /// Attacks until the span ends.
    ///
    /// # Errors
    /// When the attack itself cannot be carried out; refusals are what it looks for.
    pub async fn attack(&self, span: &Span) -> Result<Seen> {
        let (target, scale, rooms) = (&self.target, self.scale, &self.rooms);
        match self.profile {
            Profile::Silent => wire::silent(target, scale.pick(300, 60), span).await,
            Profile::Bodies => wire::bodies(target, scale.pick(1_000, 100), span).await,
            Profile::TinyWindows => sessions::tiny_windows(target, rooms, scale.pick(400, 40), span).await,
            Profile::Search => reads::search(target, rooms, scale.pick(30, 4), span).await,
            Profile::Participants => reads::participants(target, rooms, scale.pick(4, 2), span).await,
            Profile::Hidden => reads::history(target, rooms, scale.pick(4, 2), span).await,
            Profile::Wake => reads::wake(target, rooms, span).await,
            Profile::ExpiredSession => sessions::expired(target, rooms, scale.pick(5, 0), span).await,
            Profile::Adders => people::adders(target, span).await,
            Profile::Strangers => strangers::strangers(target, &self.victim, scale.pick(20, 4), span).await,
        }
    }
}
