//! What a handle holds of an entry, and what its verbs do with it.

mod lend_all;

use bytemuck::Pod;
#[cfg(feature = "addon-internals")]
pub(crate) use lend_all::Gathered;

use super::account::count;
use super::entry::{Entry, Flag, OnDisk};
use super::ledger::Ledger;
use super::resident::ResidentMemory;
use super::writer::Wanted;
use super::{Account, Budget, NoRoom, Room};
use crate::error::Error;
use crate::payload::{Extents, Memory, Payload, Stored};
use crate::store::Place;
#[cfg(feature = "addon-internals")]
use crate::sync::{Mutex, lock, yield_now};
use crate::sync::{MutexGuard, UnsizedArc};
use crate::sys::Destination;
#[cfg(feature = "addon-internals")]
use crate::{payload, payload::Chunk, sys::destination};

/// An entry of a budget, which is freed when this is dropped.
pub(crate) struct Ticket {
    account: UnsizedArc<Account>,
    id: u32,
    /// Whether the entry is gone: its payload was taken.
    is_spent: bool,
}

/// Where a payload is, for a read of it.
pub(crate) enum Look {
    Resident(UnsizedArc<ResidentMemory>),
    Stored(UnsizedArc<Stored>),
}

impl Payload for Look {
    fn read(&self, extents: &Extents, whole: Destination<'_>) -> Result<(), Error> {
        match self {
            Self::Resident(resident) => resident.memory.read(extents, whole),
            Self::Stored(stored) => stored.payload().read(extents, whole),
        }
    }

    fn read_cached(&self, extents: &Extents, whole: Destination<'_>) -> Result<bool, Error> {
        match self {
            Self::Resident(resident) => resident.memory.read_cached(extents, whole),
            Self::Stored(stored) => stored.payload().read_cached(extents, whole),
        }
    }

    fn prefetch(&self, extents: &Extents) {
        // What is in memory needs none.
        if let Self::Stored(stored) = self {
            stored.payload().prefetch(extents);
        }
    }
}

/// Gives room for so many bytes.
type Claim<'a> = dyn FnMut(u64) -> Result<Room, Error> + 'a;

/// That an entry is borrowed, until it is dropped.
pub(crate) struct Loan {
    account: UnsizedArc<Account>,
    id: u32,
}

impl Account {
    /// Room for memory of `held_bytes`, for which cold payloads leave that need no writing.
    pub(crate) fn room(self: &UnsizedArc<Self>, held_bytes: u64) -> Result<Room, NoRoom> {
        self.budget().room(self, held_bytes)
    }

    /// Takes a payload in whose place on disk is claimed. `move_in` is called when nothing else can fail.
    ///
    /// # Errors
    /// Out of memory for the entry, and those of `move_in`.
    pub(crate) fn admit(
        self: &UnsizedArc<Self>,
        move_in: impl FnOnce() -> Result<(Place, ResidentMemory), Error>,
    ) -> Result<Ticket, Error> {
        let budget = self.budget();
        let mut ledger = budget.lock();
        // Looked at behind the lock, so that a close either is seen here or sees the entry.
        if self.is_closed() {
            return Err(Error::Closed);
        }
        ledger.prepare()?;
        let (place, resident) = move_in()?;
        let copy = OnDisk::Unwritten(Some(place), None);
        let id = ledger.add(Entry::new(Some(UnsizedArc::new(resident)), copy));
        budget.urge_if_due(&ledger);
        Ok(self.ticket(id))
    }

    /// A payload that was written by its pageout.
    ///
    /// # Errors
    /// Out of memory for the entry.
    pub(crate) fn admit_stored(self: &UnsizedArc<Self>, stored: Stored) -> Result<Ticket, Error> {
        let mut ledger = self.budget().lock();
        ledger.prepare()?;
        let id = ledger.add(Entry::new(None, OnDisk::Written(stored)));
        Ok(self.ticket(id))
    }

