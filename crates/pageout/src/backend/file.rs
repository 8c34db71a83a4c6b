//! The file backend: a payload in slots of the scratch files, its checksums in memory.
//!
//! Pages with a checksum are read whole, proven, and only then handed on. One range is read straight into its destination,
//! its first and last page by way of the stack where they are asked for in part: one system call. Several ranges
//! are sorted and merged into runs; what is in the page cache is read first, the rest is announced to the kernel all at
//! once, so that the device works on all of it while the first is waited for.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::{Extent, Extents, Payload};
use crate::block::{Checksums, PAGE_BYTES};
use crate::error::Error;
use crate::store::{Place, Slot, Store};
use crate::sys::{Destination, destination};
use crate::units::{self, KIB};

const PAGE: usize = units::to_usize(PAGE_BYTES);
/// Extents with at most this much between their pages are read as one: a page of detour costs less than a system call.
const GAP_BYTES_MAX: u64 = PAGE_BYTES;
/// The longest run that is read by way of a buffer; beyond, copying costs more than another system call.
const RUN_BYTES_MAX: u64 = 64 * KIB;
/// A run, and the pages it begins and ends in.
const RUN_BUFFER: usize = units::to_usize(RUN_BYTES_MAX) + 2 * PAGE;
/// What fills a payload's last page in its slot, so that the slot never holds stale memory and the kernel never has to
/// read a page before writing it.
const PADDING: [u8; PAGE] = [0; PAGE];
/// Chunks and padding up to this many are listed on the stack.
const FEW_SLICES: usize = 16;

/// A payload in scratch.
#[derive(Debug)]
pub(crate) struct Stored {
    place: Place,
    checksums: Checksums,
    len_bytes: u64,
}

