//! Names of the readers of the logs that keep a cursor in the store. A store cannot list them: whoever moves a store to
//! another one takes them from here.

/// What was published to the bus.
pub const BUS: &str = "bus";

/// What `tertulia migrate` or a mirror has brought over completely; kept in the store that it was brought to.
pub const MIGRATE: &str = "migrate";

/// How many rows of a room an import from relational tables has brought; kept in the store that it was brought to.
pub const RELATIONAL: &str = "relational";

/// Up to which millisecond (Unix) this worker may have made message ids; of no room.
#[must_use]
pub fn message_ids(worker: u16) -> String {
    format!("ids.{worker}")
}

/// Those whose cursors move with a room to another store.
pub const MOVED: &[&str] = &[BUS];
