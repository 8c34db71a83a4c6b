//! One extent, read straight into its destination. Its first and its last page come by way of the stack if only a part of them
//! is wanted; for each slot it is one system call all the same.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::extents::Extent;
use super::pages::{Pages, Source};
use crate::block::PAGE_BYTES;
use crate::error::Error;
use crate::store::Segment;
use crate::sys::{Destination, destination};
use crate::units;

const PAGE: usize = units::to_usize(PAGE_BYTES);

/// Fills `into`, which is as long as `extent`, with its bytes. Says whether they came; from the device they always do.
///
/// # Errors
/// What kept the bytes from being read whole and verified.
pub(super) fn read(payload: Pages<'_>, extent: Extent, mut into: Destination<'_>, source: Source) -> Result<bool, Error> {
    for wanted in payload.segments(extent.range()) {
        let part = into.split_front(memory_len(wanted.payload.start, wanted.payload.end));
        if !read_in_slot(payload, &wanted, part, source)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads bytes that lie in one slot.
fn read_in_slot<'a>(payload: Pages<'a>, wanted: &Segment<'a>, mut into: Destination<'_>, source: Source) -> Result<bool, Error> {
    let segment = payload.around(wanted);
    let (wanted, pages) = (&wanted.payload, &segment.payload);
    if pages == wanted {
        return payload.fetch(&segment, &mut [into], source);
    }
    let middle = middle(wanted, pages);
    if middle.is_empty() {
        return read_ends(payload, &segment, wanted, into, source);
    }
    let mut head_page = [MaybeUninit::uninit(); PAGE];
    let mut tail_page = [MaybeUninit::uninit(); PAGE];
    destination::with_buffer(&mut head_page[..memory_len(pages.start, middle.start)], |head| {
        destination::with_buffer(&mut tail_page[..memory_len(middle.end, pages.end)], |tail| {
            let head_wanted = memory_len(wanted.start, middle.start);
            let mut head_into = into.split_front(head_wanted);
            let middle_into = into.split_front(memory_len(middle.start, middle.end));
            let mut parts = [head, middle_into, tail];
            if !payload.fetch(&segment, &mut parts, source)? {
                return Ok(false);
            }
            let [head, _, tail] = parts;
            head_into.append(&head.filled()[memory_len(pages.start, wanted.start)..][..head_wanted]);
            into.append(&tail.filled()[..into.remaining_bytes()]);
            Ok(true)
        })
    })
}

/// As [`read_in_slot`], of the one or two pages of which only a part is wanted. Both are fetched into one piece of memory, which
/// costs the kernel less than two.
fn read_ends(
    payload: Pages<'_>,
    pages: &Segment<'_>,
    wanted: &Range<u64>,
    mut into: Destination<'_>,
    source: Source,
) -> Result<bool, Error> {
    let before_bytes = memory_len(pages.payload.start, wanted.start);
    let mut both = [MaybeUninit::uninit(); 2 * PAGE];
    destination::with_buffer(&mut both[..memory_len(pages.payload.start, pages.payload.end)], |all| {
        let mut parts = [all];
        if !payload.fetch(pages, &mut parts, source)? {
            return Ok(false);
        }
        into.append(&parts[0].filled()[before_bytes..][..into.remaining_bytes()]);
        Ok(true)
    })
}

/// The whole pages that go straight to the destination: what lies behind a first page and before a last page of which only a
/// part is wanted. `pages` are those around `wanted`, and not the same.
fn middle(wanted: &Range<u64>, pages: &Range<u64>) -> Range<u64> {
    let start = wanted.start.next_multiple_of(PAGE_BYTES).min(pages.end);
    if wanted.end == pages.end {
        return start..pages.end;
    }
    start..units::round_down(wanted.end, PAGE_BYTES).max(start)
}

/// Bytes from `start` to `end`, as a length of memory.
fn memory_len(start: u64, end: u64) -> usize {
    units::to_usize(end - start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_page_of_which_the_inside_is_wanted_is_a_head_alone() {
        assert_eq!(middle(&(5000..5010), &(4096..8192)), 8192..8192);
        assert_eq!((memory_len(4096, 8192), memory_len(8192, 8192)), (4096, 0));
        assert_eq!(middle(&(4100..4200), &(4096..4200)), 4200..4200, "the short end of a payload");
    }

    proptest! {
        /// Against a plain walk over the pages: each is wanted whole, or it is the first or the last one.
        #[test]
        fn the_middle_is_what_is_wanted_whole(payload_len in 1..40_000u64, start in any::<u64>(), len in any::<u64>()) {
            let start = start % payload_len;
            let wanted = start..start + 1 + len % (payload_len - start);
            let pages = units::round_down(wanted.start, PAGE_BYTES)..wanted.end.next_multiple_of(PAGE_BYTES).min(payload_len);
            prop_assume!(pages != wanted);
            let middle = middle(&wanted, &pages);
            for page_start in pages.clone().step_by(PAGE) {
                let page_end = pages.end.min(page_start + PAGE_BYTES);
                let is_whole = wanted.start <= page_start && page_end <= wanted.end;
                let is_direct = middle.start <= page_start && page_end <= middle.end;
                prop_assert_eq!(is_whole, is_direct, "{}..{} of {:?} in {:?}", page_start, page_end, wanted, pages);
            }
            prop_assert!(middle.start - pages.start <= PAGE_BYTES && pages.end - middle.end <= PAGE_BYTES);
        }
    }
}
