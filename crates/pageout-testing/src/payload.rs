//! Payloads: made from a seed, cut, compared, and what can be observed of the memory they are in.

use std::collections::{BTreeMap, TryReserveError};
use std::io::IoSlice;
use std::sync::{Mutex, OnceLock};

use bytemuck::Pod;
use pageout::frames::Workspace;

/// Bytes.
pub const KIB: usize = 1 << 10;
/// Bytes.
pub const MIB: usize = 1 << 20;
/// Bytes of a page of the crate, which has a checksum of its own.
pub const PAGE: usize = 4 * KIB;
/// The largest slot; longer payloads take several.
pub const LARGEST_SLOT: usize = 64 * MIB;

/// Bytes of a piece of a collector, and of a payload that is compressed, each of which has a slot of its own.
pub const PIECE: usize = 4 * MIB;

/// Bytes of the pattern before it repeats: a prime, so that no page, slot or chunk equals its neighbour.
const PERIOD: usize = 65_521;

/// Elements that differ from place to place and from seed to seed. Some bytes that follow each other are the same, so that compression
/// makes more than a page of them shorter, if not by much.
pub fn elements<T: Pod>(len: usize, seed: u64) -> Vec<T> {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    repeated(len, seed, PATTERN.get_or_init(|| pattern(is_blank)))
}

/// Elements that nothing makes shorter.
pub fn noise<T: Pod>(len: usize, seed: u64) -> Vec<T> {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    repeated(len, seed, PATTERN.get_or_init(|| pattern(|_| false)))
}

fn repeated<T: Pod>(len: usize, seed: u64, pattern: &[u8]) -> Vec<T> {
    let mut vec = vec![T::zeroed(); len];
    let mut rest = bytemuck::cast_slice_mut::<T, u8>(&mut vec);
    let mut start = usize::try_from(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).expect("32 bits") % PERIOD;
    while !rest.is_empty() {
        let part = rest.len().min(PERIOD - start);
        let (front, behind) = rest.split_at_mut(part);
        front.copy_from_slice(&pattern[start..start + part]);
        (rest, start) = (behind, 0);
    }
    vec
}

/// Elements that become shorter when they are compressed: as 64-bit words they grow slowly. They differ from place to place and from
/// seed to seed.
pub fn columns<T: Pod>(len: usize, seed: u64) -> Vec<T> {
    let mut vec = elements::<T>(len, seed);
    for (position, word) in (0u64..).zip(bytemuck::cast_slice_mut::<T, u8>(&mut vec).chunks_mut(8)) {
        let value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24 ^ (position * 8 + u64::from(word[0] & 7));
        word.copy_from_slice(&value.to_le_bytes()[..word.len()]);
    }
    vec
}

/// Five bytes of eight are the same, in three words of four.
fn is_blank(position: usize) -> bool {
    position % 8 > 2 && position / 8 % 64 > 15
}

/// Bytes that nobody can guess, but those that are blank.
fn pattern(is_blank: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut bytes = vec![0; PERIOD];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for eight in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        eight.copy_from_slice(&state.to_le_bytes()[..eight.len()]);
    }
    for (position, byte) in bytes.iter_mut().enumerate().filter(|&(position, _)| is_blank(position)) {
        *byte = (position / 4096).to_le_bytes()[0];
    }
    bytes
}

/// Cuts `whole` into chunks of the lengths given, the rest into a last one.
pub fn cut<T: Pod>(whole: &[T], lens: &[usize]) -> Vec<Vec<T>> {
    let mut rest = whole;
    let mut chunks = Vec::new();
    for &len in lens {
        let (front, back) = rest.split_at(len.min(rest.len()));
        chunks.push(front.to_vec());
        rest = back;
    }
    if !rest.is_empty() {
        chunks.push(rest.to_vec());
    }
    chunks
}

