//! NH, the inner hash of UMAC: a sum of products that vector units compute at the speed of memory.
//!
//! The message and the key are words m and k of 32 bits; the hash is the sum, modulo 2^64, of
//! (m[2i] + k[2i] mod 2^32) * (m[2i + 1] + k[2i + 1] mod 2^32). For a random key, any two different messages of one length
//! collide with a probability of at most 2^-32, whatever the difference (Black, Halevi, Krawczyk, Krovetz and Rogaway,
//! "UMAC: Fast and Secure Message Authentication", CRYPTO 1999).
//!
//! Here for its one unsafe line: calling code that was compiled for more than the least processor.

/// Bytes that one step of the loop takes; a message is filled up with zeros to a multiple of it.
const BLOCK: usize = 128;

/// The hash of `message`, whose key is at least as long, in whole blocks.
///
/// # Panics
/// When the key is shorter.
pub(crate) fn nh(message: &[u8], key: &[u8]) -> u64 {
    let (blocks, rest) = message.as_chunks::<BLOCK>();
    let (keys, _) = key.as_chunks::<BLOCK>();
    let (keys, last_keys) = keys.split_at(blocks.len());
    if rest.is_empty() {
        return sum(blocks, keys);
    }
    let mut last = [[0; BLOCK]];
    last[0][..rest.len()].copy_from_slice(rest);
    sum(blocks, keys).wrapping_add(sum(&last, &last_keys[..1]))
}

fn sum(blocks: &[[u8; BLOCK]], keys: &[[u8; BLOCK]]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as the line above has found out.
        return unsafe { sum_avx2(blocks, keys) };
    }
    sum_portable(blocks, keys)
}

/// Twice as fast as what compilers make of [`sum_portable`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_avx2(blocks: &[[u8; BLOCK]], keys: &[[u8; BLOCK]]) -> u64 {
    use std::arch::x86_64::{__m256i, _mm256_add_epi32, _mm256_add_epi64, _mm256_mul_epu32, _mm256_srli_epi64};

    const VECTORS: usize = BLOCK / size_of::<__m256i>();
    let mut sums: [__m256i; VECTORS] = bytemuck::Zeroable::zeroed();
    for (block, key) in blocks.iter().zip(keys) {
        let block: [__m256i; VECTORS] = bytemuck::pod_read_unaligned(block);
        let key: [__m256i; VECTORS] = bytemuck::pod_read_unaligned(key);
        for lane in 0..VECTORS {
            let pairs = _mm256_add_epi32(block[lane], key[lane]);
            let products = _mm256_mul_epu32(pairs, _mm256_srli_epi64::<32>(pairs));
            sums[lane] = _mm256_add_epi64(sums[lane], products);
        }
    }
    let lanes: [u64; BLOCK / size_of::<u64>()] = bytemuck::cast(sums);
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}

fn sum_portable(blocks: &[[u8; BLOCK]], keys: &[[u8; BLOCK]]) -> u64 {
    const PAIRS: usize = BLOCK / size_of::<u64>();
    let mut sums = [0u64; PAIRS];
    for (block, key) in blocks.iter().zip(keys) {
        let (block, _) = block.as_chunks::<4>();
        let (key, _) = key.as_chunks::<4>();
        let word = |at: usize| u64::from(u32::from_le_bytes(block[at]).wrapping_add(u32::from_le_bytes(key[at])));
        for (pair, sum) in sums.iter_mut().enumerate() {
            *sum = sum.wrapping_add(word(2 * pair) * word(2 * pair + 1));
        }
    }
    sums.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word.
    fn naive(message: &[u8], key: &[u8]) -> u64 {
        let word = |bytes: &[u8], at: usize| {
            let byte = |offset| u32::from(bytes.get(at + offset).copied().unwrap_or(0));
            byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24
        };
        let keyed = |at| u64::from(word(message, at).wrapping_add(word(key, at)));
        let pairs_end = message.len().next_multiple_of(BLOCK);
        (0..pairs_end).step_by(8).fold(0u64, |sum, at| sum.wrapping_add(keyed(at) * keyed(at + 4)))
    }

    #[test]
    fn a_message_by_hand() {
        let key: Vec<u8> = std::iter::repeat_n([5, 0, 0, 0, 7, 0, 0, 0], 2 * BLOCK / 8).flatten().collect();
        assert_eq!(nh(&[], &key), 0);
        // One pair of (1 + 5) * (0 + 7), and 5 * 7 for each other pair of the block.
        assert_eq!(nh(&[1], &key), 6 * 7 + 35 * 15);
        // The words are added modulo 2^32: 0xffff_ffff + 5 is 4.
        assert_eq!(nh(&[0xff; 4], &key), 4 * 7 + 35 * 15);
    }

    #[test]
    #[should_panic(expected = "mid > len")]
    fn a_key_that_is_too_short_is_refused() {
        nh(&[0; BLOCK], &[0; BLOCK - 1]);
    }

    proptest! {
        #[test]
        fn all_ways_agree_with_the_definition(
            message in proptest::collection::vec(any::<u8>(), 0..4096usize),
            key in proptest::collection::vec(any::<u8>(), 4096 + BLOCK),
        ) {
            prop_assert_eq!(nh(&message, &key), naive(&message, &key));
            let (blocks, _) = message.as_chunks::<BLOCK>();
            let (keys, _) = key.as_chunks::<BLOCK>();
            prop_assert_eq!(sum(blocks, keys), sum_portable(blocks, keys));
        }
    }
}
