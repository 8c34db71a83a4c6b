//! How much memory this process may use: the limit of its memory control group, or of any group around it, and what the
//! machine has available.
//!
//! The files that say so are opened once and read again on each call, so that a limit that changes is seen and no later call
//! opens anything. Where nothing can be read there is no limit.

use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::device::MemorySample;
use super::file::above_standard_streams;

/// Says how much memory there is.
#[derive(Default)]
pub(crate) struct MemoryLimit {
    /// Limits of the control group and of those around it.
    groups: Vec<File>,
    /// The machine's statistics.
    machine: Option<File>,
}

impl MemoryLimit {
    /// Opens what says so on this machine.
    pub(crate) fn open() -> Self {
        let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let groups = limit_files(&membership, &mounts).iter().filter_map(|path| opened(path)).collect();
        Self { groups, machine: opened(Path::new("/proc/meminfo")) }
    }

    /// What they say now.
    pub(crate) fn sample(&self) -> MemorySample {
        let limit_bytes = self.group_bytes();
        MemorySample { limit_bytes, group_free_bytes: limit_bytes, available_bytes: self.available_bytes() }
    }

    /// The smallest limit of all groups.
    pub(crate) fn group_bytes(&self) -> u64 {
        let limits = self.groups.iter().filter_map(|file| content(file)?.trim().parse().ok());
        limits.min().unwrap_or(u64::MAX)
    }

    /// What the machine has available.
    pub(crate) fn available_bytes(&self) -> u64 {
        self.machine.as_ref().and_then(|file| available_bytes(&content(file)?)).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for MemoryLimit {
    /// Without the paths of its files, which say what container this process runs in.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemoryLimit").field("groups", &self.groups.len()).finish_non_exhaustive()
    }
}

/// The file at `path`, if it can be read.
fn opened(path: &Path) -> Option<File> {
    let file = OwnedFd::from(File::open(path).ok()?);
    above_standard_streams(file).ok().map(File::from)
}

fn content(file: &File) -> Option<String> {
    let mut bytes = [0; 4096];
    let len_bytes = file.read_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes[..len_bytes]).into_owned())
}

/// The line `MemAvailable` of /proc/meminfo, which counts in KiB.
fn available_bytes(statistics: &str) -> Option<u64> {
    let line = statistics.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The files with the limits of a process: of its group and all around it, in either version of control groups.
/// `membership` is /proc/self/cgroup, `mounts` is /proc/self/mountinfo.
fn limit_files(membership: &str, mounts: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let (kind, name) = match controllers {
            "" => ("cgroup2", "memory.max"),
            list if list.split(',').any(|controller| controller == "memory") => ("cgroup", "memory.limit_in_bytes"),
            _ => continue,
        };
        let Some((root, point)) = mount_of(mounts, kind) else { continue };
        // In a container the mount shows only a part of the tree; the group's path may begin above it.
        let inside = Path::new(group).strip_prefix(root).unwrap_or(Path::new(""));
        let group = Path::new(point).join(inside);
        files.extend(group.ancestors().take_while(|folder| folder.starts_with(point)).map(|folder| folder.join(name)));
    }
    files
}

/// Root and mount point of the control groups of a kind; of version 1, those of the memory controller.
fn mount_of<'a>(mounts: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    mounts.lines().find_map(|line| {
        let (place, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let is_kind = system.next()? == kind;
        let options = system.nth(1)?;
        let has_memory = kind == "cgroup2" || options.split(',').any(|option| option == "memory");
        let mut place = place.split(' ').skip(3);
        (is_kind && has_memory).then_some((place.next()?, place.next()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      33 25 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n";
    const V2: &str = "31 24 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    fn paths(files: &[PathBuf]) -> Vec<&str> {
        files.iter().filter_map(|path| path.to_str()).collect()
    }

    #[test]
    fn every_group_around_the_own_one_counts_in_version_1() {
        let files = limit_files("9:name=systemd:/x\n4:cpu,memory:/pods/a\n", V1);
        let root = "/sys/fs/cgroup/memory";
        let expected = ["/pods/a", "/pods", ""].map(|group| format!("{root}{group}/memory.limit_in_bytes"));
        assert_eq!(paths(&files), expected);
    }

    #[test]
    fn every_group_around_the_own_one_counts_in_version_2() {
        let files = limit_files("0::/user/app\n", V2);
        let expected = ["/user/app", "/user", ""].map(|group| format!("/sys/fs/cgroup{group}/memory.max"));
        assert_eq!(paths(&files), expected);
    }

    #[test]
    fn in_a_container_the_mount_is_the_group() {
        let mounts = V1.replace("0:29 / /sys", "0:29 /docker/f00 /sys");
        let of = |membership| limit_files(membership, &mounts);
        assert_eq!(paths(&of("4:memory:/docker/f00\n")), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        assert_eq!(paths(&of("4:memory:/elsewhere\n")), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
    }

    #[test]
    fn where_nothing_is_said_there_is_no_limit() {
        assert_eq!(MemoryLimit::default().group_bytes(), u64::MAX);
        assert_eq!(MemoryLimit::default().available_bytes(), u64::MAX);
        assert!(limit_files("", "").is_empty());
    }

    #[test]
    fn available_memory_is_counted_in_bytes() {
        assert_eq!(available_bytes("MemTotal: 9 kB\nMemAvailable:   24 kB\n"), Some(24 * 1024));
        assert_eq!(available_bytes("MemTotal: 9 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn this_machine_says_something() {
        let bytes = MemoryLimit::open().available_bytes();
        assert!(bytes > 0 && bytes < u64::MAX);
    }
}