    fn ticket(self: &UnsizedArc<Self>, id: u32) -> Ticket {
        Ticket { account: UnsizedArc::clone(self), id, is_spent: false }
    }

    /// Ends all that is under way for a pager that is closed, and frees its memory that nobody borrows.
    pub(crate) fn close(self: &UnsizedArc<Self>) {
        self.set_closed();
        let budget = self.budget();
        let mut ledger = budget.lock();
        while ledger.stop_all_of(self) {
            ledger = budget.wait(ledger);
        }
        for id in 0..ledger.positions() {
            if let Some(memory) = ledger.take_of(id, self) {
                drop(ledger);
                drop(memory);
                ledger = budget.lock();
            }
        }
    }
}

impl Ticket {
    fn budget(&self) -> &Budget {
        self.account.budget()
    }

    /// Where the payload is. Counted as a hit or a miss where `is_counted`.
    ///
    /// # Errors
    /// [`Error::Closed`] where that happened meanwhile; [`Error::Borrowed`] while the payload is exposed: its memory may be changed
    /// or gone at any moment, as only those know who can reach it.
    pub(crate) fn look(&self, is_counted: bool) -> Result<Look, Error> {
        let mut ledger = self.budget().lock();
        if ledger.entry(self.id).is(Flag::Exposed) {
            return Err(Error::Borrowed);
        }
        let counters = &self.account.counters;
        if let Some(memory) = ledger.touch(self.id) {
            if is_counted {
                count(&counters.hits);
            }
            return Ok(Look::Resident(memory));
        }
        if is_counted {
            count(&counters.misses);
        }
        ledger.entry(self.id).copy.share().map(Look::Stored).ok_or(Error::Closed)
    }

    /// Whether the device has lost something of a file that the payload is to be read from.
    pub(crate) fn is_at_risk(&self) -> bool {
        let mut ledger = self.budget().lock();
        let entry = ledger.entry(self.id);
        entry.memory.is_none() && entry.copy.stored().is_some_and(Stored::is_at_risk)
    }

    /// Fails where somebody borrows the payload.
    ///
    /// # Errors
    /// [`Error::Borrowed`].
    pub(crate) fn refuse_borrowed(&self) -> Result<(), Error> {
        if self.budget().lock().entry(self.id).borrows > 0 { Err(Error::Borrowed) } else { Ok(()) }
    }

    /// Takes the only chunk of a payload that is in memory: its memory as it came. A write of it that is under way is ended
    /// first. The entry is gone then.
    ///
    /// # Errors
    /// [`Error::Borrowed`].
    pub(crate) fn take_only_chunk<T: Pod>(&mut self) -> Result<Option<Vec<T>>, Error> {
        self.take_from(false, Memory::take_only_chunk)
    }

    /// Lets `take` have the memory where nobody else uses it. The entry is gone where it took something. Where `may_be_held` a
    /// borrow that is none yet only keeps the memory.
    fn take_from<R>(&mut self, may_be_held: bool, take: impl FnOnce(&mut Memory) -> Option<R>) -> Result<Option<R>, Error> {
        let mut ledger = settled(&self.account, self.id);
        let entry = ledger.entry(self.id);
        if entry.borrows > 0 {
            return if may_be_held && !entry.is(Flag::Exposed) { Ok(None) } else { Err(Error::Borrowed) };
        }
        let Some(resident) = entry.memory.as_mut().and_then(UnsizedArc::get_mut) else { return Ok(None) };
        let Some(taken) = take(&mut resident.memory) else { return Ok(None) };
        count(&self.account.counters.hits);
        let removed = ledger.remove(self.id);
        self.is_spent = true;
        drop(ledger);
        drop(removed);
        Ok(Some(taken))
    }

    /// Lends the payload: it stays in memory until the loan is dropped. One that is on disk is read in by `read`, one of several
    /// chunks becomes one.
    ///
    /// # Errors
    /// [`Error::Budget`], those of a read, and those of a background write where payloads that could not be written fill the budget.
    pub(crate) fn lend<T: Pod>(&self) -> Result<(Loan, UnsizedArc<ResidentMemory>), Error> {
        self.lend_within::<T>(&mut |len_bytes| self.budget().room_or_wait(&self.account, len_bytes))
    }

