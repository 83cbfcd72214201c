//! The laws of Kafka: what was acknowledged is there exactly once, at its offset and in its order; every record is there at most once.
use super::Tally;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Judges the books once every consumer has read everything.
pub(in crate::nodes) fn judge(tally: &Tally) -> Result<(), String> {
    let mut places: BTreeMap<&Bytes, (i32, i64)> = BTreeMap::new();
    for ((partition, offset), data) in &tally.shown {
        if let Some((first, at)) = places.insert(data, (*partition, *offset)) {
            return Err(format!("{data:?} is at {first}/{at} and again at {partition}/{offset}"));
        }
    }
    for (partition, base, records) in &tally.acknowledged {
        let begin = base.or_else(|| places.get(records.first()?).map(|(_, offset)| *offset));
        for (record, offset) in records.iter().zip(begin.unwrap_or_default()..) {
            let place = places.get(record);
            if place != Some(&(*partition, offset)) {
                return Err(format!(
                    "{record:?} was acknowledged at {partition}/{offset}, but is at {place:?}"
                ));
            }
        }
    }
    Ok(())
}
