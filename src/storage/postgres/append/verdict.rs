//! Why the gate refused an append. Pure: what the statement decides, with the reason.

use super::prepared::Append;
use crate::{
    domain::ids::{Epoch, Seq},
    storage::error::StoreErrorKind,
};

/// What is to be done with an append, given the room's claimed epoch and newest seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It may be written.
    Write,
    /// Success if exactly its records are stored.
    Compare,
    /// It fails.
    Refuse(StoreErrorKind, &'static str),
}

/// Decides. The order matters: `Fenced` says more than `Conflict`.
pub(super) fn verdict(append: &Append, claimed: Epoch, stored: Seq) -> Verdict {
    if append.epoch < claimed {
        return Verdict::Refuse(StoreErrorKind::Fenced, "a newer epoch has claimed the room");
    }
    if append.epoch > claimed || append.epoch == Epoch(0) {
        return Verdict::Refuse(StoreErrorKind::Invalid, "an epoch that no claim has returned");
    }
    if append.has_gap() {
        return Verdict::Refuse(StoreErrorKind::Conflict, "a gap between the records");
    }
    if append.records.first().is_some_and(|first| first.seq <= stored) {
        return Verdict::Compare;
    }
    if append.redacts_nothing() {
        return Verdict::Refuse(StoreErrorKind::Conflict, "no event to redact at this seq");
    }
    if append.previous() == stored {
        Verdict::Write
    } else {
        Verdict::Refuse(StoreErrorKind::Conflict, "the records do not follow the head")
    }
}
