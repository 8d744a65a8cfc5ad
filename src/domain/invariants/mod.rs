//! What must hold in every room at every time, as checkers fed with what was observed.
//!
//! One set of checkers serves the debug assertions of the server, the simulation and `tertulia check`. They know
//! nothing of where observations come from, keep only numbers and hashes, and never stop at the first violation.

mod history;
mod reader;
#[cfg(test)]
mod tests;
mod violation;

pub use history::{HistoryChecker, Kind, ObservedEvent, ObservedMessage};
pub use reader::ReaderChecker;
pub use violation::Violation;
