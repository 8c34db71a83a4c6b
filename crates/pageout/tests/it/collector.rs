//! Payloads that are collected from chunks: they are what was appended, in pieces that nobody sees.

use bytemuck::Pod;
use pageout::{Backend, Collector, Error, Handle, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{KIB, MIB, Setup, assert_same, builder, elements, gather, scratch, slot_bytes, u64_of};
use proptest::prelude::*;

/// What a collector puts out at a time.
const PIECE: usize = 4 * MIB;

/// Appends `whole` in chunks of `chunk_len` elements.
fn append<T: Pod>(collector: &mut Collector<T>, whole: &[T], chunk_len: usize) {
    for chunk in whole.chunks(chunk_len) {
        collector.append(chunk).expect("an append without a fault");
    }
}

fn collected<T: Pod>(pager: &Pager, whole: &[T], chunk_len: usize) -> Handle<T> {
    let mut collector = pager.collector();
    append(&mut collector, whole, chunk_len);
    assert_eq!(collector.len_bytes(), u64_of(size_of_val(whole)));
    collector.finish().expect("a finish without a fault")
}

#[track_caller]
fn assert_comes_back<T: Pod>(pager: &Pager, handle: Handle<T>, whole: &[T]) {
    let mut all = Vec::new();
    pager.take(handle, &mut all).expect("a take without a fault");
    assert_same(&all, whole);
}

#[test]
fn what_was_appended_comes_back_whatever_the_lengths() {
    for setup in Setup::ALL {
        let pager = setup.pager();
        for len_bytes in [1, 4_096, 4_097, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 70_001] {
            for chunk_len in [64 * KIB, PIECE - 8, PIECE, 3 * PIECE] {
                let whole = elements::<u8>(len_bytes, 3);
                let handle = collected(&pager, &whole, chunk_len);
                assert_eq!((handle.len(), handle.backend()), (len_bytes, Backend::File));
                assert_comes_back(&pager, handle, &whole);
            }
        }
        let stats = pager.stats();
        assert_eq!((stats.used_bytes, stats.handles, stats.pageouts, stats.takes), (0, 0, 32, 32));
    }
}

#[test]
fn elements_may_straddle_pieces() {
    let pager = Setup::Native.pager();
    let whole = elements::<[u8; 3]>(PIECE / 2, 5);
    let handle = collected(&pager, &whole, 1_000);
    let ranges = [(PIECE / 3, 1), (0, 2), (PIECE / 3 - 1_000, 999)];
    let mut some = Vec::new();
    pager.read_at_many(&handle, &ranges, &mut some).expect("a read without a fault");
    assert_same(&some, &gather(&whole, &ranges));
    assert_comes_back(&pager, handle, &whole);
}

#[test]
fn nothing_appended_is_a_payload_without_bytes_and_no_call() {
    let disk = Disk::new();
    let pager = disk.pager();
    disk.forget();
    let mut collector = pager.collector::<u64>();
    collector.append(&[]).expect("nothing to do");
    assert!(collector.finish().expect("nothing to do").is_empty());
    assert!(disk.calls().is_empty());
}

#[test]
fn a_collector_can_be_used_again_and_frees_what_it_holds_when_it_is_dropped() {
    let scratch = scratch();
    let pager = builder(scratch.path()).build().expect("a pager");
    let mut collector = pager.collector();
    let (first, second) = (elements::<u64>(PIECE / 8 + 5, 1), elements::<u64>(77, 2));
    append(&mut collector, &first, 1_000);
    let handle = collector.finish().expect("a finish without a fault");
    append(&mut collector, &second, 7);
    let other = collector.finish().expect("a finish without a fault");
    assert_comes_back(&pager, handle, &first);
    assert_comes_back(&pager, other, &second);
    append(&mut collector, &first, 100_000);
    assert_eq!(pager.stats().used_bytes, u64_of(PIECE));
    drop(collector);
    assert_eq!((pager.stats().used_bytes, pager.stats().handles), (0, 0));
}

#[test]
fn an_append_that_reaches_the_capacity_appends_nothing_and_can_be_tried_again() {
    let scratch = scratch();
    let pager = builder(scratch.path()).capacity_bytes(u64_of(3 * PIECE)).build().expect("a pager");
    let held = pager.pageout_copy(&[&elements::<u8>(PIECE, 9)]).expect("room");
    let (begin, rest) = (elements::<u8>(1_000, 1), elements::<u8>(3 * PIECE - 1_000, 2));
    let mut collector = pager.collector();
    collector.append(&begin).expect("room");
    let error = collector.append(&rest).expect_err("there is room for two pieces");
    assert!(matches!(error, Error::Capacity(_)), "{error:?}");
    assert_eq!((collector.len_bytes(), pager.stats().used_bytes), (1_000, u64_of(PIECE)));
    drop(held);
    collector.append(&rest).expect("room again");
    let handle = collector.finish().expect("room again");
    assert_comes_back(&pager, handle, &[begin, rest].concat());
}

#[test]
fn every_failed_write_leaves_the_collector_as_it_was() {
    let (begin, rest) = (elements::<u8>(5_000, 1), elements::<u8>(2 * PIECE + 9_000, 2));
    for index in 0..3 {
        for errno in [libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EROFS] {
            for lasts in [Lasts::Once, Lasts::ForGood] {
                let disk = Disk::new();
                let pager = disk.pager();
                let mut collector = pager.collector();
                collector.append(&begin).expect("nothing goes out yet");
                disk.arm(Fault { call: Call::Write, index, effect: Effect::Fail(errno), lasts });
                let appended = collector.append(&rest);
                let before_finish = if appended.is_ok() { begin.len() + rest.len() } else { begin.len() };
                assert_eq!(collector.len_bytes(), u64_of(before_finish));
                let finished = appended.and_then(|()| collector.finish());
                assert!(disk.disarm() > 0, "write {index} was made");
                let handle = finished.unwrap_or_else(|_| {
                    if collector.len_bytes() == u64_of(begin.len()) {
                        collector.append(&rest).expect("the fault is gone");
                    }
                    collector.finish().expect("the fault is gone")
                });
                let used_bytes = u64_of(2 * PIECE) + slot_bytes(begin.len() + 9_000);
                assert_eq!(pager.stats().used_bytes, used_bytes, "{index}, {errno}, {lasts:?}");
                assert_comes_back(&pager, handle, &[&begin[..], &rest].concat());
                assert_eq!(pager.stats().used_bytes, 0);
            }
        }
    }
}

#[test]
fn damage_in_any_piece_is_said_by_its_place() {
    let disk = Disk::new();
    let pager = disk.pager();
    disk.forget();
    let whole = elements::<u8>(PIECE + 10_000, 4);
    let handle = collected(&pager, &whole, 100_000);
    let (file, offset) = disk.last_place();
    disk.flip(file, offset + 4_100);
    let mut some = Vec::new();
    pager.read_at(&handle, 0, PIECE, &mut some).expect("the first piece is good");
    let error = pager.read_at(&handle, 0, whole.len(), &mut some).expect_err("a byte is wrong");
    assert!(matches!(error, Error::Corrupt { byte_offset, .. } if byte_offset == u64_of(PIECE + 4_096)), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Against the plain concatenation: chunks of any lengths, ranges that end, begin and lie anywhere.
    #[test]
    fn agrees_with_concatenation(
        lens in prop::collection::vec(prop_oneof![3 => 0..9_000usize, 1 => 0..PIECE / 4, 1 => PIECE / 8 - 2..PIECE / 8 + 2], 0..8),
        cuts in prop::collection::vec(0.0..1.0f64, 2..12),
        rotation in 0..6usize,
    ) {
        let pager = Setup::Native.pager();
        let mut collector = pager.collector();
        let mut whole: Vec<u64> = Vec::new();
        for (seed, len) in lens.into_iter().enumerate() {
            let chunk = elements(len, u64_of(seed));
            collector.append(&chunk).expect("an append without a fault");
            whole.extend(chunk);
        }
        let handle = collector.finish().expect("a finish without a fault");
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a place in the payload")]
        let mut places: Vec<usize> = cuts.iter().map(|cut| (cut * whole.len() as f64) as usize).collect();
        places.sort_unstable();
        let mut ranges: Vec<(usize, usize)> = places.chunks_exact(2).map(|pair| (pair[0], pair[1] - pair[0])).collect();
        let count = ranges.len();
        ranges.rotate_left(rotation % count);
        let mut some = Vec::new();
        pager.read_at_many(&handle, &ranges, &mut some).expect("a read without a fault");
        prop_assert!(some == gather(&whole, &ranges));
        assert_comes_back(&pager, handle, &whole);
    }
}
