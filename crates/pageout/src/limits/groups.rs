//! Which memory groups are around a process, and what their files mean: pure, from bytes that the kernel gave.
//!
//! Groups have names of any bytes. What cannot be understood says nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::sys::mountinfo::{self, Mount};

/// The two kinds of control groups, which differ in the names of their files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

impl Version {
    /// Files with limits, hard or throttling.
    pub(super) const fn limit_files(self) -> &'static [&'static str] {
        match self {
            Self::One => &["memory.limit_in_bytes"],
            Self::Two => &["memory.max", "memory.high"],
        }
    }

    /// Lines of `memory.stat` with what stays in memory as long as there is no swap. They are disjoint, and count the groups
    /// inside. Page cache is not among them, but for the files of tmpfs.
    const fn held_lines(self) -> &'static [&'static [u8]] {
        match self {
            Self::One => &[b"total_rss", b"total_shmem"],
            Self::Two => &[b"anon", b"shmem", b"kernel_stack", b"pagetables", b"percpu", b"sock", b"slab_unreclaimable"],
        }
    }

    /// Files that count how often a group came to its limits, the best one first: the next ones are for kernels without it.
    /// `memory.events` counts for the groups inside as well.
    pub(super) const fn event_files(self) -> &'static [&'static str] {
        match self {
            Self::One => &["memory.failcnt"],
            Self::Two => &["memory.events.local", "memory.events"],
        }
    }

    /// Bytes that a group holds and cannot drop, by its `memory.stat`.
    pub(super) fn held_bytes(self, statistics: &[u8]) -> u64 {
        sum(statistics, self.held_lines())
    }

    /// What a file of [`Self::event_files`] has counted.
    pub(super) fn events(self, counters: &[u8]) -> Events {
        match self {
            Self::One => Events { limits_reached: number(counters).unwrap_or(0), out_of_memory: 0 },
            Self::Two => Events { limits_reached: sum(counters, &[b"high", b"max"]), out_of_memory: sum(counters, &[b"oom"]) },
        }
    }

    /// The kind that a mount shows, if its groups limit memory.
    fn of_mount(mount: &Mount) -> Option<Self> {
        match mount.file_system.as_bytes() {
            b"cgroup2" => Some(Self::Two),
            b"cgroup" if mount.has_option("memory") => Some(Self::One),
            _ => None,
        }
    }

    /// The kind that a line of /proc/self/cgroup is about, and the group of that kind.
    fn of_membership(line: &[u8]) -> Option<(Self, &Path)> {
        let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let version = match controllers {
            b"" => Self::Two,
            list if list.split(|&byte| byte == b',').any(|controller| controller == b"memory") => Self::One,
            _ => return None,
        };
        Some((version, Path::new(OsStr::from_bytes(group))))
    }
}

/// How often a group came to its limits, since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Events {
    /// Something had to be dropped from memory first. It may have been page cache, which is dropped easily.
    pub(super) limits_reached: u64,
    /// Nothing could be dropped.
    pub(super) out_of_memory: u64,
}

/// The directories of the groups around a process, its own one first. `membership` is /proc/self/cgroup, `table` is
/// /proc/self/mountinfo.
pub(super) fn directories(membership: &[u8], table: &[u8]) -> Vec<(Version, PathBuf)> {
    let mounts: Vec<_> = mountinfo::mounts(table).filter_map(|mount| Some((Version::of_mount(&mount)?, mount))).collect();
    let memberships = membership.split(|&byte| byte == b'\n').filter_map(Version::of_membership);
    let mut directories = Vec::new();
    for (version, group) in memberships {
        let shown = mounts.iter().filter(|(shown, _)| *shown == version).map(|(_, mount)| mount);
        if let Some((point, inside)) = place(shown, group) {
            let own = point.join(inside);
            let around = own.ancestors().take_while(|directory| directory.starts_with(point));
            directories.extend(around.map(|directory| (version, directory.to_owned())));
        }
    }
    directories
}

/// Where a group is seen: a mount point, and the path below it. In a container mounts show only a part of the tree: the one
/// that shows most of what is around the group is taken. A group outside of all mounts counts as the directory that is
/// mounted.
fn place<'a>(mounts: impl Iterator<Item = &'a Mount> + Clone, group: &'a Path) -> Option<(&'a Path, &'a Path)> {
    let showing = mounts.clone().filter_map(|mount| Some((mount, inside(group, &mount.root)?)));
    let widest = showing.min_by_key(|(mount, _)| mount.root.as_os_str().len());
    widest.or_else(|| Some((mounts.into_iter().next()?, Path::new("")))).map(|(mount, inside)| (&*mount.point, inside))
}

