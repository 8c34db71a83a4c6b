//! The first level with vectors of arm64: 16 bytes.

use std::arch::aarch64::{
    uint32x4_t, uint64x2_t, vaddq_u32, vdupq_n_u64, vget_low_u32, vgetq_lane_u64, vld1q_u8, vmlal_high_u32, vmlal_u32,
    vpaddq_u64, vreinterpretq_u32_u8,
};

use super::{Block, LANES, LINE, Line, Messages, PARTS, Sums};

const QUARTER: usize = LINE / 4;

/// Of two words that follow each other, in one vector each two.
type Split = [uint64x2_t; 2];

#[target_feature(enable = "neon")]
pub(super) fn hash(messages: Messages<'_>, hashes: &mut [u32]) {
    messages.hash(hashes, |blocks, keys| add_up(blocks, keys));
}

#[inline]
#[target_feature(enable = "neon")]
fn add_up(blocks: &[Block], keys: &[[Line; 2]]) -> Sums {
    // The quarters of a line take turns.
    let mut sums: [[Split; 2]; PARTS] = [[[vdupq_n_u64(0); 2]; 2]; PARTS];
    for (block, key) in blocks.iter().zip(keys) {
        let (lines, _) = block.as_chunks::<QUARTER>().0.as_chunks::<4>();
        let (first_key, second_key) = (key[0].as_chunks::<QUARTER>().0, key[1].as_chunks::<QUARTER>().0);
        for quarter in 0..4 {
            let key = [load(&first_key[quarter]), load(&second_key[quarter])];
            for (part, sums) in sums.iter_mut().enumerate() {
                let first = vaddq_u32(load(&lines[2 * part][quarter]), key[0]);
                let second = vaddq_u32(load(&lines[2 * part + 1][quarter]), key[1]);
                let [low, high] = &mut sums[quarter % 2];
                *low = vmlal_u32(*low, vget_low_u32(first), vget_low_u32(second));
                *high = vmlal_high_u32(*high, first, second);
            }
        }
    }
    sums.map(|sums| lanes(sums))
}

#[inline]
#[target_feature(enable = "neon")]
fn load(quarter: &[u8; QUARTER]) -> uint32x4_t {
    // SAFETY: a load of as many bytes as a quarter of a line has, which needs no alignment.
    vreinterpretq_u32_u8(unsafe { vld1q_u8(quarter.as_ptr()) })
}

#[inline]
#[target_feature(enable = "neon")]
fn lanes(sums: [Split; 2]) -> [u64; LANES] {
    let [even, odd] = sums.map(|[low, high]| vpaddq_u64(low, high));
    [vgetq_lane_u64::<0>(even), vgetq_lane_u64::<1>(even), vgetq_lane_u64::<0>(odd), vgetq_lane_u64::<1>(odd)]
}
