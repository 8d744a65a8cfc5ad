//! What encryption costs a message: `cargo bench --bench cipher`.
//!
//! The row that matters is `seal` at 200 bytes, once per message sent.

use std::sync::LazyLock;

use divan::{Bencher, black_box, counter::BytesCount};
use tertulia::crypto::{Keyring, KeyringOptions, MasterKeyHex};

const ROOM: &[u8; 16] = b"a room's 16 byte";
const AAD: &[u8; 24] = b"a room's 16 byte\0\0\0\0\0\0\0\x2a";

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let master = MasterKeyHex::generate(1).expect("the system gives random bytes");
    Keyring::new(&KeyringOptions::new(master)).expect("a generated key is valid")
});

fn main() {
    divan::main();
}

#[divan::bench(args = [0, 100, 200, 1_000, 65_536])]
fn seal(bencher: Bencher<'_, '_>, plain_bytes: usize) {
    let plain = vec![b'm'; plain_bytes];
    let keyring = &*KEYRING;
    bencher.counter(BytesCount::new(plain_bytes)).bench(|| keyring.seal(ROOM, AAD, black_box(&plain)));
}

#[divan::bench(args = [0, 100, 200, 1_000, 65_536])]
fn open(bencher: Bencher<'_, '_>, plain_bytes: usize) {
    let keyring = &*KEYRING;
    let sealed = keyring.seal(ROOM, AAD, &vec![b'm'; plain_bytes]);
    bencher.counter(BytesCount::new(plain_bytes)).bench(|| keyring.open(ROOM, AAD, black_box(&sealed)));
}

/// Every seal is for a room whose keys are not ready.
#[divan::bench]
fn seal_200_cold_scope(bencher: Bencher<'_, '_>) {
    let plain = [b'm'; 200];
    let mut room = 0_u128;
    bencher.bench_local(move || {
        room += 1;
        KEYRING.seal(&room.to_be_bytes(), AAD, black_box(&plain))
    });
}

#[divan::bench]
fn new_room_key_and_wrap() -> String {
    KEYRING.wrap(&KEYRING.new_room_key(black_box(ROOM)))
}

#[divan::bench]
fn unwrap_room_key(bencher: Bencher<'_, '_>) {
    let wrapped = KEYRING.wrap(&KEYRING.new_room_key(ROOM));
    bencher.bench(|| KEYRING.unwrap_room_key(black_box(&wrapped)));
}

#[divan::bench]
fn client_decrypt_200(bencher: Bencher<'_, '_>) {
    let room_key = KEYRING.new_room_key(ROOM);
    let content = room_key.encrypt(&[b'm'; 200]);
    bencher.bench(|| room_key.decrypt(black_box(&content)));
}

/// Once a process; blocks.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn keyring_new(bencher: Bencher<'_, '_>) {
    let options = KeyringOptions::new(MasterKeyHex::generate(1).expect("the system gives random bytes"));
    bencher.bench(|| Keyring::new(black_box(&options)));
}
