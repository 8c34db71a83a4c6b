//! The payloads of one thread's environment, by ticket.
//!
//! A ticket is a slot number and the slot's generation in one exact double. JavaScript holds nothing else, so a handle is an
//! ordinary object to the garbage collector; a freed ticket is recognised by its generation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::Result;
use pageout::{Claimed, Collector, Handle, Hold, LentGathered, Pager};

use crate::error::internal;

/// Generations have 21 bits, so that with a 32-bit slot number a ticket is below 2^53.
const GENERATIONS: u32 = 1 << 21;
/// Factor of the slot number in a ticket.
const GENERATION_FACTOR: u64 = 1 << 32;

/// A pager and the payloads that one environment paged out through it. Dropped with the environment.
pub struct Table {
    shared: Arc<Shared>,
    entries: Mutex<Entries>,
    /// For the payload that comes next.
    claimed: Mutex<Option<Claimed>>,
}

/// Keeps a pager open: the last of these closes it. Its table has one, and so has every payload that was moved from there. There
/// is none of the process-wide pager, which is never closed.
pub struct Opening(Pager);

/// A pager, and the payloads that JavaScript keeps in memory itself (its swap backend), which the pager cannot count.
pub struct Shared {
    pub pager: Pager,
    pub kept: Kept,
}

/// Counters of the payloads that JavaScript keeps in memory.
#[derive(Default)]
pub struct Kept {
    pub handles: AtomicU64,
    pub payload_bytes: AtomicU64,
    pub pageouts: AtomicU64,
    pub pageout_bytes: AtomicU64,
    pub reads: AtomicU64,
    pub read_bytes: AtomicU64,
    pub takes: AtomicU64,
    pub take_bytes: AtomicU64,
}

/// A payload.
#[derive(Clone)]
pub enum Payload {
    /// In the pager, or in the one that it was moved from, which it keeps open.
    Stored(Arc<Handle<u8>>, Option<Arc<Opening>>),
    /// In JavaScript: this many bytes, counted in [`Shared::kept`].
    Kept(u64),
    /// Being collected, piece by piece.
    Collecting(Arc<Mutex<Collector<u8>>>),
    /// Another ticket's, which stays in memory.
    Held(#[expect(dead_code, reason = "dropped, and nothing else")] Arc<Hold>),
    /// No payload, but room for several.
    Gathered(Arc<LentGathered>),
}

#[derive(Default)]
struct Entries {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The generation of new slots: above all that any slot had before the table was emptied.
    first_generation: u32,
    /// Nothing once the table is closed, and of the process-wide pager.
    opening: Option<Arc<Opening>>,
    /// Whether there are no payloads any more.
    is_closed: bool,
}

struct Slot {
    generation: u32,
    payload: Option<Payload>,
}

impl Table {
    /// A table of the process-wide pager.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, entries: Mutex::default(), claimed: Mutex::default() }
    }

