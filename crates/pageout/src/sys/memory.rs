//! Advice to the kernel about memory that this process holds.
//!
//! Public for the Node addon, which gives V8's memory back with it; it may change in any release.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

#[cfg(target_os = "linux")]
use super::call::last;
use super::failure::{Failure, Outcome};
#[cfg(feature = "addon-internals")]
pub use super::freed::{FreedPages, discard_freed};
use crate::units::to_u64;

/// Bytes of a page of virtual memory.
pub(crate) fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    *PAGE_BYTES.get_or_init(|| {
        // SAFETY: sysconf takes no memory and has no precondition.
        let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(answer).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
    })
}

/// Bytes of the machine's memory, `u64::MAX` where it does not say.
pub(crate) fn physical_bytes() -> u64 {
    // SAFETY: sysconf takes no memory and has no precondition.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    let pages = u64::try_from(pages).ok().filter(|&pages| pages > 0);
    pages.map_or(u64::MAX, |pages| pages.saturating_mul(to_u64(page_bytes())))
}

/// Says that the whole pages of `memory` will not be used for a while. A hint: it may do nothing.
pub fn hint_cold(memory: &[u8]) {
    #[cfg(target_os = "linux")]
    advise(memory, libc::MADV_COLD);
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

/// Says that `memory` will be used soon, so that what was swapped out comes back. A hint: it may do nothing.
pub fn hint_soon(memory: &[u8]) {
    advise(memory, libc::MADV_WILLNEED);
}

/// Gives the whole pages of `memory` back to the system now; what they held is lost.
pub fn discard_pages<T>(memory: &mut [MaybeUninit<T>]) {
    advise_unused(memory, DISCARD);
}

/// Gives memory that was freed and lies idle in the C library back to the system, where the library keeps such memory: glibc
/// and macOS do; musl unmaps whole groups of blocks by itself.
pub fn give_heap_back() {
    // SAFETY: malloc_trim may be called at any time; it touches only what nobody has allocated.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
    // SAFETY: may be called at any time; no zone means all zones, no goal means as much as possible.
    #[cfg(target_os = "macos")]
    unsafe {
        malloc_zone_pressure_relief(std::ptr::null_mut(), 0);
    }
}

#[cfg(target_os = "macos")]
unsafe extern "C" {
    /// Of `malloc/malloc.h`; the crate `libc` does not have it.
    fn malloc_zone_pressure_relief(zone: *mut libc::malloc_zone_t, goal_bytes: libc::size_t) -> libc::size_t;
}

/// Processor time that this thread has used.
#[must_use]
pub fn thread_cpu_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable memory of the right type. It stays zero if there is no such clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    std::time::Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

/// Whether memory can be kept out of core dumps here.
pub const CAN_EXCLUDE_FROM_CORE_DUMPS: bool = cfg!(target_os = "linux");

/// Keeps every page that `memory` touches out of core dumps.
///
/// # Errors
/// What the system said, for instance ENOMEM when the process has as many mappings as it may; ENOSYS where the system has no
/// such thing.
pub fn exclude_from_core_dumps(memory: &[u8]) -> Outcome<()> {
    #[cfg(target_os = "linux")]
    if let Some(pages) = touched_pages(memory) {
        // SAFETY: pages that hold a byte of `memory` are mapped; the advice changes neither content nor mapping, so that
        // whoever else has memory in the first and the last page is not disturbed.
        let answer = unsafe { libc::madvise(pages.start.cast_mut().cast(), pages.len_bytes, libc::MADV_DONTDUMP) };
        return if answer == 0 { Ok(()) } else { Err(last("madvise")) };
    }
    if memory.is_empty() { Ok(()) } else { Err(Failure::new("madvise", libc::ENOSYS)) }
}

/// Lets the whole pages of `memory` into core dumps again. Those that it shares with others stay out: somebody else may
/// have excluded them too.
pub fn include_in_core_dumps(memory: &[u8]) {
    #[cfg(target_os = "linux")]
    advise(memory, libc::MADV_DODUMP);
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

/// Gives the whole pages of `memory`, which was excluded from core dumps, back to the system and lets them into core dumps
/// again; what they held is lost. Does not wait for pages that were swapped out.
pub fn discard_excluded<T>(memory: &mut [MaybeUninit<T>]) {
    advise_unused(memory, DISCARD);
    #[cfg(target_os = "linux")]
    advise_unused(memory, libc::MADV_DODUMP);
}

/// Asks for huge pages behind `memory`, which makes filling it for the first time cheaper. Says whether the system has any
/// for those who ask; whether it gives them is its own choice.
pub fn prefer_huge_pages(memory: &mut [MaybeUninit<u8>]) -> bool {
    #[cfg(target_os = "linux")]
    if has_huge_pages() {
        advise_unused(memory, libc::MADV_HUGEPAGE);
        return true;
    }
    let _ = memory;
    false
}

/// Whether the system gives huge pages to memory that asks for them.
#[cfg(target_os = "linux")]
fn has_huge_pages() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    // The chosen mode stands in brackets: `always [madvise] never`.
    let mode = || std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    *ANSWER.get_or_init(|| ["[always]", "[madvise]"].iter().any(|chosen| mode().contains(chosen)))
}

#[cfg(target_os = "linux")]
const DISCARD: libc::c_int = libc::MADV_DONTNEED;
/// Elsewhere DONTNEED keeps the pages.
#[cfg(not(target_os = "linux"))]
const DISCARD: libc::c_int = libc::MADV_FREE;

/// Advises the whole pages inside `memory`; `advice` leaves their content as it is.
fn advise(memory: &[u8], advice: libc::c_int) {
    if let Some(pages) = whole_pages(memory.as_ptr(), memory.len()) {
        // SAFETY: the pages lie inside `memory`, which is borrowed for the call; COLD and WILLNEED change no content and
        // no mapping, so other readers of these pages are not disturbed. The answer does not matter: what is advised
        // stays correct when the kernel declines.
        unsafe { libc::madvise(pages.start.cast_mut().cast(), pages.len_bytes, advice) };
    }
}

/// Advises the whole pages inside memory whose content nobody needs.
fn advise_unused<T>(memory: &mut [MaybeUninit<T>], advice: libc::c_int) {
    if let Some(pages) = whole_pages(memory.as_ptr().cast(), size_of_val(memory)) {
        // SAFETY: the pages lie inside `memory`, which is borrowed exclusively and may be left with any content; the
        // mapping itself stays. The answer does not matter: memory that the kernel does not take stays usable.
        unsafe { libc::madvise(pages.start.cast_mut().cast(), pages.len_bytes, advice) };
    }
}

/// Whole pages of memory.
struct Pages {
    start: *const u8,
    len_bytes: usize,
}

/// The pages that hold bytes of `memory`, if it has any.
#[cfg(target_os = "linux")]
fn touched_pages(memory: &[u8]) -> Option<Pages> {
    let before_bytes = memory.as_ptr().addr() % page_bytes();
    let len_bytes = (before_bytes + memory.len()).next_multiple_of(page_bytes());
    (!memory.is_empty()).then(|| Pages { start: memory.as_ptr().wrapping_sub(before_bytes), len_bytes })
}

/// The whole pages inside `len_bytes` bytes from `start` on, if there are any. Miri knows no advice: it sees none.
fn whole_pages(start: *const u8, len_bytes: usize) -> Option<Pages> {
    if cfg!(miri) {
        return None;
    }
    let skipped_bytes = start.align_offset(page_bytes());
    let inside_bytes = len_bytes.checked_sub(skipped_bytes)?;
    let len_bytes = inside_bytes - inside_bytes % page_bytes();
    (len_bytes > 0).then(|| Pages { start: start.wrapping_add(skipped_bytes), len_bytes })
}

/// Bytes of swap space that the machine has, and how many of them are free. Zero where there is none, or where the
/// system does not say.
pub(crate) fn swap_space() -> (u64, u64) {
    // Miri does not know this call; there nothing is swapped out.
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        let mut info = MaybeUninit::<libc::sysinfo>::zeroed();
        // SAFETY: `info` is writable memory of the right type; sysinfo fills it or fails.
        let answer = unsafe { libc::sysinfo(info.as_mut_ptr()) };
        if answer == 0 {
            // SAFETY: all-zero bytes are a valid `sysinfo`, whether or not the call wrote every field.
            let info = unsafe { info.assume_init() };
            let unit_bytes = u64::from(info.mem_unit);
            return (info.totalswap.saturating_mul(unit_bytes), info.freeswap.saturating_mul(unit_bytes));
        }
    }
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn the_machine_has_memory() {
        let bytes = physical_bytes();
        assert!(bytes > 1 << 24 && bytes < 1 << 60, "{bytes}");
    }

    #[test]
    fn discarded_pages_leave_their_neighbours_alone() {
        let mut memory = vec![7u8; 6 * page_bytes()];
        let (skip, len_bytes) = (page_bytes() / 2, 4 * page_bytes());
        // The allocation may begin anywhere in a page, so the advised part covers three or four whole pages.
        let (_, rest) = memory.split_at_mut(skip);
        let (part, _) = rest.split_at_mut(len_bytes);
        // SAFETY: initialised memory may be seen as possibly uninitialised, and only zeros are written to it here.
        let part = unsafe { &mut *(std::ptr::from_mut(part) as *mut [MaybeUninit<u8>]) };
        discard_pages(part);
        assert!(memory[..skip].iter().chain(&memory[skip + len_bytes..]).all(|&byte| byte == 7));
        let zeros: usize = memory.iter().map(|&byte| usize::from(byte == 0)).sum();
        assert!(zeros.is_multiple_of(page_bytes()), "{zeros} bytes were discarded");
        prefer_huge_pages(&mut []);
    }

    #[test]
    fn hints_leave_the_content_alone_at_every_alignment() {
        let memory: Vec<u8> = (0..5 * page_bytes()).map(|position| position.to_le_bytes()[0]).collect();
        for (skip, len_bytes) in [(0, 0), (0, 1), (1, page_bytes()), (3, 3 * page_bytes()), (0, memory.len())] {
            hint_cold(&memory[skip..skip + len_bytes]);
            hint_soon(&memory[skip..skip + len_bytes]);
        }
        assert!(memory.iter().enumerate().all(|(position, byte)| *byte == position.to_le_bytes()[0]));
    }
}
