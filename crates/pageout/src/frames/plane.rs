//! One plane of a frame: a byte that says how it is encoded, and its content.
//!
//! | byte | content |
//! | --- | --- |
//! | 0 to 7 | the smallest byte of the plane, and all bytes [in as many bits](bits) |
//! | 8 | the plane |
//! | 9 | a length of 16 bits, little end first, and an LZ4 block of it |
//!
//! Planes by themselves are decoded up to three times as fast as all of a frame in one block, and as small: half of them have
//! few bits or none, or are random, and matches do not reach from one into another.

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into};

use super::{Corrupt, bits, pays_to_wait, sample};

const AS_IT_IS: u8 = 8;
const LZ4: u8 = 9;
/// A plane of one byte in eight is shorter than the frame, and all of it is alike: it is looked at less closely.
const RUNS: usize = 8;
/// What is before an LZ4 block.
const LZ4_HEAD_BYTES: usize = 3;

/// Encodes a plane that is not empty to the front of `encoded`, which has room for what LZ4 makes of the worst. The bytes used.
pub(super) fn encode(plane: &[u8], encoded: &mut [u8], table: &mut CompressTable) -> usize {
    let range = bits::range(plane);
    let width = bits::width(&range);
    let packed_bytes = if width < AS_IT_IS { 2 + bits::packed_len(width, plane.len()) } else { 1 + plane.len() };
    if width > 0 && !sample::looks_random::<RUNS>(plane) {
        let len = compress_into_with_table(plane, &mut encoded[LZ4_HEAD_BYTES..], table).expect("room for the worst");
        if pays_to_wait(LZ4_HEAD_BYTES + len, packed_bytes) {
            let [low, high] = u16::try_from(len).expect("planes are shorter than frames").to_le_bytes();
            encoded[..LZ4_HEAD_BYTES].copy_from_slice(&[LZ4, low, high]);
            return LZ4_HEAD_BYTES + len;
        }
    }
    encoded[0] = width;
    if width < AS_IT_IS {
        encoded[1] = *range.start();
        bits::pack(plane, *range.start(), width, &mut encoded[2..packed_bytes]);
    } else {
        encoded[1..packed_bytes].copy_from_slice(plane);
    }
    packed_bytes
}

/// Fills a plane, which is not empty, from the front of `encoded`; what is behind.
pub(super) fn decode<'a>(encoded: &'a [u8], plane: &mut [u8]) -> Result<&'a [u8], Corrupt> {
    let (&how, rest) = encoded.split_first().ok_or(Corrupt)?;
    match how {
        0..AS_IT_IS => {
            let (&min, rest) = rest.split_first().ok_or(Corrupt)?;
            let (packed, rest) = rest.split_at_checked(bits::packed_len(how, plane.len())).ok_or(Corrupt)?;
            bits::unpack(packed, min, how, plane);
            Ok(rest)
        }
        AS_IT_IS => {
            let (content, rest) = rest.split_at_checked(plane.len()).ok_or(Corrupt)?;
            plane.copy_from_slice(content);
            Ok(rest)
        }
        LZ4 => {
            let (&len, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
            let (block, rest) = rest.split_at_checked(u16::from_le_bytes(len).into()).ok_or(Corrupt)?;
            let filled = decompress_into(block, plane).map_err(|_| Corrupt)?;
            if filled == plane.len() { Ok(rest) } else { Err(Corrupt) }
        }
        _ => Err(Corrupt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"the same words, the same words, the same words, the same words, the same words";

    fn encoded(plane: &[u8]) -> Vec<u8> {
        let mut encoded = vec![7; 2 * plane.len() + 64];
        let len = encode(plane, &mut encoded, &mut CompressTable::small());
        encoded.truncate(len);
        encoded
    }

    /// Planes of each kind.
    fn planes() -> [Vec<u8>; 5] {
        [vec![9; 1000], vec![9], vec![1, 2, 3, 4, 7], (0..=255).collect(), TEXT.to_vec()]
    }

    #[test]
    fn planes_are_what_is_smallest() {
        let ways = planes().map(|plane| encoded(&plane));
        assert_eq!((&ways[0][..], &ways[1][..]), (&[0, 9][..], &[0, 9][..]), "no bits");
        assert_eq!(ways[2], [3, 1, 0b01010, 0b11_01_00, 0b01_00], "three bits, in parts");
        assert_eq!((ways[3][0], ways[3].len()), (AS_IT_IS, 257));
        assert_eq!(ways[4][0], LZ4);
        assert!(ways[4].len() < 40, "{}", ways[4].len());
    }

    #[test]
    fn what_is_behind_a_plane_is_left() {
        for plane in planes() {
            let mut bytes = encoded(&plane);
            bytes.extend([5, 6]);
            let mut back = vec![0; plane.len()];
            assert_eq!(decode(&bytes, &mut back), Ok(&[5, 6][..]));
            assert_eq!(back, plane);
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        for plane in planes() {
            let bytes = encoded(&plane);
            for len in 0..bytes.len() {
                assert_eq!(decode(&bytes[..len], &mut vec![0; plane.len()]), Err(Corrupt), "{len} of {bytes:?}");
            }
        }
    }

    #[test]
    fn a_block_of_another_length_is_corrupt() {
        for len in [1, TEXT.len() - 1, TEXT.len() + 1, 4000] {
            assert_eq!(decode(&encoded(TEXT), &mut vec![0; len]), Err(Corrupt));
        }
    }

    #[test]
    fn other_ways_than_ours_are_corrupt() {
        for way in 10..=255 {
            assert_eq!(decode(&[way; 100], &mut [0; 20]), Err(Corrupt));
        }
    }
}
