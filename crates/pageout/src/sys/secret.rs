//! Memory for one key: a page of its own, which the system leaves out of core dumps and does not swap as far as it can, and which
//! is overwritten when the key is not needed any more.
//!
//! Linux leaves such a page out of core dumps; other systems cannot. Locking it in memory may be refused, where a process has used
//! up its limit (`RLIMIT_MEMLOCK`): the key may be swapped then. A forked child gets a copy, which it needs to read what it
//! inherited; its copy is left out of core dumps too.

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::call::last;
use super::failure::Outcome;
use super::memory::page_bytes;
use super::random;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 16;

type Words = [AtomicU64; KEY_BYTES / size_of::<u64>()];

/// What the system does for the page of a key.
#[derive(Clone, Copy)]
pub(crate) struct Hidden {
    /// It leaves the page out of core dumps.
    pub(crate) from_core_dumps: bool,
    /// It does not swap the page out.
    pub(crate) from_swap: bool,
}

/// A key that nobody outside this process knows.
pub(crate) struct Secret {
    /// The beginning of a page that belongs to this value alone.
    words: NonNull<Words>,
}

// SAFETY: the page belongs to the process, not to a thread, and all access to it is by atomics.
unsafe impl Send for Secret {}

// SAFETY: as above.
unsafe impl Sync for Secret {}

impl Secret {
    /// A key of random bits.
    ///
    /// # Errors
    /// What the system said where it has no memory or no random bits.
    pub(crate) fn draw() -> Outcome<Self> {
        Self::filled(random::fill)
    }

    /// What the system does for a key that is drawn now.
    ///
    /// # Errors
    /// What the system said where it has no memory.
    pub(crate) fn trial() -> Outcome<Hidden> {
        Ok(Self { words: map()? }.hide())
    }

    /// A key that a test knows.
    #[cfg(test)]
    pub(crate) fn known(key: [u8; KEY_BYTES]) -> Self {
        Self::filled(|bytes| {
            bytes.copy_from_slice(&key);
            Ok(())
        })
        .expect("a page of memory")
    }

    fn filled(fill: impl FnOnce(&mut [u8]) -> Outcome<()>) -> Outcome<Self> {
        let this = Self { words: map()? };
        this.hide();
        // SAFETY: the mapping is readable and writable, longer than a key, initialised by the system, and aligned as a page; nobody
        // else knows of it yet, and atomics have the layout of their integers.
        let bytes = unsafe { this.words.cast::<[u8; KEY_BYTES]>().as_mut() };
        fill(bytes)?;
        Ok(this)
    }

    /// A copy of the key, which whoever asks for it overwrites.
    pub(crate) fn load(&self) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        for (bytes, word) in key.as_chunks_mut().0.iter_mut().zip(self.words()) {
            *bytes = word.load(Relaxed).to_ne_bytes();
        }
        key
    }

    /// Overwrites the key. Whoever is using it goes on with a part of it, or with none. The page is locked no longer, so that it
    /// does not count in the limit of the process while the value is still there.
    pub(crate) fn overwrite(&self) {
        self.words().iter().for_each(|word| word.store(0, Relaxed));
        // SAFETY: the page is this value's own and stays mapped: only its lock goes. That fails for no page that is mapped.
        unsafe { libc::munlock(self.start(), page_bytes()) };
    }

    fn words(&self) -> &Words {
        // SAFETY: the page is mapped, readable and writable until this value is dropped, initialised, and aligned.
        unsafe { self.words.as_ref() }
    }

    /// Keeps the page out of core dumps and of swap space, as far as the system does that.
    fn hide(&self) -> Hidden {
        #[cfg(target_os = "linux")]
        // SAFETY: the page is this value's own, and the advice changes none of its bytes.
        let from_core_dumps = unsafe { libc::madvise(self.start(), page_bytes(), libc::MADV_DONTDUMP) } == 0;
        #[cfg(not(target_os = "linux"))]
        let from_core_dumps = false;
        // SAFETY: the page is this value's own.
        let from_swap = unsafe { libc::mlock(self.start(), page_bytes()) } == 0;
        Hidden { from_core_dumps, from_swap }
    }

    fn start(&self) -> *mut c_void {
        self.words.as_ptr().cast()
    }
}

/// A page of memory that is nobody else's.
fn map() -> Outcome<NonNull<Words>> {
    let (nowhere, access) = (std::ptr::null_mut(), libc::PROT_READ | libc::PROT_WRITE);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the system chooses free addresses, so that no memory of anybody is replaced.
    let start = unsafe { libc::mmap(nowhere, page_bytes(), access, flags, -1, 0) };
    NonNull::new(start).filter(|_| start != libc::MAP_FAILED).map(NonNull::cast).ok_or_else(|| last("mmap"))
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.overwrite();
        // SAFETY: the page is this value's own, no reference into it is left, and a whole mapping can always be removed.
        unsafe { libc::munmap(self.start(), page_bytes()) };
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Secret").finish_non_exhaustive()
    }
}

// Miri knows neither the advice nor the lock.
#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    /// What /proc says about the page.
    #[cfg(target_os = "linux")]
    fn has_flag(secret: &Secret, flag: &str) -> bool {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("this process's mappings");
        let start = format!("{:x}-", secret.start().addr());
        let rest = maps.lines().skip_while(|line| !line.starts_with(&start));
        let flags = rest.skip(1).find_map(|line| line.strip_prefix("VmFlags:")).expect("the mapping's flags");
        flags.split(' ').any(|other| other == flag)
    }

    #[test]
    fn keys_differ_and_are_gone_when_they_are_overwritten() {
        let (one, other) = (Secret::draw().expect("a key"), Secret::draw().expect("a key"));
        assert_ne!(one.load(), other.load(), "once in 2^128");
        assert_eq!(one.load(), one.load());
        one.overwrite();
        assert_eq!(one.load(), [0; KEY_BYTES]);
        assert_eq!(Secret::known([7; KEY_BYTES]).load(), [7; KEY_BYTES]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_page_of_a_key_is_in_no_core_dump() {
        let secret = Secret::draw().expect("a key");
        assert!(has_flag(&secret, "dd") && !has_flag(&secret, "io"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_trial_says_what_proc_says() {
        let (hidden, secret) = (Secret::trial().expect("a page"), Secret::draw().expect("a key"));
        assert_eq!((hidden.from_core_dumps, hidden.from_swap), (has_flag(&secret, "dd"), has_flag(&secret, "lo")));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_key_that_is_overwritten_locks_no_memory() {
        let secret = Secret::draw().expect("a key");
        secret.overwrite();
        assert!(has_flag(&secret, "dd") && !has_flag(&secret, "lo"));
    }

    #[test]
    fn its_text_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::known([7; KEY_BYTES])), "Secret { .. }");
    }
}
