//! Limits in a tree of files that stands for the kernel's, and in a real memory group.
//!
//! Miri has no temporary directories.
#![cfg(not(miri))]

use std::fs;

use tempfile::TempDir;

use super::*;

pub(super) const V1: &str = "33 25 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
pub(super) const V2: &str = "31 24 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

/// A directory with what Linux shows below `/proc` and `/sys`.
pub(super) struct Machine(TempDir);

impl Machine {
    pub(super) fn new(membership: &str, mounts: impl AsRef<[u8]>) -> Self {
        let this = Self(tempfile::tempdir().expect("a temporary directory"));
        this.write("proc/self/cgroup", membership);
        this.write("proc/self/mountinfo", mounts);
        this.write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable: 4000 kB\n");
        this
    }

    pub(super) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("new directories");
        fs::write(path, text).expect("a file");
    }

    /// A group of version 2: both limits and its anonymous memory.
    pub(super) fn group(&self, group: &str, max: &str, high: &str, anon: u64) {
        let directory = format!("sys/fs/cgroup{group}");
        self.write(&format!("{directory}/memory.max"), format!("{max}\n"));
        self.write(&format!("{directory}/memory.high"), format!("{high}\n"));
        self.write(&format!("{directory}/memory.stat"), format!("anon {anon}\nfile 123456789\n"));
        self.events(group, 0, 0, 0);
    }

    /// What a group of version 2 has counted.
    fn events(&self, group: &str, high: u64, max: u64, oom: u64) {
        let text = format!("low 9\nhigh {high}\nmax {max}\noom {oom}\noom_kill 0\noom_group_kill 0\n");
        self.write(&format!("sys/fs/cgroup{group}/memory.events.local"), text);
    }

    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    fn limits(&self) -> Limits {
        Limits::open(self.0.path())
    }
}

/// Whether another look finds pressure.
fn is_pressed(limits: &mut Limits) -> bool {
    limits.sample();
    std::mem::take(&mut limits.pressures) > 0
}

fn sampled(limit_bytes: u64, group_free_bytes: u64) -> MemorySample {
    MemorySample { limit_bytes, group_free_bytes, available_bytes: 4000 << 10 }
}

#[test]
fn a_throttling_limit_counts_like_a_hard_one() {
    let machine = Machine::new("0::/app\n", V2);
    machine.group("/app", "max", "268435456", 0);
    assert_eq!(machine.limits().sample(), sampled(256 * MIB, 256 * MIB));
    machine.group("/app", "1000000", "268435456", 0);
    assert_eq!(machine.limits().sample(), sampled(1_000_000, 1_000_000));
}

#[test]
fn the_tightest_group_around_the_process_counts_for_each_number() {
    let machine = Machine::new("0::/outer/inner\n", V2);
    machine.group("/outer/inner", "500", "max", 100);
    machine.group("/outer", "900", "800", 700);
    assert_eq!(machine.limits().sample(), sampled(500, 100));
    machine.group("/outer", "900", "800", 1_000);
    assert_eq!(machine.limits().sample(), sampled(500, 0), "more is held than is allowed");
}

#[test]
fn version_1_has_files_of_its_own() {
    let machine = Machine::new("7:cpu:/x\n4:memory:/pod/app\n0::/\n", [V1, V2].concat());
    let root = "sys/fs/cgroup/memory";
    machine.write(&format!("{root}/pod/app/memory.limit_in_bytes"), "9223372036854771712\n");
    machine.write(&format!("{root}/pod/memory.limit_in_bytes"), "5000\n");
    machine.write(&format!("{root}/pod/memory.stat"), "cache 4000\nrss 1\ntotal_rss 1200\ntotal_shmem 300\n");
    assert_eq!(machine.limits().sample(), sampled(5000, 3500));
}

#[test]
fn numbers_that_change_are_seen_in_the_files_that_are_open() {
    let machine = Machine::new("0::/app\n", V2);
    machine.group("/app", "max", "max", 10);
    let mut limits = machine.limits();
    assert_eq!(limits.sample(), sampled(u64::MAX, u64::MAX));
    machine.group("/app", "700", "600", 200);
    machine.write("proc/meminfo", "MemAvailable: 1 kB\n");
    assert_eq!(limits.sample(), MemorySample { available_bytes: 1024, ..sampled(600, 400) });
    // What is behind an open file that lost its name is not looked for again.
    fs::remove_dir_all(machine.0.path().join("sys")).expect("the groups");
    assert_eq!(limits.sample().limit_bytes, 600);
}

