//! Bodies of the store contract: whatever the bytes, an error or a value that survives another round.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tertulia::{
    domain::ids::{BodyHash, ClientMessageId, Epoch, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::{MessageKey, Record, codec},
};

const ROOM: RoomId = RoomId([7; 16]);

fn record(kind: u8, body: &[u8]) -> Record {
    Record {
        seq: Seq(12),
        n: Ordinal(5),
        epoch: Epoch(1),
        kind,
        actor: UserId(3),
        at_ms: 1,
        message: (kind == codec::kind::MESSAGE).then(|| MessageKey {
            id: MessageId(9),
            client_id: ClientMessageId("c".into()),
            hash: BodyHash([1; 16]),
            external: None,
        }),
        body: body.to_vec().into(),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    if let Ok(event) = codec::decode_event(ROOM, &record(kind % 13, body)) {
        // A redacted message is not an event that anybody writes.
        if event.message().is_none_or(|message| !message.deleted) {
            let again = codec::decode_event(ROOM, &codec::encode_event(&event));
            assert_eq!(again.expect("what was decoded can be stored"), event);
        }
    }
    if let Ok(message) = codec::decode_state(ROOM, body) {
        let again = codec::decode_state(ROOM, &codec::encode_state(&message));
        assert_eq!(again.expect("what was decoded can be stored"), message);
    }
    if let Ok(info) = codec::decode_info(ROOM, body) {
        let again = codec::decode_info(ROOM, &codec::encode_info(&info));
        assert_eq!(again.expect("what was decoded can be stored"), info);
    }
    if let Ok(member) = codec::decode_member(body) {
        let again = codec::decode_member(&codec::encode_member(&member));
        assert_eq!(again.expect("what was decoded can be stored"), member);
    }
    let _ = codec::decode_profile(body);
    let _ = codec::decode_device(body);
    let _ = codec::decode_sync(body);
    let _ = codec::decode_join_job(body);
});
