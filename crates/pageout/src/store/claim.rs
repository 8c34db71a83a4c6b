//! Claiming slots for a payload, and writing it.

use std::collections::TryReserveError;
use std::io::IoSlice;
use std::sync::atomic::AtomicBool;

use super::slot_file::SlotFile;
use super::space::{Reservation, Space, Unwritten};
use super::{Place, Slot, Store};
use crate::error::Error;
use crate::slots::{Class, FreeSlots, Run, classes_for, slot_bytes_for};
use crate::sync::{Arc, lock, thread_number};
use crate::units;

/// Slots that a payload is about to be written to. Dropped, they go back, and so does the disk space they were got with.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    store: &'a Store,
    len_bytes: u64,
    place: Option<Place>,
    grown: Grown,
}

/// Slots that files grew by.
#[derive(Debug, Default)]
pub(super) struct Grown {
    runs: Vec<(Arc<SlotFile>, Run)>,
    /// Bytes of them that the file system did not promise, and that are not written yet.
    unwritten: Option<Unwritten>,
}

/// Which free slot is taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// One of the thread's own file.
    Own,
    /// One that was written before, of any file: it has its space also where none can be promised.
    Written,
}

/// What is written in the background is written in steps of so many bytes, so that nobody waits for more than one.
const STEP_BYTES: usize = units::to_usize(4 * units::MIB);

impl Store {
    /// Claims slots for a payload of `len_bytes`, which is not zero.
    ///
    /// # Errors
    /// [`Error::Capacity`], or what the operating system said. Nothing is claimed then, and the disk is as full as before.
    pub(crate) fn claim(&self, len_bytes: u64) -> Result<Claim<'_>, Error> {
        let claimed = self.try_claim(len_bytes, Order::Own, thread_number());
        claimed.or_else(|error| self.claim_with_room(len_bytes, error))
    }

    /// Claims once more, where room may have been what the first claim failed for want of.
    #[cold]
    fn claim_with_room(&self, len_bytes: u64, error: Error) -> Result<Claim<'_>, Error> {
        let claimed = if error.may_pass_with_room() {
            self.make_room(&error);
            self.try_claim(len_bytes, Order::Own, thread_number())
        } else {
            Err(error)
        };
        claimed.map_err(|error| self.with_space(len_bytes, error))
    }

    /// Writes a payload to the slots that were claimed for it: the bytes of `sources`, none of which is empty, and which may
    /// be longer than the payload by padding that the last slot holds. Where the disk turns out to be full, it is written
    /// once more, to other slots. Ends after the slot that is being written when `stop` becomes true.
    ///
    /// # Errors
    /// ECANCELED, or what the operating system said. Nothing is claimed then, and the disk is as full as before.
    pub(crate) fn write(&self, claim: Claim<'_>, sources: &[IoSlice<'_>], stop: &AtomicBool) -> Result<Place, Error> {
        self.write_by(claim, |place| place.write(sources, stop, || self.push_what_is_due()))
    }

    /// The same for whoever writes the slots one by one: `write` does that, and may have to do it once more elsewhere.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_by(&self, claim: Claim<'_>, mut write: impl FnMut(&Place) -> Result<(), Error>) -> Result<Place, Error> {
        let len_bytes = claim.len_bytes;
        claim.write(&mut write).or_else(|error| self.write_elsewhere(len_bytes, &mut write, error))
    }

    /// Writes once more, to other slots, where the disk was what the first write failed for.
    #[cold]
    fn write_elsewhere(
        &self,
        len_bytes: u64,
        write: &mut impl FnMut(&Place) -> Result<(), Error>,
        error: Error,
    ) -> Result<Place, Error> {
        let written = if error.is_out_of_space() {
            self.make_room(&error);
            self.try_claim(len_bytes, Order::Written, thread_number()).and_then(|claim| claim.write(write))
        } else {
            Err(error)
        };
        written.map_err(|error| self.with_space(len_bytes, error))
    }

    /// Writes a payload to a place that was [kept](Claim::keep), in steps between which `stop` is looked at.
    ///
    /// # Errors
    /// What the operating system said, ECANCELED. The content of the place is unspecified then.
    pub(crate) fn write_kept(&self, place: &Place, sources: &[IoSlice<'_>], stop: &AtomicBool) -> Result<(), Error> {
        place.write_in_steps(sources, STEP_BYTES, stop, || self.push_what_is_due())
    }

    /// Frees slots, and gives their disk space back as far as nobody has claimed them again.
    pub(crate) fn discard(&self, place: Place) {
        let mut freed = Grown::default();
        place.slots().iter().for_each(|slot| slot.list_in(&mut freed));
        drop(place);
        freed.give_back(self);
    }

    pub(super) fn try_claim(&self, len_bytes: u64, order: Order, shard: usize) -> Result<Claim<'_>, Error> {
        let mut reservation = self.reserve(slot_bytes_for(len_bytes))?;
        let mut claim = Claim { store: self, len_bytes, place: None, grown: Grown::default() };
        let grown = &mut claim.grown;
        let place =
            Place::collect(classes_for(len_bytes), &mut |class| self.claim_slot(class, order, shard, &mut reservation, grown));
        claim.place = Some(place?);
        Ok(claim)
    }

    /// Any free slot of a class, from the thread's own file first; else files grow.
    fn claim_slot(
        &self,
        class: Class,
        order: Order,
        shard: usize,
        reservation: &mut Reservation<'_>,
        grown: &mut Grown,
    ) -> Result<Slot, Error> {
        let files = self.files();
        if order == Order::Written
            && let Some(slot) = files.claim_any(class, FreeSlots::claim_freed, reservation)
        {
            return Ok(slot);
        }
        loop {
            // Where no file can be made, another thread's is as good.
            let own = files.active(class, shard, &self.root).or_else(|error| files.any_growing(class).ok_or(error));
            let growing = match own {
                Ok(file) => match file.claim(FreeSlots::claim, reservation) {
                    Some(index) => return Ok(Slot::new(file, index)),
                    None => Ok(file),
                },
                Err(error) => Err(error),
            };
            // What one thread frees serves all, before files grow.
            if let Some(slot) = files.claim_any(class, FreeSlots::claim_freed, reservation) {
                return Ok(slot);
            }
            if files.settle_withheld(class) {
                continue;
            }
            if let Err(error) = growing.and_then(|file| self.grow(&file, grown)) {
                // What another file has for later is better than no slot.
                return files.claim_any(class, FreeSlots::claim, reservation).ok_or(error);
            }
        }
    }

    fn with_space(&self, len_bytes: u64, error: Error) -> Error {
        let facts = || self.space().facts(slot_bytes_for(len_bytes));
        match error {
            // What is in use was the reason, as it was at that moment.
            Error::Capacity(facts) if facts.requested_bytes > 0 => Error::Capacity(facts),
            // What files hold was the reason: the numbers are those behind the call, of which nothing is in use any more.
            Error::Capacity(_) => Error::Capacity(Box::new(facts())),
            error if error.is_out_of_space() => error.with_space(facts()),
            error => error,
        }
    }
}

