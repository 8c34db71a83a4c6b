//! Descriptors: a closed pager has none, and where there are none for new files the open ones serve.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{DiskRoom, Payload, becomes, payloads};
use pageout::Pager;
use pageout_testing::mounts::{FileSystem, scratch_files};
use pageout_testing::{KIB, MIB, builder, in_own_mounts, in_own_process, scratch, skip, u64_of};

fn descriptor_count() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("a listing").count()
}

/// A pager with files of several lengths, and what it holds.
fn used_pager(scratch: &Path) -> (Pager, Vec<Payload>) {
    let pager = builder(scratch).build().expect("a pager");
    let held = payloads(&pager, &[100, 4 * KIB, 60 * KIB, MIB, 2 * MIB], 1);
    (pager, held)
}

#[test]
fn a_closed_pager_has_no_descriptors() {
    in_own_process(
        "a_closed_pager_has_no_descriptors",
        |_| {},
        || {
            let scratch = scratch();
            // What says how much memory there is stays open for the process.
            let (first, _held) = used_pager(scratch.path());
            first.close();
            let before = descriptor_count();
            let pagers: Vec<_> = (0..30).map(|_| used_pager(scratch.path())).collect();
            assert!(descriptor_count() >= before + 30 * 5);
            for (pager, _) in &pagers {
                pager.close();
            }
            assert_eq!(scratch_files(scratch.path()), Vec::<PathBuf>::new());
            assert_eq!(descriptor_count(), before);
            // Handles and pagers may still be dropped, and a pager may be closed twice.
            pagers[0].0.close();
            drop(pagers);
            assert_eq!(descriptor_count(), before);
        },
    );
}

#[test]
fn a_closed_pager_refuses_everything_by_name() {
    let scratch = scratch();
    let (pager, mut held) = used_pager(scratch.path());
    let clone = pager.clone();
    pager.close();
    for pager in [&pager, &clone] {
        assert_eq!(Payload::try_new(pager, 100, 1).expect_err("a closed pager").code(), "ERR_PAGEOUT_CLOSED");
    }
    for payload in &held {
        let error = pager.read_at(&payload.handle, 0, 1, &mut Vec::new()).expect_err("a closed pager");
        assert_eq!(error.code(), "ERR_PAGEOUT_CLOSED");
    }
    let taken = pager.take(held.swap_remove(0).handle, &mut Vec::new()).expect_err("a closed pager");
    assert_eq!(taken.error().code(), "ERR_PAGEOUT_CLOSED");
}

#[test]
fn a_closed_pager_gives_its_disk_space_back() {
    let test = "a_closed_pager_gives_its_disk_space_back";
    in_own_mounts(test, |root| {
        let system = match FileSystem::with_options("ext4", 512, root, &[]) {
            Ok(system) => system,
            Err(reason) => return skip(test, &reason),
        };
        let before = DiskRoom::settled(&system);
        let pagers: Vec<_> = (0..4).map(|_| builder(&system.place).build().expect("a pager")).collect();
        let held: Vec<_> = pagers.iter().flat_map(|pager| payloads(pager, &[40 * MIB, MIB, 4 * KIB], 1)).collect();
        for pager in &pagers {
            pager.close();
        }
        let is_back = becomes(|| DiskRoom::settled(&system).free_bytes + u64_of(MIB) >= before.free_bytes);
        assert!(is_back, "{before:?}, {:?}", DiskRoom::of(&system.place));
        drop(held);
    });
}

/// Leaves no descriptor for anything else; dropped files give theirs back.
fn use_up_descriptors() -> Vec<File> {
    let limit = u64_of(descriptor_count() + 16);
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).expect("a lower limit");
    (0..).map_while(|_| File::open("/dev/null").ok()).collect()
}

#[test]
fn without_descriptors_the_files_of_other_threads_serve() {
    let test = "without_descriptors_the_files_of_other_threads_serve";
    in_own_process(
        test,
        |_| {},
        || {
            let scratch = scratch();
            let pager = builder(scratch.path()).build().expect("a pager");
            let lens = [4 * KIB, 64 * KIB, MIB];
            std::thread::scope(|scope| {
                scope.spawn(|| drop(payloads(&pager, &lens, 1)));
            });
            let taken = use_up_descriptors();
            // Each thread may have files of its own; none of these can have any. One after the other finds what the first has freed.
            for seed in 2..10 {
                std::thread::scope(|scope| {
                    scope.spawn(|| payloads(&pager, &lens, seed).iter().for_each(Payload::check));
                });
            }
            payloads(&pager, &lens, 1).iter().for_each(Payload::check);
            drop(taken);
        },
    );
}
