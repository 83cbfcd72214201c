//! The `quorum-state` file: the one durable thing that is no record batch. Kafka's format (`QuorumStateData` version 1, JSON).
use base::Disk;
use quorum::{ReplicaId, VoteState};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use uuid::Uuid;

/// The file's name, beside the log.
pub(crate) const NAME: &str = "quorum-state";
/// The most bytes that the file may have.
const BYTES_MAX: u64 = 64 << 10;

/// Makes a vote durable.
pub(crate) fn store(disk: &dyn Disk, path: &Path, vote: &VoteState) -> io::Result<()> {
    let text = json!({
        "leaderId": vote.leader.unwrap_or(-1),
        "leaderEpoch": vote.epoch,
        "votedId": vote.voted_for.map_or(-1, |replica| replica.id),
        "votedDirectoryId": vote.voted_for.map(|replica| replica.directory).unwrap_or_default().to_string(),
        "data_version": 1,
    });
    disk.write_file_atomic(path, text.to_string().as_bytes())
}

/// Reads the vote; `None` at a node's very first start.
pub(crate) fn load(disk: &dyn Disk, path: &Path) -> io::Result<Option<VoteState>> {
    if !disk.exists(path) {
        return Ok(None);
    }
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
    let content = disk.read_file(path, BYTES_MAX)?;
    let value: Value = serde_json::from_slice(&content).map_err(|error| bad(&error.to_string()))?;
    let number =
        |name: &str| value.get(name).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
    let epoch = number("leaderEpoch").ok_or_else(|| bad("leaderEpoch is missing"))?;
    let directory =
        value.get("votedDirectoryId").and_then(Value::as_str).and_then(|text| Uuid::parse_str(text).ok());
    let voted_for = number("votedId")
        .filter(|id| *id >= 0)
        .map(|id| ReplicaId { id, directory: directory.unwrap_or_default() });
    Ok(Some(VoteState { epoch, voted_for, leader: number("leaderId").filter(|id| *id >= 0) }))
}
