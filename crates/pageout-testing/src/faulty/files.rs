//! The device as the store sees it: a directory, its files, and the remainders of those that are retired.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use pageout::device::{
    Destination, Device, Directory, DirectoryFacts, Failure, MemorySample, Outcome, Remainder, Room, ScratchFile,
};

use super::state::{Contents, PAGE_BYTES, pages, pages_touched, usize_of};
use super::{Call, Disk, Effect, Feature};
use crate::u64_of;

/// The most slices that one call takes, as on Linux and macOS.
const SLICES_MAX: usize = 1024;
/// What one hint brings into memory at most: as much as a kernel reads ahead at once, by default.
const HINT_BYTES_MAX: u64 = 128 << 10;

impl Device for Disk {
    fn open_directory(&self, _path: &Path) -> Outcome<Arc<dyn Directory>> {
        let mut state = self.state();
        state.begin(Call::Open, 0, 0, 0)?;
        Ok(Arc::new(Root { disk: self.clone(), number: state.directory }))
    }

    fn memory(&self) -> Option<MemorySample> {
        Some(self.state().memory)
    }
}

#[derive(Debug)]
struct Root {
    disk: Disk,
    /// Unlike that of the directory that the path leads to, once this one was removed.
    number: u64,
}

impl Directory for Root {
    fn facts(&self) -> Outcome<DirectoryFacts> {
        let mut state = self.disk.state();
        state.begin(Call::Facts, 0, 0, 0)?;
        let room = state.room();
        let volume = u64_of(Arc::as_ptr(&self.disk.0).addr());
        Ok(DirectoryFacts { file_system: "simulated".to_owned(), ram_backed: false, room, volume, exposure: None })
    }

    fn create_file(&self) -> Outcome<Box<dyn ScratchFile>> {
        let mut state = self.disk.state();
        state.begin(Call::Create, 0, 0, 0)?;
        if state.directory != self.number {
            return Err(Failure::new("openat", libc::ENOENT));
        }
        state.files_created += 1;
        let number = state.files_created;
        state.files.insert(number, Contents::default());
        Ok(Box::new(OpenFile { disk: self.disk.clone(), number }))
    }

    fn is_current(&self) -> bool {
        let mut state = self.disk.state();
        state.begin(Call::Current, 0, 0, 0).is_ok() && state.directory == self.number
    }
}

#[derive(Debug)]
struct OpenFile {
    disk: Disk,
    number: u64,
}

impl OpenFile {
    fn read(&self, call: Call, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        let wanted_bytes = destinations.iter().map(|destination| u64_of(destination.remaining_bytes())).sum();
        let mut state = self.disk.state();
        let effect = state.begin(call, self.number, offset, wanted_bytes)?;
        let memory_bytes = if call == Call::ReadCached { state.cached_bytes(self.number, offset) } else { u64::MAX };
        let len_bytes = match effect {
            Some(Effect::Short(short)) => short.of(wanted_bytes),
            _ => wanted_bytes,
        };
        let further_bytes = if let Some(Effect::MisplaceRead(further_bytes)) = effect { further_bytes } else { 0 };
        let mut bytes = state.load(self.number, offset + further_bytes, len_bytes.min(memory_bytes));
        if effect == Some(Effect::StaleRead)
            && let Some(stale) = state.recall(self.number, offset, len_bytes.min(memory_bytes))
        {
            bytes = stale;
        }
        if let (Some(Effect::FlipRead(place)), false) = (effect, bytes.is_empty()) {
            let place = usize_of(place) % bytes.len();
            bytes[place] ^= 0x04;
        }
        let mut rest = &bytes[..];
        for destination in destinations {
            let (front, behind) = rest.split_at(rest.len().min(destination.remaining_bytes()));
            destination.append(front);
            rest = behind;
        }
        Ok(bytes.len())
    }
}

impl ScratchFile for OpenFile {
    fn write_at(&self, sources: &[IoSlice<'_>], offset: u64) -> Outcome<usize> {
        let sources = &sources[..sources.len().min(SLICES_MAX)];
        let len_bytes: usize = sources.iter().map(|source| source.len()).sum();
        let mut state = self.disk.state();
        let effect = state.begin(Call::Write, self.number, offset, u64_of(len_bytes))?;
        let (mut max_bytes, mut target) = (len_bytes, offset);
        match effect {
            Some(Effect::Short(short)) => max_bytes = usize_of(short.of(u64_of(len_bytes))),
            Some(Effect::LoseWrite) => max_bytes = 0,
            Some(Effect::TearWrite) => max_bytes /= 2,
            Some(Effect::MisplaceWrite(further_bytes)) => target += further_bytes,
            _ => {}
        }
        state.remember(self.number, offset, sources, len_bytes);
        let mut done = 0;
        for source in sources {
            let part = &source[..source.len().min(max_bytes - done)];
            let stored = state.store(self.number, target + u64_of(done), part);
            done += stored;
            if stored < part.len() {
                break;
            }
        }
        if let (Some(Effect::FlipWrite(place)), true) = (effect, done > 0) {
            state.flip(self.number, target + place % u64_of(done));
        }
        let said_bytes = if matches!(effect, Some(Effect::LoseWrite | Effect::TearWrite)) { len_bytes } else { done };
        state.note_write(self.number, offset, u64_of(said_bytes), effect);
        match effect {
            Some(Effect::LoseWrite | Effect::TearWrite) => Ok(len_bytes),
            _ if done == 0 && max_bytes > 0 => Err(Failure::new("pwritev", libc::ENOSPC)),
            _ => Ok(done),
        }
    }

    fn read_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        self.read(Call::Read, destinations, offset)
    }

