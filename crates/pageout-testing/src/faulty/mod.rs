//! A scratch device in memory that counts, records, fails, shortens and corrupts calls.
//!
//! It keeps the promises that the device traits make and not one more: what they leave open it does as the least kind kernel or
//! file system that was met. Promises are broken only where a [`Fault`] says so. Without being asked it does this:
//!
//! - A refused reservation keeps a part of the space, and the file is longer: all that there was where room ended, the first half
//!   where a call was stopped on its way.
//! - A hint brings the first 128 KiB of its range into memory, which shows where a device is cold ([`Disk::set_cold_from`]).
//! - A file that is retired keeps its space until its remainder is dropped. Giving space back takes a while: other threads run.
//!
//! And this where it is told to: a feature is denied ([`Feature`]), reservations above a length are interrupted for good
//! ([`Disk::interrupt_reserves_above`]), another writer takes and frees room between two calls ([`Disk::set_neighbour`]), the
//! scratch directory goes away ([`Disk::remove_directory`]), what was written is lost behind the calls ([`Disk::fail_write_back`]).
//!
//! Space is counted in pages: a page that was reserved or written has space, until it is punched, cut off or its file is closed.

mod call;
mod fault;
mod files;
mod state;

use std::sync::{Arc, Mutex, MutexGuard};

use pageout::device::MemorySample;
use pageout::{Pager, PagerBuilder};

pub use call::{Call, Entry};
pub use fault::{Effect, Fault, Lasts, Short};
use state::{Loss, PAGE_BYTES, State, pages_touched};

use crate::draws::Draws;

/// What a file system, a kernel or a sandbox may lack as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Space that is reserved beforehand.
    Reserve,
    /// Holes.
    Punch,
    /// Reads of what is in memory alone.
    CachedReads,
    /// Write-back that can be started and asked about.
    WriteBack,
}

/// The device. Clones are one device.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

/// What a device has given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Bytes that open files hold.
    pub open_bytes: u64,
    /// Bytes that the remainders of retired files hold.
    pub retired_bytes: u64,
    /// Whether all space was promised before it was used.
    pub is_promised: bool,
}

impl Holdings {
    /// Whether so many bytes may be what owners say that they hold: those of retired files count or not, and what was never
    /// promised counts before the device gives it out.
    pub fn agree_with(&self, scratch_bytes: u64) -> bool {
        scratch_bytes >= self.open_bytes && (!self.is_promised || scratch_bytes <= self.open_bytes + self.retired_bytes)
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    /// A device with room for 1 TiB.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State::new())))
    }

    /// A device with room for so many bytes.
    pub fn with_room(bytes: u64) -> Self {
        let disk = Self::new();
        disk.set_room(bytes);
        disk
    }

    /// The same device on a file system that lacks something.
    pub fn without(self, feature: Feature) -> Self {
        self.state().denied.insert(feature);
        self
    }

    /// The same device on a file system that cannot reserve space beforehand.
    pub fn without_reserve(self) -> Self {
        self.without(Feature::Reserve)
    }

    /// The same device on a file system that cannot make holes.
    pub fn without_punch(self) -> Self {
        self.without(Feature::Punch)
    }

    pub fn has(&self, feature: Feature) -> bool {
        !self.state().denied.contains(&feature)
    }

    /// Interrupts each reservation of more than so many bytes, however often it is tried.
    pub fn interrupt_reserves_above(&self, bytes: u64) {
        self.state().reserve_bytes_max = bytes;
    }

    /// Lets another writer take and free room between calls, as `seed` says; without one it frees all and ends.
    pub fn set_neighbour(&self, seed: Option<u64>) {
        let mut state = self.state();
        state.neighbour.draws = seed.map(Draws::seeded);
        if seed.is_none() {
            state.free_of_neighbour(u64::MAX);
        }
    }

    /// How often another writer took or freed room so far.
    pub fn neighbour_moves(&self) -> u64 {
        self.state().neighbour.moves
    }

    /// Removes the scratch directory. What is open stays open; the next that opens the path makes it anew.
    pub fn remove_directory(&self) {
        self.state().directory += 1;
    }

    /// Makes a write-back of `file` fail that was started before, or that the kernel began by itself. What it was about is still in
    /// memory.
    pub fn fail_write_back(&self, file: u64, errno: i32) {
        self.state().lost.insert(file, Loss { errno, starts: 0 });
    }

    /// Files of which write-back lost something, and of which more was pushed twice without asking about that. Once, since a file
    /// that was not pushed before may be pushed without asking.
    pub fn unheard_losses(&self) -> usize {
        self.state().lost.values().filter(|loss| loss.starts > 1).count()
    }

