//! Bounds on what a store is given, the same for every backend: what breaks one is `Invalid`.

use crate::domain::ids::ExternalRef;

use super::types::{DeviceRow, MessageKey, Projection, ReactionRow, Record};

/// Name of a source or consumer, reaction: bytes, at least 1.
pub const NAME_BYTES_MAX: usize = 64;
/// Client ids of messages and devices, parts of external references: bytes, at least 1.
pub const ID_BYTES_MAX: usize = 128;
/// Records of one append.
pub const RECORDS_MAX: usize = 10_000;
/// All bodies of one append together, bytes.
pub const APPEND_BYTES_MAX: usize = 64 << 20;
/// One opaque body outside an append, bytes.
pub const BODY_BYTES_MAX: usize = 16 << 20;

type Check = Result<(), &'static str>;

/// Checks the arguments of an append that can be judged without reading.
pub fn check_append(records: &[Record], projection: &Projection) -> Check {
    if records.len() > RECORDS_MAX {
        return Err("too many records");
    }
    if records.last().is_some_and(|last| last.seq != projection.head.seq) {
        return Err("the head is not the last record");
    }
    if bodies(records, projection) > APPEND_BYTES_MAX {
        return Err("bodies too large");
    }
    records.iter().filter_map(|record| record.message.as_ref()).try_for_each(check_message)?;
    projection.reacted.iter().chain(&projection.unreacted).try_for_each(check_reaction)
}

fn bodies(records: &[Record], projection: &Projection) -> usize {
    let changed = projection.states.iter().chain(&projection.redacted).map(|(_, body)| body.len());
    let members = projection.members.iter().map(|member| member.body.len());
    let settings = projection.room.iter().map(bytes::Bytes::len);
    records.iter().map(|record| record.body.len()).chain(changed).chain(members).chain(settings).sum()
}

fn check_message(message: &MessageKey) -> Check {
    check_id(&message.client_id.0)?;
    message.external.as_ref().map_or(Ok(()), check_external)
}

/// Checks the lengths in an external reference.
pub fn check_external(external: &ExternalRef) -> Check {
    check_name(&external.source)?;
    check_id(&external.chat)?;
    check_id(&external.message)
}

/// Checks a reaction's length.
pub fn check_reaction(row: &ReactionRow) -> Check {
    check_name(&row.reaction)
}

/// Checks a device's client id and body.
pub fn check_device(device: &DeviceRow) -> Check {
    check_id(&device.client_id)?;
    check_body(&device.body)
}

/// Checks the length of the name of a source or consumer.
pub fn check_name(name: &str) -> Check {
    if (1..=NAME_BYTES_MAX).contains(&name.len()) { Ok(()) } else { Err("a name has 1 to 64 bytes") }
}

/// Checks the length of a client id.
pub fn check_id(id: &str) -> Check {
    if (1..=ID_BYTES_MAX).contains(&id.len()) { Ok(()) } else { Err("an id has 1 to 128 bytes") }
}

/// Checks the size of an opaque body.
pub fn check_body(body: &[u8]) -> Check {
    if body.len() <= BODY_BYTES_MAX { Ok(()) } else { Err("a body has at most 16 MiB") }
}
