//! Payloads that are encrypted on the disk: nothing of them is there to be read, and nothing else comes back than what went out.

use pageout::{Backend, Compression, Error, Handle, Pager};
use pageout_testing::faulty::{Call, Disk, Effect, Fault, Lasts};
use pageout_testing::{KIB, MIB, PAGE, assert_same, check_works, elements, eventually, gather, u64_of};

fn sealed(disk: &Disk) -> Pager {
    disk.builder().encryption(true).build().expect("a pager in memory")
}

/// A payload in one slot, and where it lies.
struct Placed {
    handle: Handle<u8>,
    whole: Vec<u8>,
    file: u64,
    start: u64,
}

impl Placed {
    fn new(disk: &Disk, pager: &Pager, whole: Vec<u8>) -> Self {
        let handle = pager.pageout(&mut [whole.clone()]).expect("a pageout");
        let (file, start) = disk.last_place();
        Self { handle, whole, file, start }
    }

    fn pages(&self) -> usize {
        self.whole.len().div_ceil(PAGE)
    }

    fn offset(&self, page: usize) -> u64 {
        self.start + u64_of(page * PAGE)
    }

    fn page(&self, disk: &Disk, page: usize) -> [u8; PAGE] {
        disk.page(self.file, self.offset(page))
    }

    fn set_page(&self, disk: &Disk, page: usize, bytes: &[u8; PAGE]) {
        disk.set_page(self.file, self.offset(page), bytes);
    }

    /// Reads in each way and takes: whatever touches the page `wrong` is refused, with zeros in the target, and what does not is
    /// right.
    #[track_caller]
    fn check(mut self, pager: &Pager, wrong: usize) -> Self {
        let len = self.whole.len();
        let page_len = PAGE.min(len - wrong * PAGE);
        let lists: [&[(usize, usize)]; 5] = [
            &[(0, len)],
            &[(wrong * PAGE, page_len)],
            &[(wrong * PAGE + page_len - 1, 1)],
            &[(0, 0), (wrong * PAGE + page_len / 2, 1)],
            &[(len - 1, 1), (0, len - 1)],
        ];
        for ranges in lists {
            let expected = gather(&self.whole, ranges);
            let page_range = wrong * PAGE..wrong * PAGE + PAGE;
            let touches = ranges.iter().any(|&(start, len)| len > 0 && start < page_range.end && page_range.start < start + len);
            let mut target = vec![0xee; expected.len()];
            match pager.read_into(&self.handle, ranges, &mut target) {
                Ok(()) => assert!(!touches && target == expected, "{ranges:?}"),
                Err(Error::Corrupt { byte_offset, .. }) => {
                    assert!(touches && byte_offset == u64_of(wrong * PAGE), "{ranges:?}, {byte_offset}");
                    assert!(target.iter().all(|&byte| byte == 0), "{ranges:?}: something is left in the target");
                }
                Err(error) => panic!("{error:?}"),
            }
            let mut dst = vec![1, 2];
            let outcome = pager.read_at_many(&self.handle, ranges, &mut dst);
            assert_eq!(outcome.is_err(), touches, "{ranges:?}");
            assert!(outcome.is_ok() || dst == [1, 2], "nothing is appended");
        }
        let failed = pager.take(self.handle, &mut Vec::new()).expect_err("a wrong page");
        assert_eq!(failed.error().code(), "ERR_PAGEOUT_CORRUPT");
        self.handle = failed.into_handle();
        self
    }

    #[track_caller]
    fn comes_back(self) {
        assert_same(&self.handle.take().expect("a take"), &self.whole);
    }
}

/// Lengths of one page and less, of several, and with a short end.
const LENS: [usize; 5] = [1, 100, PAGE, 3 * PAGE, 5 * PAGE + 7];

/// A payload of each length, on a disk of its own.
fn each_len(check: impl Fn(&Disk, &Pager, Placed)) {
    for len in LENS {
        let disk = Disk::new();
        let pager = sealed(&disk);
        let placed = Placed::new(&disk, &pager, elements(len, 1));
        check(&disk, &pager, placed);
        check_works(&pager);
        assert_eq!((pager.stats().handles, pager.stats().used_bytes), (0, 0));
    }
}

