//! A memory budget in trouble: payloads that cannot leave, devices that fail, pagers that end, threads that meet.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pageout::{Error, Handle, MemoryBudget};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{KIB, MIB, assert_same, cut, elements, eventually};

use super::budget::{BUDGET, out, pager};

#[track_caller]
fn is_whole(handle: &Handle<u8>, seed: u64) {
    assert_same(&handle.read(..).expect("a read"), &elements::<u8>(handle.len(), seed));
}

/// Fails where `body` takes longer than any of these tests may: something waits for what never comes.
#[track_caller]
fn ends<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (tell, told) = mpsc::channel();
    let working = thread::spawn(move || {
        let result = body();
        tell.send(()).expect("the test waits");
        result
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = told.recv_timeout(Duration::from_secs(60)) {
        panic!("it does not end");
    }
    working.join().expect("no panic")
}

#[test]
fn what_is_borrowed_and_has_no_handle_keeps_nobody_busy() {
    ends(|| {
        let disk = Disk::new();
        let pager = pager(&disk);
        let large = out(&pager, 900 * KIB, 99);
        let borrowed = large.borrow().expect("a borrow");
        drop(large);
        // All of the budget is dirty, and most of it nobody will write.
        let mut handles: Vec<_> = (0..20).map(|seed| out(&pager, 64 * KIB, seed)).collect();
        let cold = out(&pager, 200 * KIB, 98);
        assert!(matches!(cold.borrow(), Err(Error::Budget(_))));
        handles.extend((20..30).map(|seed| out(&pager, 64 * KIB, seed)));
        assert_same(&borrowed, &elements::<u8>(900 * KIB, 99));
        drop(borrowed);
        assert_same(&cold.borrow().expect("there is room"), &elements::<u8>(200 * KIB, 98));
        // The keeper has time for others.
        cold.prefetch(..).expect("a hint");
        for (seed, handle) in (0..).zip(handles) {
            assert_same(&handle.borrow().expect("there is room"), &elements::<u8>(64 * KIB, seed));
            assert_same(&handle.take().expect("a take"), &elements::<u8>(64 * KIB, seed));
        }
        drop(cold);
        eventually(|| format!("{:?}", pager.stats()), || pager.stats().resident_bytes + pager.stats().used_bytes == 0);
    });
}

#[test]
fn chunks_of_more_than_half_the_budget_are_joined_by_way_of_the_disk() {
    ends(|| {
        let disk = Disk::new();
        let pager = pager(&disk);
        let whole = elements::<u8>(800 * KIB, 1);
        let handle = pager.pageout(&mut cut(&whole, &[300 * KIB, 400 * KIB])).expect("a pageout");
        assert_eq!(pager.stats().resident_bytes, 800 * KIB as u64);
        assert_same(&handle.borrow().expect("a borrow"), &whole);
        let other = out(&pager, 128 * KIB, 2);
        let borrowed = other.borrow().expect("a borrow");
        assert_same(&handle.borrow().expect("a borrow"), &whole);
        assert!(pager.stats().resident_bytes <= BUDGET);
        drop(borrowed);
        assert_same(&handle.take().expect("a take"), &whole);
    });
}

#[test]
fn the_failure_of_what_is_gone_is_not_told_any_more() {
    ends(|| {
        let disk = Disk::new();
        let pager = pager(&disk);
        disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::ForGood });
        let mut failing: Vec<_> = (0..16).map(|seed| out(&pager, 64 * KIB, seed)).collect();
        eventually(|| format!("{:?}", pager.stats()), || pager.stats().background_write_failures >= 3);
        failing.truncate(4);
        // The keeper looks at them again, and there is no need to write any more.
        thread::sleep(Duration::from_millis(900));
        drop(failing);
        disk.disarm();
        let cold = pager.pageout_copy(&[&elements::<u8>(300 * KIB, 1)]).expect("a pageout");
        // Not enough to write some of it, which would show that nothing fails any more.
        let others: Vec<_> = (20..32).map(|seed| out(&pager, 64 * KIB, seed)).collect();
        let _borrowed: Vec<_> = others.iter().map(|handle| handle.borrow().expect("a borrow")).collect();
        let error = cold.borrow().expect_err("all is borrowed");
        assert!(matches!(error, Error::Budget(_)), "{error:?}");
    });
}

