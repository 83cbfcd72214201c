//! A response on its way to a socket: pieces in memory by vectored writes, pieces in files by sendfile, in their order.
//!
//! Invariants: what is gone is no longer held, neither memory nor files; only memory is counted in the budget; nothing of a file is sent
//! that was cut meanwhile, for what lies there then may be something else.
use crate::budget::{Budget, ResponseShare};
use bytes::Buf;
use kafka_wire::{FileRange, Piece};
#[cfg(target_os = "linux")]
use rustix::net::{SendAncillaryBuffer, SendFlags};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How many pieces one system call takes.
pub(crate) const WRITE_SLICES: usize = 64;
/// Whether this machine sends from files.
pub(crate) const SENDS_FILES: bool = cfg!(target_os = "linux");

/// Why a response cannot be sent on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("the log was cut where {left} bytes of a response were still to be sent from")]
    Cut { left: usize },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What is left of a response.
pub(crate) struct Outgoing<'a> {
    share: ResponseShare<'a>,
    pieces: Vec<Piece>,
    /// The first piece that is not gone.
    next: usize,
}

impl<'a> Outgoing<'a> {
    /// A response of these pieces.
    pub(crate) fn new(budget: &'a Budget, pieces: Vec<Piece>) -> Outgoing<'a> {
        let share = budget.response(pieces.iter().map(Piece::memory).sum());
        Outgoing { share, pieces, next: 0 }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.next >= self.pieces.len()
    }

    /// Sends what the socket takes at once of the next pieces; `WouldBlock` if that is nothing.
    pub(crate) fn send_to(&mut self, stream: &TcpStream) -> Result<(), SendError> {
        match self.pieces.get_mut(self.next) {
            None => return Ok(()),
            Some(Piece::Memory(_)) => {
                let sent = self.send_memory(stream)?;
                self.advance(sent);
            }
            Some(Piece::File(range)) => {
                send_range(stream, range)?;
                if range.len == 0 {
                    self.drop_first();
                }
            }
        }
        Ok(())
    }

    /// Sends from the pieces of memory up to the next one of a file; how many bytes that was.
    fn send_memory(&self, stream: &TcpStream) -> io::Result<usize> {
        let pending = self.pieces.get(self.next..).unwrap_or_default();
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pending) {
            let Piece::Memory(bytes) = piece else { break };
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        let slices = slices.get(..count).unwrap_or_default();
        let sent = match pending.get(count) {
            None => stream.try_write_vectored(slices)?,
            // What follows shares the last packet.
            Some(_) => stream.try_io(Interest::WRITABLE, || send_with_more(stream, slices))?,
        };
        if sent == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(sent) }
    }

    /// Notes that so many bytes of memory are gone.
    fn advance(&mut self, sent: usize) {
        self.share.sent(sent);
        let mut left = sent;
        while let Some(Piece::Memory(bytes)) = self.pieces.get_mut(self.next) {
            if left < bytes.len() {
                bytes.advance(left);
                return;
            }
            left -= bytes.len();
            self.drop_first();
        }
    }

    /// Lets go of the piece that is gone.
    fn drop_first(&mut self) {
        if let Some(piece) = self.pieces.get_mut(self.next) {
            *piece = Piece::Memory(bytes::Bytes::new());
        }
        self.next += 1;
    }
}

/// Sends what the socket takes at once, and takes it off the range.
fn send_range(stream: &TcpStream, range: &mut FileRange) -> Result<(), SendError> {
    if !range.file.is_intact() {
        return Err(SendError::Cut { left: range.len });
    }
    let mut position = range.position;
    let sent = stream
        .try_io(Interest::WRITABLE, || send_file(stream, range.file.as_fd(), &mut position, range.len))?;
    if sent == 0 {
        return Err(SendError::Cut { left: range.len });
    }
    range.position = position;
    range.len = range.len.saturating_sub(sent);
    Ok(())
}

#[cfg(target_os = "linux")]
fn send_with_more(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::MORE | SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), flags)?)
}

#[cfg(target_os = "linux")]
fn send_file(
    stream: &TcpStream,
    file: BorrowedFd<'_>,
    position: &mut u64,
    count: usize,
) -> io::Result<usize> {
    Ok(rustix::fs::sendfile(stream, file, Some(position), count)?)
}

