//! The store: slots in a few unnamed scratch files.
//!
//! A payload gets one slot of its size class, or several when it is longer than the largest. Each class has a few files,
//! so that parallel writers do not meet on one file's lock; a thread keeps to one of them. Slots are claimed, written,
//! then published by the caller; a claim that is dropped goes back, so nothing is ever half done.
//!
//! - **Warm path**: no system call but the transfer itself, no lock held during it.
//! - **Growth** asks the file system for room before a slot is handed out, in steps that grow with the file, one thread
//!   at a time. A full disk is said there, before data moves, once the step has shrunk to one slot; where the file system
//!   cannot promise room, the write says it.
//! - **Out of room**, the space that free slots hold is given back, and free slots of the class in other files are tried,
//!   before the call fails. Neither a full disk nor a reached capacity is remembered.
//! - **Failure of a file** (any write error but missing room): the file is set aside. What is in it stays readable, and new
//!   slots come from a new file.
//! - **Lost write-back**: what the device fails to write after the write has returned is known by its checksum alone. Where
//!   the system tells of it (it is asked when write-back is started, when a file grows, by a trim, and when a checksum fails),
//!   the file is set aside as well, and its payloads are marked as being at risk.

#[cfg(all(test, pageout_loom))]
mod models;
mod place;
mod slot_file;
mod space;
mod write_behind;

use std::io::IoSlice;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;

pub(crate) use place::Place;
pub(crate) use slot_file::Slot;
use slot_file::{SlotFile, UnchargedSlot};
use space::{Reservation, Space};
use write_behind::WriteBehind;

use crate::error::Error;
use crate::slots::{CLASS_COUNT, Class, FreeSlots, classes_for, slot_bytes_for};
use crate::sync::{Arc, Mutex, MutexGuard, UnsizedArc, thread_number};
use crate::sys::device::{DirectoryFacts, Outcome};
use crate::sys::{Device, Directory, Failure, destination};
use crate::units::MIB;

/// Files of each class that threads are spread over. Four, also with fewer cores: a thread that is preempted while it holds a
/// file's lock stops only those that share the file (8 threads on 2 cores: up to 1.5 x of the throughput with two). More gain
/// nothing, since writers are limited by memory bandwidth before.
const SHARDS: usize = 4;
/// The least and the most bytes a file grows by.
const GROWTH_BYTES_MIN: u64 = MIB;
const GROWTH_BYTES_MAX: u64 = 64 * MIB;
/// Share of the free space that is used at most, unless a capacity is given.
const DEFAULT_CAPACITY_PERCENT: u64 = 90;

/// Locks `mutex`. No code here panics while it holds a lock in a state worth refusing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a store is opened with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreOptions {
    /// Most bytes of slots that may be handed out; by default a share of what the file system has free.
    pub(crate) capacity_bytes: Option<u64>,
    /// Whether the scratch directory may live in memory.
    pub(crate) allow_ram_backed: bool,
}

/// Slots in the scratch files of one directory.
#[derive(Debug)]
pub(crate) struct Store {
    directory: UnsizedArc<dyn Directory>,
    path: UnsizedArc<Path>,
    facts: DirectoryFacts,
    space: Arc<Space>,
    write_behind: Arc<WriteBehind>,
    /// Whether the capacity is a share of the file system's room, not an option.
    is_default_capacity: bool,
    /// The files that new slots come from: for each class, one for each shard.
    current: Box<[Mutex<Option<Arc<SlotFile>>>]>,
    /// Files that failed, as long as they hold payloads.
    set_aside: Mutex<Vec<Arc<SlotFile>>>,
    /// Held by the thread that asks the file system for room or gives room back.
    growth: Mutex<()>,
}

impl Store {
    /// Opens the scratch directory `path`, creating it with its parents, and proves that a scratch file works there.
    ///
    /// # Errors
    /// The call that failed, [`Error::RamBacked`] or [`Error::Exposed`]. A full disk is no reason to refuse a directory.
    pub(crate) fn open(device: &UnsizedArc<dyn Device>, path: &Path, options: StoreOptions) -> Result<Self, Error> {
        let path: UnsizedArc<Path> = std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into();
        let system = |failure| Error::from_failure(failure, &path);
        let directory = device.open_directory(&path).map_err(system)?;
        let facts = directory.facts().map_err(system)?;
        if facts.ram_backed && !options.allow_ram_backed {
            return Err(Error::RamBacked { path, file_system: facts.file_system });
        }
        if let Some(exposure) = facts.exposure {
            return Err(Error::Exposed { path, exposure: Box::new(exposure) });
        }
        probe(&*directory).map_err(system)?;
        let capacity_bytes = options.capacity_bytes.unwrap_or_else(|| default_capacity(facts.room.free_bytes));
        Ok(Self {
            directory,
            facts,
            space: Arc::new(Space::new(capacity_bytes)),
            write_behind: Arc::new(WriteBehind::new(UnsizedArc::clone(device))),
            is_default_capacity: options.capacity_bytes.is_none(),
            current: (0..CLASS_COUNT * SHARDS).map(|_| Mutex::default()).collect(),
            set_aside: Mutex::default(),
            growth: Mutex::default(),
            path,
        })
    }

