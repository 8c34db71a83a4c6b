//! Where the choices of a run come from: a seed, or the bytes that a fuzzer makes up.

/// A source of choices.
#[derive(Clone, Debug)]
pub enum Draws<'a> {
    Seeded(u64),
    /// Zeros once they have ended.
    Bytes(&'a [u8]),
}

impl Draws<'_> {
    pub fn seeded(seed: u64) -> Self {
        Draws::Seeded(seed)
    }

    /// Whether bytes that were given have ended.
    pub fn is_used_up(&self) -> bool {
        matches!(self, Draws::Bytes([]))
    }

    /// The bytes that are left; none of a seed.
    pub fn rest(&self) -> &[u8] {
        match self {
            Draws::Seeded(_) => &[],
            Draws::Bytes(rest) => rest,
        }
    }

    /// The next number of so many bytes, at most 8.
    fn bytes(&mut self, count: usize) -> u64 {
        match self {
            Draws::Seeded(state) => next(state) >> (64 - 8 * count),
            Draws::Bytes(rest) => {
                let (front, behind) = rest.split_at(count.min(rest.len()));
                *rest = behind;
                front.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
            }
        }
    }

    pub fn number(&mut self) -> u64 {
        self.bytes(8)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let count = match bound {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        match self {
            Draws::Seeded(state) => next(state) % bound,
            Draws::Bytes(_) => self.bytes(count) % bound,
        }
    }

    pub fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(crate::u64_of(bound))).expect("below a usize")
    }

    /// True in one of `times` cases.
    pub fn one_of(&mut self, times: u64) -> bool {
        self.below(times) == times - 1
    }

    pub fn pick<V: Copy>(&mut self, values: &[V]) -> V {
        values[self.index(values.len())]
    }
}

/// Splitmix64: every state, also neighbouring ones, begins an unrelated sequence.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
