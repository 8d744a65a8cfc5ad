//! Streams: every event of a room in order and once, or a word that it cannot be.

use super::*;
use crate::{
    actors::{stream::CloseReason, user::Attempt},
    domain::room::InfoPatch,
};

#[tokio::test(start_paused = true)]
async fn a_live_stream_hears_every_room_in_order() {
    let town = Town::new().await;
    let (one, other) = (town.group().await, town.group().await);
    let mut stream = town.listen(BEN).await;
    for i in 0..5 {
        town.say(ANA, one, &format!("one {i}")).await;
        town.say(EVA, other, &format!("other {i}")).await;
    }
    let heard = events(&mut stream, 10).await;
    for room in [one, other] {
        let of_room: Vec<Event> = heard.iter().filter(|e| e.room == room).cloned().collect();
        assert_eq!(seqs(&of_room), [2, 3, 4, 5, 6]);
    }
    assert!(is_quiet(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn connected_comes_at_once_and_every_15_seconds() {
    let town = Town::new().await;
    let started = tokio::time::Instant::now();
    let mut stream = town.stream(ANA, open("phone", &[])).await;
    for beat in 0..4 {
        assert!(matches!(stream.next().await, Output::Heartbeat));
        assert_eq!(started.elapsed().as_secs(), beat * 15);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_one_room_hears_no_other() {
    let town = Town::new().await;
    let (one, other) = (town.group().await, town.group().await);
    let mut stream = town.stream(BEN, OpenStream { room: Some(one), ..open("phone", &[]) }).await;
    town.say(ANA, other, "other").await;
    town.say(ANA, one, "one").await;
    assert_eq!(events(&mut stream, 1).await[0].room, one);
    assert!(is_quiet(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_commands_alone_hears_nothing() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut stream = town.stream(BEN, OpenStream { commands_only: true, ..open("bot", &[]) }).await;
    town.say(ANA, room, "hi").await;
    assert!(is_quiet(&mut stream).await);
}

/// For every place to come back from: what was missed, then what is new, with no seam.
#[tokio::test(start_paused = true)]
async fn a_stream_resumes_with_no_seam() {
    let town = Town::new().await;
    let room = town.group().await;
    for i in 0..450 {
        town.say(ANA, room, &i.to_string()).await;
    }
    for cursor in [1, 2, 200, 201, 400, 450, 451] {
        let mut stream = town.stream(BEN, open("phone", &[(room, cursor)])).await;
        let late = town.say(ANA, room, &format!("late {cursor}")).await;
        let heard = events(&mut stream, usize::try_from(late.message.seq.0 - cursor).unwrap()).await;
        assert_eq!(seqs(&heard), (cursor + 1..=late.message.seq.0).collect::<Vec<_>>());
        assert!(is_quiet(&mut stream).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_resumes_while_the_room_is_written() {
    let town = Town::new().await;
    let room = town.group().await;
    for i in 0..300 {
        town.say(ANA, room, &i.to_string()).await;
    }
    let node = town.node.clone();
    let writer = spawn(async move {
        for i in 0..300 {
            node.send(ANA, room, text("x"), id(&format!("new {i}"))).await.unwrap();
        }
    });
    let mut stream = town.stream(BEN, open("phone", &[(room, 1)])).await;
    let heard = events(&mut stream, 600).await;
    assert_eq!(seqs(&heard), (2..=601).collect::<Vec<_>>());
    writer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn unknown_rooms_are_announced_and_left_ones_told() {
    let town = Town::new().await;
    let (known, unknown, left) = (town.group().await, town.group().await, town.group().await);
    town.say(ANA, unknown, "unseen").await;
    town.node.remove_members(ANA, left, vec![BEN.user]).await.unwrap();
    let mut stream = town.stream(BEN, open("phone", &[(known, 1), (left, 1)])).await;
    let mut said = vec![next(&mut stream).await, next(&mut stream).await];
    said.sort_by_key(|output| matches!(output, Output::Left(_)));
    assert!(matches!(said[0], Output::Announce(room, Seq(2)) if room == unknown), "{said:?}");
    assert!(matches!(said[1], Output::Left(room) if room == left), "{said:?}");
    town.say(ANA, unknown, "seen").await;
    assert_eq!(seqs(&events(&mut stream, 1).await), [3]);
    assert!(is_quiet(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_starts_is_announced_nothing() {
    let town = Town::new().await;
    let room = town.group().await;
    town.say(ANA, room, "before").await;
    let mut stream = town.stream(BEN, open("phone", &[])).await;
    assert!(is_quiet(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_from_the_future_must_resync() {
    let town = Town::new().await;
    let room = town.group().await;
    town.say(ANA, room, "hi").await;
    let mut stream = town.stream(BEN, open("phone", &[(room, 50)])).await;
    let said = next(&mut stream).await;
    assert!(matches!(said, Output::Resync(r, Seq(1), Seq(2), Seq(50)) if r == room), "{said:?}");
    town.say(ANA, room, "next").await;
    assert_eq!(seqs(&events(&mut stream, 1).await), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_too_old_must_resync() {
    let town = Town::with(|o| o.catch_up_max = 10).await;
    let room = town.group().await;
    for i in 0..20 {
        town.say(ANA, room, &i.to_string()).await;
    }
    let mut stream = town.stream(BEN, open("phone", &[(room, 5)])).await;
    let said = next(&mut stream).await;
    assert!(matches!(said, Output::Resync(r, Seq(6), Seq(21), Seq(21)) if r == room), "{said:?}");
    town.say(ANA, room, "next").await;
    assert_eq!(seqs(&events(&mut stream, 1).await), [22]);
    let mut stream = town.stream(BEN, open("tablet", &[(room, 12)])).await;
    assert_eq!(seqs(&events(&mut stream, 10).await), (13..=22).collect::<Vec<_>>());
}

/// A client that does not read costs a bounded queue; when it reads, it misses nothing.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_falls_back_to_the_log() {
    let town = Town::with(|o| o.stream_queue_bytes_max = 2_000).await;
    let (room, other) = (town.group().await, town.group().await);
    let mut stream = town.listen(BEN).await;
    for i in 0..500 {
        town.say(ANA, room, &i.to_string()).await;
        if i % 50 == 0 {
            town.say(ANA, other, &format!("other {i}")).await;
        }
    }
    let observed = town.node.users().observe(BEN.user).await.unwrap();
    assert!(observed.streams[0].queued_bytes <= 2_000);
    assert!(observed.streams[0].rooms_behind > 0);
    let heard = events(&mut stream, 510).await;
    let of = |room| seqs(&heard.iter().filter(|e| e.room == room).cloned().collect::<Vec<_>>());
    assert_eq!(of(room), (2..=501).collect::<Vec<_>>());
    assert_eq!(of(other), (2..=11).collect::<Vec<_>>());
    town.say(ANA, room, "live again").await;
    assert_eq!(seqs(&events(&mut stream, 1).await), [502]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_too_slow_is_told_so() {
    let town = Town::with(|o| {
        o.stream_queue_bytes_max = 1_000;
        o.catch_up_max = 20;
    })
    .await;
    let room = town.group().await;
    let mut stream = town.listen(BEN).await;
    for i in 0..100 {
        town.say(ANA, room, &i.to_string()).await;
    }
    let mut last = 1;
    let resync = loop {
        match next(&mut stream).await {
            Output::Batch(batch) => last = batch.last().0,
            other => break other,
        }
    };
    let Output::Resync(_, from, to, _) = resync else {
        panic!("{resync:?}");
    };
    assert_eq!((from.0, to.0), (last + 1, 101));
    town.say(ANA, room, "next").await;
    assert_eq!(seqs(&events(&mut stream, 1).await), [102]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_the_same_client_id_replaces_the_first() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut first = town.listen(BEN).await;
    let mut second = town.listen(BEN).await;
    assert!(matches!(next(&mut first).await, Output::Closed(CloseReason::Replaced)));
    drop(first);
    town.say(ANA, room, "hi").await;
    assert_eq!(seqs(&events(&mut second, 1).await), [2]);
    assert_eq!(town.node.users().observe(BEN.user).await.unwrap().streams.len(), 1);
}

/// The device came back while its first request was still on its way, on a connection that nobody reads any more.
#[tokio::test(start_paused = true)]
async fn an_opening_that_comes_late_does_not_end_the_newer_stream() {
    let town = Town::new().await;
    let room = town.group().await;
    let attempt = |process, number| OpenStream { attempt: Some(Attempt { process, number }), ..open("phone", &[]) };
    let mut newer = town.stream(BEN, attempt(7, 2)).await;
    let late = town.node.users().open(BEN.user, attempt(7, 1)).await;
    assert!(matches!(late, Err(CallError::Overtaken)), "{late:?}");
    town.say(ANA, room, "hi").await;
    assert_eq!(seqs(&events(&mut newer, 1).await), [2]);

    let mut next_one = town.stream(BEN, attempt(7, 3)).await;
    assert!(matches!(next(&mut newer).await, Output::Closed(CloseReason::Replaced)));
    let mut other_process = town.stream(BEN, attempt(8, 1)).await;
    assert!(matches!(next(&mut next_one).await, Output::Closed(CloseReason::Replaced)), "processes have no order");
    let _silent = town.stream(BEN, open("phone", &[])).await;
    assert!(matches!(next(&mut other_process).await, Output::Closed(CloseReason::Replaced)), "whoever does not say");
}

/// A stream without its actor would be deaf to rooms that come.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_actor_panics_ends_and_resumes_with_no_seam() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut first = town.listen(BEN).await;
    town.say(ANA, room, "before").await;
    assert_eq!(seqs(&events(&mut first, 1).await), [2]);
    town.node.users().crash(BEN.user);
    assert!(matches!(next(&mut first).await, Output::Closed(CloseReason::Interrupted)));
    let new_room = town.group().await;
    town.say(ANA, room, "meanwhile").await;
    let mut second = town.stream(BEN, open("phone", &[(room, 2)])).await;
    // Rooms have no order among each other.
    let mut said = [next(&mut second).await, next(&mut second).await];
    said.sort_by_key(|output| matches!(output, Output::Events(_)));
    let [announced, Output::Events(missed)] = said else { panic!("{said:?}") };
    assert!(matches!(announced, Output::Announce(r, Seq(1)) if r == new_room), "{announced:?}");
    assert_eq!(missed.iter().map(|event| event.seq().0).collect::<Vec<_>>(), [3]);
    drop((first, second));
    settle().await;
    assert!(!town.node.presence(&[BEN.user]).await[0].1, "the board of presence knows that both have gone");
}

#[tokio::test(start_paused = true)]
async fn a_room_list_whose_reading_panics_is_an_error_and_the_next_one_is_read() {
    let town = Town::new().await;
    let room = town.group().await;
    town.store.panic_at_list();
    let refused = town.node.users().open(BEN.user, open("phone", &[])).await;
    assert!(matches!(refused, Err(CallError::Store(_))), "{refused:?}");
    let mut stream = town.listen(BEN).await;
    town.say(ANA, room, "hi").await;
    assert_eq!(seqs(&events(&mut stream, 1).await), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_user_has_so_many_streams() {
    let town = Town::with(|o| o.streams_per_user_max = 2).await;
    let _one = town.stream(BEN, open("1", &[])).await;
    let two = town.stream(BEN, open("2", &[])).await;
    let refused = town.node.users().open(BEN.user, open("3", &[])).await;
    assert!(matches!(refused, Err(CallError::TooManyStreams)));
    drop(two);
    settle().await;
    town.stream(BEN, open("3", &[])).await;
}

#[tokio::test(start_paused = true)]
async fn a_room_joined_later_joins_the_stream() {
    let town = Town::new().await;
    let new = UserId(7);
    let mut stream = town.listen(author(7)).await;
    let room = town.group().await;
    town.say(ANA, room, "before").await;
    town.node.add_members(ANA, room, vec![new]).await.unwrap();
    town.say(ANA, room, "after").await;
    assert_eq!(seqs(&events(&mut stream, 2).await), [3, 4], "from the joining on");
    let made = town.room(RoomType::P2p, "", &[new]).await;
    town.say(ANA, made, "hi").await;
    let heard = events(&mut stream, 2).await;
    assert_eq!((heard[0].room, seqs(&heard)), (made, vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_hears_of_it_and_then_no_more() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut stream = town.listen(BEN).await;
    town.say(ANA, room, "before").await;
    town.node.remove_members(ANA, room, vec![BEN.user]).await.unwrap();
    town.say(ANA, room, "secret").await;
    let heard = events(&mut stream, 2).await;
    assert_eq!(seqs(&heard), [2, 3]);
    assert!(matches!(heard[1].body, EventBody::Left { .. }));
    assert!(is_quiet(&mut stream).await);
    town.node.add_members(ANA, room, vec![BEN.user]).await.unwrap();
    town.say(ANA, room, "again").await;
    assert_eq!(seqs(&events(&mut stream, 2).await), [5, 6], "back, from the joining on");
}

/// The stream has not been read since before the removal: what came after it is not for this reader.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_who_is_removed_hears_nothing_after_it() {
    let town = Town::with(|o| o.stream_queue_bytes_max = 600).await;
    let room = town.group().await;
    let mut stream = town.listen(BEN).await;
    for i in 0..20 {
        town.say(ANA, room, &i.to_string()).await;
    }
    town.node.remove_members(ANA, room, vec![BEN.user]).await.unwrap();
    for i in 0..20 {
        town.say(ANA, room, &format!("secret {i}")).await;
    }
    let heard = events(&mut stream, 21).await;
    assert_eq!(seqs(&heard), (2..=22).collect::<Vec<_>>());
    assert!(is_quiet(&mut stream).await);
}

/// A group hides what came before one joined, also from a client that claims to stand before it.
#[tokio::test(start_paused = true)]
async fn no_cursor_reaches_before_the_joining() {
    let town = Town::new().await;
    let new = author(7);
    town.node.list(new, &Default::default(), "", None, 10).await.unwrap();
    let room = town.group().await;
    town.say(ANA, room, "hidden").await;
    town.node.add_members(ANA, room, vec![new.user]).await.unwrap();
    settle().await;
    let mut stream = town.stream(new, open("phone", &[(room, 0)])).await;
    assert!(matches!(next(&mut stream).await, Output::Resync(_, Seq(1), Seq(2), Seq(2))));
    assert_eq!(seqs(&events(&mut stream, 1).await), [3]);
    assert!(is_quiet(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn no_cursor_reaches_before_a_clearing() {
    let town = Town::new().await;
    let room = town.room(RoomType::P2p, "", &[BEN.user]).await;
    town.node.list(BEN, &Default::default(), "", None, 10).await.unwrap();
    town.say(ANA, room, "cleared").await;
    town.node.delete_room(BEN, room).await.unwrap();
    town.say(ANA, room, "after").await;
    let mut stream = town.stream(BEN, open("phone", &[(room, 1)])).await;
    assert!(matches!(next(&mut stream).await, Output::Resync(_, Seq(2), Seq(2), Seq(2))));
    let heard = events(&mut stream, 1).await;
    assert_eq!(content(&heard[0]), Some("after"));
    assert!(is_quiet(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_the_node_goes_down() {
    let town = Town::new().await;
    let mut stream = town.listen(BEN).await;
    assert!(town.node.drain(Duration::from_secs(1)).await);
    assert!(matches!(next(&mut stream).await, Output::Closed(CloseReason::Draining)));
}

#[tokio::test(start_paused = true)]
async fn a_user_with_a_stream_stays_and_one_without_goes() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut stream = town.listen(BEN).await;
    drop(town.listen(EVA).await);
    assert_eq!(town.node.users().awake(), 2);
    tokio::time::sleep(Duration::from_secs(300)).await;
    settle().await;
    assert_eq!(town.node.users().awake(), 1);
    town.say(ANA, room, "hi").await;
    assert_eq!(seqs(&events(&mut stream, 1).await), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_leaves_nothing_behind() {
    let town = Town::new().await;
    let room = town.group().await;
    drop(town.listen(BEN).await);
    settle().await;
    let hub = town.node.rooms().awake(room).unwrap();
    assert_eq!(hub.hub().listeners(), 0);
    assert!(!town.node.presence(&[BEN.user]).await[0].1);
}

#[tokio::test(start_paused = true)]
async fn settings_and_sleep_do_not_disturb_a_stream() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut stream = town.listen(BEN).await;
    for i in 0..5 {
        let patch = InfoPatch { name: Some(format!("name {i}")), ..InfoPatch::default() };
        town.node.update_room(ANA, room, patch).await.unwrap();
        town.sleep(room).await;
    }
    assert_eq!(seqs(&events(&mut stream, 5).await), [2, 3, 4, 5, 6]);
}

/// The reader was still catching up when it was removed.
#[tokio::test(start_paused = true)]
async fn a_resuming_reader_who_is_removed_hears_nothing_after_it() {
    let town = Town::new().await;
    let room = town.group().await;
    for i in 0..20 {
        town.say(ANA, room, &i.to_string()).await;
    }
    let mut stream = town.stream(BEN, open("phone", &[(room, 1)])).await;
    town.node.remove_members(ANA, room, vec![BEN.user]).await.unwrap();
    town.say(ANA, room, "secret").await;
    let heard = events(&mut stream, 21).await;
    assert_eq!(seqs(&heard), (2..=22).collect::<Vec<_>>());
    assert!(is_quiet(&mut stream).await);
}
