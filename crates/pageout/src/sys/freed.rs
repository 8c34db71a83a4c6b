//! Memory that was freed and that the C library keeps, block by block. [`memory::give_heap_back`](super::memory::give_heap_back)
//! walks all free blocks of the heap instead.

use std::collections::BTreeMap;
use std::ops::Range;

use super::memory::page_bytes;

/// The pages of memory that was freed and may still be resident, by addresses: an upper bound, since whoever allocates them again
/// tells nobody. Memory that is freed twice was in use in between and counts once.
#[derive(Debug, Default)]
pub struct FreedPages {
    /// The ends of the ranges of addresses by their starts; they neither overlap nor touch.
    ends: BTreeMap<usize, usize>,
    len_bytes: usize,
}

impl FreedPages {
    /// Adds the whole pages of memory that is freed.
    pub fn add(&mut self, memory: Range<usize>) {
        let mut pages = pages_inside(memory);
        if pages.is_empty() {
            return;
        }
        while let Some((start, end)) = self.ends.range(..=pages.end).next_back().map(|(&start, &end)| (start, end)) {
            if end < pages.start {
                break;
            }
            self.cut(start);
            pages = pages.start.min(start)..pages.end.max(end);
        }
        self.put(pages);
    }

    /// Removes the whole pages of memory that is in use, or whose pages were given back.
    pub fn remove(&mut self, memory: Range<usize>) {
        let pages = pages_inside(memory);
        if pages.is_empty() {
            return;
        }
        while let Some((start, end)) = self.ends.range(..pages.end).next_back().map(|(&start, &end)| (start, end)) {
            if end <= pages.start {
                break;
            }
            self.cut(start);
            self.put(pages.end..end);
            self.put(start..pages.start);
        }
    }

    /// Forgets all: they were given back.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    fn put(&mut self, pages: Range<usize>) {
        if !pages.is_empty() {
            self.len_bytes += pages.len();
            self.ends.insert(pages.start, pages.end);
        }
    }

    fn cut(&mut self, start: usize) {
        if let Some(end) = self.ends.remove(&start) {
            self.len_bytes -= end - start;
        }
    }
}

/// The addresses of the whole pages inside memory.
fn pages_inside(memory: Range<usize>) -> Range<usize> {
    memory.start.next_multiple_of(page_bytes())..memory.end - memory.end % page_bytes()
}

