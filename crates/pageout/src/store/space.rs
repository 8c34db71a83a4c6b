//! Exact accounting of space: what is handed out, what the disk holds for us, and the limit.

use std::sync::Weak;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use crate::error::{Error, SpaceFacts};
use crate::keeper::{self, Chore};
use crate::sync::{Arc, AtomicU32, AtomicU64};
use crate::sys::device::Room;
use crate::sys::fork;
use crate::units::MIB;

/// Without a capacity of its own a pager leaves this share of the file system free.
const UNTOUCHED_SHARE: u64 = 10;
/// Idle space that may stay: so many bytes, or this share of what is in use.
const IDLE_BYTES_MAX: u64 = 64 * MIB;
const IDLE_SHARE: u64 = 8;
/// What may stay in each pager in any case, so that a small one keeps the steps that its files grow by.
const IDLE_BYTES_MIN: u64 = 4 * MIB;

/// Bytes of slots that files have grown by without a promise of the file system, and that are not written yet: its room does not
/// show them. They count until this is dropped.
#[derive(Debug)]
pub(super) struct Unwritten {
    space: Arc<Space>,
    bytes: u64,
}

impl Unwritten {
    pub(super) fn new(space: &Arc<Space>, bytes: u64) -> Self {
        space.unwritten_bytes.fetch_add(bytes, Relaxed);
        Self { space: Arc::clone(space), bytes }
    }

    /// Counts so many more.
    pub(super) fn add(&mut self, bytes: u64) {
        self.space.unwritten_bytes.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.space.unwritten_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// Pagers of the process that share what may stay idle.
fn sharers() -> u64 {
    u64::from(fork::stores().max(1))
}

/// Bytes of a file system that a pager without a capacity of its own leaves free.
pub(super) fn untouched_bytes(room: Room) -> u64 {
    room.total_bytes / UNTOUCHED_SHARE
}

/// The space accounting of one store.
#[derive(Debug)]
#[allow(clippy::struct_field_names, reason = "every quantity says its unit")]
pub(crate) struct Space {
    capacity_bytes: AtomicU64,
    /// Bytes of slots handed out or about to be.
    used_bytes: AtomicU64,
    /// Bytes the scratch files have been given by the file system.
    scratch_bytes: AtomicU64,
    /// See [`Unwritten`].
    unwritten_bytes: AtomicU64,
    /// Gives idle space back.
    chore: Weak<dyn Chore>,
    /// One past the number of the process whose keeper was asked for that and is not done; 0 where none was.
    tended_in: AtomicU32,
}

impl Space {
    pub(super) fn new(capacity_bytes: u64, chore: Weak<dyn Chore>) -> Self {
        let zero = || AtomicU64::new(0);
        let capacity_bytes = AtomicU64::new(capacity_bytes);
        Self {
            capacity_bytes,
            used_bytes: zero(),
            scratch_bytes: zero(),
            unwritten_bytes: zero(),
            chore,
            tended_in: AtomicU32::new(0),
        }
    }

    /// Most bytes of slots that may be handed out.
    pub(crate) fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes.load(Relaxed)
    }

    /// Changes the limit.
    pub(super) fn set_capacity(&self, bytes: u64) {
        self.capacity_bytes.store(bytes, Relaxed);
    }

    /// Bytes of idle space past what may stay.
    pub(super) fn excess_bytes(&self) -> u64 {
        self.idle_bytes().saturating_sub((self.may_stay_bytes() / sharers()).max(IDLE_BYTES_MIN))
    }

    /// Whether more space is idle than may stay.
    pub(super) fn has_excess(&self) -> bool {
        let idle_bytes = self.idle_bytes();
        idle_bytes > IDLE_BYTES_MIN && idle_bytes.saturating_mul(sharers()) > self.may_stay_bytes()
    }

    /// Bytes of idle space that may stay in all pagers of the process, by what is in use in this one.
    fn may_stay_bytes(&self) -> u64 {
        IDLE_BYTES_MAX.max(self.used_bytes() / IDLE_SHARE)
    }

    fn idle_bytes(&self) -> u64 {
        self.scratch_bytes().saturating_sub(self.used_bytes())
    }

    /// Leaves it to the keeper to give idle space back.
    pub(super) fn ask_keeper(&self) {
        // A process that may start no thread gives space back by a trim, or when room is short.
        if self.begin_tending() && !keeper::tend(Weak::clone(&self.chore)) {
            self.tended_in.store(0, Relaxed);
        }
    }

    /// Whether the keeper has to come again; it is done else.
    pub(super) fn goes_on_tending(&self, is_waiting: bool) -> bool {
        // Whoever asks from here on has to be heard.
        self.tended_in.store(0, Relaxed);
        (is_waiting || self.has_excess()) && self.begin_tending()
    }

    /// Says whether nobody else looks after the idle space.
    fn begin_tending(&self) -> bool {
        let here = fork::process() + 1;
        self.tended_in.load(Relaxed) != here && self.tended_in.swap(here, AcqRel) != here
    }

    /// Bytes of slots handed out.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }

    /// See [`Unwritten`].
    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.unwritten_bytes.load(Relaxed)
    }

    /// Bytes of disk space that the scratch files hold, used or not.
    pub(crate) fn scratch_bytes(&self) -> u64 {
        self.scratch_bytes.load(Relaxed)
    }