    /// The table of a pager that is closed with it.
    pub fn opened(pager: Pager) -> Self {
        let opening = Some(Arc::new(Opening(pager.clone())));
        let entries = Mutex::new(Entries { opening, ..Entries::default() });
        Self { shared: Arc::new(Shared { pager, kept: Kept::default() }), entries, claimed: Mutex::default() }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Adds a payload that is counted already, and returns its ticket.
    pub fn insert(&self, payload: Payload) -> Result<f64> {
        let mut entries = self.lock();
        if entries.is_closed {
            return Err(internal("a payload came after the pager was closed"));
        }
        let slot_number = match entries.free.pop() {
            Some(slot_number) => slot_number,
            None => entries.add_slot().ok_or_else(|| internal("there are more handles than tickets"))?,
        };
        let slot = &mut entries.slots[slot_number as usize];
        slot.payload = Some(payload);
        Ok(ticket(slot_number, slot.generation))
    }

    /// The stored payload of a ticket.
    pub fn stored(&self, ticket: f64) -> Result<Arc<Handle<u8>>> {
        match self.get(ticket) {
            Some(Payload::Stored(handle, _)) => Ok(handle),
            _ => Err(internal("the ticket stands for no stored payload")),
        }
    }

    /// Keeps what was claimed for the payload that comes next, in place of what it had.
    pub fn set_claimed(&self, claimed: Option<Claimed>) {
        let before = std::mem::replace(&mut *self.claimed.lock().unwrap_or_else(PoisonError::into_inner), claimed);
        drop(before);
    }

    /// What was claimed last.
    pub fn take_claimed(&self) -> Option<Claimed> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes a payload whose memory is there, which frees the ticket: gives the key of the memory. Nothing where it is not, or a job
    /// holds the payload.
    pub fn take_lent(&self, ticket: f64) -> Result<std::result::Result<Option<u64>, pageout::Error>> {
        let mut entries = self.lock();
        let payload = entries.slot(ticket).and_then(|slot| slot.payload.as_mut());
        let Some(Payload::Stored(handle, _)) = payload else {
            return Err(internal("the ticket stands for no stored payload"));
        };
        let taken = Arc::get_mut(handle).map_or(Ok(None), Handle::take_lent);
        if let Ok(Some(_)) = taken {
            let spent = entries.slot(ticket).and_then(|slot| slot.payload.take());
            entries.retire(ticket);
            drop(entries);
            drop(spent);
        }
        Ok(taken)
    }

    /// Another ticket for the stored payload of a ticket.
    pub fn share(&self, ticket: f64) -> Result<f64> {
        match self.get(ticket) {
            Some(payload @ Payload::Stored(..)) => self.insert(payload),
            _ => Err(internal("the ticket stands for no stored payload")),
        }
    }

    /// Lets a ticket stand for a hold, in place of the payload that it had; where it is free by now nobody holds anything.
    pub fn hold(&self, ticket: f64, hold: Hold) {
        let mut entries = self.lock();
        let payload = entries.slot(ticket).and_then(|slot| slot.payload.as_mut());
        let before = payload.map(|payload| std::mem::replace(payload, Payload::Held(Arc::new(hold))));
        drop(entries);
        drop(before);
    }

    /// What keeps the pager open.
    pub fn opening(&self) -> Option<Arc<Opening>> {
        self.lock().opening.clone()
    }

    /// Counts a take and frees the payload.
    pub fn finish_take(&self, ticket: f64) {
        match self.get(ticket) {
            Some(Payload::Stored(handle, _)) => handle.pager().count_take(&handle),
            Some(Payload::Kept(len_bytes)) => self.shared.kept.take(len_bytes),
            Some(Payload::Collecting(_) | Payload::Held(_) | Payload::Gathered(_)) | None => return,
        }
        self.free(ticket);
    }

    /// The room of a ticket.
    pub fn gathered(&self, ticket: f64) -> Result<Arc<LentGathered>> {
        match self.get(ticket) {
            Some(Payload::Gathered(gathered)) => Ok(gathered),
            _ => Err(internal("the ticket stands for no room")),
        }
    }

    /// The collector of a ticket.
    pub fn collector(&self, ticket: f64) -> Result<Arc<Mutex<Collector<u8>>>> {
        match self.get(ticket) {
            Some(Payload::Collecting(collector)) => Ok(collector),
            _ => Err(internal("the ticket stands for no collector")),
        }
    }

    fn get(&self, ticket: f64) -> Option<Payload> {
        let mut entries = self.lock();
        entries.slot(ticket)?.payload.clone()
    }

    /// Frees the payload of a ticket; false when it was freed already.
    pub fn free(&self, ticket: f64) -> bool {
        self.remove(ticket).inspect(|payload| self.end(payload)).is_some()
    }

    /// Removes and returns the payload of a ticket.
    pub fn remove(&self, ticket: f64) -> Option<Payload> {
        let mut entries = self.lock();
        let payload = entries.slot(ticket)?.payload.take()?;
        entries.retire(ticket);
        Some(payload)
    }

    /// Frees all payloads, and takes none any more. The pager is closed, unless it is the process's or a payload was moved from
    /// it that is still there.
    pub fn close(&self) {
        let Entries { slots, opening, .. } =
            std::mem::replace(&mut *self.lock(), Entries { is_closed: true, ..Entries::default() });
        slots.iter().filter_map(|slot| slot.payload.as_ref()).for_each(|payload| self.end(payload));
        drop(slots);
        drop(opening);
    }

    /// Frees the table's memory if it is empty.
    pub fn shrink(&self) {
        let mut entries = self.lock();
        let last_generation = entries.slots.iter().map(|slot| slot.generation).max();
        let is_empty = entries.slots.iter().all(|slot| slot.payload.is_none());
        if let Some(first_generation) = last_generation.map(|last| last + 1).filter(|&first| is_empty && first < GENERATIONS) {
            let opening = entries.opening.take();
            *entries = Entries { first_generation, opening, ..Entries::default() };
        }
    }

    fn end(&self, payload: &Payload) {
        if let Payload::Kept(len_bytes) = payload {
            self.shared.kept.end(*len_bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.close();
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Entries {
    fn slot(&mut self, ticket: f64) -> Option<&mut Slot> {
        let (slot_number, generation) = parts(ticket)?;
        self.slots.get_mut(slot_number as usize).filter(|slot| slot.generation == generation)
    }

    /// A new slot; `None` when slots can no longer be numbered.
    fn add_slot(&mut self) -> Option<u32> {
        let slot_number = u32::try_from(self.slots.len()).ok()?;
        self.slots.push(Slot { generation: self.first_generation, payload: None });
        Some(slot_number)
    }

    /// Makes the slot of a freed ticket available again, unless that was its last generation.
    fn retire(&mut self, ticket: f64) {
        let Some((slot_number, generation)) = parts(ticket) else { return };
        if generation + 1 < GENERATIONS {
            self.slots[slot_number as usize].generation = generation + 1;
            self.free.push(slot_number);
        }
    }
}

impl Kept {
    pub fn pageout(&self, len_bytes: u64) {
        self.begin(len_bytes);
        self.pageouts.fetch_add(1, Relaxed);
        self.pageout_bytes.fetch_add(len_bytes, Relaxed);
    }

    pub fn begin(&self, len_bytes: u64) {
        self.handles.fetch_add(1, Relaxed);
        self.payload_bytes.fetch_add(len_bytes, Relaxed);
    }

    pub fn end(&self, len_bytes: u64) {
        self.handles.fetch_sub(1, Relaxed);
        self.payload_bytes.fetch_sub(len_bytes, Relaxed);
    }

    pub fn read(&self, len_bytes: u64) {
        self.reads.fetch_add(1, Relaxed);
        self.read_bytes.fetch_add(len_bytes, Relaxed);
    }

    pub fn take(&self, len_bytes: u64) {
        self.takes.fetch_add(1, Relaxed);
        self.take_bytes.fetch_add(len_bytes, Relaxed);
    }
}

#[allow(clippy::cast_precision_loss, reason = "below 2^53, so exact")]
fn ticket(slot_number: u32, generation: u32) -> f64 {
    (u64::from(generation) * GENERATION_FACTOR + u64::from(slot_number)) as f64
}

/// Slot number and generation; `None` for a number that is no ticket.
fn parts(ticket: f64) -> Option<(u32, u32)> {
    let whole = crate::numbers::to_u64(ticket)?;
    let generation = u32::try_from(whole / GENERATION_FACTOR).ok()?;
    let slot_number = u32::try_from(whole % GENERATION_FACTOR).ok()?;
    (generation < GENERATIONS).then_some((slot_number, generation))
}