    /// The same, where `claim` gives the room for a payload that is read in.
    fn lend_within<T: Pod>(&self, claim: &mut Claim<'_>) -> Result<(Loan, UnsizedArc<ResidentMemory>), Error> {
        let read = |stored: &Stored, len_bytes| ResidentMemory::read::<T>(stored, len_bytes, self.account.exclude);
        let (mut is_shared, mut is_counted) = (false, false);
        loop {
            let mut ledger = self.budget().lock();
            if let Some(memory) = ledger.touch(self.id) {
                if memory.memory.as_one().is_none() {
                    drop((ledger, memory));
                    self.join::<T>()?;
                    continue;
                }
                ledger.borrow(self.id);
                if !is_shared {
                    count(&self.account.counters.hits);
                }
                return Ok((Loan { account: UnsizedArc::clone(&self.account), id: self.id }, memory));
            }
            is_shared = true;
            if let Some(loaned) = self.bring_in(ledger, &mut is_counted, claim, read)? {
                return Ok(loaned);
            }
        }
    }

    /// Reads the payload in, unless somebody else is doing that, whom this waits for.
    fn bring_in(
        &self,
        mut ledger: MutexGuard<'_, Ledger>,
        is_counted: &mut bool,
        claim: &mut Claim<'_>,
        read: impl FnOnce(&Stored, u64) -> Result<Memory, Error>,
    ) -> Result<Option<(Loan, UnsizedArc<ResidentMemory>)>, Error> {
        let entry = ledger.entry(self.id);
        if entry.is(Flag::Arriving) {
            if entry.take(Flag::Uncounted) {
                self.count_miss(is_counted);
            }
            drop(self.budget().wait(ledger));
            return Ok(None);
        }
        let stored = entry.copy.share().ok_or(Error::Closed)?;
        let len_bytes = stored.len_bytes();
        entry.set(Flag::Arriving, true);
        entry.set(Flag::Uncounted, false);
        drop(ledger);
        let arrived = claim(len_bytes).and_then(|room| {
            let memory = read(&stored, len_bytes)?;
            Ok(UnsizedArc::new(ResidentMemory::new(memory, room)))
        });
        drop(stored);
        self.count_miss(is_counted);
        let mut ledger = self.budget().lock();
        ledger.entry(self.id).set(Flag::Arriving, false);
        let outcome = arrived.map(|memory| {
            ledger.arrive(self.id, UnsizedArc::clone(&memory));
            ledger.borrow(self.id);
            Some((Loan { account: UnsizedArc::clone(&self.account), id: self.id }, memory))
        });
        self.budget().tell();
        outcome
    }

    /// Counts a miss, unless that was done for the same borrow.
    fn count_miss(&self, is_counted: &mut bool) {
        if !std::mem::replace(is_counted, true) {
            count(&self.account.counters.misses);
        }
    }

    /// Makes one piece of memory of several chunks.
    fn join<T: Pod>(&self) -> Result<(), Error> {
        let len_bytes = self.budget().lock().entry(self.id).memory.as_ref().map(|several| several.memory.len_bytes());
        // Nobody holds the chunks meanwhile: where there is no room for both, they leave, and come back from disk as one.
        let Some(len_bytes) = len_bytes else { return Ok(()) };
        let room = self.budget().room_or_wait(&self.account, len_bytes)?;
        let Some(several) = self.budget().lock().touch(self.id) else { return Ok(()) };
        let memory = ResidentMemory::joined::<T>(&several.memory, len_bytes, self.account.exclude)?;
        let joined = UnsizedArc::new(ResidentMemory::new(memory, room));
        let mut ledger = settled(&self.account, self.id);
        let is_same = ledger.entry(self.id).memory.as_ref().is_some_and(|memory| UnsizedArc::ptr_eq(memory, &several));
        // Somebody else may have been faster.
        let old = if is_same { ledger.replace(self.id, joined) } else { Some(joined) };
        drop(ledger);
        drop(old);
        Ok(())
    }

