//! The store: slots in a few unnamed scratch files.
//!
//! A payload gets one slot of its size class, or several when it is longer than the largest. Each class has a few files,
//! so that parallel writers do not meet on one file's lock; a thread keeps to one of them. Slots are claimed, then written,
//! then published by the caller; a claim that is dropped goes back, with the disk space that it made the files grow by, so
//! that nothing is ever half done.
//!
//! - **Claim** ([`Store::claim`]): counts the slots against the capacity and takes them, files growing where there are none.
//!   A full disk is reported here, before data moves; where the file system cannot promise space, by the write.
//! - **Write** ([`Store::write`]): the transfer, slot by slot. A slot is dirty when its write has returned, and what is too
//!   much to stay dirty is pushed to the device before the next one is written.
//! - **Warm path**: no system call but the transfer itself, no lock held during it.
//! - **Growth** (`growth`): in steps that grow with the file, one thread at a time, never past the capacity nor, without one,
//!   into the last tenth of the file system. A refusal leaves the disk as full as it was.
//! - **Out of room**, all pagers of the process give back what free slots hold before the call fails. Neither a full disk nor a
//!   reached capacity is remembered.
//! - **Idle space** past a share of what is in use is given back by the keeper.
//! - **Failure of a file** (any write error but missing room): no new payload goes there. What is in it stays readable.
//! - **Lost write-back**: what the device fails to write after the write has returned is known by its checksum alone. Where
//!   the system reports it (it is asked at every push, when a file grows, by a trim, and when a checksum fails), no new payload
//!   goes to the file, and its payloads are marked as being at risk.
//! - **Fork**: a child has files of its own and only reads those it inherited; its parent does not use a slot again that the
//!   child may read.

mod claim;
mod examined;
mod files;
mod growth;
#[cfg(all(test, pageout_loom))]
mod models;
mod place;
mod root;
mod slot;
mod slot_file;
mod space;
mod write_behind;

use std::path::Path;
use std::sync::Weak;

pub(crate) use files::FILES_MAX;
pub(crate) use place::{Place, Segment};
pub(crate) use slot::Slot;

use crate::error::Error;
use crate::sync::{Arc, UnsizedArc};
use crate::sys::{Device, fork};
use files::Files;
use root::Root;
use space::Space;
use write_behind::WriteBehind;

/// What a store is opened with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StoreOptions {
    /// Upper limit on bytes of slots in use; by default what leaves a tenth of the file system free.
    pub(crate) capacity_bytes: Option<u64>,
    /// Upper limit on that default.
    pub(crate) default_up_to: Option<u64>,
    /// Whether the scratch directory may live in memory.
    pub(crate) allow_ram_backed: bool,
}

/// Slots in the scratch files of one directory.
#[derive(Debug)]
pub(crate) struct Store {
    this: Weak<Self>,
    device: UnsizedArc<dyn Device>,
    root: Root,
    /// The upper limit on the capacity where that follows the file system's room; nothing where it was chosen.
    followed_up_to: Option<u64>,
    /// The files of this process, and those of the processes that it was forked from.
    files: fork::PerProcess<Files>,
    _watch: fork::Watch,
}

impl Store {
    /// Opens the scratch directory `path`, creating it with its parents, and verifies that a scratch file works there.
    ///
    /// # Errors
    /// The call that failed, [`Error::RamBacked`] or [`Error::Exposed`]. A full disk is no reason to refuse a directory.
    pub(crate) fn open(device: &UnsizedArc<dyn Device>, path: &Path, options: StoreOptions) -> Result<UnsizedArc<Self>, Error> {
        let followed_up_to = match options.capacity_bytes {
            Some(_) => None,
            None => Some(options.default_up_to.unwrap_or(u64::MAX)),
        };
        let (root, facts) = Root::open(device, path, options.allow_ram_backed)?;
        let watch = fork::Watch::begin()?;
        let store = UnsizedArc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            device: UnsizedArc::clone(device),
            root,
            followed_up_to,
            files: fork::PerProcess::here(Files::new(
                device,
                Space::new(options.capacity_bytes.unwrap_or(0), Weak::<Self>::clone(this)),
            )),
            _watch: watch,
        });
        store.follow_room(facts.room);
        growth::add_neighbour(&store.this);
        Ok(store)
    }

    /// The scratch directory, as an absolute path.
    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Name of the scratch directory's file system.
    pub(crate) fn file_system(&self) -> String {
        self.root.file_system()
    }

    /// The space accounting.
    pub(crate) fn space(&self) -> &Space {
        &self.files().space
    }

    /// Bytes of slots in use, those that this process inherited included.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.files.all().map(|files| files.space.used_bytes()).sum()
    }

    /// The accounting of dirty bytes.
    pub(crate) fn write_behind(&self) -> &WriteBehind {
        &self.files().write_behind
    }

    /// Closes every descriptor. Payloads cannot be read any more; the space goes back in the background.
    pub(crate) fn close(&self) {
        self.root.close();
        for files in self.files.all() {
            files.close();
        }
    }

    /// Bytes of slots in use in files of which the device has lost something, as far as the system has said so.
    pub(crate) fn at_risk_bytes(&self) -> u64 {
        if self.write_behind().failed_files() == 0 {
            return 0;
        }
        let mut lost: Vec<_> = self.files().all().filter(|file| file.write_back_errno().is_some()).collect();
        lost.sort_unstable_by_key(Arc::as_ptr);
        lost.dedup_by_key(|file| Arc::as_ptr(file));
        lost.iter().map(|file| file.used_bytes()).sum()
    }

    /// Closes the files of processes that this one was forked from and that it has no payload in.
    fn close_unused_inherited(&self) {
        let own = self.files();
        self.files.all().filter(|files| !std::ptr::eq(*files, own)).for_each(Files::close_unused_inherited);
    }

    /// The files of this process.
    fn files(&self) -> &Files {
        self.files.get(|| {
            growth::add_neighbour(&self.this);
            let capacity_bytes = self.files.all().next().map_or(0, |files| files.space.capacity_bytes());
            Files::new(&self.device, Space::new(capacity_bytes, Weak::<Self>::clone(&self.this)))
        })
    }
}
