//! Reads of ranges: which are right, what they bring, which are refused and how.

use std::io::ErrorKind;

use bytemuck::Pod;
use pageout::{Backend, Error, Pager};
use pageout_testing::faulty::{Call, Disk};
use pageout_testing::{
    BACKENDS, LARGEST_SLOT, PAGE, Setup, assert_same, cut, elements, gather, memory, on_every_pager, slot_bytes, u64_of,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[test]
fn ranges_across_the_borders_of_slots_come_back() {
    let border = LARGEST_SLOT / size_of::<u64>();
    let whole = elements::<u64>(2 * border + 777, 8);
    let pager = Setup::Native.pager();
    let mut chunks = cut(&whole, &[border - 3, 1, 1, 1, border]);
    let handle = pager.pageout(&mut chunks).expect("a pageout");
    assert_eq!(pager.stats().used_bytes, slot_bytes(size_of_val(&whole[..])));
    let lists: [&[(usize, usize)]; 5] = [
        &[(border - 1, 2)],
        &[(border - 600, 1200)],
        &[(border, 1), (border - 1, 1)],
        &[(2 * border - 5, 10), (0, 3), (border - 1, 2), (2 * border + 776, 1)],
        &[(border - 100_000, 200_000), (2 * border - 9000, 9000), (2 * border, 777), (17, 1)],
    ];
    for ranges in lists {
        let mut dst = Vec::new();
        pager.read_at_many(&handle, ranges, &mut dst).expect("a read");
        assert_same(&dst, &gather(&whole, ranges));
    }
    pager.prefetch(&handle, &[(border - 1, 2), (0, 1)]).expect("a hint");
    let mut all = Vec::new();
    pager.take(handle, &mut all).expect("a take");
    assert_same(&all, &whole);
    assert_eq!(pager.stats().used_bytes, 0);
}

#[test]
fn ranges_come_back_in_request_order() {
    let whole = elements::<u64>(10_000, 3);
    let lists: [&[(usize, usize)]; 9] = [
        &[],
        &[(10_000, 0)],
        &[(0, 10_000)],
        &[(9_999, 1), (0, 1), (5_000, 1)],
        &[(100, 50), (50, 50), (0, 50)],
        &[(0, 50), (50, 50), (100, 50), (9_000, 1_000)],
        &[(0, 0), (30, 10), (35, 0), (40, 0), (10_000, 0), (30, 0), (40, 10)],
        &[(7_000, 2_999), (0, 3_000), (3_001, 3_000)],
        &[(511, 2), (1_535, 2), (513, 510), (1_025, 510)],
    ];
    on_every_pager(|pager, backend| {
        let handle = pager.pageout_with(backend, &mut cut(&whole, &[1, 600, 0, 5_000])).expect("a pageout");
        for ranges in lists {
            let mut dst = elements::<u64>(2, 4);
            pager.read_at_many(&handle, ranges, &mut dst).expect("a read");
            assert_same(&dst, &[elements::<u64>(2, 4), gather(&whole, ranges)].concat());
            let mut target = elements::<u64>(gather(&whole, ranges).len(), 5);
            pager.read_into(&handle, ranges, &mut target).expect("a read");
            assert_same(&target, &gather(&whole, ranges));
            pager.prefetch(&handle, ranges).expect("a hint");
        }
    });
}

#[test]
fn a_thousand_ranges_in_random_order_come_back() {
    for step in [13, 700, 9_000] {
        let whole = elements::<u8>(1000 * step, 6);
        let mut order: Vec<usize> = (0..1000).collect();
        order.sort_by_key(|position| position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16);
        let ranges: Vec<_> = order.iter().map(|&position| (position * step, position % (step + 1))).collect();
        on_every_pager(|pager, backend| {
            let handle = pager.pageout_with(backend, &mut cut(&whole, &[step * 300 + 1])).expect("a pageout");
            let mut dst = Vec::new();
            pager.read_at_many(&handle, &ranges, &mut dst).expect("a read");
            assert_same(&dst, &gather(&whole, &ranges));
        });
    }
}

/// Ranges that do not overlap, in any order: some of whole pages, many close to each other, around one place of a payload.
fn close_ranges(payload_len: usize, places: &'static [usize]) -> impl Strategy<Value = Vec<(usize, usize)>> {
    let gap = prop_oneof![3 => Just(0), 3 => 1..3 * PAGE, 1 => 1..200_000usize];
    let len = prop_oneof![1 => Just(0), 3 => Just(PAGE), 4 => 1..3 * PAGE, 1 => 1..150_000usize];
    let lists = proptest::collection::vec((gap, len), 1..24);
    (lists, proptest::sample::select(places), 0..4 * PAGE, any::<bool>()).prop_flat_map(
        move |(list, place, before, are_pages)| {
            let whole = |at: usize| if are_pages { at.next_multiple_of(PAGE) } else { at };
            let mut end = whole(place.saturating_sub(before));
            let mut ranges = Vec::new();
            for (gap, len) in list {
                let offset = (end + whole(gap)).min(payload_len);
                end = (offset + whole(len)).min(payload_len);
                ranges.push((offset, end - offset));
            }
            Just(ranges).prop_shuffle()
        },
    )
}

/// Against plain slices, over a payload in three slots with a short last page, of which some is in memory and some is wrong.
#[test]
#[cfg_attr(miri, ignore = "8 MiB are too long for an interpreter")]
fn random_ranges_come_back_or_name_a_wrong_page() {
    const PIECE: usize = 4 << 20;
    const LEN: usize = 2 * PIECE + 3 * PAGE + 777;
    const PLACES: [usize; 5] = [0, PIECE / 2, PIECE, 2 * PIECE, LEN];
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u8>(LEN, 11);
    let mut collector = pager.collector();
    collector.append(&whole).expect("an append");
    let handle = collector.finish().expect("a finish");
    let writes: Vec<_> = disk.log().into_iter().filter(|entry| entry.call == Call::Write && entry.len_bytes > 8192).collect();
    assert_eq!(writes.len(), 3, "a slot for each piece");
    let flip = |at: usize| disk.flip(writes[at / PIECE].file, writes[at / PIECE].offset + u64_of(at % PIECE));
    let cold_from = prop_oneof![Just(u64::MAX), Just(0), 0..u64_of(PIECE)];
    let damage = proptest::collection::vec(0..LEN, 0..3);
    let strategy = (close_ranges(LEN, &PLACES), cold_from, damage, 0..LEN);
    let outcome = TestRunner::default().run(&strategy, |(ranges, cold_from, mut damage, near)| {
        // A place that is read, more often than not.
        damage.extend(
            ranges.iter().filter(|range| range.1 > 0 && near % 3 > 0).map(|range| range.0 + near % range.1).take(near % 2),
        );
        damage.sort_unstable();
        damage.dedup();
        damage.iter().copied().for_each(flip);
        disk.set_cold_from(cold_from);
        let mut dst = vec![7];
        let read = pager.read_at_many(&handle, &ranges, &mut dst);
        disk.set_cold_from(u64::MAX);
        damage.iter().copied().for_each(flip);
        let is_wrong = |page: usize| damage.iter().any(|at| at / PAGE == page);
        let must_fail = ranges
            .iter()
            .filter(|range| range.1 > 0)
            .any(|&(offset, len)| (offset / PAGE..=(offset + len - 1) / PAGE).any(is_wrong));
        match read {
            Ok(()) => {
                prop_assert!(!must_fail, "a wrong page was not noticed");
                prop_assert!(dst[1..] == gather(&whole, &ranges)[..]);
            }
            Err(Error::Corrupt { byte_offset, .. }) => {
                let page = usize::try_from(byte_offset).expect("within the payload") / PAGE;
                prop_assert!(byte_offset % u64_of(PAGE) == 0 && is_wrong(page));
                // Between ranges that are close a page is read that nobody wants.
                let lies_near = |&(offset, len): &(usize, usize)| {
                    len > 0 && offset / PAGE <= page + 1 && page <= (offset + len - 1) / PAGE + 1
                };
                prop_assert!(ranges.iter().any(lies_near));
                prop_assert!(dst == [7], "nothing is appended");
            }
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Says whether an error is the right one.
type Expected = fn(&Error) -> bool;

/// Ranges that must be refused for a payload of 1,000 elements, and what must be said.
fn wrong_ranges() -> Vec<(Vec<(usize, usize)>, Expected)> {
    let past: Expected = |error| matches!(error, Error::OutOfRange { payload_len: 1000, .. });
    let overlap: Expected = |error| matches!(error, Error::Overlap { .. });
    vec![
        (vec![(1000, 1)], past),
        (vec![(1001, 0)], past),
        (vec![(0, 1001)], past),
        (vec![(999, 2)], past),
        (vec![(usize::MAX, 0)], past),
        (vec![(usize::MAX, 1)], past),
        (vec![(1, usize::MAX)], past),
        (vec![(usize::MAX, usize::MAX)], past),
        // The element count is no overflow, the byte count is.
        (vec![(usize::MAX / 8 + 1, 1)], past),
        (vec![(0, usize::MAX / 8 + 1)], past),
        (vec![(1 << 61, 0)], past),
        (vec![(0, 10), (1000, 1)], past),
        (vec![(1001, 0), (0, 10)], past),
        (vec![(0, 10), (usize::MAX, 2), (20, 5)], past),
        (vec![(0, 10), (9, 1)], overlap),
        (vec![(9, 2), (0, 10)], overlap),
        (vec![(5, 5), (5, 5)], overlap),
        (vec![(0, 1000), (500, 1)], overlap),
        (vec![(500, 1), (0, 1000)], overlap),
        (vec![(0, 10), (20, 10), (40, 10), (25, 1)], overlap),
        (vec![(0, 10), (3, 0), (5, 5)], overlap),
    ]
}

#[test]
fn wrong_ranges_are_refused_before_any_call_and_change_nothing() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u64>(1000, 2);
    for backend in BACKENDS {
        let handle = pager.pageout_with(backend, &mut cut(&whole, &[400])).expect("a pageout");
        let before = pager.stats();
        disk.forget();
        for (ranges, is_right) in wrong_ranges() {
            let mut dst = Vec::with_capacity(2000);
            dst.extend([1u64, 2, 3]);
            let kept = memory(&dst);
            let error = pager.read_at_many(&handle, &ranges, &mut dst).expect_err("a wrong range");
            assert!(is_right(&error), "{ranges:?}: {error:?}");
            assert!(error.is_usage_error() && error.kind() == ErrorKind::InvalidInput, "{error:?}");
            if let [(offset, len)] = ranges[..] {
                pager.read_at(&handle, offset, len, &mut dst).expect_err("a wrong range");
                let text = error.to_string();
                assert!([offset, len, 1000].iter().all(|number| text.contains(&number.to_string())), "{text}");
            }
            assert_eq!(memory(&dst), kept, "{ranges:?}");
            let mut target = [9u64; 10];
            pager.read_into(&handle, &ranges, &mut target).expect_err("a wrong range");
            assert_eq!(target, [9; 10]);
            pager.prefetch(&handle, &ranges).expect_err("a wrong range");
        }
        assert_eq!(disk.log(), [], "nothing was read");
        let mut after = pager.stats();
        after.swap_free_bytes = before.swap_free_bytes;
        assert_eq!(after, before);
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("the handle is as good as before");
        assert_same(&all, &whole);
    }
}

#[test]
fn a_range_whose_bytes_overflow_is_refused_whatever_the_element() {
    fn check<T: Pod>(pager: &Pager, backend: Backend) {
        let handle = pager.pageout_with(backend, &mut [elements::<T>(50, 1)]).expect("a pageout");
        let most = usize::MAX / size_of::<T>();
        for range in [(most, 1), (most.saturating_add(1), 0), (1, most), (50, usize::MAX - 50), (most, most)] {
            let mut dst = Vec::new();
            let error = pager.read_at_many(&handle, &[(0, 1), range], &mut dst).expect_err("past the end");
            assert!(matches!(error, Error::OutOfRange { payload_len: 50, .. }), "{error:?}");
        }
    }
    on_every_pager(|pager, backend| {
        check::<u8>(pager, backend);
        check::<u16>(pager, backend);
        check::<u128>(pager, backend);
        check::<[u8; 3]>(pager, backend);
    });
}

#[test]
fn a_target_of_another_length_is_refused() {
    on_every_pager(|pager, backend| {
        let handle = pager.pageout_with(backend, &mut [elements::<u64>(50, 1)]).expect("a pageout");
        for wrong in [0, 9, 11] {
            let mut target = vec![3u64; wrong];
            let error = pager.read_into(&handle, &[(5, 4), (20, 6)], &mut target).expect_err("another length");
            assert!(matches!(error, Error::TargetLength { expected: 10, actual, .. } if actual == wrong), "{error:?}");
            assert_eq!((error.code(), target), ("ERR_OUT_OF_RANGE", vec![3; wrong]));
        }
    });
}
