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

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::io::IoSlice;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use pageout::device::{
    Destination, Device, Directory, DirectoryFacts, Failure, MemorySample, Outcome, Remainder, Room, ScratchFile,
};
use pageout::{Pager, PagerBuilder};

use super::draws::Draws;
use super::weather;

const PAGE_BYTES: u64 = 4096;
/// The most slices that one call takes, as on Linux and macOS.
const SLICES_MAX: usize = 1024;
/// What one hint brings into memory at most: as much as a kernel reads ahead at once, by default.
const HINT_BYTES_MAX: u64 = 128 << 10;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Open,
    Facts,
    Create,
    Write,
    Read,
    ReadCached,
    Announce,
    Evict,
    Reserve,
    Punch,
    Truncate,
    WriteBack,
    CheckWriteBack,
    Room,
    /// Whether the directory is where it was.
    Current,
}

impl Call {
    pub(crate) const ALL: [Self; 15] = [
        Self::Open,
        Self::Facts,
        Self::Create,
        Self::Write,
        Self::Read,
        Self::ReadCached,
        Self::Announce,
        Self::Evict,
        Self::Reserve,
        Self::Punch,
        Self::Truncate,
        Self::WriteBack,
        Self::CheckWriteBack,
        Self::Room,
        Self::Current,
    ];

    /// Name of the kind, unlike any other.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Announce => "posix_fadvise (announce)",
            Self::Evict => "posix_fadvise (evict)",
            Self::Reserve => "fallocate (reserve)",
            Self::Punch => "fallocate (punch)",
            Self::WriteBack => "sync_file_range (start)",
            Self::CheckWriteBack => "sync_file_range (ask)",
            Self::Room => "fstatfs (of a file)",
            other => other.syscall(),
        }
    }

    pub(crate) fn syscall(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Facts | Self::Room => "fstatfs",
            Self::Current => "stat",
            Self::Create => "openat",
            Self::Write => "pwritev",
            Self::Read => "preadv",
            Self::ReadCached => "preadv2",
            Self::Announce | Self::Evict => "posix_fadvise",
            Self::Reserve | Self::Punch => "fallocate",
            Self::Truncate => "ftruncate",
            Self::WriteBack | Self::CheckWriteBack => "sync_file_range",
        }
    }
}

/// A call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) call: Call,
    /// Number of the file, in the order of creation; 0 for calls without one.
    pub(crate) file: u64,
    pub(crate) offset: u64,
    pub(crate) len_bytes: u64,
}

/// What a fault does to the call it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The call fails with this error number and does nothing.
    Fail(i32),
    /// The transfer stops early.
    Short(Short),
    /// The write says that all was written and writes nothing: what was there before stays.
    LoseWrite,
    /// The write says that all was written and writes the first half.
    TearWrite,
    /// The write lands so many bytes further on.
    MisplaceWrite(u64),
    /// The read brings bytes that lie so many bytes further on.
    MisplaceRead(u64),
    /// A bit of the byte at this place of the read is flipped; the place counts from the end round and round.
    FlipRead(u64),
    /// The same of a write.
    FlipWrite(u64),
    /// The read brings what was written there before, where the device remembers that.
    StaleRead,
    /// Just before the call another writer takes all room but so many pages; it gives it back when the fault is over.
    TakeRoom(u64),
    /// The write-back is started, and fails behind the call with this error number; what it was about is still in memory.
    LateError(i32),
    /// The same, and memory has dropped what it was about.
    LateLoss(i32),
}

/// What a file system, a kernel or a sandbox may lack as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feature {
    /// Space that is reserved beforehand.
    Reserve,
    /// Holes.
    Punch,
    /// Reads of what is in memory alone.
    CachedReads,
    /// Write-back that can be started and asked about.
    WriteBack,
}

impl Effect {
    /// Whether a call of this length does not even notice.
    fn is_whole(self, len_bytes: u64) -> bool {
        matches!(self, Self::Short(short) if short.of(len_bytes) >= len_bytes)
    }
}

/// How many of the bytes asked for a call moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Short {
    Bytes(u64),
    Half,
    AllButOne,
}

impl Short {
    pub(crate) const ALL: [Self; 6] =
        [Self::Bytes(0), Self::Bytes(1), Self::Bytes(511), Self::Bytes(512), Self::Half, Self::AllButOne];