impl Stored {
    /// Writes `chunks` out, unless `stop` becomes true first; together they have `len_bytes` bytes, which is not zero.
    ///
    /// # Errors
    /// [`Error::Capacity`], ECANCELED, or what the operating system said. Nothing is kept then.
    pub(crate) fn pageout<'a, C>(
        store: &Store,
        chunks: C,
        len_bytes: u64,
        integrity: bool,
        stop: &AtomicBool,
    ) -> Result<Self, Error>
    where
        C: ExactSizeIterator<Item = &'a [u8]>,
    {
        let padding = &PADDING[..padding_bytes(len_bytes)];
        with_slices(chunks, padding, |slices| {
            let claim = store.claim(len_bytes)?;
            let checksums = if integrity { Checksums::of(slices, len_bytes)? } else { Checksums::Off };
            let place = store.write(claim, slices, stop)?;
            Ok(Self { place, checksums, len_bytes })
        })
    }

    /// One payload of `pieces`, of which each but the last has `piece_bytes` bytes, whole pages. Leaves none in the list.
    ///
    /// # Errors
    /// When the memory for its lists cannot be had; `pieces` are as before.
    pub(crate) fn join(pieces: &mut Vec<Self>, piece_bytes: u32) -> Result<Self, Error> {
        if let [_] = pieces[..] {
            return Ok(pieces.remove(0));
        }
        let checksums = Checksums::join(pieces.iter().map(|piece| &piece.checksums))?;
        let len_bytes = pieces.iter().map(|piece| piece.len_bytes).sum();
        let mut slots = Place::list_for(pieces.len())?;
        pieces.drain(..).for_each(|piece| piece.place.append_to(&mut slots));
        Ok(Self { place: Place::of_pieces(slots, piece_bytes), checksums, len_bytes })
    }

    /// Reads one extent straight into its destination.
    fn read_extent(&self, extent: Extent, mut into: Destination<'_>) -> Result<(), Error> {
        for segment in self.place.segments(extent.start..extent.end()) {
            let part = into.split_front(memory_len(segment.payload.start, segment.payload.end));
            self.read_segment(&segment.payload, part)?;
        }
        Ok(())
    }

    /// Reads bytes that lie in one slot; pages asked for in part come by way of the stack.
    fn read_segment(&self, wanted: &Range<u64>, mut into: Destination<'_>) -> Result<(), Error> {
        let pages = self.pages_around(wanted);
        if pages == *wanted {
            return self.read_proven(&pages, &mut [into]);
        }
        let head_end = wanted.start.next_multiple_of(PAGE_BYTES).min(pages.end);
        let last_page = units::round_down(wanted.end, PAGE_BYTES);
        let tail_start = if wanted.end == pages.end { pages.end } else { last_page.max(head_end) };
        let mut head_page = [MaybeUninit::uninit(); PAGE];
        let mut tail_page = [MaybeUninit::uninit(); PAGE];
        destination::with_buffer(&mut head_page[..memory_len(pages.start, head_end)], |head| {
            destination::with_buffer(&mut tail_page[..memory_len(tail_start, pages.end)], |tail| {
                let head_wanted = memory_len(wanted.start, head_end.min(wanted.end));
                let mut head_into = into.split_front(head_wanted);
                let middle = into.split_front(memory_len(head_end, tail_start));
                let mut parts = [head, middle, tail];
                self.read_proven(&pages, &mut parts)?;
                let [head, _, tail] = parts;
                head_into.append(&head.filled()[memory_len(pages.start, wanted.start)..][..head_wanted]);
                into.append(&tail.filled()[..into.remaining_bytes()]);
                Ok(())
            })
        })
    }

    /// Fills `parts` with the whole pages `pages` of one slot and proves each.
    fn read_proven(&self, pages: &Range<u64>, parts: &mut [Destination<'_>]) -> Result<(), Error> {
        let segment = self.place.segments(pages.clone()).next().expect("pages of one slot");
        segment.slot.read(parts, segment.slot_start).map_err(|error| {
            let filled_bytes: usize = parts.iter().map(|part| part.filled().len()).sum();
            let end = pages.start + units::to_u64(filled_bytes);
            error.unwrap_or_else(|| corrupt(units::round_down(end, PAGE_BYTES), segment.slot))
        })?;
        let mut start = pages.start;
        for part in parts {
            self.prove(start, part.filled(), segment.slot)?;
            start += units::to_u64(part.filled().len());
        }
        Ok(())
    }

    /// Proves whole pages of the payload, from `start` on, which came from `slot`.
    fn prove(&self, start: u64, bytes: &[u8], slot: &Slot) -> Result<(), Error> {
        self.checksums.verify(start, bytes).map_err(|byte_offset| corrupt(byte_offset, slot))
    }

    /// Whether the device has lost something of a file that the payload lies in, as far as the system has said so.
    pub(crate) fn is_at_risk(&self) -> bool {
        self.place.is_at_risk()
    }

    /// What has to be read to prove `wanted`: its pages, up to the payload's end; without checksums just itself.
    fn pages_around(&self, wanted: &Range<u64>) -> Range<u64> {
        if !self.checksums.are_kept() {
            return wanted.clone();
        }
        units::round_down(wanted.start, PAGE_BYTES)..wanted.end.next_multiple_of(PAGE_BYTES).min(self.len_bytes)
    }

    /// Reads several extents: runs that are in memory first, then the others, announced all at once.
    fn read_many(&self, requested: &[Extent], ascending: &[u32], whole: Destination<'_>) -> Result<(), Error> {
        let mut reader = Reader::new(self, requested, whole)?;
        let mut missed: Vec<&[u32]> = Vec::new();
        for run in self.runs(requested, ascending) {
            if !reader.read_run_cached(run)? {
                missed.try_reserve(1)?;
                missed.push(run);
            }
        }
        // What is read next is not announced: the read itself brings it, in larger pages.
        for run in missed.iter().skip(1) {
            self.prefetch_range(&span(requested, run));
        }
        missed.into_iter().try_for_each(|run| reader.read_run(run))
    }

    /// The runs of ascending extents.
    fn runs<'a>(&'a self, requested: &'a [Extent], ascending: &'a [u32]) -> impl Iterator<Item = &'a [u32]> {
        runs(requested, ascending, |span| self.is_short(span))
    }

    /// Whether a span is read by way of the buffer: short, and in one slot.
    fn is_short(&self, span: &Range<u64>) -> bool {
        span.end - span.start <= RUN_BYTES_MAX && self.place.is_in_one_slot(span)
    }

    fn prefetch_range(&self, wanted: &Range<u64>) {
        for segment in self.place.segments(self.pages_around(wanted)) {
            segment.slot.prefetch(segment.slot_start, segment.payload.end - segment.payload.start);
        }
    }
}

