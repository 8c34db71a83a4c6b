//! Does the steps of a plan on a pager and on the model.

use std::path::Path;

use bytemuck::Pod;
use pageout::{Backend, BatchRead, Collector, Compression, Error, Handle, Pager, read_batch};

use super::plan::{Ground, Plan, Protection, Step};
use super::side::{Context, Payload, Side, count, place_of};
use crate::faulty::{Disk, Feature};
use crate::weather::{self, Seen, Trouble};
use crate::{MIB, PIECE, assert_same, cut, elements, eventually, gather, memories, slot_bytes, stored_lens, u64_of};

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub runs: u64,
    pub operations: u64,
    /// Calls of the device that went wrong.
    pub faults: u64,
    /// Operations that the device failed.
    pub failed: u64,
    /// Operations refused for want of room or capacity.
    pub refused: u64,
    /// Reads that failed their checksum.
    pub corrupt: u64,
    /// Operations refused as the caller's error.
    pub callers: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.operations += other.operations;
        self.faults += other.faults;
        self.failed += other.failed;
        self.refused += other.refused;
        self.corrupt += other.corrupt;
        self.callers += other.callers;
    }
}

/// Does a plan, in `scratch` where it is one for a disk.
pub(super) fn run(plan: &Plan, scratch: &Path) -> Counts {
    if plan.has_bytes { World::<u8>::run(plan, scratch) } else { World::<u32>::run(plan, scratch) }
}

/// What must be said of ranges, by marking each element.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    OutOfRange,
    Overlap,
}

fn verdict(ranges: &[(usize, usize)], payload_len: usize) -> Verdict {
    if ranges.iter().any(|&(offset, len)| offset.checked_add(len).is_none_or(|end| end > payload_len)) {
        return Verdict::OutOfRange;
    }
    let mut marks = vec![false; payload_len];
    for position in ranges.iter().flat_map(|&(offset, len)| offset..offset + len) {
        if std::mem::replace(&mut marks[position], true) {
            return Verdict::Overlap;
        }
    }
    Verdict::Fine
}

/// Cuts a random offset and length to a payload.
pub(super) fn within(offset: usize, len: usize, payload_len: usize) -> (usize, usize) {
    let offset = offset % (payload_len + 1);
    (offset, len % (payload_len - offset + 1))
}

/// Cuts a payload into parts and leaves every fifth out; rotated and then every other one turned to the front.
pub(super) fn parts(len: usize, cuts: &[usize], rotation: usize) -> Vec<(usize, usize)> {
    let mut borders: Vec<usize> = cuts.iter().map(|cut| cut % (len + 1)).chain([0, len]).collect();
    borders.sort_unstable();
    let pairs = borders.windows(2).enumerate().filter(|(position, _)| position % 5 != 4);
    let mut ranges: Vec<_> = pairs.map(|(_, pair)| (pair[0], pair[1] - pair[0])).collect();
    let middle = rotation % ranges.len();
    ranges.rotate_left(middle);
    ranges[..middle].reverse();
    ranges
}

struct World<'a, T: Pod> {
    plan: &'a Plan,
    scratch: &'a Path,
    context: Context,
    now: Side<T>,
    /// The pager that was closed last.
    before: Option<Side<T>>,
    collector: Option<(Collector<T>, Vec<T>)>,
    swap_is_default: bool,
}

impl<'a, T: Pod> World<'a, T> {
    fn run(plan: &'a Plan, scratch: &'a Path) -> Counts {
        weather::set_climate(&plan.climate);
        let may_corrupt = plan.climate.troubles.iter().any(|trouble| !Trouble::SAID.contains(trouble));
        let mut context = Context::new(plan.disk(), may_corrupt);
        context.weather = plan.turns.first().and_then(|turn| turn.weather);
        let pager = open(plan, scratch, &mut context);
        let now = Side::new(pager);
        let mut world = Self { plan, scratch, context, now, before: None, collector: None, swap_is_default: false };
        for turn in &plan.turns {
            world.context.weather = turn.weather;
            world.do_step(&turn.step);
            world.check();
        }
        world.end()
    }

