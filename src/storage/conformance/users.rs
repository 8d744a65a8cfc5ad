//! What belongs to users.

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{kind, member, room, with_projection};
use crate::{
    domain::ids::{Seq, UserId},
    storage::{DeviceRow, Projection, Store, StoreErrorKind},
};

/// A user in 50,000 rooms gets them all in pages, by id.
pub async fn fifty_thousand_rooms(store: &dyn Store) {
    const ROOMS: u32 = 50_000;
    let join = async |number: u32| {
        with_projection(store, room(number), Projection { members: vec![member(7, "m")], ..Projection::default() })
            .await
    };
    stream::iter(0..ROOMS).map(join).buffer_unordered(128).collect::<Vec<_>>().await;

    let mut seen = Vec::new();
    loop {
        let page = store.rooms_of(UserId(7), seen.last().copied(), 1_700).await.unwrap();
        assert!(page.len() <= 1_700);
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|entry| entry.room));
    }
    assert_eq!(seen, (0..ROOMS).map(room).collect::<Vec<_>>());
    assert_eq!(store.rooms_of(UserId(7), None, usize::MAX).await.unwrap().len(), seen.len());
    let heads = store.heads(&seen).await.unwrap();
    assert!(heads.iter().all(|head| head.is_some_and(|head| head.seq == Seq(1))));
    assert!(store.rooms_of(UserId(8), None, 9).await.unwrap().is_empty());
    assert!(store.room_of(UserId(7), room(ROOMS)).await.unwrap().is_none());
}

/// Hidden for one user, once, and found in ranges with both ends.
pub async fn hidden_messages(store: &dyn Store) {
    let (user, r) = (UserId(7), room(1));
    for seq in [300, 2, 5] {
        assert!(store.hide_message(user, r, Seq(seq)).await.unwrap());
    }
    assert!(!store.hide_message(user, r, Seq(5)).await.unwrap());
    assert!(store.hide_message(UserId(8), r, Seq(5)).await.unwrap());
    assert!(store.hide_message(user, room(2), Seq(5)).await.unwrap());
    let range = async |from, to| store.hidden_messages(user, r, Seq(from), Seq(to)).await.unwrap();
    assert_eq!(range(0, u64::MAX).await, [Seq(2), Seq(5), Seq(300)]);
    assert_eq!(range(2, 5).await, [Seq(2), Seq(5)]);
    assert!(range(6, 299).await.is_empty());
    assert!(range(5, 2).await.is_empty());
}

/// Profiles come in the order asked for, the last one written.
pub async fn profiles(store: &dyn Store) {
    store.put_profile(UserId(1), Bytes::from_static(b"old")).await.unwrap();
    store.put_profile(UserId(1), Bytes::from_static(b"ann")).await.unwrap();
    store.put_profile(UserId(2), Bytes::new()).await.unwrap();
    let found = store.profiles(&[UserId(2), UserId(9), UserId(1), UserId(2)]).await.unwrap();
    assert_eq!(found, [Some(Bytes::new()), None, Some(Bytes::from_static(b"ann")), Some(Bytes::new())]);
    assert!(store.profiles(&[]).await.unwrap().is_empty());
}

/// Users with a profile page by id.
pub async fn known_users_page(store: &dyn Store) {
    for user in [300, 1, 20] {
        store.put_profile(UserId(user), Bytes::new()).await.unwrap();
    }
    store.put_block(UserId(5), UserId(6), true).await.unwrap();
    assert_eq!(store.known_users(UserId(0), 2).await.unwrap(), [UserId(1), UserId(20)]);
    assert_eq!(store.known_users(UserId(20), 2).await.unwrap(), [UserId(300)]);
    assert!(store.known_users(UserId(300), 2).await.unwrap().is_empty());
    assert!(store.known_users(UserId(i64::MAX), 2).await.unwrap().is_empty());
}