/// Gives back the pages of `len_bytes` bytes at `address` that were just freed. Returns whether they are back; where the C library
/// is not glibc it never knows.
///
/// Allocates as many bytes, which mostly are the same, and discards those that are. Only memory that is allocated here is ever
/// advised, so no harm is done where others have it. This also reaches the last block, which `malloc_trim` leaves where the heap is
/// not one contiguous piece: beside the code range of V8, and in the arenas of other threads.
#[must_use]
pub fn discard_freed(address: usize, len_bytes: usize) -> bool {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    return glibc::discard_freed(address, len_bytes);
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        let _ = (address, len_bytes);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The same, page by page.
    #[derive(Default)]
    struct Naive(BTreeSet<usize>);

    impl Naive {
        fn add(&mut self, memory: Range<usize>) {
            self.0.extend(pages_inside(memory).step_by(page_bytes()));
        }

        fn remove(&mut self, memory: Range<usize>) {
            let pages = pages_inside(memory);
            self.0.retain(|page| !pages.contains(page));
        }
    }

    #[test]
    fn pages_are_counted_as_one_by_one() {
        let mut state = 7u64;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % bound
        };
        let (mut pages, mut naive) = (FreedPages::default(), Naive::default());
        for step in 0..4000 {
            let start = below(64 * page_bytes());
            let end = start + below(8 * page_bytes());
            // Every second time whole pages, which touch their neighbours more often.
            let mask = if step % 2 == 0 { page_bytes() - 1 } else { 0 };
            let memory = start & !mask..end & !mask;
            if below(3) == 0 {
                pages.remove(memory.clone());
                naive.remove(memory);
            } else {
                pages.add(memory.clone());
                naive.add(memory);
            }
            assert_eq!(pages.len_bytes(), naive.0.len() * page_bytes(), "step {step}");
            let ends: Vec<(usize, usize)> = pages.ends.iter().map(|(&start, &end)| (start, end)).collect();
            assert!(ends.iter().all(|(start, end)| start < end), "step {step}");
            assert!(ends.windows(2).all(|pair| pair[0].1 < pair[1].0), "step {step}");
        }
        pages.clear();
        assert_eq!(pages.len_bytes(), 0);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::mem::MaybeUninit;

    use crate::sys::call::last;
    use crate::sys::memory::{discard_pages, page_bytes};

    /// From here on it is worth to look for a block behind others.
    const LONG_BYTES: usize = 1 << 20;
    const TRIES_MAX: usize = 64;

    pub(super) fn discard_freed(address: usize, len_bytes: usize) -> bool {
        // Free blocks of its size and blocks that it was merged with may come first: they are held until it does.
        let mut held = [const { None }; TRIES_MAX];
        let tries = if len_bytes < LONG_BYTES { 2 } else { TRIES_MAX };
        let mut left_bytes = len_bytes;
        for (position, place) in held.iter_mut().take(tries).enumerate() {
            *place = Block::allocate(len_bytes);
            let Some(block) = place else { return false };
            left_bytes = left_bytes.saturating_sub(block.discard(address, len_bytes));
            // Long blocks that the C library mapped by themselves are unmapped.
            if left_bytes < page_bytes() || position == 0 && !is_mapped(address + len_bytes / 2) {
                return true;
            }
        }
        false
    }

    /// Memory that is allocated for a moment.
    struct Block {
        start: *mut MaybeUninit<u8>,
        len_bytes: usize,
    }

    impl Block {
        fn allocate(len_bytes: usize) -> Option<Self> {
            // SAFETY: malloc has no precondition.
            let start: *mut MaybeUninit<u8> = unsafe { libc::malloc(len_bytes) }.cast();
            (!start.is_null()).then_some(Self { start, len_bytes })
        }

        /// Discards what it has of the `len_bytes` bytes at `address`, and returns how many bytes that is.
        fn discard(&mut self, address: usize, len_bytes: usize) -> usize {
            let own = self.start.addr();
            let start = address.saturating_sub(own);
            let end = (address + len_bytes).saturating_sub(own).min(self.len_bytes);
            if start >= end {
                return 0;
            }
            // SAFETY: malloc gave these bytes to us, nobody else knows them, and any content is valid for `MaybeUninit`.
            let memory = unsafe { std::slice::from_raw_parts_mut(self.start, self.len_bytes) };
            discard_pages(&mut memory[start..end]);
            end - start
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            // SAFETY: `start` comes from malloc and is freed once; slices of it end in the method that makes them.
            unsafe { libc::free(self.start.cast()) };
        }
    }

    /// Whether there is memory at `address`.
    fn is_mapped(address: usize) -> bool {
        let page = address - address % page_bytes();
        let mut answer = 0;
        // SAFETY: mincore looks at no content, and writes one byte for one page.
        let outcome = unsafe { libc::mincore(std::ptr::without_provenance_mut(page), 1, &raw mut answer) };
        outcome == 0 || last("mincore").errno != libc::ENOMEM
    }

    #[cfg(test)]
    #[cfg(not(miri))]
    mod tests {
        use super::*;
        use crate::sys::memory::give_heap_back;

        /// Frees blocks in the given order; returns how many were found.
        fn free_all(blocks: Vec<Vec<u8>>) -> usize {
            let addresses = blocks.into_iter().map(|block| (block.as_ptr().addr(), block.len()));
            addresses.filter(|&(address, len_bytes)| discard_freed(address, len_bytes)).count()
        }

        #[test]
        fn memory_that_was_just_freed_is_given_back_and_its_neighbours_stay() {
            let blocks: Vec<Vec<u8>> = (0..64).map(|_| vec![7; 64 * 1024]).collect();
            let neighbours: Vec<Vec<u8>> = (0..64).map(|_| vec![9; 3000]).collect();
            assert!(free_all(blocks) > 0, "the C library never gave the same block again");
            assert!(neighbours.iter().flatten().all(|&byte| byte == 9));
            give_heap_back();
        }

        #[test]
        fn long_blocks_are_found_behind_others_of_their_length() {
            // glibc keeps blocks of this length in the heap once one of them was freed.
            let len_bytes = 4 << 20;
            drop(vec![7u8; len_bytes]);
            let mut blocks: Vec<Vec<u8>> = (0..16).map(|_| vec![7; len_bytes]).collect();
            let last = blocks.pop();
            drop(blocks);
            assert_eq!(free_all(last.into_iter().collect()), 1);
        }

        #[test]
        fn no_block_is_elsewhere() {
            let other = vec![7u8; 64 * 1024];
            assert!(!discard_freed(other.as_ptr().addr() + 1, other.len()));
            assert!(other.iter().all(|&byte| byte == 7));
            assert!(!is_mapped(0));
        }
    }
}
