//! Payloads in memory that somebody else owns, as the addon has it: `V8` frees its memory itself, on its own threads. The owner
//! keeps it where nobody else reaches it, and the pager reads it until it drops what stands for it.

use std::sync::atomic::{AtomicBool, Ordering::AcqRel};

use bytemuck::Pod;

use super::handle::Body;
use super::{Error, Handle, Pager};
use crate::budget::{Brought, Gathered, Loan, NoRoom, Purpose, ResidentMemory, Room, Ticket};
use crate::payload::{Chunk, Memory};
use crate::store::Place;
use crate::sync::Mutex;

/// A place on disk and room in memory for a payload that comes at once.
#[doc(hidden)]
#[must_use = "room and place are given up when this is dropped"]
pub struct Claimed {
    place: Place,
    room: Room,
}

/// Bytes of a memory budget, until it is dropped.
#[doc(hidden)]
pub struct LentRoom {
    room: Room,
    /// Whether the memory has left already and only waits to be freed.
    is_departing: AtomicBool,
}

impl LentRoom {
    const fn new(room: Room) -> Self {
        Self { room, is_departing: AtomicBool::new(false) }
    }

    /// The memory has left the pager, and waits for its owner to free it.
    pub fn depart(&self) {
        if !self.is_departing.swap(true, AcqRel) {
            self.room.begin_departure();
        }
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.room.bytes()
    }
}

impl Drop for LentRoom {
    fn drop(&mut self) {
        if *self.is_departing.get_mut() {
            self.room.end_departure();
        }
    }
}

