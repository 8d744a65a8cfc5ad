//! Each stored form as bytes that must not change, and that keep decoding.

use proptest::prelude::*;

use super::*;

fn message_ref() -> MessageRef {
    MessageRef { room: RoomId([0xaa; 16]), seq: Seq(3), id: MessageId(4) }
}

fn record(external: Option<ExternalRef>) -> Record {
    Record {
        seq: Seq(9),
        n: Ordinal(5),
        epoch: Epoch(2),
        kind: 7,
        actor: UserId(-2),
        at_ms: 1000,
        message: Some(MessageKey { id: MessageId(6), client_id: ClientMessageId("cé".into()), external }),
        body: Bytes::from_static(b"body"),
    }
}

#[track_caller]
fn stored(row: &Slice, text: &str) {
    assert_eq!(hex::encode(row), text.replace(' ', ""));
}

#[test]
fn control_rows_keep_their_form() {
    let bare = Control { epoch: Epoch(1), head: None };
    stored(&bare.encode(), "01 0000000000000001 00");
    let full = Control {
        epoch: Epoch(258),
        head: Some(RoomHead {
            seq: Seq(1),
            n: Ordinal(2),
            message_seq: Seq(3),
            message_id: MessageId(4),
            activity_ms: -1,
            members: 6,
        }),
    };
    stored(
        &full.encode(),
        "01 0000000000000102 01 0000000000000001 0000000000000002 0000000000000003 0000000000000004 \
         ffffffffffffffff 00000006",
    );
    for row in [bare, full] {
        assert_eq!(Control::decode(&row.encode()).unwrap(), row);
    }
}

#[test]
fn log_rows_keep_their_form() {
    let event = Record { message: None, ..record(None) };
    stored(
        &encode_record(&event, Epoch(2)),
        "02 0000000000000005 0000000000000002 07 fffffffffffffffe 00000000000003e8 00 626f6479",
    );
    let message = record(None);
    stored(
        &encode_record(&message, Epoch(2)),
        "02 0000000000000005 0000000000000002 07 fffffffffffffffe 00000000000003e8 01 0000000000000006 03 63c3a9 626f6479",
    );
    let twin = record(Some(ExternalRef { source: "s".into(), chat: "c".into(), message: "m".into() }));
    stored(
        &encode_record(&twin, Epoch(2)),
        "02 0000000000000005 0000000000000002 07 fffffffffffffffe 00000000000003e8 02 0000000000000006 03 63c3a9 \
         0173 0163 016d 626f6479",
    );
    for row in [event, message, twin] {
        assert_eq!(decode_record(Seq(9), &encode_record(&row, Epoch(2))).unwrap(), row);
    }
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

/// Their hash is passed over.
#[test]
fn rows_of_older_programs_keep_decoding() {
    let event = Record { message: None, ..record(None) };
    let message = record(None);
    let twin = record(Some(ExternalRef { source: "s".into(), chat: "c".into(), message: "m".into() }));
    for (row, text) in [
        (event, "01 0000000000000005 0000000000000002 07 fffffffffffffffe 00000000000003e8 00 626f6479"),
        (
            message,
            "01 0000000000000005 0000000000000002 07 fffffffffffffffe 00000000000003e8 01 0000000000000006 \
             cccccccccccccccccccccccccccccccc 03 63c3a9 626f6479",
        ),
        (
            twin,
            "01 0000000000000005 0000000000000002 07 fffffffffffffffe 00000000000003e8 02 0000000000000006 \
             cccccccccccccccccccccccccccccccc 03 63c3a9 0173 0163 016d 626f6479",
        ),
    ] {
        assert_eq!(decode_record(Seq(9), &bytes(text)).unwrap(), row);
    }
    let found =
        "01 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0000000000000003 0000000000000004 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    assert_eq!(decode_message_ref(&bytes(found)).unwrap(), message_ref());
}

#[test]
fn small_rows_keep_their_form() {
    stored(
        &encode_message_ref(&message_ref()),
        "02 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0000000000000003 0000000000000004",
    );
    let position = Position {
        read_seq: Seq(1),
        read_n: Ordinal(2),
        delivered_seq: Seq(3),
        sent_n: Ordinal(4),
        floor_n: Ordinal(5),
        floor_seq: Seq(6),
    };
    stored(
        &encode_position(&position),
        "01 0000000000000001 0000000000000002 0000000000000003 0000000000000004 0000000000000005 0000000000000006",
    );
    assert_eq!(decode_position(&encode_position(&position)).unwrap(), position);
    stored(&encode_number(258), "01 0000000000000102");
    stored(&encode_room_id(RoomId([1; 16])), "01 01010101010101010101010101010101");
    stored(&encode_token_owner(UserId(3), "web"), "01 0000000000000003 776562");
    stored(&present(), "01");
    assert_eq!(decode_token_owner(&encode_token_owner(UserId(3), "web")).unwrap(), (UserId(3), "web"));
}

#[test]
fn list_and_device_rows_keep_their_form() {
    let listing = Listing { room_type: 2, partner: UserId(7) };
    let prefs = RoomPrefs { pinned: true, muted_until_ms: 5, hidden_at: Some(Ordinal(0)), hidden_messages: 3 };
    stored(
        &encode_listing(&listing, &prefs),
        "01 02 0000000000000007 01 0000000000000005 01 0000000000000000 00000003",
    );
    for prefs in [prefs, RoomPrefs::default()] {
        let room = RoomId([1; 16]);
        let entry = RoomListEntry { room, listing, prefs };
        assert_eq!(decode_listing(room, &encode_listing(&listing, &prefs)).unwrap(), entry);
    }
    let device = DeviceRow { client_id: "web".into(), token_hash: [0xdd; 32], body: Bytes::from_static(b"t") };
    stored(&encode_device(&device), &format!("01 {} 74", "dd".repeat(32)));
    assert_eq!(decode_device("web", &encode_device(&device)).unwrap(), device);
}

#[test]
fn every_cut_and_every_foreign_version_is_corrupt() {
    let twin = record(Some(ExternalRef { source: "s".into(), chat: "c".into(), message: "m".into() }));
    let row = encode_record(&twin, Epoch(2));
    for len in 0..row.len() - b"body".len() {
        assert!(decode_record(Seq(1), &row[..len]).is_err(), "{len} bytes");
    }
    let row = encode_message_ref(&message_ref());
    for len in 0..row.len() {
        assert!(decode_message_ref(&row[..len]).is_err(), "{len} bytes");
    }
    assert!(decode_number(&[2, 0, 0, 0, 0, 0, 0, 0, 0]).is_err());
    assert!(decode_number(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_err(), "something behind the end");
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), version in 0..3_u8) {
        let mut bytes = bytes;
        if version > 0 && let Some(first) = bytes.first_mut() {
            *first = version;
        }
        let room = RoomId([0; 16]);
        let _ = Control::decode(&bytes);
        let _ = decode_record(Seq(1), &bytes);
        let _ = decode_message_ref(&bytes);
        let _ = decode_position(&bytes);
        let _ = decode_listing(room, &bytes);
        let _ = decode_device("x", &bytes);
        let _ = decode_token_owner(&bytes);
        let _ = decode_room_id(&bytes);
        let _ = decode_number(&bytes);
    }
}
