//! The first level with vectors of x86-64: 32 bytes, or 64.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_add_epi64, _mm256_loadu_si256, _mm256_mul_epu32, _mm256_setzero_si256,
    _mm256_srli_epi64, _mm512_add_epi32, _mm512_add_epi64, _mm512_castsi512_si256, _mm512_extracti64x4_epi64, _mm512_loadu_si512,
    _mm512_mul_epu32, _mm512_setzero_si512, _mm512_srli_epi64,
};

use super::{Block, LANES, LINE, Line, Messages, PARTS, Sums};

const HALF: usize = LINE / 2;

/// Whether the processor has AVX-512 of the kind that does not slow it down: from Ice Lake and Zen 4 on.
pub(super) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512vbmi2") && is_x86_feature_detected!("avx512f")
}

#[target_feature(enable = "avx512f")]
pub(super) fn hash_avx512(messages: Messages<'_>, hashes: &mut [u32]) {
    messages.hash(hashes, |blocks, keys| add_up_avx512(blocks, keys));
}

#[target_feature(enable = "avx2")]
pub(super) fn hash_avx2(messages: Messages<'_>, hashes: &mut [u32]) {
    messages.hash(hashes, |blocks, keys| add_up_avx2(blocks, keys));
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add_up_avx512(blocks: &[Block], keys: &[[Line; 2]]) -> Sums {
    let mut sums = [_mm512_setzero_si512(); PARTS];
    for (block, key) in blocks.iter().zip(keys) {
        let (lines, _) = block.as_chunks();
        let key = [load_line(&key[0]), load_line(&key[1])];
        for (part, sum) in sums.iter_mut().enumerate() {
            let first = _mm512_add_epi32(load_line(&lines[2 * part]), key[0]);
            let second = _mm512_add_epi32(load_line(&lines[2 * part + 1]), key[1]);
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(first), _mm512_srli_epi64::<32>(second));
            *sum = _mm512_add_epi64(*sum, _mm512_mul_epu32(first, second));
            *sum = _mm512_add_epi64(*sum, odd);
        }
    }
    sums.map(|sum| lanes(_mm256_add_epi64(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum))))
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_up_avx2(blocks: &[Block], keys: &[[Line; 2]]) -> Sums {
    let mut sums = [_mm256_setzero_si256(); PARTS];
    for (block, key) in blocks.iter().zip(keys) {
        let (lines, _) = block.as_chunks::<HALF>().0.as_chunks::<2>();
        let (first_key, second_key) = (key[0].as_chunks::<HALF>().0, key[1].as_chunks::<HALF>().0);
        for half in 0..2 {
            let key = [load_half(&first_key[half]), load_half(&second_key[half])];
            for (part, sum) in sums.iter_mut().enumerate() {
                let first = _mm256_add_epi32(load_half(&lines[2 * part][half]), key[0]);
                let second = _mm256_add_epi32(load_half(&lines[2 * part + 1][half]), key[1]);
                let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(first), _mm256_srli_epi64::<32>(second));
                *sum = _mm256_add_epi64(*sum, _mm256_mul_epu32(first, second));
                *sum = _mm256_add_epi64(*sum, odd);
            }
        }
    }
    sums.map(lanes)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_line(line: &Line) -> __m512i {
    // SAFETY: a load that needs no alignment, of as many bytes as a line has.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_half(half: &[u8; HALF]) -> __m256i {
    // SAFETY: a load that needs no alignment, of as many bytes as half a line has.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

fn lanes(vector: __m256i) -> [u64; LANES] {
    bytemuck::cast(vector)
}
