//! A scratch file that fails or cannot grow: it is set aside, its payloads stay, and another serves.

use pageout::{Backend, Error, Handle, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{KIB, assert_same, check_works, cut, elements, slot_bytes};

#[test]
fn a_file_that_fails_is_set_aside_and_its_payloads_stay_readable() {
    for errno in [libc::EIO, libc::EROFS, libc::EFBIG, libc::ESTALE, libc::EPERM, libc::ENXIO] {
        let disk = Disk::new();
        let pager = disk.pager();
        let whole = elements::<u64>(3_000, 1);
        let old: Vec<_> = (0..3).map(|_| pager.pageout(&mut cut(&whole, &[9])).expect("a pageout")).collect();
        let (failed_file, _) = disk.last_place();
        disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Fail(errno), lasts: Lasts::Once });
        pager.pageout(&mut cut(&whole, &[9])).expect_err("the device fails");
        disk.forget();
        let new: Vec<_> = (0..3).map(|_| pager.pageout(&mut cut(&whole, &[9])).expect("a pageout")).collect();
        assert_eq!(disk.count(Call::Create), 1, "a new file");
        assert!(disk.log().iter().all(|entry| entry.file != failed_file), "the failed file is left alone");
        assert_eq!(disk.open_files(), 2);
        for handle in old.into_iter().chain(new) {
            let mut all = Vec::new();
            pager.take(handle, &mut all).expect("a take");
            assert_same(&all, &whole);
        }
        pager.trim().expect("a trim");
        assert_eq!((disk.open_files(), pager.stats().scratch_bytes), (0, 0));
    }
}

#[test]
fn missing_room_or_memory_is_no_fault_of_the_file() {
    for errno in [libc::ENOSPC, libc::EDQUOT, libc::ENOMEM] {
        let disk = Disk::new();
        let pager = disk.pager();
        // A file that holds nothing may well be closed to make room.
        let _held = pager.pageout(&mut [elements::<u64>(3_000, 1)]).expect("a pageout");
        let (file, _) = disk.last_place();
        disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Fail(errno), lasts: Lasts::ForGood });
        pager.pageout(&mut [elements::<u64>(3_000, 1)]).expect_err("the device fails");
        disk.disarm();
        check_works(&pager);
        assert_eq!(disk.last_place().0, file, "the same file serves on");
    }
}

#[test]
fn a_device_that_fails_every_write_does_not_use_up_descriptors() {
    let disk = Disk::new();
    let pager = disk.pager();
    let held = pager.pageout(&mut [elements::<u64>(3_000, 1)]).expect("a pageout");
    disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::ForGood });
    for _ in 0..200 {
        pager.pageout(&mut [elements::<u64>(3_000, 2)]).expect_err("the device fails");
    }
    assert!(disk.open_files() <= 4, "{} files are open for one payload", disk.open_files());
    assert!(pager.stats().scratch_bytes <= 8 << 20, "{} bytes are held for one payload", pager.stats().scratch_bytes);
    disk.disarm();
    check_works(&pager);
    let mut all = Vec::new();
    pager.take(held, &mut all).expect("a take");
    assert_same(&all, &elements::<u64>(3_000, 1));
}

#[test]
fn a_file_that_cannot_grow_any_more_is_followed_by_another() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u8>(256 * KIB, 1);
    let first: Vec<_> = (0..4).map(|_| pager.pageout(&mut cut(&whole, &[])).expect("a pageout")).collect();
    // As behind the largest offset of a file system, or a limit of the process.
    disk.arm(Fault { call: Call::Reserve, index: 0, effect: Effect::Fail(libc::EFBIG), lasts: Lasts::ForGood });
    pager.pageout(&mut cut(&whole, &[])).expect_err("no file may be that long");
    disk.disarm();
    let second = pager.pageout(&mut cut(&whole, &[])).expect("a slot in another file");
    assert_eq!(disk.open_files(), 2, "the first is full, and has not failed");
    drop(first);
    let again: Vec<_> = (0..4).map(|_| pager.pageout(&mut cut(&whole, &[])).expect("a slot of the full file")).collect();
    assert_eq!(disk.open_files(), 2);
    let first = again;
    for handle in first.into_iter().chain([second]) {
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &whole);
    }
}

#[test]
fn a_limit_of_descriptors_leaves_open_files_working() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u64>(3_000, 1);
    let held = pager.pageout(&mut cut(&whole, &[])).expect("a pageout");
    disk.arm(Fault { call: Call::Create, index: 0, effect: Effect::Fail(libc::EMFILE), lasts: Lasts::ForGood });
    let error = pager.pageout(&mut [vec![1u8]]).expect_err("another file is needed");
    assert_eq!((error.code(), pager.stats().used_bytes), ("EMFILE", slot_bytes(24_000)));
    check_works(&pager);
    let mut all = Vec::new();
    pager.take(held, &mut all).expect("a take");
    assert_same(&all, &whole);
}

