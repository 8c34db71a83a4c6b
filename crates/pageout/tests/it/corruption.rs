//! Bytes that come back wrong: found, placed, never handed out.

use std::io::ErrorKind;

use pageout::{Error, Handle, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{LARGEST_SLOT, PAGE, assert_same, check_works, cut, elements, gather, u64_of};

/// Whether payloads are encrypted: both ways verify. An interpreter runs no cipher in C.
const ENCRYPTION: &[bool] = if cfg!(miri) { &[false] } else { &[false, true] };

/// Checks something on a device with a pager of each kind that verifies.
fn on_each(check: impl Fn(&Disk, Pager)) {
    for &on in ENCRYPTION {
        let disk = Disk::new();
        check(&disk, disk.builder().encryption(on).build().expect("a pager in memory"));
    }
}

/// Reads in each way and takes; each must give the error that `wrong_page` asks for, and the right bytes without one.
/// Gives the handle back.
fn check_pages(pager: &Pager, mut handle: Handle<u8>, whole: &[u8], wrong_page: Option<usize>) -> Handle<u8> {
    let check = |outcome: Result<Vec<u8>, Error>, ranges: &[(usize, usize)]| match outcome {
        Ok(bytes) => {
            assert_same(&bytes, &gather(whole, ranges));
            let touches = |&(offset, len): &(usize, usize)| {
                wrong_page.is_some_and(|page| len > 0 && offset / PAGE <= page && page <= (offset + len - 1) / PAGE)
            };
            assert!(!ranges.iter().any(touches), "wrong bytes in page {wrong_page:?} were not noticed by {ranges:?}");
        }
        Err(Error::Corrupt { byte_offset, .. }) => assert_eq!(Some(byte_offset), wrong_page.map(|page| u64_of(page * PAGE))),
        Err(error) => panic!("{error:?}"),
    };
    let read = |ranges: &[(usize, usize)]| {
        let mut dst = vec![42; 3];
        let outcome = pager.read_at_many(&handle, ranges, &mut dst);
        assert_eq!(dst[..3], [42; 3]);
        match outcome {
            Ok(()) => Ok(dst.split_off(3)),
            Err(error) => {
                assert_eq!(dst.len(), 3, "nothing is appended");
                Err(error)
            }
        }
    };
    let len = whole.len();
    let page_starts: Vec<usize> = (0..len).step_by(PAGE).collect();
    let mut lists: Vec<Vec<(usize, usize)>> = vec![vec![(0, len)], vec![(len / 3, len / 3)]];
    lists.extend(page_starts.iter().map(|&start| vec![(start, (len - start).min(10))]));
    lists.extend(page_starts.iter().map(|&start| vec![(start / 2, (len - start / 2).min(PAGE + 1))]));
    lists.push(page_starts.iter().rev().step_by(3).map(|&start| (start, 1)).collect());
    lists.push(page_starts.iter().skip(1).step_by(2).map(|&start| (start, (len - start).min(77))).collect());
    for ranges in &lists {
        check(read(ranges), ranges);
    }
    let mut all = Vec::new();
    match pager.take(handle, &mut all) {
        Ok(()) => {
            assert_eq!(wrong_page, None, "wrong bytes were not noticed");
            assert_same(&all, whole);
            handle = pager.pageout(&mut [all]).expect("a pageout");
        }
        Err(failed) => {
            assert!(all.is_empty());
            check(Err(failed.error().clone()), &[]);
            handle = failed.into_handle();
        }
    }
    handle
}

#[test]
fn a_flipped_bit_anywhere_on_the_device_is_found_and_placed() {
    let lens = [1, 100, PAGE - 1, PAGE, PAGE + 1, 5 * PAGE - 7, 100_000, 200_000];
    // An interpreter is a thousand times slower.
    for &len in &lens[..if cfg!(miri) { 3 } else { lens.len() }] {
        let kinds = ENCRYPTION.iter().flat_map(|&on| [(u64::MAX, on), (0, on)]);
        for (cold_from, on) in kinds {
            let disk = Disk::new();
            disk.set_cold_from(cold_from);
            let pager = disk.builder().encryption(on).build().expect("a pager in memory");
            let whole = elements::<u8>(len, 1);
            let mut handle = pager.pageout(&mut cut(&whole, &[len / 2])).expect("a pageout");
            let bystander = pager.pageout(&mut cut(&whole, &[len / 2])).expect("a pageout");
            handle = check_pages(&pager, handle, &whole, None);
            // The check took the payload and put it out again.
            let (file, start) = disk.last_place();
            for place in [0, len / 2, len - 1, len / PAGE * PAGE, (len / 3) / PAGE * PAGE] {
                let place = place.min(len - 1);
                disk.flip(file, start + u64_of(place));
                handle = check_pages(&pager, handle, &whole, Some(place / PAGE));
                assert_eq!(pager.stats().handles, 2);
                disk.flip(file, start + u64_of(place));
            }
            let mut all = Vec::new();
            pager.take(handle, &mut all).expect("the bytes are right again");
            assert_same(&all, &whole);
            pager.take(bystander, &mut all).expect("a take");
            assert_same(&all, &whole);
        }
    }
}

#[test]
fn a_flipped_bit_on_the_way_back_is_found_and_the_next_read_is_right() {
    on_each(|disk, pager| {
        let whole = elements::<u8>(50_000, 1);
        let mut handle = pager.pageout(&mut cut(&whole, &[7])).expect("a pageout");
        for place in (0..50_000).step_by(if cfg!(miri) { 9_970 } else { 997 }) {
            disk.arm(Fault { call: Call::Read, index: 0, effect: Effect::FlipRead(place), lasts: Lasts::Once });
            let mut all = Vec::new();
            let failed = pager.take(handle, &mut all).expect_err("a flipped bit");
            let expected = place / u64_of(PAGE) * u64_of(PAGE);
            assert!(matches!(failed.error(), Error::Corrupt { byte_offset, .. } if *byte_offset == expected), "{failed:?}");
            assert_eq!((failed.error().code(), failed.error().kind()), ("ERR_PAGEOUT_CORRUPT", ErrorKind::InvalidData));
            handle = failed.into_handle();
        }
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &whole);
    });
}

