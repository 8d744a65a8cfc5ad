//! What the model does with each kind of input.

use ratatui::crossterm::event::{KeyCode, KeyModifiers};
use tertulia_proto::chat::v1::{
    BlockUpdate, MessageDeleted, MessageEdited, MessageReaction, MessageStatus, PositionMoved, PreferencesUpdate,
    ResyncRequired, Role, RoomCleared, RoomJoin, RoomLeave, RoomPreferences, StatusUpdate, Typing,
    event::Event as Body,
};

use super::{
    fixture::*,
    input::{Effect, Input, Outcome},
    model::{Link, Model, Overlay, Pane},
    timeline::PendingState,
};

fn tick(model: &mut Model, now_ms: i64) -> Vec<Effect> {
    model.update(Input::Tick { now_ms })
}

fn contents(model: &Model) -> Vec<&str> {
    model.room().unwrap().timeline.messages().map(|message| message.content.as_str()).collect()
}

fn pending_states(model: &Model) -> Vec<PendingState> {
    model.room().unwrap().timeline.pending.iter().map(|pending| pending.state.clone()).collect()
}

fn send(id: &str, content: &str) -> Effect {
    Effect::Send { room_id: "g".to_owned(), client_message_id: id.to_owned(), content: content.to_owned(), reply_to: 0 }
}

fn caught_up(model: &Model) -> bool {
    matches!(&model.link, Link::Up { behind } if behind.is_empty())
}

#[test]
fn the_first_room_opens_and_its_history_is_read_once_connected() {
    let mut model = Model::new(ME, "s");
    let effects = model.update(listed(vec![group("a", "A", 5), group("b", "B", 9)]));
    assert_eq!(effects, [], "nothing can be read before the connection is up");
    assert_eq!(model.open.as_deref(), Some("b"), "the latest activity comes first");
    let effects = model.update(Input::Up);
    assert_eq!(effects, [Effect::LoadHistory { room_id: "b".to_owned(), before_seq: None }]);
    assert!(caught_up(&model));
}

#[test]
fn pinned_rooms_come_first_then_the_latest_activity() {
    let mut pinned = group("c", "C", 1);
    pinned.preferences = Some(RoomPreferences { pinned: true, ..RoomPreferences::default() });
    let mut hidden = group("d", "D", 20);
    hidden.preferences = Some(RoomPreferences { hidden: true, ..RoomPreferences::default() });
    let mut model = model(vec![group("a", "A", 5), group("b", "B", 9), pinned, hidden], vec![]);
    assert_eq!(model.order, ["c", "b", "a"]);
    model.update(arrives(message("a", 10, ANN, "hi")));
    assert_eq!(model.order, ["c", "a", "b"]);
    model.update(arrives(message("d", 21, ANN, "a hidden room shows itself again")));
    assert_eq!(model.order, ["c", "d", "a", "b"]);
}

#[test]
fn sending_shows_at_once_and_is_replaced_by_what_the_server_stored() {
    let mut model = model(vec![group("g", "G", 2)], vec![message("g", 1, ANN, "hi")]);
    assert_eq!(say(&mut model, "hello"), [send("s-1", "hello")]);
    assert_eq!(say(&mut model, "and more"), [], "one at a time, to keep the order");
    assert_eq!(pending_states(&model), [PendingState::InFlight, PendingState::Queued]);
    let mut stored = message("g", 3, ME, "hello");
    stored.client_message_id = "s-1".to_owned();
    let effects = model.update(sent("g", "s-1", Ok(stored)));
    assert_eq!(effects, [send("s-2", "and more")]);
    assert_eq!(contents(&model), ["hi", "hello"]);
    assert_eq!(pending_states(&model), [PendingState::InFlight]);
}

#[test]
fn an_own_message_shows_once_whichever_comes_first() {
    for event_first in [true, false] {
        let mut model = model(vec![group("g", "G", 2)], vec![]);
        say(&mut model, "hello");
        let mut stored = message("g", 3, ME, "hello");
        stored.client_message_id = "s-1".to_owned();
        let mut inputs = vec![arrives(stored.clone()), sent("g", "s-1", Ok(stored))];
        if !event_first {
            inputs.reverse();
        }
        for input in inputs {
            model.update(input);
        }
        assert_eq!((contents(&model).len(), pending_states(&model).len()), (1, 0), "event first: {event_first}");
    }
}

