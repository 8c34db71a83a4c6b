//! One scratch file: slots of one class, and who holds them.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use super::space::{Reservation, Space};
use super::write_behind::WriteBehind;
use crate::error::Error;
use crate::keeper;
use crate::slots::{BitSet, Class, FreeSlots, Run};
use crate::sync::{Arc, AtomicBool, AtomicI32, Mutex, RwLock, UnsizedArc, lock};
use crate::sys::device::{Outcome, Room};
use crate::sys::{Failure, ScratchFile, fork};
use crate::units::MIB;

/// What every call on a file of a closed pager gives.
const CLOSED: Failure = Failure::new("close", libc::EBADF);
/// The most bytes whose space is given back by one call, and as many slots are out of circulation meanwhile.
const GIVE_BACK_BYTES_MAX: u64 = 64 * MIB;
/// Files that hold no more than this are closed where they are let go of.
const CLOSE_BYTES_MAX: u64 = 4 * MIB;

/// A scratch file. The last one that holds it closes it, which gives its space back.
#[derive(Debug)]
pub(super) struct SlotFile {
    /// Nothing once the pager is closed. Held for reading during every call on the file.
    file: RwLock<Option<Box<dyn ScratchFile>>>,
    class: Class,
    slots: Mutex<Slots>,
    /// Held by the thread that makes the file longer or shorter.
    length: Mutex<()>,
    /// Set for good by the first write that failed for another reason than missing room.
    failed: AtomicBool,
    /// Set for good once the file cannot become longer while another could. Its slots are handed out as ever.
    full: AtomicBool,
    /// Set for good once the file system has said that it cannot promise space.
    unpromising: AtomicBool,
    /// Whether the file system has refused to make a hole, so that it is not asked for each.
    holeless: AtomicBool,
    /// The error number with which the device lost something of this file; 0 as long as it said nothing of the kind.
    write_back_errno: AtomicI32,
    /// Whether write-back was started since the system was asked what became of it.
    unasked: AtomicBool,
    space: Arc<Space>,
    write_behind: Arc<WriteBehind>,
    /// The scratch directory, for errors.
    path: UnsizedArc<Path>,
    /// The process that made the file. Those that it forks read it, and change nothing.
    process: u32,
}

/// Takes a slot with disk space: any, or only one that was used before.
pub(super) type ChooseSlot = fn(&mut FreeSlots) -> Option<u32>;

/// What is known about the slots of a file.
#[derive(Debug)]
struct Slots {
    free: FreeSlots,
    /// Slots in use that were written and not pushed to the device.
    dirty: BitSet,
    /// Slots that were released while a forked process might read them.
    withheld: BitSet,
    /// The moment of the oldest of them.
    withheld_since: u32,
}

