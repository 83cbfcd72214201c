//! What becomes of bytes that were flushed: a disk that loses bits by itself.
//!
//! Invariant: only bytes are changed that the checksum of a batch covers, or its length and the checksum itself: a batch's offset and its
//! leader's epoch are outside of the checksum in Kafka's format, and nobody can tell whether they are right.
use super::dice::Dice;
use super::disk::Medium;
use super::node::DATA;
use bytes::Bytes;
use log::Batch;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

/// The folder of the znode log.
pub(super) const ZNODES: &str = "__znodes-0";
/// Where a node notes what it has flushed.
const FLUSHED_MARK: &str = ".zoolog_flushed";
/// That a node lost what it had flushed.
const DAMAGE_MARK: &str = ".zoolog_damaged";
/// That a broker was stopped properly.
const CLEAN_MARK: &str = ".kafka_cleanshutdown";
/// A batch's length, and everything from its version on.
const CHECKED: [Range<usize>; 2] = [8..12, 16..usize::MAX];
/// What comes behind a batch's header.
const BODY: Range<usize> = 61..usize::MAX;

/// A batch in a file.
struct Place {
    path: PathBuf,
    at: usize,
    size: usize,
    end_offset: i64,
}

/// The files of a folder with this ending.
fn files<'a>(medium: &'a Medium, folder: &str, ending: &str) -> Vec<(PathBuf, &'a [u8])> {
    let listed = medium.list(&Path::new(DATA).join(folder)).into_iter();
    listed.filter(|(path, _)| path.extension().is_some_and(|found| found == ending)).collect()
}

/// The whole batches of a file, and whether there is something else behind them than zeros that were written ahead.
fn batches(path: &Path, content: &[u8]) -> (Vec<Place>, bool) {
    let (mut places, mut at) = (Vec::new(), 0);
    for batch in Batch::iter(Bytes::copy_from_slice(content)).map_while(Result::ok) {
        if !batch.crc_is_valid() {
            break;
        }
        let end_offset = batch.header().next_offset();
        places.push(Place { path: path.to_owned(), at, size: batch.size(), end_offset });
        at += batch.size();
    }
    (places, content.get(at..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)))
}

