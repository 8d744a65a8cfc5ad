//! Which of the waiting jobs go together into the next transaction.

use std::collections::{HashSet, VecDeque};

use super::{Job, Ticket};

/// Rows of a group, unless its first job alone has more.
const GROUP_ROWS_MAX: usize = 4_000;
/// Bytes of a group, unless its first job alone has more.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Takes the oldest jobs, one of a room, as many as a group may have; the others keep their order.
pub(super) fn next_group<J: Job>(waiting: &mut VecDeque<Ticket<J>>) -> Vec<Ticket<J>> {
    let mut group = Vec::with_capacity(waiting.len());
    let mut rooms = HashSet::with_capacity_and_hasher(waiting.len(), foldhash::fast::RandomState::default());
    let mut left = VecDeque::new();
    let (mut rows, mut bytes) = (0, 0);
    while let Some(ticket) = waiting.pop_front() {
        let (more_rows, more_bytes) = ticket.job.size();
        let is_full = rows + more_rows > GROUP_ROWS_MAX || bytes + more_bytes > GROUP_BYTES_MAX;
        if is_full && !group.is_empty() {
            left.push_back(ticket);
            break;
        }
        if ticket.job.room().is_none_or(|room| rooms.insert(room)) {
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
            group.push(ticket);
        } else {
            left.push_back(ticket);
        }
    }
    left.append(waiting);
    *waiting = left;
    // Rows are locked in this order by every group.
    group.sort_by_key(|ticket| ticket.job.room());
    group
}