#[test]
fn a_payload_that_fails_once_is_written_the_next_time() {
    for index in 0..6 {
        let disk = Disk::new();
        let pager = pager(&disk);
        disk.arm(Fault { call: Call::Write, index, effect: Effect::Fail(libc::EIO), lasts: Lasts::Once });
        // A pageout that finds no room writes, and so may be the one that fails.
        let handles: Vec<_> = (0..40)
            .map(|seed| match pager.pageout_vec(elements(64 * KIB, seed)) {
                Ok(handle) => handle,
                Err(failed) => pager.pageout_vec(failed.into_inner()).expect("a pageout without a fault"),
            })
            .collect();
        eventually(|| format!("{} writes", disk.count(Call::Write)), || disk.count(Call::Write) > 24);
        assert_eq!(disk.disarm(), 1);
        for (seed, handle) in (0..).zip(&handles) {
            is_whole(handle, seed);
            assert_same(&handle.borrow().expect("a borrow"), &elements::<u8>(64 * KIB, seed));
        }
        drop(handles);
        eventually(|| format!("{:?}", pager.stats()), || pager.stats().resident_bytes + pager.stats().used_bytes == 0);
    }
}

#[test]
fn a_borrow_waits_for_memory_that_others_are_about_to_free() {
    ends(|| {
        let disk = Disk::new();
        let pager = pager(&disk);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            // One payload at a time fits, and nobody borrows it.
            for seed in 1..3u8 {
                let (pager, is_over) = (&pager, &is_over);
                scope.spawn(move || {
                    while !is_over.load(Relaxed) {
                        drop(pager.pageout_vec(vec![seed; 600 * KIB]).expect("a pageout"));
                        // Who pauses nowhere may leave the other no room for good.
                        thread::sleep(Duration::from_micros(50));
                    }
                });
            }
            let handles = [out(&pager, 700 * KIB, 7), out(&pager, 700 * KIB, 8)];
            for round in 0..100 {
                match handles[round % 2].borrow() {
                    Ok(borrowed) => assert_eq!(borrowed.len(), 700 * KIB),
                    Err(error) => {
                        is_over.store(true, Relaxed);
                        panic!("round {round}: {error:?}, {:?}", pager.stats());
                    }
                }
            }
            is_over.store(true, Relaxed);
        });
    });
}

#[test]
fn a_prefetched_payload_makes_room_for_one_that_is_borrowed() {
    ends(|| {
        let disk = Disk::new();
        let pager = pager(&disk);
        let handles = [out(&pager, 700 * KIB, 1), out(&pager, 700 * KIB, 2), out(&pager, 700 * KIB, 3)];
        for round in (0..200).step_by(2) {
            handles[(round + 1) % 3].prefetch(..).expect("a hint");
            if round % 4 == 0 {
                thread::sleep(Duration::from_micros(100));
            }
            assert_eq!(handles[(round + 2) % 3].borrow().expect("nothing is borrowed").len(), 700 * KIB);
        }
        // However often it is asked for.
        (0..100_000).for_each(|_| handles[0].prefetch(..).expect("a hint"));
    });
}

#[test]
fn what_is_taken_while_it_is_written_comes_whole() {
    ends(|| {
        let disk = Disk::new();
        let pager = pager(&disk);
        for round in 0..300u64 {
            let handles: Vec<_> = (0..15).map(|seed| out(&pager, 64 * KIB, round * 100 + seed)).collect();
            for (seed, handle) in (0..).zip(handles) {
                assert_same(&handle.take().expect("a take"), &elements::<u8>(64 * KIB, round * 100 + seed));
            }
        }
        eventually(|| format!("{:?}", pager.stats()), || pager.stats().resident_bytes + pager.stats().used_bytes == 0);
    });
}