#[test]
fn what_was_not_acknowledged_goes_out_again_under_the_same_id() {
    let mut model = model(vec![group("g", "G", 2)], vec![]);
    say(&mut model, "hello");
    model.update(down());
    assert_eq!(model.update(sent("g", "s-1", Err(failure(true)))), [], "not while the connection is down");
    assert_eq!(say(&mut model, "later"), []);
    assert_eq!(pending_states(&model), [PendingState::Queued, PendingState::Queued]);
    let effects = model.update(Input::Up);
    assert!(effects.contains(&send("s-1", "hello")), "{effects:?}");
    assert!(!effects.contains(&send("s-2", "later")), "{effects:?}");
}

#[test]
fn a_transient_failure_is_tried_again_later_and_later() {
    let mut model = model(vec![group("g", "G", 2)], vec![]);
    say(&mut model, "hello");
    assert_eq!(model.update(sent("g", "s-1", Err(failure(true)))), []);
    assert_eq!(tick(&mut model, 200), []);
    assert_eq!(tick(&mut model, 250), [send("s-1", "hello")]);
    assert_eq!(model.update(sent("g", "s-1", Err(failure(true)))), []);
    assert_eq!(tick(&mut model, 700), []);
    assert_eq!(tick(&mut model, 750), [send("s-1", "hello")]);
}

#[test]
fn a_refused_message_stays_until_retried_or_discarded() {
    let mut model = model(vec![group("g", "G", 2)], vec![]);
    say(&mut model, "bad");
    say(&mut model, "good");
    let effects = model.update(sent("g", "s-1", Err(failure(false))));
    assert_eq!(effects, [send("s-2", "good")], "the next does not wait for it");
    assert_eq!(pending_states(&model)[0], PendingState::Failed("no such luck".to_owned()));
    assert_eq!(say(&mut model, "/retry"), [send("s-1", "bad")]);
    model.update(sent("g", "s-1", Err(failure(false))));
    say(&mut model, "/discard");
    assert_eq!(pending_states(&model), [PendingState::InFlight]);
}

#[test]
fn unread_counts_what_is_new_and_not_ours() {
    let mut busy = group("b", "B", 5);
    busy.unread_count = 4;
    let mut model = model(vec![group("g", "G", 9), busy], vec![]);
    model.update(arrives(message("b", 5, ANN, "counted already")));
    assert_eq!(model.rooms["b"].unread, 4);
    model.update(arrives(message("b", 6, ANN, "new")));
    assert_eq!(model.rooms["b"].unread, 5);
    model.update(arrives(message("b", 7, ME, "from another device")));
    assert_eq!(model.rooms["b"].unread, 0);
    let mut stale = group("b", "B", 6);
    stale.unread_count = 99;
    model.update(listed(vec![stale]));
    assert_eq!(model.rooms["b"].unread, 0, "an answer older than what came live changes nothing");
}

#[test]
fn what_is_seen_is_marked_read_and_what_arrives_delivered() {
    let mut model = model(vec![group("g", "G", 9), group("b", "B", 5)], vec![message("g", 9, ANN, "hi")]);
    model.update(arrives(message("g", 10, ANN, "seen")));
    model.update(arrives(message("b", 6, ANN, "elsewhere")));
    model.update(Input::Focus(false));
    let delivered = |room: &str, seq| Effect::MarkDelivered { room_id: room.to_owned(), up_to_seq: seq };
    let mut effects = tick(&mut model, 250);
    effects.sort_by_key(|effect| format!("{effect:?}"));
    assert_eq!(effects, [delivered("b", 6), delivered("g", 10)], "nobody looks");
    model.update(Input::Focus(true));
    let effects = tick(&mut model, 500);
    assert_eq!(effects, [Effect::MarkRead { room_id: "g".to_owned(), up_to_seq: 10 }]);
    assert_eq!(tick(&mut model, 750), []);
    let effects = model.update(done(Outcome::Read { room_id: "g".to_owned(), result: Err(failure(true)) }));
    assert_eq!(effects, [Effect::LoadRoom { room_id: "g".to_owned() }]);
}

