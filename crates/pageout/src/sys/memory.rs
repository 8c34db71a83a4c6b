//! Advice to the kernel about memory that this process holds.

use std::sync::OnceLock;

/// Bytes of a page of virtual memory.
pub(crate) fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    *PAGE_BYTES.get_or_init(|| {
        // SAFETY: sysconf takes no memory and has no precondition.
        let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(answer).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
    })
}

/// Says that the whole pages of `memory` will not be used for a while. A hint: it may do nothing.
pub(crate) fn hint_cold(memory: &[u8]) {
    #[cfg(target_os = "linux")]
    advise(memory, libc::MADV_COLD);
    #[cfg(not(target_os = "linux"))]
    let _ = memory;
}

/// Says that `memory` will be used soon, so that what was swapped out comes back. A hint: it may do nothing.
pub(crate) fn hint_soon(memory: &[u8]) {
    advise(memory, libc::MADV_WILLNEED);
}

/// Advises the whole pages inside `memory`; `advice` is one that leaves their content as it is.
fn advise(memory: &[u8], advice: libc::c_int) {
    let skipped = memory.as_ptr().align_offset(page_bytes());
    let Some(inside) = memory.get(skipped..) else { return };
    let len_bytes = inside.len() - inside.len() % page_bytes();
    if len_bytes > 0 {
        // SAFETY: the range is whole pages inside `memory`, which is borrowed for the call. COLD and WILLNEED change no
        // content and no mapping, so other readers of these pages are not disturbed. The answer does not matter: what
        // is advised here stays correct when the kernel declines.
        unsafe { libc::madvise(inside.as_ptr().cast_mut().cast(), len_bytes, advice) };
    }
}

/// Bytes of swap space that the machine has, and how many of them are free. Zero where there is none, or where the
/// system does not say.
pub(crate) fn swap_space() -> (u64, u64) {
    #[cfg(target_os = "linux")]
    {
        let mut info = std::mem::MaybeUninit::<libc::sysinfo>::zeroed();
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
    fn hints_leave_the_content_alone_at_every_alignment() {
        let memory: Vec<u8> = (0..5 * page_bytes()).map(|position| position.to_le_bytes()[0]).collect();
        for (skip, len_bytes) in [(0, 0), (0, 1), (1, page_bytes()), (3, 3 * page_bytes()), (0, memory.len())] {
            hint_cold(&memory[skip..skip + len_bytes]);
            hint_soon(&memory[skip..skip + len_bytes]);
        }
        assert!(memory.iter().enumerate().all(|(position, byte)| *byte == position.to_le_bytes()[0]));
    }
}
