//! Generators of random lives: commands, batches, clocks that go back, rooms that are loaded again.

use proptest::prelude::*;

use super::{
    NOW_MS,
    world::{Item, Step},
};
use crate::domain::{
    ids::{Seq, UserId},
    message::{Attachment, Draft, MessageType},
    room::{Author, Command, InfoPatch, MemberPatch, Role, RoomType},
};

pub(crate) fn an_author() -> impl Strategy<Value = Author> {
    (1i64..=6, prop::bool::weighted(0.1)).prop_map(|(user, admin)| Author { user: UserId(user), admin })
}

fn users() -> impl Strategy<Value = Vec<UserId>> {
    prop::collection::vec((0i64..=7).prop_map(UserId), 0..4)
}

/// Any draft of small size, most of them plain texts.
pub(crate) fn a_draft() -> impl Strategy<Value = Draft> {
    let plain = "[abc]{1,2}".prop_map(|content| super::text(&content));
    let special = (
        plain.clone(),
        any::<bool>(),
        prop_oneof![3 => Just(Vec::new()), 1 => users()],
        prop_oneof![Just(0), Just(NOW_MS - 1)],
        prop::bool::weighted(0.2),
        0usize..2,
    )
        .prop_map(|(draft, encrypted, mentions, original_at_ms, system, files)| Draft {
            encrypted,
            mentions,
            original_at_ms,
            message_type: if system { MessageType::System } else { MessageType::User },
            attachments: vec![
                Attachment { url: String::from("https://example.org/a"), ..Attachment::default() };
                files
            ],
            sender_name: String::from("Ana"),
            ..draft
        });
    prop_oneof![3 => plain, 1 => special]
}

fn an_item() -> impl Strategy<Value = Item> {
    prop_oneof![
        6 => (an_author(), 0u8..12, a_draft(), prop_oneof![Just(0u64), 0u64..30]).prop_map(
            |(author, client, draft, stale)| Item::Send { author, client, draft: Box::new(draft), stale }
        ),
        3 => (an_author(), prop::option::of(0u64..30), any::<bool>()).prop_map(
            |(author, back, delivered_only)| Item::Read { author, back, delivered_only }
        ),
        1 => an_author().prop_map(Item::Clear),
    ]
}

fn a_role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Owner), Just(Role::Admin), Just(Role::Member)]
}

fn a_patch() -> impl Strategy<Value = InfoPatch> {
    (
        prop::option::of("[a-c]{0,2}"),
        prop::option::of("[a-c]{0,2}"),
        prop::option::of(any::<bool>()),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(name, description, members_can_send, history_visible)| InfoPatch {
            name,
            description,
            picture: None,
            members_can_send,
            history_visible,
        })
}

fn a_member_change() -> impl Strategy<Value = Command> {
    (
        1i64..=6,
        prop::option::of(a_role()),
        prop::option::of(prop::option::of(any::<bool>())),
        prop::option::of("[a-c]{0,2}"),
    )
        .prop_map(|(user, role, can_send, nickname)| Command::ChangeMember {
            user: UserId(user),
            patch: MemberPatch { role, can_send, nickname },
        })
}

/// Any command; those about messages name them by a number that [`World`] takes modulo the messages there are.
pub(crate) fn a_command() -> impl Strategy<Value = Command> {
    let place = || (0u64..60).prop_map(Seq);
    prop_oneof![
        2 => a_patch().prop_map(Command::Update),
        3 => users().prop_map(Command::Join),
        2 => users().prop_map(Command::Remove),
        1 => Just(Command::Leave),
        3 => a_member_change(),
        3 => (place(), "[a-c]{0,2}", any::<bool>(), users()).prop_map(
            |(message, content, encrypted, mentions)| Command::Edit { message, content, encrypted, mentions }
        ),
        2 => place().prop_map(|message| Command::Delete { message }),
        4 => (place(), prop_oneof![2 => "[xy]{0,1}", 1 => Just(String::from("👍"))], any::<bool>()).prop_map(
            |(message, reaction, remove)| Command::React { message, reaction, remove }
        ),
        3 => (place(), any::<bool>()).prop_map(|(message, pinned)| Command::Pin { message, pinned }),
        1 => place().prop_map(|message| Command::GiveWay { message }),
    ]
}

pub(crate) fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(an_item(), 0..8).prop_map(Step::Batch),
        8 => (an_author(), a_command()).prop_map(|(author, command)| Step::Command(author, command)),
        1 => any::<bool>().prop_map(Step::Blocked),
        1 => (-5_000i64..5_000).prop_map(Step::Clock),
        1 => (1usize..6).prop_map(Step::Reload),
    ]
}

pub(crate) fn a_room_type() -> impl Strategy<Value = RoomType> {
    prop_oneof![
        2 => Just(RoomType::Group),
        1 => Just(RoomType::Channel),
        1 => Just(RoomType::P2p),
    ]
}

/// A type of room, how many messages it keeps warm, and what happens to it; the room is sometimes deleted at the end.
pub(crate) fn a_life() -> impl Strategy<Value = (RoomType, usize, Vec<Step>)> {
    let closing = prop::option::weighted(0.2, an_author())
        .prop_map(|author| author.map(|author| Step::Command(author, Command::Close)));
    (a_room_type(), 1usize..8, prop::collection::vec(a_step(), 1..40), closing, prop::collection::vec(a_step(), 0..4))
        .prop_map(|(room_type, tail_max, mut steps, closing, after)| {
            if let Some(close) = closing {
                steps.push(close);
                steps.extend(after);
            }
            (room_type, tail_max, steps)
        })
}
