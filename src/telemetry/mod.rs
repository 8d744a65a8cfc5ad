//! What the process says of itself: log lines, metrics and panics. None carries what people write to each other.

pub mod exposition;
pub mod logging;
pub mod metrics;
pub mod panics;