    pub(crate) fn of(self, len_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.min(len_bytes),
            Self::Half => len_bytes.div_ceil(2),
            Self::AllButOne => len_bytes.saturating_sub(1).max(1),
        }
    }

    /// The ways in which a transfer of so many bytes may stop early, each length once. One byte at a time for good would
    /// take very long where payloads are long; short ones have tests of their own.
    pub(crate) fn all_of(len_bytes: u64, lasts: Lasts) -> impl Iterator<Item = Self> {
        let mut lengths = BTreeSet::new();
        let is_bearable = move |short: &Self| lasts == Lasts::Once || short.of(len_bytes) != 1;
        let is_new = move |short: &Self| short.of(len_bytes) < len_bytes && lengths.insert(short.of(len_bytes));
        Self::ALL.into_iter().filter(is_bearable).filter(is_new)
    }
}

/// Which calls of its kind a fault hits, beside the one that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasts {
    /// No other.
    Once,
    /// All later ones.
    ForGood,
    /// One of so many, again and again.
    OneOf(u64),
}

/// What goes wrong: the call number `index` of its kind, counted from [`Disk::arm`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) call: Call,
    pub(crate) index: u64,
    pub(crate) effect: Effect,
    pub(crate) lasts: Lasts,
}

/// The device. Clones are one device.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

/// What a device has given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holdings {
    /// Bytes that open files hold.
    pub(crate) open_bytes: u64,
    /// Bytes that the remainders of retired files hold.
    pub(crate) retired_bytes: u64,
    /// Whether all space was promised before it was used.
    pub(crate) is_promised: bool,
}

impl Holdings {
    /// Whether so many bytes may be what owners say that they hold: those of retired files count or not, and what was never
    /// promised counts before the device gives it out.
    pub(crate) fn agree_with(&self, scratch_bytes: u64) -> bool {
        scratch_bytes >= self.open_bytes && (!self.is_promised || scratch_bytes <= self.open_bytes + self.retired_bytes)
    }
}

#[derive(Debug)]
struct State {
    log: Vec<Entry>,
    fault: Option<Fault>,
    /// Calls of each kind since the fault was armed.
    seen: BTreeMap<Call, u64>,
    hits: u64,
    room_pages: u64,
    /// Pages of files that are retired and whose remainder was not dropped yet.
    retired_pages: u64,
    neighbour: Neighbour,
    files: BTreeMap<u64, Contents>,
    files_created: u64,
    /// Number of the directory that the path leads to.
    directory: u64,
    denied: BTreeSet<Feature>,
    /// Longer reservations are interrupted for good.
    reserve_bytes_max: u64,
    /// Whether a reservation was interrupted, so that space may have been handed out that nobody promised.
    was_interrupted: bool,
    /// What the process may use of the memory.
    memory: MemorySample,
    /// Bytes of a file from here on are not in memory, unless a hint brought them.
    cold_from: u64,
    /// Pages, by file, that hints brought into memory.
    hinted: HashSet<(u64, u64)>,
    /// What write-back lost of a file and nobody was told yet.
    lost: BTreeMap<u64, Loss>,
    /// Pages, by file, that may not hold what was last written there, though the write said so.
    damaged: HashSet<(u64, u64)>,
    /// The last writes of threads whose reads may be stale, oldest first.
    past: VecDeque<PastWrite>,
}

/// A write that stale reads bring back.
#[derive(Debug)]
struct PastWrite {
    file: u64,
    offset: u64,
    bytes: Vec<u8>,
}

/// Writes that are remembered, and the longest of them.
const PAST_WRITES_MAX: usize = 32;
const PAST_BYTES_MAX: usize = 16 << 10;

/// Another writer on the same file system.
#[derive(Debug, Default)]
struct Neighbour {
    /// What it does between calls, where it does something.
    draws: Option<Draws<'static>>,
    pages: u64,
    /// How often it took or freed something.
    moves: u64,
}

/// A failed write-back that nobody was told.
#[derive(Clone, Copy, Debug)]
struct Loss {
    errno: i32,
    /// How often the write-back of the file was started since then.
    starts: u64,
}

#[derive(Debug, Default)]
struct Contents {
    len_bytes: u64,
    /// Pages with space; one without bytes holds zeros.
    pages: BTreeMap<u64, Option<Box<[u8]>>>,
}