#[test]
fn nothing_is_marked_read_while_scrolled_up() {
    let history = (1..=60).map(|seq| message("g", seq, ANN, "line")).collect();
    let mut model = model(vec![group("g", "G", 60)], history);
    press(&mut model, KeyCode::PageUp);
    model.update(arrives(message("g", 61, ANN, "new")));
    assert!(!tick(&mut model, 250).iter().any(|effect| matches!(effect, Effect::MarkRead { .. })));
    press(&mut model, KeyCode::Esc);
    assert!(tick(&mut model, 500).iter().any(|effect| matches!(effect, Effect::MarkRead { .. })));
}

#[test]
fn scrolling_to_the_top_reads_older_messages_once_and_keeps_the_place() {
    let history = (51..=100).map(|seq| message("g", seq, ANN, "line")).collect();
    let mut model = model(vec![group("g", "G", 100)], vec![]);
    model.update(page("g", None, history, true));
    let older = Effect::LoadHistory { room_id: "g".to_owned(), before_seq: Some(51) };
    let asked: Vec<Effect> = (0..6).flat_map(|_| press(&mut model, KeyCode::PageUp)).collect();
    assert_eq!(asked, [older], "once, however often one presses");
    let top = model.shown()[0].0;
    assert_eq!(top, Some(51));
    model.update(page("g", Some(51), (1..=50).map(|seq| message("g", seq, ANN, "line")).collect(), false));
    assert_eq!(model.shown()[0].0, top, "the window stays where it was");
    for _ in 0..6 {
        press(&mut model, KeyCode::PageUp);
    }
    assert_eq!(model.shown()[0].0, Some(1));
    for _ in 0..12 {
        press(&mut model, KeyCode::PageDown);
    }
    assert_eq!(model.room().unwrap().anchor, None, "and at the bottom it follows again");
    assert_eq!(model.shown().last().unwrap().0, Some(100));
}

#[test]
fn scrolling_back_and_forth_by_lines_shows_every_line_of_long_messages() {
    let long = "word ".repeat(300);
    let history = (1..=5).map(|seq| message("g", seq, ANN, &long)).collect();
    let mut model = model(vec![group("g", "G", 5)], history);
    let bottom = model.shown();
    let mut steps = 0;
    while model.shown()[0].0 != Some(1) || steps < 20 {
        let before = model.shown();
        press(&mut model, KeyCode::Up);
        let after = model.shown();
        assert_eq!(after.len(), before.len());
        assert_eq!(after[1..], before[..before.len() - 1], "one line at a time");
        steps += 1;
        assert!(steps < 500, "the top is never reached");
    }
    for _ in 0..steps {
        press(&mut model, KeyCode::Down);
    }
    assert_eq!(model.shown(), bottom);
}

#[test]
fn edits_deletes_and_reactions_change_the_message() {
    let mut model = model(vec![group("g", "G", 2)], vec![message("g", 1, ANN, "one"), message("g", 2, ANN, "two")]);
    let mut edited = message("g", 1, ANN, "one, rather");
    edited.edited_at = at(3);
    model.update(event("g", 3, ANN, Body::Edited(MessageEdited { message: Some(edited) })));
    model.update(event("g", 4, ANN, Body::Deleted(MessageDeleted { message_id: 1_002, message_seq: 2 })));
    assert_eq!(contents(&model), ["one, rather", ""]);
    let reaction = MessageReaction { message_id: 1_001, message_seq: 1, ..MessageReaction::default() };
    model.update(event("g", 5, BOB, Body::Reaction(reaction.clone())));
    model.update(event("g", 6, BOB, Body::Reaction(reaction)));
    let effects = tick(&mut model, 250);
    let again = |message_id| Effect::LoadMessage { message_id };
    assert_eq!(effects, [again(1_001), again(1_002)], "each is read once a tick");
}

#[test]
fn a_change_that_overtakes_the_page_it_belongs_to_is_not_lost() {
    let mut model = Model::new(ME, "s");
    model.update(listed(vec![group("g", "G", 2)]));
    model.update(Input::Up);
    let mut edited = message("g", 1, ANN, "new");
    edited.edited_at = at(3);
    model.update(event("g", 3, ANN, Body::Edited(MessageEdited { message: Some(edited) })));
    model.update(arrives(message("g", 4, ANN, "live")));
    assert_eq!(tick(&mut model, 250), [Effect::MarkDelivered { room_id: "g".to_owned(), up_to_seq: 4 }]);
    model.update(page("g", None, vec![message("g", 1, ANN, "old")], false));
    assert_eq!(contents(&model), ["old", "live"]);
    assert!(tick(&mut model, 500).contains(&Effect::LoadMessage { message_id: 1_001 }));
}