    /// Starts a pager on this device.
    pub fn builder(&self) -> PagerBuilder {
        Pager::builder().device(self.clone()).scratch_dir("/scratch")
    }

    pub fn pager(&self) -> Pager {
        self.builder().build().expect("a pager in memory")
    }

    /// Makes a fault happen from now on.
    pub fn arm(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = Some(fault);
        state.seen.clear();
        state.hits = 0;
    }

    /// From now on calls of the background thread are listed, and hit by faults, as those of verbs are.
    pub fn hear_background(&self) {
        self.state().hears_background = true;
    }

    /// How many calls the fault hit so far.
    pub fn hits(&self) -> u64 {
        self.state().hits
    }

    /// Ends the fault, and says how many calls it hit.
    pub fn disarm(&self) -> u64 {
        let mut state = self.state();
        if let Some(Fault { effect: Effect::TakeRoom(_), .. }) = state.fault.take() {
            state.free_of_neighbour(u64::MAX);
        }
        state.hits
    }

    /// The calls since the beginning or the last [`Self::forget`], without those of the background thread.
    pub fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// The same as kinds only.
    pub fn calls(&self) -> Vec<Call> {
        self.state().log.iter().map(|entry| entry.call).collect()
    }

    pub fn count(&self, call: Call) -> u64 {
        let count = self.state().log.iter().filter(|entry| entry.call == call).count();
        u64::try_from(count).expect("a usize of at most 64 bits")
    }

    /// File and offset of the last write, which is where the payload that went out last begins if it was short.
    pub fn last_place(&self) -> (u64, u64) {
        let log = self.log();
        let write = log.iter().rev().find(|entry| entry.call == Call::Write).expect("a payload went out");
        (write.file, write.offset)
    }

    pub fn forget(&self) {
        self.state().log.clear();
    }

    /// Bytes that can still be given out.
    pub fn room(&self) -> u64 {
        self.state().room_pages * PAGE_BYTES
    }

    /// Bytes that open files and the remainders of retired ones hold.
    pub fn held_bytes(&self) -> u64 {
        self.state().held_pages() * PAGE_BYTES
    }

    /// What the device has given out, at one moment.
    pub fn holdings(&self) -> Holdings {
        let state = self.state();
        let (held_pages, retired_pages) = (state.held_pages(), state.retired_pages);
        Holdings {
            open_bytes: (held_pages - retired_pages) * PAGE_BYTES,
            retired_bytes: retired_pages * PAGE_BYTES,
            is_promised: !state.denied.contains(&Feature::Reserve) && !state.is_unpromised,
        }
    }

    /// Bytes of the whole device.
    pub fn total_bytes(&self) -> u64 {
        self.state().room().total_bytes
    }

    pub fn set_room(&self, bytes: u64) {
        self.state().room_pages = bytes / PAGE_BYTES;
    }

    /// Bytes of all open files from `offset` on are not in memory, unless a hint brings them.
    pub fn set_cold_from(&self, offset: u64) {
        self.state().cold_from = offset;
    }

    /// The memory that the process may use.
    pub fn set_memory(&self, bytes: u64) {
        self.state().memory = MemorySample { limit_bytes: bytes, group_free_bytes: bytes, ..MemorySample::UNLIMITED };
    }

    pub fn open_files(&self) -> usize {
        self.state().files.len()
    }

    /// Whether some of these bytes lie in a page that may not hold what was last written there, though the write said so.
    pub fn is_damaged(&self, file: u64, bytes: std::ops::Range<u64>) -> bool {
        let state = self.state();
        !state.damaged.is_empty() && pages_touched(bytes).any(|page| state.damaged.contains(&(file, page)))
    }

    /// Flips a bit of a byte on the device.
    pub fn flip(&self, file: u64, offset: u64) {
        self.state().flip(file, offset);
    }

    /// What the device has at a page of a file.
    pub fn page(&self, file: u64, offset: u64) -> [u8; 4096] {
        self.state().page(file, offset)
    }

    /// Puts other bytes there.
    pub fn set_page(&self, file: u64, offset: u64, bytes: &[u8; 4096]) {
        self.state().set_page(file, offset, bytes);
    }

    /// Makes a file end at `len_bytes`.
    pub fn truncate(&self, file: u64, len_bytes: u64) {
        self.state().files.get_mut(&file).expect("an open file").len_bytes = len_bytes;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the device")
    }
}