/// The path of a group below the root of a mount. From inside a namespace of groups, what is outside begins with `..`.
fn inside<'a>(group: &'a Path, root: &Path) -> Option<&'a Path> {
    let inside = group.strip_prefix(root).ok()?;
    inside.components().all(|component| matches!(component, Component::Normal(_))).then_some(inside)
}

/// A limit in bytes, by the text of its file. `max`, and the number that version 1 has for it, are no limits.
pub(super) fn limit(text: &[u8]) -> Option<u64> {
    /// Version 1 rounds the largest signed number down to whole pages, whose size differs by machine.
    const UNLIMITED_BYTES_MIN: u64 = 1 << 62;
    number(text).filter(|&bytes| bytes < UNLIMITED_BYTES_MIN)
}

/// The line `MemAvailable` of /proc/meminfo, which counts in KiB.
pub(super) fn available_bytes(statistics: &[u8]) -> Option<u64> {
    let mut lines = statistics.split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"MemAvailable:"))?;
    number(value.trim_ascii().strip_suffix(b"kB")?)?.checked_mul(1024)
}

/// The sum of the numbers in lines that begin with one of `names`.
fn sum(statistics: &[u8], names: &[&[u8]]) -> u64 {
    let lines = statistics.split(|&byte| byte == b'\n');
    let numbers = lines.filter_map(|line| {
        let blank = line.iter().position(|&byte| byte == b' ')?;
        let (name, value) = line.split_at(blank);
        names.contains(&name).then(|| number(value))?
    });
    numbers.fold(0, u64::saturating_add)
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const V1: &str = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      33 25 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n";
    const V2: &str = "31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    fn paths(membership: &str, table: &str) -> Vec<PathBuf> {
        directories(membership.as_bytes(), table.as_bytes()).into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn every_group_around_the_own_one_counts_in_version_1() {
        let expected = ["/pods/a", "/pods", ""].map(|group| PathBuf::from(format!("/sys/fs/cgroup/memory{group}")));
        assert_eq!(paths("9:name=systemd:/x\n4:cpu,memory:/pods/a\n", V1), expected);
    }

    #[test]
    fn every_group_around_the_own_one_counts_in_version_2() {
        let expected = ["/user/app", "/user", ""].map(|group| PathBuf::from(format!("/sys/fs/cgroup{group}")));
        assert_eq!(paths("0::/user/app\n", V2), expected);
    }

    #[test]
    fn both_versions_count_side_by_side() {
        let found = directories(b"4:memory:/a\n0::/b\n", [V1, V2].concat().as_bytes());
        let expected = [
            (Version::One, "/sys/fs/cgroup/memory/a"),
            (Version::One, "/sys/fs/cgroup/memory"),
            (Version::Two, "/sys/fs/cgroup/b"),
            (Version::Two, "/sys/fs/cgroup"),
        ];
        assert_eq!(found, expected.map(|(version, path)| (version, PathBuf::from(path))));
    }

    #[test]
    fn in_a_container_the_mount_is_the_group() {
        let mounts = V1.replace("0:29 / /sys", "0:29 /docker/f00 /sys");
        for membership in ["4:memory:/docker/f00\n", "4:memory:/elsewhere\n", "4:memory:/docker/f00x\n"] {
            assert_eq!(paths(membership, &mounts), [Path::new("/sys/fs/cgroup/memory")], "{membership}");
        }
    }

    #[test]
    fn what_is_outside_of_a_namespace_is_not_looked_for_inside() {
        assert_eq!(paths("0::/../other\n", V2), [Path::new("/sys/fs/cgroup")]);
        let mounts = V2.replace("0:27 / /sys", "0:27 /.. /sys");
        assert_eq!(paths("0::/\n", &mounts), [Path::new("/sys/fs/cgroup")]);
        assert_eq!(paths("0::/../other\n", &mounts), ["/sys/fs/cgroup/other", "/sys/fs/cgroup"].map(Path::new));
    }

    #[test]
    fn of_several_mounts_the_one_that_shows_most_is_taken() {
        let narrow = V2.replace("0:27 / /sys/fs/cgroup", "0:27 /user/app /mnt/narrow");
        let elsewhere = V2.replace("0:27 / /sys/fs/cgroup", "0:27 /z /mnt/elsewhere");
        let expected = ["/sys/fs/cgroup/user/app", "/sys/fs/cgroup/user", "/sys/fs/cgroup"].map(Path::new);
        assert_eq!(paths("0::/user/app\n", &[&elsewhere, &narrow, V2].concat()), expected);
        assert_eq!(paths("0::/user/app\n", &[&*elsewhere, &narrow].concat()), [Path::new("/mnt/narrow")]);
    }

    #[test]
    fn names_may_hold_any_bytes() {
        let table = V2.replace("/sys/fs/cgroup", "/my\\040groups");
        let found = directories(b"0::/\xff: b\n", table.as_bytes());
        assert_eq!(found[0].1.as_os_str().as_bytes(), b"/my groups/\xff: b");
        assert_eq!(found[1].1, Path::new("/my groups"));
    }

    #[test]
    fn where_nothing_is_said_there_is_no_group() {
        for (membership, table) in [("", ""), ("0::/a\n", ""), ("", V2), ("4:cpu:/a\n", V1), ("0:/a\n\n:\n", V2)] {
            assert_eq!(paths(membership, table), [""; 0].map(PathBuf::from), "{membership} {table}");
        }
    }

    #[test]
    fn a_limit_is_a_number() {
        assert_eq!(limit(b"268435456\n"), Some(256 << 20));
        assert_eq!(limit(b"0\n"), Some(0));
        assert_eq!(limit(b"4611686018427387903\n"), Some((1 << 62) - 1));
        for text in [
            &b"max\n"[..],
            b"4611686018427387904\n",
            b"9223372036854771712\n",
            b"9223372036854710272\n",
            b"",
            b"-1\n",
            b"12 13\n",
            b"\xff\n",
        ] {
            assert_eq!(limit(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn what_a_group_cannot_drop_is_its_anonymous_memory_and_what_the_kernel_holds_for_it() {
        let text = b"anon 4096\nfile 8192\nkernel 99999\nkernel_stack 100\npagetables 20\npercpu 3\nsock 5\nshmem 1000\n\
            file_mapped 7\nslab_reclaimable 50000\nslab_unreclaimable 10000\nslab 60000\nanon_thp 4096\n";
        assert_eq!(Version::Two.held_bytes(text), 4096 + 100 + 20 + 3 + 5 + 1000 + 10000);
        let text = b"cache 9\nrss 5\nshmem 1\ntotal_cache 90\ntotal_rss 50\ntotal_rss_huge 40\ntotal_shmem 7\n";
        assert_eq!(Version::One.held_bytes(text), 57);
        assert_eq!(
            Version::Two.held_bytes(b"anon\nanon \nanon x\n anon 1\n\xff 1\nshmem 18446744073709551615\nsock 2"),
            u64::MAX
        );
    }

    #[test]
    fn events_are_what_a_group_came_to_by_itself() {
        let text = b"low 9\nhigh 5\nmax 3\noom 2\noom_kill 7\noom_group_kill 8\n";
        assert_eq!(Version::Two.events(text), Events { limits_reached: 8, out_of_memory: 2 });
        assert_eq!(Version::One.events(b"12\n"), Events { limits_reached: 12, out_of_memory: 0 });
        for text in [&b""[..], b"max\n", b"\xff", b"max -1\n"] {
            for version in [Version::One, Version::Two] {
                assert_eq!(version.events(text), Events { limits_reached: 0, out_of_memory: 0 });
            }
        }
    }

    #[test]
    fn available_memory_is_counted_in_bytes() {
        assert_eq!(available_bytes(b"MemTotal: 9 kB\nMemAvailable:   24 kB\n"), Some(24 * 1024));
        for text in [&b"MemTotal: 9 kB\n"[..], b"MemAvailable: 24\n", b"MemAvailable: 18446744073709551615 kB\n", b"\xff"] {
            assert_eq!(available_bytes(text), None, "{}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_panic(text in vec(any::<u8>(), 0..200), inner in vec(any::<u8>(), 0..20)) {
            let membership = [b"0::/", &*inner, b"\n4:memory:", &*inner, b"\n", &*text].concat();
            directories(&membership, [V1.as_bytes(), &text, V2.as_bytes()].concat().as_slice());
            available_bytes(&[b"MemAvailable:", &*inner].concat());
            Version::Two.held_bytes(&[b"anon ", &*inner].concat());
            Version::Two.events(&[b"high ", &*inner].concat());
            Version::One.events(&inner);
            limit(&inner);
        }

        #[test]
        fn no_directory_is_outside_of_the_mount(path in "[a./]{0,12}", root in "/[a./]{0,6}") {
            let table = V2.replace("0:27 / ", &format!("0:27 {root} "));
            for directory in paths(&format!("0::/{path}\n"), &table) {
                prop_assert!(directory.starts_with("/sys/fs/cgroup"));
                prop_assert!(!directory.components().any(|part| part == Component::ParentDir), "{directory:?}");
            }
        }
    }
}