    /// Lets the keeper bring the payload into memory, where there is room.
    pub(crate) fn want<T: Pod>(&self) {
        let wanted = Wanted { id: self.id, account: UnsizedArc::clone(&self.account), read: ResidentMemory::read::<T> };
        self.budget().lock().want(wanted);
        self.budget().urge();
    }
}

/// The ledger, with no write of a payload under way.
fn settled(account: &Account, id: u32) -> MutexGuard<'_, Ledger> {
    let budget = account.budget();
    let mut ledger = budget.lock();
    loop {
        let entry = ledger.entry(id);
        if !entry.is_busy() {
            return ledger;
        }
        entry.stop();
        entry.begin_wait();
        ledger = budget.wait(ledger);
        ledger.entry(id).end_wait();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_spent {
            return;
        }
        let mut ledger = self.budget().lock();
        let entry = ledger.entry(self.id);
        entry.set(Flag::Freed, true);
        entry.copy.count_saved(false);
        entry.stop();
        // Whoever looks at lent memory is gone, or has closed the pager; and what holds it may wait for the end of its owner.
        let is_lent = entry.memory.as_ref().is_some_and(|memory| memory.memory.key().is_some());
        let given_up = (is_lent && entry.borrows > 0).then(|| ledger.lose_memory(self.id));
        let removed = ledger.remove_if_unused(self.id);
        if given_up.is_some() {
            self.budget().tell();
        }
        drop(ledger);
        drop((removed, given_up));
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let budget = self.account.budget();
        let mut ledger = budget.lock();
        ledger.end_borrow(self.id);
        let removed = ledger.remove_if_unused(self.id);
        let closed = self.account.is_closed().then(|| ledger.take_of(self.id, &self.account)).flatten();
        // Whoever waits for room looks again.
        budget.tell();
        drop(ledger);
        drop((removed, closed));
    }
}

/// Memory that somebody else owns and lends: it can be reached by its owner alone, who may not free it before it is dropped here.
#[cfg(feature = "addon-internals")]
impl Ticket {
    /// Takes the payload's memory for its owner, where it is one piece: gives what stands for it there. Nothing where it is not in
    /// memory, or somebody reads it at this moment or holds it. The entry is gone then.
    ///
    /// # Errors
    /// [`Error::Borrowed`].
    pub(crate) fn take_lent(&mut self) -> Result<Option<u64>, Error> {
        self.take_from(true, |memory| {
            let key = memory.key().filter(|_| memory.as_one().is_some())?;
            memory.give_back();
            Some(key)
        })
    }

    /// Lets the owner of the payload's memory reach it, until [`Self::end_exposure`]: gives what stands for it there. Nobody else
    /// reads it then: whoever does at this moment is waited for. Nothing where it is not in memory. Counted as a hit where
    /// `is_counted` and it is one piece.
    ///
    /// # Errors
    /// Out of memory for checksums.
    pub(crate) fn expose(&self, is_counted: bool) -> Result<Option<u64>, Error> {
        loop {
            let mut ledger = settled(&self.account, self.id);
            let entry = ledger.entry(self.id);
            let Some(resident) = &entry.memory else { return Ok(None) };
            if !entry.is_unused() {
                // Somebody copies from it: a matter of moments.
                drop(ledger);
                yield_now();
            } else if self.account.packing.protection.verifies() && matches!(entry.copy, OnDisk::Unwritten(_, None)) {
                let resident = UnsizedArc::clone(resident);
                drop(ledger);
                self.remember(&resident)?;
            } else {
                return Ok(self.expose_unused(&mut ledger, is_counted));
            }
        }
    }