impl Disk {
    /// A device with room for 1 TiB.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            log: Vec::new(),
            fault: None,
            seen: BTreeMap::new(),
            hits: 0,
            room_pages: (1 << 40) / PAGE_BYTES,
            retired_pages: 0,
            neighbour: Neighbour::default(),
            files: BTreeMap::new(),
            files_created: 0,
            directory: 1,
            denied: BTreeSet::new(),
            reserve_bytes_max: u64::MAX,
            was_interrupted: false,
            memory: MemorySample::UNLIMITED,
            cold_from: u64::MAX,
            hinted: HashSet::new(),
            lost: BTreeMap::new(),
            damaged: HashSet::new(),
            past: VecDeque::new(),
        })))
    }

    /// A device with room for so many bytes.
    pub(crate) fn with_room(bytes: u64) -> Self {
        let disk = Self::new();
        disk.set_room(bytes);
        disk
    }

    /// The same device on a file system that lacks something.
    pub(crate) fn without(self, feature: Feature) -> Self {
        self.state().denied.insert(feature);
        self
    }

    /// The same device on a file system that cannot reserve space beforehand.
    pub(crate) fn without_reserve(self) -> Self {
        self.without(Feature::Reserve)
    }

    /// The same device on a file system that cannot make holes.
    pub(crate) fn without_punch(self) -> Self {
        self.without(Feature::Punch)
    }

    pub(crate) fn has(&self, feature: Feature) -> bool {
        !self.state().denied.contains(&feature)
    }

    /// Interrupts each reservation of more than so many bytes, however often it is tried.
    pub(crate) fn interrupt_reserves_above(&self, bytes: u64) {
        self.state().reserve_bytes_max = bytes;
    }

    /// Lets another writer take and free room between calls, as `seed` says; without one it frees all and ends.
    pub(crate) fn set_neighbour(&self, seed: Option<u64>) {
        let mut state = self.state();
        state.neighbour.draws = seed.map(Draws::seeded);
        if seed.is_none() {
            state.free_of_neighbour(u64::MAX);
        }
    }

    /// How often another writer took or freed room so far.
    pub(crate) fn neighbour_moves(&self) -> u64 {
        self.state().neighbour.moves
    }

    /// Removes the scratch directory. What is open stays open; the next that opens the path makes it anew.
    pub(crate) fn remove_directory(&self) {
        self.state().directory += 1;
    }

    /// Makes a write-back of `file` fail that was started before, or that the kernel began by itself. What it was about is still in
    /// memory.
    pub(crate) fn fail_write_back(&self, file: u64, errno: i32) {
        self.state().lost.insert(file, Loss { errno, starts: 0 });
    }

    /// Files of which write-back lost something, and of which more was pushed twice without asking about that. Once, since a file
    /// that was not pushed before may be pushed without asking.
    pub(crate) fn unheard_losses(&self) -> usize {
        self.state().lost.values().filter(|loss| loss.starts > 1).count()
    }

    /// Starts a pager on this device.
    pub(crate) fn builder(&self) -> PagerBuilder {
        Pager::builder().device(self.clone()).scratch_dir("/scratch")
    }

    pub(crate) fn pager(&self) -> Pager {
        self.builder().build().expect("a pager in memory")
    }

    /// Makes a fault happen from now on.
    pub(crate) fn arm(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = Some(fault);
        state.seen.clear();
        state.hits = 0;
    }

    /// How many calls the fault hit so far.
    pub(crate) fn hits(&self) -> u64 {
        self.state().hits
    }

    /// Ends the fault, and says how many calls it hit.
    pub(crate) fn disarm(&self) -> u64 {
        let mut state = self.state();
        if let Some(Fault { effect: Effect::TakeRoom(_), .. }) = state.fault.take() {
            state.free_of_neighbour(u64::MAX);
        }
        state.hits
    }

    /// The calls since the beginning or the last [`Self::forget`].
    pub(crate) fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// The same as kinds only.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().log.iter().map(|entry| entry.call).collect()
    }

    pub(crate) fn count(&self, call: Call) -> u64 {
        let count = self.state().log.iter().filter(|entry| entry.call == call).count();
        u64::try_from(count).expect("a usize of at most 64 bits")
    }

    /// File and offset of the last write, which is where the payload that went out last begins if it was short.
    pub(crate) fn last_place(&self) -> (u64, u64) {
        let log = self.log();
        let write = log.iter().rev().find(|entry| entry.call == Call::Write).expect("a payload went out");
        (write.file, write.offset)
    }

    pub(crate) fn forget(&self) {
        self.state().log.clear();
    }

    /// Bytes that can still be given out.
    pub(crate) fn room(&self) -> u64 {
        self.state().room_pages * PAGE_BYTES
    }

    /// Bytes that open files and the remainders of retired ones hold.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.state().held_pages() * PAGE_BYTES
    }

    /// What the device has given out, at one moment.
    pub(crate) fn holdings(&self) -> Holdings {
        let state = self.state();
        let (held_pages, retired_pages) = (state.held_pages(), state.retired_pages);
        Holdings {
            open_bytes: (held_pages - retired_pages) * PAGE_BYTES,
            retired_bytes: retired_pages * PAGE_BYTES,
            is_promised: !state.denied.contains(&Feature::Reserve) && !state.was_interrupted,
        }
    }

    /// Bytes of the whole device.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.state().room().total_bytes
    }

    pub(crate) fn set_room(&self, bytes: u64) {
        self.state().room_pages = bytes / PAGE_BYTES;
    }

    /// Bytes of all open files from `offset` on are not in memory, unless a hint brings them.
    pub(crate) fn set_cold_from(&self, offset: u64) {
        self.state().cold_from = offset;
    }

    /// The memory that the process may use.
    pub(crate) fn set_memory(&self, bytes: u64) {
        self.state().memory = MemorySample { limit_bytes: bytes, group_free_bytes: bytes, ..MemorySample::UNLIMITED };
    }

    pub(crate) fn open_files(&self) -> usize {
        self.state().files.len()
    }

    /// Whether some of these bytes lie in a page that may not hold what was last written there, though the write said so.
    pub(crate) fn is_damaged(&self, file: u64, bytes: std::ops::Range<u64>) -> bool {
        let state = self.state();
        !state.damaged.is_empty() && pages_touched(bytes).any(|page| state.damaged.contains(&(file, page)))
    }

    /// Flips a bit of a byte on the device.
    pub(crate) fn flip(&self, file: u64, offset: u64) {
        self.state().flip(file, offset);
    }

    /// Makes a file end at `len_bytes`.
    pub(crate) fn truncate(&self, file: u64, len_bytes: u64) {
        self.state().files.get_mut(&file).expect("an open file").len_bytes = len_bytes;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the device")
    }
}