#[test]
fn statuses_of_own_messages_only_rise() {
    let mine = |seq| message("d", seq, ME, "mine");
    let mut model = model(vec![dm("d", 4)], vec![mine(1), mine(2), message("d", 3, ANN, "x"), mine(4)]);
    let status = |up_to_seq, status: MessageStatus| {
        event("d", 0, ANN, Body::Status(StatusUpdate { up_to_seq, status: status.into(), counts: None }))
    };
    model.update(status(4, MessageStatus::Delivered));
    model.update(status(2, MessageStatus::Read));
    model.update(status(4, MessageStatus::Delivered));
    let statuses: Vec<i32> = model.room().unwrap().timeline.messages().map(|message| message.status).collect();
    let (none, delivered, read) = (0, MessageStatus::Delivered.into(), MessageStatus::Read.into());
    assert_eq!(statuses, [read, read, none, delivered]);
    let edited = MessageEdited { message: Some(mine(2)) };
    model.update(event("d", 5, ME, Body::Edited(edited)));
    let second = model.room().unwrap().timeline.by_id(1_002).unwrap();
    assert_eq!(second.status, read, "an edit takes nothing back");
}

#[test]
fn typing_is_shown_until_it_ends_by_word_message_or_time() {
    let mut model = model(vec![group("g", "G", 2)], vec![]);
    let typing = |user, typing| event("g", 0, user, Body::Typing(Typing { typing, ttl_ms: 10_000 }));
    model.update(typing(ANN, true));
    model.update(typing(BOB, true));
    model.update(typing(ME, true));
    assert_eq!(model.room().unwrap().typists(model.now_ms), ["Ann", "Bob"]);
    model.update(arrives(message("g", 3, ANN, "done")));
    assert_eq!(model.room().unwrap().typists(model.now_ms), ["Bob"]);
    tick(&mut model, 10_001);
    assert!(model.room().unwrap().typists(model.now_ms).is_empty());
}

#[test]
fn our_typing_is_told_now_and_then_and_never_for_commands() {
    let mut model = model(vec![group("g", "G", 2)], vec![]);
    let told = |typing| [Effect::Typing { room_id: "g".to_owned(), typing }];
    assert_eq!(press(&mut model, KeyCode::Char('h')), told(true));
    assert_eq!(press(&mut model, KeyCode::Char('i')), []);
    tick(&mut model, 4_000);
    assert_eq!(press(&mut model, KeyCode::Char('!')), told(true));
    for _ in 0..2 {
        assert_eq!(press(&mut model, KeyCode::Backspace), []);
    }
    assert_eq!(press(&mut model, KeyCode::Backspace), told(false));
    assert_eq!(press(&mut model, KeyCode::Char('/')), []);
}

#[test]
fn catching_up_ends_when_the_stream_has_come_to_the_end_of_the_list() {
    let mut model = model(vec![group("g", "G", 5), group("b", "B", 3)], vec![]);
    model.update(down());
    let effects = model.update(Input::Up);
    assert!(effects.contains(&Effect::LoadRooms));
    model.update(listed(vec![group("g", "G", 7), group("b", "B", 3)]));
    assert!(!caught_up(&model));
    model.update(arrives(message("g", 6, ANN, "missed")));
    assert!(!caught_up(&model));
    model.update(arrives(message("g", 7, ANN, "missed")));
    assert!(caught_up(&model));
}

#[test]
fn an_event_that_is_not_for_us_moves_the_room_on_and_shows_nothing() {
    let mut model = model(vec![group("g", "G", 5), group("b", "B", 3)], vec![]);
    model.update(down());
    model.update(Input::Up);
    model.update(listed(vec![group("g", "G", 6), group("b", "B", 3)]));
    assert!(!caught_up(&model));
    let veiled = tertulia_proto::chat::v1::Event { room_id: "g".to_owned(), seq: 6, ..Default::default() };
    assert_eq!(model.update(Input::Event(Box::new(veiled))), []);
    assert!(caught_up(&model));
    assert!(contents(&model).is_empty());
}