    /// The scratch directory, as an absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the scratch directory's file system.
    pub(crate) fn file_system(&self) -> &str {
        &self.facts.file_system
    }

    /// The space accounting.
    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// The accounting of dirty bytes.
    pub(crate) fn write_behind(&self) -> &WriteBehind {
        &self.write_behind
    }

    /// Writes a payload of `len_bytes`, which is not zero, to slots of its own: the bytes of `sources`, none of which is
    /// empty, and which may be longer than the payload by padding that the last slot holds. Ends after the slot that is
    /// being written when `stop` becomes true.
    ///
    /// # Errors
    /// [`Error::Capacity`], ECANCELED, or what the operating system said. Nothing is claimed then.
    pub(crate) fn put(&self, len_bytes: u64, sources: &[IoSlice<'_>], stop: &AtomicBool) -> Result<Place, Error> {
        let own_shard = thread_number();
        let mut outcome = self.put_in_shard(own_shard, len_bytes, sources, stop);
        if is_out_of_space(&outcome) {
            // What this finds is tried below; what it cannot give back is said by that trial.
            let _ = self.trim();
        }
        let mut shards = own_shard..own_shard + SHARDS;
        while is_out_of_space(&outcome)
            && let Some(shard) = shards.next()
        {
            outcome = self.put_in_shard(shard, len_bytes, sources, stop);
        }
        let facts = || self.space.facts(slot_bytes_for(len_bytes));
        outcome.map_err(|error| if error.is_out_of_space() { error.with_space(facts()) } else { error })
    }

    fn put_in_shard(&self, shard: usize, len_bytes: u64, sources: &[IoSlice<'_>], stop: &AtomicBool) -> Result<Place, Error> {
        let mut reservation = self.reserve(slot_bytes_for(len_bytes))?;
        let mut claim = |class| self.claim_slot(class, shard).map(|slot| slot.charged(&mut reservation));
        let place = Place::collect(classes_for(len_bytes), &mut claim)?;
        place.write(sources, stop)?;
        let due_bytes = self.write_behind.due_bytes();
        if due_bytes > 0 {
            self.push(due_bytes);
        }
        Ok(place)
    }

    /// Starts the write-back of about `due_bytes` of dirty slots, from the files that have most of them: a small set that is
    /// rewritten all the time is not pushed as long as there is a larger one that is not.
    fn push(&self, due_bytes: u64) {
        let mut remaining_bytes = due_bytes;
        while remaining_bytes > 0
            && let Some(file) = self.dirtiest_file()
        {
            remaining_bytes = remaining_bytes.saturating_sub(file.push(remaining_bytes));
        }
    }

    /// The file with the most dirty bytes, if any has some.
    fn dirtiest_file(&self) -> Option<Arc<SlotFile>> {
        let dirtiest = self.current_files().map(|file| (file.dirty_bytes(), file)).max_by_key(|(dirty_bytes, _)| *dirty_bytes)?;
        (dirtiest.0 > 0).then_some(dirtiest.1)
    }

    /// The files that new slots come from.
    fn current_files(&self) -> impl Iterator<Item = Arc<SlotFile>> {
        self.current.iter().filter_map(|shard| lock(shard).as_ref().map(Arc::clone))
    }

    /// Counts bytes as used. A capacity that nobody chose follows the file system's room where that has grown.
    fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, Error> {
        match self.space.reserve(bytes) {
            Err(Error::Capacity(_)) if self.is_default_capacity => {
                if let Ok(facts) = self.directory.facts() {
                    let room_bytes = facts.room.free_bytes.saturating_add(self.space.scratch_bytes());
                    self.space.raise_capacity(default_capacity(room_bytes));
                }
                self.space.reserve(bytes)
            }
            outcome => outcome,
        }
    }

    /// Gives all disk space back that no payload uses. What cannot be given back stays ready for use.
    ///
    /// # Errors
    /// What the operating system said, unless it only cannot do this.
    pub(crate) fn trim(&self) -> Result<(), Error> {
        let _turn = lock(&self.growth);
        self.reclaim().map_err(|failure| Error::from_failure(failure, &self.path))
    }

    /// Bytes of slots in use in files of which the device has lost something, as far as the system has said so.
    pub(crate) fn at_risk_bytes(&self) -> u64 {
        if self.write_behind.failed_files() == 0 {
            return 0;
        }
        let set_aside = lock(&self.set_aside).clone();
        let lost = self.current_files().chain(set_aside).filter(|file| file.write_back_errno().is_some());
        lost.map(|file| file.used_bytes()).sum()
    }

    fn claim_slot(&self, class: Class, shard: usize) -> Result<UnchargedSlot, Error> {
        let shards = &self.current[class.index() * SHARDS..][..SHARDS];
        let own = &shards[shard % SHARDS];
        loop {
            let full = match SlotFile::claim(self.current_file(own, class)?, FreeSlots::claim) {
                Ok(slot) => return Ok(slot),
                Err(full) => full,
            };
            if let Some(slot) = shards.iter().find_map(claim_freed) {
                return Ok(slot);
            }
            self.grow(&full)?;
        }
    }

    /// The file that new slots come from; a new one where there is none or where it failed.
    fn current_file(&self, shard: &Mutex<Option<Arc<SlotFile>>>, class: Class) -> Result<Arc<SlotFile>, Error> {
        let mut current = lock(shard);
        if let Some(file) = current.take_if(|file| file.has_failed()) {
            let mut set_aside = lock(&self.set_aside);
            set_aside.push(file);
            set_aside.retain(|file| !is_unused(file));
        }
        if let Some(file) = &*current {
            return Ok(Arc::clone(file));
        }
        let created = self.directory.create_file().map_err(|failure| Error::from_failure(failure, &self.path))?;
        let file = Arc::new(SlotFile::new(
            created,
            class,
            Arc::clone(&self.space),
            Arc::clone(&self.write_behind),
            UnsizedArc::clone(&self.path),
        ));
        *current = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Gets `file` at least one free slot, or marks it as failed when it cannot grow any more while another could.
    fn grow(&self, file: &SlotFile) -> Result<(), Error> {
        let _turn = lock(&self.growth);
        if !file.has_free() && file.space_bytes() > 0 {
            file.check_write_back();
        }
        if file.has_free() || file.has_failed() {
            return Ok(());
        }
        let slot_bytes = file.class().slot_bytes();
        if self.space.unreserved_bytes() < slot_bytes {
            // Space that cannot be given back is no reason to refuse a payload within the capacity.
            let _ = self.reclaim();
        }
        let room_bytes = self.space.unreserved_bytes().max(slot_bytes);
        let mut bytes = file.space_bytes().clamp(GROWTH_BYTES_MIN, GROWTH_BYTES_MAX).min(room_bytes).max(slot_bytes);
        loop {
            match file.add_space(bytes / slot_bytes) {
                Err(failure) if failure.errno == libc::EFBIG && file.space_bytes() > 0 => {
                    file.set_failed();
                    return Ok(());
                }
                // An empty file that may not be this long may be long enough for one slot.
                Err(failure) if (failure.is_out_of_space() || failure.errno == libc::EFBIG) && bytes > slot_bytes => {
                    bytes = (bytes / 2).max(slot_bytes);
                }
                outcome => return outcome.map_err(|failure| Error::from_failure(failure, &self.path)),
            }
        }
    }

    /// Gives back the space of free slots and of files without payloads. The caller holds `growth`.
    fn reclaim(&self) -> Outcome<()> {
        let mut outcome = Ok(());
        for shard in &self.current {
            outcome = outcome.and(reclaim_shard(shard));
        }
        let unused: Vec<_> = lock(&self.set_aside).extract_if(.., |file| is_unused(file)).collect();
        drop(unused);
        outcome
    }
}

/// A slot of a shard's file that was used before. What one thread frees serves all, before files grow.
fn claim_freed(shard: &Mutex<Option<Arc<SlotFile>>>) -> Option<UnchargedSlot> {
    let file = lock(shard).as_ref().filter(|file| !file.has_failed()).map(Arc::clone)?;
    SlotFile::claim(file, FreeSlots::claim_freed).ok()
}

/// Gives back the space of the free slots of a shard's file, or the file where nothing uses it.
fn reclaim_shard(shard: &Mutex<Option<Arc<SlotFile>>>) -> Outcome<()> {
    let unused = lock(shard).take_if(|file| is_unused(file));
    if unused.is_some() {
        return Ok(());
    }
    let file = lock(shard).as_ref().map(Arc::clone);
    file.map_or(Ok(()), |file| {
        file.check_write_back();
        file.give_space_back()
    })
}

/// The capacity for a file system with this much room.
fn default_capacity(room_bytes: u64) -> u64 {
    room_bytes / 100 * DEFAULT_CAPACITY_PERCENT
}

fn is_out_of_space(outcome: &Result<Place, Error>) -> bool {
    outcome.as_ref().is_err_and(Error::is_out_of_space)
}

/// Whether nobody but the store holds the file, so that no slot of it is in use.
fn is_unused(file: &Arc<SlotFile>) -> bool {
    Arc::strong_count(file) == 1
}

/// Proves that a file can be created in a directory, written and read: some file systems accept a file and then no data.
fn probe(directory: &dyn Directory) -> Result<(), Failure> {
    let pattern = [0xa5; 64];
    match directory.create_file().and_then(|file| file.write_at(&[IoSlice::new(&pattern)], 0).map(|_| file)) {
        Err(failure) if failure.is_out_of_space() => Ok(()),
        Err(failure) => Err(failure),
        Ok(file) => {
            let mut back = [0; 1];
            destination::overwrite(&mut back, |whole| match file.read_at(&mut [whole], 0) {
                Ok(1) => Ok(()),
                Ok(_) => Err(Failure::new("preadv", libc::EIO)),
                Err(failure) => Err(failure),
            })?;
            if back[0] == pattern[0] { Ok(()) } else { Err(Failure::new("preadv", libc::EIO)) }
        }
    }
}