impl Payload for Stored {
    fn read(&self, extents: &Extents, whole: Destination<'_>) -> Result<(), Error> {
        match extents {
            Extents::One(extent) => self.read_extent(*extent, whole),
            Extents::Many { requested, ascending } => self.read_many(requested, ascending, whole),
        }
    }

    fn read_cached(&self, extents: &Extents, whole: Destination<'_>) -> Result<bool, Error> {
        let requested = extents.requested();
        let mut reader = Reader::new(self, requested, whole)?;
        for run in self.runs(requested, extents.ascending()) {
            if !reader.read_run_cached(run)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn prefetch(&self, extents: &Extents) {
        for extent in extents.requested().iter().filter(|extent| extent.len_bytes > 0) {
            self.prefetch_range(&(extent.start..extent.end()));
        }
    }
}

/// Reads runs into the destinations of their extents.
struct Reader<'a, 'd> {
    payload: &'a Stored,
    requested: &'a [Extent],
    /// The destination of each extent, until it is used.
    parts: Vec<Option<Destination<'d>>>,
    /// Room for the pages of a short run; always empty, only its spare capacity is used.
    buffer: Vec<u8>,
}

impl<'a, 'd> Reader<'a, 'd> {
    /// A reader of `requested` into `whole`, which is as long as all of them together.
    fn new(payload: &'a Stored, requested: &'a [Extent], mut whole: Destination<'d>) -> Result<Self, Error> {
        let mut parts: Vec<Option<Destination<'d>>> = Vec::new();
        parts.try_reserve_exact(requested.len())?;
        parts.extend(requested.iter().map(|extent| Some(whole.split_front(units::to_usize(extent.len_bytes)))));
        let mut buffer: Vec<u8> = Vec::new();
        buffer.try_reserve_exact(RUN_BUFFER)?;
        Ok(Self { payload, requested, parts, buffer })
    }

    /// Reads a short run if all of it is in memory; says whether it was.
    fn read_run_cached(&mut self, run: &[u32]) -> Result<bool, Error> {
        let span = span(self.requested, run);
        let Self { payload, requested, parts, buffer } = self;
        if !payload.is_short(&span) {
            return Ok(false);
        }
        let pages = payload.pages_around(&span);
        with_room(buffer, &pages, |mut all| {
            let segment = payload.place.segments(pages.clone()).next().expect("a run has bytes");
            if !segment.slot.read_cached(&mut all, segment.slot_start)? {
                return Ok(false);
            }
            payload.prove(pages.start, all.filled(), segment.slot)?;
            hand_out(requested, parts, run, pages.start, all.filled());
            Ok(true)
        })
    }

    /// Reads a run, waiting for the device where that is needed.
    fn read_run(&mut self, run: &[u32]) -> Result<(), Error> {
        let span = span(self.requested, run);
        let Self { payload, requested, parts, buffer } = self;
        if let ([only], false) = (run, payload.is_short(&span)) {
            return payload.read_extent(requested[units::index(*only)], take_part(parts, *only));
        }
        let pages = payload.pages_around(&span);
        with_room(buffer, &pages, |all| {
            let mut all = [all];
            payload.read_proven(&pages, &mut all)?;
            hand_out(requested, parts, run, pages.start, all[0].filled());
            Ok(())
        })
    }
}

/// The page at `byte_offset` of the payload, which lies in `slot`, is not what was written.
fn corrupt(byte_offset: u64, slot: &Slot) -> Error {
    Error::Corrupt { byte_offset, write_back_errno: slot.write_back_errno() }
}

/// Gives `read` the front of the buffer, as much as `pages` need.
fn with_room<R>(buffer: &mut Vec<u8>, pages: &Range<u64>, read: impl FnOnce(Destination<'_>) -> R) -> R {
    destination::with_buffer(&mut buffer.spare_capacity_mut()[..memory_len(pages.start, pages.end)], read)
}

/// Copies the extents of a run out of its bytes, which begin at `start`.
fn hand_out(requested: &[Extent], parts: &mut [Option<Destination<'_>>], run: &[u32], start: u64, bytes: &[u8]) {
    for &position in run {
        let extent = requested[units::index(position)];
        let first = units::to_usize(extent.start - start);
        take_part(parts, position).append(&bytes[first..][..units::to_usize(extent.len_bytes)]);
    }
}

fn take_part<'d>(parts: &mut [Option<Destination<'d>>], position: u32) -> Destination<'d> {
    parts[units::index(position)].take().expect("each extent is read once")
}

/// Whether an extent that ends at `end` and one that begins at `start` are read as one.
fn is_near(end: u64, start: u64) -> bool {
    units::round_down(start, PAGE_BYTES) <= end.next_multiple_of(PAGE_BYTES) + GAP_BYTES_MAX
}

/// The bytes from the beginning of a run's first extent to the end of its last.
fn span(requested: &[Extent], run: &[u32]) -> Range<u64> {
    let (first, last) = (run[0], run[run.len() - 1]);
    requested[units::index(first)].start..requested[units::index(last)].end()
}

/// Cuts ascending extents into runs: neighbours that are close and together short.
fn runs<'a>(
    requested: &'a [Extent],
    ascending: &'a [u32],
    is_short: impl Fn(&Range<u64>) -> bool,
) -> impl Iterator<Item = &'a [u32]> {
    let mut rest = ascending;
    std::iter::from_fn(move || {
        let (&first, _) = rest.split_first()?;
        let start = requested[units::index(first)].start;
        let mut end = requested[units::index(first)].end();
        let mut count = 1;
        while let Some(&next) = rest.get(count) {
            let next = requested[units::index(next)];
            if !is_near(end, next.start) || !is_short(&(start..next.end())) {
                break;
            }
            (end, count) = (next.end(), count + 1);
        }
        let (run, behind) = rest.split_at(count);
        rest = behind;
        Some(run)
    })
}

