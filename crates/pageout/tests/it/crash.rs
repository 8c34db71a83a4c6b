//! Processes that end at any moment, side by side in one directory: nothing of them is left, and nobody is disturbed.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use pageout::{Handle, Pager};
use pageout_testing::draws::Draws;
use pageout_testing::mounts::FileSystem;
use pageout_testing::outcome::eventually;
use pageout_testing::{
    KIB, MIB, PAGE, Setup, assert_same, builder, check_works, elements, in_own_mounts, is_own_process, names, own_process,
    report, scratch, short_or_long, skip, text, u64_of,
};

/// Tells a process where its scratch directory is.
const SCRATCH: &str = "PAGEOUT_TEST_SCRATCH";
/// Tells a process to use only what every platform offers.
const IS_PORTABLE: &str = "PAGEOUT_TEST_IS_PORTABLE";

/// Pages out, reads and takes until `stop`, checking every byte; says so after each operation.
fn work(pager: &Pager, seed: u64, stop: &AtomicBool, said: &mut impl Write) {
    let mut random = Draws::seeded(seed);
    let mut held: Vec<(u64, Handle<u8>)> = Vec::new();
    while !stop.load(Relaxed) {
        let seed = u64_of(random.index(1 << 20));
        if held.len() < 8 {
            let len = [1, PAGE, 10 * KIB, 60 * KIB, 300 * KIB][random.index(5)] + random.index(PAGE);
            held.push((seed, pager.pageout(&mut [elements::<u8>(len, seed)]).expect("a pageout")));
        } else {
            let (seed, handle) = held.swap_remove(random.index(held.len()));
            let (len, mut all) = (handle.len(), Vec::new());
            pager.read_at(&handle, 0, len, &mut all).expect("a read");
            assert_same(&all, &elements::<u8>(len, seed));
            pager.take(handle, &mut all).expect("a take");
            assert_same(&all, &elements::<u8>(len, seed));
        }
        said.write_all(b".").expect("somebody listens");
    }
}

/// The part of the process that is killed.
#[test]
#[ignore = "is started by other tests"]
fn works_until_it_is_killed() {
    if !is_own_process("works_until_it_is_killed") {
        return;
    }
    let directory = std::env::var_os(SCRATCH).expect("the variable is set");
    let setup = if std::env::var_os(IS_PORTABLE).is_some() { Setup::Portable } else { Setup::Native };
    // Every other process has a memory budget, which its keeper empties meanwhile.
    let resident_bytes = u64::from(std::process::id() % 2) * u64_of(512 * KIB);
    let pager = setup.builder(Path::new(&directory)).resident_bytes(resident_bytes).build().expect("a pager");
    let never = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (pager, never) = (&pager, &never);
            let mut output = File::options().write(true).open("/dev/stdout").expect("a pipe");
            scope.spawn(move || work(pager, u64::from(std::process::id()) * 3 + number, never, &mut output));
        }
    });
}

/// Starts that process.
fn worker(directory: &Path, setup: Setup, output: Stdio) -> Child {
    let mut command = own_process("works_until_it_is_killed");
    command.env(SCRATCH, directory).stdin(Stdio::null()).stdout(output);
    if matches!(setup, Setup::Portable) {
        command.env(IS_PORTABLE, "1");
    }
    command.spawn().expect("this executable runs again")
}

/// When a process is killed.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// After so many operations,
    operations: usize,
    /// and then after so long.
    delay: Duration,
}

impl Moment {
    /// One in four is killed while it starts, most likely.
    fn random(random: &mut Draws<'_>) -> Self {
        let operations = if random.index(4) == 0 { 0 } else { 1 + random.index(30) };
        let delay_us = if operations == 0 { 10_000 } else { 2_000 };
        Self { operations, delay: Duration::from_micros(u64_of(random.index(delay_us))) }
    }
}

/// Operations that a worker has done, by what it said. The test harness ends what it says itself with a blank.
fn operations(said: &[u8]) -> usize {
    said.iter().rev().take_while(|&&byte| byte == b'.').count()
}

/// Starts a worker and kills it; says how many operations it has done.
fn is_killed(directory: &Path, setup: Setup, moment: Moment) -> usize {
    let mut child = worker(directory, setup, Stdio::piped());
    let mut output = child.stdout.take().expect("a pipe");
    let (mut said, mut part) = (Vec::new(), [0; 256]);
    while operations(&said) < moment.operations {
        match output.read(&mut part).expect("what it says") {
            0 => break,
            len => said.extend_from_slice(&part[..len]),
        }
    }
    std::thread::sleep(moment.delay);
    child.kill().expect("a process that runs or has ended");
    let status = child.wait().expect("a process that ends");
    output.read_to_end(&mut said).expect("what it said");
    assert_eq!(status.signal(), Some(libc::SIGKILL), "it ended by itself: {}", String::from_utf8_lossy(&said));
    operations(&said)
}