    /// Once nothing goes wrong any more everything works, and nothing is left of it.
    fn end(mut self) -> Counts {
        self.context.weather = None;
        self.collector = None;
        self.check();
        self.drain_before();
        drain(&mut self.now, &mut self.context);
        self.check();
        self.now.pager().trim().expect("a trim without a fault");
        let stats = self.now.pager().stats();
        assert_eq!((stats.handles, stats.payload_bytes, stats.used_bytes, stats.stored_bytes), (0, 0, 0, 0));
        assert_eq!((stats.scratch_bytes, stats.dirty_bytes), (0, 0), "all space is given back");
        assert!(stats.write_back_failures == 0 || self.context.had_trouble() || self.context.has_losses, "nothing went wrong");
        if let Some(disk) = &self.context.disk {
            assert_eq!(disk.open_files(), 0, "all files are closed");
            eventually(|| "all space is given back", || disk.held_bytes() == 0);
            disk.set_neighbour(None);
            disk.set_room(1 << 40);
        }
        if self.plan.capacity_bytes.is_none_or(|bytes| bytes >= u64_of(MIB)) {
            crate::check_works(&self.now.pager());
        }
        self.context.counts.runs = 1;
        self.context.counts
    }

    fn check(&mut self) {
        self.now.check(self.staged_bytes());
        if let Some(before) = &mut self.before {
            before.check(0);
        }
        if let Some(capacity_bytes) = self.plan.capacity_bytes {
            assert!(self.now.scratch_bytes <= capacity_bytes, "{} bytes of scratch past the capacity", self.now.scratch_bytes);
        }
        if let Some(disk) = &self.context.disk {
            disk.forget();
            self.check_disk(disk);
        }
    }

    /// What the pagers say of the device is so.
    fn check_disk(&self, disk: &Disk) {
        if self.context.had_trouble() {
            return;
        }
        assert_eq!(disk.unheard_losses(), 0, "files that lost something, were pushed again, and nobody asked");
        let before = || self.before.as_ref().map_or(0, Side::current_scratch_bytes);
        let scratch_bytes = || self.now.current_scratch_bytes() + before();
        let what = || format!("the device holds what the pagers say: {:?}, {}", disk.holdings(), scratch_bytes());
        eventually(what, || disk.holdings().agree_with(scratch_bytes()));
    }

    /// Bytes of the slots of a payload that is not finished.
    fn staged_bytes(&self) -> u64 {
        self.collector.as_ref().map_or(0, |(_, whole)| self.pieces_bytes(whole))
    }

    fn do_step(&mut self, step: &Step) {
        match step {
            Step::Pageout { named, lens, seed } => self.page_out(*named, lens, *seed),
            Step::Copy { lens, seed } => self.copy_out(lens, *seed),
            Step::Append { len, seed } => self.append(*len, *seed),
            Step::AppendLong { pieces, excess } => self.append(pieces * PIECE / size_of::<T>() + excess, 1),
            Step::Finish => self.finish(),
            Step::DropCollector => self.collector = None,
            Step::SetBackend(backend) => {
                self.now.pager().set_backend(*backend);
                self.swap_is_default = *backend == Backend::Swap;
            }
            Step::Trim => self.trim(),
            Step::Room { bytes } => self.set_room(*bytes),
            Step::Memory { bytes } => {
                if let (Some(disk), Some(_)) = (&self.context.disk, self.plan.features.memory_bytes) {
                    disk.set_memory(*bytes);
                }
            }
            Step::RemoveDirectory => self.context.disk.iter().for_each(Disk::remove_directory),
            Step::FailWriteBack { pick } => self.fail_write_back(*pick),
            Step::Close => self.close(),
            Step::End => self.end_pager(),
            Step::Foreign { pick } => self.use_foreign(*pick),
            Step::Batch { picks, offset, len } => self.batch(picks, *offset, *len),
            Step::Read { pick, .. }
            | Step::ReadAny { pick, .. }
            | Step::ReadParts { pick, .. }
            | Step::ReadInto { pick, .. }
            | Step::Prefetch { pick, .. }
            | Step::Take { pick, .. }
            | Step::Drop { pick }
            | Step::DropMost { one_of: pick } => {
                // One of five works on what is left of the pager that was closed.
                let side = match &mut self.before {
                    Some(before) if pick.is_multiple_of(5) => before,
                    _ => &mut self.now,
                };
                if !side.payloads.is_empty() {
                    use_payload(side, &mut self.context, step);
                }
            }
        }
    }

    fn trim(&mut self) {
        let pager = self.now.pager();
        let (outcome, seen) = self.context.attempt(|| pager.trim());
        if let Err(error) = outcome {
            assert!(matches!(error, Error::System { .. }) && seen.hits > 0, "{error:?}");
            return self.context.counts.failed += 1;
        }
        // A file system without holes keeps the space of free slots beside used ones; so does a file that failed.
        let stats = pager.stats();
        if stats.used_bytes == 0 && seen.hits == 0
            || self.plan.features.has(Feature::Punch) && !self.context.had_trouble() && self.is_simulated()
        {
            assert_eq!(stats.scratch_bytes, stats.used_bytes, "behind a trim no space is left but what payloads use");
        }
    }