/// How far a node has noted that it has flushed its znode log.
pub(super) fn noted(medium: &Medium) -> i64 {
    let mark = Path::new(DATA).join(ZNODES).join(FLUSHED_MARK);
    std::str::from_utf8(medium.flushed(&mark)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Whether a node knows that it lost something of its znode log, and has not got it again.
pub(super) fn is_noted(medium: &Medium) -> bool {
    let mark = Path::new(DATA).join(ZNODES).join(DAMAGE_MARK);
    !medium.list(&mark).is_empty()
}

/// Whether the broker was stopped properly, so that its next start does not look at the records of its partitions.
pub(super) fn was_stopped(medium: &Medium) -> bool {
    !medium.list(&Path::new(DATA).join(CLEAN_MARK)).is_empty()
}

/// Where the log in a folder would end if the power went now.
pub(super) fn flushed_end(medium: &Medium, folder: &str) -> i64 {
    let places = files(medium, folder, "log").into_iter();
    places
        .filter_map(|(path, _)| Some(batches(&path, medium.flushed(&path)).0.last()?.end_offset))
        .max()
        .unwrap_or(0)
}

/// Up to where two disks would have the same batches of the log in a folder if the power went now. Beyond it one may have more, or
/// both have what different leaders wrote.
pub(super) fn agreed_end(one: &Medium, other: &Medium, folder: &str) -> i64 {
    let (one, other) = (flushed_batches(one, folder), flushed_batches(other, folder));
    let agreed = one.iter().filter(|(base, batch)| other.get(*base) == Some(*batch));
    agreed.last().map_or(0, |(_, batch)| batch.header().next_offset())
}

/// What the log in a folder would consist of if the power went now, by base offset.
fn flushed_batches(medium: &Medium, folder: &str) -> BTreeMap<i64, Batch> {
    let files = files(medium, folder, "log").into_iter();
    let batches = files.flat_map(|(path, _)| {
        let flushed = Bytes::copy_from_slice(medium.flushed(&path));
        Batch::iter(flushed).map_while(Result::ok).take_while(Batch::crc_is_valid)
    });
    batches.map(|batch| (batch.header().base_offset, batch)).collect()
}

/// The folders of partitions of a topic.
pub(super) fn folders(medium: &Medium, topic: &str) -> Vec<String> {
    let prefix = format!("{topic}-");
    let names = medium.list(Path::new(DATA)).into_iter().filter_map(|(path, _)| {
        let folder = path.parent()?.file_name()?.to_str()?.to_owned();
        (folder.starts_with(&prefix) && !folder.contains('.')).then_some(folder)
    });
    let mut found: Vec<String> = names.collect();
    found.dedup();
    found
}

/// Where the newest snapshot ends.
pub(super) fn snapshot_end(medium: &Medium) -> i64 {
    let ends = files(medium, ZNODES, "checkpoint")
        .into_iter()
        .filter_map(|(path, _)| path.file_name()?.to_str()?.split_once('-')?.0.parse().ok());
    ends.max().unwrap_or(0)
}

/// Damages a batch of the znode log that ends within these offsets. What it did, if there was something to damage.
pub(super) fn rot_znodes(medium: &mut Medium, dice: &mut Dice, ends: RangeInclusive<i64>) -> Option<String> {
    rot(medium, dice, ZNODES, "log", ends, &CHECKED)
}

/// Damages a batch of a segment that the newest snapshot covers, so that no start reads it.
pub(super) fn rot_old_znodes(medium: &mut Medium, dice: &mut Dice) -> Option<String> {
    let snapshot = snapshot_end(medium);
    let bases = files(medium, ZNODES, "log").into_iter();
    let bases = bases.filter_map(|(path, _)| path.file_stem()?.to_str()?.parse::<i64>().ok());
    let below = bases.filter(|base| *base <= snapshot).max().unwrap_or(0);
    rot_znodes(medium, dice, 0..=below)
}

/// Damages a snapshot.
pub(super) fn rot_snapshot(medium: &mut Medium, dice: &mut Dice) -> Option<String> {
    rot(medium, dice, ZNODES, "checkpoint", 0..=i64::MAX, &CHECKED)
}

/// Damages the records of a batch of a partition that ends at or below an offset.
pub(super) fn rot_partition(
    medium: &mut Medium,
    dice: &mut Dice,
    folder: &str,
    below: i64,
) -> Option<String> {
    rot(medium, dice, folder, "log", 0..=below, &[BODY])
}

fn rot(
    medium: &mut Medium,
    dice: &mut Dice,
    folder: &str,
    ending: &str,
    ends: RangeInclusive<i64>,
    parts: &[Range<usize>],
) -> Option<String> {
    let found = files(medium, folder, ending).into_iter();
    let found: Vec<Place> = found
        .flat_map(|(path, content)| batches(&path, content).0)
        .filter(|place| ends.contains(&place.end_offset))
        .collect();
    if found.is_empty() {
        return None;
    }
    let place = dice.pick(&found);
    let part = dice.pick(parts);
    let within = part.start + dice.index(part.end.min(place.size).saturating_sub(part.start));
    let bits = 1 << dice.below(8);
    let name = place.path.file_name()?.to_string_lossy().into_owned();
    medium
        .rot(&place.path, place.at + within, bits)
        .then(|| format!("byte {within} of the batch before {} in {folder}/{name}", place.end_offset))
}

/// Whether something of the znode log, its snapshots or the partitions of a topic is damaged.
pub(super) fn is_rotten(medium: &Medium, topic: &str) -> bool {
    let logs = folders(medium, topic).into_iter().chain([ZNODES.to_owned()]);
    let mut files = logs
        .flat_map(|folder| [files(medium, &folder, "log"), files(medium, &folder, "checkpoint")])
        .flatten();
    files.any(|(path, content)| batches(&path, content).1)
}

/// The state of a node's znode log on its disk, for people.
pub(super) fn shown(medium: &Medium) -> String {
    let found = [files(medium, ZNODES, "log"), files(medium, ZNODES, "checkpoint")].into_iter().flatten();
    let shown: Vec<String> = found
        .map(|(path, content)| {
            let (places, is_damaged) = batches(&path, content);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let mark = if is_damaged { " damaged" } else { "" };
            format!("{name} to {:?}{mark}", places.last().map(|place| place.end_offset))
        })
        .collect();
    format!("{}, noted {}, damage noted {}", shown.join(", "), noted(medium), is_noted(medium))
}
