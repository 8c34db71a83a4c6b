//! The numbers: what is counted, what the capacity refuses, what a trim gives back.

use std::io::ErrorKind;

use pageout::{Backend, Error, Handle, Pager, PagerBuilder};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{KIB, PAGE, Setup, assert_same, cut, elements, slot_bytes, u64_of};

#[test]
fn stats_are_exact_after_each_verb() {
    let disk = Disk::new();
    let pager = disk.builder().capacity_bytes(1 << 20).build().expect("a pager in memory");
    let check = |expected: [u64; 9]| {
        let stats = pager.stats();
        let actual = [
            stats.handles,
            stats.payload_bytes,
            stats.used_bytes,
            stats.pageouts,
            stats.pageout_bytes,
            stats.reads,
            stats.read_bytes,
            stats.takes,
            stats.take_bytes,
        ];
        assert_eq!(actual, expected);
        assert_eq!((stats.capacity_bytes, stats.spare_bytes), (1 << 20, 0));
        assert!(stats.scratch_bytes >= stats.used_bytes);
    };
    check([0; 9]);
    let first = pager.pageout(&mut [vec![1u64; 600]]).expect("a pageout");
    check([1, 4800, 8192, 1, 4800, 0, 0, 0, 0]);
    let second = pager.pageout_with(Backend::Swap, &mut [vec![1u8; 100]]).expect("a pageout");
    check([2, 4900, 8192, 2, 4900, 0, 0, 0, 0]);
    let empty = pager.pageout::<u32>(&mut []).expect("a pageout");
    check([3, 4900, 8192, 3, 4900, 0, 0, 0, 0]);
    let copied = pager.pageout_copy(&[&[1u16, 2][..], &[3]]).expect("a pageout");
    check([4, 4906, 12_288, 4, 4906, 0, 0, 0, 0]);
    pager.pageout(&mut [vec![0u8; 2 << 20]]).expect_err("more than the capacity");
    check([4, 4906, 12_288, 4, 4906, 0, 0, 0, 0]);
    pager.read_at(&first, 10, 5, &mut Vec::new()).expect("a read");
    check([4, 4906, 12_288, 4, 4906, 1, 40, 0, 0]);
    pager.read_at_many(&second, &[(1, 1), (0, 1), (99, 1)], &mut Vec::new()).expect("a read");
    pager.read_into(&copied, &[(0, 2)], &mut [0; 2]).expect("a read");
    check([4, 4906, 12_288, 4, 4906, 3, 47, 0, 0]);
    pager.read_at(&first, 600, 1, &mut Vec::new()).expect_err("past the end");
    pager.prefetch(&first, &[(0, 600)]).expect("a hint");
    check([4, 4906, 12_288, 4, 4906, 3, 47, 0, 0]);
    pager.take(first, &mut Vec::new()).expect("a take");
    check([3, 106, 4096, 4, 4906, 3, 47, 1, 4800]);
    pager.take(second, &mut Vec::new()).expect("a take");
    pager.take(empty, &mut Vec::new()).expect("a take");
    check([1, 6, 4096, 4, 4906, 3, 47, 3, 4900]);
    drop(copied);
    check([0, 0, 0, 4, 4906, 3, 47, 3, 4900]);
    pager.trim().expect("a trim");
    assert_eq!(pager.stats().scratch_bytes, 0, "no payload uses it");
}

/// As the Node addon takes, which keeps the handle in a place of its own.
#[test]
fn a_take_in_two_halves_counts_as_one_take_and_no_read() {
    let pager = Disk::new().pager();
    for backend in [Backend::File, Backend::Swap] {
        let before = pager.stats();
        let handle = pager.pageout_with(backend, &mut [vec![7u64; 5]]).expect("a pageout");
        let error = pager.peek(&handle, &mut [0; 4]).expect_err("too short");
        assert!(matches!(error, Error::TargetLength { expected: 5, actual: 4, .. }), "{error:?}");
        let mut target = [0; 5];
        pager.peek(&handle, &mut target).expect("a read");
        assert_eq!((target, pager.stats().takes), ([7; 5], before.takes));
        pager.count_take(&handle);
        drop(handle);
        let stats = pager.stats();
        assert_eq!((stats.takes, stats.take_bytes, stats.reads), (before.takes + 1, before.take_bytes + 40, before.reads));
    }
}

#[test]
#[cfg_attr(miri, ignore = "needs the kernel's device")]
fn stats_name_the_scratch_directory() {
    let pager = Setup::Native.pager();
    let stats = pager.stats();
    assert_eq!(stats.scratch_dir.as_deref(), Some(pager.scratch.path()));
    assert!(stats.file_system.is_some_and(|name| !name.is_empty()));
    assert!(stats.capacity_bytes > 0 && stats.swap_free_bytes <= stats.swap_bytes);
}

