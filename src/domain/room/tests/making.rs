//! What a room may be made with.

use super::{OWNER, operator, user};
use crate::domain::{
    ids::{BodyHash, UserId},
    reject::{Flaw, Reject},
    room::{MakingRules, NewRoom, RoomType},
};

const RULES: MakingRules = MakingRules { members_max: 5, anyone_joins_all: false };

fn new(room_type: RoomType, others: &[i64]) -> NewRoom {
    NewRoom {
        room_type,
        participants: others.iter().copied().map(UserId).collect(),
        name: if room_type == RoomType::P2p { String::new() } else { String::from("the corner table") },
        description: String::new(),
        picture: String::new(),
        join_all_users: false,
        members_can_send: None,
        history_visible: None,
        client_room_id: String::new(),
    }
}

#[test]
fn everyone_is_added_by_the_admin_role_or_where_anyone_may() {
    let channel = NewRoom { join_all_users: true, ..new(RoomType::Channel, &[]) };
    let anyone = MakingRules { anyone_joins_all: true, ..RULES };
    assert_eq!(channel.others(user(OWNER), RULES), Err(Reject::AdminOnly));
    assert_eq!(channel.others(operator(OWNER), RULES), Ok(Vec::new()));
    assert_eq!(channel.others(user(OWNER), anyone), Ok(Vec::new()));
}

#[test]
fn a_new_room_is_no_larger_than_a_room_may_be() {
    assert!(new(RoomType::Group, &[2, 3, 4, 5, 1, 5]).others(user(OWNER), RULES).is_ok(), "five with the maker");
    let large = new(RoomType::Group, &[2, 3, 4, 5, 6]);
    assert_eq!(large.others(user(OWNER), RULES), Err(Reject::TooManyMembers));
    assert_eq!(large.others(operator(OWNER), RULES), Err(Reject::TooManyMembers), "for the admin role too");
}

#[test]
fn a_room_of_ones_own_id_is_one_room() {
    let named = |id: &str| NewRoom { client_room_id: id.to_owned(), ..new(RoomType::Group, &[2, 3]) };
    let (a, others) = (named("a"), [UserId(2), UserId(3)]);
    assert_eq!(a.id(OWNER), named("a").id(OWNER));
    assert_ne!(a.id(OWNER), a.id(UserId(2)), "everyone has ids of their own");
    assert_ne!(a.id(OWNER), named("b").id(OWNER));
    assert_eq!((named("").id(OWNER), named("").creation(&others)), (None, BodyHash::default()));
    let pair = NewRoom { client_room_id: String::from("a"), ..new(RoomType::P2p, &[2]) };
    assert_eq!((pair.id(OWNER), pair.creation(&others)), (None, BodyHash::default()), "a pair has one room as it is");
    let creation = a.creation(&others);
    assert_eq!(named("a").creation(&others), creation);
    let others_of = |new: NewRoom| new.creation(&others);
    for other in [
        others_of(NewRoom { name: String::from("x"), ..a.clone() }),
        others_of(NewRoom { description: String::from("x"), ..a.clone() }),
        others_of(NewRoom { picture: String::from("x"), ..a.clone() }),
        others_of(NewRoom { members_can_send: Some(true), ..a.clone() }),
        others_of(NewRoom { history_visible: Some(false), ..a.clone() }),
        others_of(NewRoom { room_type: RoomType::Channel, ..a.clone() }),
        a.creation(&others[..1]),
    ] {
        assert_ne!(other, creation);
    }
    let long = named(&"x".repeat(129)).others(user(OWNER), RULES);
    assert_eq!(long.map_err(Reject::unbound), Err(Reject::invalid("client_room_id", Flaw::TooLong)));
}