#[cfg(not(target_os = "linux"))]
fn send_with_more(_: &TcpStream, _: &[IoSlice<'_>]) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn send_file(_: &TcpStream, _: BorrowedFd<'_>, _: &mut u64, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_wire::BatchFile;
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    struct Stored {
        file: File,
        is_intact: AtomicBool,
    }

    impl AsFd for Stored {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.file.as_fd()
        }
    }

    impl BatchFile for Stored {
        fn is_intact(&self) -> bool {
            self.is_intact.load(Ordering::Relaxed)
        }
    }

    fn pattern(len: usize, salt: usize) -> Vec<u8> {
        (0..len).map(|index| (index * 7 + index / 251 + salt) as u8).collect()
    }

    fn stored(bytes: &[u8]) -> Arc<Stored> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        Arc::new(Stored { file, is_intact: AtomicBool::new(true) })
    }

    fn range(file: &Arc<Stored>, position: u64, len: usize) -> Piece {
        Piece::File(FileRange { file: file.clone(), position, len })
    }

    /// Both ends of a connection; the sender's buffer is small.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (reader, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let sender = accepted.expect("a connection").0;
        rustix::net::sockopt::set_socket_send_buffer_size(&sender, 20_000).expect("a socket");
        (sender, reader.expect("a connection"))
    }

    /// Sends until it ends; how often the socket was full.
    async fn send_all(outgoing: &mut Outgoing<'_>, stream: &TcpStream) -> Result<usize, SendError> {
        let mut full = 0;
        while !outgoing.is_done() {
            match outgoing.send_to(stream) {
                Ok(()) => {}
                Err(SendError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    full += 1;
                    stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(full)
    }

    #[tokio::test]
    async fn memory_and_ranges_of_several_files_arrive_in_order_at_a_slow_reader() {
        let (first, second) = (pattern(3_000_000, 1), pattern(900_000, 2));
        let (a, b) = (stored(&first), stored(&second));
        let memory = |salt| Piece::Memory(pattern(5000, salt).into());
        let pieces = vec![
            memory(3),
            memory(4),
            range(&a, 17, 2_900_000),
            memory(5),
            range(&b, 0, 900_000),
            range(&a, 2_000_000, 1_000_000),
            memory(6),
        ];
        let expected = [
            &pattern(5000, 3)[..],
            &pattern(5000, 4),
            &first[17..2_900_017],
            &pattern(5000, 5),
            &second,
            &first[2_000_000..],
            &pattern(5000, 6),
        ]
        .concat();
        let budget = Budget::new(-1, 1 << 20);
        let room = budget.fetch_bytes();
        let mut outgoing = Outgoing::new(&budget, pieces);
        assert_eq!(
            room - budget.fetch_bytes(),
            20_000 / 4,
            "only memory is counted, of which fetches get a quarter"
        );
        let (sender, mut reader) = connection().await;
        let reading = async {
            let mut got = Vec::new();
            let mut room = vec![0; 30_000];
            while got.len() < expected.len() {
                let count = reader.read(&mut room).await.expect("read");
                assert_ne!(count, 0, "the connection ended after {} bytes", got.len());
                got.extend_from_slice(&room[..count]);
                tokio::task::yield_now().await;
            }
            got
        };
        let (sent, got) = tokio::join!(send_all(&mut outgoing, &sender), reading);
        assert!(sent.expect("all is sent") > 10, "the socket takes it in parts");
        assert!(got == expected);
        assert_eq!((Arc::strong_count(&a), Arc::strong_count(&b)), (1, 1), "what is gone is let go");
        assert_eq!(budget.fetch_bytes(), room);
    }

    #[tokio::test]
    async fn a_range_that_is_cut_under_way_ends_the_response() {
        let bytes = pattern(4_000_000, 9);
        let (shortened, replaced) = (stored(&bytes), stored(&bytes));
        for file in [&shortened, &replaced] {
            let budget = Budget::new(-1, 1 << 20);
            let mut outgoing = Outgoing::new(&budget, vec![range(file, 0, bytes.len())]);
            let (sender, mut reader) = connection().await;
            outgoing.send_to(&sender).expect("a part");
            if Arc::ptr_eq(file, &shortened) {
                shortened.file.set_len(2_000_000).expect("cut");
            } else {
                replaced.is_intact.store(false, Ordering::Relaxed);
            }
            let reading = async {
                let mut got = Vec::new();
                reader.read_to_end(&mut got).await.expect("read");
                got
            };
            let sending = async {
                let outcome = send_all(&mut outgoing, &sender).await;
                drop(sender);
                outcome
            };
            let (outcome, got) = tokio::join!(sending, reading);
            assert!(matches!(outcome, Err(SendError::Cut { left }) if left >= 2_000_000), "{outcome:?}");
            assert!(got.len() <= 2_000_000 && bytes.starts_with(&got), "nothing else was sent");
        }
    }
}
