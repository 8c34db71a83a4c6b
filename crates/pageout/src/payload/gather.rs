//! Several extents of one payload: sorted, and merged into runs that are read with one system call each.
//!
//! Short runs of several extents come by way of a buffer, a single extent straight to its destination. What is in the page cache is read first; the rest is prefetched all at once, so that the
//! device works on all of it while the first run is waited for.

use std::ops::Range;

use super::extents::{Extent, Extents};
use super::pages::{Pages, Source};
use super::range;
use crate::block::PAGE_BYTES;
use crate::error::Error;
use crate::sys::{Destination, destination};
use crate::units::{self, KIB};

/// Extents with at most this much between their pages are read as one: reading a page that nobody wants costs less than a
/// system call.
const GAP_BYTES_MAX: u64 = PAGE_BYTES;
/// The longest run of several extents, which is read by way of a buffer; beyond, copying costs more than another system call.
const RUN_BYTES_MAX: u64 = 64 * KIB;
/// A run, and the pages it begins and ends in.
const BUFFER_BYTES: usize = units::to_usize(RUN_BYTES_MAX + 2 * PAGE_BYTES);

/// A payload of which extents are read in runs.
pub(super) trait Runs: Copy {
    /// Whether an extent that ends at `end` and one that begins at `start` are read as one.
    fn is_near(self, end: u64, start: u64) -> bool;

    /// Whether a span, which is not empty, is read with one call.
    fn is_in_one_slot(self, span: &Range<u64>) -> bool;

    /// Fills `into`, which is as long as `extent`, with its bytes. Says whether they came; from the device they always do.
    ///
    /// # Errors
    /// What kept the bytes from being read whole and verified.
    fn read(self, extent: Extent, into: Destination<'_>, source: Source) -> Result<bool, Error>;

    /// Calls `use_it` with bytes that hold those of `span`, which is in one slot, in order, and where in the payload they begin; by way
    /// of `buffer`, which is always empty. Says whether they came.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_around(
        self,
        span: &Range<u64>,
        buffer: &mut Vec<u8>,
        source: Source,
        use_it: impl FnMut(u64, &[u8]),
    ) -> Result<bool, Error>;

    /// Starts bringing all that is `wanted` into memory.
    fn prefetch(self, wanted: impl Iterator<Item = Range<u64>>);
}

impl Runs for Pages<'_> {
    fn is_near(self, end: u64, start: u64) -> bool {
        are_near_pages(end, start)
    }

    fn is_in_one_slot(self, span: &Range<u64>) -> bool {
        self.is_in_one_slot(span)
    }

    fn read(self, extent: Extent, into: Destination<'_>, source: Source) -> Result<bool, Error> {
        range::read(self, extent, into, source)
    }

    fn read_around(
        self,
        span: &Range<u64>,
        buffer: &mut Vec<u8>,
        source: Source,
        mut use_it: impl FnMut(u64, &[u8]),
    ) -> Result<bool, Error> {
        let wanted = self.segments(span.clone()).next().expect("a run has bytes");
        let pages = self.around(&wanted);
        let Range { start, end } = pages.payload;
        buffer.try_reserve_exact(BUFFER_BYTES)?;
        let room = &mut buffer.spare_capacity_mut()[..units::to_usize(end - start)];
        destination::with_buffer(room, |all| {
            let mut all = [all];
            let is_complete = self.fetch(&pages, &mut all, source)?;
            if is_complete {
                use_it(start, all[0].filled());
            }
            Ok(is_complete)
        })
    }

    fn prefetch(self, wanted: impl Iterator<Item = Range<u64>>) {
        self.prefetch(wanted);
    }
}

/// Fills `whole` with the extents in request order: first the runs that are in the page cache, then the others.
///
/// # Errors
/// What kept the bytes from being read whole and verified.
pub(super) fn read(payload: impl Runs, extents: &Extents, whole: Destination<'_>) -> Result<(), Error> {
    let mut reader = Reader::new(payload, extents.requested(), whole)?;
    let mut missed: Vec<ReadRun<'_>> = Vec::new();
    for run in runs(extents, payload) {
        if !reader.read(&run, Source::PageCache)? {
            missed.try_reserve(1)?;
            missed.push(run);
        }
    }
    // What is read next is not prefetched: the read itself brings it, in larger pages.
    payload.prefetch(missed.iter().skip(1).map(|run| run.span.clone()));
    for run in &missed {
        reader.read(run, Source::Device)?;
    }
    Ok(())
}

