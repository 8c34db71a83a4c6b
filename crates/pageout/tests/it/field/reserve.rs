//! A pager without a capacity of its own leaves a tenth of the file system free, whoever else writes to it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use super::{DiskRoom, Payload, check_all, fill, take_room_until};
use pageout::Pager;
use pageout_testing::mounts::FileSystem;
use pageout_testing::{KIB, MIB, builder, in_own_mounts, is_own_process, own_process, skip};

/// Tells a process where its scratch directory is.
const SCRATCH: &str = "PAGEOUT_TEST_SCRATCH";
/// What a process says when nothing fits any more.
const FILLED: &str = "nothing fits any more";

fn on_half_a_gibibyte(test: &str, body: impl FnOnce(&FileSystem)) {
    in_own_mounts(test, |root| match FileSystem::with_options("ext4", 512, root, &[]) {
        Ok(system) => body(&system),
        Err(reason) => skip(test, &reason),
    });
}

/// A pager with the default capacity.
fn pager(place: &Path) -> Pager {
    builder(place).build().expect("a pager")
}

/// Fills with long payloads, and what they leave with shorter ones.
fn fill_up(pager: &Pager) -> Vec<Payload> {
    [MIB, 64 * KIB, 4 * KIB].into_iter().flat_map(|len| fill(pager, len)).collect()
}

#[track_caller]
fn check_a_tenth_is_free(system: &FileSystem) {
    let room = DiskRoom::settled(system);
    assert!(room.available_bytes >= room.total_bytes / 10, "less than a tenth is free: {room:?}");
    assert!(room.available_bytes <= room.total_bytes / 5, "refused too early: {room:?}");
}

#[test]
fn one_pager_leaves_a_tenth_of_the_disk_free() {
    on_half_a_gibibyte("one_pager_leaves_a_tenth_of_the_disk_free", |system| {
        let held = fill_up(&pager(&system.place));
        check_a_tenth_is_free(system);
        check_all(&held);
    });
}

#[test]
fn two_pagers_leave_a_tenth_of_the_disk_free() {
    on_half_a_gibibyte("two_pagers_leave_a_tenth_of_the_disk_free", |system| {
        let (first, second) = (pager(&system.place), pager(&system.place));
        let held = (fill_up(&first), fill_up(&second));
        check_a_tenth_is_free(system);
        check_all(&held.0);
        check_all(&held.1);
    });
}

/// The part of a process of its own.
#[test]
#[ignore = "is started by other tests"]
fn fills_a_pager_and_waits() {
    if !is_own_process("fills_a_pager_and_waits") {
        return;
    }
    let pager = pager(Path::new(&std::env::var_os(SCRATCH).expect("the variable is set")));
    let held = fill_up(&pager);
    writeln!(std::io::stdout(), "{FILLED}").expect("somebody listens");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line, or the end");
    check_all(&held);
}

fn filling_process(scratch: &Path) -> Child {
    let mut command = own_process("fills_a_pager_and_waits");
    command.env(SCRATCH, scratch).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("this executable runs again")
}

/// Waits until the process has filled its pager.
fn wait_until_filled(process: &mut Child) {
    let mut lines = BufReader::new(process.stdout.as_mut().expect("a pipe")).lines();
    let is_filled = lines.any(|line| line.expect("a line").ends_with(FILLED));
    assert!(is_filled, "the process ended before");
}

#[test]
fn two_processes_leave_a_tenth_of_the_disk_free() {
    on_half_a_gibibyte("two_processes_leave_a_tenth_of_the_disk_free", |system| {
        let mut processes = [filling_process(&system.place), filling_process(&system.place)];
        processes.iter_mut().for_each(wait_until_filled);
        check_a_tenth_is_free(system);
        for mut process in processes {
            drop(process.stdin.take());
            assert!(process.wait().expect("a process that ends").success());
        }
    });
}

#[test]
fn a_tenth_of_the_disk_stays_free_beside_another_writer() {
    on_half_a_gibibyte("a_tenth_of_the_disk_stays_free_beside_another_writer", |system| {
        let pagers = [pager(&system.place), pager(&system.place)];
        let mut held: Vec<_> = (0..60).map(|seed| Payload::new(&pagers[0], MIB, seed)).collect();
        let total_bytes = DiskRoom::of(&system.place).total_bytes;
        take_room_until(system, total_bytes / 100 * 16);
        held.extend(pagers.iter().flat_map(fill_up));
        check_a_tenth_is_free(system);
        check_all(&held);
    });
}

#[test]
fn a_disk_that_another_writer_has_filled_past_the_reserve_gets_no_fuller() {
    on_half_a_gibibyte("a_disk_that_another_writer_has_filled_past_the_reserve_gets_no_fuller", |system| {
        let pager = pager(&system.place);
        let held: Vec<_> = (0..60).map(|seed| Payload::new(&pager, MIB, seed)).collect();
        let total_bytes = DiskRoom::of(&system.place).total_bytes;
        let other = take_room_until(system, total_bytes / 100 * 6);
        pager.trim().expect("a trim");
        let before = DiskRoom::settled(system);
        let refused = Payload::try_new(&pager, 48 * MIB, 1).expect_err("there is no room beside the reserve");
        assert!(matches!(refused.code(), "ENOSPC" | "ERR_PAGEOUT_CAPACITY"), "{refused:?}");
        let after = DiskRoom::settled(system);
        assert!(after.available_bytes + MIB as u64 >= before.available_bytes, "{before:?}, {after:?}");
        check_all(&held);
        other.set_len(0).expect("a shorter file");
        Payload::new(&pager, 48 * MIB, 1).check();
    });
}
