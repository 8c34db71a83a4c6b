//! What the keeper does for a budget: cold payloads are written while they still are in memory, so that they can leave at once
//! when room is needed. Whoever needs room that is not there does one step of the same.

use std::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Relaxed},
};
use std::thread;
use std::time::{Duration, Instant};

use super::account::count;
use super::entry::{Flag, OnDisk};
use super::ledger::{Job, Ledger, Outcome};
use super::resident::ResidentMemory;
use super::{AUTO_TIME, Account, Budget, NOBODY, NoRoom, PAYLOAD_BYTES_MIN, Room};
use crate::block::Checksums;
use crate::error::Error;
use crate::keeper::Chore;
use crate::payload::{self, Memory, Stored};
use crate::store::Place;
use crate::sync::{MutexGuard, UnsizedArc, lock, yield_now};
use crate::sys::fork;

/// A payload that the keeper shall read into memory.
pub(super) struct Wanted {
    pub(super) id: u32,
    pub(super) account: UnsizedArc<Account>,
    /// Reads it into memory of its type of elements.
    pub(super) read: fn(&Stored, u64, bool) -> Result<Memory, Error>,
}

/// How long somebody waits for what is done in a moment: a read of memory, or freeing it, by another thread.
struct Patience {
    moments: u32,
}

impl Patience {
    /// Of who needs the room: about two seconds.
    const LONG: Self = Self { moments: 100_000 };
    /// Of who has other things to do.
    const SHORT: Self = Self { moments: 100 };
    const PAUSE: Duration = Duration::from_micros(200);

    fn is_left(&self) -> bool {
        self.moments > 0
    }

    fn wait(&mut self) {
        self.moments -= 1;
        // Most moments are shorter than a sleep.
        if cfg!(pageout_loom) || !self.moments.is_multiple_of(10) { yield_now() } else { thread::sleep(Self::PAUSE) }
    }
}

impl Budget {
    /// Room for memory that somebody waits for.
    ///
    /// # Errors
    /// As [`Self::room_or_departing`], also where room is there as soon as other threads free what has left.
    pub(super) fn room_or_wait(&self, account: &UnsizedArc<Account>, held_bytes: u64) -> Result<Room, Error> {
        self.room_within(account, held_bytes, Patience::LONG)?.ok_or_else(|| self.no_room(&self.lock(), held_bytes))
    }

    /// The same; nothing where there will be room as soon as the owners of memory that has left have freed it. Where no payload can
    /// leave, the coldest is written now.
    ///
    /// # Errors
    /// [`Error::Budget`] where all of it is borrowed, or the error of writes that failed.
    #[cfg(feature = "addon-internals")]
    pub(super) fn room_or_departing(&self, account: &UnsizedArc<Account>, held_bytes: u64) -> Result<Option<Room>, Error> {
        self.room_within(account, held_bytes, Patience::LONG)
    }

    fn room_within(&self, account: &UnsizedArc<Account>, held_bytes: u64, mut patience: Patience) -> Result<Option<Room>, Error> {
        loop {
            match self.room(account, held_bytes) {
                Ok(room) => return Ok(Some(room)),
                Err(NoRoom::Departing) => return Ok(None),
                Err(NoRoom::Full) => self.make_one_clean(held_bytes, &mut patience)?,
                Err(NoRoom::TooLarge) => return Err(self.no_room(&self.lock(), held_bytes)),
            }
        }
    }

    /// Writes the coldest payload and lets it leave, or waits until whoever writes one is done.
    fn make_one_clean(&self, requested_bytes: u64, patience: &mut Patience) -> Result<(), Error> {
        let mut ledger = self.lock();
        if let Some(id) = ledger.next_due() {
            drop(ledger);
            self.settle(id);
            let evicted = self.lock().evict_written(id);
            drop(evicted);
            return Ok(());
        }
        if ledger.is_any_busy() {
            drop(self.wait(ledger));
            return Ok(());
        }
        let settled_bytes = self.settled_bytes();
        if requested_bytes.max(PAYLOAD_BYTES_MIN) <= self.limit_bytes().saturating_sub(settled_bytes) {
            // Somebody has freed some meanwhile.
            return Ok(());
        }
        if (ledger.may_evict() || ledger.is_any_on_its_way(settled_bytes)) && patience.is_left() {
            drop(ledger);
            patience.wait();
            return Ok(());
        }
        // What the keeper could not write some time ago says nothing of now.
        if let Some(id) = ledger.next_failed() {
            drop(ledger);
            if self.settle(id) {
                return Ok(());
            }
            ledger = self.lock();
        }
        Err(self.no_room(&ledger, requested_bytes))
    }