/// Blocks have a direction and say whether they changed anything.
pub async fn blocks(store: &dyn Store) {
    let (a, b) = (UserId(1), UserId(2));
    assert!(!store.put_block(a, b, false).await.unwrap());
    assert!(store.put_block(a, b, true).await.unwrap());
    assert!(!store.put_block(a, b, true).await.unwrap());
    assert!(store.has_block(a, b).await.unwrap());
    assert!(!store.has_block(b, a).await.unwrap());
    for whom in [300, 20] {
        store.put_block(a, UserId(whom), true).await.unwrap();
    }
    store.put_block(UserId(3), UserId(4), true).await.unwrap();
    assert_eq!(store.blocks(a, UserId(0), 2).await.unwrap(), [b, UserId(20)]);
    assert_eq!(store.blocks(a, UserId(20), 2).await.unwrap(), [UserId(300)]);
    assert!(store.put_block(a, b, false).await.unwrap());
    assert!(!store.has_block(a, b).await.unwrap());
    assert_eq!(store.blocks(a, UserId(0), 9).await.unwrap().len(), 2);
}

fn device(client_id: &str, token: u8) -> DeviceRow {
    DeviceRow { client_id: client_id.into(), token_hash: [token; 32], body: Bytes::from(vec![token]) }
}

/// Devices come by client id; one with the same client id replaces the other.
pub async fn devices(store: &dyn Store) {
    let user = UserId(7);
    for device in [device("web", 1), device("phone", 2), device("web", 3)] {
        store.put_device(user, &device).await.unwrap();
    }
    store.put_device(UserId(8), &device("web", 4)).await.unwrap();
    assert_eq!(store.devices(user).await.unwrap(), [device("phone", 2), device("web", 3)]);
    store.remove_device(user, "phone").await.unwrap();
    store.remove_device(user, "phone").await.unwrap();
    store.remove_device(user, &"x".repeat(100_000)).await.unwrap();
    assert_eq!(store.devices(user).await.unwrap(), [device("web", 3)]);
    assert_eq!(store.devices(UserId(8)).await.unwrap().len(), 1);
    assert!(store.devices(UserId(9)).await.unwrap().is_empty());
    for client_id in [String::new(), "x".repeat(129)] {
        assert_eq!(kind(store.put_device(user, &device(&client_id, 9)).await), StoreErrorKind::Invalid);
    }
}

/// A token that another user or device has is taken from it.
pub async fn a_token_moves_to_its_newest_owner(store: &dyn Store) {
    let (a, b) = (UserId(1), UserId(2));
    store.put_device(a, &device("phone", 1)).await.unwrap();
    store.put_device(a, &device("web", 2)).await.unwrap();
    store.put_device(b, &device("phone", 1)).await.unwrap();
    assert_eq!(store.devices(a).await.unwrap(), [device("web", 2)]);
    assert_eq!(store.devices(b).await.unwrap(), [device("phone", 1)]);
    store.put_device(b, &device("tablet", 1)).await.unwrap();
    assert_eq!(store.devices(b).await.unwrap(), [device("tablet", 1)], "from the user's own other device");
    store.put_device(b, &device("tablet", 1)).await.unwrap();
    assert_eq!(store.devices(b).await.unwrap(), [device("tablet", 1)], "but not from itself");
}

/// A device that gave up its token does not lose it again to the token's next owner.
pub async fn a_device_can_change_its_token(store: &dyn Store) {
    let (a, b) = (UserId(1), UserId(2));
    store.put_device(a, &device("phone", 1)).await.unwrap();
    store.put_device(a, &device("phone", 2)).await.unwrap();
    store.put_device(b, &device("phone", 1)).await.unwrap();
    assert_eq!(store.devices(a).await.unwrap(), [device("phone", 2)]);
    store.remove_device(b, "phone").await.unwrap();
    store.put_device(b, &device("web", 3)).await.unwrap();
    store.put_device(a, &device("web", 1)).await.unwrap();
    assert_eq!(store.devices(b).await.unwrap(), [device("web", 3)]);
    assert_eq!(store.devices(a).await.unwrap().len(), 2);
}
