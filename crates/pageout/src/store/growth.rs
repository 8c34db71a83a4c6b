//! Disk space: asking the file system for more, giving back what no payload uses, and pushing what is dirty.

use std::sync::{Mutex as StdMutex, PoisonError, Weak};

use super::Store;
use super::claim::Grown;
use super::slot_file::SlotFile;
use super::space::{self, Reservation};
use crate::error::Error;
use crate::keeper::{self, Chore};
use crate::slots::Run;
use crate::sync::{Arc, lock};
use crate::sys::device::{Outcome, Room};
use crate::sys::{Failure, fork};
use crate::units::MIB;

/// The least and the most bytes a file grows by.
const GROWTH_BYTES_MIN: u64 = MIB;
const GROWTH_BYTES_MAX: u64 = 64 * MIB;
/// How often a call that would be refused looks for space that others have released meanwhile.
const ROUNDS_MAX: u32 = 64;

/// The open stores of this process, whichever pager they belong to.
static NEIGHBOURS: fork::PerProcess<StdMutex<Vec<Weak<Store>>>> = fork::PerProcess::new(StdMutex::new(Vec::new()));

/// Lets other stores know of this one.
pub(super) fn add_neighbour(store: &Weak<Store>) {
    // Each run of a model is a world of its own.
    if cfg!(pageout_loom) {
        return;
    }
    let mut neighbours = neighbours().lock().unwrap_or_else(PoisonError::into_inner);
    neighbours.retain(|neighbour| neighbour.strong_count() > 0);
    neighbours.push(Weak::clone(store));
}

fn neighbours() -> &'static StdMutex<Vec<Weak<Store>>> {
    NEIGHBOURS.get(|| StdMutex::new(Vec::new()))
}

impl Store {
    /// Counts bytes as used. A capacity that nobody chose follows the file system's room.
    pub(super) fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, Error> {
        match self.space().reserve(bytes) {
            Err(Error::Capacity(_)) if self.followed_up_to.is_some() => {
                self.follow_room(self.room()?);
                self.space().reserve(bytes)
            }
            outcome => outcome,
        }
    }

    /// Makes the capacity what leaves a tenth of the file system free, where nobody chose one.
    pub(super) fn follow_room(&self, room: Room) {
        if let Some(limit_bytes) = self.followed_up_to {
            let kept_bytes = space::untouched_bytes(room).saturating_add(self.space().unwritten_bytes());
            let leavable_bytes = room.free_bytes.saturating_sub(kept_bytes);
            let capacity_bytes = self.space().scratch_bytes().saturating_add(leavable_bytes);
            self.space().set_capacity(capacity_bytes.min(limit_bytes));
        }
    }

    fn room(&self) -> Result<Room, Error> {
        match self.files().all_growing().next() {
            Some(file) => file.room().map_err(|failure| file.error(failure)),
            None => self.root.facts().map(|facts| facts.room),
        }
    }

    /// Gets `file` at least one free slot, or marks it as full when it cannot grow any more while another could.
    pub(super) fn grow(&self, file: &Arc<SlotFile>, grown: &mut Grown) -> Result<(), Error> {
        let _turn = lock(&self.files().growth);
        self.close_unused_inherited();
        if !file.has_free() && file.space_bytes() > 0 {
            file.check_write_back();
        }
        if file.has_free() || !file.can_grow() {
            return Ok(());
        }
        grown.prepare()?;
        let added = match self.add_space(file) {
            Err(error) if error.may_pass_with_room() => self.add_space_of_others(file),
            outcome => outcome,
        };
        if let Some(run) = added? {
            grown.add(file, run);
            if !file.promises() {
                grown.add_unwritten(&self.files().space, file.class().slot_bytes() * u64::from(run.count));
            }
        }
        Ok(())
    }

    /// As [`Self::add_space`], once this store has given back what it does not use; again where other threads released slots
    /// meanwhile.
    fn add_space_of_others(&self, file: &SlotFile) -> Result<Option<Run>, Error> {
        let files = self.files();
        // Held for all of it: what is given back here is for this file.
        let _giving = lock(&files.giving);
        let mut rounds = 1..ROUNDS_MAX;
        loop {
            let before_bytes = files.space.scratch_bytes();
            files.close_unused(true, SlotFile::close_and_give_back);
            // What cannot be given back is told by the trial.
            for file in files.all() {
                let _ = give_all_back(&file, || ());
            }
            let has_given_back = files.space.scratch_bytes() < before_bytes;
            match self.add_space(file) {
                Err(error) if has_given_back && error.may_pass_with_room() && rounds.next().is_some() => {}
                outcome => return outcome,
            }
        }
    }

