//! A prefetch brings all that it was asked for.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::{Payload, becomes};
use pageout::Pager;
use pageout_testing::mounts::{make_cold, scratch_files};
use pageout_testing::{MIB, PAGE, scratch, skip};

/// Pages of a file that are in memory.
#[allow(unsafe_code, reason = "there is no safe form")]
fn resident_pages(path: &Path) -> usize {
    let file = File::options().read(true).write(true).open(path).expect("an open file");
    let len = usize::try_from(file.metadata().expect("its length").len()).expect("64 bits");
    let mut pages = vec![0u8; len.div_ceil(PAGE)];
    if pages.is_empty() {
        return 0;
    }
    let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED);
    // SAFETY: a new mapping at a place that the kernel chooses; nobody reads through it.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, file.as_raw_fd(), 0) };
    assert_ne!(start, libc::MAP_FAILED, "a mapping");
    // SAFETY: the mapping has `len` bytes, and `pages` has a byte for each of its pages.
    let answer = unsafe { libc::mincore(start, len, pages.as_mut_ptr()) };
    // SAFETY: the mapping of above, which nothing refers to.
    unsafe { libc::munmap(start, len) };
    assert_eq!(answer, 0, "an answer");
    pages.iter().filter(|&&page| page & 1 != 0).count()
}

fn all_resident_pages(directory: &Path) -> usize {
    scratch_files(directory).iter().map(|path| resident_pages(path)).sum()
}

/// Runs `prefetch` for a payload that is on the device only; expects that `len` bytes come.
fn brings(test: &str, payload_len: usize, len: usize, prefetch: impl FnOnce(&Pager, &Payload)) {
    let scratch = scratch();
    let Ok(pager) = Pager::builder().scratch_dir(scratch.path()).build() else {
        return skip(test, "the temporary directory is in memory");
    };
    let payload = Payload::new(&pager, payload_len, 1);
    make_cold(scratch.path());
    let before = all_resident_pages(scratch.path());
    if before > 16 {
        return skip(test, "the file system does not let go of what is in memory");
    }
    prefetch(&pager, &payload);
    let is_there = becomes(|| all_resident_pages(scratch.path()) >= len / PAGE);
    let resident = all_resident_pages(scratch.path());
    assert!(is_there, "{resident} pages of {} came", len / PAGE);
    payload.check();
}

#[test]
fn a_prefetch_of_a_long_payload_brings_all_of_it() {
    brings("a_prefetch_of_a_long_payload_brings_all_of_it", 32 * MIB, 32 * MIB, |pager, payload| {
        pager.prefetch(&payload.handle, &[(0, 32 * MIB)]).expect("a hint");
    });
}

#[test]
fn a_prefetch_of_a_payload_of_several_slots_brings_all_of_it() {
    brings("a_prefetch_of_a_payload_of_several_slots_brings_all_of_it", 100 * MIB, 100 * MIB, |pager, payload| {
        pager.prefetch(&payload.handle, &[(0, 100 * MIB)]).expect("a hint");
    });
}

#[test]
fn a_prefetch_of_long_ranges_brings_all_of_them() {
    brings("a_prefetch_of_long_ranges_brings_all_of_them", 64 * MIB, 40 * MIB, |pager, payload| {
        pager.prefetch(&payload.handle, &[(40 * MIB, 20 * MIB), (MIB, 20 * MIB)]).expect("a hint");
    });
}