    /// The numbers that an error about space carries.
    pub(crate) fn facts(&self, requested_bytes: u64) -> SpaceFacts {
        SpaceFacts { requested_bytes, used_bytes: self.used_bytes(), capacity_bytes: self.capacity_bytes(), payloads: 0 }
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
            Err(used_bytes) => {
                Err(Error::Capacity(Box::new(SpaceFacts { requested_bytes: bytes, used_bytes, capacity_bytes, payloads: 0 })))
            }
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
        if self.has_excess() {
            self.ask_keeper();
        }
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

    struct Nothing;

    impl Chore for Nothing {
        fn tend(&self) -> bool {
            false
        }
    }

    fn space(capacity_bytes: u64) -> Space {
        Space::new(capacity_bytes, Weak::<Nothing>::new())
    }

    /// What `look` sees while no store is open, with which what may stay idle would be shared.
    fn alone<T>(look: impl Fn() -> T) -> T {
        loop {
            let (before, seen, behind) = (fork::stores(), look(), fork::stores());
            if (before, behind) == (0, 0) {
                return seen;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_eighth_of_what_is_in_use_may_stay_idle_and_64_mib_in_any_case() {
        let space = space(u64::MAX);
        let mut held = space.reserve(80 * MIB).expect("within the limit");
        held.hand_over(80 * MIB);
        space.scratch_bytes.store((80 + 64) * MIB, Relaxed);
        assert_eq!(alone(|| (space.has_excess(), space.excess_bytes())), (false, 0));
        space.scratch_bytes.store((81 + 64) * MIB, Relaxed);
        assert_eq!(alone(|| (space.has_excess(), space.excess_bytes())), (true, MIB));
        let mut more = space.reserve(920 * MIB).expect("within the limit");
        more.hand_over(920 * MIB);
        space.scratch_bytes.store(1126 * MIB, Relaxed);
        assert_eq!(alone(|| (space.has_excess(), space.excess_bytes())), (true, MIB), "an eighth of 1,000 MiB may stay");
    }

    #[test]
    fn pagers_share_what_may_stay_idle_and_4_mib_may_stay_in_each() {
        let space = space(u64::MAX);
        space.scratch_bytes.store(7 * MIB, Relaxed);
        assert_eq!(alone(|| (space.has_excess(), space.excess_bytes())), (false, 0));
        // A share is 3.2 MiB, or less where another test has stores open.
        let _stores: Vec<_> = (0..20).map(|_| fork::Watch::begin().expect("handlers")).collect();
        assert_eq!((space.has_excess(), space.excess_bytes()), (true, 3 * MIB));
        space.scratch_bytes.store(4 * MIB, Relaxed);
        assert_eq!((space.has_excess(), space.excess_bytes()), (false, 0));
    }

    #[test]
    fn a_tenth_of_the_file_system_is_left_free() {
        assert_eq!(untouched_bytes(Room { free_bytes: 3, total_bytes: 1000 }), 100);
    }

    #[test]
    fn what_is_unwritten_counts_until_it_is_dropped() {
        let space = Arc::new(space(100));
        assert_eq!(space.unwritten_bytes(), 0);
        let (mut one, other) = (Unwritten::new(&space, 2), Unwritten::new(&space, 7));
        one.add(3);
        assert_eq!(space.unwritten_bytes(), 12);
        drop(one);
        assert_eq!(space.unwritten_bytes(), 7);
        drop(other);
        assert_eq!(space.unwritten_bytes(), 0);
    }

    #[test]
    fn scratch_space_counts_against_the_limit_as_long_as_it_is_held() {
        let space = space(100);
        space.set_capacity(50);
        space.add_scratch(30);
        assert_eq!((space.scratch_bytes(), space.unreserved_bytes()), (30, 20));
        space.remove_scratch(10);
        assert_eq!((space.scratch_bytes(), space.unreserved_bytes()), (20, 30));
        let _held = space.reserve(7).expect("within the limit");
        let facts = space.facts(5);
        assert_eq!((facts.requested_bytes, facts.used_bytes, facts.capacity_bytes), (5, 7, 50));
    }

    #[test]
    fn one_keeper_at_a_time_tends_a_store() {
        let space = space(100);
        assert!(space.begin_tending());
        assert!(!space.begin_tending());
        assert!(space.goes_on_tending(true), "something waits");
        assert!(!space.begin_tending());
        assert!(!space.goes_on_tending(false), "nothing is idle");
        assert!(space.begin_tending());
        space.scratch_bytes.store(IDLE_BYTES_MAX + 1, Relaxed);
        assert!(space.goes_on_tending(false), "too much is idle");
    }

    #[test]
    #[cfg(not(any(pageout_loom, miri)))]
    fn space_that_makes_too_much_idle_is_left_to_the_keeper() {
        /// Says that it was tended.
        struct Tended(std::sync::mpsc::SyncSender<()>);
        impl Chore for Tended {
            fn tend(&self) -> bool {
                self.0.send(()).expect("the test waits");
                false
            }
        }
        // The keeper waits in it until the test looks.
        let (tell, tended) = std::sync::mpsc::sync_channel(0);
        let chore = Arc::new(Tended(tell));
        let space = Space::new(u64::MAX, Arc::downgrade(&chore) as Weak<dyn Chore>);
        space.add_scratch(64 * MIB + 1);
        assert_eq!(Arc::weak_count(&chore), 2, "the space and the keeper know it");
        assert!(!space.begin_tending(), "one keeper is enough");
        tended.recv().expect("the keeper came");
    }

    #[test]
    fn the_limit_holds_and_refusals_carry_the_numbers() {
        let space = space(10);
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
        let space = space(u64::MAX);
        let _held = space.reserve(5).expect("within the limit");
        assert!(space.reserve(u64::MAX).is_err());
    }
}