#[test]
fn a_resync_reads_the_room_again_and_keeps_what_is_on_its_way() {
    let mut model = model(vec![group("g", "G", 5)], vec![message("g", 5, ANN, "old")]);
    say(&mut model, "mine");
    let resync = ResyncRequired { from_seq: 6, resumed_after_seq: 900, drop_up_to_seq: 900 };
    let effects = model.update(event("g", 0, 0, Body::ResyncRequired(resync)));
    let room_id = || "g".to_owned();
    let expected =
        [Effect::LoadRoom { room_id: room_id() }, Effect::LoadHistory { room_id: room_id(), before_seq: None }];
    assert_eq!(effects, expected);
    assert!(contents(&model).is_empty());
    assert_eq!(pending_states(&model), [PendingState::InFlight]);
}

/// The page was asked for before, and may hold what was deleted since.
#[test]
fn a_page_from_before_a_resync_is_not_shown() {
    let mut model = model(vec![group("g", "G", 5)], vec![]);
    let resync = |model: &mut Model, text: &str| {
        let resync = ResyncRequired { from_seq: 6, resumed_after_seq: 900, drop_up_to_seq: 900 };
        model.update(event("g", 0, 0, Body::ResyncRequired(resync)));
        assert!(contents(model).is_empty(), "{text}");
    };
    resync(&mut model, "asked for once");
    resync(&mut model, "asked for again, before the first answer");
    model.update(page("g", None, vec![message("g", 5, ANN, "deleted since")], false));
    assert!(contents(&model).is_empty());
    model.update(page("g", None, vec![message("g", 5, ANN, "as it is now")], false));
    assert_eq!(contents(&model), ["as it is now"]);
}

#[test]
fn what_one_does_on_another_device_is_seen_here() {
    let mut model = model(vec![dm("d", 5), group("g", "G", 5)], vec![message("d", 4, ANN, "cleared")]);
    assert_eq!(contents(&model), ["cleared"]);
    let preferences = Some(RoomPreferences { pinned: true, ..RoomPreferences::default() });
    model.update(event("g", 0, ME, Body::PreferencesUpdate(PreferencesUpdate { preferences })));
    assert_eq!(model.order, ["g", "d"]);
    let read_again = [Effect::LoadRoom { room_id: "d".to_owned() }];
    let effects = model.update(event("d", 0, ME, Body::RoomCleared(RoomCleared { up_to_seq: 5 })));
    assert_eq!(effects, read_again);
    assert!(contents(&model).is_empty());
    let block = BlockUpdate { user_id: ANN, blocked: true };
    assert_eq!(model.update(event("", 0, ME, Body::BlockUpdate(block))), read_again);
}

#[test]
fn rooms_come_and_go() {
    let mut model = model(vec![group("g", "G", 5)], vec![]);
    let join = RoomJoin { participants: vec![], room: Some(dm("d", 9)) };
    model.update(event("d", 1, ANN, Body::RoomJoin(join)));
    assert_eq!(tick(&mut model, 250), [Effect::LoadPresence { user_ids: vec![ANN] }]);
    assert_eq!(model.order, ["d", "g"]);
    let left = |user| Body::RoomLeave(RoomLeave { user_ids: vec![user], removed: true, ..RoomLeave::default() });
    model.update(event("g", 6, ANN, left(BOB)));
    assert_eq!(model.room().unwrap().info.participants_count, 2);
    let effects = model.update(event("g", 7, ANN, left(ME)));
    assert_eq!(model.open.as_deref(), Some("d"), "the next room opens");
    assert_eq!(effects, [Effect::LoadHistory { room_id: "d".to_owned(), before_seq: None }]);
    assert_eq!(model.notice.as_ref().unwrap().text, "you were removed from G");
}

#[test]
fn joining_and_leaving_leave_remarks_and_an_owner() {
    let mut model = model(vec![group("g", "G", 5)], vec![message("g", 5, BOB, "hi")]);
    let leave = RoomLeave { user_ids: vec![ANN], new_owner_id: ME, ..RoomLeave::default() };
    model.update(event("g", 6, ANN, Body::RoomLeave(leave)));
    let lines: Vec<String> = model.shown().iter().map(|(_, line)| line.to_string()).collect();
    assert!(lines[2].ends_with("09:06 * Ann left; the room's owner is now you"), "{lines:?}");
    assert_eq!(model.room().unwrap().info.role(), Role::Owner);
}