/// Threads have files of their own as long as files can be made.
#[test]
fn threads_share_the_open_files_where_no_more_can_be_made() {
    let disk = Disk::new();
    let pager = disk.pager();
    let whole = elements::<u64>(3_000, 1);
    let held = pager.pageout(&mut cut(&whole, &[])).expect("a pageout");
    disk.arm(Fault { call: Call::Create, index: 0, effect: Effect::Fail(libc::EMFILE), lasts: Lasts::ForGood });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let handles: Vec<_> = (0..20).map(|_| pager.pageout(&mut cut(&whole, &[])).expect("another's file")).collect();
                for handle in handles {
                    assert_same(&handle.take().expect("a take"), &whole);
                }
            });
        }
    });
    assert!(disk.hits() > 0, "threads had no file of their own");
    assert_same(&held.take().expect("a take"), &whole);
}

/// A payload that went out and whose bytes the device then lost.
fn lost(disk: &Disk, pager: &Pager) -> Handle<u8> {
    disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::LoseWrite, lasts: Lasts::Once });
    let handle = pager.pageout(&mut [elements::<u8>(10_000, 5)]).expect("a write that says all is well");
    assert_eq!(disk.disarm(), 1);
    handle
}

#[test]
fn what_the_device_loses_is_reported_with_what_the_device_said() {
    let disk = Disk::new();
    let pager = disk.pager();
    let good = pager.pageout(&mut [elements::<u8>(10_000, 4)]).expect("a pageout");
    let swapped = pager.pageout_with(Backend::Swap, &mut [elements::<u8>(10_000, 6)]).expect("a pageout");
    let lost = lost(&disk, &pager);
    let of_other_file = pager.pageout(&mut [elements::<u8>(100, 7)]).expect("a pageout");
    disk.arm(Fault { call: Call::CheckWriteBack, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::Once });
    for _ in 0..2 {
        let error = pager.read_at(&lost, 0, 10_000, &mut Vec::new()).expect_err("the bytes are gone");
        assert!(matches!(error, Error::Corrupt { byte_offset: 0, write_back_errno: Some(libc::EIO), .. }), "{error:?}");
        assert!(error.to_string().contains("could not write all of their file: EIO"), "{error}");
    }
    assert_eq!([&lost, &good, &of_other_file, &swapped].map(Handle::is_at_risk), [true, true, false, false]);
    let stats = pager.stats();
    assert_eq!((stats.write_back_failures, stats.at_risk_bytes), (1, 2 * slot_bytes(10_000)));
    let mut back = Vec::new();
    pager.read_at(&good, 0, 10_000, &mut back).expect("a good payload of the same file");
    assert_same(&back, &elements::<u8>(10_000, 4));
    disk.forget();
    let new = pager.pageout(&mut [elements::<u8>(10_000, 8)]).expect("a pageout");
    assert_eq!((disk.count(Call::Create), new.is_at_risk()), (1, false), "a new file");
    drop((good, lost));
    let stats = pager.stats();
    assert_eq!((stats.write_back_failures, stats.at_risk_bytes), (1, 0));
}

#[test]
fn bytes_that_are_wrong_for_another_reason_name_no_write_back() {
    let disk = Disk::new();
    let pager = disk.pager();
    let lost = lost(&disk, &pager);
    let error = pager.read_at(&lost, 0, 10_000, &mut Vec::new()).expect_err("the bytes are gone");
    assert!(matches!(error, Error::Corrupt { byte_offset: 0, write_back_errno: None, .. }), "{error:?}");
    assert_eq!((lost.is_at_risk(), pager.stats().write_back_failures, pager.stats().at_risk_bytes), (false, 0, 0));
}

#[test]
fn a_trim_asks_whether_the_device_lost_something() {
    let disk = Disk::new();
    let pager = disk.pager();
    let handle = pager.pageout(&mut [elements::<u8>(10_000, 4)]).expect("a pageout");
    disk.arm(Fault { call: Call::CheckWriteBack, index: 0, effect: Effect::Fail(libc::ENOSPC), lasts: Lasts::Once });
    pager.trim().expect("a trim");
    assert!(disk.disarm() == 1 && handle.is_at_risk());
    assert_eq!((pager.stats().write_back_failures, pager.stats().at_risk_bytes), (1, slot_bytes(10_000)));
}

#[test]
fn a_file_that_is_about_to_grow_is_asked_whether_the_device_lost_something() {
    let disk = Disk::new();
    let pager = disk.pager();
    // The file of a class begins with room for 1 MiB.
    let mut held: Vec<_> = (0..64).map(|seed| pager.pageout(&mut [elements::<u8>(16 * KIB, seed)]).expect("a pageout")).collect();
    assert_eq!((disk.count(Call::CheckWriteBack), disk.count(Call::Create)), (0, 2));
    disk.arm(Fault { call: Call::CheckWriteBack, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::Once });
    held.push(pager.pageout(&mut [elements::<u8>(16 * KIB, 64)]).expect("a pageout"));
    assert_eq!((disk.disarm(), disk.count(Call::Create)), (1, 3), "another file serves");
    assert_eq!(held.iter().filter(|handle| handle.is_at_risk()).count(), 64);
    for (handle, seed) in held.into_iter().zip(0..) {
        let mut back = Vec::new();
        pager.take(handle, &mut back).expect("a take");
        assert_same(&back, &elements::<u8>(16 * KIB, seed));
    }
}
