//! Payloads that are compressed on the disk, alone and with encryption: the same bytes come back, and they take less there.

use std::sync::atomic::AtomicBool;

use bytemuck::Pod;
use pageout::frames::FRAME_BYTES;
use pageout::{Compression, Error, Handle, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{KIB, MIB, PAGE, PIECE, assert_same, columns, cut, elements, eventually, gather, memories, noise, u64_of};

/// Bytes that are compressed together.
const FRAME: usize = FRAME_BYTES;

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
        let random = pager.pageout_vec(noise::<u64>(len, 1)).expect("a pageout");
        let both = pager.stats();
        assert_eq!(both.stored_bytes - stats.stored_bytes, u64_of(MIB));
        assert_eq!(both.used_bytes - stats.used_bytes, u64_of(MIB));
        drop(column);
        assert_eq!(pager.stats().stored_bytes, u64_of(MIB));
        drop(random);
    });
}

fn is_out(pager: &Pager, whole: &[u64]) -> Handle<u64> {
    pager.pageout_copy(&[whole]).expect("a pageout")
}

/// What was read since the device was asked to forget.
fn read_bytes(disk: &Disk) -> u64 {
    let reads = disk.log().into_iter().filter(|entry| matches!(entry.call, Call::Read | Call::ReadCached));
    reads.map(|entry| entry.len_bytes).sum()
}

#[test]
fn a_range_reads_the_frames_that_it_needs_and_no_others() {
    each_pager(|disk, pager| {
        let whole = columns::<u64>(MIB, 1);
        let handle = is_out(pager, &whole);
        for (range, pages_max) in [(0..1, 2), (500_000..500_512, 2), (1_000_000..1_000_001, 2), (300_000..304_096, 9)] {
            disk.forget();
            assert_same(&handle.read(range.clone()).expect("a read"), &whole[range.clone()]);
            let read_bytes = read_bytes(disk);
            assert!(read_bytes > 0 && read_bytes <= pages_max * u64_of(PAGE), "{range:?}: {read_bytes}");
        }
        // A longer read goes by 256 KiB of what is stored.
        disk.forget();
        assert_same(&handle.read(..500_000).expect("a read"), &whole[..500_000]);
        let groups = pager.stats().stored_bytes / 2 / u64_of(256 * KIB);
        assert!((1..=groups + 3).contains(&disk.count(Call::Read)), "{:?}", disk.calls());
        // Ranges of one frame are one read, and it is decoded once.
        disk.forget();
        assert_same(
            &handle.read_many(&[10..20, 400..500, 0..2]).expect("a read"),
            &gather(&whole, &[(10, 10), (400, 100), (0, 2)]),
        );
        assert_eq!(disk.calls(), [Call::ReadCached]);
    });
}

#[test]
fn what_is_in_memory_is_read_first_and_the_rest_is_announced() {
    each_pager(|disk, pager| {
        let whole = columns::<u64>(MIB / 2, 1);
        let handle = is_out(pager, &whole);
        disk.set_cold_from(0);
        disk.forget();
        let ranges = [(0, 10), (200_000, 10), (400_000, 10)];
        let listed: Vec<_> = ranges.iter().map(|&(start, len)| start..start + len).collect();
        assert_same(&handle.read_many(&listed).expect("a read"), &gather(&whole, &ranges));
        let calls = disk.calls();
        assert_eq!(calls.iter().filter(|&&call| call == Call::ReadCached).count(), 3, "{calls:?}");
        assert_eq!(calls.iter().filter(|&&call| call == Call::Announce).count(), 2, "the first is read at once: {calls:?}");
        assert_eq!(calls.iter().filter(|&&call| call == Call::Read).count(), 3, "{calls:?}");
        // A prefetch is of what is stored, and no more.
        disk.forget();
        handle.prefetch(..).expect("a hint");
        let announced: u64 = disk.log().iter().map(|entry| entry.len_bytes).sum();
        let stored_bytes = pager.stats().stored_bytes;
        assert!((stored_bytes..stored_bytes + 2 * u64_of(PAGE)).contains(&announced), "{announced} of {stored_bytes}");
    });
}

