//! What producers were promised and consumers were shown.
//!
//! Invariant: what a consumer was shown at an offset stays there, whoever leads.
use bytes::Bytes;
use std::collections::BTreeMap;

/// The books of the topic.
#[derive(Default)]
pub(in crate::nodes) struct Tally {
    /// Acknowledged batches by partition and base offset: their records. An offset of none is a duplicate whose place is not known.
    pub(super) acknowledged: Vec<(i32, Option<i64>, Vec<Bytes>)>,
    /// What was shown, by partition and offset.
    pub(super) shown: BTreeMap<(i32, i64), Bytes>,
    /// The next number of a record.
    unique: u64,
}

impl Tally {
    /// Data that no other record has.
    pub(super) fn data(&mut self) -> Bytes {
        self.unique += 1;
        Bytes::from(format!("record {}", self.unique))
    }

    /// A consumer was shown a record.
    pub(super) fn show(&mut self, partition: i32, offset: i64, data: Bytes) -> Result<(), String> {
        let place = self.shown.entry((partition, offset)).or_insert_with(|| data.clone());
        match *place == data {
            true => Ok(()),
            false => Err(format!("{partition}/{offset} showed {place:?} before, and shows {data:?} now")),
        }
    }
}
