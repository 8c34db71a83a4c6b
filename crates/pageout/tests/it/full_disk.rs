//! Real file systems that are full: small ones, mounted where only the test sees them.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

use pageout::{Handle, Pager};
use pageout_testing::mounts::{FileSystem, on_each, run};
use pageout_testing::{
    KIB, MIB, assert_same, builder, elements, in_own_mounts, names, report, short_or_long, skip, text, u64_of,
};

fn page_out(pager: &Pager, len: usize, seed: usize) -> Option<Handle<u8>> {
    let mut chunks = [elements::<u8>(len, u64_of(seed))];
    match pager.pageout(&mut chunks) {
        Ok(handle) => Some(handle),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error:?}");
            assert_same(&chunks[0], &elements::<u8>(len, u64_of(seed)));
            None
        }
    }
}

/// Pages payloads out until the disk is full.
fn fill(pager: &Pager, len: usize) -> Vec<Handle<u8>> {
    (0..).map_while(|seed| page_out(pager, len, seed)).collect()
}

fn check(pager: &Pager, handles: &[Handle<u8>]) {
    for (seed, handle) in handles.iter().enumerate() {
        let mut all = Vec::new();
        pager.read_at(handle, 0, handle.len(), &mut all).expect("a read");
        assert_same(&all, &elements::<u8>(handle.len(), u64_of(seed)));
    }
}

/// About how much room there is to fill.
const ROOM_MIB: u64 = 48;

/// Gives all room but `left_mib` to a file of somebody else.
fn take_room(system: &FileSystem, left_mib: u64) {
    let facts = rustix::fs::statvfs(&system.place).expect("a mounted file system");
    let taken_bytes = (facts.f_bavail * facts.f_frsize).saturating_sub(left_mib << 20);
    if taken_bytes > 0 && system.kind != "ext2" {
        let ballast = File::create(system.place.join("ballast")).expect("a new file");
        rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, taken_bytes).expect("room");
    }
}

/// Fills a file system, frees, and fills it again with other lengths.
fn fill_and_free(system: &FileSystem, is_portable: bool) {
    let builder = builder(&system.place).capacity_bytes(1 << 40);
    let pager = if is_portable { builder.portable() } else { builder }.build().expect("a pager");
    let mut first = fill(&pager, MIB);
    assert!(first.len() >= 25, "only {} MiB fit", first.len());
    let smaller = fill(&pager, 16 * KIB);
    check(&pager, &first);
    check(&pager, &smaller);
    drop(smaller);

    // A place that is freed serves at once, as often as one likes. Only btrfs needs room elsewhere to write it again, which
    // takes a hole, and time.
    let refills = match (system.kind, is_portable) {
        ("btrfs", true) => 0,
        ("btrfs", false) => 2,
        _ => 20,
    };
    for _ in 0..refills {
        drop(first.pop());
        let seed = first.len();
        first.push(page_out(&pager, MIB, seed).expect("a place was freed"));
    }
    check(&pager, &first);

    // Free room of one class serves another, without anybody asking for it.
    let count = first.len();
    drop(first);
    assert_eq!(pager.stats().used_bytes, 0);
    let second = fill(&pager, 100 * KIB);
    assert!(second.len() >= count * 1024 / 128 * 9 / 10, "{} of 100 KiB fit where {count} MiB were", second.len());
    check(&pager, &second);
    drop((second, pager));
    assert_eq!(names(&system.place).into_iter().filter(|name| name != "lost+found" && name != "ballast").count(), 0);
}

fn fills_and_frees(test: &str, kind: &str) {
    on_each(test, &[kind], |system| {
        take_room(system, ROOM_MIB);
        let rounds = short_or_long(1, 5);
        for _ in 0..rounds {
            for is_portable in [false, true] {
                fill_and_free(system, is_portable);
            }
        }
        // Each of the three fillings ends with a refusal.
        report("full disk", kind, rounds * 2, rounds * 6, "every payload intact, all room used again");
    });
}

#[test]
fn a_full_tmpfs_is_no_lasting_state() {
    fills_and_frees("a_full_tmpfs_is_no_lasting_state", "tmpfs");
}

