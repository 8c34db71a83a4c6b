//! Exact accounting of space: what is handed out, what the disk holds for us, and the limit.

use std::sync::atomic::Ordering::Relaxed;

use crate::error::{Error, SpaceFacts};
use crate::sync::AtomicU64;

/// The space accounting of one store.
#[derive(Debug)]
#[allow(clippy::struct_field_names, reason = "every quantity says its unit")]
pub(crate) struct Space {
    capacity_bytes: AtomicU64,
    /// Bytes of slots handed out or about to be.
    used_bytes: AtomicU64,
    /// Bytes the scratch files have been given by the file system.
    scratch_bytes: AtomicU64,
}

impl Space {
    pub(super) fn new(capacity_bytes: u64) -> Self {
        Self { capacity_bytes: AtomicU64::new(capacity_bytes), used_bytes: AtomicU64::new(0), scratch_bytes: AtomicU64::new(0) }
    }

    /// Most bytes of slots that may be handed out.
    pub(crate) fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes.load(Relaxed)
    }

    /// Raises the limit where `bytes` is more.
    pub(super) fn raise_capacity(&self, bytes: u64) {
        self.capacity_bytes.fetch_max(bytes, Relaxed);
    }

    /// Bytes of slots handed out.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }

    /// Bytes of disk space that the scratch files hold, used or not.
    pub(crate) fn scratch_bytes(&self) -> u64 {
        self.scratch_bytes.load(Relaxed)
    }

    /// The numbers that an error about space carries.
    pub(crate) fn facts(&self, requested_bytes: u64) -> SpaceFacts {
        SpaceFacts { requested_bytes, used_bytes: self.used_bytes(), capacity_bytes: self.capacity_bytes() }
    }

    /// Counts `bytes` as used.
    ///
    /// # Errors
    /// [`Error::Capacity`] when that would exceed the limit; nothing is counted then.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, Error> {
        let capacity_bytes = self.capacity_bytes();
        let within = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= capacity_bytes);
        match self.used_bytes.fetch_update(Relaxed, Relaxed, within) {
            Ok(_) => Ok(Reservation { space: self, bytes }),
            Err(used_bytes) => Err(Error::Capacity(Box::new(SpaceFacts { requested_bytes: bytes, used_bytes, capacity_bytes }))),
        }
    }

    /// Counts `bytes`, reserved before, as free again.
    pub(super) fn release(&self, bytes: u64) {
        let before = self.used_bytes.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "more is released than was reserved");
    }

    /// Bytes that scratch files may still be given within the limit.
    pub(super) fn unreserved_bytes(&self) -> u64 {
        self.capacity_bytes().saturating_sub(self.scratch_bytes())
    }

    pub(super) fn add_scratch(&self, bytes: u64) {
        self.scratch_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn remove_scratch(&self, bytes: u64) {
        let before = self.scratch_bytes.fetch_sub(bytes, Relaxed);
        debug_assert!(before >= bytes, "more space is given back than there was");
    }
}

/// Space that is counted as used but does not belong to a slot yet. Dropped, it is free again.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    space: &'a Space,
    bytes: u64,
}

impl Reservation<'_> {
    /// Hands `bytes` of it over to a slot, which gives them back itself.
    pub(super) fn hand_over(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.bytes, "a slot costs more than was reserved");
        self.bytes -= bytes;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.space.release(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_refusals_carry_the_numbers() {
        let space = Space::new(10);
        let mut held = space.reserve(7).expect("within the limit");
        let error = space.reserve(4).expect_err("past the limit");
        let Error::Capacity(facts) = error else { panic!("{error:?}") };
        assert_eq!((facts.requested_bytes, facts.used_bytes, facts.capacity_bytes), (4, 7, 10));
        held.hand_over(5);
        drop(held);
        assert_eq!(space.used_bytes(), 5, "what a slot took over stays counted");
        space.release(5);
        assert_eq!(space.used_bytes(), 0);
    }

    #[test]
    fn a_request_that_overflows_is_refused() {
        let space = Space::new(u64::MAX);
        let _held = space.reserve(5).expect("within the limit");
        assert!(space.reserve(u64::MAX).is_err());
    }
}
