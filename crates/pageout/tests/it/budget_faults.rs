//! Every call of the device fails while payloads move in, are written in the background, evicted, borrowed and taken: none is lost.

use std::collections::BTreeMap;

use pageout::{Error, Handle, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Feature, Lasts, Short};
use pageout_testing::{KIB, assert_same, check_works, elements, eventually, short_or_long, tell};

const BUDGET: u64 = 64 * KIB as u64;
/// Some of several pages, all but one within the budget.
const LENS: [usize; 12] = [5000, 100, 8192, 9000, 20_000, 4096, 1, 12_000, 30_000, 700, 80_000, 6000];

/// What goes wrong with a call.
fn effects(call: Call) -> Vec<Effect> {
    let errnos: &[i32] = match call {
        Call::Write => &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::ENOMEM, libc::EFBIG, libc::EROFS],
        Call::Reserve => &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EOPNOTSUPP, libc::EINVAL, libc::EFBIG],
        Call::Create => &[libc::EMFILE, libc::ENOSPC, libc::EACCES, libc::ENOMEM, libc::EROFS],
        Call::Punch => &[libc::EIO, libc::EOPNOTSUPP, libc::EINVAL, libc::EDQUOT],
        Call::Read | Call::ReadCached => &[libc::EIO, libc::EAGAIN, libc::ENOMEM],
        Call::Truncate | Call::WriteBack | Call::CheckWriteBack | Call::Room => &[libc::EIO, libc::ENOSPC, libc::EINVAL],
        _ => &[],
    };
    let shorts: &[Short] =
        if matches!(call, Call::Write | Call::Read) { &[Short::Bytes(1), Short::Bytes(511), Short::Half] } else { &[] };
    let others: &[Effect] = if call == Call::Write { &[Effect::TakeRoom(0), Effect::TakeRoom(1)] } else { &[] };
    let errnos = errnos.iter().map(|&errno| Effect::Fail(errno));
    errnos.chain(shorts.iter().map(|&short| Effect::Short(short))).chain(others.iter().copied()).collect()
}

/// A typed error, of which the fault is the reason; `outcome` otherwise.
fn unless_failed<R>(disk: &Disk, outcome: Result<R, Error>) -> Option<R> {
    outcome
        .map_err(|error| assert!(matches!(error, Error::System { .. }) && disk.hits() > 0, "{error:?}, {} hits", disk.hits()))
        .ok()
}

/// Everything that a budget does, while a fault may be armed. Gives what is still out.
fn use_all(disk: &Disk, pager: &Pager) -> Vec<(u64, Handle<u8>)> {
    let mut held = Vec::new();
    for (seed, len) in (0..).zip(LENS.repeat(2)) {
        match pager.pageout_vec(elements::<u8>(len, seed)) {
            Ok(handle) => held.push((seed, handle)),
            Err(failed) => {
                assert!(disk.hits() > 0, "{failed:?}");
                assert_same(&failed.into_inner(), &elements::<u8>(len, seed));
            }
        }
    }
    for (seed, handle) in &held {
        let whole = elements::<u8>(handle.len(), *seed);
        if handle.len() > 64 * KIB {
            assert!(handle.borrow().is_err());
        } else if let Some(borrowed) = unless_failed(disk, handle.borrow()) {
            assert_same(&borrowed, &whole);
        }
        if let Some(read) = unless_failed(disk, handle.read(..)) {
            assert_same(&read, &whole);
        }
        assert!(pager.stats().resident_bytes <= BUDGET);
    }
    for position in [0, 5, 9] {
        if position < held.len() {
            let (seed, handle) = held.swap_remove(position);
            let whole = elements::<u8>(handle.len(), seed);
            match handle.take() {
                Ok(taken) => assert_same(&taken, &whole),
                Err(failed) => {
                    assert!(disk.hits() > 0, "{failed:?}");
                    held.push((seed, failed.into_handle()));
                }
            }
        }
    }
    held
}

/// A device, and a pager on it that has seen nothing go wrong yet.
fn world(has_reserve: bool) -> (Disk, Pager) {
    let disk = if has_reserve { Disk::new() } else { Disk::new().without(Feature::Reserve) };
    disk.hear_background();
    let pager = disk.builder().resident_bytes(BUDGET).capacity_bytes(1 << 30).build().expect("a pager");
    (disk, pager)
}

fn survives(fault: Fault, has_reserve: bool) -> (u64, u64) {
    let (disk, pager) = world(has_reserve);
    disk.arm(fault);
    let held = use_all(&disk, &pager);
    let hits = disk.disarm();
    for (seed, handle) in &held {
        assert_same(&handle.read(..).expect("the fault is over"), &elements::<u8>(handle.len(), *seed));
    }
    let failures = pager.stats().background_write_failures;
    for (seed, handle) in held {
        let whole = elements::<u8>(handle.len(), seed);
        assert_same(&handle.take().expect("the fault is over"), &whole);
    }
    check_works(&pager);
    eventually(|| format!("{fault:?}: {:?}", pager.stats()), || pager.stats().resident_bytes + pager.stats().used_bytes == 0);
    assert_eq!((pager.stats().handles, pager.stats().borrowed_bytes), (0, 0));
    pager.trim().expect("the fault is over");
    eventually(|| format!("{fault:?}: {} bytes", disk.held_bytes()), || disk.held_bytes() == 0);
    (hits, failures)
}

