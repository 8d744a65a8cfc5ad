//! The round that checks one room, and when to do it again.

use tertulia_proto::chat::v1::{Message, Room, RoomType};

use super::{CheckError, RoomReport, log::RoomLog, remote::Remote};

/// Rounds over a room that keeps changing.
const ROUNDS_MAX: usize = 5;
/// Members whose unread number is counted one by one; counting costs members times messages.
const MEMBERS_MAX: usize = 5_000;
/// Members whose unread number is asked to be explained, a call each.
const EXPLAINED_MAX: usize = 200;
/// Pages of history that are a sample.
const SAMPLE_PAGES: usize = 5;

/// Checks one room.
pub(super) async fn check(remote: &Remote, room: Room, sample: bool) -> Result<RoomReport, CheckError> {
    let mut rounds = 0;
    loop {
        rounds += 1;
        let (mut report, moved) = round(remote, &room, sample).await?;
        if report.violations.is_empty() || !moved {
            return Ok(report);
        }
        if rounds == ROUNDS_MAX {
            report.notes.push("the room changed while it was checked; check it again when it is quiet".to_owned());
            return Ok(report);
        }
    }
}

/// One round; and whether the room changed meanwhile.
async fn round(remote: &Remote, room: &Room, sample: bool) -> Result<(RoomReport, bool), CheckError> {
    let mut report = RoomReport { id: room.id.clone(), name: room.name.clone(), ..RoomReport::default() };
    let mut log = RoomLog::default();
    read_log(remote, &room.id, &mut log).await?;
    (report.events, report.messages) = (log.last_seq(), log.last_n());
    if log.is_deleted() {
        report.notes.push("deleted: only its log was checked".to_owned());
    } else {
        check_members(remote, &mut log, &mut report).await?;
        check_history(remote, room, sample, &mut log, &mut report).await?;
    }
    let (newer, _) = remote.log(&room.id, log.last_seq()).await?;
    report.violations = log.finish();
    Ok((report, !newer.is_empty()))
}

async fn read_log(remote: &Remote, room_id: &str, log: &mut RoomLog) -> Result<(), CheckError> {
    loop {
        let before = log.last_seq();
        let (entries, more) = remote.log(room_id, before).await?;
        entries.iter().for_each(|entry| log.observe(entry));
        if !more || log.last_seq() == before {
            return Ok(());
        }
    }
}

async fn check_members(remote: &Remote, log: &mut RoomLog, report: &mut RoomReport) -> Result<(), CheckError> {
    let positions = remote.positions(&report.id).await?;
    if positions.len() > MEMBERS_MAX {
        let len = positions.len();
        report.notes.push(format!("{len} members: positions and unread numbers were not counted"));
        return Ok(());
    }
    log.check_positions(&positions);
    report.members = positions.len();
    for position in positions.iter().take(EXPLAINED_MAX) {
        let why = remote.unread(&report.id, position.user_id).await?;
        log.check_explanation(position, &why);
    }
    if positions.len() > EXPLAINED_MAX {
        report.notes.push(format!("unread numbers of {EXPLAINED_MAX} members were asked to be explained"));
    }
    Ok(())
}

async fn check_history(
    remote: &Remote,
    room: &Room,
    sample: bool,
    log: &mut RoomLog,
    report: &mut RoomReport,
) -> Result<(), CheckError> {
    let Some(own_view) = remote.own_view(&room.id).await? else {
        report.notes.push("the admin is no member: history was not compared".to_owned());
        return Ok(());
    };
    let whole = own_view.history_visible && own_view.r#type != i32::from(RoomType::P2p);
    let floor_n = if whole { 0 } else { remote.unread(&room.id, 0).await?.floor_n };
    let (history, complete) = read_history(remote, &room.id, sample).await?;
    log.check_history(&history, complete.then_some(floor_n));
    report.history_compared = history.len();
    Ok(())
}

/// Oldest first; and whether it goes back as far as the reader may see.
async fn read_history(remote: &Remote, room_id: &str, sample: bool) -> Result<(Vec<Message>, bool), CheckError> {
    let mut newest_first: Vec<Message> = Vec::new();
    let (mut pages, mut before_seq) = (0, 0);
    loop {
        let (page, next) = remote.history(room_id, before_seq).await?;
        newest_first.extend(page.into_iter().rev());
        pages += 1;
        // A place that does not go back would be read from for ever; what is behind it will be found missing.
        let next = next.filter(|next| *next > 0 && (before_seq == 0 || *next < before_seq));
        match next.filter(|_| !sample || pages < SAMPLE_PAGES) {
            Some(next) => before_seq = next,
            None => {
                newest_first.reverse();
                return Ok((newest_first, next.is_none()));
            }
        }
    }
}
