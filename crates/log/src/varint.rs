//! Zigzag varints of record bodies: at most 5 bytes for 32 bits, 10 for 64.

/// The most bytes of a 32-bit varint.
const VARINT_BYTES_MAX: usize = 5;
/// The most bytes of a 64-bit varint.
const VARLONG_BYTES_MAX: usize = 10;

/// Reads a zigzag varint from the front of `input`; `None` if it is truncated or too long.
#[inline]
pub(crate) fn read_i32(input: &mut &[u8]) -> Option<i32> {
    // Most varints of a record (lengths, deltas, counts) take one byte.
    let (&first, rest) = input.split_first()?;
    if first < 0x80 {
        *input = rest;
        return Some(zigzag_i32(u32::from(first)));
    }
    let mut value = u32::from(first & 0x7f);
    for index in 1..VARINT_BYTES_MAX {
        let byte = *input.get(index)?;
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(zigzag_i32(value));
        }
    }
    None
}

/// Reads a zigzag varlong from the front of `input`; `None` if it is truncated or too long.
#[inline]
pub(crate) fn read_i64(input: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for index in 0..VARLONG_BYTES_MAX {
        let byte = *input.get(index)?;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(zigzag_i64(value));
        }
    }
    None
}

/// Appends a zigzag varint.
#[inline]
pub(crate) fn write_i32(output: &mut Vec<u8>, value: i32) {
    write_u64(output, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// Appends a zigzag varlong.
#[inline]
pub(crate) fn write_i64(output: &mut Vec<u8>, value: i64) {
    write_u64(output, ((value << 1) ^ (value >> 63)) as u64);
}

/// The encoded size of a zigzag varint.
pub(crate) fn size_i32(value: i32) -> usize {
    size_u64(u64::from(((value << 1) ^ (value >> 31)) as u32))
}

/// The encoded size of a zigzag varlong.
pub(crate) fn size_i64(value: i64) -> usize {
    size_u64(((value << 1) ^ (value >> 63)) as u64)
}

#[inline]
fn write_u64(output: &mut Vec<u8>, value: u64) {
    // Most varints of a record take one byte.
    if value < 0x80 {
        output.push(value as u8);
    } else {
        write_long(output, value);
    }
}

fn write_long(output: &mut Vec<u8>, mut value: u64) {
    let mut bytes = [0; VARLONG_BYTES_MAX];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        *byte = value as u8 & 0x7f;
        value >>= 7;
        if value == 0 {
            break;
        }
        *byte |= 0x80;
    }
    output.extend_from_slice(&bytes[..length]);
}

fn size_u64(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// The number that a zigzag code stands for.
#[inline]
pub(crate) fn zigzag_i32(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

/// The number that a zigzag code stands for.
#[inline]
pub(crate) fn zigzag_i64(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip_i32(value: i32) {
            let mut bytes = Vec::new();
            write_i32(&mut bytes, value);
            prop_assert_eq!(bytes.len(), size_i32(value));
            let mut input = &bytes[..];
            prop_assert_eq!(read_i32(&mut input), Some(value));
            prop_assert!(input.is_empty());
            prop_assert_eq!(read_i32(&mut &bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn round_trip_i64(value: i64) {
            let mut bytes = Vec::new();
            write_i64(&mut bytes, value);
            prop_assert_eq!(bytes.len(), size_i64(value));
            let mut input = &bytes[..];
            prop_assert_eq!(read_i64(&mut input), Some(value));
            prop_assert!(input.is_empty());
            prop_assert_eq!(read_i64(&mut &bytes[..bytes.len() - 1]), None);
        }
    }

    #[test]
    fn an_endless_varint_is_refused() {
        assert_eq!(read_i32(&mut &[0x80; 16][..]), None);
        assert_eq!(read_i64(&mut &[0x80; 16][..]), None);
    }
}