#[test]
fn the_wrong_page_is_told_by_the_payloads_byte_and_what_does_not_need_it_is_right() {
    each_pager(|disk, pager| {
        // A piece that is compressed, one that is not, and one that is.
        let mut whole = columns::<u64>(2 * PIECE / 8 + 40_000, 1);
        whole[PIECE / 8..2 * PIECE / 8].copy_from_slice(&noise(PIECE / 8, 1));
        disk.forget();
        let handle = is_out(pager, &whole);
        let writes: Vec<_> = disk.log().into_iter().filter(|entry| entry.call == Call::Write).collect();
        let pieces = pager.stats().stored_bytes;
        assert!(pieces < u64_of(2 * PIECE), "the second is as it is, the others are shorter");
        for (write, near) in [(&writes[0], 0..PIECE), (writes.last().expect("the last piece"), 2 * PIECE..8 * whole.len())] {
            disk.flip(write.file, write.offset + 100);
            let mut target = vec![7; whole.len()];
            let error = handle.read_into(.., &mut target).expect_err("a wrong page");
            let Error::Corrupt { byte_offset, .. } = error else { panic!("{error:?}") };
            let byte_offset = usize::try_from(byte_offset).expect("within the payload");
            assert!(near.contains(&byte_offset) && byte_offset.is_multiple_of(FRAME), "{byte_offset}");
            assert!(target.iter().all(|&element| element == 0), "a failed read leaves zeros");
            handle.read(byte_offset / 8..byte_offset / 8 + 2).expect_err("the same page");
            assert_same(&handle.read(PIECE / 8..2 * PIECE / 8).expect("another page"), &whole[PIECE / 8..2 * PIECE / 8]);
            let mut dst = vec![1];
            pager.read_at_many(&handle, &[(0, 5), (700_000, 3), (byte_offset / 8, 1)], &mut dst).expect_err("a wrong page");
            assert_eq!(dst, [1]);
            disk.flip(write.file, write.offset + 100);
        }
        assert_same(&handle.take().expect("a take"), &whole);
    });
}

#[test]
fn frames_of_another_place_payload_or_time_are_refused() {
    each_pager(|disk, pager| {
        let whole = columns::<u64>(64_000, 1);
        let (other, first) = (is_out(pager, &columns(64_000, 2)), is_out(pager, &whole));
        let (file, start) = disk.last_place();
        let before: Vec<_> = (0..4).map(|page| disk.page(file, start + page * u64_of(PAGE))).collect();
        drop(first);
        let mut next = whole;
        next[3] ^= 5;
        let handle = is_out(pager, &next);
        assert_eq!(disk.last_place(), (file, start));
        let now = disk.page(file, start);
        for wrong in [before[0], disk.page(file, start + u64_of(PAGE)), [0; PAGE]] {
            disk.set_page(file, start, &wrong);
            assert!(matches!(handle.read(..), Err(Error::Corrupt { byte_offset: 0, .. })));
        }
        disk.set_page(file, start, &now);
        assert_same(&handle.take().expect("a take"), &next);
        assert_same(&other.take().expect("a take"), &columns::<u64>(64_000, 2));
    });
}

#[test]
fn without_checksums_any_bytes_are_decoded_safely() {
    let disk = Disk::new();
    let pager = disk.builder().compression(Compression::Lz4).integrity(false).build().expect("a pager in memory");
    let handle = is_out(&pager, &columns(8_000, 1));
    let (file, start) = disk.last_place();
    let before = disk.page(file, start);
    let mut refused = 0;
    for seed in 0..200 {
        disk.set_page(file, start, elements::<[u8; PAGE]>(1, seed).first().expect("a page"));
        let outcome = handle.read(..);
        assert!(outcome.as_ref().is_err_and(|error| matches!(error, Error::Corrupt { .. })) || outcome.is_ok(), "{outcome:?}");
        refused += u64::from(outcome.is_err());
    }
    assert!(refused > 100, "{refused}");
    disk.set_page(file, start, &before);
    assert_same(&handle.take().expect("a take"), &columns::<u64>(8_000, 1));
}