    fn expose_unused(&self, ledger: &mut Ledger, is_counted: bool) -> Option<u64> {
        let memory = &ledger.entry(self.id).memory.as_ref()?.memory;
        // Memory of the pager itself nobody else can reach.
        let (key, is_one) = (memory.key()?, memory.as_one().is_some());
        ledger.touch(self.id);
        ledger.expose(self.id);
        if is_counted && is_one {
            count(&self.account.counters.hits);
        }
        Some(key)
    }

    /// Remembers what a payload is that nobody has written yet, so that a change of it is noticed.
    fn remember(&self, resident: &UnsizedArc<ResidentMemory>) -> Result<(), Error> {
        let sums = Box::new(payload::checksums(resident.memory.chunks(), resident.memory.len_bytes())?);
        let mut ledger = self.budget().lock();
        let entry = ledger.entry(self.id);
        let is_same = entry.memory.as_ref().is_some_and(|memory| UnsizedArc::ptr_eq(memory, resident));
        if let OnDisk::Unwritten(_, before) = &mut entry.copy
            && is_same
        {
            *before = Some(sums);
        }
        Ok(())
    }

    /// Counts one more use of a payload that is exposed.
    pub(crate) fn count_use(&self) {
        self.budget().lock().touch(self.id);
        count(&self.account.counters.hits);
    }

    /// Nobody reaches the memory any more but the pager.
    pub(crate) fn end_exposure(&self) {
        let budget = self.budget();
        let mut ledger = budget.lock();
        ledger.end_exposure(self.id);
        let removed = ledger.remove_if_unused(self.id);
        budget.urge_if_due(&ledger);
        budget.tell();
        drop(ledger);
        drop(removed);
    }

    /// Changes the only chunk with bytes of an exposed payload. Says whether there is one.
    pub(crate) fn change_exposed(&self, change: impl FnOnce(&mut dyn Chunk)) -> bool {
        let mut ledger = self.budget().lock();
        let entry = ledger.entry(self.id);
        let is_exposed = entry.is(Flag::Exposed);
        let exposed = entry.memory.as_mut().filter(|_| is_exposed);
        exposed.and_then(UnsizedArc::get_mut).and_then(|resident| resident.memory.only_chunk()).map(change).is_some()
    }

    /// The owner lost memory that was exposed. Says whether the payload is on disk; else it is gone.
    pub(crate) fn lose(&self) -> bool {
        let budget = self.budget();
        let (has_copy, memory) = budget.lock().lose_memory(self.id);
        budget.tell();
        drop(memory);
        has_copy
    }

    /// Brings a payload that is on disk into `target`, lent memory of exactly its length, which `lend` then stands for, in the room
    /// that it is given: of what was gathered, or new room.
    ///
    /// # Errors
    /// As [`Self::lend`].
    pub(crate) fn bring_lent(
        &self,
        target: &mut [u8],
        purpose: Purpose,
        gathered: Option<&Mutex<Gathered>>,
        lend: impl FnOnce(Room) -> Box<dyn Chunk>,
    ) -> Result<(Brought, Option<Loan>), Error> {
        let budget = self.budget();
        let (mut is_shared, mut is_counted) = (false, purpose == Purpose::Ahead);
        let mut ledger = budget.lock();
        while ledger.entry(self.id).is(Flag::Arriving) {
            is_shared = true;
            if !is_counted && ledger.entry(self.id).take(Flag::Uncounted) {
                self.count_miss(&mut is_counted);
            }
            ledger = budget.wait(ledger);
        }
        let entry = ledger.entry(self.id);
        if entry.memory.is_some() {
            let brought = if is_shared { Brought::Shared } else { Brought::ByOther };
            return Ok((brought, self.held_for(purpose, &mut ledger)));
        }
        if entry.is(Flag::Moved) {
            return Ok((Brought::ByOther, None));
        }
        let stored = entry.copy.share().ok_or(Error::Closed)?;
        let len_bytes = stored.len_bytes();
        entry.set(Flag::Arriving, true);
        entry.set(Flag::Uncounted, purpose == Purpose::Ahead);
        drop(ledger);
        let part = gathered.and_then(|gathered| lock(gathered).part(len_bytes));
        let room = part.map_or_else(|| budget.room_or_departing(&self.account, len_bytes), |part| Ok(Some(part)));
        let filled = room.and_then(|room| {
            let Some(room) = room else { return Ok(None) };
            destination::overwrite(target, |whole| stored.payload().read(&Extents::whole(len_bytes), whole))?;
            Ok(Some(room))
        });
        drop(stored);
        let mut ledger = budget.lock();
        let outcome = filled.and_then(|room| match room {
            None => Ok((Brought::NotYet, None)),
            Some(_) if self.account.is_closed() => Err(Error::Closed),
            Some(_) if ledger.entry(self.id).is(Flag::Moved) => Ok((Brought::ByOther, None)),
            Some(room) => {
                let bytes = room.bytes();
                let memory = ResidentMemory::lent(Memory::lent(vec![lend(room)])?, &self.account, bytes);
                ledger.arrive(self.id, UnsizedArc::new(memory));
                self.count_miss(&mut is_counted);
                if purpose == Purpose::Exposed {
                    ledger.expose(self.id);
                }
                Ok((Brought::Here, self.held_for(purpose, &mut ledger)))
            }
        });
        let entry = ledger.entry(self.id);
        entry.set(Flag::Arriving, false);
        entry.set(Flag::Uncounted, false);
        let removed = ledger.remove_if_unused(self.id);
        budget.tell();
        drop(ledger);
        drop(removed);
        outcome
    }