#[test]
fn a_process_that_is_moved_has_the_limits_of_its_new_groups() {
    let machine = Machine::new("0::/first\n", V2);
    machine.group("/first", "1000", "max", 1);
    machine.group("/second", "9000", "max", 2);
    let mut limits = machine.limits();
    assert_eq!(limits.sample(), sampled(1000, 999));
    machine.write("proc/self/cgroup", "0::/second\n");
    assert_eq!(limits.sample(), sampled(9000, 8998));
    machine.write("proc/self/cgroup", "0::/\n");
    assert_eq!(limits.sample(), sampled(u64::MAX, u64::MAX));
    machine.write("proc/self/cgroup", "0::/first\n");
    assert_eq!(limits.sample(), sampled(1000, 999));
}

#[test]
fn a_group_that_comes_to_its_limits_with_little_to_drop_is_under_pressure() {
    let machine = Machine::new("0::/app\n", V2);
    machine.group("/app", "10000", "8000", 7001);
    machine.events("/app", 5, 5, 5);
    let mut limits = machine.limits();
    assert!(!is_pressed(&mut limits), "what was before is nothing to this process");
    for (high, max, oom) in [(6, 5, 5), (6, 9, 5), (6, 9, 6)] {
        machine.events("/app", high, max, oom);
        assert!(is_pressed(&mut limits) && !is_pressed(&mut limits), "{high} {max} {oom}");
    }
}

#[test]
fn a_group_full_of_page_cache_is_not_under_pressure_unless_it_runs_out_of_memory() {
    let machine = Machine::new("0::/app\n", V2);
    machine.group("/app", "8000", "max", 7000);
    let mut limits = machine.limits();
    assert!(!is_pressed(&mut limits));
    machine.events("/app", 100, 100, 0);
    assert!(!is_pressed(&mut limits));
    machine.events("/app", 100, 100, 1);
    assert!(is_pressed(&mut limits) && !is_pressed(&mut limits));
    // What was counted while much was free is not told later.
    machine.group("/app", "8000", "max", 8000);
    machine.events("/app", 100, 100, 1);
    assert!(!is_pressed(&mut limits));
}

#[test]
fn a_group_without_limits_is_not_under_pressure() {
    let machine = Machine::new("0::/app\n", V2);
    machine.group("/app", "max", "max", 7000);
    let mut limits = machine.limits();
    assert!(!is_pressed(&mut limits));
    machine.events("/app", 1, 1, 1);
    assert!(!is_pressed(&mut limits));
}

#[test]
fn every_group_around_the_process_can_be_under_pressure_by_itself() {
    let machine = Machine::new("0::/outer/inner\n", V2);
    machine.group("/outer/inner", "8000", "max", 100);
    machine.group("/outer", "8000", "max", 7900);
    let mut limits = machine.limits();
    assert!(!is_pressed(&mut limits));
    machine.events("/outer/inner", 0, 1, 0);
    assert!(!is_pressed(&mut limits));
    machine.events("/outer", 0, 1, 0);
    assert!(is_pressed(&mut limits));
}

#[test]
fn kernels_without_local_events_count_those_of_the_groups_inside() {
    let machine = Machine::new("0::/app\n", V2);
    machine.group("/app", "8000", "max", 8000);
    fs::remove_file(machine.0.path().join("sys/fs/cgroup/app/memory.events.local")).expect("the file");
    machine.write("sys/fs/cgroup/app/memory.events", "high 0\nmax 1\n");
    let mut limits = machine.limits();
    assert!(!is_pressed(&mut limits));
    machine.write("sys/fs/cgroup/app/memory.events", "high 0\nmax 2\n");
    assert!(is_pressed(&mut limits) && !is_pressed(&mut limits));
}

#[test]
fn version_1_counts_failures() {
    let machine = Machine::new("4:memory:/app\n", V1);
    let group = "sys/fs/cgroup/memory/app";
    machine.write(&format!("{group}/memory.limit_in_bytes"), "8000\n");
    machine.write(&format!("{group}/memory.stat"), "total_rss 7500\n");
    machine.write(&format!("{group}/memory.failcnt"), "7\n");
    let mut limits = machine.limits();
    let mut after = |count: &str| {
        machine.write(&format!("{group}/memory.failcnt"), count);
        is_pressed(&mut limits)
    };
    assert_eq!(["7\n", "8\n", "8\n"].map(&mut after), [false, true, false]);
    // The administrator may begin the count again.
    assert_eq!(["0\n", "1\n", "", "\u{fffd}\n"].map(&mut after), [false, true, false, false]);
    machine.write(&format!("{group}/memory.stat"), "total_rss 1000\n");
    assert!(!after("1000\n"));
}