    fn read_cached_at(&self, destinations: &mut [Destination<'_>], offset: u64) -> Outcome<usize> {
        self.read(Call::ReadCached, destinations, offset)
    }

    fn prefetch(&self, offset: u64, len_bytes: u64) {
        let mut state = self.disk.state();
        // A hint has no answer.
        let outcome = state.begin(Call::Announce, self.number, offset, len_bytes);
        if outcome.is_ok() && state.cold_from < u64::MAX {
            let brought = pages_touched(offset..offset + len_bytes.min(HINT_BYTES_MAX));
            state.hinted.extend(brought.map(|page| (self.number, page)));
        }
    }

    fn evict(&self, offset: u64, len_bytes: u64) {
        let mut state = self.disk.state();
        if state.begin(Call::Evict, self.number, offset, len_bytes).is_ok() && !state.hinted.is_empty() {
            pages_touched(offset..offset + len_bytes).for_each(|page| _ = state.hinted.remove(&(self.number, page)));
        }
    }

    fn reserve(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        let mut state = self.disk.state();
        let mut outcome = state.begin(Call::Reserve, self.number, offset, len_bytes).map(drop);
        state.is_unpromised |= outcome.is_err_and(Failure::is_unsupported);
        if state.denied.contains(&Feature::Reserve) {
            return outcome.and(Err(Failure::new("fallocate", libc::EOPNOTSUPP)));
        }
        if len_bytes > state.reserve_bytes_max {
            outcome = outcome.and(Err(Failure::new("fallocate", libc::EINTR)));
        }
        let mut pages = pages(offset, len_bytes);
        if let Err(failure) = outcome {
            if is_said_at_once(failure.errno) {
                return outcome;
            }
            state.is_unpromised |= failure.errno == libc::EINTR;
            pages.end = pages.start + (pages.end - pages.start) / 2;
        }
        let reserved = state.reserve(self.number, pages);
        outcome.and(reserved)
    }

    fn start_write_back(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        let mut state = self.disk.state();
        let effect = state.begin(Call::WriteBack, self.number, offset, len_bytes)?;
        if state.denied.contains(&Feature::WriteBack) {
            return Ok(());
        }
        if let Some(loss) = state.lost.get_mut(&self.number) {
            loss.starts += 1;
        }
        match effect {
            Some(Effect::LateError(errno)) => state.fail_later(self.number, errno, 0..0),
            Some(Effect::LateLoss(errno)) => state.fail_later(self.number, errno, pages_touched(offset..offset + len_bytes)),
            _ => {}
        }
        Ok(())
    }

    fn check_write_back(&self) -> Outcome<()> {
        let mut state = self.disk.state();
        state.begin(Call::CheckWriteBack, self.number, 0, 0)?;
        if state.denied.contains(&Feature::WriteBack) {
            return Ok(());
        }
        let lost = state.lost.remove(&self.number);
        lost.map_or(Ok(()), |loss| Err(Failure::new("sync_file_range", loss.errno)))
    }

    fn punch(&self, offset: u64, len_bytes: u64) -> Outcome<()> {
        std::thread::yield_now();
        let mut state = self.disk.state();
        state.begin(Call::Punch, self.number, offset, len_bytes)?;
        if state.denied.contains(&Feature::Punch) {
            return Err(Failure::new("fallocate", libc::EOPNOTSUPP));
        }
        for page in pages(offset, len_bytes) {
            let contents = state.files.get_mut(&self.number).expect("an open file");
            if contents.pages.remove(&page).is_some() {
                state.room_pages += 1;
            }
        }
        Ok(())
    }

    fn truncate(&self, len_bytes: u64) -> Outcome<()> {
        let mut state = self.disk.state();
        state.begin(Call::Truncate, self.number, len_bytes, 0)?;
        let contents = state.files.get_mut(&self.number).expect("an open file");
        let behind = contents.pages.split_off(&len_bytes.div_ceil(PAGE_BYTES));
        contents.len_bytes = contents.len_bytes.min(len_bytes);
        state.room_pages += u64_of(behind.len());
        Ok(())
    }

    fn room(&self) -> Outcome<Room> {
        let mut state = self.disk.state();
        state.begin(Call::Room, self.number, 0, 0)?;
        Ok(state.room())
    }

    fn retire(self: Box<Self>) -> Option<Remainder> {
        let mut state = self.disk.state();
        let pages = state.forget_file(self.number);
        state.retired_pages += pages;
        Some(Box::new(Kept { disk: self.disk.clone(), pages }))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        let pages = state.forget_file(self.number);
        state.room_pages += pages;
    }
}

/// The space of a file that was retired.
#[derive(Debug)]
struct Kept {
    disk: Disk,
    pages: u64,
}

impl Drop for Kept {
    fn drop(&mut self) {
        std::thread::yield_now();
        let mut state = self.disk.state();
        state.retired_pages -= self.pages;
        state.room_pages += self.pages;
    }
}

/// Whether a refused reservation was refused before anything was done.
fn is_said_at_once(errno: i32) -> bool {
    matches!(errno, libc::EFBIG | libc::EINVAL | libc::ENODEV | libc::EROFS | libc::EOPNOTSUPP | libc::EPERM)
}
