//! What goes out: bytes that nobody can guess, the same in every run.

use std::iter;

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;
pub(crate) const GIB: usize = 1 << 30;

/// A small generator of random numbers (`SplitMix64`).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % as_u64(bound)).expect("below a usize")
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

pub(crate) fn random_bytes(len_bytes: usize) -> Vec<u8> {
    let mut random = Random(0);
    iter::repeat_with(|| random.next()).flat_map(u64::to_le_bytes).take(len_bytes).collect()
}

/// Makes `chunk` the payload `number`: the bytes of `pattern`, with the number in front.
pub(crate) fn make(chunk: &mut Vec<u8>, pattern: &[u8], number: usize) {
    chunk.clear();
    chunk.extend_from_slice(pattern);
    chunk[..8].copy_from_slice(&as_u64(number).to_le_bytes());
}

/// Whether this is the payload `number`, as far as its length and both its ends tell.
pub(crate) fn is(chunk: &[u8], pattern: &[u8], number: usize) -> bool {
    chunk.len() == pattern.len() && chunk[..8] == as_u64(number).to_le_bytes() && chunk[8..].last() == pattern[8..].last()
}

pub(crate) fn as_u64(number: usize) -> u64 {
    u64::try_from(number).expect("memory is smaller than 2^64")
}

/// A length as people write it.
pub(crate) fn length(bytes: usize) -> String {
    match bytes {
        bytes if bytes >= GIB && bytes.is_multiple_of(GIB) => format!("{} GiB", bytes / GIB),
        bytes if bytes >= MIB => format!("{} MiB", bytes / MIB),
        bytes => format!("{} KiB", bytes / KIB),
    }
}
