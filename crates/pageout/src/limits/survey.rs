//! What the process may use of the memory, with the group that each number is from: for people to read, and not for a pager,
//! which needs the smallest numbers alone.

use std::path::{Path, PathBuf};

use super::groups::{self, Version};
use super::{Auto, Limits, within};
use crate::sys::memory;

/// What this process may use of the memory, from [`memory`](crate::doctor::memory).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryFacts {
    /// Bytes of the machine's memory. `None` where it does not say.
    pub physical_bytes: Option<u64>,
    /// What the machine has available, page cache that can be dropped included. `None` where it does not say.
    pub available_bytes: Option<u64>,
    /// The smallest limit of the memory groups around the process. `None` without one.
    pub limit_bytes: Option<u64>,
    /// What the tightest group leaves beside what it cannot drop. `None` without a limit.
    pub group_free_bytes: Option<u64>,
    /// What a budget of [`Resident::Auto`](crate::Resident::Auto) begins with.
    pub auto_bytes: u64,
    /// Swap space of the machine.
    pub swap_bytes: u64,
    /// Bytes of it that are free.
    pub swap_free_bytes: u64,
    /// The groups around the process that could limit its memory, its own one first.
    pub groups: Vec<MemoryGroup>,
}

/// A memory group around the process. `None` where there is no limit, or where its files do not say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryGroup {
    /// 1 or 2: the version of control groups that it is of.
    pub version: u8,
    /// Where its files are.
    pub directory: PathBuf,
    /// Past this the kernel ends processes (`memory.max`, in version 1 `memory.limit_in_bytes`).
    pub limit_bytes: Option<u64>,
    /// Past this it slows them down (`memory.high`).
    pub high_bytes: Option<u64>,
    /// What is in memory now, page cache included.
    pub used_bytes: Option<u64>,
    /// The part of it that cannot be dropped.
    pub held_bytes: Option<u64>,
    /// Swap space that the group may use.
    pub swap_limit_bytes: Option<u64>,
    /// Swap space that it uses.
    pub swap_used_bytes: Option<u64>,
}

/// What there is to say now.
pub(crate) fn memory() -> MemoryFacts {
    survey(Path::new("/"), memory::physical_bytes(), memory::swap_space())
}

fn survey(root: &Path, physical_bytes: u64, (swap_bytes, swap_free_bytes): (u64, u64)) -> MemoryFacts {
    // Files of its own, that are closed again.
    let sample = Limits::open(root).sample();
    let known = |bytes| (bytes < u64::MAX).then_some(bytes);
    MemoryFacts {
        physical_bytes: known(physical_bytes),
        available_bytes: known(sample.available_bytes),
        limit_bytes: known(sample.limit_bytes),
        group_free_bytes: known(sample.group_free_bytes),
        auto_bytes: Auto::first(sample, physical_bytes),
        swap_bytes,
        swap_free_bytes,
        groups: groups_around(root),
    }
}

fn groups_around(root: &Path) -> Vec<MemoryGroup> {
    let read = |name| std::fs::read(root.join("proc/self").join(name)).unwrap_or_default();
    let directories = groups::directories(&read("cgroup"), &read("mountinfo"));
    directories.into_iter().filter_map(|(version, directory)| MemoryGroup::at(root, version, directory)).collect()
}

impl MemoryGroup {
    /// The group with this directory, if it has files of limits: the outermost one of version 2 has none.
    fn at(root: &Path, version: Version, directory: PathBuf) -> Option<Self> {
        let place = within(root, &directory);
        let text = |name: &str| std::fs::read(place.join(name)).ok();
        let number = |name| groups::limit(&text(name)?);
        version.limit_files().iter().find_map(|name| text(name))?;
        let held_bytes = text("memory.stat").map(|statistics| version.held_bytes(&statistics));
        let group = match version {
            Version::One => Self {
                version: 1,
                limit_bytes: number("memory.limit_in_bytes"),
                high_bytes: None,
                used_bytes: number("memory.usage_in_bytes"),
                // Memory and swap space together have one limit.
                swap_limit_bytes: difference(number("memory.memsw.limit_in_bytes"), number("memory.limit_in_bytes")),
                swap_used_bytes: difference(number("memory.memsw.usage_in_bytes"), number("memory.usage_in_bytes")),
                held_bytes,
                directory,
            },
            Version::Two => Self {
                version: 2,
                limit_bytes: number("memory.max"),
                high_bytes: number("memory.high"),
                used_bytes: number("memory.current"),
                swap_limit_bytes: number("memory.swap.max"),
                swap_used_bytes: number("memory.swap.current"),
                held_bytes,
                directory,
            },
        };
        Some(group)
    }
}

