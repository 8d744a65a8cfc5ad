//! The logs that are imported, and the rooms that wait for them.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tertulia::client::irc::{
    generate::generate,
    plan::{OWNER_ID, Plan, RoomPlan},
    read_dir,
};
use tertulia_proto::chat::v1::{CreateRoomRequest, RoomType};

use super::server::Address;

/// People who listen, in every room.
pub(crate) const READERS: std::ops::Range<i64> = 2_000_000..2_000_025;
/// People who send beside the import, in each room.
pub(crate) const CROWD: i64 = 8;
/// Names a directory of logs other than the usual one.
const OTHER_LOGS: &str = "IRC_LOGS_DIR";
/// How many hours of the logs are carried, where a test would carry fewer than all.
const OTHER_HOURS: &str = "TERTULIA_TEST_HOURS";
/// Hours in the logs; each is a room.
pub(crate) const ALL_HOURS: usize = 10;

/// A directory of logs; removed with its owner when it was made for the test.
pub(crate) struct Logs {
    pub(crate) dir: PathBuf,
    pub(crate) plan: Plan,
    are_real: bool,
    _made: Option<TempDir>,
}

impl Logs {
    /// `hours` of ten hours of #ubuntu (Kummerfeld et al., "A Large-Scale Corpus for Conversation Disentanglement", ACL
    /// 2019; CC BY 4.0), which are not part of the repository; where they are not at hand, made-up ones of the same
    /// shapes.
    pub(crate) fn find(hours: usize) -> Self {
        let asked = std::env::var(OTHER_HOURS).ok();
        let hours = asked.map_or(hours, |hours| hours.parse().expect("a number of hours"));
        let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/irc");
        let given = std::env::var_os(OTHER_LOGS).map(PathBuf::from);
        let all = given.unwrap_or(usual);
        let are_real = all.is_dir();
        let (dir, made) = if are_real && hours == ALL_HOURS {
            (all, None)
        } else {
            let made = TempDir::with_prefix("tertulia-logs-").unwrap();
            if are_real {
                take_hours(&all, made.path(), hours);
            } else {
                generate(made.path(), 2024, hours, 1_250).unwrap();
            }
            (made.path().to_owned(), Some(made))
        };
        let plan = Plan::of(&read_dir(&dir).unwrap());
        assert_eq!(plan.rooms.len(), hours, "logs in {}", dir.display());
        Self { dir, plan, are_real, _made: made }
    }

    pub(crate) fn are_real(&self) -> bool {
        self.are_real
    }
}

/// Copies the logs of the first hours.
fn take_hours(all: &Path, to: &Path, hours: usize) {
    let files = std::fs::read_dir(all).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|file| file.strip_suffix(".raw.txt").map(str::to_owned)).collect();
    names.sort();
    for name in names.iter().take(hours) {
        for kind in ["raw", "annotation"] {
            let file = format!("{name}.{kind}.txt");
            std::fs::copy(all.join(&file), to.join(&file)).unwrap();
        }
    }
}

/// A room of the test.
#[derive(Clone, Debug)]
pub(crate) struct TestRoom {
    pub(crate) id: String,
    /// Its log.
    pub(crate) name: String,
    pub(crate) crowd: Vec<i64>,
}

/// Makes the groups as the importer would, which then finds them by name; with readers and crowd in them.
pub(crate) async fn make_rooms(at: &Address, plan: &Plan) -> Vec<TestRoom> {
    let owner = at.client(OWNER_ID, true);
    let mut rooms = Vec::new();
    for (index, log) in (0_i64..).zip(&plan.rooms) {
        let first = 3_000_000 + index * 100;
        let crowd: Vec<_> = (first..first + CROWD).collect();
        let request = creation(log, &crowd);
        let room = owner.create_room(request).await.unwrap().room.unwrap();
        rooms.push(TestRoom { id: room.id, name: log.name.clone(), crowd });
    }
    rooms
}

fn creation(log: &RoomPlan, crowd: &[i64]) -> CreateRoomRequest {
    let first = log.first_member.expect("somebody speaks in every log");
    let others = READERS.chain(crowd.iter().copied());
    CreateRoomRequest {
        r#type: RoomType::Group.into(),
        name: log.name.clone(),
        participants: std::iter::once(first).chain(others).collect(),
        history_visible: Some(true),
        ..CreateRoomRequest::default()
    }
}