/// That a payload stays in memory, for a borrow that comes, until this is dropped.
#[doc(hidden)]
pub struct Hold(#[expect(dead_code, reason = "dropped, and nothing else")] Loan);

/// Room for several payloads that come into memory, and that those of them that are there stay, until this is dropped.
#[doc(hidden)]
pub struct LentGathered(Mutex<Gathered>);

/// What a claim came to.
#[doc(hidden)]
pub enum Claiming {
    Claimed(Claimed),
    /// There will be room once the calling thread has freed what left.
    NotYet,
    /// The payload is to be written at once.
    NoRoom,
}

impl Pager {
    /// Whether it has a memory budget.
    #[doc(hidden)]
    #[must_use]
    pub fn has_budget(&self) -> bool {
        self.shared.account.is_some()
    }

    /// Claims a place for a payload of `len_bytes`, not zero, and room for memory of `held_bytes`.
    ///
    /// # Errors
    /// As [`Pager::pageout`](Self::pageout).
    #[doc(hidden)]
    pub fn claim(&self, len_bytes: u64, held_bytes: u64) -> Result<Claiming, Error> {
        self.shared.check_open()?;
        let Some(account) = &self.shared.account else { return Ok(Claiming::NoRoom) };
        let room = match account.room(held_bytes) {
            Ok(room) => room,
            Err(NoRoom::Departing) => return Ok(Claiming::NotYet),
            Err(NoRoom::Full | NoRoom::TooLarge) => return Ok(Claiming::NoRoom),
        };
        let place = self.store()?.claim(len_bytes).map_err(|error| self.with_payloads(error))?.keep();
        Ok(Claiming::Claimed(Claimed { place, room }))
    }

    /// Takes a payload of `len_bytes` in, for which was claimed; `lend` makes its chunks, at least one, in the room that it is given.
    ///
    /// # Errors
    /// Out of memory.
    #[doc(hidden)]
    pub fn admit_lent<T: Pod>(
        &self,
        claimed: Claimed,
        len_bytes: u64,
        lend: impl FnOnce(LentRoom) -> Vec<Box<dyn Chunk>>,
    ) -> Result<Handle<T>, Error> {
        let Some(account) = &self.shared.account else { return Err(Error::Closed) };
        let Claimed { place, room } = claimed;
        let ticket = account.admit(|| {
            let bytes = room.bytes();
            let memory = Memory::lent(lend(LentRoom::new(room)))?;
            Ok((place, ResidentMemory::lent(memory, account, bytes)))
        })?;
        Ok(self.handle(Body::Kept(ticket), len_bytes))
    }
}

#[doc(hidden)]
impl Handle<u8> {
    /// Takes the memory of the payload for its owner, as the take that it is: gives what stands for it there. The handle is good for
    /// nothing then. Nothing where it is not in memory, or somebody reads it at this moment or holds it.
    ///
    /// # Errors
    /// [`Error::Borrowed`], [`Error::Closed`].
    pub fn take_lent(&mut self) -> Result<Option<u64>, Error> {
        self.pager_shared().check_open()?;
        let Body::Kept(ticket) = self.body_mut() else { return Ok(None) };
        let key = ticket.take_lent()?;
        if key.is_some() {
            self.pager_shared().counters.take(crate::units::to_u64(self.len_bytes()));
        }
        Ok(key)
    }

    /// Lets the owner of the payload's memory reach it: gives what stands for it there. Nothing where it is not in memory. Reads fail
    /// with [`Error::Borrowed`] until [`Self::end_exposure`]. Counted where `is_counted`, unless [`Self::replace_lent`] has to follow.
    ///
    /// # Errors
    /// [`Error::Closed`], and out of memory for checksums.
    pub fn expose(&self, is_counted: bool) -> Result<Option<u64>, Error> {
        self.pager_shared().check_open()?;
        self.ticket().map_or(Ok(None), |ticket| ticket.expose(is_counted))
    }

    /// Counts one more use of memory that is exposed.
    pub fn count_use(&self) {
        if let Some(ticket) = self.ticket() {
            ticket.count_use();
        }
    }

    /// The owner reaches the memory no more.
    pub fn end_exposure(&self) {
        if let Some(ticket) = self.ticket() {
            ticket.end_exposure();
        }
    }

    /// Lets `change` have the only chunk with bytes of a payload that is exposed, to tell it that the memory is elsewhere. Says whether
    /// there is one.
    pub fn change_exposed(&self, change: impl FnOnce(&mut dyn Chunk)) -> bool {
        self.ticket().is_some_and(|ticket| ticket.change_exposed(change))
    }

    /// The owner lost memory that was exposed. Says whether the payload is on disk.
    #[must_use]
    pub fn lose(&self) -> bool {
        self.ticket().is_some_and(Ticket::lose)
    }

    /// Brings the payload into `target`, memory of exactly its length that `lend` stands for, in room of what was gathered, if there is
    /// such. With a hold where that is the purpose and the payload is in memory.
    ///
    /// # Errors
    /// As [`Handle::borrow`].
    pub fn bring_lent(
        &self,
        target: &mut [u8],
        purpose: Purpose,
        gathered: Option<&LentGathered>,
        lend: impl FnOnce(LentRoom) -> Box<dyn Chunk>,
    ) -> Result<(Brought, Option<Hold>), Error> {
        self.pager_shared().check_open()?;
        let Some(ticket) = self.ticket() else { return Ok((Brought::ByOther, None)) };
        let gathered = gathered.map(|LentGathered(gathered)| gathered);
        let (brought, loan) = ticket.bring_lent(target, purpose, gathered, |room| lend(LentRoom::new(room)))?;
        Ok((brought, loan.map(Hold)))
    }

    /// Finds room for several payloads of one pager in one step, and keeps those that are in memory. Nothing where there will be room
    /// once threads have freed what left.
    ///
    /// # Errors
    /// As [`Handle::borrow`].
    pub fn gather<'a>(handles: impl IntoIterator<Item = &'a Self>) -> Result<Option<LentGathered>, Error> {
        let tickets: Vec<&Ticket> = handles.into_iter().filter_map(Self::ticket).collect();
        Ok(Ticket::gather_all(&tickets)?.map(|gathered| LentGathered(Mutex::new(gathered))))
    }

    /// Keeps the payload in memory, where it is there.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        self.ticket().and_then(Ticket::hold).map(Hold)
    }

    /// Exchanges several exposed chunks for one, of `held_bytes`. False where there is no room yet.
    ///
    /// # Errors
    /// As [`Handle::borrow`].
    pub fn replace_lent(&self, held_bytes: u64, lend: impl FnOnce(LentRoom) -> Box<dyn Chunk>) -> Result<bool, Error> {
        let Some(ticket) = self.ticket() else { return Ok(false) };
        ticket.replace_lent(held_bytes, |room| lend(LentRoom::new(room)))
    }

    /// The error of a borrow for which threads did not free what had left.
    #[must_use]
    pub fn no_room_yet(&self) -> Error {
        let account = self.pager_shared().account.as_ref();
        account.map_or(Error::Closed, |account| account.budget().no_room_yet(crate::units::to_u64(self.len_bytes())))
    }

    /// Writes the payload if that is to be done, and lets it leave memory; where `is_moved`, for another thread: it does not come into
    /// memory of this one again.
    ///
    /// # Errors
    /// Those of the write; [`Error::Borrowed`].
    pub fn write_out(&self, is_moved: bool) -> Result<(), Error> {
        self.ticket().map_or(Ok(()), |ticket| ticket.write_out(is_moved))
    }
}
