//! The client ids of sends under way on this node, so that two first sends of one id to two rooms do not both pass.
//!
//! Each room sees its own sends, and the store's index what is durable (ADR 0003); between the two, while the first send
//! is neither refused nor durable, only this knows that its id is taken. Owns nothing but that; never waits.

use std::sync::Arc;

use dashmap::{DashMap, Entry};

use crate::domain::ids::{ClientMessageId, RoomId, UserId};

type Key = (UserId, ClientMessageId);

/// All ids that are in use now.
#[derive(Debug, Default)]
pub(crate) struct ClientIds {
    /// The room, and how many sends to it use the id.
    in_use: DashMap<Key, (RoomId, usize)>,
}

/// The use of an id for one room, until it is dropped.
#[derive(Debug)]
pub(crate) struct InUse {
    ids: Arc<ClientIds>,
    key: Key,
}

impl ClientIds {
    /// Takes an id for a send to `room`; none if it is in use for another room.
    pub(crate) fn take(self: &Arc<Self>, sender: UserId, id: &ClientMessageId, room: RoomId) -> Option<Arc<InUse>> {
        let key = (sender, id.clone());
        match self.in_use.entry(key.clone()) {
            Entry::Vacant(entry) => drop(entry.insert((room, 1))),
            Entry::Occupied(mut entry) => {
                let (of, uses) = entry.get_mut();
                if *of != room {
                    return None;
                }
                *uses += 1;
            }
        }
        Some(Arc::new(InUse { ids: Arc::clone(self), key }))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let last = |(_, uses): &mut (RoomId, usize)| {
            *uses -= 1;
            *uses == 0
        };
        self.ids.in_use.remove_if_mut(&self.key, |_, used| last(used));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: UserId = UserId(1);
    const ROOM: RoomId = RoomId([1; 16]);
    const OTHER: RoomId = RoomId([2; 16]);

    #[test]
    fn an_id_is_of_one_room_while_it_is_in_use() {
        let ids = Arc::new(ClientIds::default());
        let id = ClientMessageId("c".into());
        let first = ids.take(ANA, &id, ROOM).unwrap();
        let again = ids.take(ANA, &id, ROOM).unwrap();
        assert!(ids.take(ANA, &id, OTHER).is_none());
        assert!(ids.take(UserId(2), &id, OTHER).is_some(), "another sender's is another one");
        drop(first);
        assert!(ids.take(ANA, &id, OTHER).is_none(), "the repetition still uses it");
        drop(again);
        assert!(ids.take(ANA, &id, OTHER).is_some());
        assert!(ids.in_use.is_empty(), "nothing is kept");
    }
}
