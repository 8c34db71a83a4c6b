//! The checks of ranges, before any I/O: within the payload, no overflow, no overlap.

use std::ops::{Bound, Range, RangeBounds};

use crate::error::Error;
use crate::payload::{Extent, Extents};
use crate::units;

/// A checked request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Elements of all ranges together.
    pub(super) elements: usize,
    /// The same as bytes.
    pub(super) extents: Extents,
}

impl Request {
    pub(super) fn len_bytes(&self) -> u64 {
        self.extents.requested().iter().map(|extent| extent.len_bytes).sum()
    }
}

/// A range of a payload of `payload_len` elements as (offset, length), which nobody has checked yet.
///
/// # Errors
/// [`Error::OutOfRange`] where it ends before it begins.
pub(super) fn offset_and_len(range: &impl RangeBounds<usize>, payload_len: usize) -> Result<(usize, usize), Error> {
    // Elements have bytes, so no payload has `usize::MAX` of them: what saturates here is past the end of each.
    let offset = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => payload_len.max(offset),
    };
    match end.checked_sub(offset) {
        Some(len) => Ok((offset, len)),
        None => Err(Error::OutOfRange { offset, len: 0, payload_len, inverted_end: Some(end) }),
    }
}

/// Several ranges as [`offset_and_len`] gives one.
///
/// # Errors
/// As there; out of memory for very many ranges.
pub(super) fn offsets_and_lens(ranges: &[Range<usize>], payload_len: usize) -> Result<Vec<(usize, usize)>, Error> {
    let mut all = Vec::new();
    all.try_reserve_exact(ranges.len())?;
    for range in ranges {
        all.push(offset_and_len(range, payload_len)?);
    }
    Ok(all)
}

/// Checks ranges of (offset, length) in elements of `element_bytes` against a payload of `payload_len` elements.
///
/// # Errors
/// [`Error::OutOfRange`] or [`Error::Overlap`]; out of memory for very many ranges.
pub(super) fn check(ranges: &[(usize, usize)], payload_len: usize, element_bytes: usize) -> Result<Request, Error> {
    let extent = |&(offset, len): &(usize, usize)| {
        let past_the_end = offset.checked_add(len).is_none_or(|end| end > payload_len);
        if past_the_end {
            return Err(Error::OutOfRange { offset, len, payload_len, inverted_end: None });
        }
        // The payload's bytes fit a u64, so those of a range within it do.
        Ok(Extent { start: units::to_u64(offset * element_bytes), len_bytes: units::to_u64(len * element_bytes) })
    };
    if let [only] = ranges {
        return Ok(Request { elements: only.1, extents: Extents::One(extent(only)?) });
    }
    let mut requested: Vec<Extent> = Vec::new();
    requested.try_reserve_exact(ranges.len())?;
    for range in ranges {
        let extent = extent(range)?;
        if extent.len_bytes > 0 {
            requested.push(extent);
        }
    }
    let ascending = ascending(&requested)?;
    if let Some(pair) = overlap(&requested, &ascending) {
        let [first, second] = pair.map(|extent| elements(extent, element_bytes));
        return Err(Error::Overlap { first, second });
    }
    // Disjoint ranges within the payload are together no longer than it.
    let elements = ranges.iter().map(|range| range.1).sum();
    Ok(Request { elements, extents: Extents::joined(requested, ascending)? })
}

/// Positions in `requested` by ascending start, of those with one start by length.
fn ascending(requested: &[Extent]) -> Result<Vec<u32>, Error> {
    let count = u32::try_from(requested.len()).map_err(|_| Error::out_of_memory())?;
    let mut ascending = Vec::new();
    ascending.try_reserve_exact(requested.len())?;
    ascending.extend(0..count);
    ascending.sort_unstable_by_key(|&position: &u32| {
        let extent = requested[units::index(position)];
        (extent.start, extent.len_bytes)
    });
    Ok(ascending)
}

/// The first two extents that share a byte, if any do.
fn overlap(requested: &[Extent], ascending: &[u32]) -> Option<[Extent; 2]> {
    let extent = |position: u32| requested[units::index(position)];
    let mut pairs = ascending.windows(2).map(|pair| [extent(pair[0]), extent(pair[1])]);
    pairs.find(|[first, second]| first.end() > second.start)
}

