//! One non-blocking connection that carries frames: what is to be sent is collected and goes out in large writes, what arrives is read in
//! large reads and handed over frame by frame, without copying it.
use anyhow::{Context as _, Result, ensure};
use rustix::event::epoll;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const INPUT_BYTES: usize = 256 << 10;
const LENGTH_BYTES: usize = 4;

/// Which connections of a set are ready.
pub(super) struct Readiness {
    epoll: rustix::fd::OwnedFd,
    events: Vec<epoll::Event>,
}

/// How many connections one wait tells of.
const EVENTS_MAX: usize = 256;

impl Readiness {
    pub(super) fn new() -> Result<Readiness> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
        Ok(Readiness { epoll, events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Tells of a connection from now on.
    pub(super) fn add(&self, number: usize, link: &Link) -> Result<()> {
        let data = epoll::EventData::new_u64(number as u64);
        Ok(epoll::add(&self.epoll, &link.stream, data, epoll::EventFlags::IN)?)
    }

    /// Whether to tell that a connection takes more bytes.
    fn writable(&self, number: usize, link: &Link, wanted: bool) -> Result<()> {
        let data = epoll::EventData::new_u64(number as u64);
        let flags =
            if wanted { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN };
        Ok(epoll::modify(&self.epoll, &link.stream, data, flags)?)
    }

    /// Waits until connections are ready, or for `timeout_us`; their numbers.
    pub(super) fn wait(&mut self, timeout_us: u64) -> Result<impl Iterator<Item = usize>> {
        let timeout = rustix::time::Timespec {
            tv_sec: (timeout_us / 1_000_000) as i64,
            tv_nsec: (timeout_us % 1_000_000 * 1_000) as i64,
        };
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        Ok(self.events.drain(..).map(|event| event.data.u64() as usize))
    }
}

/// One connection.
pub(super) struct Link {
    stream: TcpStream,
    input: Box<[u8]>,
    filled: usize,
    output: Vec<u8>,
    sent: usize,
    blocked: bool,
}

impl Link {
    /// A connection whose answers come in floods.
    pub(super) fn new(stream: TcpStream) -> Result<Link> {
        Link::with_room(stream, INPUT_BYTES)
    }

    /// A connection whose answers have at most `room` bytes.
    pub(super) fn with_room(stream: TcpStream, room: usize) -> Result<Link> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let input = vec![0; room].into_boxed_slice();
        Ok(Link { stream, input, filled: 0, output: Vec::new(), sent: 0, blocked: false })
    }

    /// Ends the connection without the farewell after which its port couldn't be used for a while.
    pub(super) fn cut(self) -> Result<()> {
        Ok(rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }

    /// Where frames to be sent are appended.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends what was appended, as far as the connection takes it now.
    pub(super) fn flush(&mut self, number: usize, readiness: &Readiness) -> Result<()> {
        while self.sent < self.output.len() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("sending"),
            }
        }
        let blocked = self.sent < self.output.len();
        if blocked != self.blocked {
            self.blocked = blocked;
            readiness.writable(number, self, blocked)?;
        }
        if !blocked {
            self.output.clear();
            self.sent = 0;
        }
        Ok(())
    }

    /// Reads once and hands over every frame that is whole, without its length.
    pub(super) fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => anyhow::bail!("the server closed a connection"),
            Ok(read) => self.filled += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("receiving"),
        }
        let mut at = 0;
        while let Some(length) = self.input[at..self.filled].first_chunk::<LENGTH_BYTES>() {
            let length = usize::try_from(i32::from_be_bytes(*length)).context("a length")?;
            ensure!(LENGTH_BYTES + length <= self.input.len(), "an answer of {length} bytes");
            let begin = at + LENGTH_BYTES;
            let Some(frame) = self.input[..self.filled].get(begin..begin + length) else { break };
            each(frame)?;
            at = begin + length;
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}
