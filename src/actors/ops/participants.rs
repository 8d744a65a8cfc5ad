//! Who is in a room, page by page; by name as well. A room has many members: they are walked in slices of the caller's
//! share, and a page ends where the share does.

use std::sync::Arc;

use super::{Access, Node, Person};
use crate::{
    actors::{error::Call, fair_share::Spent},
    domain::{
        fold,
        ids::{RoomId, UserId},
        limits,
        reject::text,
        room::Author,
    },
};

/// Members looked at most in one call.
const MEMBERS_PER_CALL: usize = 20_000;
/// Members read at a time, at most.
const AT_ONCE: usize = 256;

/// A page of members.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// By id; perhaps fewer than were asked for, perhaps none, and there are more all the same.
    pub people: Vec<Person>,
    /// Where to go on; none when there are no more.
    pub next: Option<UserId>,
    /// Members in all.
    pub members: u32,
}

/// A walk over the members. It moves into each slice and comes back from it.
#[derive(Debug)]
struct Walk {
    access: Arc<Access>,
    needle: Arc<str>,
    /// One more than is on a page tells whether there are more.
    wanted: usize,
    last: UserId,
    found: Vec<Person>,
    is_over: bool,
}

impl Node {
    /// Members with a greater id than `after` whose name or nickname contains `query`.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn participants(
        &self,
        author: Author,
        room: RoomId,
        after: UserId,
        limit: usize,
        query: &str,
    ) -> Call<People> {
        text("query", query, 0, limits::NAME_BYTES_MAX)?;
        let needle = if query.is_empty() { String::new() } else { fold::needle("query", query)? };
        let access = Arc::new(self.access(author, room).await?);
        let mut share = self.share(author.user).await?;
        let mut walk = Walk {
            access: Arc::clone(&access),
            needle: needle.into(),
            wanted: limit + 1,
            last: after,
            found: Vec::new(),
            is_over: false,
        };
        while !walk.is_over && walk.found.len() < walk.wanted {
            let node = self.clone();
            walk = share.run(async move { walk.slice(&node).await }).await?;
            // Whoever asks for no name gets a full page: it costs no more than what is on it.
            let is_enough = share.owes() || share.spent().rows >= MEMBERS_PER_CALL;
            if is_enough && !walk.needle.is_empty() {
                break;
            }
        }
        let mut page = People { people: walk.found, next: None, members: access.head.members };
        if page.people.len() > limit {
            page.people.truncate(limit);
            page.next = page.people.last().map(|person| person.user);
        } else if !walk.is_over {
            page.next = Some(walk.last);
        }
        Ok(page)
    }
}

impl Walk {
    async fn slice(mut self, node: &Node) -> Call<(Self, Spent)> {
        let mut spent = Spent::default();
        while !self.is_over && self.found.len() < self.wanted && !spent.is_slice() {
            let missing = self.wanted - self.found.len();
            let at_once = if self.needle.is_empty() { missing.min(AT_ONCE) } else { AT_ONCE };
            let members = node.members_page(&self.access, self.last, at_once).await?;
            self.is_over = members.len() < at_once;
            self.last = members.last().map_or(self.last, |(user, ..)| *user);
            spent.add(Spent::rows(members.len()));
            let mut people = node.people(members).await?;
            people.retain(|person| self.matches(person));
            self.found.extend(people);
        }
        Ok((self, spent))
    }

    fn matches(&self, person: &Person) -> bool {
        let contains = |name: &str| fold::contains(name, &self.needle);
        let nickname = person.member.as_ref().map_or("", |member| member.nickname.as_str());
        self.needle.is_empty() || contains(&person.profile.name) || contains(nickname)
    }
}
