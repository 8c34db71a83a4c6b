//! A scratch directory that goes away is opened, and made, again; what was in it stays readable.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Payload, check_all, payloads};
use pageout::Pager;
use pageout_testing::mounts::{run, scratch_files};
use pageout_testing::{KIB, MIB, builder, in_own_mounts, names, scratch, skip, text};

/// Lengths that need files of their own.
const LATER_LENS: [usize; 4] = [64 * KIB, 4 * KIB, MIB, 3 * MIB];

/// A pager in a directory below `root`, with a payload out.
fn with_a_payload(directory: &Path) -> (Pager, Payload) {
    let pager = builder(directory).build().expect("a pager");
    let payload = Payload::new(&pager, 4 * KIB, 1);
    (pager, payload)
}

/// What the pager serves from now on, beside what it held.
#[track_caller]
fn check_serves(pager: &Pager, held: &Payload) {
    let later = payloads(pager, &LATER_LENS, 2);
    check_all(&later);
    held.check();
    drop(later);
    pager.trim().expect("a trim");
    held.check();
    check_all(&payloads(pager, &LATER_LENS, 7));
}

#[test]
fn a_directory_that_is_removed_is_made_again() {
    let root = scratch();
    let directory = root.path().join("scratch");
    let (pager, held) = with_a_payload(&directory);
    std::fs::remove_dir(&directory).expect("an empty directory");
    check_serves(&pager, &held);
    assert_eq!(names(&directory), [""; 0], "it is there, and nothing is left in it");
}

#[test]
fn a_directory_that_is_removed_with_its_parents_is_made_again() {
    let root = scratch();
    let directory = root.path().join("some/scratch");
    let (pager, held) = with_a_payload(&directory);
    std::fs::remove_dir_all(root.path().join("some")).expect("empty directories");
    check_serves(&pager, &held);
    assert!(directory.is_dir());
}

#[test]
fn a_directory_that_is_replaced_is_opened_again() {
    let root = scratch();
    let directory = root.path().join("scratch");
    let (pager, held) = with_a_payload(&directory);
    for _ in 0..3 {
        std::fs::remove_dir(&directory).expect("an empty directory");
        std::fs::create_dir(&directory).expect("a new directory");
        check_serves(&pager, &held);
    }
}

#[test]
fn a_directory_that_is_removed_before_the_first_payload_is_made_again() {
    let root = scratch();
    let directory = root.path().join("scratch");
    let pager = builder(&directory).build().expect("a pager");
    std::fs::remove_dir(&directory).expect("an empty directory");
    check_all(&payloads(&pager, &LATER_LENS, 1));
}

/// Device numbers of the scratch files below `directory`.
fn devices(directory: &Path) -> Vec<u64> {
    let files = scratch_files(directory);
    files.iter().map(|file| std::fs::metadata(file).expect("an open file").dev()).collect()
}

#[test]
fn a_directory_that_is_mounted_over_is_opened_again() {
    let test = "a_directory_that_is_mounted_over_is_opened_again";
    in_own_mounts(test, |root| {
        let directory = root.join("scratch");
        let (pager, held) = with_a_payload(&directory);
        let below = std::fs::metadata(&directory).expect("a directory").dev();
        if let Err(reason) = run("mount", &["-t", "tmpfs", "none", text(&directory)]) {
            return skip(test, &reason);
        }
        let above = std::fs::metadata(&directory).expect("a directory").dev();
        let later = payloads(&pager, &LATER_LENS, 2);
        assert!(devices(root).contains(&above), "new files are in the directory that the path leads to");
        assert!(devices(root).contains(&below), "and the old ones stay");
        check_all(&later);
        check_serves(&pager, &held);
    });
}

/// `body` gets a pager that refuses memory, its directory, and the place of a file system in memory.
fn beside_memory(test: &str, body: impl FnOnce(&Pager, &Path, &Path)) {
    in_own_mounts(test, |root| {
        let (directory, memory) = (root.join("scratch"), root.join("memory"));
        let Ok(pager) = Pager::builder().scratch_dir(&directory).build() else {
            return skip(test, "the temporary directory is in memory");
        };
        std::fs::create_dir(&memory).expect("a new directory");
        match run("mount", &["-t", "tmpfs", "none", text(&memory)]) {
            Ok(()) => body(&pager, &directory, &memory),
            Err(reason) => skip(test, &reason),
        }
    });
}

#[test]
fn a_directory_that_is_replaced_by_one_in_memory_is_refused() {
    beside_memory("a_directory_that_is_replaced_by_one_in_memory_is_refused", |pager, directory, memory| {
        let held = Payload::new(pager, 4 * KIB, 1);
        std::fs::remove_dir(directory).expect("an empty directory");
        std::os::unix::fs::symlink(memory, directory).expect("a link");
        let error = Payload::try_new(pager, MIB, 2).expect_err("memory is refused");
        assert_eq!(error.code(), "ERR_PAGEOUT_RAM_BACKED", "{error}");
        held.check();
        std::fs::remove_file(directory).expect("the link");
        check_serves(pager, &held);
    });
}

#[test]
fn a_directory_that_memory_is_mounted_over_is_refused_until_it_is_gone() {
    beside_memory("a_directory_that_memory_is_mounted_over_is_refused_until_it_is_gone", |pager, directory, memory| {
        let held = Payload::new(pager, 4 * KIB, 1);
        run("mount", &["--bind", text(memory), text(directory)]).expect("a mount");
        let error = Payload::try_new(pager, MIB, 2).expect_err("memory is refused");
        assert_eq!(error.code(), "ERR_PAGEOUT_RAM_BACKED", "{error}");
        held.check();
        run("umount", &[text(directory)]).expect("nothing is open there");
        check_serves(pager, &held);
    });
}