#[test]
fn what_another_group_has_counted_is_nothing_to_a_process_that_is_moved_there() {
    let machine = Machine::new("0::/first\n", V2);
    machine.group("/first", "8000", "max", 8000);
    machine.group("/second", "8000", "max", 8000);
    machine.events("/second", 0, 99, 9);
    let mut limits = machine.limits();
    assert!(!is_pressed(&mut limits));
    machine.write("proc/self/cgroup", "0::/second\n");
    assert!(!is_pressed(&mut limits));
    machine.events("/second", 0, 100, 9);
    assert!(is_pressed(&mut limits));
    // Without its group nothing presses it.
    fs::remove_dir_all(machine.0.path().join("sys/fs/cgroup")).expect("the groups");
    machine.write("proc/self/cgroup", "0::/third\n");
    assert!(!is_pressed(&mut limits));
    assert_eq!(limits.sample(), sampled(u64::MAX, u64::MAX));
}

#[test]
fn a_look_sees_what_is_there_now_and_everybody_hears_of_pressure() {
    let machine = Machine::new("0::/app\n", V2);
    let memory = Memory::new();
    let look = || memory.look_now(|| machine.limits(), Watch::of_process);
    machine.group("/app", "8000", "max", 7900);
    assert_eq!(look(), Look { sample: sampled(8000, 100), pressures: 0 });
    machine.group("/app", "8000", "max", 7950);
    assert_eq!(look(), Look { sample: sampled(8000, 50), pressures: 0 });
    // Also what was seen on the occasion of a write.
    machine.events("/app", 0, 1, 0);
    memory.current(0, || unreachable!("they are open"));
    assert_eq!((look().pressures, look().pressures), (1, 1));
    assert_eq!(memory.current(0, || unreachable!("they are open")), sampled(8000, 50));
}

#[test]
fn what_cannot_be_read_limits_nothing() {
    let nothing = Limits::open(Path::new("/nonexistent")).sample();
    assert_eq!(nothing, MemorySample::UNLIMITED);
    let machine = Machine::new("0::/a/b/c\n", V2);
    machine.group("/a/b/c", "\u{fffd}", "", 0);
    machine.write("sys/fs/cgroup/a/b/memory.max", b"\xff\xfe\n");
    machine.write("sys/fs/cgroup/a/memory.max", "4000\n");
    assert_eq!(machine.limits().sample(), sampled(4000, 4000), "a group without statistics holds nothing");
}

#[test]
fn a_mount_whose_name_is_no_text_hides_no_limit() {
    let machine = Machine::new("0::/app\n", [b"50 27 8:17 / /mnt/D\xe9 rw - vfat /dev/sdb1 rw\n", V2.as_bytes()].concat());
    machine.group("/app", "1000", "max", 0);
    assert_eq!(machine.limits().sample(), sampled(1000, 1000));
}

#[test]
fn texts_of_any_length_are_read_whole() {
    let machine = Machine::new(&format!("{}0::/app\n", "9:cpu:/x\n".repeat(2000)), V2);
    machine.group("/app", "1000", "max", 0);
    machine.write("sys/fs/cgroup/app/memory.stat", format!("{}anon 300\n", "file 123456\n".repeat(2000)));
    assert_eq!(machine.limits().sample(), sampled(1000, 700));
}

#[test]
#[cfg(target_os = "linux")]
fn files_stay_open_and_lie_above_the_standard_streams() {
    use std::os::fd::AsRawFd;

    let machine = Machine::new("0::/app\n", V2);
    machine.group("/app", "1000", "max", 0);
    let mut limits = machine.limits();
    let descriptors = |limits: &Limits| {
        let files = limits.membership.iter().chain(&limits.machine);
        let of_groups = limits.groups.iter().flat_map(|group| group.limits.iter().chain(&group.statistics).chain(&group.events));
        files.chain(of_groups).map(AsRawFd::as_raw_fd).collect::<Vec<_>>()
    };
    let before = descriptors(&limits);
    assert_eq!(before.len(), 6);
    limits.sample();
    assert_eq!(descriptors(&limits), before);
    for descriptor in before {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).expect("its flags");
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("a line of flags");
        let flags = i32::from_str_radix(flags.trim(), 8).expect("octal flags");
        assert!(descriptor > 2 && flags & libc::O_CLOEXEC != 0, "{descriptor}: {flags:o}");
    }
}

#[test]
fn memory_is_looked_at_again_each_time_another_64_mib_were_written() {
    let machine = Machine::new("0::/app\n", V2);
    let memory = Memory::new();
    let limit_bytes = |written_bytes| memory.current(written_bytes, || machine.limits()).limit_bytes;
    machine.group("/app", "1000", "max", 0);
    assert_eq!(limit_bytes(10 * MIB), 1000);
    machine.group("/app", "2000", "max", 0);
    assert_eq!((limit_bytes(10 * MIB), limit_bytes(64 * MIB - 1), limit_bytes(64 * MIB)), (1000, 1000, 2000));
    machine.group("/app", "3000", "max", 0);
    assert_eq!((limit_bytes(128 * MIB - 1), limit_bytes(1000 * MIB)), (2000, 3000));
    // A thread that knows less of what was written does not look again.
    machine.group("/app", "4000", "max", 0);
    assert_eq!((limit_bytes(200 * MIB), limit_bytes(u64::MAX)), (3000, 4000));
}