#[test]
fn a_budget_survives_every_fault() {
    let (mut points, mut reached, mut failures) = (0, 0, 0);
    for has_reserve in [true, false] {
        let (disk, pager) = world(has_reserve);
        disk.forget();
        drop(use_all(&disk, &pager));
        let mut counts = BTreeMap::<Call, u64>::new();
        disk.calls().into_iter().for_each(|call| *counts.entry(call).or_default() += 1);
        for (call, count) in counts {
            for effect in effects(call) {
                // The first ones, and a few of the rest.
                let step = usize::try_from(count).expect("few").div_ceil(short_or_long(3, 1000)).max(1);
                for index in (0..count).step_by(step) {
                    for lasts in [Lasts::Once, Lasts::ForGood] {
                        // A byte at a time takes long.
                        if lasts == Lasts::ForGood && matches!(effect, Effect::Short(Short::Bytes(_))) {
                            continue;
                        }
                        let (hits, failed) = survives(Fault { call, index, effect, lasts }, has_reserve);
                        points += 1;
                        reached += u64::from(hits > 0);
                        failures += failed;
                    }
                }
            }
        }
    }
    if short_or_long(0, 1) == 1 {
        tell(&format!("faults of a budget: {points} points, {reached} reached, {failures} writes failed in the background"));
    }
    assert!(reached > points * 3 / 4, "{reached} of {points}");
    assert!(failures > points, "{failures} writes failed in the background");
}

#[test]
fn where_space_is_reserved_a_full_disk_is_told_by_the_pageout_and_never_later() {
    for room in [60 * KIB, 150 * KIB, 400 * KIB] {
        for capacity_bytes in [None, Some(1 << 40), Some(100 * KIB as u64)] {
            let disk = Disk::with_room(room as u64);
            disk.hear_background();
            let builder = disk.builder().resident_bytes(BUDGET);
            let builder = if let Some(bytes) = capacity_bytes { builder.capacity_bytes(bytes) } else { builder };
            let pager = builder.build().expect("a pager");
            let mut held: Vec<(u64, Handle<u8>)> = Vec::new();
            let mut refused = 0;
            for (seed, len) in (0..).zip(LENS.repeat(30)) {
                let before = (pager.stats().used_bytes, pager.stats().handles);
                match pager.pageout_vec(elements::<u8>(len, seed)) {
                    Ok(handle) => held.push((seed, handle)),
                    Err(failed) => {
                        assert!(matches!(failed.error().code(), "ENOSPC" | "ERR_PAGEOUT_CAPACITY"), "{failed:?}");
                        assert_same(&failed.into_inner(), &elements::<u8>(len, seed));
                        // What was dropped while it was written is freed behind that.
                        assert!(pager.stats().used_bytes <= before.0 && pager.stats().handles == before.1);
                        refused += 1;
                        if refused % 7 == 0 && !held.is_empty() {
                            drop(held.swap_remove(refused % held.len()));
                        }
                    }
                }
            }
            assert!(refused > 30);
            for (seed, handle) in &held {
                assert_same(&handle.read(..).expect("a read"), &elements::<u8>(handle.len(), *seed));
            }
            assert_eq!(pager.stats().background_write_failures, 0);
            for (seed, handle) in held {
                let whole = elements::<u8>(handle.len(), seed);
                assert_same(&handle.take().expect("a take"), &whole);
            }
            eventually(|| format!("{:?}", pager.stats()), || pager.stats().used_bytes == 0);
        }
    }
}

#[test]
fn where_space_cannot_be_reserved_what_finds_none_stays_in_memory() {
    let disk = Disk::with_room(1 << 30).without_reserve();
    disk.hear_background();
    let pager = disk.builder().resident_bytes(BUDGET).capacity_bytes(1 << 40).build().expect("a pager");
    let held: Vec<(u64, Handle<u8>)> =
        (0..14).map(|seed| (seed, pager.pageout_vec(elements::<u8>(4096, seed)).expect("a pageout"))).collect();
    disk.set_room(0);
    let mut more = Vec::new();
    for seed in 20..40 {
        match pager.pageout_vec(elements::<u8>(4096, seed)) {
            Ok(handle) => more.push((seed, handle)),
            Err(failed) => {
                assert_eq!(failed.error().code(), "ENOSPC", "{failed:?}");
                assert_same(&failed.into_inner(), &elements::<u8>(4096, seed));
            }
        }
    }
    eventually(|| format!("{:?}", pager.stats()), || pager.stats().background_write_failures > 0);
    for (seed, handle) in held.iter().chain(&more) {
        assert_same(&handle.read(..).expect("it is in memory"), &elements::<u8>(4096, *seed));
    }
    disk.set_room(1 << 30);
    let rest: Vec<_> = (50..90).map(|seed| (seed, pager.pageout_vec(elements::<u8>(4096, seed)).expect("a pageout"))).collect();
    for (seed, handle) in held.into_iter().chain(more).chain(rest) {
        assert_same(&handle.take().expect("a take"), &elements::<u8>(4096, seed));
    }
    eventually(|| format!("{:?}", pager.stats()), || pager.stats().resident_bytes + pager.stats().used_bytes == 0);
}