#[test]
fn a_full_ext4_is_no_lasting_state() {
    fills_and_frees("a_full_ext4_is_no_lasting_state", "ext4");
}

#[test]
fn a_full_ext2_is_no_lasting_state() {
    fills_and_frees("a_full_ext2_is_no_lasting_state", "ext2");
}

#[test]
fn a_full_xfs_is_no_lasting_state() {
    fills_and_frees("a_full_xfs_is_no_lasting_state", "xfs");
}

#[test]
fn a_full_btrfs_is_no_lasting_state() {
    fills_and_frees("a_full_btrfs_is_no_lasting_state", "btrfs");
}

/// A writer that takes all the room that is left, and frees some of it.
struct OtherWriter {
    file: File,
    len_bytes: u64,
}

impl OtherWriter {
    fn new(place: &Path) -> Self {
        Self { file: File::create(place.join("another file")).expect("a new file"), len_bytes: 0 }
    }

    fn fill(&mut self) {
        let mut bytes = &vec![0x5a; MIB][..];
        while !bytes.is_empty() {
            match self.file.write_at(bytes, self.len_bytes) {
                Ok(written) => self.len_bytes += u64_of(written),
                Err(_) => bytes = &bytes[..if bytes.len() > 4 * KIB { bytes.len() / 4 } else { 0 }],
            }
        }
    }

    fn free(&mut self, bytes: usize) {
        self.len_bytes -= u64_of(bytes);
        self.file.set_len(self.len_bytes).expect("a shorter file");
    }
}

/// What one refusal must be: typed, with the numbers, the chunk untouched, nothing counted.
fn check_refusal(pager: &Pager, chunks: &mut [Vec<u8>; 1]) {
    let (used_bytes, address) = (pager.stats().used_bytes, chunks[0].as_ptr());
    let error = pager.pageout(chunks).expect_err("the disk is full");
    assert_eq!((error.code(), error.kind()), ("ENOSPC", ErrorKind::StorageFull));
    assert!(error.to_string().contains("bytes asked for"), "{error}");
    assert_eq!((chunks[0].as_ptr(), pager.stats().used_bytes), (address, used_bytes));
}

/// The other writer fills the disk, the pager is refused `refusals` times, the other frees a little, the pager works.
fn is_refused_and_recovers(pager: &Pager, other: &mut OtherWriter, refusals: usize, round: usize) {
    let held: Vec<_> = (0..16).map(|seed| page_out(pager, 64 * KIB, seed).expect("there is room")).collect();
    pager.trim().expect("a trim");
    other.fill();
    // Some file systems still find room here and there.
    let last = fill(pager, 256 * KIB);
    let mut chunks = [elements::<u8>(256 * KIB, u64_of(round))];
    for _ in 0..refusals {
        check_refusal(pager, &mut chunks);
    }
    assert_same(&chunks[0], &elements::<u8>(256 * KIB, u64_of(round)));
    check(pager, &held);
    other.free(8 * MIB);
    let recovered = pager.pageout(&mut chunks).expect("there is room again");
    let mut all = Vec::new();
    pager.take(recovered, &mut all).expect("a take");
    assert_same(&all, &elements::<u8>(256 * KIB, u64_of(round)));
    check(pager, &held);
    check(pager, &last);
    drop((held, last));
    assert_eq!(pager.stats().used_bytes, 0);
    other.free(8 * MIB);
}

#[test]
fn another_writer_may_fill_the_disk_and_free_it_at_any_time() {
    on_each("another_writer_may_fill_the_disk_and_free_it_at_any_time", &["tmpfs", "ext4", "ext2", "xfs", "btrfs"], |system| {
        let (rounds, refusals) = (short_or_long(1, 25), short_or_long(100, 400));
        let pager = builder(&system.place).capacity_bytes(1 << 40).build().expect("a pager");
        let mut other = OtherWriter::new(&system.place);
        for round in 0..rounds {
            is_refused_and_recovers(&pager, &mut other, refusals, round);
        }
        report("disk kept full by another writer", system.kind, rounds, rounds * refusals, "all typed, recovery at once");
    });
}