/// Bytes from `start` to `end`, as a length of memory.
fn memory_len(start: u64, end: u64) -> usize {
    units::to_usize(end - start)
}

/// Bytes between the end of a payload and the end of its last page.
fn padding_bytes(len_bytes: u64) -> usize {
    memory_len(len_bytes, len_bytes.next_multiple_of(PAGE_BYTES))
}

/// Lists `chunks` and the padding as the slices of a vectored write, without empty ones.
fn with_slices<'a, R>(
    chunks: impl ExactSizeIterator<Item = &'a [u8]>,
    padding: &'a [u8],
    write: impl FnOnce(&[IoSlice<'a>]) -> Result<R, Error>,
) -> Result<R, Error> {
    let count_max = chunks.len() + 1;
    let filled = chunks.chain([padding]).filter(|chunk| !chunk.is_empty()).map(IoSlice::new);
    if count_max <= FEW_SLICES {
        let mut slices = [IoSlice::new(&[]); FEW_SLICES];
        let mut count = 0;
        for slice in filled {
            slices[count] = slice;
            count += 1;
        }
        return write(&slices[..count]);
    }
    let mut slices = Vec::new();
    slices.try_reserve_exact(count_max)?;
    slices.extend(filled);
    write(&slices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(list: &[(u64, u64)]) -> Vec<Extent> {
        list.iter().map(|&(start, len_bytes)| Extent { start, len_bytes }).collect()
    }

    fn is_short(span: &Range<u64>) -> bool {
        span.end - span.start <= RUN_BYTES_MAX
    }

    #[test]
    fn close_extents_share_a_run_up_to_its_limit() {
        let requested = extents(&[(0, 8), (8, 8), (9000, 100), (20_500, 4096), (24_596, 20_000), (60_000, 200_000)]);
        let ascending: Vec<u32> = (0..6).collect();
        let runs: Vec<_> = runs(&requested, &ascending, is_short).collect();
        assert_eq!(runs, [&[0, 1, 2][..], &[3, 4], &[5]], "8,192 - 4,096 is near, 20,480 - 12,288 is not");
        assert_eq!(span(&requested, runs[1]), 20_500..44_596);
    }

    #[test]
    fn runs_end_where_a_slot_ends() {
        let slot_bytes = 1 << 20;
        let requested = extents(&[(slot_bytes - 8, 8), (slot_bytes, 8)]);
        let in_one_slot = |span: &Range<u64>| span.start / slot_bytes == (span.end - 1) / slot_bytes;
        let runs: Vec<_> = runs(&requested, &[0, 1], in_one_slot).collect();
        assert_eq!(runs, [&[0][..], &[1]]);
    }

    #[test]
    fn padding_completes_the_last_page() {
        assert_eq!([1, 4095, 4096, 4097].map(padding_bytes), [4095, 1, 0, 4095]);
    }
}