    fn is_simulated(&self) -> bool {
        self.context.disk.is_some()
    }

    fn set_room(&mut self, bytes: u64) {
        if let Some(disk) = &self.context.disk {
            disk.set_room(bytes);
        }
    }

    fn fail_write_back(&mut self, pick: usize) {
        let Some(disk) = &self.context.disk else { return };
        let places: Vec<_> = self.now.payloads.iter().filter_map(|payload| payload.place).collect();
        if !places.is_empty() && self.plan.features.has(Feature::WriteBack) {
            disk.fail_write_back(places[pick % places.len()].0, libc::EIO);
            self.context.has_losses = true;
        }
    }

    fn close(&mut self) {
        self.drain_before();
        self.collector = None;
        let pager = open(self.plan, self.scratch, &mut self.context);
        let mut before = std::mem::replace(&mut self.now, Side::new(pager));
        before.pager = None;
        self.swap_is_default = false;
        self.before = Some(before);
    }

    /// Closes the pager under its payloads, which say so from then on.
    fn end_pager(&mut self) {
        self.drain_before();
        let ended = self.now.pager();
        ended.close();
        if let Some(disk) = &self.context.disk {
            assert_eq!(disk.open_files(), 0, "no descriptor is left");
        }
        let mut chunks = [elements::<T>(700, 1)];
        let refused = ended.pageout(&mut chunks);
        assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
        assert_same(&chunks[0], &elements::<T>(700, 1));
        if let Some((mut collector, _)) = self.collector.take() {
            let refused = collector.append(&chunks[0]);
            assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
        }
        let pager = open(self.plan, self.scratch, &mut self.context);
        let former = std::mem::replace(&mut self.now, Side::new(pager));
        former.payloads.into_iter().for_each(|payload| use_closed(&ended, payload));
        self.swap_is_default = false;
        ended.close();
        if let Some(disk) = &self.context.disk {
            eventually(|| "a closed pager gives its space back", || disk.held_bytes() == 0);
        }
    }

    fn drain_before(&mut self) {
        if let Some(mut before) = self.before.take() {
            drain(&mut before, &mut self.context);
        }
    }

    fn use_foreign(&mut self, pick: usize) {
        let Some(before) = self.before.as_mut().filter(|before| !before.payloads.is_empty()) else { return };
        let pager = self.now.pager();
        let payload = before.remove(pick);
        let (mut dst, mut target) = (elements::<T>(3, 1), elements::<T>(payload.whole.len(), 2));
        let (ranges, content) = ([(0, payload.whole.len())], target.clone());
        for outcome in [
            pager.read_at_many(&payload.handle, &ranges, &mut dst),
            pager.read_into(&payload.handle, &ranges, &mut target),
            pager.prefetch(&payload.handle, &ranges),
        ] {
            assert!(matches!(outcome, Err(Error::ForeignHandle)), "{outcome:?}");
        }
        let refused = pager.take(payload.handle, &mut dst).expect_err("another pager's payload");
        assert!(matches!(refused.error(), Error::ForeignHandle), "{refused:?}");
        assert_same(&dst, &elements::<T>(3, 1));
        assert_same(&target, &content);
        before.restore(Payload { handle: refused.into_handle(), ..payload });
        self.context.counts.operations += 4;
        self.context.counts.callers += 4;
    }

    fn page_out(&mut self, named: Option<Backend>, lens: &[usize], pattern: u64) {
        if self.now.payloads.len() >= self.plan.handles_max {
            return;
        }
        let whole = elements::<T>(lens.iter().sum(), pattern);
        let mut chunks = cut(&whole, lens);
        let before = memories(&chunks);
        let default = if self.swap_is_default { Backend::Swap } else { Backend::File };
        let backend = named.unwrap_or(default);
        let pager = self.now.pager();
        let room = self.room();
        let (outcome, seen) = self.context.attempt(|| match named {
            Some(backend) => pager.pageout_with(backend, &mut chunks),
            None => pager.pageout(&mut chunks),
        });
        let only_chunk = (backend == Backend::Swap && lens.len() == 1).then(|| before[0].address());
        if self.publish(outcome, seen, backend, room, whole, only_chunk) {
            assert!(chunks.iter().all(Vec::is_empty));
        } else {
            assert_eq!(memories(&chunks), before, "a refused pageout leaves the chunks alone");
        }
    }

