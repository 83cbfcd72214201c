//! The least of both protocols, on plain sockets: enough to see that a node serves and remembers.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit for reading");
    stream
}

/// The answer to a four-letter word.
pub(crate) fn four_letter_word(address: SocketAddr, word: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(word.as_bytes()).expect("the word is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in text");
    answer
}

/// The error code of an ApiVersions request in version 0, and how many APIs the answer lists.
pub(crate) fn api_versions(address: SocketAddr) -> (i16, i32) {
    const API_VERSIONS: i16 = 18;
    let mut body = Vec::new();
    body.extend(API_VERSIONS.to_be_bytes());
    body.extend(0_i16.to_be_bytes());
    body.extend(7_i32.to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    let mut stream = connect(address);
    send_frame(&mut stream, &body);
    let answer = read_frame(&mut stream);
    assert_eq!(answer[..4], 7_i32.to_be_bytes(), "the answer is to this request");
    let error = i16::from_be_bytes([answer[4], answer[5]]);
    (error, i32::from_be_bytes([answer[6], answer[7], answer[8], answer[9]]))
}

fn send_frame(stream: &mut TcpStream, body: &[u8]) {
    let mut frame = i32::try_from(body.len()).expect("a small frame").to_be_bytes().to_vec();
    frame.extend(body);
    stream.write_all(&frame).expect("the frame is sent");
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("a length");
    let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
    stream.read_exact(&mut body).expect("a frame");
    body
}

/// A ZooKeeper session.
pub(crate) struct Session {
    stream: TcpStream,
    next: i32,
}

impl Session {
    /// Opens a session.
    pub(crate) fn open(address: SocketAddr) -> Session {
        Session::try_open(address).expect("the node opens a session")
    }

    /// Opens a session; `None` if the node is gone or serves nobody.
    pub(crate) fn try_open(address: SocketAddr) -> Option<Session> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit for reading");
        let mut request = Vec::new();
        request.extend(0_i32.to_be_bytes());
        request.extend(0_i64.to_be_bytes());
        request.extend(30_000_i32.to_be_bytes());
        request.extend(0_i64.to_be_bytes());
        request.extend(16_i32.to_be_bytes());
        request.extend([0; 16]);
        request.push(0);
        send_frame(&mut stream, &request);
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut response = vec![0; usize::try_from(i32::from_be_bytes(length)).ok()?];
        stream.read_exact(&mut response).ok()?;
        assert!(response[4..8] != [0; 4], "the session has a timeout");
        Some(Session { stream, next: 0 })
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, operation: i32, body: &[u8]) {
        self.next += 1;
        let mut request = self.next.to_be_bytes().to_vec();
        request.extend(operation.to_be_bytes());
        request.extend(body);
        send_frame(&mut self.stream, &request);
    }

    /// The error code and the body of the answer to the oldest request without one.
    fn receive(&mut self) -> (i32, Vec<u8>) {
        let answer = read_frame(&mut self.stream);
        let error = i32::from_be_bytes([answer[12], answer[13], answer[14], answer[15]]);
        (error, answer[16..].to_vec())
    }

    /// Creates a persistent znode that anyone may use; its error code.
    pub(crate) fn create(&mut self, path: &str, data: &[u8]) -> i32 {
        self.send_create(path, data);
        self.receive().0
    }

    /// The error code of the next answer; `None` if the node is gone.
    pub(crate) fn try_receive(&mut self) -> Option<i32> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).ok()?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).ok()?];
        self.stream.read_exact(&mut answer).ok()?;
        Some(i32::from_be_bytes([answer[12], answer[13], answer[14], answer[15]]))
    }

    /// Asks for a persistent znode that anyone may use, without reading the answer.
    pub(crate) fn send_create(&mut self, path: &str, data: &[u8]) {
        const CREATE: i32 = 1;
        let mut body = buffer(path.as_bytes());
        body.extend(buffer(data));
        body.extend(1_i32.to_be_bytes());
        body.extend(31_i32.to_be_bytes());
        body.extend(buffer(b"world"));
        body.extend(buffer(b"anyone"));
        body.extend(0_i32.to_be_bytes());
        self.send(CREATE, &body);
    }

    /// The data of a znode, if there is one.
    pub(crate) fn get(&mut self, path: &str) -> Option<Vec<u8>> {
        self.send_get(path);
        let (error, body) = self.receive();
        let length =
            |bytes: &[u8]| usize::try_from(i32::from_be_bytes(bytes.try_into().expect("four bytes")));
        (error == 0).then(|| body[4..4 + length(&body[..4]).expect("a length")].to_vec())
    }

    /// Waits until everything that was written anywhere before is seen here.
    pub(crate) fn sync(&mut self) {
        const SYNC: i32 = 9;
        self.send(SYNC, &buffer(b"/"));
        assert_eq!(self.receive().0, 0, "the node is up to date with the leader");
    }

    /// Asks for the data of a znode without reading the answer.
    pub(crate) fn send_get(&mut self, path: &str) {
        const GET_DATA: i32 = 4;
        let mut body = buffer(path.as_bytes());
        body.push(0);
        self.send(GET_DATA, &body);
    }
}

fn buffer(bytes: &[u8]) -> Vec<u8> {
    let mut buffer = i32::try_from(bytes.len()).expect("a small buffer").to_be_bytes().to_vec();
    buffer.extend(bytes);
    buffer
}
