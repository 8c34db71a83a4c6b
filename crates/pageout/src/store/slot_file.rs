//! One scratch file: slots of one class, and who holds them.

use std::collections::TryReserveError;
use std::io::IoSlice;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use super::lock;
use super::space::{Reservation, Space};
use super::write_behind::{REFRESH_BYTES, WriteBehind};
use crate::error::Error;
use crate::slots::{BitSet, Class, FreeSlots, Run};
use crate::sync::{Arc, AtomicBool, AtomicI32, Mutex, UnsizedArc};
use crate::sys::device::Outcome;
use crate::sys::{Destination, Failure, ScratchFile};
use crate::units;

/// A scratch file. The last one that holds it closes it, which gives its space back.
#[derive(Debug)]
pub(super) struct SlotFile {
    file: Box<dyn ScratchFile>,
    class: Class,
    slots: Mutex<Slots>,
    /// Set for good by the first write that failed for another reason than missing room.
    failed: AtomicBool,
    /// The error number with which the device lost something of this file; 0 as long as it said nothing of the kind.
    write_back_errno: AtomicI32,
    space: Arc<Space>,
    write_behind: Arc<WriteBehind>,
    /// The scratch directory, for errors.
    path: UnsizedArc<Path>,
}

/// Takes a slot with disk space: any, or only one that was used before.
pub(super) type ChooseSlot = fn(&mut FreeSlots) -> Option<u32>;

/// What is known about the slots of a file.
#[derive(Debug)]
struct Slots {
    free: FreeSlots,
    /// Slots in use that were written and not pushed to the device.
    dirty: BitSet,
    /// Bytes that were claimed since the memory limit was looked at.
    unseen_bytes: u64,
}

impl Slots {
    /// A free slot of `slot_bytes`, which counts as dirty from now on, and whether to look at the memory limit.
    fn claim(&mut self, slot_bytes: u64, choose: ChooseSlot) -> Option<(u32, bool)> {
        let index = choose(&mut self.free)?;
        let was_clean = self.dirty.insert(index);
        debug_assert!(was_clean, "a free slot is not dirty");
        self.unseen_bytes += slot_bytes;
        let is_limit_due = self.unseen_bytes >= REFRESH_BYTES;
        if is_limit_due {
            self.unseen_bytes = 0;
        }
        Some((index, is_limit_due))
    }
}