#[test]
fn a_byte_that_was_changed_in_any_page_is_refused() {
    each_len(|disk, pager, mut placed| {
        for page in 0..placed.pages() {
            let last = (placed.whole.len() - 1).min(page * PAGE + PAGE - 1);
            for at in [page * PAGE, last] {
                let offset = placed.start + u64_of(at);
                disk.flip(placed.file, offset);
                placed = placed.check(pager, page);
                disk.flip(placed.file, offset);
            }
        }
        placed.comes_back();
    });
}

/// Each of the 32,768 bits of a page, and of a page behind another, in front of the short end.
#[test]
fn a_bit_that_was_flipped_anywhere_in_a_page_is_refused() {
    for (len, page) in [(PAGE, 0), (2 * PAGE + 100, 1)] {
        let disk = Disk::new();
        let pager = sealed(&disk);
        let placed = Placed::new(&disk, &pager, elements(len, 1));
        let before = placed.page(&disk, page);
        let mut target = vec![0xee; len];
        for bit in 0..8 * PAGE {
            let mut flipped = before;
            flipped[bit / 8] ^= 1 << (bit % 8);
            placed.set_page(&disk, page, &flipped);
            target.fill(0xee);
            let refused = placed.handle.read_into(.., &mut target);
            assert!(
                matches!(refused, Err(Error::Corrupt { byte_offset, .. }) if byte_offset == u64_of(page * PAGE)),
                "bit {bit}"
            );
            assert!(target.iter().all(|&byte| byte == 0), "bit {bit}: something is left in the target");
        }
        placed.set_page(&disk, page, &before);
        placed.comes_back();
    }
}

#[test]
fn a_byte_that_was_changed_of_a_compressed_payload_is_refused() {
    let disk = Disk::new();
    let pager = disk.builder().encryption(true).compression(Compression::Lz4).build().expect("a pager in memory");
    let whole: Vec<u64> = (0..40_000).map(|number| number * number % 10_007).collect();
    let handle = pager.pageout(&mut [whole.clone()]).expect("a pageout");
    let (file, start) = disk.last_place();
    let stored_bytes = pager.stats().stored_bytes;
    assert!(stored_bytes < u64_of(whole.len() * 8) / 2 && stored_bytes > 4 * u64_of(PAGE), "{stored_bytes} bytes");
    let mut target = vec![0xee; whole.len()];
    for offset in (0..stored_bytes).step_by(61).chain([stored_bytes - 1]) {
        disk.flip(file, start + offset);
        target.fill(0xee);
        let refused = handle.read_into(.., &mut target);
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "byte {offset}: {refused:?}");
        assert!(target.iter().all(|&element| element == 0), "byte {offset}: something is left in the target");
        disk.flip(file, start + offset);
    }
    handle.read_into(.., &mut target).expect("as it was");
    assert_eq!(target, whole);
    assert_same(&handle.take().expect("a take"), &whole);
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    for len in LENS {
        let ends = (0..len).step_by(PAGE).flat_map(|start| [start, start + 1, start + PAGE - 1]);
        for end in ends.filter(|&end| end < len) {
            let disk = Disk::new();
            let pager = sealed(&disk);
            let placed = Placed::new(&disk, &pager, elements(len, 1));
            disk.truncate(placed.file, placed.start + u64_of(end));
            let mut target = vec![0xee; len];
            let refused = placed.handle.read_into(.., &mut target);
            let page = u64_of(end - end % PAGE);
            assert!(
                matches!(refused, Err(Error::Corrupt { byte_offset, .. }) if byte_offset == page),
                "{end} of {len}: {refused:?}"
            );
            assert!(target.iter().all(|&byte| byte == 0), "{end} of {len}: something is left in the target");
        }
    }
}

#[test]
fn a_page_of_zeros_or_of_plain_bytes_is_refused() {
    each_len(|disk, pager, mut placed| {
        for page in 0..placed.pages() {
            let before = placed.page(disk, page);
            let mut plain = [0; PAGE];
            placed.set_page(disk, page, &plain);
            placed = placed.check(pager, page);
            let bytes = placed.whole.chunks(PAGE).nth(page).expect("a page");
            plain[..bytes.len()].copy_from_slice(bytes);
            placed.set_page(disk, page, &plain);
            placed = placed.check(pager, page);
            placed.set_page(disk, page, &before);
        }
        placed.comes_back();
    });
}

