//! Kafka's checkpoint files: a version line (`0`), a count line, then one line per entry.
//!
//! They are replaced atomically, so a reader finds the old or the new content, whole.
use crate::error::LogError;
use base::Disk;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// The largest checkpoint that is read: about a million partitions.
pub(crate) const CHECKPOINT_BYTES_MAX: u64 = 256 << 20;
const VERSION: &str = "0";

/// A partition, as checkpoints name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: impl Into<String>, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The entry lines of a checkpoint whose version and count fit.
pub(crate) fn lines(text: &str) -> Result<Vec<&str>, String> {
    // Kafka creates its checkpoints empty.
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = text.lines();
    match lines.next() {
        Some(VERSION) => {}
        version => return Err(format!("version {:?} is unknown", version.unwrap_or_default())),
    }
    let count = lines.next().unwrap_or_default();
    let count: usize = count.parse().map_err(|_| format!("{count:?} is not a count"))?;
    let entries: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    if entries.len() != count {
        return Err(format!("{count} entries are announced, {} are there", entries.len()));
    }
    Ok(entries)
}

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// Reads an offset checkpoint; a missing file is empty.
pub(crate) fn read_offsets(disk: &dyn Disk, path: &Path) -> Result<Offsets, LogError> {
    if !disk.exists(path) {
        return Ok(Offsets::new());
    }
    let content =
        disk.read_file(path, CHECKPOINT_BYTES_MAX).map_err(|error| LogError::io("reading", path, error))?;
    let text = String::from_utf8(content).map_err(|error| LogError::bad_file(path, error))?;
    decode(&text).map_err(|reason| LogError::bad_file(path, reason))
}

/// Replaces an offset checkpoint.
pub(crate) fn write_offsets(disk: &dyn Disk, path: &Path, offsets: &Offsets) -> Result<(), LogError> {
    let mut text = format!("{VERSION}\n{}\n", offsets.len());
    for (partition, offset) in offsets {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {offset}", partition.topic, partition.partition);
    }
    disk.write_file_atomic(path, text.as_bytes()).map_err(|error| LogError::io("writing", path, error))
}

fn decode(text: &str) -> Result<Offsets, String> {
    let mut offsets = Offsets::new();
    for line in lines(text)? {
        let mut words = line.split(' ');
        let (Some(topic), Some(partition), Some(offset), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(format!("line {line:?} is not a topic, a partition and an offset"));
        };
        let partition = partition.parse().map_err(|_| format!("{partition:?} is not a partition"))?;
        let offset = offset.parse().map_err(|_| format!("{offset:?} is not an offset"))?;
        offsets.insert(TopicPartition::new(topic, partition), offset);
    }
    Ok(offsets)
}
