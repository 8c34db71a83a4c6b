//! A device without room: what is said, what still works, and that nothing lasts longer than its cause.

use std::io::ErrorKind;

use pageout::{Error, Handle, Pager, SpaceFacts};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{KIB, assert_same, check_works, elements, slot_bytes, u64_of};

/// Pages payloads of one length out until the disk is full.
fn fill(pager: &Pager, len_bytes: usize) -> Vec<Handle<u8>> {
    let mut handles = Vec::new();
    loop {
        let mut chunks = [elements::<u8>(len_bytes, u64_of(handles.len()))];
        match pager.pageout(&mut chunks) {
            Ok(handle) => handles.push(handle),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageFull, "{error:?}");
                assert_same(&chunks[0], &elements::<u8>(len_bytes, u64_of(handles.len())));
                return handles;
            }
        }
    }
}

fn check_filled(pager: &Pager, handles: &[Handle<u8>]) {
    for (position, handle) in handles.iter().enumerate() {
        let mut all = Vec::new();
        pager.read_at(handle, 0, handle.len(), &mut all).expect("a read");
        assert_same(&all, &elements::<u8>(handle.len(), u64_of(position)));
    }
}

/// The numbers in an error about space.
fn facts(error: &Error) -> SpaceFacts {
    match error {
        Error::System { space: Some(facts), .. } => **facts,
        other => panic!("an error without numbers: {other:?}"),
    }
}

#[test]
fn a_full_disk_is_said_with_the_numbers_when_room_is_asked_for() {
    let disk = Disk::with_room(1 << 20);
    let pager = disk.builder().capacity_bytes(1 << 30).build().expect("a pager in memory");
    let _held = pager.pageout(&mut [vec![1u8; 5_000]]).expect("there is room");
    let error = pager.pageout(&mut [vec![1u8; 1_800_000]]).expect_err("there is no room");
    assert_eq!((error.code(), error.kind()), ("ENOSPC", ErrorKind::StorageFull));
    let facts = facts(&error);
    assert_eq!(facts.requested_bytes, slot_bytes(1_800_000), "the slots that the call needs");
    assert_eq!(facts.used_bytes, 8192, "slots handed out before the call");
    assert_eq!(facts.capacity_bytes, 1 << 30);
}

#[test]
fn a_full_disk_is_said_with_the_numbers_when_it_is_written_to() {
    let disk = Disk::new();
    let pager = disk.builder().capacity_bytes(1 << 30).build().expect("a pager in memory");
    let _held = pager.pageout(&mut [vec![1u8; 5_000]]).expect("there is room");
    for errno in [libc::ENOSPC, libc::EDQUOT] {
        disk.arm(Fault { call: Call::Write, index: 0, effect: Effect::Fail(errno), lasts: Lasts::ForGood });
        let error = pager.pageout(&mut [vec![1u8; 20_000]]).expect_err("there is no room");
        assert_eq!(error.raw_os_error(), Some(errno));
        let facts = facts(&error);
        assert_eq!(facts.requested_bytes, slot_bytes(20_000), "the slots that the call needs");
        assert_eq!(facts.used_bytes, 8192, "slots handed out before the call");
        assert_eq!(facts.capacity_bytes, 1 << 30);
    }
}

#[test]
fn growth_shrinks_to_what_the_disk_has_left() {
    for (room_kib, len_kib) in [(1536, 64), (3 * 1024 + 96, 96), (5 * 1024 + 4, 4), (200, 8), (64, 64), (10 * 1024, 1024)] {
        let disk = Disk::with_room(u64_of(room_kib * KIB));
        let pager = disk.builder().capacity_bytes(1 << 30).build().expect("a pager in memory");
        let handles = fill(&pager, len_kib * KIB);
        assert_eq!(handles.len(), room_kib / len_kib, "{len_kib} KiB payloads in {room_kib} KiB");
        check_filled(&pager, &handles);
    }
}

