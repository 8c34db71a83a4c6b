//! What a device holds, and what befalls it.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::io::IoSlice;
use std::ops::Range;

use pageout::device::{Failure, MemorySample, Outcome, Room};

use super::{Call, Effect, Entry, Fault, Feature, Lasts};
use crate::draws::Draws;
use crate::{u64_of, weather};

pub(super) const PAGE_BYTES: u64 = 4096;

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Vec<Entry>,
    pub(super) fault: Option<Fault>,
    /// Whether calls of the background thread are listed, and hit by faults, as those of verbs are.
    pub(super) hears_background: bool,
    /// Calls of each kind since the fault was armed.
    pub(super) seen: BTreeMap<Call, u64>,
    pub(super) hits: u64,
    pub(super) room_pages: u64,
    /// Pages of files that are retired and whose remainder was not dropped yet.
    pub(super) retired_pages: u64,
    pub(super) neighbour: Neighbour,
    pub(super) files: BTreeMap<u64, Contents>,
    pub(super) files_created: u64,
    /// Number of the directory that the path leads to.
    pub(super) directory: u64,
    pub(super) denied: BTreeSet<Feature>,
    /// Longer reservations are interrupted for good.
    pub(super) reserve_bytes_max: u64,
    /// Whether a reservation was interrupted, so that space may have been handed out that nobody promised.
    pub(super) is_unpromised: bool,
    /// What the process may use of the memory.
    pub(super) memory: MemorySample,
    /// Bytes of a file from here on are not in memory, unless a hint brought them.
    pub(super) cold_from: u64,
    /// Pages, by file, that hints brought into memory.
    pub(super) hinted: HashSet<(u64, u64)>,
    /// What write-back lost of a file and nobody was told yet.
    pub(super) lost: BTreeMap<u64, Loss>,
    /// Pages, by file, that may not hold what was last written there, though the write said so.
    pub(super) damaged: HashSet<(u64, u64)>,
    /// The last writes of threads whose reads may be stale, oldest first.
    pub(super) past: VecDeque<PastWrite>,
}

/// A write that stale reads bring back.
#[derive(Debug)]
pub(super) struct PastWrite {
    pub(super) file: u64,
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
}

/// Writes that are remembered, and the longest of them.
const PAST_WRITES_MAX: usize = 32;
const PAST_BYTES_MAX: usize = 16 << 10;

/// Another writer on the same file system.
#[derive(Debug, Default)]
pub(super) struct Neighbour {
    /// What it does between calls, where it does something.
    pub(super) draws: Option<Draws<'static>>,
    pub(super) pages: u64,
    /// How often it took or freed something.
    pub(super) moves: u64,
}

/// A failed write-back that nobody was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) errno: i32,
    /// How often the write-back of the file was started since then.
    pub(super) starts: u64,
}

