//! Every way in which a room can be found wrong, with the numbers that show it.

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Events are numbered 1, 2, 3, ...
    #[error("seq {found} where {expected} must follow")]
    SeqGap {
        /// The next number.
        expected: i64,
        /// What came.
        found: i64,
    },
    /// Messages are numbered 1, 2, 3, ...
    #[error("message at seq {seq} has ordinal {found} where {expected} must follow")]
    OrdinalGap {
        /// Where.
        seq: i64,
        /// The next number.
        expected: i64,
        /// What came.
        found: i64,
    },
    /// An event says how many messages there are up to it.
    #[error("event at seq {seq} says the newest ordinal is {found}, it is {expected}")]
    HeadOrdinal {
        /// Where.
        seq: i64,
        /// Messages so far.
        expected: i64,
        /// What the event says.
        found: i64,
    },
    /// The writer's epoch never goes back.
    #[error("epoch {found} at seq {seq} after epoch {before}")]
    EpochWentBack {
        /// Where.
        seq: i64,
        /// Of the event before.
        before: i64,
        /// Of this one.
        found: i64,
    },
    /// Message ids grow with seq.
    #[error("message id {found} at seq {seq} after id {before}")]
    IdNotGrowing {
        /// Where.
        seq: i64,
        /// Of the message before.
        before: i64,
        /// Of this one.
        found: i64,
    },
    /// One effect a client message id.
    #[error("sender {sender} has client message id {client_message_id:?} at seq {first} and again at seq {second}")]
    Doubled {
        /// Who.
        sender: i64,
        /// Which.
        client_message_id: String,
        /// Where first.
        first: i64,
        /// Where again.
        second: i64,
    },
    /// A deleted room has no more events.
    #[error("event at seq {seq} after the room was deleted at seq {deleted_at}")]
    AfterDeletion {
        /// Where.
        seq: i64,
        /// Where the room ended.
        deleted_at: i64,
    },
    /// An edit, deletion, reaction or pin is of a message that the room has.
    #[error("event at seq {seq} is about message {message_id}, which the room does not have by then")]
    UnknownMessage {
        /// Where.
        seq: i64,
        /// Which.
        message_id: i64,
    },
    /// Who joins was no member.
    #[error("user {user} joins at seq {seq} and was a member already")]
    JoinedTwice {
        /// Where.
        seq: i64,
        /// Who.
        user: i64,
    },
    /// Who leaves was a member.
    #[error("user {user} leaves at seq {seq} and was no member")]
    LeftNotMember {
        /// Where.
        seq: i64,
        /// Who.
        user: i64,
    },
    /// Who sends is a member.
    #[error("user {user} sends at seq {seq} and is no member")]
    SenderNotMember {
        /// Where.
        seq: i64,
        /// Who.
        user: i64,
    },
    /// What was acknowledged is there.
    #[error(
        "message {id} of sender {sender} ({client_message_id:?}) was acknowledged at seq {seq} and is not in the log"
    )]
    AckedLost {
        /// Where it must be.
        seq: i64,
        /// Its id.
        id: i64,
        /// Its sender.
        sender: i64,
        /// Its client message id.
        client_message_id: String,
    },
    /// What was acknowledged is where it was said to be, as it was said to be.
    #[error(
        "message {id} of sender {sender} ({client_message_id:?}) was acknowledged at seq {seq}; \
         the log has it at seq {found_seq} with id {found_id}"
    )]
    AckedMoved {
        /// Where it must be.
        seq: i64,
        /// The id it must have.
        id: i64,
        /// Its sender.
        sender: i64,
        /// Its client message id.
        client_message_id: String,
        /// Where it is.
        found_seq: i64,
        /// The id it has.
        found_id: i64,
    },
    /// Positions stay within the log.
    #[error("user {user} has a position at seq {position}, the room ends at {last_seq}")]
    PositionBeyondLog {
        /// Who.
        user: i64,
        /// Read or delivered.
        position: i64,
        /// End of the log.
        last_seq: i64,
    },
    /// The list of members is what joins and leaves make of it.
    #[error("user {user} is {} by the log, but {} by the list", member(*.by_log), member(!by_log))]
    MembersDiffer {
        /// Who.
        user: i64,
        /// Whether the log has them as a member.
        by_log: bool,
    },
    /// A stored ordinal belongs to its seq.
    #[error("user {user}: {what} is {found}, the log says {expected}")]
    PositionOrdinal {
        /// Who.
        user: i64,
        /// Which number.
        what: &'static str,
        /// By the log.
        expected: i64,
        /// As reported.
        found: i64,
    },
    /// Unread is what a count over the log says.
    #[error("user {user} has {reported} unread, a count over the log says {counted}")]
    Unread {
        /// Who.
        user: i64,
        /// By the log.
        counted: i64,
        /// As reported.
        reported: i64,
    },
    /// History has every message of the log.
    #[error("history lacks message {id} (seq {seq})")]
    HistoryLacks {
        /// Where it is in the log.
        seq: i64,
        /// Which.
        id: i64,
    },
    /// History has nothing else, in the same order.
    #[error("history has message {id} (seq {seq}) where the log has {expected}")]
    HistoryExtra {
        /// As history says.
        seq: i64,
        /// Which.
        id: i64,
        /// The id that must come here; 0 when nothing must.
        expected: i64,
    },
    /// History shows the present state of a message.
    #[error("history shows another {what} than the log for message {id} (seq {seq})")]
    HistoryDiffers {
        /// Where.
        seq: i64,
        /// Which.
        id: i64,
        /// Which part.
        what: &'static str,
    },
    /// A reader saw an event twice, or an older one after a newer one.
    #[error("reader {reader} saw seq {found} after seq {last}")]
    ReaderWentBack {
        /// Who.
        reader: String,
        /// The newest seen before.
        last: i64,
        /// What came.
        found: i64,
    },
    /// A reader missed events and was not told.
    #[error("reader {reader} saw seq {found} where {expected} must follow, and no resync was announced")]
    ReaderGap {
        /// Who.
        reader: String,
        /// The next number.
        expected: i64,
        /// What came.
        found: i64,
    },
    /// A resync leaves out what it does not name.
    #[error(
        "reader {reader} is told to read again from seq {from_seq} (stream goes on after {resumed_after_seq}), \
         but stands at {last}"
    )]
    ResyncLeavesGap {
        /// Who.
        reader: String,
        /// The newest seen.
        last: i64,
        /// From where to read.
        from_seq: i64,
        /// After what the stream goes on.
        resumed_after_seq: i64,
    },
    /// A reader never saw the end.
    #[error("reader {reader} stands at seq {last}, the room ends at {last_seq}")]
    ReaderBehind {
        /// Who.
        reader: String,
        /// The newest seen.
        last: i64,
        /// End of the log.
        last_seq: i64,
    },
}

fn member(is: bool) -> &'static str {
    if is { "a member" } else { "no member" }
}
