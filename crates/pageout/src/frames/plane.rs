//! One plane of a frame: a length of 16 bits, little end first, and its content.
//!
//! | length | content |
//! | --- | --- |
//! | 0 | one byte, of which the plane consists |
//! | that of the plane | the plane |
//! | any other | the plane as an LZ4 block |
//!
//! Planes by themselves are decoded up to three times as fast as all of a frame in one block, and as small: half of them are
//! constant, or random, and matches do not reach from one into another.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into};

use super::{Corrupt, pays, sample};

const LENGTH_BYTES: usize = 2;

/// Encodes a plane that is not empty to the front of `encoded`, which has room for what LZ4 makes of the worst. The bytes used.
pub(super) fn encode(plane: &[u8], encoded: &mut [u8], table: &mut CompressTable) -> usize {
    let (length, content) = encoded.split_first_chunk_mut::<LENGTH_BYTES>().expect("room for a length");
    if is_constant(plane) {
        *length = [0; LENGTH_BYTES];
        content[0] = plane[0];
        return LENGTH_BYTES + 1;
    }
    let mut len = plane.len();
    if !sample::looks_random(plane) {
        len = compress_into_with_table(plane, content, table).expect("room for the worst");
    }
    if !pays(len, plane.len()) {
        len = plane.len();
        content[..len].copy_from_slice(plane);
    }
    *length = u16::try_from(len).expect("planes are shorter than frames").to_le_bytes();
    LENGTH_BYTES + len
}

/// Fills a plane, which is not empty, from the front of `encoded`; what is behind.
pub(super) fn decode<'a>(encoded: &'a [u8], plane: &mut [u8]) -> Result<&'a [u8], Corrupt> {
    let (length, rest) = encoded.split_first_chunk::<LENGTH_BYTES>().ok_or(Corrupt)?;
    let len = usize::from(u16::from_le_bytes(*length));
    if len == 0 {
        let (&byte, rest) = rest.split_first().ok_or(Corrupt)?;
        plane.fill(byte);
        return Ok(rest);
    }
    let (content, rest) = rest.split_at_checked(len).ok_or(Corrupt)?;
    if len == plane.len() {
        plane.copy_from_slice(content);
    } else if decompress_into(content, plane).map_err(|_| Corrupt)? != plane.len() {
        return Err(Corrupt);
    }
    Ok(rest)
}

/// Whether all bytes are the same.
fn is_constant(plane: &[u8]) -> bool {
    plane.split_last().is_none_or(|(_, front)| front == &plane[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(plane: &[u8]) -> Vec<u8> {
        let mut encoded = vec![7; 2 * plane.len() + 64];
        let len = encode(plane, &mut encoded, &mut CompressTable::small());
        encoded.truncate(len);
        encoded
    }

    #[test]
    fn planes_are_constant_or_short_or_as_they_are() {
        assert_eq!(encoded(&[9; 1000]), [0, 0, 9]);
        assert_eq!(encoded(&[9]), [0, 0, 9]);
        assert_eq!(encoded(&[1, 2, 3, 4]), [4, 0, 1, 2, 3, 4]);
        let zigzag: Vec<u8> = (0..1000).map(|position| u8::from(position % 7 == 0)).collect();
        assert!(encoded(&zigzag).len() < 100);
    }

    #[test]
    fn what_is_behind_a_plane_is_left() {
        for plane in [&[9; 1000][..], &[1, 2, 3, 4], b"abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc"] {
            let mut bytes = encoded(plane);
            bytes.extend([5, 6]);
            let mut back = vec![0; plane.len()];
            assert_eq!(decode(&bytes, &mut back), Ok(&[5, 6][..]));
            assert_eq!(back, plane);
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        for plane in [&[9; 1000][..], &[1, 2, 3, 4], b"abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc"] {
            let bytes = encoded(plane);
            for len in 0..bytes.len() {
                assert_eq!(decode(&bytes[..len], &mut vec![0; plane.len()]), Err(Corrupt), "{len} of {bytes:?}");
            }
        }
    }

    #[test]
    fn a_block_of_another_length_is_corrupt() {
        let bytes = encoded(&[1, 2, 3, 4, 1, 2, 3, 4].repeat(9));
        for len in [1, 71, 73, 4000] {
            assert_eq!(decode(&bytes, &mut vec![0; len]), Err(Corrupt));
        }
    }
}