#[test]
fn a_collector_compresses_each_of_its_pieces() {
    each_pager(|_, pager| {
        let mut whole = columns::<u64>(3 * PIECE / 8 + 12_345, 1);
        whole[PIECE / 8..2 * PIECE / 8].copy_from_slice(&noise(PIECE / 8, 1));
        let mut collector = pager.collector();
        whole.chunks(300_001).for_each(|chunk| collector.append(chunk).expect("a place"));
        assert_eq!(pager.stats().stored_bytes, 0, "it is no payload yet");
        let handle = collector.finish().expect("a payload");
        let stored_bytes = pager.stats().stored_bytes;
        assert!(stored_bytes > u64_of(PIECE) && stored_bytes < u64_of(2 * PIECE), "{stored_bytes}");
        let bounds: Vec<_> = [1, 2, 3].map(|piece| (piece * PIECE / 8 - 3, 700)).into();
        let listed: Vec<_> = bounds.iter().map(|&(start, len)| start..start + len).collect();
        assert_same(&handle.read_many(&listed).expect("a read"), &gather(&whole, &bounds));
        assert_same(&handle.take().expect("a take"), &whole);
        let mut incompressible = pager.collector();
        incompressible.append(&noise::<u64>(PIECE / 8 + 1, 1)).expect("a place");
        let handle = incompressible.finish().expect("a payload");
        assert_eq!(pager.stats().stored_bytes, u64_of(PIECE + 8));
        assert_same(&handle.take().expect("a take"), &noise::<u64>(PIECE / 8 + 1, 1));
    });
}

#[test]
fn a_reader_and_a_borrow_see_the_payload() {
    each_pager(|_, pager| {
        let whole = columns::<u64>(100_000, 1);
        let handle = is_out(pager, &whole);
        let mut bytes = Vec::new();
        std::io::copy(&mut handle.reader(), &mut bytes).expect("a stream");
        assert_same(&bytes, bytemuck::cast_slice(&whole));
        assert_same(&handle.borrow().expect("a borrow"), &whole);
        assert!(matches!(handle.take().map(drop), Ok(())));
    });
}

#[test]
fn the_capacity_is_of_what_is_stored() {
    for is_sealed in [false, true] {
        let disk = Disk::new();
        let builder = disk.builder().compression(Compression::Lz4).encryption(is_sealed);
        let pager = builder.capacity_bytes(u64_of(6 * MIB)).build().expect("a pager in memory");
        let whole = columns::<u64>(2 * MIB, 1);
        let handle = is_out(&pager, &whole);
        assert!(pager.stats().used_bytes < u64_of(6 * MIB), "16 MiB take less");
        drop(handle);
        // The first piece fits, the second does not.
        let mut chunks = vec![columns::<u64>(PIECE / 8, 1), noise::<u64>(PIECE / 4, 2)];
        let (before, held_bytes) = (memories(&chunks), disk.held_bytes());
        let Err(Error::Capacity(facts)) = pager.pageout(&mut chunks) else { panic!("there is no room") };
        assert_eq!(facts.used_bytes, 0, "nothing of the call is in use any more");
        assert!(facts.requested_bytes > u64_of(PIECE) && facts.capacity_bytes == u64_of(6 * MIB), "{facts:?}");
        assert_eq!(memories(&chunks), before);
        let stats = pager.stats();
        assert_eq!((stats.used_bytes, stats.stored_bytes, stats.handles), (0, 0, 0));
        assert!(disk.held_bytes() <= held_bytes, "a refused call leaves the disk as full as it found it");
        assert_same(&is_out(&pager, &whole).take().expect("a take"), &whole);
    }
}

#[test]
fn a_pageout_that_is_stopped_leaves_nothing() {
    each_pager(|disk, pager| {
        let whole = columns::<u64>(3 * PIECE / 8, 1);
        disk.forget();
        let error = pager.pageout_copy_unless(&[&whole[..]], 8, &AtomicBool::new(true)).expect_err("it is stopped");
        assert_eq!((error.raw_os_error(), disk.count(Call::Write)), (Some(libc::ECANCELED), 0));
    });
}

