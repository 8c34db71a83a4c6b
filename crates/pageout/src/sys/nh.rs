//! The hash of a page: NH, the sum of products inside UMAC, which vector units compute at the speed of memory, in two levels.
//!
//! NH of words m and keys k of 32 bits is the sum, modulo 2^64, of (m + k mod 2^32) * (m' + k' mod 2^32) over pairs of words.
//! For random keys any two different messages of one length collide with a probability of at most 2^-32, whatever the difference
//! (Black, Halevi, Krawczyk, Krovetz and Rogaway, "UMAC: Fast and Secure Message Authentication", CRYPTO 1999).
//!
//! - **First level.** A page is a row of blocks, each of a pair of lines for each of [`PARTS`] parts; the word at one place of a
//!   pair's lines multiplies. All parts have the same key, so that a line of it is loaded once for several of the page. The products
//!   of a part are summed in [`LANES`] lanes, by their place in the line. Where two pages differ, they differ in one part and lane
//!   at least, whose NH collides with a probability of at most 2^-32.
//! - **Second level.** NH of all the sums, with keys of its own: another 2^-32.
//! - **Fold** of those 64 bits to 32, by random multipliers of 64 bits and an addend, of which the high half is kept; this is strongly
//!   universal (Thorup, "High Speed Hashing for Integers and Strings", 2015): another 2^-32.
//!
//! Here for its unsafe lines: code that was compiled for more than the least processor, and loads of vectors.

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Bytes that are hashed to one checksum, or fewer at the end of a payload.
pub(crate) const PAGE: usize = 4096;
/// Bytes of a line, as many as the longest vector has.
const LINE: usize = 64;
/// Parts of a page that have the same key. More would save few loads, and cost more in the second level.
const PARTS: usize = 4;
/// Sums of a part: words of half a line, two by two.
const LANES: usize = 4;
/// Bytes of a step of the loop; a message is filled up with zeros to a multiple of it.
const BLOCK: usize = PARTS * PAIR;
const PAIR: usize = 2 * LINE;

type Line = [u8; LINE];
type Block = [u8; BLOCK];
type Sums = [[u64; LANES]; PARTS];

/// The key of a process, aligned to cache lines, from which vectors are loaded a third faster.
#[repr(C, align(64))]
pub(crate) struct Key {
    /// A pair of lines for each block.
    pairs: [[Line; 2]; PAGE / BLOCK],
    /// Two words for each sum.
    sums: [u64; LANES * PARTS],
    multipliers: [u64; 2],
    addend: u64,
}

impl Key {
    /// A key of random words.
    pub(crate) fn new(mut random: impl FnMut() -> u64) -> Self {
        let mut pairs = [[[0; LINE]; 2]; PAGE / BLOCK];
        for word in pairs.as_flattened_mut().as_flattened_mut().as_chunks_mut().0 {
            *word = random().to_le_bytes();
        }
        Self { pairs, sums: std::array::from_fn(|_| random()), multipliers: std::array::from_fn(|_| random()), addend: random() }
    }

    /// The hash of each of `pages` into `hashes`, of which there are as many.
    pub(crate) fn hash_pages(&self, pages: &[[u8; PAGE]], hashes: &mut [u32]) {
        let (blocks, _) = pages.as_flattened().as_chunks();
        hash(Messages { blocks, blocks_each: PAGE / BLOCK, key: self }, hashes);
    }

    /// The hash of a page that may be shorter than others.
    ///
    /// # Panics
    /// When it is longer.
    pub(crate) fn hash_page(&self, page: &[u8]) -> u32 {
        if page.is_empty() {
            return second_level(&Sums::default(), self);
        }
        let mut hashes = [0];
        let (blocks, rest) = page.as_chunks();
        if rest.is_empty() {
            hash(Messages { blocks, blocks_each: blocks.len(), key: self }, &mut hashes);
        } else {
            let mut filled = [0; PAGE];
            filled[..page.len()].copy_from_slice(page);
            let blocks_each = page.len().div_ceil(BLOCK);
            let blocks = &filled.as_chunks().0[..blocks_each];
            hash(Messages { blocks, blocks_each, key: self }, &mut hashes);
        }
        hashes[0]
    }
}

