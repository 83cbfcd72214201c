//! Names of partition folders, and the file `partition.metadata` in them.
//!
//! `<topic>-<partition>` holds a log; `<topic>-<partition>.<32 hex digits>-delete` waits for its removal.
use crate::checkpoint::TopicPartition;
use crate::error::LogError;
use base::Disk;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const DELETE_SUFFIX: &str = "-delete";
/// The longest name of a folder; a topic's name is cut so that the rest fits.
const NAME_MAX: usize = 255;
const METADATA_FILE: &str = "partition.metadata";
const METADATA_BYTES_MAX: u64 = 4096;

/// What a folder's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FolderName {
    /// A log.
    Partition(TopicPartition),
    /// A log that waits for its removal.
    Deleted,
}

impl FolderName {
    /// `None` for folders that are none of ours.
    pub(crate) fn parse(name: &str) -> Option<FolderName> {
        if let Some(rest) = name.strip_suffix(DELETE_SUFFIX)
            && let Some((_, unique)) = rest.rsplit_once('.')
            && unique.len() == 32
            && unique.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Some(FolderName::Deleted);
        }
        let (topic, partition) = name.rsplit_once('-')?;
        let valid = !topic.is_empty()
            && !partition.is_empty()
            && partition.bytes().all(|byte| byte.is_ascii_digit())
            && topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        valid.then_some(())?;
        Some(FolderName::Partition(TopicPartition::new(topic, partition.parse().ok()?)))
    }

    /// The name of a folder to be removed.
    pub(crate) fn deleted(partition: &TopicPartition, unique: Uuid) -> String {
        let suffix = format!("-{}.{}{DELETE_SUFFIX}", partition.partition, unique.simple());
        let mut topic = partition.topic.as_str();
        // Topic names are ASCII, so any length is a boundary; should one not be, the whole name is kept.
        topic = topic.get(..NAME_MAX.saturating_sub(suffix.len())).unwrap_or(topic);
        format!("{topic}{suffix}")
    }
}

/// The content of `partition.metadata` (KIP-516).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionMetadata {
    pub(crate) topic_id: Uuid,
}

impl PartitionMetadata {
    fn path(dir: &Path) -> PathBuf {
        dir.join(METADATA_FILE)
    }

    /// Reads the file of a partition's folder, if it is there.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<PartitionMetadata>, LogError> {
        let path = PartitionMetadata::path(dir);
        if !disk.exists(&path) {
            return Ok(None);
        }
        let content = disk
            .read_file(&path, METADATA_BYTES_MAX)
            .map_err(|error| LogError::io("reading", &path, error))?;
        let text = String::from_utf8_lossy(&content);
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        if value("version:") != Some("0") {
            return Err(LogError::bad_file(&path, "its version is not 0"));
        }
        let id = value("topic_id:").and_then(parse_id);
        let topic_id = id.ok_or_else(|| LogError::bad_file(&path, "it has no valid topic_id"))?;
        Ok(Some(PartitionMetadata { topic_id }))
    }

    /// Writes the file.
    pub(crate) fn write(self, disk: &dyn Disk, dir: &Path) -> Result<(), LogError> {
        let path = PartitionMetadata::path(dir);
        let text = format!("version: 0\ntopic_id: {}", format_id(self.topic_id));
        disk.write_file_atomic(&path, text.as_bytes()).map_err(|error| LogError::io("writing", &path, error))
    }
}

/// An id as Kafka writes it: 22 characters of URL-safe base64.
pub fn format_id(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Parses an id as Kafka writes it.
pub fn parse_id(text: &str) -> Option<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(Uuid::from_bytes(bytes.try_into().ok()?))
}