    fn copy_out(&mut self, lens: &[usize], pattern: u64) {
        if self.now.payloads.len() >= self.plan.handles_max {
            return;
        }
        let whole = elements::<T>(lens.iter().sum(), pattern);
        let chunks = cut(&whole, lens);
        let slices: Vec<&[T]> = chunks.iter().map(Vec::as_slice).collect();
        let pager = self.now.pager();
        let room = self.room();
        let (outcome, seen) = self.context.attempt(|| pager.pageout_copy(&slices));
        self.publish(outcome, seen, Backend::File, room, whole.clone(), None);
        assert_same(&chunks.concat(), &whole);
    }

    fn append(&mut self, len: usize, pattern: u64) {
        let pager = self.now.pager();
        let room = self.room();
        let (mut collector, mut whole) = self.collector.take().unwrap_or_else(|| (pager.collector(), Vec::new()));
        let chunk = elements::<T>(len, pattern);
        let (outcome, seen) = self.context.attempt(|| collector.append(&chunk));
        match outcome {
            Ok(()) => whole.extend_from_slice(&chunk),
            Err(error) => {
                let pieces_bytes = self.pieces_bytes(&[&whole[..], &chunk].concat()) - self.pieces_bytes(&whole);
                self.judge_refusal(&error, seen, pieces_bytes, room);
            }
        }
        assert_eq!(collector.len_bytes(), u64_of(size_of_val(&whole[..])));
        self.collector = Some((collector, whole));
    }

    fn finish(&mut self) {
        let room = self.room();
        let Some((mut collector, whole)) = self.collector.take() else { return };
        let (outcome, seen) = self.context.attempt(|| collector.finish());
        if self.publish(outcome, seen, Backend::File, room, whole.clone(), None) {
            assert_eq!(collector.len_bytes(), 0);
        } else {
            assert_eq!(collector.len_bytes(), u64_of(size_of_val(&whole[..])));
            self.collector = Some((collector, whole));
        }
    }

    /// What is free on the device, and what is free in the pager's files.
    fn room(&self) -> Room {
        let used_bytes = self.now.account.used_bytes + self.staged_bytes();
        let idle_bytes = self.now.scratch_bytes - used_bytes;
        let Some(disk) = &self.context.disk else {
            return Room { free_bytes: u64::MAX / 2, left_bytes: 0, idle_bytes, used_bytes, held_bytes: u64::MAX, moves: 0 };
        };
        // Without a capacity of its own a pager leaves a tenth to others.
        let left_bytes = if self.plan.capacity_bytes.is_some() { 0 } else { disk.total_bytes().div_ceil(10) };
        let (free_bytes, held_bytes, moves) = (disk.room(), disk.held_bytes(), disk.neighbour_moves());
        Room { free_bytes, left_bytes, idle_bytes, used_bytes, held_bytes, moves }
    }

    /// Checks what a pageout did to the device, on which there was `room` before.
    fn check_growth(&self, seen: Seen, room: Room, is_refused: bool) {
        let Some(disk) = self.context.disk.as_ref().filter(|_| seen.hits == 0) else { return };
        let held_bytes = disk.held_bytes();
        // Where neither space can be reserved nor holes be made, a write that stopped half way keeps what it has until its slot is
        // used again.
        // What trouble has left behind goes back where there are both.
        let (can_reserve, can_punch) = (disk.has(Feature::Reserve), disk.has(Feature::Punch));
        let can_give_back = if self.context.had_trouble() { can_reserve && can_punch } else { can_reserve || can_punch };
        if is_refused && can_give_back {
            let before = room.held_bytes;
            assert!(held_bytes <= before, "a refused call left {held_bytes} bytes on the device, which held {before} before");
        }
        // A slot that was not promised takes more when a longer payload is written to it.
        let leaves_tenth = self.plan.capacity_bytes.is_none() && disk.holdings().is_promised;
        if leaves_tenth && held_bytes > room.held_bytes && disk.neighbour_moves() == room.moves {
            let (free_bytes, total_bytes) = (disk.room(), disk.total_bytes());
            assert!(free_bytes >= total_bytes / 10, "{free_bytes} bytes of {total_bytes} are left to others");
        }
    }