/// Messages of one length, one after the other.
#[derive(Clone, Copy)]
struct Messages<'a> {
    blocks: &'a [Block],
    blocks_each: usize,
    key: &'a Key,
}

impl Messages<'_> {
    /// Hashes each with a way to add up a message's products.
    #[expect(clippy::inline_always, reason = "to be compiled for the processor of who calls it")]
    #[inline(always)]
    fn hash(self, hashes: &mut [u32], add_up: impl Fn(&[Block], &[[Line; 2]]) -> Sums) {
        for (message, hash) in self.blocks.chunks_exact(self.blocks_each).zip(hashes) {
            *hash = second_level(&add_up(message, &self.key.pairs), self.key);
        }
    }
}

/// The hash of each message, in the fastest way that the processor has.
fn hash(messages: Messages<'_>, hashes: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if x86::has_avx512() {
            // SAFETY: the processor has AVX-512, as the line above has found out.
            return unsafe { x86::hash_avx512(messages, hashes) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, as the line above has found out.
            return unsafe { x86::hash_avx2(messages, hashes) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: NEON belongs to every arm64 processor that the crate is compiled for.
    return unsafe { arm::hash(messages, hashes) };
    #[cfg(not(target_arch = "aarch64"))]
    hash_portable(messages, hashes);
}

#[cfg(any(test, not(target_arch = "aarch64")))]
fn hash_portable(messages: Messages<'_>, hashes: &mut [u32]) {
    messages.hash(hashes, add_up_portable);
}

#[cfg(any(test, not(target_arch = "aarch64")))]
fn add_up_portable(blocks: &[Block], keys: &[[Line; 2]]) -> Sums {
    const WORDS: usize = LINE / 4;
    let word = |line: &Line, at: usize| u32::from_le_bytes(line.as_chunks().0[at]);
    // By word of the line, which compilers make vectors of.
    let mut sums = [[0u64; WORDS]; PARTS];
    for (block, key) in blocks.iter().zip(keys) {
        let (pairs, _) = block.as_chunks::<LINE>().0.as_chunks::<2>();
        for (pair, sums) in pairs.iter().zip(&mut sums) {
            for (at, sum) in sums.iter_mut().enumerate() {
                let keyed = |line: usize| u64::from(word(&pair[line], at).wrapping_add(word(&key[line], at)));
                *sum = sum.wrapping_add(keyed(0) * keyed(1));
            }
        }
    }
    sums.map(|words| {
        let lane = |lane: usize| [0, 1, 8, 9].map(|at| words[2 * lane + at]).into_iter().fold(0, u64::wrapping_add);
        std::array::from_fn(lane)
    })
}

/// The second level, and the fold.
#[expect(clippy::inline_always, reason = "to be compiled for the processor of who calls it")]
#[inline(always)]
fn second_level(sums: &Sums, key: &Key) -> u32 {
    let product = |(sum, key): (&u64, &u64)| {
        let [low, high] = [low_half(*sum).wrapping_add(low_half(*key)), high_half(*sum).wrapping_add(high_half(*key))];
        u64::from(low) * u64::from(high)
    };
    let sum = sums.as_flattened().iter().zip(&key.sums).map(product).fold(0, u64::wrapping_add);
    let [low, high] = [u64::from(low_half(sum)), u64::from(high_half(sum))];
    let [low_multiplier, high_multiplier] = key.multipliers;
    high_half(low.wrapping_mul(low_multiplier).wrapping_add(high.wrapping_mul(high_multiplier)).wrapping_add(key.addend))
}

#[expect(clippy::cast_possible_truncation, reason = "32 of 64 bits are left")]
const fn low_half(word: u64) -> u32 {
    word as u32
}

const fn high_half(word: u64) -> u32 {
    low_half(word >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word.
    fn naive(page: &[u8], key: &Key) -> u32 {
        let word = |at: usize| {
            let byte = |offset| u32::from(page.get(at + offset).copied().unwrap_or(0));
            byte(0) | byte(1) << 8 | byte(2) << 16 | byte(3) << 24
        };
        let key_word = |block: usize, line: usize, at: usize| {
            let bytes: [u8; 4] = key.pairs[block][line][at..at + 4].try_into().expect("four bytes");
            u32::from_le_bytes(bytes)
        };
        let mut sums = [[0u64; 4]; 4];
        for at in (0..page.len().next_multiple_of(512)).step_by(4).filter(|at| at % 128 < 64) {
            let (block, part, place) = (at / 512, at / 128 % 4, at % 64);
            let first = u64::from(word(at).wrapping_add(key_word(block, 0, place)));
            let second = u64::from(word(at + 64).wrapping_add(key_word(block, 1, place)));
            let sum = &mut sums[part][place / 8 % 4];
            *sum = sum.wrapping_add(first * second);
        }
        let mut total = 0u64;
        for (sum, key) in sums.as_flattened().iter().zip(key.sums) {
            let [low, high] = [*sum & 0xffff_ffff, sum >> 32];
            let [low_key, high_key] = [key & 0xffff_ffff, key >> 32];
            total = total.wrapping_add(((low + low_key) & 0xffff_ffff) * ((high + high_key) & 0xffff_ffff));
        }
        let folded = (total & 0xffff_ffff).wrapping_mul(key.multipliers[0]);
        let folded = folded.wrapping_add((total >> 32).wrapping_mul(key.multipliers[1])).wrapping_add(key.addend);
        u32::try_from(folded >> 32).expect("32 bits")
    }

    fn key(seed: u64) -> Key {
        let mut state = seed;
        // splitmix64.
        Key::new(|| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^ word >> 31
        })
    }

    #[test]
    fn a_page_by_hand() {
        let mut key = Key::new(|| 0);
        assert_eq!(key.hash_page(&[]), 0);
        key.multipliers[0] = 1 << 32;
        let mut page = [0; PAGE];
        // 3 * 5 in the first lane, 2^31 * 4 in the second: 2^33, which is 2 in the high half.
        page[..12].copy_from_slice([3u32, 0, 1 << 31].map(u32::to_le_bytes).as_flattened());
        page[64..76].copy_from_slice([5u32, 0, 4].map(u32::to_le_bytes).as_flattened());
        assert_eq!(key.hash_page(&page), 0, "15 * 0 + 0 * 2");
        key.sums[0] = 2 << 32;
        assert_eq!(key.hash_page(&page), 30, "15 * (0 + 2)");
        key.sums[1] = 7;
        assert_eq!(key.hash_page(&page), 44, "and (0 + 7) * 2");
        key.sums[0] |= u64::from(u32::MAX - 14);
        assert_eq!(key.hash_page(&page), 14, "words are added modulo 2^32");
        key.addend = 1 << 32;
        assert_eq!(key.hash_page(&page), 15);
    }

    #[test]
    #[should_panic(expected = "range end index")]
    fn more_than_a_page_is_refused() {
        key(1).hash_page(&[0; PAGE + 1]);
    }

    proptest! {
        #[test]
        fn all_ways_agree_with_the_definition(
            bytes in proptest::collection::vec(any::<u8>(), 0..3 * PAGE),
            seed in any::<u64>(),
        ) {
            let key = key(seed);
            let (pages, last) = bytes.as_chunks::<PAGE>();
            prop_assert_eq!(key.hash_page(&[]), naive(&[], &key));
            prop_assert_eq!(key.hash_page(last), naive(last, &key));
            let expected: Vec<u32> = pages.iter().map(|page| naive(page, &key)).collect();
            let mut hashes = vec![0; pages.len()];
            key.hash_pages(pages, &mut hashes);
            prop_assert_eq!(&hashes, &expected);
            let messages = Messages { blocks: pages.as_flattened().as_chunks().0, blocks_each: PAGE / BLOCK, key: &key };
            hash_portable(messages, &mut hashes);
            prop_assert_eq!(&hashes, &expected);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                unsafe { x86::hash_avx2(messages, &mut hashes) };
                prop_assert_eq!(&hashes, &expected);
            }
        }
    }
}
