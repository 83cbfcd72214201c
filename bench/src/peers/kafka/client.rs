//! A blocking connection that asks one request at a time, in the newest version that both sides have.
//!
//! It is for everything but the load itself: topics, groups, producer ids, and who leads what.
use anyhow::{Context, Result, ensure};
use kafka_wire::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_wire::{ApiKey, Bytes, Decoder, ErrorCode, Message, RequestHeader, Versions, encode_request};
use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one answer may take. A server that is silent for longer has failed the run.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of ApiVersions: every server answers this one.
const API_VERSIONS: i16 = 3;
const CLIENT_ID: &str = "bench";
/// The largest answer to anything but a fetch.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A connection and what the server said that it speaks.
pub(super) struct Client {
    reader: BufReader<TcpStream>,
    theirs: HashMap<i16, Versions>,
    asked: i32,
}

impl Client {
    /// Connects and asks for the versions.
    pub(super) fn open(address: SocketAddr) -> Result<Client> {
        Client::open_within(address, PATIENCE)
    }

    /// Connects for answers that may take `patience` each.
    pub(super) fn open_within(address: SocketAddr, patience: Duration) -> Result<Client> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        let mut client = Client { reader: BufReader::new(stream), theirs: HashMap::new(), asked: 0 };
        let request = ApiVersionsRequest {
            client_software_name: CLIENT_ID.into(),
            client_software_version: "1".into(),
        };
        client.send_as(ApiKey::ApiVersions, API_VERSIONS, &request)?;
        let response: ApiVersionsResponse = client.receive_as(ApiKey::ApiVersions, API_VERSIONS)?;
        ensure!(response.error_code == ErrorCode::NONE, "ApiVersions: {:?}", response.error_code);
        let ranges = response.api_keys.iter();
        client.theirs = ranges
            .map(|range| (range.api_key, Versions::new(range.min_version, range.max_version)))
            .collect();
        Ok(client)
    }

    /// The newest version of a request that both sides have.
    pub(super) fn version<Q: Message>(&self, api: ApiKey) -> Result<i16> {
        let theirs = self.theirs.get(&api.key()).with_context(|| format!("the server has no {api:?}"))?;
        let version = theirs.max.min(Q::VERSIONS.max);
        ensure!(
            theirs.contains(version) && Q::VERSIONS.contains(version),
            "{api:?}: the server has {theirs}, the bench {}",
            Q::VERSIONS
        );
        Ok(version)
    }

    /// Sends a request without waiting for its answer.
    pub(super) fn send<Q: Message>(&mut self, api: ApiKey, request: &Q) -> Result<()> {
        let version = self.version::<Q>(api)?;
        self.send_as(api, version, request)
    }

    /// Waits for the answer to the oldest request without one, whose type was `Q`.
    pub(super) fn receive<Q: Message, A: Message>(&mut self, api: ApiKey) -> Result<A> {
        let version = self.version::<Q>(api)?;
        self.receive_as(api, version)
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask<Q: Message, A: Message>(&mut self, api: ApiKey, request: &Q) -> Result<A> {
        self.send(api, request)?;
        self.receive::<Q, A>(api)
    }

    fn send_as<Q: Message>(&mut self, api: ApiKey, version: i16, request: &Q) -> Result<()> {
        self.asked = self.asked.wrapping_add(1);
        let frame = frame(api, version, self.asked, request)?;
        Ok(self.reader.get_mut().write_all(&frame)?)
    }

    fn receive_as<A: Message>(&mut self, api: ApiKey, version: i16) -> Result<A> {
        let mut length = [0; 4];
        self.reader.read_exact(&mut length).with_context(|| format!("waiting for the answer to {api:?}"))?;
        let length = usize::try_from(i32::from_be_bytes(length)).context("the size of an answer")?;
        ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
        let mut answer = vec![0; length];
        self.reader.read_exact(&mut answer)?;
        let mut answer = Bytes::from(answer);
        let mut header = answer.split_to(4 + usize::from(api.response_header_version(version) >= 1));
        let answered = header.split_to(4);
        ensure!(answered[..] == self.asked.to_be_bytes(), "the answer to another request");
        ensure!(header.iter().all(|tags| *tags == 0), "the header of an answer has tagged fields");
        let mut decoder = Decoder::new(answer);
        let response = A::decode(&mut decoder, version)?;
        decoder.finish()?;
        Ok(response)
    }
}

/// A request's frame in one piece of memory.
pub(super) fn frame<Q: Message>(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    request: &Q,
) -> Result<Vec<u8>> {
    let header = RequestHeader { api, version, correlation_id, client_id: Some(CLIENT_ID.into()) };
    Ok(encode_request(&header, request)?.concat())
}
