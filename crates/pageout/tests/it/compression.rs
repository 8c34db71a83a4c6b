//! Payloads that are compressed on the disk, alone and with encryption: the same bytes come back, and they take less there.

use bytemuck::Pod;
use pageout::{Compression, Handle, Pager};
use pageout_testing::faulty::Disk;
use pageout_testing::{KIB, MIB, PAGE, assert_same, columns, cut, elements, gather, u64_of};

/// Bytes that are compressed together.
const FRAME: usize = 16 * KIB;
/// Bytes of a payload that have a place of their own.
const PIECE: usize = 4 * MIB;

/// A pager that compresses, and one that encrypts as well.
fn each_pager(check: impl Fn(&Disk, &Pager)) {
    for is_sealed in [false, true] {
        let disk = Disk::new();
        let pager = compressed(&disk, is_sealed);
        check(&disk, &pager);
        let stats = pager.stats();
        assert_eq!((stats.handles, stats.used_bytes, stats.stored_bytes), (0, 0, 0));
    }
}

fn compressed(disk: &Disk, is_sealed: bool) -> Pager {
    disk.builder().compression(Compression::Lz4).encryption(is_sealed).build().expect("a pager in memory")
}

/// Ranges of a payload around the bounds of pages, frames and pieces.
fn lists(len: usize) -> Vec<Vec<(usize, usize)>> {
    let bounds = [1, PAGE, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, PIECE - 3, PIECE, PIECE + FRAME].map(|at| at.min(len - 1));
    let mut lists = vec![vec![(0, len)], vec![(len - 1, 1), (0, len - 1)], vec![(len / 2, 0)]];
    for at in bounds {
        let behind = (len - at).min(100);
        lists.push(vec![(at, behind)]);
        lists.push(vec![(at, len - at)]);
        lists.push(vec![(at, behind), (at.saturating_sub(10), at.min(10))]);
    }
    let spread: Vec<_> =
        (0..len).step_by((len / 7).max(1)).map(|start| (start, (len - start).min(len / 9 + 1).min(5_000))).collect();
    lists.push(spread.iter().rev().copied().collect());
    lists
}

#[track_caller]
fn check_reads<T: Pod>(pager: &Pager, handle: &Handle<T>, whole: &[T]) {
    for ranges in lists(whole.len()) {
        let expected = gather(whole, &ranges);
        let mut target = vec![T::zeroed(); expected.len()];
        pager.read_into(handle, &ranges, &mut target).expect("a read");
        assert_same(&target, &expected);
    }
}

fn round_trip<T: Pod>(pager: &Pager, whole: &[T], lens: &[usize]) {
    let handle = pager.pageout(&mut cut(whole, lens)).expect("a pageout");
    check_reads(pager, &handle, whole);
    assert_same(&handle.take().expect("a take"), whole);
}

#[test]
fn every_width_and_length_comes_back() {
    each_pager(|_, pager| {
        let bounds = [1, PAGE, FRAME, 2 * FRAME, PIECE, 2 * PIECE];
        for len in bounds.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]).filter(|&len| len > 0) {
            round_trip::<u8>(pager, &columns(len, 1), &[len / 3, 0, 7]);
        }
        for len in [PAGE + 1, FRAME, FRAME + 1, 5 * FRAME + 9] {
            round_trip::<u16>(pager, &columns(len, 2), &[len / 2]);
            round_trip::<u32>(pager, &columns(len, 3), &[len / 2]);
            round_trip::<f64>(pager, &columns(len, 4), &[len / 2]);
            round_trip::<[u64; 3]>(pager, &columns(len, 5), &[len / 2]);
            round_trip::<[u8; 7]>(pager, &columns(len, 6), &[1, 2, 3]);
        }
    });
}

#[test]
fn what_compresses_takes_less_and_what_does_not_takes_as_much() {
    each_pager(|_, pager| {
        let len = MIB / 8;
        let column = pager.pageout_vec(columns::<u64>(len, 1)).expect("a pageout");
        let stats = pager.stats();
        assert!(stats.stored_bytes < u64_of(MIB / 4) && stats.used_bytes < u64_of(MIB / 2), "{stats:?}");
        let random = pager.pageout_vec(elements::<u64>(len, 1)).expect("a pageout");
        let both = pager.stats();
        assert_eq!(both.stored_bytes - stats.stored_bytes, u64_of(MIB));
        assert_eq!(both.used_bytes - stats.used_bytes, u64_of(MIB));
        drop(column);
        assert_eq!(pager.stats().stored_bytes, u64_of(MIB));
        drop(random);
    });
}
