//! Reads of several payloads at once: each is as if it were alone, and the device is asked for all of them together.

use pageout::{Backend, BatchRead, Handle, Pager, read_batch};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{MIB, assert_same, elements, gather, u64_of};

const RANGES: [&[(usize, usize)]; 5] = [&[(3, 5)], &[(90, 10), (0, 4)], &[], &[(2_990, 10)], &[(0, 3_000)]];

/// Payloads of both backends, and what is in them.
fn payloads(pager: &Pager) -> Vec<(Handle, Vec<u64>)> {
    let payload = |position: usize| {
        let whole = elements::<u64>(3_000, u64_of(position));
        let backend = if position == 3 { Backend::Swap } else { Backend::File };
        (pager.pageout_with(backend, &mut [whole.clone()]).expect("a pageout without a fault"), whole)
    };
    (0..RANGES.len()).map(payload).collect()
}

/// Reads [`RANGES`] of the payloads, checks the reads that did not fail, and gives the positions of those that did.
fn read_all(payloads: &[(Handle, Vec<u64>)]) -> Vec<u32> {
    let len = |ranges: &[(usize, usize)]| ranges.iter().map(|range| range.1).sum();
    let mut targets: Vec<Vec<u64>> = RANGES.iter().map(|ranges| vec![0; len(ranges)]).collect();
    let reads = payloads.iter().zip(RANGES).zip(&mut targets);
    let mut reads: Vec<_> =
        reads.map(|(((handle, _), ranges), target)| BatchRead { handle, ranges, target, is_counted: true }).collect();
    let failed = read_batch(&mut reads).expect("memory");
    for (position, ((_, whole), ranges)) in payloads.iter().zip(RANGES).enumerate() {
        if !failed.iter().any(|&at| u64::from(at) == u64_of(position)) {
            assert_same(&targets[position], &gather(whole, ranges));
        }
    }
    failed
}

#[test]
fn each_read_gives_what_it_gives_alone_whether_cached_or_not() {
    for cold_from in [0, 4 << 20, u64::MAX] {
        let disk = Disk::new();
        let pager = disk.pager();
        let payloads = payloads(&pager);
        disk.set_cold_from(cold_from);
        assert_eq!(read_all(&payloads), [0u32; 0]);
        let stats = pager.stats();
        assert_eq!((stats.reads, stats.read_bytes), (5, 8 * (5 + 14 + 10 + 3_000)));
    }
}

#[test]
fn what_is_not_in_memory_is_announced_before_the_first_of_it_is_waited_for() {
    let disk = Disk::new();
    let payloads = payloads(&disk.pager());
    disk.set_cold_from(0);
    disk.forget();
    read_all(&payloads);
    let calls = disk.calls();
    let last_announced = calls.iter().rposition(|&call| call == Call::Announce).expect("an announcement");
    let first_read = calls.iter().position(|&call| call == Call::Read).expect("a read");
    assert!(last_announced < first_read, "{calls:?}");
    // One of the five has no ranges, one is in memory anyway, and the first is read at once. One has two ranges, which the
    // announcement has brought by the time when memory is looked at again.
    assert_eq!((disk.count(Call::Announce), disk.count(Call::Read)), (3, 2));
}

#[test]
fn a_read_that_fails_is_named_and_the_others_succeed() {
    for (call, cold_from, calls) in [(Call::Read, 0, 2), (Call::ReadCached, u64::MAX, 3)] {
        for index in 0..calls {
            let disk = Disk::new();
            let payloads = payloads(&disk.pager());
            disk.set_cold_from(cold_from);
            disk.arm(Fault { call, index, effect: Effect::Fail(libc::EIO), lasts: Lasts::Once });
            let failed = read_all(&payloads);
            assert_eq!((failed.len(), disk.disarm()), (1, 1), "{call:?} {index}");
            assert_eq!(read_all(&payloads), [0u32; 0], "the fault is gone");
        }
    }
}

#[test]
fn wrong_ranges_and_targets_fail_alone() {
    let disk = Disk::new();
    let pager = disk.pager();
    let handle = pager.pageout(&mut [elements::<u64>(MIB / 8, 1)]).expect("a pageout without a fault");
    let (mut right, mut wrong, mut past) = (vec![0; 2], vec![0; 3], vec![0; 2]);
    let mut reads = [
        BatchRead { handle: &handle, ranges: &[(0, 2)], target: &mut wrong, is_counted: false },
        BatchRead { handle: &handle, ranges: &[(7, 2)], target: &mut right, is_counted: false },
        BatchRead { handle: &handle, ranges: &[(MIB / 8 - 1, 2)], target: &mut past, is_counted: false },
    ];
    assert_eq!(read_batch(&mut reads).expect("memory"), [0, 2]);
    assert_same(&right, &elements::<u64>(MIB / 8, 1)[7..9]);
    assert_eq!(pager.stats().reads, 0, "none of them is counted");
}
