//! A node's disk in memory: what its files show, what of that would survive a loss of power, and what goes wrong.
//!
//! Invariants: a write is visible at once and durable only after `sync_data`; the entry of a created, renamed or removed file is durable
//! only after `sync_dir` of its folder; a killed process loses nothing, a machine without power loses what was not durable, in whole or
//! in part, down to single sectors. A [`SimDisk`] belongs to one run of a node and refuses everything once that run is over.
use super::dice::Dice;
use base::disk::{Entry, Space};
use base::{Disk, File, OpenMode};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a medium writes at once; a torn write ends at such a boundary.
const SECTOR: usize = 512;

/// Where files lie, and what becomes of them.
#[derive(Clone, Default)]
pub(super) struct Medium {
    files: BTreeMap<u64, Content>,
    next_file: u64,
    /// Paths as processes see them.
    names: BTreeMap<PathBuf, u64>,
    /// Paths as they would be after a loss of power.
    durable_names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
    /// Changes of names that no `sync_dir` has covered, oldest first.
    pending_names: Vec<NameChange>,
    locked: BTreeSet<PathBuf>,
    /// The run that may use the disk.
    run: u64,
    trouble: Trouble,
}

/// What is about to go wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble {
    /// The next write fails.
    pub(super) write_fails: bool,
    /// The next flush fails, and what it should have flushed is lost.
    pub(super) sync_fails: bool,
    /// Every write that would make a file longer fails.
    pub(super) full: bool,
    /// The process ends in the middle of the operation that comes after so many.
    pub(super) dies_after: Option<u64>,
}

impl Trouble {
    /// Whether an operation may fail because of it.
    pub(super) fn is_planted(&self) -> bool {
        self.write_fails || self.sync_fails || self.full
    }

    /// Whether anything at all is about to go wrong.
    pub(super) fn is_any(&self) -> bool {
        self.is_planted() || self.dies_after.is_some()
    }
}

#[derive(Clone, Default)]
struct Content {
    /// What reads show.
    cached: Vec<u8>,
    /// What is on the medium.
    durable: Vec<u8>,
    /// Writes since the last flush, oldest first.
    dirty: Vec<Dirty>,
}

#[derive(Clone)]
enum Dirty {
    Write { at: usize, length: usize },
    Length(usize),
}

#[derive(Clone)]
enum NameChange {
    Set(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
    RemoveAll(PathBuf),
}

impl NameChange {
    /// The folder whose flush makes the change durable.
    fn folder(&self) -> Option<&Path> {
        match self {
            NameChange::Set(path, _)
            | NameChange::Remove(path)
            | NameChange::Rename(_, path)
            | NameChange::RemoveAll(path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Set(path, file) => {
                names.insert(path.clone(), *file);
            }
            NameChange::Remove(path) => {
                names.remove(path);
            }
            NameChange::Rename(from, to) => {
                for path in within(names, from) {
                    let file = names.remove(&path).expect("it was just listed");
                    let rest = path.strip_prefix(from).expect("it is within the folder");
                    // Joining an empty rest would add a slash.
                    let path = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    names.insert(path, file);
                }
            }
            NameChange::RemoveAll(path) => {
                for path in within(names, path) {
                    names.remove(&path);
                }
            }
        }
    }
}

/// The path itself and everything below it.
fn within(names: &BTreeMap<PathBuf, u64>, top: &Path) -> Vec<PathBuf> {
    names
        .range(top.to_owned()..)
        .take_while(|(path, _)| path.starts_with(top))
        .map(|(path, _)| path.clone())
        .collect()
}

impl Content {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        if self.cached.len() < at + bytes.len() {
            self.cached.resize(at + bytes.len(), 0);
        }
        self.cached[at..at + bytes.len()].copy_from_slice(bytes);
        self.dirty.push(Dirty::Write { at, length: bytes.len() });
    }

    fn flush(&mut self) {
        for change in std::mem::take(&mut self.dirty) {
            persist(&mut self.durable, &self.cached, &change, usize::MAX);
        }
        self.durable.truncate(self.cached.len());
    }

    /// What a machine without power leaves of the writes that were not flushed.
    fn lose_power(&mut self, dice: &mut Dice) {
        let dirty = std::mem::take(&mut self.dirty);
        let (whole, torn) = (dice.index(dirty.len() + 1), dice.chance(500));
        // Either a prefix of the writes survives, the last one perhaps torn, or any of them do.
        let any = dice.chance(300);
        for (index, change) in dirty.iter().enumerate() {
            let survives = if any { dice.chance(500) } else { index < whole };
            if survives {
                persist(&mut self.durable, &self.cached, change, usize::MAX);
            } else if torn && !any && index == whole {
                let sectors = dice.index(8);
                persist(&mut self.durable, &self.cached, change, sectors * SECTOR);
            }
        }
        self.cached = self.durable.clone();
    }
}

/// Brings one change to the medium, no more than its first `limit` bytes up to a sector's end.
fn persist(durable: &mut Vec<u8>, cached: &[u8], change: &Dirty, limit: usize) {
    match *change {
        Dirty::Length(length) => durable.resize(length, 0),
        Dirty::Write { at, length } => {
            let mut end = at + length;
            if limit < length {
                end = (at + limit) / SECTOR * SECTOR;
            }
            // A later change of the length may have cut what was written.
            let end = end.min(cached.len());
            if end > at {
                if durable.len() < end {
                    durable.resize(end, 0);
                }
                durable[at..end].copy_from_slice(&cached[at..end]);
            }
        }
    }
}

impl Medium {
    /// The process is gone; its locks with it. Nothing that it wrote is lost.
    pub(super) fn process_ended(&mut self) {
        self.run += 1;
        self.locked.clear();
        self.trouble = Trouble::default();
    }