fn with_capacity(bytes: usize) -> PagerBuilder {
    Disk::new().builder().capacity_bytes(u64_of(bytes))
}

#[test]
fn a_reached_capacity_is_refused_with_the_numbers_and_only_as_long_as_it_is_reached() {
    let pager = with_capacity(64 * KIB).build().expect("a pager in memory");
    let held = pager.pageout(&mut [elements::<u8>(48 * KIB, 1)]).expect("within the capacity");
    let mut chunks = [elements::<u8>(17 * KIB, 2)];
    for _ in 0..3 {
        let error = pager.pageout(&mut chunks).expect_err("past the capacity");
        assert_eq!((error.code(), error.kind()), ("ERR_PAGEOUT_CAPACITY", ErrorKind::QuotaExceeded));
        let Error::Capacity(facts) = error else { panic!("{error:?}") };
        let numbers = (facts.requested_bytes, facts.used_bytes, facts.capacity_bytes);
        assert_eq!(numbers, (24 * 1024, 48 * 1024, 64 * 1024));
        assert_same(&chunks[0], &elements::<u8>(17 * KIB, 2));
    }
    let smaller = pager.pageout(&mut [elements::<u8>(16 * KIB, 3)]).expect("what room is left serves a smaller payload");
    assert_eq!(pager.stats().used_bytes, 64 * 1024);
    pager.pageout(&mut [vec![1u8]]).expect_err("not one byte more");
    drop(pager.pageout_with(Backend::Swap, &mut [vec![1u8]]).expect("the swap backend takes no scratch"));
    drop((held, smaller));
    let handle = pager.pageout(&mut chunks).expect("it works again");
    let mut all = Vec::new();
    pager.take(handle, &mut all).expect("a take");
    assert_same(&all, &elements::<u8>(17 * KIB, 2));
}

#[test]
fn a_capacity_can_be_used_to_the_last_byte_in_any_mix_of_lengths() {
    let pager = with_capacity(256 * KIB).build().expect("a pager in memory");
    // 256 KiB in slots of one class, given back, then in slots of others: free slots of one class hold no other back.
    for lens in [vec![KIB; 64], vec![7 * KIB; 32], vec![128 * KIB; 2], vec![256 * KIB], vec![65 * KIB, 96 * KIB, 64 * KIB]] {
        let payloads: Vec<_> = lens.iter().map(|&len| elements::<u8>(len, u64_of(len))).collect();
        let handles: Vec<_> =
            payloads.iter().map(|payload| pager.pageout(&mut [payload.clone()]).expect("within the capacity")).collect();
        assert_eq!(pager.stats().used_bytes, 256 * 1024);
        pager.pageout(&mut [vec![1u8]]).expect_err("not one byte more");
        for (payload, handle) in payloads.iter().zip(handles) {
            let mut all = Vec::new();
            pager.take(handle, &mut all).expect("a take");
            assert_same(&all, payload);
        }
    }
}

/// So many, and few in an interpreter, which takes a second for what takes a millisecond.
fn rounds(count: usize) -> usize {
    if cfg!(miri) { count / 20 } else { count }
}

#[test]
fn threads_together_never_exceed_the_capacity() {
    let pager = with_capacity(40 * PAGE).build().expect("a pager in memory");
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let pager = &pager;
            scope.spawn(move || {
                let mut held = Vec::new();
                for round in 0..rounds(300) {
                    let len = (thread * 31 + round * 17) % (5 * PAGE) + 1;
                    match pager.pageout(&mut [elements::<u8>(len, u64_of(len))]) {
                        Ok(handle) => held.push(handle),
                        Err(Error::Capacity(facts)) => {
                            assert!(facts.used_bytes + facts.requested_bytes > facts.capacity_bytes);
                            held.truncate(held.len() / 2);
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    assert!(pager.stats().used_bytes <= 40 * u64_of(PAGE));
                }
                for handle in held {
                    let (len, mut all) = (handle.len(), Vec::new());
                    pager.take(handle, &mut all).expect("a take");
                    assert_same(&all, &elements::<u8>(len, u64_of(len)));
                }
            });
        }
    });
    assert_eq!((pager.stats().used_bytes, pager.stats().handles), (0, 0));
}

#[test]
fn a_capacity_of_nothing_is_refused_by_name() {
    let error = Pager::builder().capacity_bytes(0).build().expect_err("no pager can work with it");
    assert!(matches!(&error, Error::Option { name: "capacity_bytes", .. }), "{error:?}");
    assert!(error.to_string().contains("capacity_bytes") && error.to_string().contains('0'), "{error}");
}

