//! `meta.properties` of a data folder: whose it is. Versions 0 (`broker.id`) and 1 (`node.id`, `directory.id`).
//!
//! Version 1 is written, as Kafka 4 does. Keys that nobody here knows are kept.
use crate::dir::LogDirError;
use crate::error::LogError;
use crate::folder::{format_id, parse_id};
use base::Disk;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const FILE: &str = "meta.properties";
const BYTES_MAX: u64 = 64 << 10;

/// The identity of a data folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster.
    pub cluster_id: Option<String>,
    /// The node: `node.id`, or `broker.id` in version 0.
    pub node_id: Option<i32>,
    /// The folder itself (KIP-858); version 0 has none.
    pub directory_id: Option<Uuid>,
    /// Other keys.
    pub other: Vec<(String, String)>,
}

impl MetaProperties {
    /// The file in a data folder.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<MetaProperties>, LogDirError> {
        let path = MetaProperties::path(dir);
        if !disk.exists(&path) {
            return Ok(None);
        }
        let content =
            disk.read_file(&path, BYTES_MAX).map_err(|error| LogError::io("reading", &path, error))?;
        let parsed = MetaProperties::parse(&String::from_utf8_lossy(&content));
        parsed.map(Some).map_err(|reason| LogDirError::Identity { path, reason })
    }

    fn parse(text: &str) -> Result<MetaProperties, String> {
        let mut meta = MetaProperties::default();
        let mut version = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| format!("line {line:?} has no ="))?;
            let (key, value) = (key.trim(), value.trim());
            match key {
                "version" => version = Some(value.to_owned()),
                "cluster.id" => meta.cluster_id = Some(value.to_owned()),
                "node.id" | "broker.id" => {
                    meta.node_id = Some(value.parse().map_err(|_| format!("{key}={value} is not a number"))?);
                }
                "directory.id" => {
                    meta.directory_id =
                        Some(parse_id(value).ok_or_else(|| format!("{key}={value} is not an id"))?);
                }
                _ => meta.other.push((key.to_owned(), value.to_owned())),
            }
        }
        match version.as_deref() {
            Some("0" | "1") => Ok(meta),
            version => Err(format!("version {:?} is unknown; 0 and 1 are", version.unwrap_or("(none)"))),
        }
    }

    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), LogDirError> {
        let mut lines: Vec<String> = self.other.iter().map(|(key, value)| format!("{key}={value}")).collect();
        lines.extend(self.cluster_id.iter().map(|id| format!("cluster.id={id}")));
        lines.extend(self.node_id.iter().map(|id| format!("node.id={id}")));
        lines.extend(self.directory_id.iter().map(|id| format!("directory.id={}", format_id(*id))));
        lines.push("version=1".to_owned());
        lines.sort_unstable();
        let text = format!("#\n{}\n", lines.join("\n"));
        let path = MetaProperties::path(dir);
        Ok(disk
            .write_file_atomic(&path, text.as_bytes())
            .map_err(|error| LogError::io("writing", &path, error))?)
    }
}