#[test]
fn a_pager_that_ends_while_others_use_its_budget_leaves_nothing_in_it() {
    ends(|| {
        let budget = MemoryBudget::new(BUDGET);
        let disk = Disk::new();
        disk.hear_background();
        let lasting = disk.builder().resident_bytes(&budget).build().expect("a pager");
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut kept = Vec::new();
                for seed in 0.. {
                    if is_over.load(Relaxed) {
                        break;
                    }
                    kept.push((seed, out(&lasting, 50_000, seed)));
                    if kept.len() > 40 {
                        let (seed, handle) = kept.swap_remove((seed % 40) as usize);
                        assert_same(&handle.take().expect("a take"), &elements::<u8>(50_000, seed));
                    }
                }
            });
            for round in 0..60u64 {
                let ending = disk.builder().resident_bytes(&budget).build().expect("a pager");
                let closing = ending.clone();
                let closer = scope.spawn(move || {
                    thread::sleep(Duration::from_micros(300 * (round % 10)));
                    closing.close();
                });
                let mut kept = Vec::new();
                for seed in 0..200 {
                    match ending.pageout_vec(elements::<u8>(30_000, seed)) {
                        Ok(handle) => kept.push((seed, handle)),
                        Err(failed) => {
                            assert!(matches!(failed.error(), Error::Closed), "{failed:?}");
                            assert_same(&failed.into_inner(), &elements::<u8>(30_000, seed));
                            break;
                        }
                    }
                    let (seed, handle) = &kept[usize::try_from(seed / 2).expect("few")];
                    match handle.borrow() {
                        Ok(borrowed) => assert_same(&borrowed, &elements::<u8>(30_000, *seed)),
                        Err(error) => assert!(matches!(error, Error::Closed | Error::Budget(_)), "{error:?}"),
                    }
                }
                closer.join().expect("no panic");
                // What another thread has made leave is freed by that one.
                eventually(|| format!("round {round}: {:?}", ending.stats()), || ending.stats().resident_bytes == 0);
                drop(kept);
            }
            is_over.store(true, Relaxed);
        });
        eventually(|| budget.resident_bytes(), || budget.resident_bytes() == 0);
        assert_eq!(budget.borrowed_bytes(), 0);
    });
}

#[test]
fn a_pager_with_many_small_residents_is_closed_at_once() {
    ends(|| {
        let pager = Disk::new().builder().resident_bytes(256 * MIB as u64).build().expect("a pager");
        let handles: Vec<_> = (0..100_000).map(|_| pager.pageout_vec(vec![7u8; 100]).expect("a pageout")).collect();
        pager.close();
        assert_eq!(pager.stats().resident_bytes, 0);
        drop(handles);
    });
}

#[test]
fn a_smaller_limit_is_reached_and_nothing_is_admitted_until_then() {
    ends(|| {
        let disk = Disk::new();
        disk.hear_background();
        let budget = MemoryBudget::new(BUDGET);
        let pager = disk.builder().resident_bytes(&budget).build().expect("a pager");
        let handles: Vec<_> = (0..16).map(|seed| out(&pager, 64 * KIB, seed)).collect();
        let borrowed: Vec<_> = handles[..4].iter().map(|handle| handle.borrow().expect("a borrow")).collect();
        budget.set_limit_bytes(128 * KIB as u64);
        eventually(|| budget.resident_bytes(), || budget.resident_bytes() == 256 * KIB as u64);
        let more = out(&pager, 64 * KIB, 20);
        assert_eq!(budget.resident_bytes(), 256 * KIB as u64);
        assert!(matches!(more.borrow(), Err(Error::Budget(_))));
        drop(borrowed);
        eventually(|| budget.resident_bytes(), || budget.resident_bytes() <= 128 * KIB as u64);
        for limit_bytes in [0, 1, 1023, 1024, u64::MAX] {
            budget.set_limit_bytes(limit_bytes);
            eventually(|| budget.resident_bytes(), || budget.resident_bytes() <= limit_bytes);
            let small = out(&pager, 10, 30);
            assert_eq!(budget.resident_bytes() > 0, limit_bytes >= 1024, "{limit_bytes}");
            is_whole(&small, 30);
        }
        (0..).zip(&handles).for_each(|(seed, handle)| is_whole(handle, seed));
        is_whole(&more, 20);
    });
}