#[test]
fn all_threads_use_one_set_of_files() {
    let machine = Machine::new("0::/app\n", V2);
    machine.group("/app", "1000", "max", 0);
    let (memory, opened) = (Memory::new(), AtomicU64::new(0));
    let open = || {
        opened.fetch_add(1, Relaxed);
        machine.limits()
    };
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (memory, open) = (&memory, &open);
            scope.spawn(move || assert_eq!(memory.current(number * 64 * MIB, open), sampled(1000, 1000)));
        }
    });
    assert_eq!(opened.into_inner(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn this_machine_says_something() {
    let bytes = current().available_bytes;
    assert!(bytes > 0 && bytes < u64::MAX);
}

/// Memory groups of the kernel.
#[cfg(target_os = "linux")]
mod real {
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A memory group, removed when it is dropped.
    struct RealGroup(PathBuf);

    impl RealGroup {
        fn new(name: &str) -> io::Result<(Self, Version)> {
            let (parent, version) = if Path::new("/sys/fs/cgroup/memory").exists() {
                ("/sys/fs/cgroup/memory", Version::One)
            } else {
                ("/sys/fs/cgroup", Version::Two)
            };
            let directory = Path::new(parent).join(format!("pageout-test-{}-{name}", std::process::id()));
            fs::create_dir(&directory)?;
            Ok((Self(directory), version))
        }

        fn write(&self, file: &str, text: &str) -> io::Result<()> {
            fs::write(self.0.join(file), text)
        }
    }

    impl Drop for RealGroup {
        fn drop(&mut self) {
            if let Err(error) = fs::remove_dir(&self.0) {
                writeln!(io::stderr(), "{} stays: {error}", self.0.display()).expect("standard error can be written");
            }
        }
    }

    /// A process that does nothing, ended when it is dropped.
    struct Idle(Child);

    impl Drop for Idle {
        fn drop(&mut self) {
            self.0.kill().expect("a process of this test");
            self.0.wait().expect("a process of this test");
        }
    }

    /// The limits of another process.
    fn limits_of(process: u32) -> (TempDir, Limits) {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(root.path().join("proc")).expect("a directory");
        symlink(format!("/proc/{process}"), root.path().join("proc/self")).expect("a link");
        symlink("/proc/meminfo", root.path().join("proc/meminfo")).expect("a link");
        symlink("/sys", root.path().join("sys")).expect("a link");
        let limits = Limits::open(root.path());
        (root, limits)
    }

    fn follows_a_group() -> io::Result<()> {
        let (first, version) = RealGroup::new("first")?;
        let (second, _) = RealGroup::new("second")?;
        let (tight, loose) = ((96 * MIB).to_string(), (160 * MIB).to_string());
        // The last of the names is memory.high where there is one.
        let limit_file = version.limit_files().last().expect("a name");
        first.write(limit_file, &tight)?;
        second.write(limit_file, &loose)?;
        let idle = Idle(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn()?);
        let process = idle.0.id().to_string();
        first.write("cgroup.procs", &process)?;

        let (_root, mut limits) = limits_of(idle.0.id());
        let sample = limits.sample();
        assert_eq!(sample.limit_bytes, 96 * MIB);
        assert!(sample.group_free_bytes > 64 * MIB && sample.group_free_bytes <= 96 * MIB, "{sample:?}");
        second.write("cgroup.procs", &process)?;
        assert_eq!(limits.sample().limit_bytes, 160 * MIB);
        second.write(limit_file, &tight)?;
        assert_eq!(limits.sample().limit_bytes, 96 * MIB);

        // A group that is made again under its name has other files.
        first.write("cgroup.procs", &process)?;
        drop(second);
        let (second, _) = RealGroup::new("second")?;
        second.write(limit_file, &loose)?;
        second.write("cgroup.procs", &process)?;
        assert_eq!(limits.sample().limit_bytes, 160 * MIB);
        drop(idle);
        Ok(())
    }

    #[test]
    fn the_limits_of_a_real_group_are_followed() {
        if let Err(error) = follows_a_group() {
            let line = format!("skipped: the_limits_of_a_real_group_are_followed: {error}");
            writeln!(io::stderr(), "{line}").expect("standard error can be written");
        }
    }
}