#[test]
#[cfg_attr(miri, ignore = "64 MiB are too long for an interpreter")]
fn a_flipped_bit_in_a_later_slot_is_placed_in_the_payload() {
    on_each(|disk, pager| {
        let whole = elements::<u8>(LARGEST_SLOT + 3 * PAGE, 1);
        let handle = pager.pageout(&mut [whole]).expect("a pageout");
        let (file, start) = disk.last_place();
        disk.flip(file, start + u64_of(PAGE) + 5);
        let error = pager.read_at(&handle, LARGEST_SLOT - 9, 2 * PAGE, &mut Vec::new()).expect_err("a flipped bit");
        assert!(matches!(error, Error::Corrupt { byte_offset, .. } if byte_offset == u64_of(LARGEST_SLOT + PAGE)), "{error:?}");
        pager.read_at(&handle, LARGEST_SLOT - 9, PAGE, &mut Vec::new()).expect("the other pages are right");
    });
}

#[test]
fn lost_torn_and_misplaced_writes_are_found() {
    let effects = [Effect::LoseWrite, Effect::TearWrite, Effect::MisplaceWrite(u64_of(PAGE)), Effect::MisplaceWrite(24_576)];
    let kinds = effects.into_iter().flat_map(|effect| ENCRYPTION.iter().map(move |&on| (effect, on)));
    for (effect, on) in kinds {
        let disk = Disk::new();
        let pager = disk.builder().encryption(on).build().expect("a pager in memory");
        // Stale bytes of an earlier payload are where the next one goes.
        drop(pager.pageout(&mut [elements::<u8>(20_000, 9)]).expect("a pageout"));
        disk.arm(Fault { call: Call::Write, index: 0, effect, lasts: Lasts::Once });
        let mut handle = pager.pageout(&mut [elements::<u8>(20_000, 1)]).expect("the device says that all is well");
        let wrong_from = if effect == Effect::TearWrite { 8192 } else { 0 };
        for _ in 0..2 {
            let mut all = vec![1];
            let failed = pager.take(handle, &mut all).expect_err("wrong bytes");
            assert!(matches!(failed.error(), Error::Corrupt { byte_offset, .. } if *byte_offset == wrong_from), "{failed:?}");
            assert!(all.is_empty() || all == [1]);
            handle = failed.into_handle();
        }
        drop(handle);
        assert_eq!((pager.stats().handles, pager.stats().used_bytes), (0, 0));
        check_works(&pager);
    }
}

#[test]
fn a_misplaced_write_is_found_in_the_payload_that_it_hit_as_well() {
    on_each(|disk, pager| {
        let whole = elements::<u8>(4_000, 1);
        let slots: Vec<_> = (0..3).map(|_| pager.pageout(&mut cut(&whole, &[])).expect("a pageout")).collect();
        let [first, second, third] = <[_; 3]>::try_from(slots).expect("three");
        drop(first);
        // The next payload goes to the first slot, and lands in the second.
        disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::MisplaceWrite(u64_of(PAGE)), lasts: Lasts::Once });
        let stray = pager.pageout(&mut [elements::<u8>(4_000, 2)]).expect("the device says that all is well");
        for handle in [second, stray] {
            let failed = pager.take(handle, &mut Vec::new()).expect_err("wrong bytes");
            assert!(matches!(failed.error(), Error::Corrupt { byte_offset: 0, .. }), "{failed:?}");
        }
        let mut all = Vec::new();
        pager.take(third, &mut all).expect("a take");
        assert_same(&all, &whole);
    });
}

