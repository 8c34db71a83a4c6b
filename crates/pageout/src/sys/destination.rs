//! Memory that a read fills from front to back, and the proof that it was filled.
//!
//! A vector's spare capacity is uninitialised, and zeroing it first costs as much as the read. A [`Destination`] lets
//! safe code fill such memory: it only ever moves forward over bytes that were written, every split hands each byte to
//! one destination alone, and all destinations of one region share a tally. A full tally is therefore the proof that
//! every byte of the region is initialised.

use std::cell::Cell;
use std::mem::MaybeUninit;

use bytemuck::Pod;

/// A region of memory, filled from the front. Made by the functions of this module only.
#[derive(Debug)]
pub struct Destination<'a> {
    region: &'a mut [MaybeUninit<u8>],
    /// Bytes at the front of `region` that are initialised.
    filled_bytes: usize,
    /// Initialised bytes of all destinations that were split from one region.
    tally: &'a Cell<usize>,
}

impl<'a> Destination<'a> {
    /// Bytes still to be filled.
    #[must_use]
    pub fn remaining_bytes(&self) -> usize {
        self.region.len() - self.filled_bytes
    }

    /// The bytes filled so far.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        let (filled, _) = self.region.split_at(self.filled_bytes);
        // SAFETY: `filled_bytes` grows in `advance` alone, whose callers have initialised the bytes it passes over, and
        // MaybeUninit<u8> has the layout of u8.
        unsafe { &*(std::ptr::from_ref(filled) as *const [u8]) }
    }

    /// The bytes filled so far, to be changed in place (a corrupting device does that).
    #[must_use]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        let (filled, _) = self.region.split_at_mut(self.filled_bytes);
        // SAFETY: as in `filled`; the exclusive borrow of self is the only way to this region.
        unsafe { &mut *(std::ptr::from_mut(filled) as *mut [u8]) }
    }

    /// Copies `bytes` to the front of what remains.
    ///
    /// # Panics
    /// When `bytes` is longer than what remains.
    pub fn append(&mut self, bytes: &[u8]) {
        let spare = &mut self.region[self.filled_bytes..][..bytes.len()];
        // SAFETY: MaybeUninit<u8> has the layout of u8, and initialised bytes may be stored as possibly uninitialised ones.
        let source = unsafe { &*(std::ptr::from_ref(bytes) as *const [MaybeUninit<u8>]) };
        spare.copy_from_slice(source);
        // SAFETY: the line above initialised these bytes.
        unsafe { self.advance(bytes.len()) };
    }

    /// Lets `fill` write all that remains; says whether it did, as `fill` says. Where not, nothing counts as filled, and it can
    /// be tried again.
    ///
    /// # Errors
    /// What `fill` returned.
    ///
    /// # Panics
    /// When `fill` said so without filling everything.
    pub(crate) fn try_fill<E>(&mut self, fill: impl FnOnce(Destination<'_>) -> Result<bool, E>) -> Result<bool, E> {
        let (len_bytes, tally) = (self.remaining_bytes(), Cell::new(0));
        let is_filled = fill(Destination { region: self.spare(), filled_bytes: 0, tally: &tally })?;
        if is_filled {
            assert_eq!(tally.get(), len_bytes, "a read that succeeded filled its destination");
            // SAFETY: the full tally proves that all bytes which remained are initialised.
            unsafe { self.advance(len_bytes) };
        }
        Ok(is_filled)
    }

    /// Takes the first `len_bytes` off as a destination of their own; nothing of this one may be filled yet.
    ///
    /// # Panics
    /// When something is filled, or `len_bytes` is longer than the region.
    #[must_use]
    pub fn split_front(&mut self, len_bytes: usize) -> Destination<'a> {
        assert_eq!(self.filled_bytes, 0, "only an unfilled destination is split");
        let (front, rest) = std::mem::take(&mut self.region).split_at_mut(len_bytes);
        self.region = rest;
        Destination { region: front, filled_bytes: 0, tally: self.tally }
    }

    /// Where the next byte goes, and how many fit: what a system call is given.
    pub(super) fn spare(&mut self) -> &mut [MaybeUninit<u8>] {
        &mut self.region[self.filled_bytes..]
    }

    /// Counts the next `len_bytes` as filled.
    ///
    /// # Safety
    /// The first `len_bytes` of [`Self::spare`] are initialised, and there are that many.
    pub(super) unsafe fn advance(&mut self, len_bytes: usize) {
        debug_assert!(len_bytes <= self.remaining_bytes());
        self.filled_bytes += len_bytes;
        self.tally.set(self.tally.get() + len_bytes);
    }
}