impl SlotFile {
    pub(super) fn new(
        file: Box<dyn ScratchFile>,
        class: Class,
        space: Arc<Space>,
        write_behind: Arc<WriteBehind>,
        path: UnsizedArc<Path>,
    ) -> Self {
        let slots = Slots {
            free: FreeSlots::new(class.slot_bytes()),
            dirty: BitSet::default(),
            withheld: BitSet::default(),
            withheld_since: 0,
        };
        let is_not = || AtomicBool::new(false);
        Self {
            file: RwLock::new(Some(file)),
            class,
            slots: Mutex::new(slots),
            length: Mutex::default(),
            failed: is_not(),
            full: is_not(),
            unpromising: is_not(),
            holeless: is_not(),
            write_back_errno: AtomicI32::new(0),
            unasked: is_not(),
            space,
            write_behind,
            path,
            process: fork::process(),
        }
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// Whether no new slot comes from this file.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Whether this process made the file.
    pub(super) fn is_own(&self) -> bool {
        self.process == fork::process()
    }

    /// Whether the file may still become longer.
    pub(super) fn can_grow(&self) -> bool {
        !self.full.load(Relaxed) && !self.has_failed()
    }

    /// The file cannot become longer.
    pub(super) fn set_full(&self) {
        self.full.store(true, Relaxed);
    }

    /// Whether the file system can promise space, as far as that is known.
    pub(super) fn promises(&self) -> bool {
        !self.unpromising.load(Relaxed)
    }

    /// The file system cannot promise space.
    pub(super) fn set_unpromising(&self) {
        self.unpromising.store(true, Relaxed);
    }

    /// No new slot comes from this file any more, and what is dirty in it is left to the system.
    pub(super) fn set_failed(&self) {
        self.failed.store(true, Relaxed);
        // Nobody will use what is free in it.
        self.space.ask_keeper();
        let mut slots = lock(&self.slots);
        while let Some(run) = slots.dirty.pop_run(u32::MAX) {
            self.write_behind.forget(self.run_bytes(run));
        }
    }

    /// Does a call on the file, which cannot be closed meanwhile.
    pub(super) fn with<R>(&self, call: impl FnOnce(&dyn ScratchFile) -> Outcome<R>) -> Outcome<R> {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        call(&**file.as_ref().ok_or(CLOSED)?)
    }

    /// Closes the descriptor. The space of a large file goes back in the background.
    pub(super) fn close(&self) {
        let is_large = !self.is_inherited() && self.space_bytes() > CLOSE_BYTES_MAX;
        let Some(file) = self.take_file() else { return };
        if is_large && let Some(remainder) = file.retire() {
            keeper::drop_remainder(remainder);
        }
    }

    /// Closes the descriptor and gives the space back, which takes long for a large file.
    pub(super) fn close_and_give_back(&self) {
        drop(self.take_file());
    }

    fn take_file(&self) -> Option<Box<dyn ScratchFile>> {
        if self.is_inherited() {
            // The lock may be held by a thread that this process does not have. Then the file is closed when the process ends.
            return self.file.try_write().ok().and_then(|mut file| file.take());
        }
        let file = self.file.write().unwrap_or_else(PoisonError::into_inner).take();
        file.inspect(|_| self.space.remove_scratch(self.space_bytes()))
    }

    /// Whether the file belongs to a process that this one was forked from. Its locks may be held by threads that are not here.
    fn is_inherited(&self) -> bool {
        self.process != fork::process()
    }

    /// The error number with which the device lost something of this file, where the system has said so.
    pub(super) fn write_back_errno(&self) -> Option<i32> {
        Some(self.write_back_errno.load(Relaxed)).filter(|&errno| errno != 0)
    }

    /// Asks the system whether the device has lost something of this file. A file that it lost something of takes no new
    /// payload.
    pub(super) fn check_write_back(&self) {
        self.unasked.store(false, Relaxed);
        // A call that is not there, or that was interrupted, says nothing.
        if let Err(failure) = self.with(|file| file.check_write_back())
            && failure.is_loss()
        {
            self.set_lost(failure);
        }
    }

    /// As [`Self::check_write_back`], where write-back was started since it was last asked.
    pub(super) fn check_pushed(&self) {
        if self.unasked.load(Relaxed) {
            self.check_write_back();
        }
    }

    /// The device has lost something of this file. Which bytes their checksums say.
    fn set_lost(&self, failure: Failure) {
        if self.is_inherited() {
            return self.write_back_errno.store(failure.errno, Relaxed);
        }
        if self.write_back_errno.swap(failure.errno, Relaxed) == 0 {
            self.write_behind.add_failed_file();
        }
        self.set_failed();
    }

    /// Bytes of slots in use.
    pub(super) fn used_bytes(&self) -> u64 {
        let slots = lock(&self.slots);
        u64::from(slots.free.in_use() - slots.withheld.len()) * self.class.slot_bytes()
    }

    /// The index of the free slot that `choose` takes, paid from `reservation`. The caller makes a [`Slot`](super::Slot) of it.
    pub(super) fn claim(&self, choose: ChooseSlot, reservation: &mut Reservation<'_>) -> Option<u32> {
        let index = choose(&mut lock(&self.slots).free)?;
        reservation.hand_over(self.class.slot_bytes());
        Some(index)
    }

    /// A slot in use was written.
    pub(super) fn add_dirty(&self, index: u32) {
        let mut slots = lock(&self.slots);
        // What was written to a file that has failed is left to the system.
        if !self.has_failed() && slots.dirty.insert(index) {
            // Counted under the lock: a push that finds the slot subtracts it.
            self.write_behind.add_dirty(self.class.slot_bytes());
        }
    }

    /// Bytes of slots in use that were written and not pushed.
    pub(super) fn dirty_bytes(&self) -> u64 {
        u64::from(lock(&self.slots).dirty.len()) * self.class.slot_bytes()
    }

    /// Starts the write-back of up to `bytes_max` bytes of neighbouring dirty slots, the lowest; says how many. Where the
    /// device refuses, the file takes no new payload.
    pub(super) fn push(&self, bytes_max: u64) -> u64 {
        let count_max = u32::try_from(bytes_max.div_ceil(self.class.slot_bytes())).unwrap_or(u32::MAX);
        // Submitting a range does not tell of what was lost before.
        self.check_write_back();
        let run = lock(&self.slots).dirty.pop_run(count_max);
        let Some(run) = run else { return 0 };
        self.write_behind.add_pushed(self.run_bytes(run));
        self.unasked.store(true, Relaxed);
        // Where memory is short, or the range is not taken, the system writes it when it likes.
        if let Err(failure) = self.with(|file| file.start_write_back(self.offset(run.first), self.run_bytes(run)))
            && failure.is_loss()
        {
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

    /// Bytes of free slots that have disk space.
    pub(super) fn idle_bytes(&self) -> u64 {
        u64::from(lock(&self.slots).free.spacious()) * self.class.slot_bytes()
    }

    /// Bytes of free slots with disk space that nobody needed since this was last asked, and whether these are all.
    pub(super) fn take_unneeded_bytes(&self) -> (u64, bool) {
        let free = &mut lock(&self.slots).free;
        let unneeded = free.take_unneeded();
        (u64::from(unneeded) * self.class.slot_bytes(), unneeded == free.spacious())
    }

    /// Bytes that a prefetch may bring in.
    pub(super) fn prefetch_bytes_max(&self) -> u64 {
        self.write_behind.prefetch_bytes_max()
    }

    /// Room of the file system.
    pub(super) fn room(&self) -> Outcome<Room> {
        self.with(|file| file.room())
    }

    /// Gets disk space for up to `slots_max` more slots: holes first, else at the end. `promised` says whether it
    /// is refused where the file system does not promise the space; else the writes find out.
    ///
    /// # Errors
    /// What the operating system said; EFBIG also when slots can no longer be numbered. The disk is as full as before then,
    /// as far as the file system can take back what it gave.
    pub(super) fn add_space(&self, slots_max: u64, promised: bool) -> Outcome<Run> {
        let count_max = u32::try_from(slots_max).unwrap_or(u32::MAX);
        let _turn = lock(&self.length);
        // All of it is one call on the file: what closes the file counts its space.
        self.with(|file| {
            let holes = lock(&self.slots).free.take_holes(count_max);
            match holes {
                Some(run) => self.refill(file, run, promised),
                None => self.lengthen(file, count_max, promised),
            }
        })
    }

    fn refill(&self, file: &dyn ScratchFile, holes: Run, promised: bool) -> Outcome<Run> {
        let outcome = self.reserve(file, holes, promised);
        let mut slots = lock(&self.slots);
        match outcome {
            Ok(()) => slots.free.put_idle(holes),
            Err(_) => slots.free.put_holes(holes),
        }
        outcome.map(|()| holes)
    }

    fn lengthen(&self, file: &dyn ScratchFile, count_max: u32, promised: bool) -> Outcome<Run> {
        let run = {
            let mut slots = lock(&self.slots);
            let first = slots.free.bound();
            let run = Run { first, count: count_max.min(u32::MAX - first) };
            slots.prepare(run).map_err(|_| Failure::new("malloc", libc::ENOMEM))?;
            run
        };
        if run.count == 0 {
            return Err(Failure::new("fallocate", libc::EFBIG));
        }
        self.reserve(file, run, promised)?;
        lock(&self.slots).free.extend(run.count);
        Ok(run)
    }

    fn reserve(&self, file: &dyn ScratchFile, run: Run, promised: bool) -> Outcome<()> {
        let (offset, len_bytes) = (self.offset(run.first), self.run_bytes(run));
        match file.reserve(offset, len_bytes) {
            Ok(()) => {}
            // The writes find out.
            Err(failure) if !promised && (failure.is_unsupported() || failure.errno == libc::EINTR) => {}
            Err(failure) => {
                self.undo_reserve(file, run);
                return Err(failure);
            }
        }
        self.space.add_scratch(len_bytes);
        Ok(())
    }

    /// Gives back what a refused reservation kept: some file systems take what they can before they refuse.
    fn undo_reserve(&self, file: &dyn ScratchFile, run: Run) {
        let offset = self.offset(run.first);
        let is_at_the_end = run.first == lock(&self.slots).free.bound();
        if file.punch(offset, self.run_bytes(run)).is_err() && is_at_the_end {
            // A file system that can do neither promises nothing, so that it kept nothing.
            let _ = file.truncate(offset);
        }
    }

    /// Tries to make holes again, where the file system has refused to.
    pub(super) fn retry_holes(&self) {
        self.holeless.store(false, Relaxed);
    }

    /// Gives the disk space of up to `bytes_max` bytes of free slots back, those of slots that were freed last only where
    /// `also_warm`: one step, of neighbouring slots. Says how many bytes it gave back: none where no slots are free, or where
    /// the file system cannot.
    ///
    /// # Errors
    /// The first refusal, unless it only says that this cannot be done here. All slots stay ready for use.
    pub(super) fn give_back(&self, bytes_max: u64, also_warm: bool) -> Outcome<u64> {
        if also_warm {
            lock(&self.slots).free.cool();
        }
        let count_max = u32::try_from(bytes_max.min(GIVE_BACK_BYTES_MAX) / self.class.slot_bytes()).unwrap_or(u32::MAX);
        if self.holeless.load(Relaxed) {
            return self.give_tail_back(count_max);
        }
        let run = lock(&self.slots).free.take_idle(count_max);
        match run {
            None => Ok(0),
            Some(run) if self.give_run_back(run)? => Ok(self.run_bytes(run)),
            Some(_) => self.give_tail_back(count_max),
        }
    }

    /// Gives the disk space of those slots of `run` back that are free: what a refused call has got for itself.
    pub(super) fn give_back_of(&self, run: Run) {
        while let Some(run) = { lock(&self.slots).free.take_idle_of(run) } {
            if !self.give_run_back(run).unwrap_or(false) {
                // Slots that keep their space are ready for the next call.
                let _ = self.give_tail_back(u32::MAX);
                return;
            }
        }
    }

    /// Gives a run back that was taken out of circulation; says whether the file system can do that. Where not, the slots
    /// are free again.
    fn give_run_back(&self, run: Run) -> Outcome<bool> {
        let outcome = self.with(|file| {
            file.punch(self.offset(run.first), self.run_bytes(run))?;
            self.space.remove_scratch(self.run_bytes(run));
            lock(&self.slots).free.put_holes(run);
            Ok(true)
        });
        let Err(failure) = outcome else { return outcome };
        lock(&self.slots).free.put_idle(run);
        if failure.is_unsupported() {
            self.holeless.store(true, Relaxed);
            return Ok(false);
        }
        Err(failure)
    }

    /// Gives the disk space of up to `count_max` free slots at the end of the file back, where there can be no holes.
    fn give_tail_back(&self, count_max: u32) -> Outcome<u64> {
        let _turn = lock(&self.length);
        let Some(tail) = lock(&self.slots).free.take_tail(count_max) else { return Ok(0) };
        let outcome = self.with(|file| {
            file.truncate(self.offset(tail.first))?;
            self.space.remove_scratch(self.run_bytes(tail));
            lock(&self.slots).free.shorten_to(tail.first);
            Ok(self.run_bytes(tail))
        });
        outcome.inspect_err(|_| lock(&self.slots).free.put_idle(tail))
    }

    /// Slots that were withheld are free again once no other process can read them. Says whether there were some.
    pub(super) fn settle_withheld(&self) -> bool {
        let mut slots = lock(&self.slots);
        if fork::is_shared_for_good(slots.withheld_since) {
            // Nobody would hear of the end of that process: the slots stay in use for as long as the file is open.
            while slots.withheld.pop_run(u32::MAX).is_some() {}
        }
        if slots.withheld.len() == 0 || fork::is_shared(slots.withheld_since) {
            return false;
        }
        while let Some(run) = slots.withheld.pop_run(u32::MAX) {
            slots.free.put_idle(run);
        }
        true
    }

    /// Whether slots wait for another process to end.
    pub(super) fn has_withheld(&self) -> bool {
        lock(&self.slots).withheld.len() > 0
    }

    /// Takes back a slot that was handed out at `moment`.
    pub(super) fn release(&self, index: u32, moment: u32) {
        let slot_bytes = self.class.slot_bytes();
        self.space.release(slot_bytes);
        if self.is_inherited() {
            return;
        }
        let cooled = lock(&self.slots).release(index, moment, |was_dirty| {
            if was_dirty {
                self.write_behind.forget(slot_bytes);
            }
        });
        if let Some(cooled) = cooled
            && self.write_behind.is_memory_short(self.space.scratch_bytes())
        {
            // Nobody reads these pages again, and those of other payloads need their room. Should somebody be writing to the
            // slot by now, then a little is written early. A hint has no answer.
            let _ = self.with(|file| {
                file.evict(self.offset(cooled), slot_bytes);
                Ok(())
            });
        }
        if self.has_failed() || self.space.has_excess() {
            self.space.ask_keeper();
        }
    }

    pub(super) fn offset(&self, index: u32) -> u64 {
        u64::from(index) * self.class.slot_bytes()
    }

    fn run_bytes(&self, run: Run) -> u64 {
        u64::from(run.count) * self.class.slot_bytes()
    }

    pub(super) fn error(&self, failure: Failure) -> Error {
        if failure == CLOSED { Error::Closed } else { Error::from_failure(failure, &self.path) }
    }
}

impl Slots {
    /// Makes room to know about the slots of `run` at the end.
    fn prepare(&mut self, run: Run) -> Result<(), std::collections::TryReserveError> {
        let bound = run.first + run.count;
        self.free.prepare(run.count)?;
        self.dirty.extend_to(bound)?;
        self.withheld.extend_to(bound)
    }

    /// Takes a slot back; `forget` is told whether it was dirty. Gives a slot that became cold for it and is clean.
    fn release(&mut self, index: u32, moment: u32, forget: impl FnOnce(bool)) -> Option<u32> {
        let was_dirty = self.dirty.remove(index);
        forget(was_dirty);
        if fork::is_shared_for_good(moment) {
            return None;
        }
        if fork::is_shared(moment) {
            self.withheld_since = if self.withheld.len() == 0 { moment } else { moment.min(self.withheld_since) };
            self.withheld.insert(index);
            return None;
        }
        self.free.release(index, !was_dirty)
    }
}

impl Drop for SlotFile {
    fn drop(&mut self) {
        self.close();
    }
}
