//! stub
use super::{engine::*, fault::*};
use std::path::Path;
#[derive(Debug)]
pub struct DiskEngine;
#[derive(Debug)]
pub struct OpenOptions;
#[derive(Debug)]
pub enum SyncPolicy {}
pub fn open(_: &Path, _: &OpenOptions) -> Outcome<DiskEngine> {
    Err(Fault::closed())
}
impl Engine for DiskEngine {
    fn get(&self, _: &[u8]) -> Outcome<Option<fjall::Slice>> {
        Err(Fault::closed())
    }
    fn scan(
        &self,
        _: &[u8],
        _: &[u8],
        _: crate::storage::Direction,
        _: &mut Visit<'_>,
    ) -> Outcome<()> {
        Err(Fault::closed())
    }
    fn submit(&self, _: Box<dyn Op>) -> Outcome<()> {
        Err(Fault::closed())
    }
    fn close(&self) -> Outcome<()> {
        Ok(())
    }
}
