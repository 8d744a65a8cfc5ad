//! Appends: checked on the caller's side, written in groups, and explained one by one when they are refused.

mod columns;
mod prepared;
mod verdict;
mod worker;

pub(super) use prepared::Append;
pub(super) use worker::Appender;