#[test]
fn a_dropped_handle_makes_no_call_and_frees_its_place_for_the_next() {
    let disk = Disk::new();
    let pager = disk.pager();
    drop(pager.pageout(&mut [vec![1u64; 5000]]).expect("a pageout"));
    disk.forget();
    for _ in 0..100 {
        let handle = pager.pageout(&mut [vec![1u64; 5000]]).expect("a pageout");
        let calls = disk.log().len();
        drop(handle);
        assert_eq!(disk.log().len(), calls);
        assert_eq!((pager.stats().used_bytes, pager.stats().handles), (0, 0));
    }
    let log = disk.log();
    assert!(log.iter().all(|entry| *entry == log[0] && entry.call == Call::Write), "one place serves all: {log:?}");
}

#[test]
fn a_trim_gives_space_back_and_leaves_payloads_alone() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u64>(3000, 1);
    let mut handles: Vec<_> = (0..60).map(|_| pager.pageout(&mut cut(&whole, &[])).expect("a pageout")).collect();
    let mut keep = false;
    handles.retain(|_| {
        keep = !keep;
        keep
    });
    pager.trim().expect("a trim");
    let stats = pager.stats();
    assert_eq!((stats.scratch_bytes, stats.used_bytes), (30 * slot_bytes(24_000), 30 * slot_bytes(24_000)));
    assert_eq!(disk.room(), (1 << 40) - stats.scratch_bytes, "the device has it back");
    handles.extend((0..90).map(|_| pager.pageout(&mut cut(&whole, &[])).expect("a pageout into given back places")));
    for handle in handles {
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &whole);
    }
    pager.trim().expect("a trim");
    assert_eq!((pager.stats().scratch_bytes, disk.open_files(), disk.room()), (0, 0, 1 << 40));
}

#[test]
fn places_that_could_not_get_space_again_are_not_lost() {
    for errno in [libc::EIO, libc::ENOSPC] {
        let disk = Disk::new();
        let pager = disk.pager();
        let whole = elements::<u64>(3000, 1);
        let held = pager.pageout(&mut cut(&whole, &[])).expect("a pageout");
        drop(pager.pageout(&mut cut(&whole, &[])).expect("a pageout"));
        let place = disk.last_place();
        pager.trim().expect("a trim");
        disk.arm(Fault { call: Call::Reserve, index: 0, effect: Effect::Fail(errno), lasts: Lasts::ForGood });
        pager.pageout(&mut cut(&whole, &[])).expect_err("no space");
        disk.disarm();
        let again = pager.pageout(&mut cut(&whole, &[])).expect("a pageout");
        assert_eq!(disk.last_place(), place, "the place that was given back serves again");
        drop((held, again));
        pager.trim().expect("a trim");
        assert_eq!((pager.stats().scratch_bytes, disk.room()), (0, 1 << 40));
    }
}

#[test]
fn threads_within_the_capacity_are_served_while_others_trim() {
    const THREADS: usize = 4;
    /// What each thread holds at most: its share of the capacity, which is all the room there is.
    const SHARE_BYTES: u64 = 256 * 1024;
    let capacity_bytes = SHARE_BYTES * u64_of(THREADS);
    let disk = Disk::with_room(capacity_bytes);
    let pager = disk.builder().capacity_bytes(capacity_bytes).build().expect("a pager in memory");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let pager = &pager;
            scope.spawn(move || {
                let mut held: Vec<Handle<u8>> = Vec::new();
                let mut held_bytes = 0;
                for round in 0..rounds(400) {
                    let len = (thread * 7919 + round * round * 104_729) % (64 * KIB) + 1;
                    while held_bytes + slot_bytes(len) > SHARE_BYTES {
                        let handle = held.swap_remove(round % held.len());
                        let (len, mut all) = (handle.len(), Vec::new());
                        held_bytes -= slot_bytes(len);
                        pager.take(handle, &mut all).expect("a take");
                        assert_same(&all, &elements::<u8>(len, u64_of(len)));
                    }
                    let chunks = &mut [elements::<u8>(len, u64_of(len))];
                    held.push(pager.pageout(chunks).expect("no more is out than the capacity and the room allow"));
                    held_bytes += slot_bytes(len);
                    if round % 16 == thread {
                        pager.trim().expect("a trim");
                    }
                }
            });
        }
    });
    assert_eq!((pager.stats().handles, pager.stats().used_bytes), (0, 0));
    pager.trim().expect("a trim");
    assert_eq!((pager.stats().scratch_bytes, disk.room()), (0, capacity_bytes));
}
