//! A non-blocking connection for load: frames go out of memory that stays where it is, answers are read where they arrived.
use anyhow::{Context, Result, bail, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

/// How much is read at once at least, if it is there.
const READ_BYTES: usize = 256 << 10;
const PREFIX_BYTES: usize = 4;
/// More than a fetch may bring, which is 50 MiB by default and one batch more.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// One connection.
pub(super) struct Link {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// What of the inbox has arrived and was not handed out.
    filled: Range<usize>,
    /// Whether the last write found the socket full.
    pub(super) full: bool,
}

impl Link {
    pub(super) fn open(address: SocketAddr) -> Result<Link> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Link { stream, inbox: vec![0; READ_BYTES], filled: 0..0, full: false })
    }

    /// Writes what the socket takes of `bytes`, and how much that was.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.stream.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.full = written < bytes.len();
        Ok(written)
    }

    /// Reads once what has arrived.
    pub(super) fn fill(&mut self) -> Result<()> {
        self.make_room()?;
        match self.stream.read(&mut self.inbox[self.filled.end..]) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => self.filled.end += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Room behind what has arrived for the rest of the answer that has begun, or for a piece of a next one.
    fn make_room(&mut self) -> Result<()> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        let whole = self.announced()?.unwrap_or(PREFIX_BYTES).max(READ_BYTES);
        if self.inbox.len() - self.filled.start < whole {
            self.inbox.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
            if self.inbox.len() < whole {
                self.inbox.resize(whole + READ_BYTES, 0);
            }
        }
        Ok(())
    }

    /// The size of the next answer with its prefix, once that has arrived.
    fn announced(&self) -> Result<Option<usize>> {
        let Some(prefix) = self.inbox[self.filled.clone()].first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let size = usize::try_from(i32::from_be_bytes(*prefix)).context("the size of an answer")?;
        ensure!(size <= ANSWER_BYTES_MAX, "an answer of {size} bytes");
        Ok(Some(PREFIX_BYTES + size))
    }

    /// Where the next whole answer lies, without its size.
    pub(super) fn next_answer(&mut self) -> Result<Option<Range<usize>>> {
        let Some(whole) = self.announced()?.filter(|whole| *whole <= self.filled.len()) else {
            return Ok(None);
        };
        let answer = self.filled.start + PREFIX_BYTES..self.filled.start + whole;
        self.filled.start = answer.end;
        Ok(Some(answer))
    }

    /// The bytes of an answer, which stay until the next [`Link::fill`].
    pub(super) fn answer(&self, at: Range<usize>) -> &[u8] {
        &self.inbox[at]
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
