//! A client of either door: sends bytes that were made before and cuts what comes back into frames.
//!
//! Invariant: sending never runs the server, because the requests of a round fit the socket's buffers.
use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room that is kept for answers.
const ROOM_BYTES: usize = 64 << 10;
/// The length in front of a frame.
const LENGTH_BYTES: usize = 4;

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    input: BytesMut,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address).await.context("connecting to the node")?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, input: BytesMut::new() })
    }

    /// Sends requests.
    pub(crate) async fn send(&mut self, requests: &[u8]) -> Result<()> {
        self.input.reserve(ROOM_BYTES);
        Ok(self.stream.write_all(requests).await?)
    }

    /// Waits until something can be received.
    pub(crate) async fn readable(&self) -> Result<()> {
        Ok(self.stream.readable().await?)
    }

    /// Receives so many frames, without their lengths.
    pub(crate) async fn receive(&mut self, count: usize) -> Result<Vec<Bytes>> {
        let mut frames = Vec::with_capacity(count);
        while frames.len() < count {
            match self.next_frame() {
                Some(frame) => frames.push(frame),
                None => ensure!(self.stream.read_buf(&mut self.input).await? > 0, "the node hung up"),
            }
        }
        Ok(frames)
    }

    fn next_frame(&mut self) -> Option<Bytes> {
        let length = u32::from_be_bytes(*self.input.first_chunk()?) as usize;
        if self.input.len() < LENGTH_BYTES + length {
            return None;
        }
        self.input.advance(LENGTH_BYTES);
        Some(self.input.split_to(length).freeze())
    }
}
