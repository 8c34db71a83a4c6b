//! A pageout that is refused leaves the disk as full as it found it, and what room is left serves smaller payloads.

use std::io::ErrorKind;

use super::{DiskRoom, Payload, take_room_until};
use pageout::Pager;
use pageout_testing::mounts::FileSystem;
use pageout_testing::{MIB, builder, in_own_mounts, skip, u64_of};

/// What may differ: the file system's own notes.
const SLACK_BYTES: u64 = MIB as u64;

/// A file system of which every block may be used, and a pager that may use all of it.
fn on_each(test: &str, body: impl Fn(&FileSystem, &Pager)) {
    in_own_mounts(test, |root| {
        for (kind, options) in [("ext4", ["-m", "0"].as_slice()), ("xfs", &[]), ("btrfs", &[]), ("tmpfs", &[])] {
            match FileSystem::with_options(kind, 512, root, options) {
                Ok(system) => body(&system, &builder(&system.place).capacity_bytes(1 << 40).build().expect("a pager")),
                Err(reason) => skip(&format!("{test} on {kind}"), &reason),
            }
        }
    });
}

/// A payload of `len` is refused, and the disk is as full as before.
#[track_caller]
fn check_refusal(system: &FileSystem, pager: &Pager, len: usize) {
    let before = DiskRoom::settled(system);
    let error = Payload::try_new(pager, len, 2).expect_err("there is no room");
    assert_eq!((error.code(), error.kind()), ("ENOSPC", ErrorKind::StorageFull), "{}", system.kind);
    let after = DiskRoom::settled(system);
    let (kind, lost_bytes) = (system.kind, before.free_bytes.saturating_sub(after.free_bytes));
    assert!(lost_bytes <= SLACK_BYTES, "{kind}: {lost_bytes} bytes are gone: {before:?}, {after:?}");
}

#[test]
fn a_refused_pageout_leaves_the_disk_as_full_as_it_found_it() {
    on_each("a_refused_pageout_leaves_the_disk_as_full_as_it_found_it", |system, pager| {
        let held = Payload::new(pager, 60 * MIB, 1);
        take_room_until(system, u64_of(40 * MIB));
        check_refusal(system, pager, 60 * MIB);
        let smaller = Payload::new(pager, 30 * MIB, 3);
        smaller.check();
        held.check();
    });
}

#[test]
fn a_first_pageout_that_is_refused_leaves_the_disk_as_full_as_it_found_it() {
    on_each("a_first_pageout_that_is_refused_leaves_the_disk_as_full_as_it_found_it", |system, pager| {
        take_room_until(system, u64_of(40 * MIB));
        check_refusal(system, pager, 60 * MIB);
        Payload::new(pager, 30 * MIB, 3).check();
    });
}

#[test]
fn a_refused_pageout_of_several_slots_gives_the_first_ones_back() {
    on_each("a_refused_pageout_of_several_slots_gives_the_first_ones_back", |system, pager| {
        let held = Payload::new(pager, 60 * MIB, 1);
        take_room_until(system, u64_of(140 * MIB));
        check_refusal(system, pager, 150 * MIB);
        Payload::new(pager, 100 * MIB, 3).check();
        held.check();
    });
}

#[test]
fn a_refusal_repeated_is_a_refusal_and_costs_nothing() {
    on_each("a_refusal_repeated_is_a_refusal_and_costs_nothing", |system, pager| {
        let held = Payload::new(pager, MIB, 1);
        take_room_until(system, u64_of(40 * MIB));
        let before = DiskRoom::settled(system);
        for len in [60 * MIB, 45 * MIB, 150 * MIB].repeat(2) {
            Payload::try_new(pager, len, 2).expect_err("there is no room");
        }
        let after = DiskRoom::settled(system);
        assert!(after.free_bytes + SLACK_BYTES >= before.free_bytes, "{}: {before:?}, {after:?}", system.kind);
        held.check();
    });
}
