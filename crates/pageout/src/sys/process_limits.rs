//! What the system lets this process have, and what it has of it.

use crate::units::KIB;

/// A limit of the process, and what is used of it. `None` where there is no limit, or where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// The limit that holds.
    pub soft: Option<u64>,
    /// What the process may raise it to.
    pub hard: Option<u64>,
    /// What is used now.
    pub used: Option<u64>,
}

/// Limits of the process that concern a pager (`getrlimit`). Those of memory and of the length of files count bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessLimits {
    /// All of its memory, whether it is used or only reserved (`RLIMIT_AS`).
    pub address_space_bytes: Limit,
    /// Its private writable memory (`RLIMIT_DATA`).
    pub data_bytes: Limit,
    /// The length of a file (`RLIMIT_FSIZE`). Nothing is used of it.
    pub file_bytes: Limit,
    /// Open descriptors (`RLIMIT_NOFILE`).
    pub descriptors: Limit,
    /// Memory that is not swapped out (`RLIMIT_MEMLOCK`): the key of each encrypted pager takes a page of it.
    pub locked_bytes: Limit,
}

impl ProcessLimits {
    /// Those of this process, now.
    pub(crate) fn of_process() -> Self {
        let status = std::fs::read("/proc/self/status").unwrap_or_default();
        Self {
            address_space_bytes: Limit { used: line_bytes(&status, b"VmSize:"), ..limit(libc::RLIMIT_AS) },
            data_bytes: Limit { used: line_bytes(&status, b"VmData:"), ..limit(libc::RLIMIT_DATA) },
            file_bytes: limit(libc::RLIMIT_FSIZE),
            descriptors: Limit { used: open_descriptors(), ..limit(libc::RLIMIT_NOFILE) },
            locked_bytes: Limit { used: line_bytes(&status, b"VmLck:"), ..limit(libc::RLIMIT_MEMLOCK) },
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = libc::c_int;

fn limit(resource: Resource) -> Limit {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is writable memory of the right type. It stays without limits if the call fails.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    let finite = |value| (value != libc::RLIM_INFINITY).then_some(value);
    Limit { soft: finite(limit.rlim_cur), hard: finite(limit.rlim_max), used: None }
}

/// The number in a line of `/proc/self/status`, which counts in KiB.
fn line_bytes(status: &[u8], name: &[u8]) -> Option<u64> {
    let value = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = std::str::from_utf8(value).ok()?.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(KIB)
}

fn open_descriptors() -> Option<u64> {
    let listing = std::fs::read_dir(if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" }).ok()?;
    // The listing has one itself.
    u64::try_from(listing.count()).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_status_is_in_bytes() {
        let status = b"Name:\tnode\nVmSize:\t   12 kB\nVmData:\t7\n\xff\nVmRSS:\t18446744073709551615 kB\n";
        assert_eq!(line_bytes(status, b"VmSize:"), Some(12 << 10));
        for name in [&b"VmData:"[..], b"VmRSS:", b"VmPeak:", b"\xff"] {
            assert_eq!(line_bytes(status, name), None, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn this_process_uses_memory_and_descriptors() {
        let limits = ProcessLimits::of_process();
        let (memory, private) = (limits.address_space_bytes.used, limits.data_bytes.used);
        assert!(memory > private && private > Some(0), "{limits:?}");
        let Limit { soft, hard, used } = limits.descriptors;
        assert!(used >= Some(3) && soft >= used && hard.is_none_or(|hard| Some(hard) >= soft), "{limits:?}");
    }
}
