//! The operating system's random bytes, replaced: the standard library seeds its hash tables with them, and the places of keys in a
//! table decide over some instructions.
//!
//! Invariant: nothing of this program needs to be unpredictable.
use std::ffi::{c_uint, c_void};

/// What every random byte is.
const BYTE: u8 = 0x5a;

/// Takes the place of the C library's function of this name.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes, as of the original.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    // SAFETY: the caller vouches for the buffer.
    unsafe { buffer.cast::<u8>().write_bytes(BYTE, length) };
    length.cast_signed()
}