#[test]
fn reading_on_another_device_asks_what_is_left() {
    let mut model = model(vec![group("g", "G", 5)], vec![]);
    let moved = |user| event("g", 0, user, Body::Read(PositionMoved { read_seq: 5, delivered_seq: 5 }));
    assert_eq!(model.update(moved(ANN)), []);
    assert_eq!(model.update(moved(ME)), [Effect::LoadRoom { room_id: "g".to_owned() }]);
}

#[test]
fn commands_name_messages_by_number_or_mean_the_newest() {
    let history = vec![message("g", 1, ME, "mine"), message("g", 2, ANN, "hers")];
    let mut model = model(vec![group("g", "G", 2)], history);
    let edit = |message_id, content: &str| [Effect::Edit { message_id, content: content.to_owned() }];
    assert_eq!(say(&mut model, "/edit new text"), edit(1_001, "new text"));
    assert_eq!(say(&mut model, "/delete"), [Effect::Delete { message_id: 1_001 }]);
    let react = Effect::React { message_id: 1_002, reaction: "👍".to_owned(), remove: false };
    assert_eq!(say(&mut model, "/react :+1"), [react]);
    assert_eq!(say(&mut model, "/pin #1"), [Effect::Pin { message_id: 1_001, pinned: true }]);
    assert_eq!(say(&mut model, "/edit #77 text"), []);
    assert!(model.notice.as_ref().unwrap().is_error);
    assert_eq!(model.draft().text(), "/edit #77 text", "a mistake does not cost what was written");
}