    /// Adds as much space to a file as its length suggests and the capacity allows; none where the file is full.
    fn add_space(&self, file: &SlotFile) -> Result<Option<Run>, Error> {
        let slot_bytes = file.class().slot_bytes();
        let allowed_bytes = self.allowed_growth(file)?;
        let mut bytes = file.space_bytes().clamp(GROWTH_BYTES_MIN, GROWTH_BYTES_MAX).min(allowed_bytes).max(slot_bytes);
        let mut promised = file.promises();
        loop {
            if !promised && self.followed_up_to.is_some() {
                // The file system's room shows what is written, and nothing else.
                bytes = slot_bytes;
            }
            match self.add_space_once(file, bytes / slot_bytes, promised) {
                Ok(run) => return Ok(Some(run)),
                Err(Refusal::System(failure)) if failure.errno == libc::EINTR && bytes == slot_bytes && promised => {
                    promised = false;
                }
                Err(Refusal::System(failure)) if failure.is_unsupported() && promised => {
                    file.set_unpromising();
                    promised = false;
                }
                Err(refusal) if bytes > slot_bytes && refusal.may_pass_when_shorter() => bytes = (bytes / 2).max(slot_bytes),
                Err(Refusal::System(failure)) if failure.errno == libc::EFBIG && file.space_bytes() > 0 => {
                    file.set_full();
                    return Ok(None);
                }
                Err(Refusal::System(failure)) => return Err(file.error(failure)),
                Err(Refusal::TooFull) => return Err(self.too_full()),
            }
        }
    }

    /// Bytes that `file` may grow by, at least a slot.
    ///
    /// # Errors
    /// [`Error::Capacity`] where that is less than a slot.
    fn allowed_growth(&self, file: &SlotFile) -> Result<u64, Error> {
        if self.followed_up_to.is_some() {
            self.follow_room(file.room().map_err(|failure| file.error(failure))?);
        }
        let allowed_bytes = self.space().unreserved_bytes();
        if allowed_bytes < file.class().slot_bytes() {
            return Err(self.too_full());
        }
        Ok(allowed_bytes)
    }

    /// That files may not grow. What was asked for is filled in by the claim, once nothing of it is in use any more.
    fn too_full(&self) -> Error {
        Error::Capacity(Box::new(self.space().facts(0)))
    }

    /// Adds space to a file unless others have taken so much meanwhile that too little is left.
    fn add_space_once(&self, file: &SlotFile, slots_max: u64, promised: bool) -> Result<Run, Refusal> {
        let run = file.add_space(slots_max, promised).map_err(Refusal::System)?;
        if self.followed_up_to.is_some() {
            let room = file.room().map_err(Refusal::System)?;
            self.follow_room(room);
            if room.free_bytes < space::untouched_bytes(room) {
                file.give_back_of(run);
                return Err(Refusal::TooFull);
            }
        }
        Ok(run)
    }

    /// All pagers of the process that are on the same file system give back what they hold and do not use. Where only the
    /// capacity of this one is the reason, others keep the slots that they are about to use again.
    pub(super) fn make_room(&self, reason: &Error) {
        // What cannot be given back is told by the next trial of whoever needs room.
        let before_bytes = self.space().scratch_bytes();
        let mut has_freed = keeper::drop_remainders();
        let _ = self.reclaim();
        has_freed |= self.space().scratch_bytes() < before_bytes;
        let is_own_capacity = self.followed_up_to.is_none() && matches!(reason, Error::Capacity(_));
        for position in 0.. {
            let neighbour = neighbours().lock().unwrap_or_else(PoisonError::into_inner).get(position).map(Weak::upgrade);
            match neighbour {
                None => break,
                Some(Some(neighbour))
                    if !std::ptr::eq(&raw const *neighbour, self) && neighbour.root.volume() == self.root.volume() =>
                {
                    let before_bytes = neighbour.space().scratch_bytes();
                    let _ = if is_own_capacity { neighbour.give_cold_back() } else { neighbour.reclaim() };
                    has_freed |= neighbour.space().scratch_bytes() < before_bytes;
                }
                Some(_) => {}
            }
        }
        if !is_own_capacity {
            self.root.settle(has_freed);
        }
    }

