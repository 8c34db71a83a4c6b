//! Disk space that no payload uses goes back by itself, and the one thread that sees to it is there only meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{DiskRoom, Payload, SetWhenDropped, becomes, check_all};
use pageout::Pager;
use pageout_testing::mounts::{FileSystem, scratch_files};
use pageout_testing::{
    KIB, MIB, assert_passed, builder, by_way_of, in_own_mounts, in_own_process, is_own_process, own_process, scratch, skip,
    u64_of,
};

/// The most that stays idle where little is in use.
const IDLE_BYTES_MAX: u64 = 64 << 20;

/// Payloads that go out and come back.
fn small_trips(pager: &Pager) {
    for len in [100, 4 * KIB, 60 * KIB] {
        Payload::new(pager, len, 9).check();
    }
}

/// Bytes of disk space that no payload uses.
fn idle_bytes(pager: &Pager) -> u64 {
    let stats = pager.stats();
    stats.scratch_bytes - stats.used_bytes
}

/// Waits until the pager holds no more disk space than may stay idle, while small payloads come and go.
#[track_caller]
fn check_space_comes_back(pager: &Pager) {
    let is_back = becomes(|| {
        small_trips(pager);
        idle_bytes(pager) <= IDLE_BYTES_MAX
    });
    assert!(is_back, "{} bytes stay idle", idle_bytes(pager));
}

/// `body` gets a pager on an empty file system; afterwards the space is with the file system again.
fn on_an_image(test: &str, body: impl FnOnce(&Pager) -> Vec<Payload>) {
    in_own_mounts(test, |root| {
        let system = match FileSystem::with_options("ext4", 1024, root, &[]) {
            Ok(system) => system,
            Err(reason) => return skip(test, &reason),
        };
        let pager = builder(&system.place).build().expect("a pager");
        let before = DiskRoom::settled(&system);
        let held = body(&pager);
        check_space_comes_back(&pager);
        let after = DiskRoom::settled(&system);
        let taken_bytes = before.free_bytes - after.free_bytes;
        // The rest is what the file system notes of its own.
        let taken_bytes_max = IDLE_BYTES_MAX + pager.stats().used_bytes + u64_of(2 * MIB);
        assert!(taken_bytes <= taken_bytes_max, "the file system counts {taken_bytes} bytes");
        check_all(&held);
    });
}

fn page_out(pager: &Pager, count: usize, len: usize) -> Vec<Payload> {
    (0..count).map(|seed| Payload::new(pager, len, u64_of(seed))).collect()
}

#[test]
fn disk_space_that_nobody_uses_goes_back_by_itself() {
    on_an_image("disk_space_that_nobody_uses_goes_back_by_itself", |pager| {
        drop(page_out(pager, 512, MIB));
        Vec::new()
    });
}

#[test]
fn one_payload_in_each_file_does_not_keep_the_rest() {
    on_an_image("one_payload_in_each_file_does_not_keep_the_rest", |pager| {
        let some = |count: usize, len: usize| {
            let mut held = page_out(pager, count, len);
            held.drain(..).nth(count / 2).expect("a payload in the middle")
        };
        let shares = || [some(80, MIB), some(20 << 8, 4 * KIB)];
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4).map(|_| scope.spawn(shares)).collect();
            writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect()
        })
    });
}

#[test]
fn a_pager_that_does_nothing_any_more_gives_its_space_back() {
    let scratch = scratch();
    let pager = builder(scratch.path()).build().expect("a pager");
    drop(page_out(&pager, 256, MIB));
    assert!(becomes(|| idle_bytes(&pager) <= IDLE_BYTES_MAX), "{} bytes stay idle", idle_bytes(&pager));
}

fn limit_file_length(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).expect("a limit");
}

#[test]
fn a_file_that_was_set_aside_gives_its_space_back_too() {
    let test = "a_file_that_was_set_aside_gives_its_space_back_too";
    if !is_own_process(test) {
        let command = by_way_of("sh", &["-c", "trap '' XFSZ && exec \"$0\" \"$@\""], &own_process(test));
        return assert_passed(test, &{ command }.output().expect("a shell"));
    }
    let scratch = scratch();
    let pager = builder(scratch.path()).build().expect("a pager");
    limit_file_length(Some(u64_of(192 * MIB)));
    let mut held = page_out(&pager, 512, MIB);
    limit_file_length(None);
    assert!(scratch_files(scratch.path()).len() >= 3, "files that are full are followed by others");
    // The first file keeps a payload.
    held.truncate(1);
    check_space_comes_back(&pager);
    check_all(&held);
}

fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").expect("a listing").count()
}

#[test]
fn no_thread_is_started_while_little_is_idle() {
    in_own_process(
        "no_thread_is_started_while_little_is_idle",
        |_| {},
        || {
            let scratch = scratch();
            let before = thread_count();
            let pager = builder(scratch.path()).build().expect("a pager");
            for round in 0..50 {
                let held = page_out(&pager, 4, MIB);
                small_trips(&pager);
                assert_eq!(thread_count(), before, "round {round}");
                drop(held);
                assert_eq!(thread_count(), before, "round {round}, released");
            }
            // The end of a pager may leave large files to a thread.
            drop(pager);
            assert!(becomes(|| thread_count() == before), "it stays");
        },
    );
}

/// Runs `body`; gives the most threads that existed meanwhile, that of the observer not counted.
fn most_threads_during(body: impl FnOnce()) -> usize {
    let (is_over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                most.fetch_max(thread_count() - 1, Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let _end = SetWhenDropped(&is_over);
        body();
    });
    most.into_inner()
}

#[test]
fn the_background_thread_is_there_while_space_is_idle_and_ends_afterwards() {
    let test = "the_background_thread_is_there_while_space_is_idle_and_ends_afterwards";
    in_own_process(
        test,
        |_| {},
        || {
            let scratch = scratch();
            let before = thread_count();
            let pagers = [(); 3].map(|()| builder(scratch.path()).build().expect("a pager"));
            for round in 0..2 {
                let most = most_threads_during(|| {
                    for pager in &pagers {
                        drop(page_out(pager, 128, MIB));
                    }
                    pagers.iter().for_each(check_space_comes_back);
                });
                assert_eq!(most, before + 1, "round {round}: one thread for all pagers");
                assert!(becomes(|| thread_count() == before), "round {round}: it stays");
            }
        },
    );
}
