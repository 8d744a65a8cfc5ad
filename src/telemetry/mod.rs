//! What the process says of itself: log lines and metrics. Neither carries what people write to each other.

pub mod exposition;
pub mod logging;
pub mod metrics;