impl State {
    fn held_pages(&self) -> u64 {
        self.files.values().map(|contents| u64_of(contents.pages.len())).sum::<u64>() + self.retired_pages
    }

    fn room(&self) -> Room {
        let pages = self.room_pages + self.neighbour.pages + self.held_pages();
        Room { free_bytes: self.room_pages * PAGE_BYTES, total_bytes: pages * PAGE_BYTES }
    }

    /// Records a call and says what goes wrong with it.
    fn begin(&mut self, call: Call, file: u64, offset: u64, len_bytes: u64) -> Outcome<Option<Effect>> {
        self.log.push(Entry { call, file, offset, len_bytes });
        self.let_neighbour_act(call);
        let effect = weather::effect(call, file, offset).or_else(|| self.effect_of_fault(call, len_bytes));
        match effect {
            Some(Effect::Fail(errno)) => {
                let failure = Failure::new(call.syscall(), errno);
                if call == Call::Punch && failure.is_unsupported() {
                    // What cannot be had once cannot be had later.
                    self.denied.insert(Feature::Punch);
                }
                Err(failure)
            }
            Some(Effect::TakeRoom(pages_left)) => {
                self.take_for_neighbour(pages_left);
                Ok(None)
            }
            effect => Ok(effect),
        }
    }

    /// What the armed fault does to a call.
    fn effect_of_fault(&mut self, call: Call, len_bytes: u64) -> Option<Effect> {
        let seen = self.seen.entry(call).or_default();
        let index = *seen;
        *seen += 1;
        let fault = self.fault.filter(|fault| fault.call == call)?;
        let is_hit = match fault.lasts {
            Lasts::Once => index == fault.index,
            Lasts::ForGood => index >= fault.index,
            Lasts::OneOf(calls) => index % calls == fault.index % calls,
        };
        if !is_hit || fault.effect.is_whole(len_bytes) {
            return None;
        }
        self.hits += 1;
        Some(fault.effect)
    }

