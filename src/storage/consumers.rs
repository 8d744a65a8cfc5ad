//! Names of the cursors in the store: of those who read the logs, and of the store itself. A store cannot list them:
//! whoever moves a store to another one takes them from here.

use crate::domain::ids::RoomId;

/// What was published to the bus.
pub const BUS: &str = "bus";

/// What `tertulia migrate` or a mirror has brought over completely; kept in the store that it was brought to.
pub const MIGRATE: &str = "migrate";

/// How many rows of a room an import from relational tables has brought; kept in the store that it was brought to.
pub const RELATIONAL: &str = "relational";

/// No room: the place of cursors that belong to the store itself.
pub const STORE: RoomId = RoomId([0; 16]);

/// Up to which millisecond (Unix) message ids may have been made. Moves to another store as well.
pub const MESSAGE_IDS: (&str, RoomId) = ("ids", STORE);

/// Beginning of the names under which a store keeps something sealed with each of its master keys, as synchronisation
/// states of [`STORE`]; the key's number follows. They move to another store as well.
pub const MASTER_KEY: &str = "master-key-";

/// Those whose cursors move with a room to another store.
pub const MOVED: &[&str] = &[BUS];
