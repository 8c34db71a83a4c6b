//! What this process may use of the memory, and what is left of it.
//!
//! Read from the files of the memory groups around the process, of either version, and from those of the machine. There is one
//! set of open files for the whole process, however many pagers it has. They are read again when some more was written, and
//! when an automatic budget asks: from their beginning, so that limits that change are seen and nothing is opened. A process
//! that is moved to another group is seen by its membership, and the files of its groups are opened then; a forked process
//! opens files of its own. What cannot be read limits nothing.

mod auto;
mod groups;
#[cfg(target_os = "linux")]
mod pressure;
#[cfg(not(target_os = "linux"))]
mod pressure {
    /// The watch of a system that has none.
    #[derive(Debug)]
    pub(super) struct Watch;

    impl Watch {
        pub(super) fn of_process() -> Self {
            Self
        }

        #[allow(clippy::unused_self, reason = "as where there is one")]
        pub(super) fn is_pressed(&mut self) -> bool {
            false
        }
    }
}

mod survey;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};

use crate::sys::device::MemorySample;
use crate::sys::{above_standard_streams, fork};
use crate::units::{MIB, to_u64};
pub(crate) use auto::Auto;
use groups::{Events, Version};
use pressure::Watch;
pub(crate) use survey::memory as survey;
pub use survey::{MemoryFacts, MemoryGroup};

/// Memory is looked at again when so much more was written, by all pagers of the process together.
const REFRESH_BYTES: u64 = 64 * MIB;
/// A group that leaves less than this part of its limit beside its anonymous memory is under pressure when it comes to the limit.
/// One that leaves more has page cache to drop, with which files that are written fill any group, several hundred times a second.
const PRESSED_DIVISOR: u64 = 8;
/// The most that is read of one file. The longest that is read again and again, the statistics of a group, has some KiB.
const TEXT_BYTES_MAX: usize = 1 << 20;

static WRITTEN_BYTES: AtomicU64 = AtomicU64::new(0);
static MEMORY: fork::PerProcess<Memory> = fork::PerProcess::new(Memory::new());

/// What the operating system said when it was last asked.
pub(crate) fn current() -> MemorySample {
    MEMORY.get(Memory::new).current(WRITTEN_BYTES.load(Relaxed), || {
        close_inherited();
        Limits::open(Path::new("/"))
    })
}

/// What the operating system says now, and how often it has told of pressure. It costs a dozen system calls or two, so that it
/// is for those that look every other second.
fn look() -> Look {
    let open = || {
        close_inherited();
        Limits::open(Path::new("/"))
    };
    MEMORY.get(Memory::new).look_now(open, Watch::of_process)
}

/// What is seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    sample: MemorySample,
    /// How often a look of this process has found that there had been pressure. Each look of anybody counts, so that nobody
    /// misses what another one has seen.
    pressures: u64,
}

/// Counts bytes that were written. When they are enough, the system is asked again.
pub(crate) fn count_written(bytes: u64) {
    WRITTEN_BYTES.fetch_add(bytes, Relaxed);
}

/// Closes the files of processes that this one was forked from. Those of its own it is just opening, behind a lock.
fn close_inherited() {
    for memory in MEMORY.all() {
        if let Ok(mut limits) = memory.limits.try_lock() {
            *limits = None;
        }
        if let Ok(mut watch) = memory.watch.try_lock() {
            *watch = None;
        }
    }
}

/// What one process knows of its memory.
#[derive(Debug)]
struct Memory {
    limits: Mutex<Option<Limits>>,
    /// What the service manager wants to be watched, from the first budget on that wants to know.
    watch: Mutex<Option<Watch>>,
    /// Looks that have found pressure.
    pressures: AtomicU64,
    /// The number of the last look: one more than how often [`REFRESH_BYTES`] had been written by then.
    look: AtomicU64,
    /// What was seen then. Each number stands for itself, so that it does no harm to find one of them older.
    limit_bytes: AtomicU64,
    group_free_bytes: AtomicU64,
    available_bytes: AtomicU64,
}