#[test]
fn a_failed_write_of_any_piece_leaves_chunks_and_disk_as_they_were() {
    each_pager(|disk, pager| {
        // Two pieces that are compressed and one that is not.
        let mut whole = columns::<u64>(2 * PIECE / 8 + 60_000, 1);
        whole[2 * PIECE / 8..].copy_from_slice(&noise(60_000, 1));
        disk.forget();
        drop(is_out(pager, &whole));
        pager.trim().expect("a trim");
        let (calls, held_bytes) = (disk.calls(), disk.held_bytes());
        for call in [Call::Write, Call::Reserve] {
            let count = calls.iter().filter(|&&made| made == call).count();
            assert!(count >= 2, "{call:?} is made for several pieces");
            for index in 0..u64_of(count) {
                let effect = Effect::Fail(libc::EIO);
                disk.arm(Fault { call, index, effect, lasts: Lasts::Once });
                let mut chunks = cut(&whole, &[700_000]);
                let before = memories(&chunks);
                let outcome = pager.pageout(&mut chunks);
                assert_eq!(disk.disarm(), 1, "{call:?} {index}");
                let error = outcome.expect_err("a device that fails");
                assert_eq!(error.raw_os_error(), Some(libc::EIO), "{call:?} {index}");
                assert_eq!(memories(&chunks), before, "{call:?} {index}");
                let stats = pager.stats();
                assert_eq!((stats.used_bytes, stats.stored_bytes, stats.handles), (0, 0, 0), "{call:?} {index}");
                pager.trim().expect("a trim");
                assert!(disk.held_bytes() <= held_bytes, "{call:?} {index}");
            }
        }
        assert_same(&is_out(pager, &whole).take().expect("a take"), &whole);
    });
}

#[test]
fn the_elements_decide_how_bytes_are_compressed() {
    let disk = Disk::new();
    let pager = compressed(&disk, false);
    let whole = columns::<u64>(100_000, 1);
    let bytes: &[u8] = bytemuck::cast_slice(&whole);
    let stored_bytes = |put_out: &dyn Fn() -> Handle<u8>| {
        let handle = put_out();
        let stored_bytes = pager.stats().stored_bytes;
        assert_same(&handle.take().expect("a take"), bytes);
        stored_bytes
    };
    let never = AtomicBool::new(false);
    let of_elements = stored_bytes(&|| pager.pageout_copy_unless(&[bytes], 8, &never).expect("a pageout"));
    let of_bytes = stored_bytes(&|| pager.pageout_copy_unless(&[bytes], 1, &never).expect("a pageout"));
    let collected = stored_bytes(&|| {
        let mut collector = pager.collector_of(8);
        collector.append(bytes).expect("a place");
        collector.finish().expect("a payload")
    });
    assert!(of_elements * 2 < of_bytes, "{of_elements}, {of_bytes}");
    assert_eq!(collected, of_elements);
}

mod budget {
    use super::*;

    const BUDGET: usize = MIB;

    fn each_budget(check: impl Fn(&Disk, &Pager)) {
        for is_sealed in [false, true] {
            let disk = Disk::new();
            disk.hear_background();
            let builder = disk.builder().compression(Compression::Lz4).encryption(is_sealed);
            let pager = builder.resident_bytes(u64_of(BUDGET)).build().expect("a pager in memory");
            disk.forget();
            check(&disk, &pager);
            eventually(
                || format!("{:?}", pager.stats()),
                || {
                    let stats = pager.stats();
                    (stats.handles, stats.used_bytes, stats.stored_bytes) == (0, 0, 0)
                },
            );
        }
    }

    fn out(pager: &Pager, seed: u64) -> Handle<u64> {
        pager.pageout_vec(columns(8_192, seed)).expect("a pageout")
    }

    #[test]
    fn what_leaves_is_compressed_and_what_is_unwritten_counts_in_full() {
        each_budget(|_, pager| {
            let first = out(pager, 1_000);
            let stats = pager.stats();
            assert_eq!((stats.stored_bytes, stats.used_bytes), (65_536, 65_536), "room is claimed for all of it");
            drop(first);
            let handles: Vec<_> = (0..100).map(|seed| out(pager, seed)).collect();
            eventually(
                || format!("{:?}", pager.stats()),
                || {
                    let stats = pager.stats();
                    stats.stored_bytes < 2 * u64_of(BUDGET) && stats.used_bytes < 3 * u64_of(BUDGET)
                },
            );
            assert!(pager.stats().stored_bytes > u64_of(BUDGET) / 2, "what is in memory is not written");
            for (seed, handle) in (0..).zip(&handles) {
                assert_same(&handle.read(5..5_000).expect("a read"), &columns::<u64>(8_192, seed)[5..5_000]);
            }
            for (seed, handle) in (0..).zip(handles) {
                assert_same(&handle.take().expect("a take"), &columns::<u64>(8_192, seed));
            }
        });
    }