/// Lets `fill` write `elements` more elements behind those of `vec`, whose capacity suffices, and appends them when it
/// filled them all. On an error the vector is as before.
///
/// # Errors
/// What `fill` returned.
///
/// # Panics
/// When the capacity does not suffice, or when `fill` returned `Ok` without filling everything.
pub(crate) fn append_to<T: Pod, E>(
    vec: &mut Vec<T>,
    elements: usize,
    fill: impl FnOnce(Destination<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let spare = &mut vec.spare_capacity_mut()[..elements];
    let len_bytes = size_of_val(spare);
    // SAFETY: the same memory as bytes: any alignment suits u8, possibly uninitialised bytes stay so, and T is Pod, so it
    // has neither a destructor nor an invalid bit pattern.
    let region = unsafe { std::slice::from_raw_parts_mut(spare.as_mut_ptr().cast::<MaybeUninit<u8>>(), len_bytes) };
    fill_region(region, fill)?;
    let len = vec.len() + elements;
    // SAFETY: `fill_region` proved that all bytes of these elements are initialised, and they lie within the capacity.
    unsafe { vec.set_len(len) };
    Ok(())
}

/// Lets `fill` write over all of `target`. On an error it is zeros: what came before the error was verified, but what came of the
/// page that was not is no payload, and where pages are encrypted not meant for anybody.
///
/// # Errors
/// What `fill` returned.
///
/// # Panics
/// When `fill` returned `Ok` without filling everything.
pub(crate) fn overwrite<T: Pod, E>(target: &mut [T], fill: impl FnOnce(Destination<'_>) -> Result<(), E>) -> Result<(), E> {
    let bytes = bytemuck::cast_slice_mut::<T, u8>(target);
    // SAFETY: initialised memory seen as possibly uninitialised; destinations only ever store initialised bytes in it.
    let region = unsafe { &mut *(std::ptr::from_mut(&mut *bytes) as *mut [MaybeUninit<u8>]) };
    fill_region(region, fill).inspect_err(|_| bytes.fill(0))
}

/// Gives `read` the memory of `buffer` as a destination.
pub(crate) fn with_buffer<R>(buffer: &mut [MaybeUninit<u8>], read: impl FnOnce(Destination<'_>) -> R) -> R {
    let tally = Cell::new(0);
    read(Destination { region: buffer, filled_bytes: 0, tally: &tally })
}

fn fill_region<E>(region: &mut [MaybeUninit<u8>], fill: impl FnOnce(Destination<'_>) -> Result<(), E>) -> Result<(), E> {
    let (len_bytes, tally) = (region.len(), Cell::new(0));
    fill(Destination { region, filled_bytes: 0, tally: &tally })?;
    assert_eq!(tally.get(), len_bytes, "a read that succeeded filled its destination");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_grows_by_what_was_filled_in_any_order() {
        let mut vec = vec![1u16];
        vec.reserve(4);
        append_to::<_, ()>(&mut vec, 3, |mut whole| {
            let mut front = whole.split_front(2);
            whole.append(&[3, 0, 4, 0]);
            front.append(&[2, 0]);
            whole.filled_mut()[2] += 1;
            assert_eq!(whole.filled(), [3, 0, 5, 0]);
            Ok(())
        })
        .expect("filled");
        assert_eq!(vec, [1, 2, 3, 5]);
    }

    #[test]
    fn a_failed_fill_leaves_the_vector_as_it_was() {
        let mut vec = vec![7u64];
        vec.reserve(2);
        let result = append_to(&mut vec, 2, |mut whole| {
            whole.append(&[1; 8]);
            Err("disk")
        });
        assert_eq!((result, vec), (Err("disk"), vec![7]));
    }

    #[test]
    #[should_panic(expected = "a read that succeeded filled its destination")]
    fn an_incomplete_fill_is_never_published() {
        let mut vec: Vec<u8> = Vec::with_capacity(2);
        let _ = append_to::<_, ()>(&mut vec, 2, |mut whole| {
            whole.append(&[1]);
            Ok(())
        });
    }

    #[test]
    fn what_was_not_filled_is_tried_again() {
        let mut target = [0u8; 3];
        let filled = overwrite::<_, &str>(&mut target, |mut whole| {
            whole.append(&[1]);
            let partly = |mut rest: Destination<'_>| {
                rest.append(&[9]);
                Ok::<bool, &str>(false)
            };
            assert_eq!((whole.try_fill(partly), whole.remaining_bytes()), (Ok(false), 2));
            assert_eq!((whole.try_fill(|_| Err("disk")), whole.remaining_bytes()), (Err("disk"), 2));
            let all = |mut rest: Destination<'_>| {
                rest.append(&[2, 3]);
                Ok::<bool, &str>(true)
            };
            assert_eq!((whole.try_fill(all)?, whole.filled()), (true, &[1, 2, 3][..]));
            Ok(())
        });
        assert_eq!((filled, target), (Ok(()), [1, 2, 3]));
    }

    #[test]
    #[should_panic(expected = "a read that succeeded filled its destination")]
    fn who_says_that_all_is_filled_has_filled_all() {
        let mut target = [0u8; 2];
        let _ = overwrite::<_, ()>(&mut target, |mut whole| {
            whole.try_fill(|mut rest| {
                rest.append(&[1]);
                Ok(true)
            })?;
            Ok(())
        });
    }

    #[test]
    #[should_panic(expected = "range end index 3 out of range")]
    fn more_than_the_region_is_refused() {
        let mut target = [0u8; 2];
        let _ = overwrite::<_, ()>(&mut target, |mut whole| {
            whole.append(&[1, 2, 3]);
            Ok(())
        });
    }
}
