//! Names of the readers of the logs that keep a cursor in the store. A store cannot list them: whoever moves a store to
//! another one takes them from here.

use crate::domain::ids::RoomId;

/// What was published to the bus.
pub const BUS: &str = "bus";

/// What `tertulia migrate` or a mirror has brought over completely; kept in the store that it was brought to.
pub const MIGRATE: &str = "migrate";

/// How many rows of a room an import from relational tables has brought; kept in the store that it was brought to.
pub const RELATIONAL: &str = "relational";

/// Up to which millisecond (Unix) message ids may have been made; of no room. Moves to another store as well.
pub const MESSAGE_IDS: (&str, RoomId) = ("ids", RoomId([0; 16]));

/// Those whose cursors move with a room to another store.
pub const MOVED: &[&str] = &[BUS];
