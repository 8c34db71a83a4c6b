//! Memory groups around the process bound what may be dirty, wherever the process is moved.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Payload;
use super::forks::Child;
use pageout::Pager;
use pageout_testing::{MIB, builder, in_own_process, scratch, skip, u64_of};

/// A memory group, removed when it is dropped.
pub(super) struct Group {
    directory: PathBuf,
    limit_file: &'static str,
}

impl Group {
    /// A group beside this process, with a limit: the throttling one where there is such a thing.
    pub(super) fn new(name: &str, limit: usize) -> io::Result<Self> {
        let (parent, limit_file) = match Path::new("/sys/fs/cgroup/memory") {
            version_1 if version_1.exists() => (version_1, "memory.limit_in_bytes"),
            _ => (Path::new("/sys/fs/cgroup"), "memory.high"),
        };
        let directory = parent.join(format!("pageout-test-{}-{name}", std::process::id()));
        fs::create_dir(&directory)?;
        let this = Self { directory, limit_file };
        this.set_limit(limit).map(|()| this)
    }

    fn set_limit(&self, limit: usize) -> io::Result<()> {
        fs::write(self.directory.join(self.limit_file), limit.to_string())
    }

    /// Moves this process here.
    pub(super) fn enter(&self) -> io::Result<()> {
        enter(&self.directory)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        enter(self.directory.parent().expect("a group around it")).expect("a process may be moved to it");
        fs::remove_dir(&self.directory).expect("an empty group");
    }
}

fn enter(directory: &Path) -> io::Result<()> {
    fs::write(directory.join("cgroup.procs"), std::process::id().to_string())
}

/// Writes as much as makes the pager look at memory again, in little memory.
fn write_on(pager: &Pager) {
    for seed in 0..65 {
        Payload::new(pager, MIB, seed).check();
    }
}

/// `body` runs in a process of its own in a group of 256 MiB.
fn in_a_group(test: &str, body: impl FnOnce(&Group)) {
    in_own_process(
        test,
        |_| {},
        || {
            let group = Group::new("first", 256 * MIB).and_then(|group| group.enter().map(|()| group));
            match group {
                Ok(group) => body(&group),
                Err(error) => skip(test, &format!("no memory group: {error}")),
            }
        },
    );
}

#[test]
fn a_group_allows_an_eighth_of_its_limit_to_be_dirty() {
    in_a_group("a_group_allows_an_eighth_of_its_limit_to_be_dirty", |group| {
        let scratch = scratch();
        let pager = builder(scratch.path()).build().expect("a pager");
        let budget = || usize::try_from(pager.stats().dirty_budget_bytes).expect("64 bits");
        assert_eq!(budget(), 32 * MIB);
        group.set_limit(512 * MIB).expect("a limit");
        write_on(&pager);
        assert_eq!(budget(), 64 * MIB);
    });
}

#[test]
fn a_process_that_is_moved_has_the_budget_of_its_new_group() {
    in_a_group("a_process_that_is_moved_has_the_budget_of_its_new_group", |_| {
        let scratch = scratch();
        let pager = builder(scratch.path()).build().expect("a pager");
        let other = Group::new("other", 400 * MIB).expect("another group");
        other.enter().expect("this process may be moved");
        write_on(&pager);
        assert_eq!(pager.stats().dirty_budget_bytes, u64_of(50 * MIB));
    });
}

#[test]
fn a_child_has_the_budget_of_its_own_group() {
    in_a_group("a_child_has_the_budget_of_its_own_group", |_| {
        let scratch = scratch();
        let pager = builder(scratch.path()).build().expect("a pager");
        assert_eq!(pager.stats().dirty_budget_bytes, u64_of(32 * MIB));
        let other = Group::new("other", 400 * MIB).expect("another group");
        Child::fork(|_| {
            other.enter().expect("this process may be moved");
            Payload::new(&pager, MIB, 1).check();
            assert_eq!(pager.stats().dirty_budget_bytes, u64_of(50 * MIB));
        })
        .passes();
        write_on(&pager);
        assert_eq!(pager.stats().dirty_budget_bytes, u64_of(32 * MIB));
    });
}

#[test]
fn memory_that_cannot_be_dropped_leaves_less_for_dirty_pages() {
    in_a_group("memory_that_cannot_be_dropped_leaves_less_for_dirty_pages", |_| {
        let scratch = scratch();
        let pager = builder(scratch.path()).build().expect("a pager");
        let held = vec![1u8; 216 * MIB];
        write_on(&pager);
        let budget_bytes = pager.stats().dirty_budget_bytes;
        assert!(budget_bytes <= u64_of(20 * MIB), "at most half of what is left, not {budget_bytes}");
        drop(std::hint::black_box(held));
        write_on(&pager);
        assert_eq!(pager.stats().dirty_budget_bytes, u64_of(32 * MIB));
    });
}