#[test]
fn replies_by_number_at_once_or_with_the_next_message() {
    let mut model = model(vec![group("g", "G", 2)], vec![message("g", 2, ANN, "hers")]);
    let reply_of = |effects: &[Effect]| match effects {
        [Effect::Send { reply_to, content, .. }] => (*reply_to, content.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(reply_of(&say(&mut model, "/reply 2 yes")), (1_002, "yes".to_owned()));
    let mut stored = message("g", 3, ME, "yes");
    stored.client_message_id = "s-1".to_owned();
    model.update(arrives(stored));
    assert_eq!(say(&mut model, "/reply #2"), []);
    assert_eq!(reply_of(&say(&mut model, "indeed")), (1_002, "indeed".to_owned()));
    assert_eq!(model.room().unwrap().reply_to, 0);
}

#[test]
fn rooms_are_made_found_and_left() {
    let mut model = model(vec![group("g", "Gardening", 5), group("b", "Books", 3)], vec![]);
    let expected = Effect::CreateGroup { name: "Tea time".to_owned(), user_ids: vec![2, 3] };
    assert_eq!(say(&mut model, "/new group Tea time 2 3"), [expected]);
    assert_eq!(say(&mut model, "/dm 2"), [Effect::CreateDm { user_id: 2 }]);
    assert_eq!(say(&mut model, "/dm 1"), []);
    press(&mut model, KeyCode::Esc);
    model.draft_mut().take();
    let effects = model.update(done(Outcome::Created(Ok(dm("d", 0)))));
    assert_eq!(effects[0], Effect::LoadHistory { room_id: "d".to_owned(), before_seq: None });
    say(&mut model, "/go book");
    assert_eq!(model.open.as_deref(), Some("b"));
    assert_eq!(say(&mut model, "/leave"), [Effect::Leave { room_id: "b".to_owned() }]);
    model.update(done(Outcome::Left { room_id: "b".to_owned(), result: Ok(()) }));
    assert!(!model.rooms.contains_key("b"));
}

#[test]
fn each_room_keeps_its_draft() {
    let mut model = model(vec![group("g", "G", 5), group("b", "B", 3)], vec![]);
    press(&mut model, KeyCode::Char('x'));
    press_with(&mut model, KeyCode::Down, KeyModifiers::ALT);
    assert_eq!((model.open.as_deref(), model.draft().text()), (Some("b"), ""));
    press_with(&mut model, KeyCode::Up, KeyModifiers::ALT);
    assert_eq!((model.open.as_deref(), model.draft().text()), (Some("g"), "x"));
}

#[test]
fn the_arrow_keys_pick_messages_in_the_history() {
    let history = vec![message("g", 1, ME, "first"), message("g", 2, ANN, "second")];
    let mut model = model(vec![group("g", "G", 2)], history);
    press(&mut model, KeyCode::Tab);
    assert_eq!(model.pane, Pane::Rooms);
    press(&mut model, KeyCode::Tab);
    press(&mut model, KeyCode::Up);
    press(&mut model, KeyCode::Char('e'));
    assert_eq!((model.pane, model.draft().text()), (Pane::Composer, "/edit #1 first"));
    assert_eq!(say(&mut model, "!"), [Effect::Edit { message_id: 1_001, content: "first!".to_owned() }]);
}

#[test]
fn overlays_close_and_quitting_ends() {
    let mut model = model(vec![group("g", "G", 2)], vec![]);
    say(&mut model, "/help");
    assert_eq!(model.overlay, Some(Overlay::Help));
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.overlay, None);
    let search = Effect::Search { room_id: "g".to_owned(), query: "tea".to_owned() };
    assert_eq!(say(&mut model, "/search tea"), [search]);
    model.update(done(Outcome::Found { query: "tea".to_owned(), result: Ok(vec![message("g", 1, ANN, "tea")]) }));
    assert!(matches!(&model.overlay, Some(Overlay::Found { messages, .. }) if messages.len() == 1));
    press(&mut model, KeyCode::Esc);
    press(&mut model, KeyCode::Char('x'));
    let effects = press_with(&mut model, KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(effects, [Effect::Typing { room_id: "g".to_owned(), typing: false }, Effect::Quit]);
    assert!(model.quitting);
}

#[test]
fn failures_are_told_and_forgotten_after_a_while() {
    let mut model = model(vec![group("g", "G", 2)], vec![]);
    model.update(done(Outcome::Other { what: "cannot pin", result: Err(failure(false)) }));
    assert_eq!(model.notice.as_ref().unwrap().text, "cannot pin: no such luck");
    tick(&mut model, 8_000);
    assert_eq!(model.notice, None);
}

#[test]
fn without_rooms_commands_still_work() {
    let mut model = Model::new(ME, "s");
    model.update(listed(vec![]));
    model.update(Input::Up);
    assert_eq!(say(&mut model, "hello"), []);
    assert!(model.notice.as_ref().unwrap().is_error);
    model.draft_mut().take();
    assert_eq!(say(&mut model, "/dm 2"), [Effect::CreateDm { user_id: 2 }]);
}

#[test]
fn placing_one_room_gives_the_order_that_sorting_gives() {
    let rooms = (0..20).map(|i| group(&format!("r{i}"), "R", 10 + i % 7)).collect();
    let mut model = model(rooms, vec![]);
    for step in 0..100_i64 {
        let id = format!("r{}", step * 7 % 20);
        let seq = model.rooms[&id].seen_seq + 1 + step % 5;
        let highlighted = model.order[model.highlighted].clone();
        model.update(arrives(message(&id, seq, ANN, "x")));
        let placed = model.order.clone();
        assert_eq!(model.order[model.highlighted], highlighted);
        model.sort();
        assert_eq!(placed, model.order, "step {step}");
    }
}

#[test]
fn a_room_first_heard_of_by_an_event_is_read_until_nothing_more_happens() {
    let mut model = model(vec![group("g", "G", 5)], vec![]);
    let load = [Effect::LoadRoom { room_id: "d".to_owned() }];
    let join = event("d", 1, ANN, Body::RoomJoin(RoomJoin::default()));
    assert_eq!(model.update(join), load);
    assert_eq!(model.update(arrives(message("d", 2, ANN, "hi"))), []);
    let read = |last_seq, unread_count| {
        done(Outcome::Room {
            room_id: "d".to_owned(),
            result: Ok(tertulia_proto::chat::v1::Room { unread_count, ..dm("d", last_seq) }),
        })
    };
    assert_eq!(model.update(read(1, 0)), load, "the message may have come after");
    assert_eq!(model.update(read(2, 1)), []);
    assert_eq!(model.rooms["d"].unread, 1);
    let elsewhere = RoomLeave { user_ids: vec![ME], ..RoomLeave::default() };
    assert_eq!(model.update(event("x", 9, ME, Body::RoomLeave(elsewhere))), []);
}