#[test]
fn a_page_in_the_place_of_another_of_the_same_payload_is_refused() {
    let disk = Disk::new();
    let pager = sealed(&disk);
    // All pages are alike, so that nothing but their places can tell them apart.
    let mut placed = Placed::new(&disk, &pager, vec![7; 4 * PAGE]);
    let before: Vec<_> = (0..4).map(|page| placed.page(&disk, page)).collect();
    for page in 0..4 {
        for other in (0..4).filter(|&other| other != page) {
            assert!(before[page] != before[other], "pages that are alike are sealed differently");
            placed.set_page(&disk, page, &before[other]);
            placed = placed.check(&pager, page);
        }
        placed.set_page(&disk, page, &before[page]);
    }
    placed.comes_back();
}

#[test]
fn a_page_of_another_payload_or_pager_is_refused() {
    let disk = Disk::new();
    let (pager, other_pager) = (sealed(&disk), sealed(&disk));
    let others = [&pager, &other_pager].map(|pager| Placed::new(&disk, pager, vec![7; 3 * PAGE]));
    let mut placed = Placed::new(&disk, &pager, vec![7; 3 * PAGE]);
    for page in 0..3 {
        let before = placed.page(&disk, page);
        for other in &others {
            placed.set_page(&disk, page, &other.page(&disk, page));
            placed = placed.check(&pager, page);
        }
        placed.set_page(&disk, page, &before);
    }
    placed.comes_back();
    others.into_iter().for_each(Placed::comes_back);
}

#[test]
fn what_was_in_the_place_before_is_refused() {
    let disk = Disk::new();
    let pager = sealed(&disk);
    let first = Placed::new(&disk, &pager, vec![7; 3 * PAGE]);
    let (file, start) = (first.file, first.start);
    let before: Vec<_> = (0..3).map(|page| first.page(&disk, page)).collect();
    first.comes_back();
    // The same bytes in the same place.
    let mut placed = Placed::new(&disk, &pager, vec![7; 3 * PAGE]);
    assert_eq!((placed.file, placed.start), (file, start));
    for (page, bytes) in before.iter().enumerate() {
        let now = placed.page(&disk, page);
        assert!(now != *bytes, "the same bytes are sealed differently each time");
        placed.set_page(&disk, page, bytes);
        placed = placed.check(&pager, page);
        placed.set_page(&disk, page, &now);
    }
    placed.comes_back();
}

#[test]
fn a_target_is_zeros_after_any_failed_read() {
    let disk = Disk::new();
    let pager = sealed(&disk);
    let whole = elements::<u8>(300_000, 1);
    let handle = pager.pageout(&mut [whole.clone()]).expect("a pageout");
    for effect in [Effect::Fail(libc::EIO), Effect::FlipRead(250_000)] {
        disk.arm(Fault { call: Call::Read, index: 0, effect, lasts: Lasts::Once });
        let mut target = vec![0xee; whole.len()];
        handle.read_into(.., &mut target).expect_err("a device that fails");
        assert!(target.iter().all(|&byte| byte == 0), "{effect:?}");
        handle.read_into(.., &mut target).expect("a device that works");
        assert_same(&target, &whole);
    }
}

#[test]
fn a_write_that_is_done_once_more_elsewhere_comes_back() {
    let disk = Disk::new().without_reserve();
    let pager = sealed(&disk);
    let whole = elements::<u8>(300_000, 1);
    for index in 0..2 {
        disk.arm(Fault { call: Call::Write, index, effect: Effect::Fail(libc::ENOSPC), lasts: Lasts::Once });
        let handle = pager.pageout(&mut [whole.clone()]).expect("room elsewhere");
        assert_same(&handle.take().expect("a take"), &whole);
    }
}

#[test]
fn payloads_of_several_slots_and_of_a_collector_come_back() {
    let disk = Disk::new();
    let pager = sealed(&disk);
    let whole = elements::<u8>(65 * MIB + 5, 1);
    let handle = pager.pageout(&mut [whole.clone()]).expect("a pageout");
    let mut collector = pager.collector();
    whole.chunks(3 * MIB + 1).for_each(|chunk| collector.append(chunk).expect("a place"));
    let collected = collector.finish().expect("a payload");
    for handle in [handle, collected] {
        let ranges = [(64 * MIB - 3, 7), (4 * MIB - 1, PAGE + 2), (0, 1), (65 * MIB, 5)];
        assert_same(
            &handle.read_many(&ranges.map(|(offset, len)| offset..offset + len)).expect("ranges"),
            &gather(&whole, &ranges),
        );
        assert_same(&handle.take().expect("a take"), &whole);
    }
}