    #[test]
    fn what_is_borrowed_leaves_again_without_a_write() {
        each_budget(|disk, pager| {
            let handles: Vec<_> = (0..40).map(|seed| out(pager, seed)).collect();
            for _ in 0..3 {
                for (seed, handle) in (0..).zip(&handles) {
                    assert_same(&handle.borrow().expect("a borrow"), &columns::<u64>(8_192, seed));
                }
            }
            let writes = disk.count(Call::Write);
            assert!(writes <= 40, "each is written once at most, not {writes} times");
            assert_eq!(pager.stats().changed_borrows, 0);
        });
    }

    #[test]
    fn a_payload_without_room_for_less_is_written_as_it_is() {
        for is_sealed in [false, true] {
            let disk = Disk::new();
            let builder = disk.builder().compression(Compression::Lz4).encryption(is_sealed).capacity_bytes(32 * 65_536);
            let pager = builder.resident_bytes(u64_of(BUDGET)).build().expect("a pager in memory");
            let handles: Vec<_> = (0..32).map(|seed| out(&pager, seed)).collect();
            assert!(pager.pageout_vec(columns::<u64>(8_192, 99)).is_err() || pager.stats().stored_bytes < 32 * 65_536);
            for (seed, handle) in (0..).zip(handles) {
                assert_same(&handle.take().expect("a take"), &columns::<u64>(8_192, seed));
            }
        }
    }

    #[test]
    fn a_handle_that_is_dropped_while_it_is_borrowed_counts_no_more() {
        each_budget(|_, pager| {
            let handles: Vec<_> = (0..40).map(|seed| out(pager, seed)).collect();
            // Not all fit, so that some of these have a copy on the disk.
            let borrow = |(seed, handle): (u64, &Handle<u64>)| (seed, handle.borrow().expect("a borrow"));
            let borrowed: Vec<_> = (0..).zip(&handles).step_by(8).map(borrow).collect();
            drop(handles);
            assert_eq!(pager.stats().stored_bytes, 0);
            let other = pager.pageout_copy(&[&noise::<u64>(8_192, 1)[..]]).expect("a pageout");
            assert_eq!(pager.stats().stored_bytes, 65_536, "nothing is saved any more");
            drop(other);
            for (seed, borrowed) in borrowed {
                assert_same(&borrowed, &columns::<u64>(8_192, seed));
            }
        });
    }
}

/// Bytes that stand nowhere else.
const MARKER: &[u8; 16] = b"\x81c0mpr3ss-p4yl0\xfe";

/// How many of the pages that were written since the device was asked to forget hold the marker.
fn marked_pages(disk: &Disk) -> usize {
    let writes = disk.log().into_iter().filter(|entry| entry.call == Call::Write);
    let pages =
        writes.flat_map(|write| (write.offset..write.offset + write.len_bytes).step_by(PAGE).map(move |at| (write.file, at)));
    pages.filter(|&(file, at)| disk.page(file, at).windows(MARKER.len()).any(|window| window == MARKER)).count()
}

#[test]
fn with_encryption_nothing_of_a_payload_is_on_the_disk() {
    for is_sealed in [false, true] {
        let disk = Disk::new();
        let pager = compressed(&disk, is_sealed);
        let mut whole = columns::<u8>(5 * MIB, 1);
        whole.chunks_exact_mut(KIB).for_each(|chunk| chunk[..MARKER.len()].copy_from_slice(MARKER));
        disk.forget();
        let handle = pager.pageout_copy(&[&whole[..]]).expect("a pageout");
        let mut collector = pager.collector();
        collector.append(&whole).expect("a place");
        let collected = collector.finish().expect("a payload");
        assert!(pager.stats().stored_bytes < u64_of(2 * whole.len()), "it is compressed");
        // Without encryption it is there, so that the search would find it.
        let marked = marked_pages(&disk);
        assert!(if is_sealed { marked == 0 } else { marked > 500 }, "{marked} pages, encrypted: {is_sealed}");
        assert_same(&handle.take().expect("a take"), &whole);
        assert_same(&collected.take().expect("a take"), &whole);
    }
}
