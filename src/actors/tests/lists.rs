//! Room lists: order, what is hidden, what is found, what is unread.

use super::*;
use crate::actors::{ops::RoomPage, user::ListFilter};

async fn list(town: &Town, who: Author, query: &str) -> RoomPage {
    town.node.list(who, &ListFilter::default(), query, None, 100).await.unwrap()
}

fn names(page: &RoomPage) -> Vec<String> {
    page.rooms.iter().map(|room| room.info.name.clone()).collect()
}

async fn named(town: &Town, names: &[&str]) -> Vec<RoomId> {
    let mut rooms = Vec::new();
    for name in names {
        rooms.push(town.room(RoomType::Group, name, &[BEN.user]).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rooms
}

#[tokio::test(start_paused = true)]
async fn pinned_rooms_come_first_then_the_last_active() {
    let town = Town::new().await;
    let rooms = named(&town, &["a", "b", "c", "d"]).await;
    assert_eq!(names(&list(&town, BEN, "").await), ["d", "c", "b", "a"]);
    town.say(ANA, rooms[1], "hi").await;
    assert_eq!(names(&list(&town, BEN, "").await), ["b", "d", "c", "a"]);
    town.node.set_prefs(BEN, rooms[0], Some(true), None, None).await.unwrap();
    assert_eq!(names(&list(&town, BEN, "").await), ["a", "b", "d", "c"]);
    assert_eq!(names(&list(&town, ANA, "").await), ["b", "d", "c", "a"], "one's own pins alone");
    town.node.set_prefs(BEN, rooms[0], Some(false), None, None).await.unwrap();
    assert_eq!(names(&list(&town, BEN, "").await), ["b", "d", "c", "a"]);
}

#[tokio::test(start_paused = true)]
async fn pages_cover_the_list_once() {
    let town = Town::new().await;
    let all: Vec<String> = (0..23).map(|i| format!("room {i}")).collect();
    named(&town, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = town.node.list(BEN, &ListFilter::default(), "", after, 5).await.unwrap();
        assert_eq!(page.total, 23);
        assert!(page.rooms.len() <= 5);
        seen.extend(names(&page));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, all.into_iter().rev().collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_hidden_room_comes_back_with_the_next_message() {
    let town = Town::new().await;
    let rooms = named(&town, &["a", "b"]).await;
    let (prefs, hidden) = town.node.set_prefs(BEN, rooms[0], None, None, Some(true)).await.unwrap();
    assert!(hidden && prefs.hidden_at.is_some());
    assert_eq!(names(&list(&town, BEN, "").await), ["b"]);
    let filter = ListFilter { include_hidden: true, ..ListFilter::default() };
    let page = town.node.list(BEN, &filter, "", None, 10).await.unwrap();
    assert_eq!(names(&page), ["b", "a"]);
    assert!(page.rooms[1].hidden);
    town.say(ANA, rooms[0], "hi").await;
    assert_eq!(names(&list(&town, BEN, "").await), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn names_are_found_without_accents_and_case() {
    let town = Town::new().await;
    let rooms = named(&town, &["Café de la Ópera", "the office", "CAFETERIA"]).await;
    town.node.seen(EVA.user, "José Núñez", "").await.unwrap();
    let p2p = town.room(RoomType::P2p, "", &[EVA.user]).await;
    let found = list(&town, ANA, "cafe").await;
    assert_eq!(names(&found), ["CAFETERIA", "Café de la Ópera"]);
    assert_eq!(found.total, 2);
    assert_eq!(names(&list(&town, ANA, "ÓPERA").await), ["Café de la Ópera"]);
    let partner = list(&town, ANA, "nunez").await;
    assert_eq!(partner.rooms.iter().map(|r| r.info.id).collect::<Vec<_>>(), [p2p]);
    assert!(list(&town, ANA, "nobody").await.rooms.is_empty());
    let patch = crate::domain::room::InfoPatch { name: Some(String::from("Büro")), ..Default::default() };
    town.node.update_room(ANA, rooms[1], patch).await.unwrap();
    assert_eq!(names(&list(&town, ANA, "buro").await), ["Büro"]);
    assert!(list(&town, ANA, "office").await.rooms.is_empty(), "the old name");
}

#[tokio::test(start_paused = true)]
async fn one_type_of_room_alone() {
    let town = Town::new().await;
    town.room(RoomType::Group, "group", &[BEN.user]).await;
    town.room(RoomType::Channel, "channel", &[BEN.user]).await;
    town.room(RoomType::P2p, "", &[BEN.user]).await;
    for (room_type, name) in [(RoomType::Group, "group"), (RoomType::Channel, "channel"), (RoomType::P2p, "")] {
        let filter = ListFilter { room_type: Some(room_type), ..ListFilter::default() };
        let page = town.node.list(BEN, &filter, "", None, 10).await.unwrap();
        assert_eq!(names(&page), [name]);
    }
}

#[tokio::test(start_paused = true)]
async fn unread_is_counted_over_all_rooms_whether_awake_or_not() {
    let town = Town::new().await;
    let rooms = named(&town, &["a", "b"]).await;
    for i in 0..3 {
        town.say(ANA, rooms[0], &format!("a {i}")).await;
        town.say(ANA, rooms[1], &format!("b {i}")).await;
    }
    assert_eq!(list(&town, BEN, "").await.unread_total, 6);
    assert_eq!(list(&town, ANA, "").await.unread_total, 0);
    let (_, unread) = town.node.mark(BEN, rooms[0], Some(Seq(3)), false).await.unwrap();
    assert_eq!(unread, 1);
    assert_eq!(list(&town, BEN, "").await.unread_total, 4);
    town.sleep(rooms[0]).await;
    town.sleep(rooms[1]).await;
    let page = list(&town, BEN, "").await;
    assert_eq!(page.unread_total, 4);
    assert_eq!(page.rooms.iter().map(|r| r.unread).sum::<u64>(), 4);
    town.node.mark(BEN, rooms[1], None, false).await.unwrap();
    assert_eq!(list(&town, BEN, "").await.unread_total, 1);
    let explained = town.node.explain_unread(BEN, rooms[0], BEN.user).await.unwrap();
    assert_eq!((explained.unread.count(), explained.last_n.0, explained.position.read_n.0), (1, 3, 2));
    let others = town.node.explain_unread(BEN, rooms[0], ANA.user).await;
    assert_eq!(rejected(others), Reject::AdminOnly);
}

#[tokio::test(start_paused = true)]
async fn a_room_joined_or_left_changes_the_list() {
    let town = Town::new().await;
    let room = town.room(RoomType::Group, "a", &[EVA.user]).await;
    assert!(list(&town, BEN, "").await.rooms.is_empty());
    town.node.add_members(ANA, room, vec![BEN.user]).await.unwrap();
    settle().await;
    assert_eq!(names(&list(&town, BEN, "").await), ["a"]);
    town.node.leave(BEN, room).await.unwrap();
    settle().await;
    assert!(list(&town, BEN, "").await.rooms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_room_is_in_no_page() {
    let town = Town::new().await;
    let rooms = named(&town, &["a", "b"]).await;
    town.say(ANA, rooms[0], "hi").await;
    assert_eq!(names(&list(&town, BEN, "").await), ["a", "b"]);
    town.node.delete_room(ANA, rooms[0]).await.unwrap();
    assert_eq!(names(&list(&town, BEN, "").await), ["b"]);
    assert_eq!(rejected(town.node.room(BEN, rooms[0]).await), Reject::RoomDeleted);
    assert_eq!(rejected(town.try_say(BEN, rooms[0], "c", "x").await), Reject::RoomDeleted);
}

#[tokio::test(start_paused = true)]
async fn a_summary_shows_the_room_as_its_reader_sees_it() {
    let town = Town::new().await;
    for (user, name) in [(ANA, "Ana"), (BEN, "Ben"), (EVA, "Eva")] {
        town.node.seen(user.user, name, "").await.unwrap();
    }
    let room = town.group().await;
    town.say(ANA, room, "hi").await;
    for asleep in [false, true] {
        if asleep {
            town.sleep(room).await;
        }
        let summary = town.node.room(BEN, room).await.unwrap();
        let people: Vec<&str> = summary.people.iter().map(|p| p.profile.name.as_str()).collect();
        assert_eq!(people, ["Ana", "Ben", "Eva"]);
        assert_eq!(summary.unread, 1);
        assert_eq!(summary.last_message.unwrap().draft.content, "hi");
        assert_eq!(rejected(town.node.room(author(9), room).await), Reject::RoomNotFound);
        assert!(town.node.room(ROOT, room).await.unwrap().role.is_none());
    }
}