    /// Judges a pageout, and keeps what went out; says whether it did.
    fn publish(
        &mut self,
        outcome: Result<Handle<T>, Error>,
        seen: Seen,
        backend: Backend,
        room: Room,
        whole: Vec<T>,
        only_chunk: Option<usize>,
    ) -> bool {
        let len_bytes = size_of_val(&whole[..]);
        let pieces_bytes = if len_bytes > PIECE { self.pieces_bytes(&whole) } else { 0 };
        let lens = if backend == Backend::File { self.lens(&whole) } else { Vec::new() };
        let used_bytes = lens.iter().map(|&len| slot_bytes(len)).sum();
        let handle = match outcome {
            Ok(handle) => {
                self.check_growth(seen, room, false);
                handle
            }
            Err(error) => {
                self.judge_refusal(&error, seen, used_bytes - pieces_bytes, room);
                return false;
            }
        };
        if let Some(capacity_bytes) = self.plan.capacity_bytes {
            assert!(room.used_bytes + used_bytes - pieces_bytes <= capacity_bytes, "past the capacity");
        }
        assert_eq!((handle.len(), handle.len_bytes(), handle.backend()), (whole.len(), len_bytes, backend));
        let place = if pieces_bytes > 0 { None } else { place_of(seen, backend, used_bytes) };
        let stored_bytes = u64_of(lens.iter().sum());
        self.now.publish(Payload { handle, whole, used_bytes, stored_bytes, place, only_chunk });
        true
    }

    /// Bytes that each slot of a payload holds.
    fn lens(&self, whole: &[T]) -> Vec<usize> {
        if self.plan.compressed {
            return stored_lens(whole);
        }
        let len_bytes = size_of_val(whole);
        let pieces = if len_bytes > PIECE { len_bytes / PIECE } else { 0 };
        std::iter::repeat_n(PIECE, pieces).chain([len_bytes - pieces * PIECE]).collect()
    }

    /// Bytes of the slots of all whole pieces.
    fn pieces_bytes(&self, whole: &[T]) -> u64 {
        let pieces = whole.chunks_exact(PIECE / size_of::<T>());
        pieces.flat_map(|piece| self.lens(piece)).map(slot_bytes).sum()
    }

    /// Bytes of idle space that serve others for certain: what can be given back, and was the device's to begin with.
    fn servable_bytes(&self, room: Room) -> u64 {
        let features = &self.plan.features;
        let is_promised = features.has(Feature::Reserve) && features.reserve_bytes_max == u64::MAX;
        if self.has_holes() && is_promised && self.is_steady(room) { room.idle_bytes } else { 0 }
    }

    /// Whether free slots between others give their space back.
    fn has_holes(&self) -> bool {
        let has_holes = if self.is_simulated() { self.plan.features.has(Feature::Punch) } else { !self.plan.portable };
        has_holes && !self.context.had_trouble()
    }

    /// Whether no other writer did anything since there was `room`.
    fn is_steady(&self, room: Room) -> bool {
        self.context.disk.as_ref().is_none_or(|disk| disk.neighbour_moves() == room.moves)
    }

    /// Whether the capacity allows so many bytes more, where there was `room`.
    fn is_within_capacity(&self, requested_bytes: u64, room: Room) -> bool {
        let spent_bytes = room.used_bytes + if self.has_holes() { 0 } else { room.idle_bytes };
        let is_left_to_others = requested_bytes > room.spare_bytes(self.servable_bytes(room)) || !self.is_steady(room);
        spent_bytes + requested_bytes <= self.now.capacity_bytes && (self.plan.capacity_bytes.is_some() || !is_left_to_others)
    }

    /// Judges the refusal of a pageout that needs more slots of `requested_bytes`, where there was `room`.
    fn judge_refusal(&mut self, error: &Error, seen: Seen, requested_bytes: u64, room: Room) {
        assert!(requested_bytes > 0, "{error:?} where nothing was asked for");
        match error {
            Error::Capacity(facts) => {
                // On a device that is full and had trouble, what is taken for files and given back again is a reason too.
                let is_full = self.context.had_trouble() && requested_bytes > room.free_bytes;
                let is_refused_for_nothing = !is_full && self.is_within_capacity(requested_bytes, room);
                assert!(!is_refused_for_nothing, "within the capacity: {facts:?}, {room:?}");
                // Of several pieces one is refused, and which that is depends on what was there.
                if requested_bytes < u64_of(PIECE) && !self.plan.compressed {
                    assert_eq!((facts.requested_bytes, facts.used_bytes), (requested_bytes, room.used_bytes));
                }
                if let Some(capacity_bytes) = self.plan.capacity_bytes {
                    assert_eq!(facts.capacity_bytes, capacity_bytes);
                }
            }
            Error::System { errno: libc::ENOSPC, space: Some(facts), .. } if seen.hits == 0 => {
                let is_short = requested_bytes > room.spare_bytes(self.servable_bytes(room));
                assert!(is_short || !self.is_steady(room), "there was room: {facts:?}, {room:?}");
            }
            Error::System { .. } => {
                assert!(seen.hits > 0, "{error:?} and nothing went wrong");
                return self.context.counts.failed += 1;
            }
            error => panic!("{error:?}"),
        }
        self.context.counts.refused += 1;
        self.check_growth(seen, room, true);
    }