/// Tells threads to stop, also when a test fails.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// What a campaign has seen.
#[derive(Debug, Default)]
struct Campaign {
    kills: AtomicUsize,
    /// Kills of processes that had begun to work.
    at_work: AtomicUsize,
    operations: AtomicUsize,
    /// Names that were left by processes that use named files.
    names_left: usize,
}

/// Processes that run at the same time.
const AT_ONCE: usize = 4;
/// Kills between two looks at the directory.
const BATCH: usize = 20;

impl Campaign {
    /// Some kills, four processes at a time.
    fn batch(&self, directory: &Path, setup: Setup, seed: u64) {
        std::thread::scope(|scope| {
            for number in 0..AT_ONCE {
                scope.spawn(move || {
                    let mut random = Draws::seeded(seed * u64_of(AT_ONCE) + u64_of(number));
                    for _ in 0..BATCH / AT_ONCE {
                        let operations = is_killed(directory, setup, Moment::random(&mut random));
                        self.kills.fetch_add(1, Relaxed);
                        self.at_work.fetch_add(usize::from(operations > 0), Relaxed);
                        self.operations.fetch_add(operations, Relaxed);
                    }
                });
            }
        });
    }
}

/// Removes what is left of processes that were killed between making a name and removing it. All of it is empty. Says how
/// many names there were.
fn remove_empty_names(directory: &Path) -> usize {
    let mut count = 0;
    for name in names(directory).into_iter().filter(|name| name != "lost+found") {
        let path = directory.join(&name);
        let facts = std::fs::symlink_metadata(&path).expect("a name");
        if facts.is_dir() {
            count += remove_empty_names(&path);
            std::fs::remove_dir(path).expect("an empty directory");
        } else {
            assert_eq!(facts.len(), 0, "{name} holds bytes");
            std::fs::remove_file(path).expect("an empty file");
        }
        count += 1;
    }
    count
}

/// Kills processes in `directory` while a pager of this process works in it. `free_blocks` looks at the file system.
fn run_campaign(directory: &Path, setup: Setup, batches: usize, free_blocks: &dyn Fn() -> u64) -> Campaign {
    let mut campaign = Campaign::default();
    let pager = builder(directory).build().expect("a pager");
    let held: Vec<_> = (0..16).map(|seed| pager.pageout(&mut [elements::<u8>(50 * KIB, seed)]).expect("a pageout")).collect();
    let before = free_blocks();
    for batch in 0..batches {
        campaign.batch(directory, setup, u64_of(batch));
        let names_left = remove_empty_names(directory);
        assert!(names_left == 0 || matches!(setup, Setup::Portable), "{names_left} names are left");
        campaign.names_left += names_left;
        assert_eq!(free_blocks(), before, "blocks are left");
        for (seed, handle) in (0..).zip(&held) {
            let mut all = Vec::new();
            pager.read_at(handle, 0, handle.len(), &mut all).expect("a read");
            assert_same(&all, &elements::<u8>(50 * KIB, seed));
        }
    }
    drop(held);
    check_works(&pager);
    assert_eq!(pager.stats().used_bytes, 0);
    campaign
}

fn nothing_is_left_of_killed_processes(test: &str, setup: Setup) {
    in_own_mounts(test, |root| {
        let system = match FileSystem::with_options("ext4", 512, root, &["-m", "0"]) {
            Ok(system) => system,
            Err(reason) => return skip(test, &reason),
        };
        let batches = short_or_long(100, 5_000) / BATCH;
        let campaign = run_campaign(&system.place, setup, batches, &|| {
            // Writing a file's pages to the device may cost a block of its map, also long after the pages were put out.
            system.sync();
            system.free_blocks()
        });
        let [count, at_work, operations] =
            [&campaign.kills, &campaign.at_work, &campaign.operations].map(|count| count.load(Relaxed));
        assert!(at_work * 2 > count, "only {at_work} of {count} processes had begun to work");
        let outcome =
            format!("{at_work} at work, {operations} operations; no byte left, {} empty names left", campaign.names_left);
        report(&format!("kill -9, {setup:?}"), "ext4", batches, count, &outcome);
        system.unmount().expect("nobody holds the file system");
    });
}

#[test]
fn nothing_is_left_of_processes_that_are_killed_at_any_moment() {
    nothing_is_left_of_killed_processes("nothing_is_left_of_processes_that_are_killed_at_any_moment", Setup::Native);
}

#[test]
fn no_byte_is_left_of_processes_with_named_files_that_are_killed_at_any_moment() {
    let test = "no_byte_is_left_of_processes_with_named_files_that_are_killed_at_any_moment";
    nothing_is_left_of_killed_processes(test, Setup::Portable);
}