    /// Gives a payload a good copy on disk. Says whether it has one now, or needs none.
    fn settle(&self, id: u32) -> bool {
        let hold = fork::hold();
        let job = self.lock().begin(id);
        drop(hold);
        let Some(Job { id, memory, copy, write }) = job else { return true };
        let outcome = settled(&write.account, &memory, copy, &write.stop);
        let is_good = outcome.copy.stored().is_some() && !outcome.is_stopped && outcome.failure.is_none();
        let hold = fork::hold();
        let mut ledger = self.lock();
        // Whoever waits for the memory wants it alone.
        drop(memory);
        if outcome.failure.is_some() {
            count(&write.account.counters.background_write_failures);
        }
        let removed = ledger.end(id, outcome);
        self.tell();
        drop(ledger);
        drop(hold);
        drop(removed);
        is_good
    }

    /// Gives a payload a good copy, and lets it leave memory; where `is_moved`, for another thread.
    ///
    /// # Errors
    /// Why it could not be written; [`Error::Borrowed`].
    #[cfg(feature = "addon-internals")]
    pub(super) fn write_out(&self, id: u32, is_moved: bool) -> Result<(), Error> {
        loop {
            let mut ledger = self.lock();
            let entry = ledger.entry(id);
            if entry.is(Flag::Exposed) {
                return Err(Error::Borrowed);
            }
            if entry.is_busy() {
                drop(self.wait(ledger));
                continue;
            }
            let left = ledger.leave(id);
            let entry = ledger.entry(id);
            if entry.memory.is_none() {
                entry.set(Flag::Moved, is_moved || entry.is(Flag::Moved));
                drop(ledger);
                drop(left);
                return Ok(());
            }
            drop(ledger);
            if !self.settle(id) {
                let ledger = self.lock();
                return Err(ledger.failure().cloned().unwrap_or(Error::Closed));
            }
            yield_now();
        }
    }

    fn undisturbed(&self) -> (fork::Hold, MutexGuard<'_, Ledger>) {
        let hold = fork::hold();
        (hold, self.lock())
    }

    /// Writes what is colder than payloads that leave.
    fn write_listed(&self) {
        loop {
            let (hold, mut ledger) = self.undisturbed();
            let next = ledger.next_listed();
            drop((ledger, hold));
            let Some(id) = next else { return };
            self.settle(id);
        }
    }

    /// Writes until enough is clean. Says whether all that can be done was.
    fn write_early(&self) {
        self.write_listed();
        let (hold, ledger) = self.undisturbed();
        let mut dirty_bytes = ledger.dirty_bytes();
        drop((ledger, hold));
        if dirty_bytes <= self.dirty_bytes_max() {
            return;
        }
        // Some more, so that it does not begin again at once.
        while dirty_bytes > self.limit_bytes() / 16 * 13 {
            let (hold, mut ledger) = self.undisturbed();
            let next = ledger.next_due();
            drop((ledger, hold));
            let Some(id) = next else { return };
            self.settle(id);
            let (hold, ledger) = self.undisturbed();
            dirty_bytes = ledger.dirty_bytes();
            drop((ledger, hold));
        }
    }

    /// Lets payloads leave until no more is in memory than may be.
    fn shrink(&self) {
        while self.settled_bytes() > self.limit_bytes() {
            let (hold, mut ledger) = self.undisturbed();
            let evicted = ledger.evict();
            drop((ledger, hold));
            if evicted.is_none() {
                return;
            }
        }
    }

    /// Reads in what was wanted, as far as there is room.
    fn read_wanted(&self) {
        loop {
            let (hold, mut ledger) = self.undisturbed();
            let arrival = ledger.begin_arrival();
            drop((ledger, hold));
            let Some((wanted, stored)) = arrival else { return };
            self.read_in(&wanted, stored);
        }
    }

    fn read_in(&self, Wanted { id, account, read }: &Wanted, stored: UnsizedArc<Stored>) {
        let len_bytes = stored.len_bytes();
        let room = self.room_within(account, len_bytes, Patience::SHORT);
        // A hint: what fails is told by the verb that comes.
        let memory = room.ok().flatten().and_then(|room| Some((read(&stored, len_bytes, account.exclude).ok()?, room)));
        drop(stored);
        let (hold, mut ledger) = self.undisturbed();
        let memory = memory.map(|(memory, room)| UnsizedArc::new(ResidentMemory::new(memory, room)));
        let unwanted = match memory {
            Some(memory) if !account.is_closed() && !ledger.entry(*id).is(Flag::Freed) => {
                ledger.arrive(*id, memory);
                None
            }
            unwanted => unwanted,
        };
        ledger.entry(*id).set(Flag::Arriving, false);
        ledger.entry(*id).set(Flag::Uncounted, false);
        let removed = ledger.remove_if_unused(*id);
        self.tell();
        drop((ledger, hold));
        drop((removed, unwanted));
    }