/// Bit for bit the same, which `==` does not say of floating point numbers. Prints no content: payloads may be long.
#[track_caller]
pub fn assert_same<T: Pod>(actual: &[T], expected: &[T]) {
    assert_eq!(actual.len(), expected.len(), "the lengths differ");
    let (actual, expected): (&[u8], &[u8]) = (bytemuck::cast_slice(actual), bytemuck::cast_slice(expected));
    if actual != expected {
        let first = actual.iter().zip(expected).position(|(a, b)| a != b);
        panic!("{} bytes differ first at byte {first:?}", actual.len());
    }
}

/// The elements that ranges name, one after the other: the plain way to read.
pub fn gather<T: Pod>(whole: &[T], ranges: &[(usize, usize)]) -> Vec<T> {
    let parts: Vec<&[T]> = ranges.iter().map(|&(offset, len)| &whole[offset..offset + len]).collect();
    parts.concat()
}

/// What can be observed of a vector: an operation that must leave it alone leaves all of it alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Memory {
    address: usize,
    capacity: usize,
    bytes: Vec<u8>,
}

impl Memory {
    pub fn address(&self) -> usize {
        self.address
    }
}

pub fn memory<T: Pod>(vec: &Vec<T>) -> Memory {
    Memory { address: vec.as_ptr().addr(), capacity: vec.capacity(), bytes: bytemuck::cast_slice(vec).to_vec() }
}

pub fn memories<T: Pod>(chunks: &[Vec<T>]) -> Vec<Memory> {
    chunks.iter().map(memory).collect()
}

/// Bytes that a compressed payload takes in its slots, piece by piece; one that is not compressed as a whole.
pub fn stored_lens<T: Pod>(whole: &[T]) -> Vec<usize> {
    // The codec is slow in the debug build, and tests ask for the same again and again.
    static KNOWN: Mutex<BTreeMap<[u64; 3], Vec<usize>>> = Mutex::new(BTreeMap::new());
    let bytes: &[u8] = bytemuck::cast_slice(whole);
    let sum = bytes.chunks(8).fold(0u64, |sum, word| {
        let mut full = [0; 8];
        full[..word.len()].copy_from_slice(word);
        (sum ^ u64::from_le_bytes(full)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    });
    let key = [u64_of(bytes.len()), u64_of(size_of::<T>()), sum];
    let mut known = KNOWN.lock().expect("no test panics while it holds this");
    known.entry(key).or_insert_with(|| encoded_lens(bytes, size_of::<T>())).clone()
}

fn encoded_lens(bytes: &[u8], element_bytes: usize) -> Vec<usize> {
    let mut workspace = Workspace::new().expect("memory");
    let mut stored_len = |piece: &[u8]| {
        let slices = [IoSlice::new(piece)];
        let len_bytes = u64_of(piece.len());
        let form = workspace.choose(&slices, len_bytes, element_bytes).filter(|_| piece.len() > PAGE);
        let layout = form.map(|form| workspace.encode_all(&slices, len_bytes, form, |_| Ok::<(), TryReserveError>(())));
        layout.map_or(piece.len(), |layout| usize::try_from(layout.expect("memory").stored_bytes()).expect("a length"))
    };
    let lens: Vec<usize> = bytes.chunks(PIECE).map(&mut stored_len).collect();
    if lens.iter().sum::<usize>() == bytes.len() && bytes.len() <= LARGEST_SLOT { vec![bytes.len()] } else { lens }
}

/// Bytes of slots that a payload takes, by looking at every slot length there is.
pub fn slot_bytes(len_bytes: usize) -> u64 {
    let lengths = (12..=26).flat_map(|power| [1 << power, (1 << power) / 2 * 3]);
    // Half as much again as one page is no whole number of pages.
    let slots = lengths.filter(|length: &usize| length.is_multiple_of(PAGE) && *length <= LARGEST_SLOT);
    let rest = len_bytes % LARGEST_SLOT;
    let last = if rest == 0 { 0 } else { slots.filter(|&length| length >= rest).min().expect("no longer than the largest") };
    u64_of(len_bytes - rest + last)
}

pub fn u64_of(value: usize) -> u64 {
    u64::try_from(value).expect("a usize of at most 64 bits")
}