    fn batch(&mut self, picks: &[usize], offset: usize, len: usize) {
        let Self { now, context, .. } = self;
        if now.payloads.is_empty() {
            return;
        }
        let picked: Vec<&Payload<T>> = picks.iter().map(|pick| &now.payloads[pick % now.payloads.len()]).collect();
        let ranges: Vec<_> = picked.iter().map(|payload| [within(offset, len, payload.whole.len())]).collect();
        let mut targets: Vec<_> = ranges.iter().map(|[range]| elements::<T>(range.1, 3)).collect();
        let parts = picked.iter().zip(&ranges).zip(&mut targets);
        let mut reads: Vec<_> = parts
            .map(|((payload, ranges), target)| BatchRead { handle: &payload.handle, ranges, target, is_counted: true })
            .collect();
        let (failed, seen) = context.attempt(|| read_batch(&mut reads).expect("memory"));
        for (position, payload) in picked.iter().enumerate() {
            let [(start, len)] = ranges[position];
            let is_failed = failed.iter().any(|&failed| u64::from(failed) == u64_of(position));
            if !is_failed {
                assert_same(&targets[position], &payload.whole[start..start + len]);
                count(&mut now.account.reads, len * size_of::<T>());
            } else if seen.hits == 0 {
                assert!(is_damaged(context, payload, start, start + len), "a read of a batch failed for nothing");
            }
        }
    }
}

pub(super) fn slot_bytes_of(len_bytes: usize) -> u64 {
    let pieces_bytes = if len_bytes > PIECE { len_bytes / PIECE * PIECE } else { 0 };
    u64_of(pieces_bytes) + slot_bytes(len_bytes - pieces_bytes)
}

/// Room before an operation.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Free on the device.
    free_bytes: u64,
    /// What of it is left to others.
    left_bytes: u64,
    /// Free in the pager's files.
    idle_bytes: u64,
    /// In slots in use.
    used_bytes: u64,
    /// That files hold on the device.
    held_bytes: u64,
    /// How often another writer took or freed room until now.
    moves: u64,
}

impl Room {
    /// Bytes that may be taken once so many are given back.
    fn spare_bytes(&self, given_back_bytes: u64) -> u64 {
        (self.free_bytes + given_back_bytes).saturating_sub(self.left_bytes)
    }
}

/// Opens the pager of a plan; what goes wrong on the way is an ordinary error, after which it can be tried again.
fn open(plan: &Plan, scratch: &Path, context: &mut Context) -> Pager {
    let builder = || {
        let builder = match &context.disk {
            Some(disk) => disk.builder(),
            None => crate::builder(scratch),
        };
        let builder = if plan.portable && plan.ground == Ground::Disk { builder.portable() } else { builder };
        let builder = match plan.protection {
            Protection::Nothing => builder.integrity(false),
            Protection::Checksums => builder,
            Protection::Encryption => builder.encryption(true),
        };
        let builder = if plan.compressed { builder.compression(Compression::Lz4) } else { builder };
        match plan.capacity_bytes {
            Some(bytes) => builder.capacity_bytes(bytes),
            None => builder,
        }
    };
    let first = builder();
    let again = builder();
    let (outcome, seen) = context.attempt(|| first.build());
    outcome.unwrap_or_else(|error| {
        assert!(matches!(error, Error::ScratchDir { .. }) && seen.hits > 0, "{error:?}");
        context.counts.failed += 1;
        again.build().expect("a pager without a fault")
    })
}

fn use_payload<T: Pod>(side: &mut Side<T>, context: &mut Context, step: &Step) {
    let len_of = |pick: &usize| side.payloads[pick % side.payloads.len()].whole.len();
    match step {
        Step::Read { pick, offset, len } => {
            let range = within(*offset, *len, len_of(pick));
            read(side, context, *pick, &[range]);
        }
        Step::ReadAny { pick, ranges } => read_any(side, context, *pick, ranges),
        Step::ReadParts { pick, cuts, rotation } => {
            let ranges = parts(len_of(pick), cuts, *rotation);
            read(side, context, *pick, &ranges);
        }
        Step::ReadInto { pick, offset, len, excess } => {
            let range = within(*offset, *len, len_of(pick));
            read_into(side, context, *pick, range, *excess);
        }
        Step::Prefetch { pick, ranges } => {
            let pager = side.pager();
            let payload = &side.payloads[pick % side.payloads.len()];
            let (outcome, _) = context.attempt(|| pager.prefetch(&payload.handle, ranges));
            check_verdict(context, &outcome, ranges, payload.whole.len());
        }
        Step::Take { pick, capacity } => take(side, context, *pick, *capacity),
        Step::Drop { pick } => drop_payload(side, context, *pick),
        Step::DropMost { one_of } => {
            let keep = side.payloads.len().div_ceil(*one_of);
            while side.payloads.len() > keep {
                drop_payload(side, context, 0);
            }
        }
        step => unreachable!("{step:?} needs no payload"),
    }
}

