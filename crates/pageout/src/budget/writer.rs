//! What the keeper does for a budget: cold payloads are written while they still are in memory, so that they can leave at once
//! when room is needed. Whoever needs room that is not there does one step of the same.

use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::account::count;
use super::ledger::{Copy, Job, Ledger};
use super::resident::ResidentMemory;
use super::{AUTO_TIME, Account, Budget, NOBODY, NoRoom, PAYLOAD_BYTES_MIN, Room};
use crate::error::Error;
use crate::keeper::Chore;
use crate::payload::{Memory, Stored};
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

    /// Writes the coldest payload, or waits until whoever writes one is done.
    fn make_one_clean(&self, requested_bytes: u64, patience: &mut Patience) -> Result<(), Error> {
        let mut ledger = self.lock();
        if let Some(id) = ledger.next_due() {
            drop(ledger);
            self.settle(id);
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
        Err(self.no_room(&ledger, requested_bytes))
    }

    /// Gives a payload a good copy on disk. Says whether it has one now, or needs none.
    fn settle(&self, id: u32) -> bool {
        let hold = fork::hold();
        let job = self.lock().begin(id);
        drop(hold);
        let Some(Job { id, account, memory, copy, len_bytes }) = job else { return true };
        let (copy, failure) = settled(&account, &memory, copy, len_bytes);
        let is_good = matches!(copy, Copy::Written(_));
        let hold = fork::hold();
        let mut ledger = self.lock();
        // Whoever waits for the memory wants it alone.
        drop(memory);
        let removed = ledger.end(id, copy, failure);
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
            if entry.flags.is_exposed {
                return Err(Error::Borrowed);
            }
            if entry.is_busy() {
                drop(self.wait(ledger));
                continue;
            }
            let left = ledger.leave(id);
            let entry = ledger.entry(id);
            if entry.memory.is_none() {
                entry.flags.is_moved |= is_moved;
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
            let wanted = ledger.wanted.pop_front();
            drop((ledger, hold));
            let Some(wanted) = wanted else { return };
            self.read_in(&wanted);
        }
    }

    fn read_in(&self, Wanted { id, account, read }: &Wanted) {
        let (hold, mut ledger) = self.undisturbed();
        let Some((stored, len_bytes)) = ledger.begin_arrival(*id, account) else { return };
        drop((ledger, hold));
        let room = self.room_within(account, len_bytes, Patience::SHORT);
        // A hint: what fails is told by the verb that comes.
        let memory = room.ok().flatten().and_then(|room| Some((read(&stored, len_bytes, account.exclude).ok()?, room)));
        drop(stored);
        let (hold, mut ledger) = self.undisturbed();
        let memory = memory.map(|(memory, room)| UnsizedArc::new(ResidentMemory::new(memory, room)));
        let unwanted = match memory {
            Some(memory) if !account.is_closed() && !ledger.entry(*id).flags.is_freed => {
                ledger.arrive(*id, memory);
                None
            }
            unwanted => unwanted,
        };
        ledger.entry(*id).flags.is_arriving = false;
        ledger.entry(*id).flags.is_uncounted = false;
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

/// The copy of a payload after it was written where that was needed, and why it could not be.
fn settled(account: &Account, memory: &ResidentMemory, copy: Copy, len_bytes: u64) -> (Copy, Option<Error>) {
    // What does not serve is given up before another place is claimed.
    let place = match copy {
        Copy::Written(stored) => match stored.has_content(memory.memory.chunks()) {
            Ok(true) => return (Copy::Written(stored), None),
            Ok(false) => {
                count(&account.counters.changed_borrows);
                None
            }
            Err(error) => return (Copy::Written(stored), Some(error)),
        },
        Copy::Claimed(place) => Some(place).filter(Place::is_writable),
        Copy::None | Copy::Busy(_) => None,
    };
    let Some(place) = place else { return written_elsewhere(account, memory, len_bytes) };
    match write(account, memory, place, len_bytes) {
        Ok(stored) => (Copy::Written(UnsizedArc::new(stored)), None),
        Err((error, place)) if is_stopped(&error) => (Copy::Claimed(place), None),
        // The place is given up: what comes there next fails as well, or takes room that is short.
        Err((_, place)) => {
            account.store().discard(place);
            written_elsewhere(account, memory, len_bytes)
        }
    }
}

fn written_elsewhere(account: &Account, memory: &ResidentMemory, len_bytes: u64) -> (Copy, Option<Error>) {
    let place = match account.store().claim(len_bytes) {
        Ok(claim) => claim.keep(),
        Err(error) => return (Copy::None, Some(error)),
    };
    match write(account, memory, place, len_bytes) {
        Ok(stored) => (Copy::Written(UnsizedArc::new(stored)), None),
        Err((error, place)) if is_stopped(&error) => (Copy::Claimed(place), None),
        Err((error, place)) => {
            account.store().discard(place);
            (Copy::None, Some(error))
        }
    }
}

fn write(account: &Account, memory: &ResidentMemory, place: Place, len_bytes: u64) -> Result<Stored, (Error, Place)> {
    Stored::write(account.store(), place, memory.memory.chunks(), len_bytes, account.integrity, &memory.stop)
}

fn is_stopped(error: &Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED)
}
