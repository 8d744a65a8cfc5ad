//! What was deleted for all is in no cell of any table, in whatever form: for who reads the database itself.

use bytes::Bytes;

use super::{Fixture, event, head, message};
use crate::{
    domain::ids::{Epoch, RoomId, Seq, UserId},
    storage::{Projection, ReactionRow, Record, Store},
};

const FIRST: &str = "secretum primum";
const SECOND: &str = "secretum alterum";
const KEPT: &str = "manet";

const ROOM: RoomId = RoomId([7; 16]);

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn append(store: &dyn Store, epoch: Epoch, record: Record, projection: Projection) {
    let projection = Projection { head: head(record.seq.0).head, ..projection };
    store.append(ROOM, epoch, &[record], &projection).await.unwrap();
}

/// A message is sent, edited, reacted to and pinned, by two owners of the room, and deleted by a third.
pub async fn a_deleted_message_is_in_no_cell(fixture: &Fixture) {
    if fixture.cells_with(KEPT).await.is_none() {
        return;
    }
    let store = fixture.store();
    let at = Seq(1);
    let state = |text: Bytes| Projection { states: vec![(at, text)], ..Projection::default() };
    let reaction = ReactionRow { seq: at, user: UserId(2), reaction: "+1".into() };
    let epoch = store.claim(ROOM).await.unwrap();
    append(store, epoch, Record { body: text(FIRST), ..message(ROOM, 1, 1) }, Projection::default()).await;
    append(store, epoch, event(2), Projection { reacted: vec![reaction.clone()], ..state(text(FIRST)) }).await;
    append(store, epoch, Record { body: text(SECOND), ..event(3) }, state(text(SECOND))).await;
    append(store, epoch, event(4), Projection { pinned: vec![(at, Seq(4))], ..state(text(SECOND)) }).await;
    append(store, epoch, Record { body: text(KEPT), ..message(ROOM, 5, 1) }, Projection::default()).await;
    store.append(ROOM, epoch, &[], &Projection { head: head(5).head, ..state(text(SECOND)) }).await.unwrap();
    // A room that is taken over has its last batch written again.
    let epoch = store.claim(ROOM).await.unwrap();
    append(store, epoch, event(6), Projection { unreacted: vec![reaction], ..state(text(SECOND)) }).await;
    let epoch = store.claim(ROOM).await.unwrap();
    for there in [FIRST, SECOND, KEPT] {
        assert_ne!(fixture.cells_with(there).await, Some(Vec::new()), "{there}: what is not deleted is found by this");
    }

    let gone = Projection { redacted: vec![(at, text("gone")), (Seq(3), text("gone"))], ..state(text("gone")) };
    append(store, epoch, event(7), gone).await;
    for deleted in [FIRST, SECOND] {
        assert_eq!(fixture.cells_with(deleted).await, Some(Vec::new()), "{deleted}");
    }
    store.claim(ROOM).await.unwrap();
    for deleted in [FIRST, SECOND] {
        assert_eq!(fixture.cells_with(deleted).await, Some(Vec::new()), "{deleted}, and not written again");
    }
    assert_ne!(fixture.cells_with(KEPT).await, Some(Vec::new()));
}