/// Every verb of a payload says that its pager is closed, and changes nothing.
fn use_closed<T: Pod>(pager: &Pager, payload: Payload<T>) {
    let mut dst = elements::<T>(3, 1);
    let ranges = [(0, payload.whole.len())];
    let mut target = elements::<T>(payload.whole.len(), 2);
    for outcome in [
        pager.read_at_many(&payload.handle, &ranges, &mut dst),
        pager.read_into(&payload.handle, &ranges, &mut target),
        pager.prefetch(&payload.handle, &ranges),
        pager.take(payload.handle, &mut dst).map_err(|refused| refused.error().clone()),
    ] {
        assert!(matches!(outcome, Err(Error::Closed)), "{outcome:?}");
    }
    assert_same(&dst, &elements::<T>(3, 1));
    assert_same(&target, &elements::<T>(target.len(), 2));
}

fn drop_payload<T: Pod>(side: &mut Side<T>, context: &mut Context, pick: usize) {
    let payload = side.remove(pick);
    context.attempt(|| drop(payload));
}

/// Takes all payloads back.
fn drain<T: Pod>(side: &mut Side<T>, context: &mut Context) {
    while let Some(payload) = side.payloads.last() {
        let (last, len) = (side.payloads.len() - 1, payload.whole.len());
        if payload.place.is_some() && context.may_corrupt {
            // What one read says of a payload the next ones say too.
            read(side, context, last, &[(0, len)]);
        }
        let before = side.payloads.len();
        take(side, context, last, len);
        if side.payloads.len() == before {
            if context.weather.is_none() {
                drop_payload(side, context, last);
            } else {
                // Nothing goes wrong in the second trial.
                let weather = context.weather.take();
                take(side, context, last, 0);
                if side.payloads.len() == before {
                    drop_payload(side, context, last);
                }
                context.weather = weather;
            }
        }
    }
}

/// Reads ranges that are valid.
fn read<T: Pod>(side: &mut Side<T>, context: &mut Context, pick: usize, ranges: &[(usize, usize)]) {
    let pager = side.pager();
    let payload = &side.payloads[pick % side.payloads.len()];
    let mut dst = elements::<T>(3, 1);
    let (outcome, seen) = context.attempt(|| match ranges {
        [(offset, len)] => pager.read_at(&payload.handle, *offset, *len, &mut dst),
        ranges => pager.read_at_many(&payload.handle, ranges, &mut dst),
    });
    assert_same(&dst[..3], &elements::<T>(3, 1));
    match outcome {
        Ok(()) => {
            assert_same(&dst[3..], &gather(&payload.whole, ranges));
            count(&mut side.account.reads, size_of_val(&dst[3..]));
        }
        Err(error) => {
            assert_eq!(dst.len(), 3, "a failed read leaves the destination alone");
            judge(context, payload, &error, seen, ranges);
        }
    }
}

/// Reads ranges that may be the caller's error.
fn read_any<T: Pod>(side: &mut Side<T>, context: &mut Context, pick: usize, ranges: &[(usize, usize)]) {
    let payload = &side.payloads[pick % side.payloads.len()];
    if verdict(ranges, payload.whole.len()) == Verdict::Fine {
        return read(side, context, pick, ranges);
    }
    let mut dst = elements::<T>(3, 1);
    let pager = side.pager();
    let (outcome, seen) = context.attempt(|| pager.read_at_many(&payload.handle, ranges, &mut dst));
    assert_eq!(seen.hits, 0, "the arguments are checked before any call");
    check_verdict(context, &outcome, ranges, payload.whole.len());
    assert_same(&dst, &elements::<T>(3, 1));
}