#[test]
fn a_misplaced_read_is_found() {
    on_each(|disk, pager| {
        let mut handle = pager.pageout(&mut [elements::<u8>(20_000, 1)]).expect("a pageout");
        let _neighbour = pager.pageout(&mut [elements::<u8>(20_000, 2)]).expect("a pageout");
        for further_bytes in [1, 512, u64_of(PAGE), 24_576] {
            disk.arm(Fault { call: Call::Read, index: 0, effect: Effect::MisplaceRead(further_bytes), lasts: Lasts::Once });
            let failed = pager.take(handle, &mut Vec::new()).expect_err("wrong bytes");
            assert!(matches!(failed.error(), Error::Corrupt { byte_offset: 0, .. }), "{failed:?}");
            handle = failed.into_handle();
        }
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("a take");
        assert_same(&all, &elements::<u8>(20_000, 1));
    });
}

#[test]
fn a_file_that_ends_early_is_found_with_and_without_checksums() {
    let encrypted = ENCRYPTION.iter().map(|&on| (true, on));
    for (integrity, on) in encrypted.chain([(false, false)]) {
        let disk = Disk::new();
        let pager = disk.builder().integrity(integrity).encryption(on).build().expect("a pager in memory");
        let whole = elements::<u8>(20_000, 1);
        let mut handle = pager.pageout(&mut cut(&whole, &[])).expect("a pageout");
        let (file, start) = disk.last_place();
        for kept in [0, 1, PAGE, PAGE + 1, 3 * PAGE, 19_999] {
            disk.truncate(file, start + u64_of(kept));
            let mut dst = vec![7; 2];
            let error = pager.read_at(&handle, 0, 20_000, &mut dst).expect_err("the file is too short");
            assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
            let mut target = vec![0; 20_000];
            let error = pager.read_into(&handle, &[(0, 20_000)], &mut target).expect_err("the file is too short");
            assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
            let ranges = [(16_500, 3_500), (0, 4_097)];
            let error = pager.read_at_many(&handle, &ranges, &mut dst).expect_err("the file is too short");
            assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
            assert_eq!(dst, [7; 2], "nothing is appended");
            let failed = pager.take(handle, &mut dst).expect_err("the file is too short");
            assert!(matches!(failed.error(), Error::Corrupt { .. }), "{failed:?}");
            handle = failed.into_handle();
        }
        disk.truncate(file, start + 20_000);
        let mut all = Vec::new();
        pager.take(handle, &mut all).expect("all of the payload is there");
        assert_same(&all, &whole);
    }
}

#[test]
fn the_first_page_that_a_short_file_lacks_is_named() {
    let encrypted = ENCRYPTION.iter().map(|&on| (true, on));
    for (integrity, on) in encrypted.chain([(false, false)]) {
        let disk = Disk::new();
        let pager = disk.builder().integrity(integrity).encryption(on).build().expect("a pager in memory");
        let handle = pager.pageout(&mut [elements::<u8>(20_000, 1)]).expect("a pageout");
        let (file, start) = disk.last_place();
        for kept in [PAGE, PAGE + 1, 3 * PAGE, 19_999] {
            disk.truncate(file, start + u64_of(kept));
            let error = pager.read_at(&handle, 0, 20_000, &mut Vec::new()).expect_err("the file is too short");
            let missing = u64_of(kept / PAGE * PAGE);
            assert!(matches!(error, Error::Corrupt { byte_offset, .. } if byte_offset == missing), "{kept}: {error:?}");
        }
    }
}

#[test]
fn without_checksums_wrong_bytes_pass_and_nothing_else_changes() {
    let disk = Disk::new();
    let pager = disk.builder().integrity(false).build().expect("a pager in memory");
    let mut whole = elements::<u8>(20_000, 1);
    let handle = pager.pageout(&mut cut(&whole, &[])).expect("a pageout");
    disk.arm(Fault { call: Call::Read, index: 0, effect: Effect::FlipRead(777), lasts: Lasts::Once });
    let mut all = Vec::new();
    pager.take(handle, &mut all).expect("nobody looks");
    whole[777] ^= 0x04;
    assert_same(&all, &whole);
}