    fn held_for(&self, purpose: Purpose, ledger: &mut Ledger) -> Option<Loan> {
        (purpose == Purpose::Held).then(|| {
            ledger.borrow(self.id);
            Loan { account: UnsizedArc::clone(&self.account), id: self.id }
        })
    }

    /// Keeps the payload in memory, where it is there.
    pub(crate) fn hold(&self) -> Option<Loan> {
        let mut ledger = self.budget().lock();
        let is_there = ledger.entry(self.id).memory.is_some();
        is_there.then(|| self.held_for(Purpose::Held, &mut ledger))?
    }

    /// Makes one piece of lent memory of several chunks, which are exposed: `lend` stands for it, in the room that it is given.
    /// Counted as the hit that its exposure is. False where there is no room yet.
    ///
    /// # Errors
    /// As [`Self::lend`].
    pub(crate) fn replace_lent(&self, held_bytes: u64, lend: impl FnOnce(Room) -> Box<dyn Chunk>) -> Result<bool, Error> {
        let Some(room) = self.budget().room_or_departing(&self.account, held_bytes)? else { return Ok(false) };
        let bytes = room.bytes();
        let resident = UnsizedArc::new(ResidentMemory::lent(Memory::lent(vec![lend(room)])?, &self.account, bytes));
        let mut ledger = settled(&self.account, self.id);
        let old = ledger.replace(self.id, resident);
        count(&self.account.counters.hits);
        drop(ledger);
        drop(old);
        Ok(true)
    }

    /// Writes the payload, if that is to be done, and lets it leave memory; where `is_moved`, because it goes to another thread, and
    /// its memory cannot.
    ///
    /// # Errors
    /// Those of the write; [`Error::Borrowed`].
    pub(crate) fn write_out(&self, is_moved: bool) -> Result<(), Error> {
        self.budget().write_out(self.id, is_moved)
    }
}

/// What a payload is brought into memory for.
#[cfg(feature = "addon-internals")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody may want it soon.
    Ahead,
    /// A borrow that comes: it stays in memory until then.
    Held,
    /// A borrow that begins now.
    Exposed,
}

/// What became of lent memory that was to be filled.
#[cfg(feature = "addon-internals")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brought {
    /// It stands for the payload now.
    Here,
    /// There will be room once the calling thread has freed what left.
    NotYet,
    /// Somebody else has read the payload meanwhile, and both are one miss.
    Shared,
    /// The payload is in other memory already, or is to be in none of this thread.
    ByOther,
}
