//! A device that holds one word for each page.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use loom::sync::atomic::AtomicU64;

use crate::sys::device::{
    Destination, Device, Directory, DirectoryFacts, Failure, MemorySample, Outcome, Remainder, Room, ScratchFile,
};
use crate::units::{index, to_u64, to_usize};

/// A payload that begins with this word cannot be written.
pub(crate) const FAILING: u64 = u64::MAX;

const PAGE_BYTES: u64 = 4096;
/// Pages of one file.
const PAGES: u64 = 4;
/// The free space that the file system reports: constant while a model runs.
const ROOM: Room = Room { free_bytes: 1 << 20, total_bytes: 0 };

/// A device with room for a few pages. Words are stored and loaded without any order of their own, so that a reader sees what
/// was written only where the store's protocol orders the two.
#[derive(Clone, Debug)]
pub(crate) struct Pages(Arc<State>);

#[derive(Debug)]
struct State {
    room_pages: AtomicU64,
    open_files: AtomicU64,
    directories: AtomicU64,
    has_failing_write_back: bool,
    memory: MemorySample,
}

impl Pages {
    /// A device with room for `pages` pages.
    pub(crate) fn with_room(pages: u64) -> Self {
        Self::new(pages, false, MemorySample::UNLIMITED)
    }

    /// A device whose memory allows no dirty bytes, and whose write-back may fail.
    pub(crate) fn without_memory(pages: u64, has_failing_write_back: bool) -> Self {
        Self::new(pages, has_failing_write_back, MemorySample { limit_bytes: 0, ..MemorySample::UNLIMITED })
    }

    fn new(pages: u64, has_failing_write_back: bool, memory: MemorySample) -> Self {
        Self(Arc::new(State {
            room_pages: AtomicU64::new(pages),
            open_files: AtomicU64::new(0),
            directories: AtomicU64::new(0),
            has_failing_write_back,
            memory,
        }))
    }

    pub(crate) fn root(&self) -> Arc<dyn Directory> {
        Arc::new(Root(self.clone()))
    }

    pub(crate) fn room_pages(&self) -> u64 {
        self.0.room_pages.load(Relaxed)
    }

    pub(crate) fn open_files(&self) -> u64 {
        self.0.open_files.load(Relaxed)
    }

    /// Number of directories that were opened.
    pub(crate) fn directories(&self) -> u64 {
        self.0.directories.load(Relaxed)
    }
}

impl Device for Pages {
    fn open_directory(&self, _path: &Path) -> Outcome<Arc<dyn Directory>> {
        self.0.directories.fetch_add(1, Relaxed);
        Ok(self.root())
    }

    fn memory(&self) -> Option<MemorySample> {
        Some(self.0.memory)
    }
}

#[derive(Debug)]
struct Root(Pages);

impl Directory for Root {
    fn facts(&self) -> Outcome<DirectoryFacts> {
        Ok(DirectoryFacts { file_system: "words".to_owned(), ram_backed: false, room: ROOM, volume: 1, exposure: None })
    }

    fn create_file(&self) -> Outcome<Box<dyn ScratchFile>> {
        self.0.0.open_files.fetch_add(1, Relaxed);
        let page = || Page { word: AtomicU64::new(0), has_space: AtomicU64::new(0) };
        Ok(Box::new(File { device: self.0.clone(), pages: (0..PAGES).map(|_| page()).collect() }))
    }

    fn is_current(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct File {
    device: Pages,
    pages: Vec<Page>,
}

#[derive(Debug)]
struct Page {
    word: AtomicU64,
    /// 1 if the page has disk space.
    has_space: AtomicU64,
}

impl File {
    fn pages(&self, offset: u64, len_bytes: u64) -> &[Page] {
        let pages = to_usize(offset / PAGE_BYTES)..to_usize((offset + len_bytes) / PAGE_BYTES);
        &self.pages[pages]
    }

    fn give_back(&self, pages: &[Page]) {
        let count: u64 = pages.iter().map(|page| page.has_space.swap(0, Relaxed)).sum();
        self.device.0.room_pages.fetch_add(count, Relaxed);
    }
}

impl ScratchFile for File {
    fn write_at(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        let word = u64::from_le_bytes(*sources[0].first_chunk().expect("payloads begin with a word"));
        if word == FAILING {
            return Err(Failure::new("pwritev", libc::EIO));
        }
        self.pages(offset, PAGE_BYTES)[0].word.store(word, Relaxed);
        Ok(sources.iter().map(|source| source.len()).sum())
    }

    fn read_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        let word = self.pages(offset, PAGE_BYTES)[0].word.load(Relaxed);
        let mut page = [0; index(1 << 12)];
        page[..8].copy_from_slice(&word.to_le_bytes());
        let mut rest = &page[to_usize(offset % PAGE_BYTES)..];
        let before = rest.len();
        for destination in destinations {
            let (front, behind) = rest.split_at(rest.len().min(destination.remaining_bytes()));
            destination.append(front);
            rest = behind;
        }
        Ok(before - rest.len())
    }

    fn read_cached_at(&self, _destinations: &mut [Destination<'_>], _offset: u64) -> Outcome<usize> {
        Ok(0)
    }

    fn prefetch(&self, _offset: u64, _len_bytes: u64) {}

    fn evict(&self, _offset: u64, _len_bytes: u64) {}

    fn start_write_back(&self, _offset: u64, _len_bytes: u64) -> Outcome<()> {
        if self.device.0.has_failing_write_back { Err(Failure::new("sync_file_range", libc::EIO)) } else { Ok(()) }
    }

    fn check_write_back(&self) -> Outcome<()> {
        Ok(())
    }

    fn reserve(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        let pages = self.pages(offset, len_bytes);
        let missing = to_u64(pages.len());
        let taken = self.device.0.room_pages.fetch_update(Relaxed, Relaxed, |room| room.checked_sub(missing));
        taken.map_err(|_| Failure::new("fallocate", libc::ENOSPC))?;
        for page in pages {
            assert_eq!(page.has_space.swap(1, Relaxed), 0, "space is asked for where there is none");
        }
        Ok(())
    }

    fn punch(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        let pages = self.pages(offset, len_bytes);
        pages.iter().for_each(|page| page.word.store(0, Relaxed));
        self.give_back(pages);
        Ok(())
    }

    fn truncate(&self, len_bytes: u64) -> Outcome<()> {
        self.give_back(&self.pages[to_usize(len_bytes / PAGE_BYTES)..]);
        Ok(())
    }

    fn room(&self) -> Outcome<Room> {
        Ok(ROOM)
    }

    fn retire(self: Box<Self>) -> Option<Remainder> {
        None
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.give_back(&self.pages);
        self.device.0.open_files.fetch_sub(1, Relaxed);
    }
}