#[test]
fn a_pager_that_is_closed_says_so() {
    let disk = Disk::new();
    let pager = sealed(&disk);
    let handle = pager.pageout(&mut [elements::<u8>(10_000, 1)]).expect("a pageout");
    pager.close();
    assert!(matches!(handle.read(..), Err(Error::Closed)));
    assert!(matches!(pager.pageout(&mut [vec![1u8]]), Err(Error::Closed)));
}

/// Bytes that stand nowhere else.
const MARKER: &[u8; 16] = b"\x81s34led-p4yl04d\xfe";

fn marked(len_bytes: usize) -> Vec<u8> {
    MARKER.iter().copied().cycle().take(len_bytes).collect()
}

#[cfg(target_os = "linux")]
mod scratch_files {
    use std::path::Path;

    use super::*;
    use pageout_testing::{Setup, builder, scratch};

    /// The content of every scratch file in a directory, by way of this process's own descriptors.
    fn contents(directory: &Path) -> Vec<Vec<u8>> {
        let entries = std::fs::read_dir("/proc/self/fd").expect("a listing").map(|entry| entry.expect("an entry").path());
        let below = entries.filter(|path| std::fs::read_link(path).is_ok_and(|target| target.starts_with(directory)));
        below.filter(|path| path.is_file()).map(|path| std::fs::read(path).expect("its content")).collect()
    }

    /// How many pages hold something, and how many the marker.
    fn pages(directory: &Path) -> (usize, usize) {
        let contents = contents(directory);
        let pages = contents.iter().flat_map(|content| content.chunks(PAGE));
        let filled: Vec<_> = pages.filter(|page| page.iter().any(|&byte| byte != 0)).collect();
        let marked = filled.iter().filter(|page| page.windows(MARKER.len()).any(|window| window == MARKER));
        (filled.len(), marked.count())
    }

    /// Puts payloads out in each way.
    fn put_out(pager: &Pager) -> Vec<Handle<u8>> {
        let lens = [100, PAGE, 70_001, MIB + 1];
        let mut held: Vec<_> = lens.map(|len| pager.pageout(&mut [marked(len)]).expect("a pageout")).into();
        held.extend(lens.map(|len| pager.pageout_copy(&[&marked(len)[..], &marked(7)]).expect("a pageout")));
        let mut collector = pager.collector();
        (0..5).for_each(|_| collector.append(&marked(MIB)).expect("a place"));
        held.push(collector.finish().expect("a payload"));
        held
    }

    #[test]
    fn nothing_of_a_payload_is_on_the_disk() {
        for setup in [Setup::Sealed, Setup::Native] {
            let pager = setup.pager();
            let held = put_out(&pager);
            let (filled, marked) = pages(pager.scratch.path());
            assert!(filled > 1_500);
            // Without encryption it is there, but in short ends, so that the search would find it.
            assert!(if setup == Setup::Sealed { marked == 0 } else { marked + held.len() >= filled }, "{setup:?}: {marked}");
            drop(held);
        }
    }

    #[test]
    fn what_leaves_a_memory_budget_is_sealed() {
        let directory = scratch();
        let pager = builder(directory.path()).encryption(true).resident_bytes(MIB as u64).build().expect("a pager");
        let held: Vec<_> = (0..40).map(|_| pager.pageout_vec(marked(256 * KIB)).expect("a pageout")).collect();
        eventually(|| format!("{:?}", pager.stats()), || pages(directory.path()).0 >= 32 * 64);
        assert_eq!(pages(directory.path()).1, 0);
        for handle in held {
            assert_same(&handle.take().expect("a take"), &marked(256 * KIB));
        }
    }

    #[test]
    fn memory_is_not_encrypted() {
        let pager = Setup::Sealed.pager();
        let vec = marked(MIB);
        let address = vec.as_ptr();
        let handle = pager.pageout_with(Backend::Swap, &mut [vec]).expect("a pageout");
        let back = handle.take().expect("a take");
        assert_eq!(back.as_ptr(), address);
        assert_same(&back, &marked(MIB));
    }
}
