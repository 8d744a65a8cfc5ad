//! Rows of the embedded store: whatever the bytes, an error or a value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tertulia::{
    domain::ids::{Epoch, RoomId, Seq},
    storage::embedded::rows,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(control) = rows::Control::decode(bytes) {
        let _ = rows::Control::decode(&control.encode());
    }
    if let Ok(record) = rows::decode_record(Seq(12), bytes) {
        let row = rows::encode_record(&record, Epoch(record.epoch.0));
        let again = rows::decode_record(Seq(12), &row);
        assert_eq!(again.expect("what was decoded can be stored"), record);
    }
    if let Ok(found) = rows::decode_message_ref(bytes) {
        let again = rows::decode_message_ref(&rows::encode_message_ref(&found));
        assert_eq!(again.expect("what was decoded can be stored"), found);
    }
    if let Ok(position) = rows::decode_position(bytes) {
        let again = rows::decode_position(&rows::encode_position(&position));
        assert_eq!(again.expect("what was decoded can be stored"), position);
    }
    if let Ok(entry) = rows::decode_listing(RoomId([7; 16]), bytes) {
        let row = rows::encode_listing(&entry.listing, &entry.prefs);
        let again = rows::decode_listing(RoomId([7; 16]), &row);
        assert_eq!(again.expect("what was decoded can be stored"), entry);
    }
    let _ = rows::decode_device("phone", bytes);
    let _ = rows::decode_token_owner(bytes);
    let _ = rows::decode_room_id(bytes);
    let _ = rows::decode_number(bytes);
});