/// As [`read`], if all runs are short and in the page cache; says whether they are.
///
/// # Errors
/// As [`read`].
pub(super) fn read_cached(payload: impl Runs, extents: &Extents, whole: Destination<'_>) -> Result<bool, Error> {
    let mut reader = Reader::new(payload, extents.requested(), whole)?;
    for run in runs(extents, payload) {
        if !reader.read(&run, Source::PageCache)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Extents that are read together: several that are close and together short, or a single one of any length.
#[derive(Debug, PartialEq, Eq)]
struct ReadRun<'a> {
    /// Positions of the extents in the request, by ascending start.
    positions: &'a [u32],
    /// The bytes from the start of the first to the end of the last.
    span: Range<u64>,
}

/// Cuts the extents into runs, by ascending start.
fn runs<R: Runs>(extents: &Extents, payload: R) -> impl Iterator<Item = ReadRun<'_>> {
    let (requested, mut rest) = (extents.requested(), extents.ascending());
    std::iter::from_fn(move || {
        let mut span = requested[units::index(*rest.first()?)].range();
        let mut count = 1;
        while let Some(&next) = rest.get(count) {
            let next = requested[units::index(next)];
            if !payload.is_near(span.end, next.start) || !is_short(payload, &(span.start..next.end())) {
                break;
            }
            (span.end, count) = (next.end(), count + 1);
        }
        let (positions, behind) = rest.split_at(count);
        rest = behind;
        Some(ReadRun { positions, span })
    })
}

/// Whether the pages of an extent that ends at `end` and of one that begins at `start` are close.
pub(super) fn are_near_pages(end: u64, start: u64) -> bool {
    units::round_down(start, PAGE_BYTES) <= end.next_multiple_of(PAGE_BYTES) + GAP_BYTES_MAX
}

/// Whether a span fits the buffer, and is read with one call: short, and in one slot.
fn is_short(payload: impl Runs, span: &Range<u64>) -> bool {
    span.end - span.start <= RUN_BYTES_MAX && payload.is_in_one_slot(span)
}

/// Reads runs into the destinations of their extents.
struct Reader<'a, 'd, R> {
    payload: R,
    requested: &'a [Extent],
    /// The destination of each extent.
    parts: Vec<Destination<'d>>,
    /// See [`Runs::read_around`].
    buffer: Vec<u8>,
}

impl<'a, 'd, R: Runs> Reader<'a, 'd, R> {
    /// A reader of `requested` into `whole`, which is as long as all of them together.
    fn new(payload: R, requested: &'a [Extent], mut whole: Destination<'d>) -> Result<Self, Error> {
        let mut parts: Vec<Destination<'d>> = Vec::new();
        parts.try_reserve_exact(requested.len())?;
        parts.extend(requested.iter().map(|extent| whole.split_front(units::to_usize(extent.len_bytes))));
        Ok(Self { payload, requested, parts, buffer: Vec::new() })
    }

    /// Reads a run; says whether its bytes came. A long one is not tried from the page cache: much of it might be read in vain.
    fn read(&mut self, run: &ReadRun<'_>, source: Source) -> Result<bool, Error> {
        if source == Source::PageCache && run.span.end - run.span.start > RUN_BYTES_MAX {
            return Ok(false);
        }
        match run.positions {
            &[only] => self.read_alone(only, source),
            _ => self.read_together(run, source),
        }
    }

    /// Reads a single extent, straight into its destination.
    fn read_alone(&mut self, position: u32, source: Source) -> Result<bool, Error> {
        let (payload, extent) = (self.payload, self.requested[units::index(position)]);
        self.parts[units::index(position)].try_fill(|into| payload.read(extent, into, source))
    }

    /// Reads several extents by way of the buffer.
    fn read_together(&mut self, run: &ReadRun<'_>, source: Source) -> Result<bool, Error> {
        let Self { payload, requested, parts, buffer } = self;
        payload.read_around(&run.span, buffer, source, |start, bytes| hand_out(requested, parts, run.positions, start, bytes))
    }
}