    /// Gives back the space of free slots, but of those that were freed last.
    fn give_cold_back(&self) -> Outcome<()> {
        let files = self.files();
        let mut outcome = Ok(());
        for file in files.all() {
            let _giving = lock(&files.giving);
            outcome = outcome.and(file.give_back(u64::MAX, false).map(drop));
        }
        outcome
    }

    /// Gives all disk space back that no payload uses. What cannot be given back stays ready for use.
    ///
    /// # Errors
    /// What the operating system said, unless it only cannot do this.
    pub(crate) fn trim(&self) -> Result<(), Error> {
        // Whoever asks for it may know that the file system can make holes by now.
        self.files().all().for_each(|file| file.retry_holes());
        self.reclaim().map_err(|failure| Error::from_failure(failure, self.root.path()))
    }

    /// Gives back the space of free slots and of files without payloads.
    fn reclaim(&self) -> Outcome<()> {
        let files = self.files();
        self.close_unused_inherited();
        {
            let _giving = lock(&files.giving);
            files.close_unused(true, SlotFile::close_and_give_back);
        }
        let mut outcome = Ok(());
        for file in files.all() {
            file.check_write_back();
            outcome = outcome.and(give_all_back(&file, || lock(&files.giving)));
        }
        outcome
    }

    /// Starts the write-back of dirty slots where there are too many, from the files that have most of them: a small set that
    /// is rewritten all the time is not pushed as long as there is a larger one that is not. Asks what became of earlier ones.
    pub(crate) fn push_what_is_due(&self) {
        let mut due_bytes = self.write_behind().due_bytes();
        if due_bytes == 0 {
            return;
        }
        self.files().all().for_each(|file| file.check_pushed());
        while due_bytes > 0
            && let Some(file) = self.dirtiest_file()
        {
            due_bytes = due_bytes.saturating_sub(file.push(due_bytes));
        }
    }

    /// The file with the most dirty bytes, if any has some.
    fn dirtiest_file(&self) -> Option<Arc<SlotFile>> {
        let dirtiest = self.files().all().map(|file| (file.dirty_bytes(), file)).max_by_key(|(dirty_bytes, _)| *dirty_bytes)?;
        (dirtiest.0 > 0).then_some(dirtiest.1)
    }
}

/// Gives back the space of all free slots of a file, step by step, each while `turn` is held.
fn give_all_back<G>(file: &SlotFile, turn: impl Fn() -> G) -> Outcome<()> {
    file.settle_withheld();
    // What is released meanwhile is for the next time. Behind the turn of whoever is giving slots back, which are not idle then.
    let mut left_bytes = {
        let _turn = turn();
        file.idle_bytes()
    };
    while left_bytes > 0 {
        let _turn = turn();
        match file.give_back(left_bytes, true)? {
            0 => break,
            given_bytes => left_bytes = left_bytes.saturating_sub(given_bytes),
        }
    }
    Ok(())
}

impl Chore for Store {
    /// Gives back idle space past what may stay that nobody needed since the last turn, and all of files that failed.
    fn tend(&self) -> bool {
        let files = self.files();
        {
            let _giving = lock(&files.giving);
            files.close_unused(false, SlotFile::close_and_give_back);
        }
        let (mut is_waiting, mut unneeded_bytes, mut also_warm) = (false, 0, false);
        files.step_through(|file, is_first| {
            if is_first {
                file.settle_withheld();
                is_waiting |= file.has_withheld();
                (unneeded_bytes, also_warm) = if file.has_failed() { (u64::MAX, true) } else { file.take_unneeded_bytes() };
            }
            let slot_bytes = file.class().slot_bytes();
            let excess_bytes = if file.has_failed() { u64::MAX } else { files.space.excess_bytes().next_multiple_of(slot_bytes) };
            // A file that cannot give back keeps its space for what comes.
            let given_bytes = file.give_back(excess_bytes.min(unneeded_bytes), also_warm).unwrap_or(0);
            unneeded_bytes = unneeded_bytes.saturating_sub(given_bytes);
            given_bytes == 0
        });
        !self.root.is_closed() && files.space.goes_on_tending(is_waiting)
    }
}

/// Why a file did not grow.
#[derive(Debug)]
enum Refusal {
    System(Failure),
    /// The file system has less left than stays untouched.
    TooFull,
}

impl Refusal {
    /// Whether less space might be granted.
    fn may_pass_when_shorter(&self) -> bool {
        match self {
            Self::System(failure) => failure.is_out_of_space() || matches!(failure.errno, libc::EFBIG | libc::EINTR),
            Self::TooFull => true,
        }
    }
}
