//! The shape of the source: which part may know which, and how large a file may be.
//!
//! The rules are in [`layers`], [`size`] and [`reasons`]; [`source`] reads the files. Test code is exempt: what a test
//! imports or how long its file is binds nobody. Each checker is itself tested on made-up sources.

mod layers;
mod reasons;
mod size;
mod source;