impl SlotFile {
    pub(super) fn new(
        file: Box<dyn ScratchFile>,
        class: Class,
        space: Arc<Space>,
        write_behind: Arc<WriteBehind>,
        path: UnsizedArc<Path>,
    ) -> Self {
        let slots = Mutex::new(Slots { free: FreeSlots::new(class.slot_bytes()), dirty: BitSet::default(), unseen_bytes: 0 });
        let (failed, write_back_errno) = (AtomicBool::new(false), AtomicI32::new(0));
        Self { file, class, slots, failed, write_back_errno, space, write_behind, path }
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// No new slot comes from this file any more, and what is dirty in it is left to the system.
    pub(super) fn set_failed(&self) {
        self.failed.store(true, Relaxed);
        let mut slots = lock(&self.slots);
        while let Some(run) = slots.dirty.pop_run(u32::MAX) {
            self.write_behind.forget(self.run_bytes(run));
        }
    }

    /// The error number with which the device lost something of this file, where the system has said so.
    pub(super) fn write_back_errno(&self) -> Option<i32> {
        Some(self.write_back_errno.load(Relaxed)).filter(|&errno| errno != 0)
    }

    /// Asks the system whether the device has lost something of this file. A file that it lost something of is set aside.
    pub(super) fn check_write_back(&self) {
        if let Err(failure) = self.file.check_write_back() {
            self.set_lost(failure);
        }
    }

    /// The device has lost something of this file. Which bytes their checksums say.
    fn set_lost(&self, failure: Failure) {
        if self.write_back_errno.swap(failure.errno, Relaxed) == 0 {
            self.write_behind.add_failed_file();
        }
        self.set_failed();
    }

    /// Bytes of slots in use.
    pub(super) fn used_bytes(&self) -> u64 {
        u64::from(lock(&self.slots).free.in_use()) * self.class.slot_bytes()
    }

    /// The free slot that `choose` takes; the file where there is none. The slot is not charged to the accounting yet.
    pub(super) fn claim(this: Arc<Self>, choose: ChooseSlot) -> Result<UnchargedSlot, Arc<Self>> {
        let slot_bytes = this.class.slot_bytes();
        let claimed = {
            let mut slots = lock(&this.slots);
            // Counted under the lock: a push that finds the slot subtracts it.
            slots.claim(slot_bytes, choose).inspect(|_| this.write_behind.add_dirty(slot_bytes))
        };
        let Some((index, is_limit_due)) = claimed else { return Err(this) };
        if is_limit_due {
            this.write_behind.refresh();
        }
        Ok(UnchargedSlot { file: this, index })
    }

    /// Bytes of slots in use that were written and not pushed.
    pub(super) fn dirty_bytes(&self) -> u64 {
        u64::from(lock(&self.slots).dirty.len()) * self.class.slot_bytes()
    }

    /// Starts the write-back of up to `bytes_max` bytes of neighbouring dirty slots, the lowest; says how many. Where the
    /// system refuses, or has lost something that was written before, the file is set aside.
    pub(super) fn push(&self, bytes_max: u64) -> u64 {
        let count_max = u32::try_from(bytes_max.div_ceil(self.class.slot_bytes())).unwrap_or(u32::MAX);
        let run = lock(&self.slots).dirty.pop_run(count_max);
        let Some(run) = run else { return 0 };
        self.write_behind.add_pushed(self.run_bytes(run));
        if let Err(failure) = self.file.start_write_back(self.offset(run.first), self.run_bytes(run)) {
            self.set_lost(failure);
        }
        self.run_bytes(run)
    }

    pub(super) fn has_free(&self) -> bool {
        lock(&self.slots).free.has_free()
    }

    /// Bytes of disk space that the file holds.
    pub(super) fn space_bytes(&self) -> u64 {
        u64::from(lock(&self.slots).free.with_space()) * self.class.slot_bytes()
    }

    /// Reserves disk space for up to `slots_max` more slots: holes first, else at the end.
    ///
    /// # Errors
    /// What the operating system said; EFBIG also when slots can no longer be numbered. Nothing has changed then.
    pub(super) fn add_space(&self, slots_max: u64) -> Outcome<()> {
        let count_max = u32::try_from(slots_max).unwrap_or(u32::MAX);
        let holes = lock(&self.slots).free.take_holes(count_max);
        match holes {
            Some(run) => self.refill(run),
            None => self.lengthen(count_max),
        }
    }

    fn refill(&self, holes: Run) -> Outcome<()> {
        let outcome = self.reserve(holes);
        let mut slots = lock(&self.slots);
        match outcome {
            Ok(()) => slots.free.put_idle(holes),
            Err(_) => slots.free.put_holes(holes),
        }
        outcome
    }

    fn lengthen(&self, count_max: u32) -> Outcome<()> {
        let run = {
            let mut slots = lock(&self.slots);
            let first = slots.free.bound();
            let run = Run { first, count: count_max.min(u32::MAX - first) };
            let prepared = slots.free.prepare(run.count).and_then(|()| slots.dirty.extend_to(first + run.count));
            prepared.map_err(|_| Failure::new("malloc", libc::ENOMEM))?;
            run
        };
        if run.count == 0 {
            return Err(Failure::new("fallocate", libc::EFBIG));
        }
        self.reserve(run)?;
        lock(&self.slots).free.extend(run.count);
        Ok(())
    }

    fn reserve(&self, run: Run) -> Outcome<()> {
        let len_bytes = self.run_bytes(run);
        self.file.reserve(self.offset(run.first), len_bytes)?;
        self.space.add_scratch(len_bytes);
        Ok(())
    }

    /// Gives the disk space of all free slots back, as far as the file system can do that.
    ///
    /// # Errors
    /// The first refusal, unless it only says that this cannot be done here. All slots stay ready for use.
    pub(super) fn give_space_back(&self) -> Outcome<()> {
        let mut runs = Vec::new();
        let listed = lock(&self.slots).free.drain(&mut runs);
        let mut outcome = listed.map_err(|_| Failure::new("malloc", libc::ENOMEM));
        for run in runs {
            outcome = outcome.and(self.give_run_back(run));
        }
        outcome
    }

    fn give_run_back(&self, run: Run) -> Outcome<()> {
        let outcome = self.file.punch(self.offset(run.first), self.run_bytes(run));
        let free = &mut lock(&self.slots).free;
        match outcome {
            Ok(()) => {
                self.space.remove_scratch(self.run_bytes(run));
                free.put_holes(run);
                Ok(())
            }
            Err(failure) => {
                free.put_idle(run);
                if failure.is_unsupported() { Ok(()) } else { Err(failure) }
            }
        }
    }

    fn release(&self, index: u32) {
        let slot_bytes = self.class.slot_bytes();
        let (was_dirty, cooled) = {
            let mut slots = lock(&self.slots);
            let was_dirty = slots.dirty.remove(index);
            (was_dirty, slots.free.release(index, !was_dirty))
        };
        if was_dirty {
            self.write_behind.forget(slot_bytes);
        }
        self.space.release(slot_bytes);
        if let Some(cooled) = cooled
            && self.write_behind.is_memory_short(self.space.scratch_bytes())
        {
            // Nobody reads these pages again, and those of other payloads need their room. Should somebody be writing to the
            // slot by now, then a little is written early.
            self.file.evict(self.offset(cooled), slot_bytes);
        }
    }

    fn offset(&self, index: u32) -> u64 {
        u64::from(index) * self.class.slot_bytes()
    }

    fn run_bytes(&self, run: Run) -> u64 {
        u64::from(run.count) * self.class.slot_bytes()
    }

    fn error(&self, failure: Failure) -> Error {
        Error::from_failure(failure, &self.path)
    }
}

impl Drop for SlotFile {
    fn drop(&mut self) {
        self.space.remove_scratch(self.space_bytes());
    }
}

/// A slot that is claimed and not yet part of the accounting.
#[derive(Debug)]
pub(super) struct UnchargedSlot {
    file: Arc<SlotFile>,
    index: u32,
}

impl UnchargedSlot {
    /// Takes its bytes over from `reservation`.
    pub(super) fn charged(self, reservation: &mut Reservation<'_>) -> Slot {
        reservation.hand_over(self.file.class.slot_bytes());
        Slot { file: self.file, index: self.index }
    }
}

/// A slot in use. Dropped, it is free again, without any I/O.
#[derive(Debug)]
pub(crate) struct Slot {
    file: Arc<SlotFile>,
    index: u32,
}

impl Slot {
    /// Writes all of `sources`, which fit the slot, to its beginning.
    ///
    /// # Errors
    /// What the operating system said. The file is set aside unless only room or memory is short.
    pub(super) fn write(&self, sources: &[IoSlice<'_>]) -> Result<(), Error> {
        self.write_all(sources).map_err(|failure| {
            if !failure.is_out_of_space() && failure.errno != libc::ENOMEM {
                self.file.set_failed();
            }
            self.file.error(failure)
        })
    }

    fn write_all(&self, sources: &[IoSlice<'_>]) -> Outcome<()> {
        let mut offset = self.file.offset(self.index);
        let mut remaining_bytes: usize = sources.iter().map(|source| source.len()).sum();
        let written = self.write_some(sources, offset)?;
        remaining_bytes -= written;
        if remaining_bytes == 0 {
            return Ok(());
        }
        // More slices than one call takes, or a short write: go on with a copy of the list that can be advanced.
        let mut list = copied(sources).map_err(|_| Failure::new("malloc", libc::ENOMEM))?;
        let mut rest = &mut list[..];
        let mut done = written;
        while remaining_bytes > 0 {
            IoSlice::advance_slices(&mut rest, done);
            offset += units::to_u64(done);
            done = self.write_some(rest, offset)?;
            remaining_bytes -= done;
        }
        Ok(())
    }

    fn write_some(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        match self.file.file.write_at(sources, offset)? {
            0 => Err(Failure::new("pwritev", libc::EIO)),
            written => Ok(written),
        }
    }

    /// Why bytes of the slot may not be what was written: the error number with which the device lost something of its
    /// file, where the system says so when it is asked now.
    pub(crate) fn write_back_errno(&self) -> Option<i32> {
        self.file.check_write_back();
        self.file.write_back_errno()
    }

    /// Whether the device has lost something of the slot's file, as far as the system has said so.
    pub(crate) fn is_at_risk(&self) -> bool {
        self.file.write_back_errno().is_some()
    }

    /// Fills `destinations` with the slot's bytes from `start` on.
    ///
    /// # Errors
    /// What the operating system said, or `None` where the file ends before.
    pub(crate) fn read(&self, destinations: &mut [Destination<'_>], start: u64) -> Result<(), Option<Error>> {
        let mut offset = self.file.offset(self.index) + start;
        let mut unfilled = destinations;
        while let Some(first) = unfilled.iter().position(|destination| destination.remaining_bytes() > 0) {
            unfilled = &mut unfilled[first..];
            match self.file.file.read_at(unfilled, offset) {
                Ok(0) => return Err(None),
                Ok(read) => offset += units::to_u64(read),
                Err(failure) => return Err(Some(self.file.error(failure))),
            }
        }
        Ok(())
    }

    /// As [`Self::read`] for one destination, but only from memory; says whether it is full.
    pub(crate) fn read_cached(&self, destination: &mut Destination<'_>, start: u64) -> Result<bool, Error> {
        let offset = self.file.offset(self.index) + start;
        let outcome = self.file.file.read_cached_at(std::slice::from_mut(destination), offset);
        outcome.map_err(|failure| self.file.error(failure))?;
        Ok(destination.remaining_bytes() == 0)
    }

    /// Starts bringing bytes of the slot into memory.
    pub(crate) fn prefetch(&self, start: u64, len_bytes: u64) {
        self.file.file.prefetch(self.file.offset(self.index) + start, len_bytes);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.file.release(self.index);
    }
}

/// A copy of a list of slices, to be advanced over.
pub(super) fn copied<'a>(slices: &[IoSlice<'a>]) -> Result<Vec<IoSlice<'a>>, TryReserveError> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(slices.len())?;
    copy.extend_from_slice(slices);
    Ok(copy)
}