    /// The machine lost its power: what was not durable is lost or torn.
    pub(super) fn lose_power(&mut self, dice: &mut Dice) {
        self.process_ended();
        let kept = dice.index(self.pending_names.len() + 1);
        for change in self.pending_names.drain(..).take(kept) {
            change.apply(&mut self.durable_names);
        }
        self.pending_names.clear();
        self.names = self.durable_names.clone();
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|file, _| named.contains(file));
        for content in self.files.values_mut() {
            content.lose_power(dice);
        }
    }

    /// Another disk, an empty one, takes the place of this one. Whoever used it must be gone.
    pub(super) fn replace(&mut self) {
        self.become_again(Medium::default());
    }

    /// The disk as it was once.
    pub(super) fn become_again(&mut self, before: Medium) {
        *self = Medium { run: self.run + 1, ..before };
    }

    /// Changes bits of a byte that is on the medium; a cache that holds it as it was is dropped. False if a write of it is still to
    /// come, which would mend it.
    pub(super) fn rot(&mut self, path: &Path, at: usize, bits: u8) -> bool {
        let Some(content) = self.names.get(path).and_then(|file| self.files.get_mut(file)) else {
            return false;
        };
        let is_dirty = content.dirty.iter().any(|change| match *change {
            Dirty::Write { at: from, length } => (from..from + length).contains(&at),
            Dirty::Length(_) => true,
        });
        match (content.durable.get_mut(at), content.cached.get_mut(at)) {
            (Some(durable), Some(cached)) if !is_dirty => {
                *durable ^= bits;
                *cached = *durable;
                true
            }
            _ => false,
        }
    }

    /// What would be left of a file if the power went now.
    pub(super) fn flushed(&self, path: &Path) -> &[u8] {
        self.names.get(path).and_then(|file| self.files.get(file)).map_or(&[], |content| &content.durable)
    }

    /// Plants trouble.
    pub(super) fn trouble(&mut self) -> &mut Trouble {
        &mut self.trouble
    }

    /// The files below a folder with what they show.
    pub(super) fn list(&self, folder: &Path) -> Vec<(PathBuf, &[u8])> {
        let names = self.names.range(folder.to_owned()..).take_while(|(path, _)| path.starts_with(folder));
        names.filter_map(|(path, file)| Some((path.clone(), &*self.files.get(file)?.cached))).collect()
    }