    /// Another writer may take or free room before a call that looks at room or takes some.
    fn let_neighbour_act(&mut self, call: Call) {
        let Some(draws) = &mut self.neighbour.draws else { return };
        if !matches!(call, Call::Facts | Call::Room | Call::Create | Call::Reserve | Call::Write) || !draws.one_of(6) {
            return;
        }
        let (pages, takes) = (draws.below(300), draws.one_of(2));
        match (takes, draws.one_of(3)) {
            (true, true) => self.take_for_neighbour(pages),
            (true, false) => self.take_for_neighbour(self.room_pages.saturating_sub(pages)),
            (false, true) => self.free_of_neighbour(u64::MAX),
            (false, false) => self.free_of_neighbour(pages),
        }
    }

    /// Another writer takes all room but so many pages.
    fn take_for_neighbour(&mut self, pages_left: u64) {
        let pages = self.room_pages.saturating_sub(pages_left);
        self.room_pages -= pages;
        self.neighbour.pages += pages;
        self.neighbour.moves += u64::from(pages > 0);
    }

    /// Another writer frees so many pages, or what it has.
    fn free_of_neighbour(&mut self, pages_max: u64) {
        let pages = self.neighbour.pages.min(pages_max);
        self.room_pages += pages;
        self.neighbour.pages -= pages;
        self.neighbour.moves += u64::from(pages > 0);
    }

    /// Gives a range space and lengthens the file, as far as there is room.
    fn reserve(&mut self, file: u64, pages: std::ops::Range<u64>) -> Outcome<()> {
        for page in pages {
            if !self.give_page(file, page) {
                return Err(Failure::new("fallocate", libc::ENOSPC));
            }
            let contents = self.files.get_mut(&file).expect("an open file");
            contents.len_bytes = contents.len_bytes.max((page + 1) * PAGE_BYTES);
        }
        Ok(())
    }

    /// Forgets a file, and says how many pages it held.
    fn forget_file(&mut self, file: u64) -> u64 {
        let Some(contents) = self.files.remove(&file) else { return 0 };
        self.damaged.retain(|&(other, _)| other != file);
        self.hinted.retain(|&(other, _)| other != file);
        self.past.retain(|write| write.file != file);
        self.lost.remove(&file);
        u64_of(contents.pages.len())
    }

    /// Bytes that are in memory from `offset` on.
    fn cached_bytes(&self, file: u64, offset: u64) -> u64 {
        if self.denied.contains(&Feature::CachedReads) {
            return 0;
        }
        let mut end = self.cold_from.max(offset);
        while self.hinted.contains(&(file, end / PAGE_BYTES)) {
            end = (end / PAGE_BYTES + 1) * PAGE_BYTES;
        }
        end - offset
    }

    /// Write-back of a range fails once the call that started it has returned.
    fn fail_later(&mut self, file: u64, errno: i32, dropped: std::ops::Range<u64>) {
        for page in dropped {
            let contents = self.files.get_mut(&file).expect("an open file");
            if let Some(content) = contents.pages.get_mut(&page) {
                *content = None;
                self.damaged.insert((file, page));
            }
        }
        self.lost.insert(file, Loss { errno, starts: 0 });
    }

    /// Gives a page of a file space; says whether there was room.
    fn give_page(&mut self, file: u64, page: u64) -> bool {
        let contents = self.files.get_mut(&file).expect("an open file");
        if contents.pages.contains_key(&page) {
            return true;
        }
        if self.room_pages == 0 {
            return false;
        }
        self.room_pages -= 1;
        contents.pages.insert(page, None);
        true
    }

