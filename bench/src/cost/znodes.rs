//! Writes znodes over one connection, as many on their way at a time as asked for.
use anyhow::{Context, Result, bail, ensure};
use base::SystemClock;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};

const CREATE: i32 = 1;
const GET_CHILDREN: i32 = 8;
/// Answers come in order, so every request may have the same xid.
const XID: i32 = 1;
const DATA_BYTES: usize = 100;
/// How many children a parent gets.
const CHILDREN: usize = 1_000;
const SESSION_TIMEOUT_MS: i32 = 40_000;
/// What is collected before it is sent.
const SEND_BYTES: usize = 64 << 10;
/// Length, xid, zxid and error: no answer is shorter.
const ANSWER_BYTES_MIN: usize = 20;

/// Creates `count` znodes of 100 bytes below parents of their own, at most `window` unanswered. Returns the microseconds of the
/// creates without those of the parents.
pub(crate) fn fill(clock: &SystemClock, address: SocketAddr, count: usize, window: usize) -> Result<u64> {
    let mut session = Session::open(address)?;
    let parents = count.div_ceil(CHILDREN);
    let names = std::iter::once("/bench".to_owned()).chain((0..parents).map(parent));
    session.create_all(names, b"", window)?;
    let begun = crate::now_us(clock);
    let paths = (0..count).map(|number| format!("{}/n{:03}", parent(number / CHILDREN), number % CHILDREN));
    session.create_all(paths, &[b'x'; DATA_BYTES], window)?;
    Ok(crate::now_us(clock) - begun)
}

/// Makes sure that everything that [`fill`] created is there.
pub(crate) fn check(address: SocketAddr, count: usize) -> Result<()> {
    let mut session = Session::open(address)?;
    let parents = count.div_ceil(CHILDREN);
    let mut found = 0;
    for number in 0..parents {
        found += session.child_count(&parent(number))?;
    }
    ensure!(found == count, "{found} of {count} znodes are there");
    Ok(())
}

fn parent(number: usize) -> String {
    format!("/bench/p{number:04}")
}

struct Session {
    stream: TcpStream,
}

impl Session {
    fn open(address: SocketAddr) -> Result<Session> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        request.extend(0_i32.to_be_bytes());
        request.extend(0_i64.to_be_bytes());
        request.extend(SESSION_TIMEOUT_MS.to_be_bytes());
        request.extend(0_i64.to_be_bytes());
        request.extend(buffer(&[0; 16]));
        request.push(0);
        stream.write_all(&framed(&request))?;
        read_frame(&mut stream).context("the answer to a new session")?;
        Ok(Session { stream })
    }

    /// Keeps `window` creates on their way: whatever is answered is followed by as many new ones.
    fn create_all(&mut self, paths: impl Iterator<Item = String>, data: &[u8], window: usize) -> Result<()> {
        let mut reader = BufReader::new(&self.stream);
        let mut writer = BufWriter::with_capacity(SEND_BYTES, &self.stream);
        let mut paths = paths.peekable();
        let mut unanswered = 0;
        while unanswered > 0 || paths.peek().is_some() {
            for path in paths.by_ref().take(window - unanswered) {
                writer.write_all(&framed(&create(&path, data)))?;
                unanswered += 1;
            }
            writer.flush()?;
            read_answer(&mut reader)?;
            unanswered -= 1;
            while reader.buffer().len() >= ANSWER_BYTES_MIN && unanswered > 0 {
                read_answer(&mut reader)?;
                unanswered -= 1;
            }
        }
        Ok(())
    }

    fn child_count(&mut self, path: &str) -> Result<usize> {
        let mut request = XID.to_be_bytes().to_vec();
        request.extend(GET_CHILDREN.to_be_bytes());
        request.extend(buffer(path.as_bytes()));
        request.push(0);
        self.stream.write_all(&framed(&request))?;
        let answer = read_frame(&mut self.stream)?;
        ensure!(answer.get(12..16) == Some(&[0; 4][..]), "the children of {path} cannot be had");
        let count = answer.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes);
        usize::try_from(count.context("a count")?).context("a count")
    }
}

fn read_answer(stream: &mut impl Read) -> Result<()> {
    let answer = read_frame(stream)?;
    match answer.get(12..16) {
        Some(&[0, 0, 0, 0]) => Ok(()),
        error => bail!("a create was refused: {error:?}"),
    }
}

fn create(path: &str, data: &[u8]) -> Vec<u8> {
    let mut request = XID.to_be_bytes().to_vec();
    request.extend(CREATE.to_be_bytes());
    request.extend(buffer(path.as_bytes()));
    request.extend(buffer(data));
    request.extend(1_i32.to_be_bytes());
    request.extend(31_i32.to_be_bytes());
    request.extend(buffer(b"world"));
    request.extend(buffer(b"anyone"));
    request.extend(0_i32.to_be_bytes());
    request
}

fn buffer(bytes: &[u8]) -> Vec<u8> {
    let mut buffer = (bytes.len() as i32).to_be_bytes().to_vec();
    buffer.extend(bytes);
    buffer
}

fn framed(body: &[u8]) -> Vec<u8> {
    buffer(body)
}

fn read_frame(stream: &mut impl Read) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).context("a length")?];
    stream.read_exact(&mut body)?;
    Ok(body)
}
