//! Table `row_count`: how many rows a table has, where their number is bounded and they are too
//! many to be looked at.
//!
//! Key: the id of the table. Value: in clear, a number. Who adds or removes a row writes it, so two
//! who do it at once can't pass the bound. Rows that are older than their count aren't in it: it may
//! be too low, never too high. Lifetime: from the first such row on.

use prost::Message;
use tenure_proto::state as proto;
use zeroize::Zeroizing;

use super::{
    ReadError, View,
    table::{FORMAT, Table, known_format},
};

/// The table.
pub enum RowCounts {}

impl RowCounts {
    /// How many rows a table has.
    ///
    /// # Errors
    /// The state can't be read.
    pub fn of<T: Table>(view: &View<'_>) -> Result<u64, ReadError> {
        Ok(view.get::<Self>(&T::ID)?.map_or(0, |row| row.value))
    }
}

impl Table for RowCounts {
    const ID: u8 = 65;
    const NAME: &'static str = "row_count";
    const SEALED: bool = false;
    /// Id of the table.
    type Key = u8;
    type Value = u64;

    fn write_key(table: &u8, out: &mut Vec<u8>) {
        out.push(*table);
    }

    fn read_key(bytes: &[u8]) -> Option<u8> {
        match bytes {
            [table] => Some(*table),
            _ => None,
        }
    }

    fn encode(value: &u64) -> Zeroizing<Vec<u8>> {
        let plain = proto::RowCount {
            format: FORMAT,
            rows: *value,
        };
        Zeroizing::new(plain.encode_to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<u64> {
        let plain = proto::RowCount::decode(bytes)
            .ok()
            .filter(|p| known_format(p.format))?;
        Some(plain.rows)
    }
}
