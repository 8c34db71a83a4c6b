//! A memory budget: what is hot stays in memory, what is cold leaves by itself.

use std::thread;

use pageout::{Backend, Error, Handle, MemoryBudget, Pager, Resident};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{KIB, MIB, assert_same, check_works, cut, elements, eventually};

pub(super) const BUDGET: u64 = MIB as u64;

/// A pager with that budget on a device that lists the calls of the background too.
pub(super) fn pager(disk: &Disk) -> Pager {
    disk.hear_background();
    disk.builder().resident_bytes(BUDGET).build().expect("a pager")
}

pub(super) fn out(pager: &Pager, len_bytes: usize, seed: u64) -> Handle<u8> {
    pager.pageout_vec(elements(len_bytes, seed)).expect("a pageout")
}

/// Waits until nothing but clean payloads, or less than seven eighths, is in memory.
fn wait_until_written(disk: &Disk, writes: u64) {
    eventually(|| format!("{} writes", disk.count(Call::Write)), || disk.count(Call::Write) >= writes);
}

#[test]
fn a_payload_within_the_budget_is_moved_in_and_out_without_a_copy_or_a_write() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let mut chunks = [Vec::with_capacity(1000)];
    chunks[0].extend(elements::<u16>(700, 1));
    let (address, capacity) = (chunks[0].as_ptr(), chunks[0].capacity());
    let handle = pager.pageout(&mut chunks).expect("a pageout");
    assert_eq!((chunks[0].capacity(), handle.backend(), handle.len()), (0, Backend::File, 700));
    disk.forget();
    let stats = pager.stats();
    assert_eq!((stats.resident_bytes, stats.resident_limit_bytes, stats.used_bytes), (2000, BUDGET, 4096));
    let back = handle.take().expect("a take");
    assert_eq!((back.as_ptr(), back.capacity()), (address, capacity));
    assert_same(&back, &elements::<u16>(700, 1));
    let stats = pager.stats();
    assert_eq!((stats.resident_bytes, stats.used_bytes, stats.writes_elided), (0, 0, 1));
    assert_eq!((stats.resident_hits, stats.resident_misses, stats.takes), (1, 0, 1));
    assert!(disk.calls().is_empty(), "{:?}", disk.calls());
}

#[test]
fn a_payload_counts_its_capacity_and_at_least_a_kibibyte() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let small = out(&pager, 10, 1);
    assert_eq!(pager.stats().resident_bytes, 1024);
    let mut roomy = Vec::with_capacity(5000);
    roomy.push(1u8);
    let roomy = pager.pageout_vec(roomy).expect("a pageout");
    assert_eq!(pager.stats().resident_bytes, 6024);
    drop((small, roomy));
    assert_eq!((pager.stats().resident_bytes, pager.stats().writes_elided), (0, 2));
}

#[test]
fn the_coldest_leave_in_the_background_and_come_back_as_they_were() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let handles: Vec<_> = (0..100).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    let stats = pager.stats();
    assert!(stats.resident_bytes <= BUDGET, "{} bytes", stats.resident_bytes);
    assert_eq!(stats.handles, 100);
    for (seed, handle) in (0..).zip(&handles) {
        assert_same(&handle.read(..).expect("a read"), &elements::<u8>(64 * KIB, seed));
    }
    let stats = pager.stats();
    assert_eq!(stats.resident_hits + stats.resident_misses, 100);
    assert!(stats.resident_misses >= 84, "{stats:?}");
    for (seed, handle) in (0..).zip(handles) {
        assert_same(&handle.take().expect("a take"), &elements::<u8>(64 * KIB, seed));
    }
    let stats = pager.stats();
    assert_eq!((stats.resident_hits + stats.resident_misses, stats.handles), (200, 0));
    assert_eq!((stats.resident_bytes, stats.used_bytes), (0, 0));
}

#[test]
fn a_read_does_not_bring_a_payload_in_and_a_borrow_does() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let handles: Vec<_> = (0..40).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    let misses = || pager.stats().resident_misses;
    let cold = handles.iter().find(|handle| {
        let before = misses();
        handle.read(..1).expect("a read");
        misses() > before
    });
    let cold = cold.expect("not all fit");
    let before = misses();
    cold.read(..10).expect("a read");
    assert_eq!(misses(), before + 1, "a read leaves it where it is");
    drop(cold.borrow().expect("a borrow"));
    assert_eq!(misses(), before + 2);
    cold.read(..10).expect("a read");
    drop(cold.borrow().expect("a borrow"));
    assert_eq!(misses(), before + 2, "it is in memory now");
    assert!(pager.stats().resident_bytes <= BUDGET);
}