    /// Stores bytes page by page until they or the room end; says how many.
    fn store(&mut self, file: u64, offset: u64, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            let position = offset + u64_of(done);
            let (page, within) = (position / PAGE_BYTES, usize_of(position % PAGE_BYTES));
            if !self.give_page(file, page) {
                break;
            }
            let contents = self.files.get_mut(&file).expect("an open file");
            let content = contents.pages.get_mut(&page).expect("a page with space").get_or_insert_with(zero_page);
            let part = (content.len() - within).min(bytes.len() - done);
            content[within..within + part].copy_from_slice(&bytes[done..done + part]);
            done += part;
            contents.len_bytes = contents.len_bytes.max(position + u64_of(part));
        }
        done
    }

    fn flip(&mut self, file: u64, offset: u64) {
        let contents = self.files.get_mut(&file).expect("an open file");
        let page = contents.pages.get_mut(&(offset / PAGE_BYTES)).expect("a page with space");
        page.get_or_insert_with(zero_page)[usize_of(offset % PAGE_BYTES)] ^= 0x10;
    }

    /// Knows what a write did to pages: one that `effect` spoiled leaves them damaged, a whole one makes them whole again.
    fn note_write(&mut self, file: u64, offset: u64, len_bytes: u64, effect: Option<Effect>) {
        let further_bytes = match effect {
            Some(Effect::MisplaceWrite(further_bytes)) => further_bytes,
            Some(Effect::LoseWrite | Effect::TearWrite | Effect::FlipWrite(_)) => 0,
            _ if self.damaged.is_empty() => return,
            _ => {
                for page in offset.div_ceil(PAGE_BYTES)..(offset + len_bytes) / PAGE_BYTES {
                    self.damaged.remove(&(file, page));
                }
                return;
            }
        };
        for start in [offset, offset + further_bytes] {
            self.damaged.extend(pages_touched(start..start + len_bytes).map(|page| (file, page)));
        }
    }

    fn remember(&mut self, file: u64, offset: u64, sources: &[IoSlice<'_>], len_bytes: usize) {
        if len_bytes > PAST_BYTES_MAX || !weather::has_stale_reads() {
            return;
        }
        if self.past.len() == PAST_WRITES_MAX {
            self.past.pop_front();
        }
        self.past.push_back(PastWrite { file, offset, bytes: joined(sources) });
    }

    /// What the oldest write that is remembered put there.
    fn recall(&self, file: u64, offset: u64, len_bytes: u64) -> Option<Vec<u8>> {
        let covers =
            |write: &&PastWrite| write.file == file && (write.offset..write.offset + u64_of(write.bytes.len())).contains(&offset);
        let write = self.past.iter().find(covers)?;
        let bytes = &write.bytes[usize_of(offset - write.offset)..];
        Some(bytes[..bytes.len().min(usize_of(len_bytes))].to_vec())
    }

    /// The bytes of a file from `offset` on, at most `len_bytes`, fewer where it ends.
    fn load(&self, file: u64, offset: u64, len_bytes: u64) -> Vec<u8> {
        let contents = &self.files[&file];
        let end = contents.len_bytes.min(offset.saturating_add(len_bytes));
        let mut bytes = Vec::new();
        let mut position = offset;
        while position < end {
            let (page, within) = (position / PAGE_BYTES, usize_of(position % PAGE_BYTES));
            let part = usize_of((end - position).min(PAGE_BYTES)).min(usize_of(PAGE_BYTES) - within);
            match contents.pages.get(&page) {
                Some(Some(content)) => bytes.extend_from_slice(&content[within..within + part]),
                Some(None) | None => bytes.resize(bytes.len() + part, 0),
            }
            position += u64_of(part);
        }
        bytes
    }
}

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
        if state.denied.contains(&Feature::Reserve) {
            return outcome;
        }
        if len_bytes > state.reserve_bytes_max {
            outcome = outcome.and(Err(Failure::new("fallocate", libc::EINTR)));
        }
        let mut pages = pages(offset, len_bytes);
        if let Err(failure) = outcome {
            if is_said_at_once(failure.errno) {
                return outcome;
            }
            state.was_interrupted |= failure.errno == libc::EINTR;
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

/// The pages of a range of whole pages.
fn pages(offset: u64, len_bytes: u64) -> std::ops::Range<u64> {
    assert!(
        offset.is_multiple_of(PAGE_BYTES) && len_bytes.is_multiple_of(PAGE_BYTES),
        "space is asked for and given back in whole pages"
    );
    offset / PAGE_BYTES..(offset + len_bytes) / PAGE_BYTES
}

/// The pages that have some of these bytes.
fn pages_touched(bytes: std::ops::Range<u64>) -> std::ops::Range<u64> {
    bytes.start / PAGE_BYTES..bytes.end.div_ceil(PAGE_BYTES)
}

fn joined(sources: &[IoSlice<'_>]) -> Vec<u8> {
    let parts: Vec<&[u8]> = sources.iter().map(|source| &**source).collect();
    parts.concat()
}

fn zero_page() -> Box<[u8]> {
    vec![0; usize_of(PAGE_BYTES)].into_boxed_slice()
}

fn u64_of(value: usize) -> u64 {
    super::u64_of(value)
}

fn usize_of(value: u64) -> usize {
    usize::try_from(value).expect("a u64 of a test fits memory")
}