fn difference(whole: Option<u64>, part: Option<u64>) -> Option<u64> {
    Some(whole?.saturating_sub(part?))
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::super::tests::{Machine, V1, V2};
    use super::*;
    use crate::units::MIB;

    const PHYSICAL_BYTES: u64 = 9000 << 10;

    fn surveyed(machine: &Machine) -> MemoryFacts {
        survey(machine.root(), PHYSICAL_BYTES, (7, 5))
    }

    #[test]
    fn each_group_around_the_process_is_shown_with_its_numbers() {
        let machine = Machine::new("0::/outer/inner\n", V2);
        machine.group("/outer/inner", "max", "3000000", 1_000_000);
        machine.group("/outer", "4000000", "max", 2_000_000);
        machine.write("sys/fs/cgroup/outer/memory.current", "2500000\n");
        machine.write("sys/fs/cgroup/outer/memory.swap.max", "0\n");
        machine.write("sys/fs/cgroup/outer/memory.swap.current", "0\n");
        let found = surveyed(&machine);
        let inner = MemoryGroup {
            version: 2,
            directory: "/sys/fs/cgroup/outer/inner".into(),
            limit_bytes: None,
            high_bytes: Some(3_000_000),
            used_bytes: None,
            held_bytes: Some(1_000_000),
            swap_limit_bytes: None,
            swap_used_bytes: None,
        };
        let outer = MemoryGroup {
            directory: "/sys/fs/cgroup/outer".into(),
            limit_bytes: Some(4_000_000),
            high_bytes: None,
            used_bytes: Some(2_500_000),
            held_bytes: Some(2_000_000),
            swap_limit_bytes: Some(0),
            swap_used_bytes: Some(0),
            ..inner.clone()
        };
        assert_eq!(found.groups, [inner, outer]);
        assert_eq!((found.limit_bytes, found.group_free_bytes), (Some(3_000_000), Some(2_000_000)));
        assert_eq!((found.physical_bytes, found.available_bytes), (Some(PHYSICAL_BYTES), Some(4000 << 10)));
        assert_eq!((found.swap_bytes, found.swap_free_bytes), (7, 5));
        assert_eq!(found.auto_bytes, MIB, "the least that there is");
    }

    #[test]
    fn swap_space_of_version_1_is_what_its_limit_of_both_leaves() {
        let machine = Machine::new("4:memory:/app\n", V1);
        let root = "sys/fs/cgroup/memory/app";
        for (name, bytes) in [
            ("limit_in_bytes", "500000000"),
            ("usage_in_bytes", "300"),
            ("memsw.limit_in_bytes", "500000000"),
            ("memsw.usage_in_bytes", "350"),
        ] {
            machine.write(&format!("{root}/memory.{name}"), format!("{bytes}\n"));
        }
        let found = surveyed(&machine);
        let [group] = &*found.groups else { panic!("{found:?}") };
        assert_eq!((group.version, group.limit_bytes, group.used_bytes), (1, Some(500_000_000), Some(300)));
        assert_eq!((group.swap_limit_bytes, group.swap_used_bytes), (Some(0), Some(50)));
        assert_eq!((group.high_bytes, group.held_bytes), (None, None));
        assert_eq!(found.auto_bytes, 2000 << 10, "half of what the machine has available");
    }

    #[test]
    fn a_machine_without_groups_has_no_limit() {
        let machine = Machine::new("", "");
        let found = surveyed(&machine);
        assert_eq!((&*found.groups, found.limit_bytes, found.group_free_bytes), (&[][..], None, None));
        let nothing = survey(Path::new("/nonexistent"), u64::MAX, (0, 0));
        assert_eq!((nothing.physical_bytes, nothing.available_bytes), (None, None));
    }

    #[test]
    fn this_process_has_what_the_limits_say() {
        let found = memory();
        assert!(found.physical_bytes > Some(0) && found.auto_bytes >= MIB);
        assert!(found.limit_bytes.is_none() || !found.groups.is_empty());
    }
}