fn check_verdict(context: &mut Context, outcome: &Result<(), Error>, ranges: &[(usize, usize)], payload_len: usize) {
    let said = match outcome {
        Ok(()) => Verdict::Fine,
        Err(Error::OutOfRange { .. }) => Verdict::OutOfRange,
        Err(Error::Overlap { .. }) => Verdict::Overlap,
        Err(error) => panic!("{error:?}"),
    };
    context.counts.callers += u64::from(said != Verdict::Fine);
    assert_eq!(said, verdict(ranges, payload_len), "{ranges:?} of {payload_len}");
}

fn read_into<T: Pod>(side: &mut Side<T>, context: &mut Context, pick: usize, range: (usize, usize), excess: usize) {
    let pager = side.pager();
    let payload = &side.payloads[pick % side.payloads.len()];
    let mut target = elements::<T>(range.1 + excess, 4);
    let (outcome, seen) = context.attempt(|| pager.read_into(&payload.handle, &[range], &mut target));
    match outcome {
        Ok(()) => {
            assert_same(&target, &payload.whole[range.0..range.0 + range.1]);
            count(&mut side.account.reads, size_of_val(&target[..]));
        }
        Err(Error::TargetLength { expected, actual, .. }) => {
            assert!(excess > 0 && (expected, actual) == (range.1, target.len()));
            assert_same(&target, &elements::<T>(target.len(), 4));
            context.counts.callers += 1;
        }
        Err(error) => judge(context, payload, &error, seen, &[range]),
    }
}

fn take<T: Pod>(side: &mut Side<T>, context: &mut Context, pick: usize, capacity: usize) {
    let pager = side.pager();
    let Payload { handle, whole, used_bytes, stored_bytes, place, only_chunk } = side.remove(pick);
    let mut dst: Vec<T> = Vec::with_capacity(capacity);
    dst.extend_from_slice(&elements::<T>(capacity.min(3), 5));
    let address = dst.as_ptr();
    let (outcome, seen) = context.attempt(|| pager.take(handle, &mut dst));
    match outcome {
        Ok(()) => {
            assert_same(&dst, &whole);
            assert!(capacity < whole.len() || capacity == 0 || dst.as_ptr() == address, "the allocation is kept");
            assert!(capacity > 0 || only_chunk.is_none_or(|chunk| chunk == dst.as_ptr().addr()), "the chunk itself comes back");
            count(&mut side.account.takes, size_of_val(&whole[..]));
        }
        Err(error) => {
            assert!(dst.is_empty() || dst.len() == capacity.min(3), "a failed take leaves the destination empty or as before");
            let reason = error.error().clone();
            let payload = Payload { handle: error.into_handle(), whole, used_bytes, stored_bytes, place, only_chunk };
            judge(context, &payload, &reason, seen, &[(0, payload.whole.len())]);
            side.restore(payload);
        }
    }
}

/// Judges the failure of a read of ranges that are valid.
pub(super) fn judge<T: Pod>(context: &mut Context, payload: &Payload<T>, error: &Error, seen: Seen, ranges: &[(usize, usize)]) {
    assert_eq!(payload.handle.backend(), Backend::File, "memory does not fail: {error:?}");
    match error {
        Error::System { .. } => {
            assert!(seen.hits > 0, "{error:?} and nothing went wrong");
            context.counts.failed += 1;
        }
        Error::Corrupt { byte_offset, write_back_errno, .. } => {
            assert!(write_back_errno.is_none() || payload.handle.is_at_risk());
            context.counts.corrupt += 1;
            let start = usize::try_from(*byte_offset).expect("within a payload") / size_of::<T>();
            let asked = ranges.iter().filter(|range| range.1 > 0);
            let end = asked.map(|range| range.0 + range.1).max().expect("empty ranges need no reading");
            assert!(start < end, "byte {byte_offset} was not asked for: {ranges:?}");
            if seen.hits == 0 {
                assert!(is_damaged(context, payload, start, start + 1), "{error:?} and nothing is wrong with that page");
            }
        }
        error => panic!("{error:?}"),
    }
}

/// Whether something is wrong on the device with some of these elements.
pub(super) fn is_damaged<T: Pod>(context: &Context, payload: &Payload<T>, start: usize, end: usize) -> bool {
    let bytes = |position: usize| u64_of(position * size_of::<T>());
    match (payload.place, &context.disk) {
        // Where its frames are nobody can tell from outside.
        (Some((file, offset)), Some(disk)) if payload.stored_bytes < u64_of(size_of_val(&payload.whole[..])) => {
            disk.is_damaged(file, offset..offset + payload.used_bytes)
        }
        (Some((file, offset)), Some(disk)) => disk.is_damaged(file, offset + bytes(start)..offset + bytes(end)),
        _ => context.may_corrupt,
    }
}