#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) len_bytes: u64,
    /// Pages with space; one without bytes holds zeros.
    pub(super) pages: BTreeMap<u64, Option<Box<[u8]>>>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            log: Vec::new(),
            fault: None,
            hears_background: false,
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
            is_unpromised: false,
            memory: MemorySample::UNLIMITED,
            cold_from: u64::MAX,
            hinted: HashSet::new(),
            lost: BTreeMap::new(),
            damaged: HashSet::new(),
            past: VecDeque::new(),
        }
    }

    pub(super) fn held_pages(&self) -> u64 {
        self.files.values().map(|contents| u64_of(contents.pages.len())).sum::<u64>() + self.retired_pages
    }

    pub(super) fn room(&self) -> Room {
        let pages = self.room_pages + self.neighbour.pages + self.held_pages();
        Room { free_bytes: self.room_pages * PAGE_BYTES, total_bytes: pages * PAGE_BYTES }
    }

    /// Records a call and says what goes wrong with it.
    pub(super) fn begin(&mut self, call: Call, file: u64, offset: u64, len_bytes: u64) -> Outcome<Option<Effect>> {
        self.let_neighbour_act(call);
        let effect = if is_in_background() && !self.hears_background {
            self.lasting_effect(call)
        } else {
            self.log.push(Entry { call, file, offset, len_bytes });
            weather::effect(call, file, offset).or_else(|| self.effect_of_fault(call, len_bytes))
        };
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
    pub(super) fn effect_of_fault(&mut self, call: Call, len_bytes: u64) -> Option<Effect> {
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

    /// What the armed fault does to a call of the background thread, whose calls nobody counts: what has begun to fail for good
    /// fails there too.
    fn lasting_effect(&self, call: Call) -> Option<Effect> {
        let has_begun = |fault: &Fault| fault.call == call && fault.lasts == Lasts::ForGood && self.hits > 0;
        self.fault.filter(has_begun).map(|fault| fault.effect)
    }

    /// Another writer may take or free room before a call that looks at room or takes some.
    pub(super) fn let_neighbour_act(&mut self, call: Call) {
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
    pub(super) fn take_for_neighbour(&mut self, pages_left: u64) {
        let pages = self.room_pages.saturating_sub(pages_left);
        self.room_pages -= pages;
        self.neighbour.pages += pages;
        self.neighbour.moves += u64::from(pages > 0);
    }

    /// Another writer frees so many pages, or what it has.
    pub(super) fn free_of_neighbour(&mut self, pages_max: u64) {
        let pages = self.neighbour.pages.min(pages_max);
        self.room_pages += pages;
        self.neighbour.pages -= pages;
        self.neighbour.moves += u64::from(pages > 0);
    }

    /// Gives a range space and lengthens the file, as far as there is room.
    pub(super) fn reserve(&mut self, file: u64, pages: Range<u64>) -> Outcome<()> {
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
    pub(super) fn forget_file(&mut self, file: u64) -> u64 {
        let Some(contents) = self.files.remove(&file) else { return 0 };
        self.damaged.retain(|&(other, _)| other != file);
        self.hinted.retain(|&(other, _)| other != file);
        self.past.retain(|write| write.file != file);
        self.lost.remove(&file);
        u64_of(contents.pages.len())
    }

    /// Bytes that are in memory from `offset` on.
    pub(super) fn cached_bytes(&self, file: u64, offset: u64) -> u64 {
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
    pub(super) fn fail_later(&mut self, file: u64, errno: i32, dropped: Range<u64>) {
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
    pub(super) fn give_page(&mut self, file: u64, page: u64) -> bool {
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
    pub(super) fn store(&mut self, file: u64, offset: u64, bytes: &[u8]) -> usize {
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

    pub(super) fn page(&self, file: u64, offset: u64) -> [u8; 4096] {
        let page = self.files.get(&file).expect("an open file").pages.get(&(offset / PAGE_BYTES)).expect("a page with space");
        page.as_deref().map_or([0; 4096], |page| page.try_into().expect("a page"))
    }

    pub(super) fn set_page(&mut self, file: u64, offset: u64, bytes: &[u8; 4096]) {
        let contents = self.files.get_mut(&file).expect("an open file");
        let page = contents.pages.get_mut(&(offset / PAGE_BYTES)).expect("a page with space");
        page.get_or_insert_with(zero_page).copy_from_slice(bytes);
    }

    pub(super) fn flip(&mut self, file: u64, offset: u64) {
        let contents = self.files.get_mut(&file).expect("an open file");
        let page = contents.pages.get_mut(&(offset / PAGE_BYTES)).expect("a page with space");
        page.get_or_insert_with(zero_page)[usize_of(offset % PAGE_BYTES)] ^= 0x10;
    }

    /// Knows what a write did to pages: one that `effect` spoiled leaves them damaged, a whole one makes them whole again.
    pub(super) fn note_write(&mut self, file: u64, offset: u64, len_bytes: u64, effect: Option<Effect>) {
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

    pub(super) fn remember(&mut self, file: u64, offset: u64, sources: &[IoSlice<'_>], len_bytes: usize) {
        if len_bytes > PAST_BYTES_MAX || !weather::has_stale_reads() {
            return;
        }
        if self.past.len() == PAST_WRITES_MAX {
            self.past.pop_front();
        }
        self.past.push_back(PastWrite { file, offset, bytes: joined(sources) });
    }

    /// What the oldest write that is remembered put there.
    pub(super) fn recall(&self, file: u64, offset: u64, len_bytes: u64) -> Option<Vec<u8>> {
        let covers =
            |write: &&PastWrite| write.file == file && (write.offset..write.offset + u64_of(write.bytes.len())).contains(&offset);
        let write = self.past.iter().find(covers)?;
        let bytes = &write.bytes[usize_of(offset - write.offset)..];
        Some(bytes[..bytes.len().min(usize_of(len_bytes))].to_vec())
    }

    /// The bytes of a file from `offset` on, at most `len_bytes`, fewer where it ends.
    pub(super) fn load(&self, file: u64, offset: u64, len_bytes: u64) -> Vec<u8> {
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

/// Whether this is the background thread of the crate: its calls come at times of their own.
fn is_in_background() -> bool {
    thread_local! {
        static IS_BACKGROUND: bool = background::is_here();
    }
    IS_BACKGROUND.with(|is_background| *is_background)
}

mod background {
    #[cfg(all(target_os = "linux", not(miri)))]
    pub(super) fn is_here() -> bool {
        rustix::thread::name().is_ok_and(|name| name.as_c_str() == c"pageout-keeper")
    }

    /// Other systems are not asked, nor is Miri, and the tests that count calls of verbs run where they are.
    #[cfg(not(all(target_os = "linux", not(miri))))]
    pub(super) fn is_here() -> bool {
        false
    }
}

/// The pages of a range of whole pages.
pub(super) fn pages(offset: u64, len_bytes: u64) -> Range<u64> {
    assert!(
        offset.is_multiple_of(PAGE_BYTES) && len_bytes.is_multiple_of(PAGE_BYTES),
        "space is asked for and given back in whole pages"
    );
    offset / PAGE_BYTES..(offset + len_bytes) / PAGE_BYTES
}

/// The pages that have some of these bytes.
pub(super) fn pages_touched(bytes: Range<u64>) -> Range<u64> {
    bytes.start / PAGE_BYTES..bytes.end.div_ceil(PAGE_BYTES)
}

pub(super) fn joined(sources: &[IoSlice<'_>]) -> Vec<u8> {
    let parts: Vec<&[u8]> = sources.iter().map(|source| &**source).collect();
    parts.concat()
}

pub(super) fn zero_page() -> Box<[u8]> {
    vec![0; usize_of(PAGE_BYTES)].into_boxed_slice()
}

pub(super) fn usize_of(value: u64) -> usize {
    usize::try_from(value).expect("a u64 of a test fits memory")
}