#[test]
fn what_room_is_left_serves_smaller_payloads_and_a_full_disk_is_no_lasting_state() {
    let disk = Disk::with_room(u64_of(1000 * KIB));
    let pager = disk.builder().capacity_bytes(1 << 30).build().expect("a pager in memory");
    let mut held = fill(&pager, 256 * KIB);
    assert_eq!(held.len(), 3);
    let smaller = fill(&pager, 32 * KIB);
    assert_eq!(smaller.len(), (1000 - 3 * 256) / 32);
    check_filled(&pager, &held);
    check_filled(&pager, &smaller);
    held.pop();
    let again = pager.pageout(&mut [vec![1u8; 256 * KIB]]).expect("a place is free again");
    pager.pageout(&mut [vec![1u8; 256 * KIB]]).expect_err("it was the only one");
    // Somebody else's files were removed.
    disk.set_room(1 << 30);
    check_works(&pager);
    let more = pager.pageout(&mut [vec![1u8; 256 * KIB]]).expect("the disk has room again");
    check_filled(&pager, &held);
    drop((held, smaller, again, more));
    assert_eq!(pager.stats().used_bytes, 0);
}

/// Room that free slots of one class hold serves another class, when the disk is full.
fn free_slots_serve_others(disk: &Disk) {
    let room = 2000 * KIB;
    disk.set_room(u64_of(room));
    let pager = disk.builder().capacity_bytes(1 << 30).build().expect("a pager in memory");
    for len_kib in [4, 64, 12, 500, 96, 8] {
        let handles = fill(&pager, len_kib * KIB);
        let places = room / usize::try_from(slot_bytes(len_kib * KIB)).expect("a small number");
        // Where space is not reserved, a payload takes the pages that it fills, which are fewer than those of its slot.
        assert!(handles.len() >= places, "{} of {places} payloads of {len_kib} KiB", handles.len());
        check_filled(&pager, &handles);
    }
}

#[test]
fn a_full_disk_takes_free_slots_of_other_classes_back() {
    free_slots_serve_others(&Disk::new());
}

#[test]
fn a_full_disk_takes_free_slots_back_where_holes_cannot_be_made() {
    free_slots_serve_others(&Disk::new().without_punch());
}

#[test]
fn a_full_disk_takes_free_slots_back_where_space_cannot_be_reserved() {
    free_slots_serve_others(&Disk::new().without_reserve().without_punch());
}

#[test]
fn free_slots_beside_payloads_are_taken_back_too() {
    let disk = Disk::with_room(u64_of(2000 * KIB));
    let pager = disk.builder().capacity_bytes(1 << 30).build().expect("a pager in memory");
    let mut small = fill(&pager, 4 * KIB);
    // Every fourth stays, so that no file is empty and no four neighbours are free.
    let mut position = 0;
    small.retain(|_| {
        position += 1;
        position % 4 == 1
    });
    let large = fill(&pager, 100 * KIB);
    assert_eq!(large.len(), (500 - small.len()) * 4 / 128, "{} small ones stay", small.len());
    check_filled(&pager, &large);
    for (position, handle) in small.iter().enumerate() {
        let mut all = Vec::new();
        pager.read_at(handle, 0, handle.len(), &mut all).expect("a read");
        assert_same(&all, &elements::<u8>(4 * KIB, u64_of(4 * position)));
    }
}

#[test]
fn what_one_thread_frees_serves_the_others_before_files_grow() {
    let disk = Disk::new();
    let pager = disk.pager();
    let page_out = |seed| pager.pageout(&mut [elements::<u8>(64 * KIB, seed)]).expect("a pageout");
    // Two stay, so that the file does.
    let mut held: Vec<_> = (0..10).map(page_out).collect();
    held.truncate(2);
    disk.forget();
    for thread in 0..4 {
        let two = || [page_out(2 * thread), page_out(2 * thread + 1)];
        held.extend(std::thread::scope(|scope| scope.spawn(two).join().expect("a thread that pages out")));
    }
    assert_eq!(disk.count(Call::Reserve), 0);
    check_filled(&pager, &held[2..]);
}

