//! Reads zstd frames with a context that a thread keeps: creating one costs more than a small batch.
use std::cell::Cell;
use std::io::{self, Read};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

/// The largest window that is accepted, as a power of two: what level 22 of a streaming producer declares. The memory is
/// only touched as far as output is really produced.
const WINDOW_LOG_MAX: u32 = 27;
/// A context that has grown beyond this is given back; the default level needs about 2.5 MiB.
const CONTEXT_KEPT_MAX: usize = 4 << 20;

thread_local! {
    static CONTEXT: Cell<Option<DCtx<'static>>> = const { Cell::new(None) };
}

/// Decompresses concatenated frames.
pub(crate) struct ZstdReader<'a> {
    input: &'a [u8],
    position: usize,
    /// Whether the input may end here: no frame is open.
    between_frames: bool,
    context: Option<DCtx<'static>>,
}

fn failed(code: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, get_error_name(code))
}

impl<'a> ZstdReader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> io::Result<ZstdReader<'a>> {
        let mut context = match CONTEXT.take() {
            Some(context) => context,
            None => DCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?,
        };
        context.reset(ResetDirective::SessionAndParameters).map_err(failed)?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(failed)?;
        // An empty input is no frame at all.
        Ok(ZstdReader { input, position: 0, between_frames: false, context: Some(context) })
    }
}

impl Read for ZstdReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(context) = &mut self.context else { return Ok(0) };
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let exhausted = self.position == self.input.len();
            if exhausted && self.between_frames {
                return Ok(0);
            }
            let mut input = InBuffer::around(self.input);
            input.set_pos(self.position);
            let mut output = OutBuffer::around(&mut *buffer);
            let hint = context.decompress_stream(&mut output, &mut input).map_err(failed)?;
            let (consumed, produced) = (input.pos() - self.position, output.pos());
            self.position += consumed;
            self.between_frames = hint == 0;
            if produced > 0 {
                return Ok(produced);
            }
            if exhausted && consumed == 0 && hint != 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Drop for ZstdReader<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take().filter(|context| context.sizeof() <= CONTEXT_KEPT_MAX) {
            CONTEXT.set(Some(context));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(input: &[u8]) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        ZstdReader::new(input)?.read_to_end(&mut output).map(|_| output)
    }

    #[test]
    fn frames_are_read_whole_or_not_at_all() {
        let content: Vec<u8> = (0..300_000u32).map(|at| (at / 7) as u8).collect();
        for level in [1, 3, 19] {
            let frame = zstd::stream::encode_all(&content[..], level).expect("compresses");
            assert_eq!(unpack(&frame).expect("reads"), content);
            let twice = [&frame[..], &frame[..]].concat();
            assert_eq!(unpack(&twice).expect("reads").len(), 2 * content.len());
            for length in (0..frame.len()).step_by(97) {
                assert!(unpack(&frame[..length]).is_err(), "cut at {length}");
            }
        }
        assert!(unpack(b"no frame").is_err());
        let empty = zstd::stream::encode_all(&b""[..], 3).expect("compresses");
        assert_eq!(unpack(&empty).expect("reads"), b"");
    }

    #[test]
    fn a_context_is_kept_by_its_thread_and_survives_errors() {
        let frame = zstd::stream::encode_all(&b"abc"[..], 3).expect("compresses");
        for _ in 0..3 {
            assert!(unpack(&frame[..frame.len() - 1]).is_err());
            assert_eq!(unpack(&frame).expect("reads"), b"abc");
        }
        assert!(CONTEXT.take().is_some());
    }
}
