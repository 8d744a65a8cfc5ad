//! A node on its own: what it knows by itself is all there is to know. Only typing is kept here; rates, streams and
//! presence are counted where they are used.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Bucket, Ephemera, Presence, Rate, TYPING_FOR};
use crate::domain::ids::{RoomId, UserId};

/// Rooms somebody types in that are remembered; beyond them nobody types.
const ROOMS_MAX: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Alone {
    typing: Mutex<HashMap<RoomId, HashMap<UserId, Instant>>>,
}

#[async_trait]
impl Ephemera for Alone {
    async fn take(&self, _: Bucket, _: Rate) -> Result<(), Duration> {
        Ok(())
    }

    async fn spent(&self, _: Bucket, _: Rate, _: u32) {}

    async fn set_typing(&self, room: RoomId, user: UserId, typing: bool) {
        let now = Instant::now();
        let mut rooms = self.typing.lock();
        if !typing {
            if let Some(users) = rooms.get_mut(&room) {
                users.remove(&user);
            }
            return;
        }
        if rooms.len() >= ROOMS_MAX && !rooms.contains_key(&room) {
            rooms.retain(|_, users| users.values().any(|until| *until > now));
        }
        if rooms.len() < ROOMS_MAX || rooms.contains_key(&room) {
            let users = rooms.entry(room).or_default();
            users.retain(|_, until| *until > now);
            users.insert(user, now + TYPING_FOR);
        }
    }

    async fn typing(&self, room: RoomId) -> Vec<UserId> {
        let now = Instant::now();
        let rooms = self.typing.lock();
        let Some(users) = rooms.get(&room) else {
            return Vec::new();
        };
        let mut users: Vec<UserId> = users.iter().filter(|(_, until)| **until > now).map(|(user, _)| *user).collect();
        users.sort_unstable();
        users
    }

    async fn stream_opens(&self, _: UserId, _: &str, _: usize) -> bool {
        true
    }

    fn stream_closed(&self, _: UserId, _: &str, _: i64) {}

    async fn presence(&self, users: &[UserId]) -> Vec<Presence> {
        vec![Presence::default(); users.len()]
    }
}