#[test]
fn what_was_read_in_leaves_without_a_write() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let handles: Vec<_> = (0..40).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    for _ in 0..5 {
        for (seed, handle) in (0..).zip(&handles) {
            let borrowed = handle.borrow().expect("a borrow");
            assert_same(&borrowed, &elements::<u8>(64 * KIB, seed));
        }
    }
    let stats = pager.stats();
    let writes = disk.log().iter().filter(|entry| entry.call == Call::Write && entry.len_bytes == 64 * KIB as u64).count();
    assert!(writes <= 40, "each is written once at most, not {writes} times: {stats:?}");
    assert!(stats.evictions_without_write >= 48, "{stats:?}");
    assert!(stats.evictions >= stats.evictions_without_write);
    assert_eq!((stats.borrowed_bytes, stats.changed_borrows), (0, 0));
}

#[test]
fn a_borrowed_payload_stays_and_cannot_be_taken() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let handle = out(&pager, 64 * KIB, 7);
    let borrowed = handle.borrow().expect("a borrow");
    let again = pager.borrow(&handle).expect("a borrow");
    assert_eq!(borrowed.as_ptr(), again.as_ptr(), "one memory");
    assert_eq!(pager.stats().borrowed_bytes, 64 * KIB as u64);
    let others: Vec<_> = (0..40).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    assert_same(&borrowed, &elements::<u8>(64 * KIB, 7));
    drop(borrowed);
    let failed = handle.take().expect_err("it is borrowed");
    assert!(matches!(failed.error(), Error::Borrowed), "{failed:?}");
    assert_eq!((failed.error().code(), failed.error().is_usage_error()), ("ERR_PAGEOUT_BORROWED", true));
    let handle = failed.into_handle();
    let mut dst = Vec::with_capacity(64 * KIB);
    let failed = pager.take(handle, &mut dst).expect_err("it is borrowed");
    drop(again);
    assert_eq!(pager.stats().borrowed_bytes, 0);
    pager.take(failed.into_handle(), &mut dst).expect("a take");
    assert_same(&dst, &elements::<u8>(64 * KIB, 7));
    drop(others);
    // What is being written when it is freed is freed behind that.
    eventually(|| format!("{:?}", pager.stats()), || pager.stats().resident_bytes == 0 && pager.stats().used_bytes == 0);
}

#[test]
fn a_handle_that_is_dropped_while_it_is_borrowed_is_freed_with_the_last_borrow() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let handle = out(&pager, 64 * KIB, 7);
    let borrowed = handle.borrow().expect("a borrow");
    drop(handle);
    assert_eq!(pager.stats().used_bytes, 64 * KIB as u64);
    assert_same(&borrowed, &elements::<u8>(64 * KIB, 7));
    drop(borrowed);
    assert_eq!((pager.stats().used_bytes, pager.stats().resident_bytes), (0, 0));
    let handle = out(&pager, 64 * KIB, 8);
    let borrowed = handle.borrow().expect("a borrow");
    drop((pager, handle));
    assert_same(&borrowed, &elements::<u8>(64 * KIB, 8));
    drop(borrowed);
    assert_eq!(disk.open_files(), 0);
}

#[test]
fn chunks_are_joined_by_the_first_borrow() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let whole = elements::<u32>(10_000, 1);
    let handle = pager.pageout(&mut cut(&whole, &[1, 0, 5000])).expect("a pageout");
    let borrowed = handle.borrow().expect("a borrow");
    assert_same(&borrowed, &whole);
    assert_eq!(pager.stats().resident_bytes, 40_000);
    drop(borrowed);
    assert_same(&handle.read(4_000..6_000).expect("a read"), &whole[4_000..6_000]);
    assert_same(&handle.take().expect("a take"), &whole);
}

#[test]
fn where_all_is_borrowed_a_borrow_fails_with_the_numbers_and_a_pageout_writes() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let handles: Vec<_> = (0..20).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    let mut borrowed = Vec::new();
    let failed = loop {
        match handles[borrowed.len()].borrow() {
            Ok(one) => borrowed.push(one),
            Err(error) => break error,
        }
    };
    assert_eq!(borrowed.len(), 16);
    let Error::Budget(facts) = &failed else { panic!("{failed:?}") };
    assert_eq!((facts.requested_bytes, facts.limit_bytes), (64 * KIB as u64, BUDGET));
    assert_eq!((facts.borrowed_bytes, facts.resident_bytes), (BUDGET, BUDGET));
    assert_eq!((failed.code(), failed.is_usage_error()), ("ERR_PAGEOUT_BUDGET", false));
    disk.forget();
    let more = out(&pager, 64 * KIB, 100);
    assert_eq!(disk.count(Call::Write), 1, "it is written at once");
    assert_same(&more.read(..).expect("a read"), &elements::<u8>(64 * KIB, 100));
    borrowed.pop();
    drop(more.borrow().expect("there is room again"));
    check_works(&pager);
}

