//! The five codecs of record batches, as Kafka's clients frame them.
//!
//! Decompression is streamed through a reader, so nothing is allocated from a size that the input only claims; who
//! reads to the end bounds the total by [`DECOMPRESSED_BYTES_MAX`].
use crate::records::RecordFault;
use crate::zstd_reader::ZstdReader;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, Read, Write};

/// The most bytes that the records of one batch may decompress to.
pub const DECOMPRESSED_BYTES_MAX: u64 = 256 << 20;
/// Magic of the framing that Kafka's Java clients put around snappy blocks (from the xerial library).
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Size of xerial's stream header: magic, version, lowest compatible version.
const XERIAL_HEADER_SIZE: usize = 16;
/// Uncompressed bytes of a xerial block that we write; Kafka's writer uses the same.
const XERIAL_BLOCK_SIZE: usize = 32 * 1024;
/// The level of lz4 that means its fast compressor; every other level means the high one (KIP-390).
const LZ4_FAST_LEVEL: i32 = 9;
/// A compression codec; the numbers are those of the batch attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not compressed.
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy blocks in xerial framing, or one raw block.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Codec {
    /// The codec of an attribute number.
    pub fn from_number(number: i16) -> Option<Codec> {
        match number {
            0 => Some(Codec::None),
            1 => Some(Codec::Gzip),
            2 => Some(Codec::Snappy),
            3 => Some(Codec::Lz4),
            4 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// The codec's attribute number.
    pub fn number(self) -> i16 {
        match self {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        }
    }

    /// The name that `compression.type` uses. `none` is also known as `uncompressed`.
    pub fn from_name(name: &str) -> Option<Codec> {
        match name {
            "none" | "uncompressed" => Some(Codec::None),
            "gzip" => Some(Codec::Gzip),
            "snappy" => Some(Codec::Snappy),
            "lz4" => Some(Codec::Lz4),
            "zstd" => Some(Codec::Zstd),
            _ => None,
        }
    }
}

/// A codec with the level to write at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The codec.
    pub codec: Codec,
    /// The codec's own level; `None` is its default. Snappy has no levels.
    pub level: Option<i32>,
}

impl Compression {
    /// No compression.
    pub const NONE: Compression = Compression { codec: Codec::None, level: None };

    /// A codec at its default level.
    pub fn new(codec: Codec) -> Compression {
        Compression { codec, level: None }
    }

    /// Compresses the records section of a batch.
    pub fn compress(self, records: &[u8]) -> io::Result<Vec<u8>> {
        match self.codec {
            Codec::None => Ok(records.to_vec()),
            Codec::Gzip => {
                let level =
                    self.level.and_then(|level| u32::try_from(level).ok()).filter(|level| *level <= 9);
                let level = level.map_or(flate2::Compression::default(), flate2::Compression::new);
                let mut encoder = GzEncoder::new(Vec::new(), level);
                encoder.write_all(records)?;
                encoder.finish()
            }
            Codec::Snappy => compress_xerial(records),
            Codec::Lz4 => {
                let level = self.level.filter(|level| *level != LZ4_FAST_LEVEL).unwrap_or(0);
                // Without lz4's own checksums, like Kafka's producers: the checksum of the batch covers the same bytes.
                let mut encoder = lz4::EncoderBuilder::new()
                    .level(u32::try_from(level).unwrap_or(0))
                    .block_size(lz4::BlockSize::Max64KB)
                    .block_mode(lz4::BlockMode::Independent)
                    .checksum(lz4::ContentChecksum::NoChecksum)
                    .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
                    .build(Vec::new())?;
                encoder.write_all(records)?;
                let (output, finished) = encoder.finish();
                finished.map(|()| output)
            }
            Codec::Zstd => zstd::stream::encode_all(records, self.level.unwrap_or(0)),
        }
    }
}

fn compress_xerial(records: &[u8]) -> io::Result<Vec<u8>> {
    let mut output = Vec::with_capacity(XERIAL_HEADER_SIZE + records.len() / 2);
    output.extend_from_slice(&XERIAL_MAGIC);
    output.extend_from_slice(&1u32.to_be_bytes());
    output.extend_from_slice(&1u32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(XERIAL_BLOCK_SIZE) {
        let compressed = encoder.compress_vec(block).map_err(io::Error::other)?;
        output.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
        output.extend_from_slice(&compressed);
    }
    Ok(output)
}

/// A reader of the decompressed records section.
pub(crate) fn reader<'a>(codec: Codec, input: &'a [u8]) -> Result<Box<dyn Read + 'a>, RecordFault> {
    let undecodable = |error: io::Error| RecordFault::Undecodable(error.to_string());
    Ok(match codec {
        Codec::None => Box::new(input),
        Codec::Gzip => Box::new(MultiGzDecoder::new(input)),
        Codec::Snappy => Box::new(SnappyReader::new(input)),
        Codec::Lz4 => Box::new(lz4::Decoder::new(input).map_err(undecodable)?),
        Codec::Zstd => Box::new(ZstdReader::new(input).map_err(undecodable)?),
    })
}