/// Copies what the extents of a run have of its bytes, which begin at `start`.
fn hand_out(requested: &[Extent], parts: &mut [Destination<'_>], positions: &[u32], start: u64, bytes: &[u8]) {
    let end = start + units::to_u64(bytes.len());
    for position in positions.iter().copied().map(units::index) {
        let extent = requested[position];
        let (first, last) = (extent.start.max(start), extent.end().min(end));
        if first < last {
            parts[position].append(&bytes[units::to_usize(first - start)..units::to_usize(last - start)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::block::Proof;
    use crate::store::Place;

    fn extents(list: &[(u64, u64)]) -> Extents {
        let requested: Vec<_> = list.iter().map(|&(start, len_bytes)| Extent { start, len_bytes }).collect();
        let mut ascending: Vec<u32> = (0u32..).take(list.len()).collect();
        ascending.sort_by_key(|&position| requested[units::index(position)].start);
        Extents::Many { requested, ascending }
    }

    /// The plan for a payload in slots of `slot_bytes`.
    fn planned(extents: &Extents, slot_bytes: u64) -> Vec<Vec<u32>> {
        planned_runs(extents, slot_bytes, |run| run.positions.to_vec())
    }

    fn planned_runs<T>(extents: &Extents, slot_bytes: u64, look: impl Fn(ReadRun<'_>) -> T) -> Vec<T> {
        let piece_bytes = u32::try_from(slot_bytes).expect("no more than the largest slot has");
        let place = Place::of_pieces(Vec::new(), piece_bytes);
        let payload = Pages::new(&place, &Proof::NONE, u64::MAX);
        runs(extents, payload).map(look).collect()
    }

    /// The plan by plain lists: an extent joins the run before it unless two pages or more, which nobody wants, lie between
    /// them, or the run would become too long, or reach into another slot.
    fn naive(list: &[(u64, u64)], slot_bytes: u64) -> Vec<Vec<u32>> {
        let mut sorted: Vec<(u64, u64, u32)> = (0u32..).zip(list).map(|(at, &(start, len))| (start, len, at)).collect();
        sorted.sort_unstable();
        let mut runs: Vec<Vec<(u64, u64, u32)>> = Vec::new();
        for next in sorted {
            let joins = runs.last().is_some_and(|run| {
                let (first, newest) = (run[0], run[run.len() - 1]);
                let last_byte = newest.0 + newest.1 - 1;
                let pages_between = (next.0 / PAGE_BYTES).saturating_sub(last_byte / PAGE_BYTES + 1);
                let end = next.0 + next.1;
                pages_between <= 1 && end - first.0 <= 65_536 && first.0 / slot_bytes == (end - 1) / slot_bytes
            });
            match runs.last_mut().filter(|_| joins) {
                Some(run) => run.push(next),
                None => runs.push(vec![next]),
            }
        }
        runs.into_iter().map(|run| run.into_iter().map(|extent| extent.2).collect()).collect()
    }

    #[test]
    fn close_extents_share_a_run_up_to_its_limit() {
        let extents = extents(&[(0, 8), (8, 8), (9000, 100), (20_500, 4096), (24_596, 20_000), (60_000, 200_000)]);
        let plan = planned(&extents, 1 << 20);
        assert_eq!(plan, [&[0, 1, 2][..], &[3, 4], &[5]], "8,192 - 4,096 is near, 20,480 - 12,288 is not");
        assert_eq!(planned_runs(&extents, 1 << 20, |run| run.span), [0..9_100, 20_500..44_596, 60_000..260_000]);
    }

    #[test]
    fn runs_end_where_a_slot_ends() {
        let slot_bytes = 1 << 20;
        let extents = extents(&[(slot_bytes - 8, 8), (slot_bytes, 8)]);
        assert_eq!(planned(&extents, slot_bytes), [[0], [1]]);
    }

    #[test]
    fn the_buffer_has_whole_pages_those_of_the_longest_run() {
        let pages_of = |start: u64| units::round_down(start, PAGE_BYTES)..(start + RUN_BYTES_MAX).next_multiple_of(PAGE_BYTES);
        let longest = (0..PAGE_BYTES).map(|start| pages_of(start).end - pages_of(start).start).max();
        assert!(longest.is_some_and(|len_bytes| units::to_usize(len_bytes) <= BUFFER_BYTES));
        assert!(BUFFER_BYTES.is_multiple_of(4096) && BUFFER_BYTES <= 80 * 1024);
    }

    #[test]
    fn each_extent_of_a_run_gets_its_bytes() {
        let requested = [(108, 2), (900, 4), (103, 3)].map(|(start, len_bytes)| Extent { start, len_bytes });
        let mut target = [0; 9];
        let filled = destination::overwrite::<u8, ()>(&mut target, |mut whole| {
            let mut parts = requested.map(|extent| whole.split_front(units::to_usize(extent.len_bytes)));
            hand_out(&requested, &mut parts, &[2, 0], 100, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
            assert_eq!(parts.each_ref().map(Destination::remaining_bytes), [0, 4, 0], "the other one is not of the run");
            parts[1].append(&[90, 91, 92, 93]);
            Ok(())
        });
        assert_eq!((filled, target), (Ok(()), [8, 9, 90, 91, 92, 93, 3, 4, 5]));
    }

    proptest! {
        #[test]
        fn the_plan_agrees_with_the_naive_one(
            gaps_and_lens in proptest::collection::vec((0..14_000u64, prop_oneof![1..9_000u64, 1..150_000u64]), 2..24),
            keys in proptest::collection::vec(any::<u32>(), 24),
            slot_pages in prop_oneof![1..40u64, Just(1 << 14)],
        ) {
            let mut end = 0;
            let mut keyed: Vec<(u32, (u64, u64))> = Vec::new();
            for (key, (gap, len)) in keys.into_iter().zip(gaps_and_lens) {
                keyed.push((key, (end + gap, len)));
                end += gap + len;
            }
            keyed.sort_unstable();
            let list: Vec<(u64, u64)> = keyed.into_iter().map(|(_, extent)| extent).collect();
            let slot_bytes = slot_pages * PAGE_BYTES;
            prop_assert_eq!(planned(&extents(&list), slot_bytes), naive(&list, slot_bytes));
        }
    }
}