#[test]
fn a_process_works_on_while_others_in_its_directory_are_killed() {
    for setup in [Setup::Native, Setup::Portable] {
        let scratch = scratch();
        let survivor = setup.builder(scratch.path()).build().expect("a pager");
        let stop = AtomicBool::new(false);
        let kills = short_or_long(20, 400);
        let (mut said, mut random) = (Vec::new(), Draws::seeded(7));
        std::thread::scope(|scope| {
            scope.spawn(|| work(&survivor, 1, &stop, &mut said));
            let _stop = StopAtTheEnd(&stop);
            let mut another = worker(scratch.path(), setup, Stdio::null());
            for _ in 0..kills {
                is_killed(scratch.path(), setup, Moment::random(&mut random));
            }
            assert_eq!(another.try_wait().expect("a child"), None, "the other process found something wrong");
            another.kill().expect("a process that runs");
            another.wait().expect("a process that ends");
        });
        assert!(!said.is_empty() && survivor.stats().used_bytes == 0, "{setup:?}");
        check_works(&survivor);
        report(&format!("others are killed, {setup:?}"), "temporary directory", 1, kills, "both others right byte for byte");
        remove_empty_names(scratch.path());
    }
}

/// Makes and closes pagers and files until `stop`.
fn make_files(directory: &Path, setup: Setup, stop: &AtomicBool) -> usize {
    let mut count = 0;
    while !stop.load(Relaxed) {
        let pager = setup.builder(directory).build().expect("a pager");
        for len in [1, 10 * KIB, 60 * KIB] {
            drop(pager.pageout(&mut [vec![1u8; len]]).expect("a pageout"));
            count += 1;
        }
    }
    count
}

#[test]
fn programs_inherit_nothing_at_whatever_moment_they_start() {
    for setup in [Setup::Native, Setup::Portable] {
        let scratch = scratch();
        let (stop, files, programs) = (AtomicBool::new(false), AtomicUsize::new(0), short_or_long(50, 2_000));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| files.fetch_add(make_files(scratch.path(), setup, &stop), Relaxed));
            }
            let _stop = StopAtTheEnd(&stop);
            for _ in 0..programs {
                let script = "for fd in /proc/self/fd/*; do readlink $fd; done; echo end";
                let output = Command::new("sh").args(["-c", script]).output().expect("a shell");
                let listing = String::from_utf8_lossy(&output.stdout);
                let is_clean = listing.ends_with("end\n") && !listing.contains(text(scratch.path()));
                assert!(is_clean, "{setup:?}:\n{listing}");
            }
        });
        report(
            &format!("exec at any moment, {setup:?}"),
            "temporary directory",
            files.load(Relaxed),
            programs,
            "nothing inherited",
        );
    }
}

/// A process that is a copy of this one and waits to be killed.
#[allow(unsafe_code, reason = "fork has no safe form")]
fn forked() -> rustix::process::Pid {
    // SAFETY: the child calls nothing but pause, which is safe after a fork of a process with several threads.
    let raw = unsafe { libc::fork() };
    if raw == 0 {
        loop {
            // SAFETY: pause takes nothing, and only returns after a signal.
            unsafe { libc::pause() };
        }
    }
    rustix::process::Pid::from_raw(raw).expect("a process")
}

#[test]
fn a_copy_of_the_process_disturbs_nothing_and_leaves_nothing() {
    let test = "a_copy_of_the_process_disturbs_nothing_and_leaves_nothing";
    in_own_mounts(test, |root| {
        let system = match FileSystem::mounted("ext4", root) {
            Ok(system) => system,
            Err(reason) => return skip(test, &reason),
        };
        let before = system.free_blocks();
        let copies = short_or_long(5, 200);
        for setup in [Setup::Native, Setup::Portable] {
            let pager = setup.builder(&system.place).build().expect("a pager");
            for seed in 0..u64_of(copies) {
                let held = pager.pageout(&mut [elements::<u8>(2 * MIB, seed)]).expect("a pageout");
                let copy = forked();
                check_works(&pager);
                rustix::process::kill_process(copy, rustix::process::Signal::KILL).expect("a process that waits");
                rustix::process::waitpid(Some(copy), rustix::process::WaitOptions::empty()).expect("a process that ends");
                let mut all = Vec::new();
                pager.take(held, &mut all).expect("a take");
                assert_same(&all, &elements::<u8>(2 * MIB, seed));
            }
            assert_eq!(pager.stats().used_bytes, 0);
            drop(pager);
            assert_eq!(remove_empty_names(&system.place), 0);
            eventually(|| "every block is back", || system.free_blocks() == before);
        }
        system.unmount().expect("nobody holds the file system");
        report("fork without exec", "ext4", 2, copies * 2, "nothing disturbed, every block back");
    });
}