#[test]
fn a_payload_larger_than_the_budget_is_written_at_once_and_cannot_be_borrowed() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let large = out(&pager, MIB + 1, 1);
    assert_eq!(pager.stats().resident_bytes, 0);
    assert!(matches!(large.borrow(), Err(Error::Budget(_))));
    assert_same(&large.take().expect("a take"), &elements::<u8>(MIB + 1, 1));
}

#[test]
fn an_empty_payload_is_borrowed_and_counts_nothing() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let empty = pager.pageout_vec(Vec::<u64>::new()).expect("a pageout");
    assert!(empty.borrow().expect("a borrow").is_empty());
    assert_eq!(pager.stats().resident_bytes, 0);
}

#[test]
fn a_full_disk_and_a_reached_capacity_are_told_by_the_pageout_and_not_later() {
    let disk = Disk::with_room(100 * KIB as u64);
    let pager = disk.builder().resident_bytes(BUDGET).capacity_bytes(1 << 40).build().expect("a pager");
    let mut chunks = [elements::<u8>(200 * KIB, 1)];
    let error = pager.pageout(&mut chunks).expect_err("the disk is full");
    assert_eq!(error.code(), "ENOSPC", "{error}");
    assert_same(&chunks[0], &elements::<u8>(200 * KIB, 1));
    assert_eq!((pager.stats().resident_bytes, pager.stats().used_bytes), (0, 0));

    let disk = Disk::new();
    let pager = disk.builder().resident_bytes(BUDGET).capacity_bytes(100 * KIB as u64).build().expect("a pager");
    let error = pager.pageout(&mut chunks).expect_err("past the capacity");
    assert_eq!(error.code(), "ERR_PAGEOUT_CAPACITY", "{error}");
    assert_same(&chunks[0], &elements::<u8>(200 * KIB, 1));
    let small = out(&pager, 50 * KIB, 2);
    assert_same(&small.take().expect("a take"), &elements::<u8>(50 * KIB, 2));
}

#[test]
fn a_payload_that_cannot_be_written_stays_and_is_tried_again() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let first = out(&pager, 64 * KIB, 0);
    disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::ForGood });
    let handles: Vec<_> = (1..16).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    eventually(|| format!("{:?}", pager.stats()), || pager.stats().background_write_failures > 0);
    // All of the budget is dirty: what needs room is told why there is none.
    let mut chunks = [elements::<u8>(64 * KIB, 99)];
    let error = pager.pageout(&mut chunks).expect_err("the device fails");
    assert_eq!(error.code(), "EIO", "{error}");
    assert_same(&chunks[0], &elements::<u8>(64 * KIB, 99));
    assert_same(&first.read(..).expect("it is in memory"), &elements::<u8>(64 * KIB, 0));
    disk.disarm();
    disk.forget();
    wait_until_written(&disk, 1);
    let more: Vec<_> = (20..60).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    for (seed, handle) in (0..).zip(std::iter::once(first).chain(handles)) {
        assert_same(&handle.take().expect("a take"), &elements::<u8>(64 * KIB, seed));
    }
    for (seed, handle) in (20..).zip(more) {
        assert_same(&handle.take().expect("a take"), &elements::<u8>(64 * KIB, seed));
    }
}

#[test]
fn a_failure_that_is_over_is_not_told_by_the_next_borrow() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let cold = pager.pageout_copy(&[&elements::<u8>(64 * KIB, 99)[..]]).expect("a pageout");
    disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::ForGood });
    let handles: Vec<_> = (0..16).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    let error = cold.borrow().expect_err("nothing can leave");
    assert_eq!(error.code(), "EIO", "{error}");
    disk.disarm();
    // Before the keeper has tried again: room for one, then for all.
    assert_same(&cold.borrow().expect("the device works"), &elements::<u8>(64 * KIB, 99));
    let borrowed: Vec<_> = handles.iter().take(15).map(|handle| handle.borrow().expect("there is room")).collect();
    for (seed, borrowed) in (0..).zip(&borrowed) {
        assert_same(borrowed, &elements::<u8>(64 * KIB, seed));
    }
}

#[test]
fn a_prefetched_payload_comes_into_memory() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let handles: Vec<_> = (0..40).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    let is_resident = |handle: &Handle<u8>| {
        let before = pager.stats().resident_hits;
        handle.read(..1).expect("a read");
        pager.stats().resident_hits > before
    };
    let cold = handles.iter().find(|handle| !is_resident(handle)).expect("not all fit");
    cold.prefetch(..).expect("a hint");
    eventually(|| "not in memory", || is_resident(cold));
}