impl Memory {
    const fn new() -> Self {
        Self {
            limits: Mutex::new(None),
            watch: Mutex::new(None),
            pressures: AtomicU64::new(0),
            look: AtomicU64::new(0),
            limit_bytes: AtomicU64::new(0),
            group_free_bytes: AtomicU64::new(0),
            available_bytes: AtomicU64::new(0),
        }
    }

    /// What is known when `written_bytes` have been written; `open` opens the files before the first look.
    fn current(&self, written_bytes: u64, open: impl FnOnce() -> Limits) -> MemorySample {
        let look = written_bytes / REFRESH_BYTES + 1;
        if self.look.load(Acquire) < look {
            self.look_again(look, open);
        }
        MemorySample {
            limit_bytes: self.limit_bytes.load(Relaxed),
            group_free_bytes: self.group_free_bytes.load(Relaxed),
            available_bytes: self.available_bytes.load(Relaxed),
        }
    }

    #[cold]
    fn look_again(&self, look: u64, open: impl FnOnce() -> Limits) {
        // Nothing here panics half way in a state worth refusing.
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if self.look.load(Relaxed) >= look {
            return;
        }
        self.see(limits.get_or_insert_with(open));
        self.look.store(look, Release);
    }

    /// What is to be seen now, however much was written. `watch` opens what the service manager wants to be watched.
    fn look_now(&self, open: impl FnOnce() -> Limits, watch: impl FnOnce() -> Watch) -> Look {
        let sample = {
            let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
            self.see(limits.get_or_insert_with(open))
        };
        let is_pressed = match &mut *self.watch.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(watch) => watch.is_pressed(),
            // What was before this process began to watch is nothing to it.
            none => {
                *none = Some(watch());
                false
            }
        };
        let pressures = self.pressures.fetch_add(u64::from(is_pressed), Relaxed) + u64::from(is_pressed);
        Look { sample, pressures }
    }

    fn see(&self, limits: &mut Limits) -> MemorySample {
        let sample = limits.sample();
        self.limit_bytes.store(sample.limit_bytes, Relaxed);
        self.group_free_bytes.store(sample.group_free_bytes, Relaxed);
        self.available_bytes.store(sample.available_bytes, Relaxed);
        self.pressures.fetch_add(std::mem::take(&mut limits.pressures), Relaxed);
        sample
    }
}

/// The open files that tell it.
#[derive(Debug)]
struct Limits {
    /// The directory that `/proc` and all mount points are looked for in.
    root: PathBuf,
    /// Says which groups the process is in.
    membership: Option<File>,
    /// What it said when the groups were opened.
    known_membership: Vec<u8>,
    groups: Vec<Group>,
    /// The machine's statistics.
    machine: Option<File>,
    /// Looks that have found a group under pressure, since they were last counted.
    pressures: u64,
    /// What was read last. Kept for its memory.
    text: Vec<u8>,
}

impl Limits {
    fn open(root: &Path) -> Self {
        let mut known_membership = Vec::new();
        let membership = opened(&root.join("proc/self/cgroup")).filter(|file| read(file, &mut known_membership).is_ok());
        let table = std::fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
        let directories = groups::directories(&known_membership, &table);
        let groups = directories.iter().filter_map(|(version, directory)| Group::open(*version, &within(root, directory)));
        Self {
            root: root.to_owned(),
            membership,
            groups: groups.collect(),
            known_membership,
            machine: opened(&root.join("proc/meminfo")),
            pressures: 0,
            text: Vec::new(),
        }
    }

    /// What they say now.
    fn sample(&mut self) -> MemorySample {
        let current = if self.is_outdated() { None } else { self.look() };
        current.unwrap_or_else(|| {
            *self = Self::open(&self.root);
            self.look().unwrap_or(MemorySample::UNLIMITED)
        })
    }

    /// Whether the files are those of groups that this process is not in.
    fn is_outdated(&mut self) -> bool {
        let Some(membership) = &self.membership else { return false };
        read(membership, &mut self.text).is_err() || self.text != self.known_membership
    }