impl Claim<'_> {
    /// The slots, for a payload that is written later: a full disk was told by the claim.
    pub(crate) fn keep(mut self) -> Place {
        self.grown.forget();
        self.place.take().expect("a claim has slots until it is published")
    }

    /// Writes the payload.
    pub(super) fn write(mut self, write: &mut impl FnMut(&Place) -> Result<(), Error>) -> Result<Place, Error> {
        let place = self.place.as_ref().expect("a claim has slots until it is published");
        if let Err(error) = write(place) {
            // Where no space was promised, a write that failed half way has got some.
            place.slots().iter().for_each(|slot| slot.list_in(&mut self.grown));
            return Err(error);
        }
        self.grown.forget();
        Ok(self.place.take().expect("the slots that were written"))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        drop(self.place.take());
        self.grown.give_back(self.store);
    }
}

impl Grown {
    /// Makes room to know about one more run.
    pub(super) fn prepare(&mut self) -> Result<(), TryReserveError> {
        self.runs.try_reserve(1)
    }

    /// A file has grown; room was made to know that.
    pub(super) fn add(&mut self, file: &Arc<SlotFile>, run: Run) {
        self.runs.push((Arc::clone(file), run));
    }

    /// So much of it was not promised.
    pub(super) fn add_unwritten(&mut self, space: &Arc<Space>, bytes: u64) {
        match &mut self.unwritten {
            Some(unwritten) => unwritten.add(bytes),
            None => self.unwritten = Some(Unwritten::new(space, bytes)),
        }
    }

    /// As [`Self::add`] of a single slot, where there is memory to know it.
    pub(super) fn list(&mut self, file: &Arc<SlotFile>, index: u32) {
        if self.prepare().is_ok() {
            self.add(file, Run { first: index, count: 1 });
        }
    }

    /// The call that the files grew for has succeeded.
    fn forget(&mut self) {
        self.runs.clear();
    }

    /// The call that the files grew for has failed: what nobody else uses by now goes back.
    fn give_back(&mut self, store: &Store) {
        if self.runs.is_empty() {
            return;
        }
        let _giving = lock(&store.files().giving);
        for (file, run) in self.runs.drain(..) {
            file.give_back_of(run);
        }
    }
}
