//! A blocking connection to a Kafka door: one request, one answer, in their order.
use anyhow::{Context, Result, ensure};
use kafka_wire::{ApiKey, Bytes, Message, RequestHeader, encode_request};
use std::io::{BufReader, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection; answers are read whole.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Connection { reader: BufReader::with_capacity(64 << 10, stream) })
    }

    pub(crate) fn send(&mut self, frame: &[Bytes]) -> Result<()> {
        let mut slices: Vec<IoSlice<'_>> = frame.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let written = self.reader.get_mut().write_vectored(rest)?;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    pub(crate) fn receive<M: Message>(&mut self, api: ApiKey, version: i16) -> Result<M> {
        let mut length = [0; 4];
        self.reader.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).context("a length")?];
        self.reader.read_exact(&mut frame)?;
        ensure!(
            api.response_header_version(version) == 0,
            "{api:?} {version} has a header with tagged fields"
        );
        let mut decoder = kafka_wire::Decoder::new(Bytes::from(frame).slice(4..));
        Ok(M::decode(&mut decoder, version)?)
    }

    pub(crate) fn ask<Q: Message, A: Message>(
        &mut self,
        api: ApiKey,
        version: i16,
        request: &Q,
    ) -> Result<A> {
        self.send(&encode_request(&header(api, version), request)?)?;
        self.receive(api, version)
    }
}

/// The header of every request; answers come in order, so that one correlation id does.
pub(crate) fn header(api: ApiKey, version: i16) -> RequestHeader {
    RequestHeader { api, version, correlation_id: 1, client_id: Some("bench".into()) }
}