/// Free slots of a file that holds a payload serve every thread, when the disk is full.
fn free_slots_serve_every_thread(disk: &Disk) {
    disk.set_room(u64_of(1024 * KIB));
    let pager = disk.builder().capacity_bytes(1 << 30).build().expect("a pager in memory");
    let mut handles = fill(&pager, 64 * KIB);
    assert_eq!(handles.len(), 16);
    handles.truncate(1);
    for _ in 0..4 {
        let page_out = || pager.pageout(&mut [vec![1u8; 64 * KIB]]).map(drop);
        let served = std::thread::scope(|scope| scope.spawn(page_out).join().expect("a thread that pages out"));
        served.expect("fifteen places are free");
    }
}

#[test]
fn free_slots_serve_whichever_thread_asks() {
    free_slots_serve_every_thread(&Disk::new());
}

#[test]
fn free_slots_serve_whichever_thread_asks_where_holes_cannot_be_made() {
    free_slots_serve_every_thread(&Disk::new().without_punch());
}

#[test]
fn free_slots_serve_whichever_thread_asks_where_space_cannot_be_reserved() {
    free_slots_serve_every_thread(&Disk::new().without_reserve().without_punch());
}

#[test]
fn a_disk_that_was_full_at_the_start_serves_once_it_has_room() {
    let disk = Disk::with_room(0);
    let pager = disk.builder().build().expect("a full disk is no reason to refuse a directory");
    let mut chunks = [elements::<u64>(3_000, 1)];
    pager.pageout(&mut chunks).expect_err("the disk is full");
    assert_same(&chunks[0], &elements::<u64>(3_000, 1));
    disk.set_room(1 << 30);
    check_works(&pager);
}

#[test]
fn a_device_that_fails_to_take_space_back_is_said_and_the_places_stay() {
    let disk = Disk::new();
    let pager = disk.pager();
    let mut handles: Vec<_> =
        (0..40).map(|seed| pager.pageout(&mut [elements::<u8>(64 * KIB, seed)]).expect("a pageout")).collect();
    let scratch_bytes = pager.stats().scratch_bytes;
    handles.truncate(1);
    disk.arm(Fault { call: Call::Punch, index: 0, effect: Effect::Fail(libc::EIO), lasts: Lasts::ForGood });
    let error = pager.trim().expect_err("the device fails");
    assert_eq!((error.code(), pager.stats().scratch_bytes), ("EIO", scratch_bytes));
    disk.disarm();
    pager.trim().expect("a trim");
    assert_eq!(pager.stats().scratch_bytes, 64 * u64_of(KIB));
}

#[test]
fn places_whose_space_cannot_be_given_back_stay_ready_for_use() {
    let disk = Disk::new();
    let pager = disk.pager();
    let mut handles: Vec<_> =
        (0..40).map(|seed| pager.pageout(&mut [elements::<u8>(64 * KIB, seed)]).expect("a pageout")).collect();
    // What lies behind the last payload goes back all the same, by ending the file earlier.
    handles.drain(..39);
    disk.arm(Fault { call: Call::Punch, index: 0, effect: Effect::Fail(libc::EOPNOTSUPP), lasts: Lasts::ForGood });
    pager.trim().expect("a trim");
    assert!(disk.disarm() > 0);
    assert_eq!(pager.stats().scratch_bytes, 40 * 64 * u64_of(KIB));
    disk.forget();
    handles.extend((0..39).map(|seed| pager.pageout(&mut [elements::<u8>(64 * KIB, seed)]).expect("a pageout")));
    assert_eq!(disk.calls(), [Call::Write; 39], "no more space is asked for");
    handles.rotate_left(1);
    check_filled(&pager, &handles);
}
