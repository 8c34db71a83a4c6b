//! What the machines of others do to a pager: disks that several share, directories that go away, forks, limits that signal.
//! Everything here runs on the real device, most of it in processes and mounts of its own.

mod budget_soak;
mod descriptors;
mod directory;
mod environment;
mod forked_budget;
mod forks;
mod halting;
mod idle;
mod memory_group;
mod prefetch;
mod refusal;
mod reserve;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pageout::{Error, Handle, Pager};
use pageout_testing::mounts::FileSystem;
use pageout_testing::{assert_same, elements, u64_of};

/// How long something may take that happens by itself.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `is_so`, at most until the deadline; says whether it came to be.
fn becomes(mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !is_so() {
        if begun.elapsed() > DEADLINE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Tells threads to stop, also when a test fails.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A payload that is out, and what it is made from.
#[derive(Debug)]
struct Payload {
    handle: Handle<u8>,
    seed: u64,
}

impl Payload {
    /// # Errors
    /// Those of the pageout, which left the chunk as it was.
    fn try_new(pager: &Pager, len: usize, seed: u64) -> Result<Self, Error> {
        let mut chunks = [elements::<u8>(len, seed)];
        match pager.pageout(&mut chunks) {
            Ok(handle) => Ok(Self { handle, seed }),
            Err(error) => {
                assert_same(&chunks[0], &elements::<u8>(len, seed));
                Err(error)
            }
        }
    }

    #[track_caller]
    fn new(pager: &Pager, len: usize, seed: u64) -> Self {
        Self::try_new(pager, len, seed).expect("a pageout")
    }

    #[track_caller]
    fn check(&self) {
        let mut all = Vec::new();
        self.handle.pager().read_at(&self.handle, 0, self.handle.len(), &mut all).expect("a read");
        assert_same(&all, &elements::<u8>(self.handle.len(), self.seed));
    }
}

/// Payloads of some lengths, each with content of its own that begins at `seed`.
fn payloads(pager: &Pager, lens: &[usize], seed: u64) -> Vec<Payload> {
    lens.iter().zip(seed..).map(|(&len, seed)| Payload::new(pager, len, seed)).collect()
}

#[track_caller]
fn check_all(payloads: &[Payload]) {
    payloads.iter().for_each(Payload::check);
}

/// Pages out until nothing of this length fits any more.
fn fill(pager: &Pager, len: usize) -> Vec<Payload> {
    let mut held = Vec::new();
    loop {
        match Payload::try_new(pager, len, u64_of(held.len())) {
            Ok(payload) => held.push(payload),
            Err(error) => {
                assert!(matches!(error.code(), "ENOSPC" | "ERR_PAGEOUT_CAPACITY"), "{error:?}");
                return held;
            }
        }
    }
}

/// Room of a mounted file system, in bytes.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "the unit")]
struct DiskRoom {
    total_bytes: u64,
    free_bytes: u64,
    /// What everybody may use.
    available_bytes: u64,
}

impl DiskRoom {
    fn of(place: &Path) -> Self {
        let facts = rustix::fs::statvfs(place).expect("a mounted file system");
        let bytes = |blocks: u64| blocks * facts.f_frsize;
        Self { total_bytes: bytes(facts.f_blocks), free_bytes: bytes(facts.f_bfree), available_bytes: bytes(facts.f_bavail) }
    }

    /// As [`Self::of`], when everything that the file system has not done yet is done.
    fn settled(system: &FileSystem) -> Self {
        system.sync();
        Self::of(&system.place)
    }
}

/// Somebody else's file.
fn take_room(place: &Path, bytes: u64) -> std::fs::File {
    let file = std::fs::File::options().create(true).append(true).open(place.join("another file")).expect("a file");
    let len_bytes = file.metadata().expect("its length").len();
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), len_bytes, bytes).expect("room");
    file
}

/// As [`take_room`], until so much is available.
fn take_room_until(system: &FileSystem, left_bytes: u64) -> std::fs::File {
    let available_bytes = DiskRoom::settled(system).available_bytes;
    take_room(&system.place, available_bytes.checked_sub(left_bytes).expect("more room than is to be left"))
}