    /// Follows what is free.
    fn follow(&self) -> bool {
        let mut auto = lock(&self.auto);
        let Some((auto, due)) = auto.as_mut() else { return false };
        if Instant::now() >= *due {
            self.limit_bytes.store(auto.next(self.used_bytes()), Relaxed);
            *due = Instant::now() + AUTO_TIME;
        }
        true
    }
}

impl Chore for Budget {
    fn tend(&self) -> bool {
        // Sees what was done before the keeper was summoned.
        self.urged.swap(NOBODY, AcqRel);
        self.called.swap(NOBODY, AcqRel);
        let is_auto = self.follow();
        {
            let (hold, mut ledger) = self.undisturbed();
            if ledger.failure().is_some() {
                ledger.list_failed();
            }
            drop((ledger, hold));
        }
        self.read_wanted();
        self.write_early();
        self.shrink();
        let (hold, ledger) = self.undisturbed();
        let is_failing = ledger.failure().is_some();
        drop((ledger, hold));
        is_auto || is_failing || self.used_bytes() > self.limit_bytes()
    }
}

/// Writes a payload where that is needed.
fn settled(account: &Account, memory: &ResidentMemory, copy: OnDisk, stop: &AtomicBool) -> Outcome {
    // What does not serve is given up before another place is claimed.
    let (place, mut before) = match copy {
        OnDisk::Unwritten(place, before) => (place.filter(Place::is_writable), before),
        OnDisk::Busy { .. } => (None, None),
        copy @ (OnDisk::Written(_) | OnDisk::Shared(_)) => {
            match copy.stored().map_or(Ok(false), |stored| stored.has_content(memory.memory.chunks(), stop)) {
                Ok(true) => return Outcome { copy, is_written: false, is_stopped: false, failure: None },
                Ok(false) => count(&account.counters.changed_borrows),
                Err(error) if error.is_cancelled() => {
                    return Outcome { copy, is_written: false, is_stopped: true, failure: None };
                }
                Err(error) => return Outcome { copy, is_written: false, is_stopped: false, failure: Some(error) },
            }
            (None, None)
        }
    };
    if let Some(place) = place
        && let Ok(outcome) = written_at(account, memory, place, &mut before, stop)
    {
        return outcome;
    }
    let claimed = account.store().claim(memory.memory.len_bytes());
    let elsewhere = claimed.and_then(|claim| written_at(account, memory, claim.keep(), &mut before, stop));
    elsewhere.unwrap_or_else(|error| unwritten(None, before, Some(error)))
}

/// Writes a payload at a place, until it shall stop. Where that fails the place is given up: what comes there next fails as well, or
/// takes room that is short.
fn written_at(
    account: &Account,
    memory: &ResidentMemory,
    place: Place,
    before: &mut Option<Box<Checksums>>,
    stop: &AtomicBool,
) -> Result<Outcome, Error> {
    match write(account, memory, place, before.as_deref(), stop) {
        Ok(copy) => Ok(Outcome { copy, is_written: true, is_stopped: false, failure: None }),
        Err((error, place)) if error.is_cancelled() => Ok(unwritten(Some(place), before.take(), None)),
        Err((error, place)) => {
            account.store().discard(place);
            Err(error)
        }
    }
}

fn unwritten(place: Option<Place>, before: Option<Box<Checksums>>, failure: Option<Error>) -> Outcome {
    Outcome { copy: OnDisk::Unwritten(place, before), is_written: false, is_stopped: failure.is_none(), failure }
}

/// Writes a payload, and counts it where it is not any more what it was `before` somebody else could write to it.
fn write(
    account: &Account,
    memory: &ResidentMemory,
    place: Place,
    before: Option<&Checksums>,
    stop: &AtomicBool,
) -> Result<OnDisk, (Error, Place)> {
    let payload = &memory.memory;
    let (chunks, len_bytes, element_bytes) = (payload.chunks(), payload.len_bytes(), payload.element_bytes());
    let stored = Stored::write(account.store(), place, chunks, len_bytes, element_bytes, &account.packing, stop)?;
    if is_changed(&stored, memory, before) {
        count(&account.counters.changed_borrows);
    }
    Ok(OnDisk::Written(stored))
}

/// Whether what was just written from `memory` is not what was there `before`. Where the memory for checksums cannot be allocated
/// it counts as the same: it is written in any case.
fn is_changed(stored: &Stored, memory: &ResidentMemory, before: Option<&Checksums>) -> bool {
    before.is_some_and(|before| match stored.checksums() {
        Some(written) => written != before,
        None => payload::checksums(memory.memory.chunks(), stored.len_bytes()).is_ok_and(|now| now != *before),
    })
}