    fn rename_now(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

/// A disk as one run of a node sees it.
#[derive(Clone)]
pub(super) struct SimDisk {
    medium: Arc<Mutex<Medium>>,
    run: u64,
}

impl SimDisk {
    /// The disk for the process that starts now.
    pub(super) fn mount(medium: &Arc<Mutex<Medium>>) -> SimDisk {
        let run = medium.lock().run;
        SimDisk { medium: medium.clone(), run }
    }

    /// Whether the process died in the middle of an operation.
    pub(super) fn has_died(&self) -> bool {
        self.medium.lock().run != self.run
    }

    /// Does something with the medium, unless this run is over.
    fn with<R>(&self, work: impl FnOnce(&mut Medium) -> io::Result<R>) -> io::Result<R> {
        let mut medium = self.medium.lock();
        if medium.run != self.run {
            return Err(io::Error::other("the process has ended"));
        }
        work(&mut medium)
    }

    /// The same for what changes something: the process may die instead.
    fn change<R>(&self, work: impl FnOnce(&mut Medium) -> io::Result<R>) -> io::Result<R> {
        self.with(|medium| {
            match &mut medium.trouble.dies_after {
                Some(0) => {
                    medium.process_ended();
                    return Err(io::Error::other("the process ends here"));
                }
                Some(left) => *left -= 1,
                None => {}
            }
            work(medium)
        })
    }
}

struct SimFile {
    disk: SimDisk,
    file: u64,
}

impl SimFile {
    fn write(&self, offset: u64, pieces: &[&[u8]]) -> io::Result<()> {
        self.disk.change(|medium| {
            if std::mem::take(&mut medium.trouble.write_fails) {
                return Err(io::Error::other("the medium refused a write"));
            }
            let full = medium.trouble.full;
            let content = content_of(medium, self.file)?;
            let mut at = offset as usize;
            let length: usize = pieces.iter().map(|piece| piece.len()).sum();
            if full && at + length > content.cached.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            for piece in pieces {
                content.write(at, piece);
                at += piece.len();
            }
            Ok(())
        })
    }
}

fn content_of(medium: &mut Medium, file: u64) -> io::Result<&mut Content> {
    medium.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.with(|medium| {
            let content = content_of(medium, self.file)?;
            let rest = content.cached.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.write(offset, &[buffer])
    }

    fn write_all_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let pieces: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(offset, &pieces)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.change(|medium| {
            let fails = std::mem::take(&mut medium.trouble.sync_fails);
            let content = content_of(medium, self.file)?;
            if fails {
                // The pages count as clean and are dropped; what the medium has is what the next reader sees.
                content.dirty.clear();
                content.cached = content.durable.clone();
                return Err(io::Error::other("the medium refused a flush"));
            }
            content.flush();
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.change(|medium| {
            let content = content_of(medium, self.file)?;
            content.cached.resize(length as usize, 0);
            content.dirty.push(Dirty::Length(length as usize));
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.with(|medium| Ok(content_of(medium, self.file)?.cached.len() as u64))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.with(|medium| {
            match (medium.names.get(path).copied(), mode) {
                (Some(file), OpenMode::Read | OpenMode::ReadWrite) => return Ok(file),
                (None, OpenMode::Read) => return Err(io::ErrorKind::NotFound.into()),
                (Some(file), OpenMode::Truncate) => {
                    let content = content_of(medium, file)?;
                    content.cached.clear();
                    content.dirty.push(Dirty::Length(0));
                    return Ok(file);
                }
                (None, _) => {}
            }
            if !path.parent().is_some_and(|folder| medium.folders.contains(folder)) {
                return Err(io::ErrorKind::NotFound.into());
            }
            medium.next_file += 1;
            let file = medium.next_file;
            medium.files.insert(file, Content::default());
            medium.rename_now(NameChange::Set(path.to_owned(), file));
            Ok(file)
        })?;
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.with(|medium| {
            for folder in path.ancestors() {
                medium.folders.insert(folder.to_owned());
            }
            Ok(())
        })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.with(|medium| {
            if !medium.folders.contains(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let is_child = |child: &Path| child.parent() == Some(path);
            let files = medium.names.keys().filter(|file| is_child(file));
            let folders = medium.folders.iter().filter(|folder| is_child(folder));
            let mut entries: Vec<Entry> = files
                .map(|path| Entry { path: path.clone(), is_dir: false })
                .chain(folders.map(|path| Entry { path: path.clone(), is_dir: true }))
                .collect();
            entries.sort_by(|left, right| left.path.cmp(&right.path));
            Ok(entries)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|medium| {
            let folders: Vec<PathBuf> =
                medium.folders.iter().filter(|folder| folder.starts_with(from)).cloned().collect();
            if folders.is_empty() && !medium.names.contains_key(from) {
                return Err(io::ErrorKind::NotFound.into());
            }
            for folder in folders {
                medium.folders.remove(&folder);
                let rest = folder.strip_prefix(from).expect("it was filtered by that");
                let folder = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
                medium.folders.insert(folder);
            }
            medium.rename_now(NameChange::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(|medium| {
            if !medium.names.contains_key(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            medium.rename_now(NameChange::Remove(path.to_owned()));
            Ok(())
        })
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.change(|medium| {
            if !medium.folders.contains(path) {
                return Err(io::ErrorKind::NotFound.into());
            }
            medium.folders.retain(|folder| !folder.starts_with(path));
            medium.rename_now(NameChange::RemoveAll(path.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.change(|medium| {
            let pending = std::mem::take(&mut medium.pending_names);
            let last = pending.iter().rposition(|change| change.folder() == Some(path));
            // A journal keeps its order: what came before goes with it.
            for (index, change) in pending.into_iter().enumerate() {
                match last.is_some_and(|last| index <= last) {
                    true => change.apply(&mut medium.durable_names),
                    false => medium.pending_names.push(change),
                }
            }
            Ok(())
        })
    }

    fn exists(&self, path: &Path) -> bool {
        let medium = self.medium.lock();
        medium.names.contains_key(path) || medium.folders.contains(path)
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        self.with(|medium| {
            medium.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(0)
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.with(|medium| match medium.locked.insert(path.to_owned()) {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        })?;
        Ok(Box::new(Lock { disk: self.clone(), path: path.to_owned() }))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        Ok(Space { total: 1 << 40, usable: 1 << 39 })
    }
}

/// A lock on a file; it goes with whoever holds it.
struct Lock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The lock of an earlier run is gone already, and may be another's by now.
        let _ended = self.disk.with(|medium| {
            medium.locked.remove(&self.path);
            Ok(())
        });
    }
}