/// An extent as (offset, length) in elements.
fn elements(extent: Extent, element_bytes: usize) -> (usize, usize) {
    (units::to_usize(extent.start) / element_bytes, units::to_usize(extent.len_bytes) / element_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn many(requested: &[(u64, u64)], ascending: &[u32]) -> Extents {
        let requested = requested.iter().map(|&(start, len_bytes)| Extent { start, len_bytes }).collect();
        Extents::Many { requested, ascending: ascending.to_vec() }
    }

    #[test]
    fn ranges_keep_their_order_and_know_the_ascending_one() {
        let request = check(&[(10, 5), (0, 2), (7, 0)], 15, 8).expect("in range");
        assert_eq!(request, Request { elements: 7, extents: many(&[(80, 40), (0, 16)], &[1, 0]) });
    }

    #[test]
    fn ranges_that_follow_each_other_become_one() {
        let request = check(&[(2, 3), (5, 1), (6, 4)], 10, 4).expect("in range");
        assert_eq!(request.extents, Extents::One(Extent { start: 8, len_bytes: 32 }));
    }

    #[test]
    fn nothing_asked_for_is_an_empty_request() {
        for ranges in [&[][..], &[(3, 0)], &[(0, 0), (3, 0)]] {
            let request = check(ranges, 3, 8).expect("in range");
            assert_eq!((request.elements, request.len_bytes()), (0, 0));
        }
    }

    #[test]
    fn errors_name_the_range_and_the_payload() {
        let out_of_range = |ranges: &[(usize, usize)]| match check(ranges, 9, 8) {
            Err(Error::OutOfRange { offset, len, payload_len, inverted_end: None }) => (offset, len, payload_len),
            other => panic!("{other:?}"),
        };
        assert_eq!(out_of_range(&[(8, 2)]), (8, 2, 9));
        assert_eq!(out_of_range(&[(10, 0)]), (10, 0, 9));
        assert_eq!(out_of_range(&[(0, 1), (usize::MAX, 1)]), (usize::MAX, 1, 9));
        let overlap = check(&[(4, 4), (0, 5)], 9, 8).expect_err("element 4 twice");
        assert!(matches!(overlap, Error::Overlap { first: (0, 5), second: (4, 4) }), "{overlap:?}");
    }

    #[test]
    fn bounds_become_offset_and_length() {
        use Bound::{Excluded, Included, Unbounded};
        let resolved = |start, end| offset_and_len(&(start, end), 9).expect("it begins before it ends");
        assert_eq!(resolved(Unbounded, Unbounded), (0, 9));
        assert_eq!(resolved(Included(2), Excluded(5)), (2, 3));
        assert_eq!(resolved(Excluded(2), Included(5)), (3, 3));
        assert_eq!(resolved(Included(5), Excluded(5)), (5, 0));
        assert_eq!(resolved(Included(9), Unbounded), (9, 0));
        assert_eq!(offsets_and_lens(&[2..4, 0..0], 9).expect("memory"), [(2, 2), (0, 0)]);
    }

    #[test]
    fn bounds_that_no_payload_has_are_past_the_end() {
        use Bound::{Excluded, Included, Unbounded};
        const MAX: usize = usize::MAX;
        for bounds in [
            (Included(10), Unbounded),
            (Unbounded, Included(MAX)),
            (Included(3), Included(MAX)),
            (Excluded(MAX), Unbounded),
            (Excluded(MAX), Excluded(MAX)),
            (Included(MAX), Included(MAX)),
        ] {
            let range = offset_and_len(&bounds, 9).expect("it begins before it ends");
            assert!(matches!(check(&[range], 9, 8), Err(Error::OutOfRange { payload_len: 9, .. })), "{bounds:?}");
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_refused() {
        use Bound::{Excluded, Included};
        for (bounds, expected) in [
            ((Included(5), Excluded(3)), (5, 3)),
            ((Excluded(4), Included(3)), (5, 4)),
            ((Included(usize::MAX), Excluded(0)), (usize::MAX, 0)),
        ] {
            match offset_and_len(&bounds, 9) {
                Err(Error::OutOfRange { offset, len: 0, payload_len: 9, inverted_end: Some(end) }) => {
                    assert_eq!((offset, end), expected);
                }
                other => panic!("{bounds:?}: {other:?}"),
            }
        }
    }

    proptest! {
        /// Against a plain marking of each element: refused exactly when an element is missing or marked twice.
        #[test]
        fn agrees_with_marking_elements(payload_len in 0..40usize, ranges in proptest::collection::vec((0..45usize, 0..12usize), 0..8)) {
            let mut marks = vec![0; 64];
            let mut past_the_end = false;
            for &(offset, len) in &ranges {
                past_the_end |= offset + len > payload_len;
                marks[offset..offset + len].iter_mut().for_each(|mark| *mark += 1);
            }
            let twice = marks.iter().any(|&mark| mark > 1);
            match check(&ranges, payload_len, 2) {
                Ok(request) => {
                    prop_assert!(!past_the_end && !twice);
                    prop_assert_eq!(units::to_u64(request.elements) * 2, request.len_bytes());
                    let requested = request.extents.requested();
                    let bytes = requested.iter().flat_map(|extent| extent.start..extent.end());
                    let asked_for = ranges.iter().flat_map(|&(offset, len)| 2 * units::to_u64(offset)..2 * units::to_u64(offset + len));
                    prop_assert!(bytes.eq(asked_for), "in request order");
                    prop_assert!(requested.windows(2).all(|pair| pair[0].end() != pair[1].start), "neighbours are one");
                    let mut ascending: Vec<u32> = (0u32..).take(requested.len()).collect();
                    ascending.sort_by_key(|&position| requested[units::index(position)].start);
                    prop_assert_eq!(request.extents.ascending(), ascending);
                }
                Err(Error::OutOfRange { .. }) => prop_assert!(past_the_end),
                Err(Error::Overlap { .. }) => prop_assert!(twice && !past_the_end),
                Err(other) => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
