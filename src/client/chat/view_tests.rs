//! What the screen looks like, cell by cell.

use ratatui::{Terminal, backend::TestBackend, crossterm::event::KeyCode};
use tertulia_proto::chat::v1::{
    Attachment, Message, MessageStatus, MessageType, ReactionCount, Room, RoomPreferences, Typing, event::Event as Body,
};

use super::{
    fixture::*,
    input::{Input, Outcome},
    model::Model,
    view::draw,
};

fn screen(model: &mut Model, width: u16, height: u16) -> String {
    model.update(Input::Resize { width, height });
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    terminal.backend().to_string()
}

fn rooms() -> Vec<Room> {
    let mut garden = group("g", "Gardening", 40);
    garden.description = "What grows, and what does not".to_owned();
    let mut books = group("b", "Books and everything one may say of them", 30);
    books.unread_count = 12;
    let mut pinned = group("p", "Notice board", 2);
    pinned.preferences = Some(RoomPreferences { pinned: true, ..RoomPreferences::default() });
    vec![garden, books, pinned, dm("d", 20)]
}

fn history() -> Vec<Message> {
    let mut first = message("g", 1, ANN, "Good morning! Who has seen the tomatoes that were on the window sill?");
    first.created_at = at(-600);
    first.pinned = true;
    first.reactions =
        [("👍", 2), ("🎉", 1)].map(|(reaction, count)| ReactionCount { reaction: reaction.to_owned(), count }).into();
    let mut mine = message("g", 2, ME, "Not me.");
    mine.reply_to = first.id;
    mine.status = MessageStatus::Read.into();
    let mut edited = message("g", 3, BOB, "I ate them, sorry.\nThey were very good.");
    edited.edited_at = at(9);
    let mut deleted = message("g", 4, ANN, "");
    deleted.deleted = true;
    let mut system = message("g", 5, 0, "Ann made Bob an admin");
    system.r#type = MessageType::SystemMessage.into();
    let mut file = message("g", 6, ANN, "evidence \u{1b}[31mred");
    file.attachments = vec![Attachment {
        name: "tomatoes.jpg".to_owned(),
        mime: "image/jpeg".to_owned(),
        size: 48_123,
        ..Attachment::default()
    }];
    let mut delivered = message("g", 7, ME, "日本語もどうぞ");
    delivered.status = MessageStatus::Delivered.into();
    vec![first, mine, edited, deleted, system, file, delivered]
}

/// The garden, open.
fn garden() -> Model {
    let mut model = model(rooms(), vec![]);
    say(&mut model, "/go garden");
    model.update(page("g", None, history(), false));
    model.update(online(ANN));
    model
}

#[test]
fn everything_at_once_in_80_by_24() {
    let mut model = garden();
    say(&mut model, "on its way");
    say(&mut model, "refused");
    model.update(event("g", 0, ANN, Body::Typing(Typing { typing: true, ttl_ms: 10_000 })));
    for c in "half a sent".chars() {
        press(&mut model, KeyCode::Char(c));
    }
    insta::assert_snapshot!(screen(&mut model, 80, 24));
}

#[test]
fn what_came_from_elsewhere_has_its_own_time_and_name() {
    let mut model = garden();
    let mut old = message("g", 8, BOB, "are you there?");
    (old.original_at, old.sender_name) = (at(-1_440 * 400), "bob|away".to_owned());
    let mut stranger = message("g", 9, 3267, "I was");
    stranger.sender_name = "Zoe".to_owned();
    model.update(arrives(old));
    model.update(arrives(stranger));
    let screen = screen(&mut model, 80, 30);
    assert!(screen.contains("bob|away: are you there?"), "{screen}");
    assert!(screen.contains("Zoe: I was") && !screen.contains("user 3267"), "{screen}");
    assert!(screen.contains("── 2025-10-17 ──"), "{screen}");
}

#[test]
fn a_broken_connection_counts_down() {
    let mut model = garden();
    say(&mut model, "hello");
    model.update(down());
    model.update(sent("g", "s-1", Err(failure(false))));
    model.update(Input::Tick { now_ms: 1_200 });
    insta::assert_snapshot!(screen(&mut model, 80, 24));
}

#[test]
fn a_reply_is_announced_above_the_composer() {
    let mut model = garden();
    say(&mut model, "/reply 3");
    for c in "A draft that is longer than one line of the composer can ever be".chars() {
        press(&mut model, KeyCode::Char(c));
    }
    insta::assert_snapshot!(screen(&mut model, 60, 16));
}

#[test]
fn a_talk_between_two() {
    let mut model = garden();
    say(&mut model, "/go ann");
    model.update(page("d", None, vec![message("d", 20, ANN, "psst")], false));
    insta::assert_snapshot!(screen(&mut model, 80, 12));
}

#[test]
fn help_and_findings() {
    let mut model = garden();
    press(&mut model, KeyCode::F(1));
    insta::assert_snapshot!("help", screen(&mut model, 80, 24));
    let found = vec![message("g", 6, ANN, "evidence"), message("g", 1, BOB, "evidently not")];
    model.update(done(Outcome::Found { query: "evid".to_owned(), result: Ok(found) }));
    insta::assert_snapshot!("found", screen(&mut model, 80, 12));
}

#[test]
fn the_beginning_and_the_empty_list() {
    let mut model = Model::new(ME, "s");
    insta::assert_snapshot!("connecting", screen(&mut model, 60, 10));
    model.update(listed(vec![]));
    model.update(Input::Up);
    insta::assert_snapshot!("no_rooms", screen(&mut model, 60, 10));
}

#[test]
fn no_size_breaks_it() {
    let mut model = garden();
    model.draft_mut().insert(&"long ".repeat(200));
    for (width, height) in (1..=120).step_by(7).flat_map(|width| (1..=40).step_by(3).map(move |height| (width, height)))
    {
        screen(&mut model, width, height);
    }
    press(&mut model, KeyCode::F(1));
    for (width, height) in [(40, 10), (41, 11), (200, 60)] {
        screen(&mut model, width, height);
    }
}