/// Decompresses the whole records section into `output`, which is cleared first.
pub(crate) fn decompress(codec: Codec, input: &[u8], output: &mut Vec<u8>) -> Result<(), RecordFault> {
    output.clear();
    let mut limited = reader(codec, input)?.take(DECOMPRESSED_BYTES_MAX + 1);
    limited.read_to_end(output).map_err(|error| RecordFault::Undecodable(error.to_string()))?;
    if output.len() as u64 > DECOMPRESSED_BYTES_MAX {
        output.clear();
        return Err(RecordFault::TooLarge);
    }
    Ok(())
}

/// Reads snappy in either framing, one block at a time.
struct SnappyReader<'a> {
    rest: &'a [u8],
    /// One raw block instead of xerial's framing.
    raw: bool,
    block: Vec<u8>,
    position: usize,
    decoder: snap::raw::Decoder,
}

impl<'a> SnappyReader<'a> {
    fn new(input: &'a [u8]) -> SnappyReader<'a> {
        let xerial = input.len() >= XERIAL_HEADER_SIZE && input.starts_with(&XERIAL_MAGIC);
        SnappyReader {
            rest: if xerial { &input[XERIAL_HEADER_SIZE..] } else { input },
            raw: !xerial,
            block: Vec::new(),
            position: 0,
            decoder: snap::raw::Decoder::new(),
        }
    }

    /// The next compressed block; `None` at the end of the input.
    fn take_block(&mut self) -> io::Result<Option<&'a [u8]>> {
        if self.raw {
            let block = std::mem::take(&mut self.rest);
            return Ok((!block.is_empty()).then_some(block));
        }
        // Streams that were concatenated repeat the header.
        while self.rest.len() >= XERIAL_HEADER_SIZE && self.rest.starts_with(&XERIAL_MAGIC) {
            self.rest = &self.rest[XERIAL_HEADER_SIZE..];
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (length, rest) =
            self.rest.split_first_chunk::<4>().ok_or_else(|| invalid("truncated snappy block"))?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > rest.len() {
            return Err(invalid("a snappy block is longer than the batch"));
        }
        let (block, rest) = rest.split_at(length);
        self.rest = rest;
        Ok(Some(block))
    }

    /// Decodes the next block; false at the end of the input.
    fn next_block(&mut self) -> io::Result<bool> {
        let Some(compressed) = self.take_block()? else { return Ok(false) };
        let length = snap::raw::decompress_len(compressed).map_err(io::Error::other)?;
        // A snappy copy yields at most 64 bytes from 3 bytes of input, so a larger claim is a lie.
        if length as u64 > DECOMPRESSED_BYTES_MAX || length > compressed.len().saturating_mul(64) {
            return Err(invalid("a snappy block claims an impossible size"));
        }
        self.block.resize(length, 0);
        self.decoder.decompress(compressed, &mut self.block).map_err(io::Error::other)?;
        self.position = 0;
        Ok(true)
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl Read for SnappyReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let rest = &self.block[self.position..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lz4_frames_are_those_of_kafkas_producers() {
        let compression = Compression { codec: Codec::Lz4, level: None };
        let frame = compression.compress(&[7; 100]).expect("memory does not fail");
        // The magic number; then the version, independent blocks, no checksum of a block nor of the content; then blocks of 64 KiB.
        assert_eq!(frame.get(..6), Some(&[0x04, 0x22, 0x4d, 0x18, 0b0110_0000, 0x40][..]));
    }

    #[test]
    fn levels_do_what_they_say() {
        let words = ["leader", "replica", "offset", "epoch", "znode", "batch", "segment"];
        let text: String = (0_usize..20_000).map(|i| words[(i * i / 7 + i / 3) % words.len()]).collect();
        for (codec, fast, high) in [(Codec::Gzip, 1, 9), (Codec::Lz4, 9, 17), (Codec::Zstd, 1, 19)] {
            let size = |level| {
                let compressed = Compression { codec, level: Some(level) }.compress(text.as_bytes()).unwrap();
                let mut output = Vec::new();
                decompress(codec, &compressed, &mut output).unwrap();
                assert_eq!(output, text.as_bytes());
                compressed.len()
            };
            assert!(size(high) < size(fast), "{codec:?}");
        }
    }
}
