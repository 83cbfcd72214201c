//! Walks the batches of a segment file in order: headers alone, or whole batches.
//!
//! Nothing is allocated beyond what the file still holds, whatever a length field claims.
use crate::batch::Batch;
use crate::header::{BatchHeader, HEADER_SIZE};
use base::File;
use bytes::Bytes;
use std::io;

/// Bytes that one read asks for when headers are looked for.
const HEADER_WINDOW: usize = 8 * 1024;
/// Bytes that one read asks for when whole batches are.
const BATCH_WINDOW: usize = 256 * 1024;

/// A batch header with its place in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Located {
    pub(crate) position: u64,
    pub(crate) header: BatchHeader,
}

impl Located {
    /// Where the next batch starts.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.size() as u64
    }
}

/// What a step of a scan found.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// A whole one.
    Found(T),
    /// The end, exactly.
    End,
    /// Bytes that are no whole batch.
    Broken(String),
}

/// The file became shorter during the scan: a truncation.
fn shortened<T>() -> Step<T> {
    Step::Broken("the file was shortened while it was read".to_owned())
}

/// Reads headers only, skipping bodies.
pub(crate) struct HeaderScan<'a> {
    file: &'a dyn File,
    position: u64,
    end: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl<'a> HeaderScan<'a> {
    /// Scans from `position` up to `end`.
    pub(crate) fn new(file: &'a dyn File, position: u64, end: u64) -> HeaderScan<'a> {
        HeaderScan { file, position, end, window: Vec::new(), window_start: position }
    }

    /// The next header.
    pub(crate) fn step(&mut self) -> io::Result<Step<Located>> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return Ok(Step::End);
        }
        if left < HEADER_SIZE as u64 {
            return Ok(Step::Broken(format!("{left} bytes are left, less than a header")));
        }
        let at = self.position.wrapping_sub(self.window_start) as usize;
        if self.window.len() < HEADER_SIZE || at > self.window.len() - HEADER_SIZE {
            self.window.resize(left.min(HEADER_WINDOW as u64) as usize, 0);
            match self.file.read_exact_at(&mut self.window, self.position) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(shortened()),
                result => result?,
            }
            self.window_start = self.position;
        }
        let at = (self.position - self.window_start) as usize;
        let header = match BatchHeader::parse(&self.window[at..]) {
            Ok(header) => header,
            Err(fault) => return Ok(Step::Broken(fault.to_string())),
        };
        let found = Located { position: self.position, header };
        if found.end() > self.end {
            return Ok(Step::Broken(format!("a batch of {} bytes is cut off after {left}", header.size())));
        }
        self.position = found.end();
        Ok(Step::Found(found))
    }
}

/// Reads whole batches.
pub(crate) struct BatchScan<'a> {
    file: &'a dyn File,
    position: u64,
    end: u64,
    buffer: Bytes,
}

impl<'a> BatchScan<'a> {
    /// Scans from `position` up to `end`.
    pub(crate) fn new(file: &'a dyn File, position: u64, end: u64) -> BatchScan<'a> {
        BatchScan { file, position, end, buffer: Bytes::new() }
    }

    /// Makes at least `count` bytes available, which the file should still have. False if the file was shortened meanwhile.
    fn fill(&mut self, count: usize) -> io::Result<bool> {
        if self.buffer.len() >= count {
            return Ok(true);
        }
        let left = self.end - self.position;
        let mut fresh = vec![0; left.min(count.max(BATCH_WINDOW) as u64) as usize];
        match self.file.read_exact_at(&mut fresh, self.position) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            result => result?,
        }
        self.buffer = Bytes::from(fresh);
        Ok(true)
    }

    /// The next batch with its position. Its CRC was not checked.
    pub(crate) fn step(&mut self) -> io::Result<Step<(u64, Batch)>> {
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return Ok(Step::End);
        }
        if left < HEADER_SIZE as u64 {
            return Ok(Step::Broken(format!("{left} bytes are left, less than a header")));
        }
        if !self.fill(HEADER_SIZE)? {
            return Ok(shortened());
        }
        let size = match BatchHeader::parse(&self.buffer) {
            Ok(header) => header.size(),
            Err(fault) => return Ok(Step::Broken(fault.to_string())),
        };
        if size as u64 > left {
            return Ok(Step::Broken(format!("a batch of {size} bytes is cut off after {left}")));
        }
        if !self.fill(size)? {
            return Ok(shortened());
        }
        let batch = match Batch::parse_one(&self.buffer) {
            Ok(batch) => batch,
            Err(fault) => return Ok(Step::Broken(fault.to_string())),
        };
        let position = self.position;
        self.position += size as u64;
        self.buffer = self.buffer.slice(size..);
        Ok(Step::Found((position, batch)))
    }
}