/// Pages out until the quota is reached. Says how many payloads the quota held.
fn fill_quota(pager: &Pager) -> usize {
    let mut handles = Vec::new();
    let mut chunks = [elements::<u8>(MIB, 0)];
    let error = loop {
        match pager.pageout(&mut chunks) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
        chunks = [elements::<u8>(MIB, u64_of(handles.len()))];
    };
    assert_eq!((error.code(), error.kind()), ("EDQUOT", ErrorKind::QuotaExceeded));
    assert_same(&chunks[0], &elements::<u8>(MIB, u64_of(handles.len())));
    check(pager, &handles);
    handles.len()
}

#[test]
fn a_quota_is_no_lasting_state() {
    let test = "a_quota_is_no_lasting_state";
    in_own_mounts(test, |root| {
        let limited = FileSystem::mounted("btrfs", root).and_then(|system| {
            let volume = system.place.join("volume");
            run("btrfs", &["quota", "enable", text(&system.place)])?;
            run("btrfs", &["subvolume", "create", text(&volume)])?;
            run("btrfs", &["qgroup", "limit", "32M", text(&volume)]).map(|()| volume)
        });
        let volume = match limited {
            Ok(volume) => volume,
            Err(reason) => return skip(test, &reason),
        };
        let pager = builder(&volume).capacity_bytes(1 << 40).build().expect("a pager");
        let rounds = short_or_long(3, 100);
        for round in 0..rounds {
            let count = fill_quota(&pager);
            assert!(count >= 24, "round {round}: {count} MiB fit in 32");
            assert_eq!(pager.stats().used_bytes, 0);
        }
        report("quota", "btrfs", rounds, rounds, "typed, all of it used again");
    });
}

/// Makes files until the file system has no inode left, and removes `left` of them.
fn use_up_inodes(place: &Path, left: usize) {
    let path = |number: usize| place.join(format!("another file {number}"));
    let count = (0..100_000).take_while(|&number| File::create(path(number)).is_ok()).count();
    (count - left..count).for_each(|number| std::fs::remove_file(path(number)).expect("a file"));
}

/// The payloads that files for their lengths could be had for, one of each power of two.
fn one_of_each_length(pager: &Pager) -> (Vec<Handle<u8>>, usize) {
    let lens: Vec<usize> = (12..20).map(|power| 1 << power).collect();
    let handles: Vec<_> = lens.iter().filter_map(|&len| page_out(pager, len, len)).collect();
    let refused = lens.len() - handles.len();
    (handles, refused)
}

#[test]
fn missing_inodes_cost_new_files_at_most() {
    let test = "missing_inodes_cost_new_files_at_most";
    in_own_mounts(test, |root| {
        for (kind, options) in [("tmpfs", ["nr_inodes=64"].as_slice()), ("ext4", &["-N", "64"])] {
            let system = match FileSystem::with_options(kind, 64, root, options) {
                Ok(system) => system,
                Err(reason) => return skip(test, &reason),
            };
            use_up_inodes(&system.place, 4);
            let pager = builder(&system.place).build().expect("a pager");
            let rounds = short_or_long(2, 50);
            let mut refusals = 0;
            for _ in 0..rounds {
                let (handles, refused) = one_of_each_length(&pager);
                assert!(!handles.is_empty() && refused > 0, "{kind}: {} out, {refused} refused", handles.len());
                for handle in handles {
                    let (len, mut all) = (handle.len(), Vec::new());
                    let again = page_out(&pager, len, len).expect("a file of this length is open");
                    pager.take(handle, &mut all).expect("a take");
                    assert_same(&all, &elements::<u8>(len, u64_of(len)));
                    drop(again);
                }
                // Files that hold nothing give their inodes to others by themselves.
                assert!(page_out(&pager, 3 * MIB, 1).is_some());
                refusals += refused;
            }
            report("no inodes", kind, rounds, refusals, "typed ENOSPC, open files serve on");
        }
    });
}
