//! Brings rows that older programs wrote to their present form, before anybody reads them. Done again from its beginning
//! if it is interrupted; rows that are as they should be are left alone.

use fjall::{PersistMode, Slice};

use super::{
    super::{
        fault::Outcome,
        keys::{Key, Table},
        rows,
    },
    Tables,
};
use crate::{domain::ids::Seq, storage::types::Direction};

/// Rows of one write.
const ROWS: usize = 10_000;

/// Rows that had a hash of the text beside the sealed text, by which whoever read them could try texts.
const HASHED: [Table; 4] = [Table::Log, Table::Message, Table::ClientMessage, Table::External];

/// Goes on from `format`. The caller notes what the format is afterwards.
pub(super) fn run(tables: &Tables, format: u64) -> Outcome<()> {
    if format < 2 {
        tracing::info!("the rows of an older program are written anew, without hashes of texts; this may take a while");
        let mut written = 0;
        for table in HASHED {
            written += without_hashes(tables, table)?;
        }
        // Nothing of the old rows stays in any file.
        tables.rows.rotate_memtable_and_wait()?;
        tables.rows.major_compact()?;
        tracing::info!(rows = written, "the rows are written anew");
    }
    Ok(())
}

fn without_hashes(tables: &Tables, table: Table) -> Outcome<usize> {
    let (mut from, end) = (Key::of(table).as_ref().to_vec(), Key::of(table).end());
    let mut written = 0;
    loop {
        let mut page: Vec<(Vec<u8>, Slice)> = Vec::new();
        tables.scan(&from, end.as_ref(), Direction::Forward, &mut |key, row| {
            page.push((key.to_vec(), present(table, row)?));
            Ok(page.len() < ROWS)
        })?;
        let Some((last, _)) = page.last() else { return Ok(written) };
        // The next key there can be.
        from = [&last[..], &[0]].concat();
        written += page.len();
        let mut batch = tables.db.batch().durability(Some(PersistMode::SyncAll));
        for (key, row) in page {
            batch.insert(&tables.rows, key, row);
        }
        batch.commit()?;
    }
}

/// A row as it is written today.
fn present(table: Table, row: &[u8]) -> Outcome<Slice> {
    if table == Table::Log {
        // Its place is in its key.
        let record = rows::decode_record(Seq(0), row)?;
        return Ok(rows::encode_record(&record, record.epoch));
    }
    Ok(rows::encode_message_ref(&rows::decode_message_ref(row)?))
}