    /// What the files say; nothing where a group is gone, since another with its name may be there.
    fn look(&mut self) -> Option<MemorySample> {
        let text = &mut self.text;
        let machine = self.machine.as_ref().filter(|file| read(file, text).is_ok());
        let available_bytes = machine.and_then(|_| groups::available_bytes(text)).unwrap_or(u64::MAX);
        let mut sample = MemorySample { available_bytes, ..MemorySample::UNLIMITED };
        let mut is_pressed = false;
        for group in &mut self.groups {
            let limit_bytes = group.limit_bytes(text)?;
            if limit_bytes < u64::MAX {
                sample.limit_bytes = sample.limit_bytes.min(limit_bytes);
                let free_bytes = limit_bytes.saturating_sub(group.held_bytes(text)?);
                sample.group_free_bytes = sample.group_free_bytes.min(free_bytes);
                is_pressed |= group.is_pressed(free_bytes < limit_bytes / PRESSED_DIVISOR, text)?;
            }
        }
        self.pressures += u64::from(is_pressed);
        Some(sample)
    }
}

/// The open files of one memory group.
#[derive(Debug)]
struct Group {
    version: Version,
    limits: Vec<File>,
    statistics: Option<File>,
    events: Option<File>,
    /// What had happened by the last look.
    known_events: Option<Events>,
}

impl Group {
    /// The group with this directory, if anything limits it.
    fn open(version: Version, directory: &Path) -> Option<Self> {
        let limits: Vec<_> = version.limit_files().iter().filter_map(|name| opened(&directory.join(name))).collect();
        let is_limited = !limits.is_empty();
        is_limited.then(|| Self {
            version,
            limits,
            statistics: opened(&directory.join("memory.stat")),
            events: version.event_files().iter().find_map(|name| opened(&directory.join(name))),
            known_events: None,
        })
    }

    /// The smallest of its limits, `u64::MAX` without; nothing where the group is gone.
    fn limit_bytes(&self, text: &mut Vec<u8>) -> Option<u64> {
        self.limits.iter().try_fold(u64::MAX, |limit_bytes, file| {
            let bytes = if read_unless_gone(file, text)? { groups::limit(text) } else { None };
            Some(bytes.map_or(limit_bytes, |bytes| bytes.min(limit_bytes)))
        })
    }

    /// What it cannot drop, 0 where nobody knows; nothing where the group is gone.
    fn held_bytes(&self, text: &mut Vec<u8>) -> Option<u64> {
        let Some(statistics) = &self.statistics else { return Some(0) };
        Some(if read_unless_gone(statistics, text)? { self.version.held_bytes(text) } else { 0 })
    }

    /// Whether it came to its limits since the last look, and that matters: always if it could drop nothing, and otherwise if
    /// little is free. Nothing where the group is gone.
    fn is_pressed(&mut self, is_little_free: bool, text: &mut Vec<u8>) -> Option<bool> {
        let Some(file) = &self.events else { return Some(false) };
        if !read_unless_gone(file, text)? {
            return Some(false);
        }
        let now = self.version.events(text);
        let before = self.known_events.replace(now).unwrap_or(now);
        let has_reached = now.limits_reached > before.limits_reached;
        Some(now.out_of_memory > before.out_of_memory || is_little_free && has_reached)
    }
}

/// The file at `path`, if it can be opened.
fn opened(path: &Path) -> Option<File> {
    let file = OwnedFd::from(File::open(path).ok()?);
    above_standard_streams(file).ok().map(File::from)
}

/// An absolute path, looked for in `root`.
fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// As [`read`]; says whether it succeeded, and nothing where what the file is about is gone.
fn read_unless_gone(file: &File, text: &mut Vec<u8>) -> Option<bool> {
    match read(file, text) {
        Ok(()) => Some(true),
        Err(error) => (error.raw_os_error() != Some(libc::ENODEV)).then_some(false),
    }
}

/// Reads a file from its beginning, in place of what `text` holds.
fn read(file: &File, text: &mut Vec<u8>) -> io::Result<()> {
    text.clear();
    let mut part = [0; 4096];
    while text.len() < TEXT_BYTES_MAX {
        match file.read_at(&mut part, to_u64(text.len())) {
            Ok(0) => break,
            Ok(len_bytes) => text.extend_from_slice(&part[..len_bytes]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