#[test]
fn pagers_share_a_budget() {
    let disk = Disk::new();
    let budget = MemoryBudget::new(BUDGET);
    let pagers = [(); 2].map(|()| disk.builder().resident_bytes(&budget).build().expect("a pager"));
    let handles: Vec<_> = (0..20).map(|seed| out(&pagers[usize::from(seed % 2 == 1)], 64 * KIB, seed)).collect();
    assert!(budget.resident_bytes() <= BUDGET);
    let sum: u64 = pagers.iter().map(|pager| pager.stats().resident_bytes).sum();
    assert_eq!(sum, budget.resident_bytes());
    budget.set_limit_bytes(256 * KIB as u64);
    eventually(|| format!("{budget:?}"), || budget.resident_bytes() <= 256 * KIB as u64);
    assert_eq!(pagers[0].stats().resident_limit_bytes, 256 * KIB as u64);
    for (seed, handle) in (0..).zip(handles) {
        assert_same(&handle.take().expect("a take"), &elements::<u8>(64 * KIB, seed));
    }
    assert_eq!(budget.resident_bytes(), 0);
}

#[test]
fn an_automatic_budget_has_a_limit_from_the_memory_that_is_free() {
    let disk = Disk::new();
    let pager = disk.builder().resident_bytes(Resident::Auto).build().expect("a pager");
    assert!(pager.stats().resident_limit_bytes > 0);
    check_works(&pager);
}

#[test]
fn without_a_budget_a_borrow_is_a_read_that_borrowers_share() {
    let disk = Disk::new();
    let pager = disk.pager();
    for backend in [Backend::File, Backend::Swap] {
        for lens in [&[][..], &[10, 20]] {
            let whole = elements::<u64>(1000, 3);
            let handle = pager.pageout_with(backend, &mut cut(&whole, lens)).expect("a pageout");
            let borrowed = handle.borrow().expect("a borrow");
            let again = handle.borrow().expect("a borrow");
            assert_same(&borrowed, &whole);
            assert_eq!(borrowed.as_ptr(), again.as_ptr());
            drop(borrowed);
            let failed = handle.take().expect_err("it is borrowed");
            assert!(matches!(failed.error(), Error::Borrowed), "{failed:?}");
            drop(again);
            assert_same(&failed.into_handle().take().expect("a take"), &whole);
        }
    }
    assert_eq!(pager.stats().resident_bytes, 0);
}

#[test]
fn a_closed_pager_frees_its_memory_and_a_borrow_keeps_its_own() {
    let disk = Disk::new();
    let pager = pager(&disk);
    let handles: Vec<_> = (0..12).map(|seed| out(&pager, 64 * KIB, seed)).collect();
    let borrowed = handles[3].borrow().expect("a borrow");
    pager.close();
    assert_eq!((pager.stats().resident_bytes, disk.open_files()), (64 * KIB as u64, 0));
    assert!(matches!(handles[3].read(..), Err(Error::Closed)));
    assert!(matches!(handles[4].borrow(), Err(Error::Closed)));
    assert_same(&borrowed, &elements::<u8>(64 * KIB, 3));
    drop(borrowed);
    assert_eq!(pager.stats().resident_bytes, 0);
    drop(handles);
    assert_eq!(pager.stats().handles, 0);
}

#[test]
fn threads_share_a_budget_and_lose_nothing() {
    let disk = Disk::new();
    let pager = pager(&disk);
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let pager = &pager;
            scope.spawn(move || {
                let mut kept: Vec<(u64, Handle<u8>)> = Vec::new();
                for step in 0..1500u64 {
                    let seed = thread * 10_000 + step;
                    let len = 1 + (seed.wrapping_mul(2_654_435_761) % 90_000) as usize;
                    kept.push((seed, out(pager, len, seed)));
                    if kept.len() < 12 {
                        continue;
                    }
                    let (seed, handle) = kept.swap_remove((step * 7 % 12) as usize);
                    let len = handle.len();
                    match step % 4 {
                        0 => assert_same(&handle.read(..).expect("a read"), &elements::<u8>(len, seed)),
                        1 => match handle.borrow() {
                            Ok(borrowed) => assert_same(&borrowed, &elements::<u8>(len, seed)),
                            Err(Error::Budget(_)) => {}
                            Err(error) => panic!("{error}"),
                        },
                        2 => {
                            let borrowed = handle.borrow();
                            drop(handle);
                            if let Ok(borrowed) = borrowed {
                                assert_same(&borrowed, &elements::<u8>(len, seed));
                            }
                        }
                        _ => assert_same(&handle.take().expect("a take"), &elements::<u8>(len, seed)),
                    }
                    assert!(pager.stats().resident_bytes <= BUDGET);
                }
            });
        }
    });
    assert_eq!((pager.stats().handles, pager.stats().borrowed_bytes), (0, 0));
    eventually(|| format!("{:?}", pager.stats()), || pager.stats().resident_bytes == 0 && pager.stats().used_bytes == 0);
}
