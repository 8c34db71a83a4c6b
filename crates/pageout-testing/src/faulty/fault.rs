//! What goes wrong with which call.

use std::collections::BTreeSet;

use super::call::Call;

/// What a fault does to the call it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The call fails with this error number and does nothing.
    Fail(i32),
    /// The transfer stops early.
    Short(Short),
    /// The write says that all was written and writes nothing: what was there before stays.
    LoseWrite,
    /// The write says that all was written and writes the first half.
    TearWrite,
    /// The write lands so many bytes further on.
    MisplaceWrite(u64),
    /// The read brings bytes that lie so many bytes further on.
    MisplaceRead(u64),
    /// A bit of the byte at this place of the read is flipped; the place counts from the end round and round.
    FlipRead(u64),
    /// The same of a write.
    FlipWrite(u64),
    /// The read brings what was written there before, where the device remembers that.
    StaleRead,
    /// Just before the call another writer takes all room but so many pages; it gives it back when the fault is over.
    TakeRoom(u64),
    /// The write-back is started, and fails behind the call with this error number; what it was about is still in memory.
    LateError(i32),
    /// The same, and memory has dropped what it was about.
    LateLoss(i32),
}

impl Effect {
    /// Whether a call of this length does not even notice.
    pub(super) fn is_whole(self, len_bytes: u64) -> bool {
        matches!(self, Self::Short(short) if short.of(len_bytes) >= len_bytes)
    }
}

/// How many of the bytes asked for a call moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    Bytes(u64),
    Half,
    AllButOne,
}

impl Short {
    pub const ALL: [Self; 6] = [Self::Bytes(0), Self::Bytes(1), Self::Bytes(511), Self::Bytes(512), Self::Half, Self::AllButOne];

    pub fn of(self, len_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.min(len_bytes),
            Self::Half => len_bytes.div_ceil(2),
            Self::AllButOne => len_bytes.saturating_sub(1).max(1),
        }
    }

    /// The ways in which a transfer of so many bytes may stop early, each length once. One byte at a time for good would
    /// take very long where payloads are long; short ones have tests of their own.
    pub fn all_of(len_bytes: u64, lasts: Lasts) -> impl Iterator<Item = Self> {
        let mut lengths = BTreeSet::new();
        let is_bearable = move |short: &Self| lasts == Lasts::Once || short.of(len_bytes) != 1;
        let is_new = move |short: &Self| short.of(len_bytes) < len_bytes && lengths.insert(short.of(len_bytes));
        Self::ALL.into_iter().filter(is_bearable).filter(is_new)
    }
}

/// Which calls of its kind a fault hits, beside the one that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// No other.
    Once,
    /// All later ones.
    ForGood,
    /// One of so many, again and again.
    OneOf(u64),
}

/// What goes wrong: the call number `index` of its kind, counted from [`Disk::arm`](super::Disk::arm).
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: Call,
    pub index: u64,
    pub effect: Effect,
    pub lasts: Lasts,
}
