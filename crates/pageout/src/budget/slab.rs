//! Values by number, in segments that are never moved or copied: a million of them take the memory of a million, and not of the
//! next power of two.

use std::collections::TryReserveError;
use std::ops::{Index, IndexMut};

use crate::units;

/// Values of a segment. The list of segments doubles as it grows, which is a fraction of a byte for each value.
const SEGMENT: usize = 64;

/// A list that only grows.
#[derive(Debug)]
pub(super) struct Slab<T> {
    /// All but the last are full.
    segments: Vec<Vec<T>>,
    len: u32,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }

    /// How many values there are: the number of the next.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Allocates for one more value.
    ///
    /// # Errors
    /// When memory cannot be allocated, or there are as many values as can be numbered.
    pub(super) fn try_reserve(&mut self) -> Result<(), TryReserveError> {
        let has_room = self.segments.last().is_some_and(|last| last.len() < SEGMENT);
        if has_room {
            return Ok(());
        }
        self.segments.try_reserve(1)?;
        let mut segment = Vec::new();
        segment.try_reserve_exact(SEGMENT)?;
        self.segments.push(segment);
        Ok(())
    }

    /// Adds a value, for which was allocated, and says which number it has.
    pub(super) fn push(&mut self, value: T) -> u32 {
        let number = self.len;
        self.segments.last_mut().expect("memory was allocated").push(value);
        self.len += 1;
        number
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let number = units::index(number);
        self.segments.get(number / SEGMENT)?.get(number % SEGMENT)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.segments.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.segments.iter_mut().flatten()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        let number = units::index(number);
        &self.segments[number / SEGMENT][number % SEGMENT]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        let number = units::index(number);
        &mut self.segments[number / SEGMENT][number % SEGMENT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_numbers_and_their_addresses() {
        let mut slab = Slab::new();
        let mut addresses = Vec::new();
        for value in 0..1000u32 {
            slab.try_reserve().expect("memory");
            slab.try_reserve().expect("memory");
            assert_eq!((slab.len(), slab.get(value)), (value, None));
            assert_eq!(slab.push(value), value);
            addresses.push(std::ptr::from_ref(&slab[value]));
        }
        slab[7] = 70;
        slab.iter_mut().filter(|value| **value == 8).for_each(|value| *value = 80);
        assert!((0..1000).zip(&addresses).all(|(number, &address)| std::ptr::eq(&raw const slab[number], address)));
        let values: Vec<u32> = slab.iter().copied().collect();
        assert_eq!((values.len(), &values[6..10]), (1000, &[6, 70, 80, 9][..]));
        assert_eq!((slab.get(1000), slab.get(u32::MAX)), (None, None));
    }

    #[test]
    fn no_more_is_allocated_than_one_segment_is_long() {
        for len in [1, SEGMENT, SEGMENT + 1, 100_001] {
            let mut slab = Slab::new();
            for _ in 0..len {
                slab.try_reserve().expect("memory");
                slab.push(0u64);
            }
            let allocated: usize = slab.segments.iter().map(Vec::capacity).sum();
            assert_eq!(allocated, len.next_multiple_of(SEGMENT));
        }
    }
}
