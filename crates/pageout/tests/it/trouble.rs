//! Devices and file systems that fail for real: what was written is lost, flipped, cut off or not to be had.
//!
//! The rule is the same for all of them: right bytes or a typed error, never wrong bytes; what the fault did not touch goes
//! on; and when the fault is gone the pager works again without anybody's help.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use pageout::{Error, Handle, Pager};
use pageout_testing::mounts::{FileSystem, Fuse, make_cold, on_each, run, scratch_files};
use pageout_testing::{
    KIB, MIB, PAGE, assert_same, builder, check_works, elements, in_own_mounts, names, report, short_or_long, skip, text, u64_of,
};

/// The seed of a payload, its length in bytes, and its handle.
struct Payload {
    seed: u64,
    handle: Handle<u8>,
}

/// Bytes of a payload: each page begins with a mark that no other page of any payload has.
fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = elements::<u8>(len, seed);
    for (number, page) in bytes.chunks_mut(PAGE).enumerate() {
        let mark = mark(seed, number);
        page[..mark.len()].copy_from_slice(&mark);
    }
    bytes
}

fn mark(seed: u64, page: usize) -> [u8; 24] {
    let mut mark = *b"marked  seed....page....";
    mark[12..16].copy_from_slice(&u32::try_from(seed).expect("a small seed").to_le_bytes());
    mark[20..].copy_from_slice(&u32::try_from(page).expect("a short payload").to_le_bytes());
    mark
}

/// Pages a payload out; a failure leaves the chunk as it was.
fn put(pager: &Pager, len: usize, seed: u64) -> Result<Payload, Error> {
    let mut chunks = [content(len, seed)];
    match pager.pageout(&mut chunks) {
        Ok(handle) => Ok(Payload { seed, handle }),
        Err(error) => {
            assert_same(&chunks[0], &content(len, seed));
            Err(error)
        }
    }
}

fn put_all(pager: &Pager, count: usize, len: usize) -> Vec<Payload> {
    (0..count).map(|number| put(pager, len, u64_of(number)).expect("a pageout")).collect()
}

/// How reads ended.
#[derive(Debug, Default)]
struct Reads {
    right: usize,
    corrupt: usize,
    /// By the code of the operating system.
    refused: HashMap<&'static str, usize>,
}

impl Reads {
    fn failed(&self) -> usize {
        self.corrupt + self.refused.values().sum::<usize>()
    }

    fn only_refused_with(&self, code: &str) -> bool {
        self.refused.keys().all(|&refused| refused == code)
    }
}

/// Reads every payload whole. What comes back without an error is right.
fn read_all(pager: &Pager, payloads: &[Payload]) -> Reads {
    let mut reads = Reads::default();
    for Payload { seed, handle } in payloads {
        let mut all = vec![42; 3];
        match pager.read_at(handle, 0, handle.len(), &mut all) {
            Ok(()) => {
                assert_same(&all[3..], &content(handle.len(), *seed));
                reads.right += 1;
            }
            Err(error) => {
                assert_eq!(all, [42; 3], "nothing is appended");
                match error.code() {
                    "ERR_PAGEOUT_CORRUPT" => reads.corrupt += 1,
                    code => *reads.refused.entry(code).or_default() += 1,
                }
            }
        }
    }
    reads
}

/// Frees everything, after which nothing may be counted.
fn free(pager: &Pager, payloads: Vec<Payload>) {
    drop(payloads);
    let stats = pager.stats();
    assert_eq!((stats.handles, stats.payload_bytes, stats.used_bytes), (0, 0, 0));
}

/// As [`free`]; no name may be left either.
fn release(pager: &Pager, payloads: Vec<Payload>, scratch: &Path) {
    free(pager, payloads);
    assert_eq!(names(scratch).into_iter().filter(|name| name != "lost+found").count(), 0);
}

/// A file system in a sparse file, of which the file system below holds 48 MiB only.
fn on_thin_device(kind: &'static str, root: &Path) -> Result<(FileSystem, FileSystem), String> {
    let below = FileSystem::with_options("tmpfs", 48, root, &[])?;
    // Without a journal, whose loss would stop the file system before any payload is lost.
    let options: &[&str] = match kind {
        "btrfs" => &["--nodiscard"],
        _ => &["-b", "4096", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard"],
    };
    let thin = FileSystem::in_image(kind, 256, &below.place, root, options)?;
    Ok((below, thin))
}

/// What one thin device came to.
struct Lost {
    payloads: usize,
    works_again: bool,
}

/// More is written than the device holds: the writes succeed and the write-back fails.
fn loses_what_was_written(below: &FileSystem, thin: &FileSystem) -> Lost {
    let pager = builder(&thin.place).capacity_bytes(1 << 40).build().expect("a pager");
    let payloads: Vec<_> = (0..100).map_while(|seed| put(&pager, MIB, seed).ok()).collect();
    thin.sync();
    make_cold(&thin.place);
    let reads = read_all(&pager, &payloads);
    assert!(reads.right > 0 && reads.only_refused_with("EIO"), "{reads:?}");
    // btrfs keeps some of what it cannot write in memory for a while.
    let is_settled = thin.kind != "btrfs";
    assert!(reads.failed() > 0 || !is_settled, "{reads:?}");
    if reads.corrupt > 0 {
        check_loss_is_known(&pager, &payloads);
    }

    below.remount("size=400m").expect("more room");
    let works_again = works(&pager, thin);
    let later = read_all(&pager, &payloads);
    assert!(later.right == reads.right || !is_settled, "{reads:?}, then {later:?}");
    let lost = Lost { payloads: later.failed(), works_again };
    free(&pager, payloads);
    lost
}

/// What the kernel told of the write-back that failed is not swallowed: it is in the statistics, in the handles of the file
/// and in the error.
fn check_loss_is_known(pager: &Pager, payloads: &[Payload]) {
    let stats = pager.stats();
    assert!(stats.write_back_failures > 0 && stats.at_risk_bytes > 0, "{stats:?}");
    for Payload { handle, .. } in payloads {
        match pager.read_at(handle, 0, handle.len(), &mut Vec::new()) {
            Err(Error::Corrupt { write_back_errno, .. }) => {
                assert!(matches!(write_back_errno, Some(libc::EIO | libc::ENOSPC)), "{write_back_errno:?}");
                assert!(handle.is_at_risk());
            }
            outcome => drop(outcome),
        }
    }
}

/// Whether payloads go to the device and come back.
fn works(pager: &Pager, system: &FileSystem) -> bool {
    let Ok(payloads) = (1000..1016).map(|seed| put(pager, MIB, seed)).collect::<Result<Vec<_>, _>>() else { return false };
    system.sync();
    make_cold(&system.place);
    read_all(pager, &payloads).failed() == 0
}

#[test]
fn what_a_thin_device_loses_is_never_read_back_wrong() {
    let test = "what_a_thin_device_loses_is_never_read_back_wrong";
    in_own_mounts(test, |root| {
        for kind in ["ext4", "ext2", "btrfs"] {
            let (rounds, mut lost) = (short_or_long(1, 10), 0);
            for _ in 0..rounds {
                let (below, thin) = match on_thin_device(kind, root) {
                    Ok(both) => both,
                    Err(reason) => return skip(&format!("{test} on {kind}"), &reason),
                };
                let round = loses_what_was_written(&below, &thin);
                // btrfs stops for good when it cannot write its own metadata.
                assert!(round.works_again || kind == "btrfs", "{kind} does not work again");
                lost += round.payloads;
                thin.unmount().expect("nobody holds the file system");
                below.unmount().expect("nobody holds the file system");
            }
            report("thin device", kind, rounds, lost, "each lost payload a typed error, no wrong byte");
        }
    });
}

/// Makes a file system fail every call from now on, as when its device is pulled out.
#[allow(unsafe_code, reason = "this request has no safe form")]
fn shut_down(system: &FileSystem) -> std::io::Result<()> {
    /// `_IOR('X', 125, __u32)`, which ext4 and xfs share.
    const SHUTDOWN: libc::c_ulong = 0x8004_587d;
    /// Without flushing anything before.
    static NO_FLUSH: u32 = 2;
    let directory = File::open(&system.place)?;
    // SAFETY: the descriptor is open for the call, and the request reads one u32 through the pointer.
    let answer = unsafe { libc::ioctl(directory.as_raw_fd(), SHUTDOWN as _, &raw const NO_FLUSH) };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// A file system stops for good while payloads are out. Says how many calls it refused.
fn stops(system: &FileSystem) -> usize {
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    let other = builder(elsewhere.path()).build().expect("a pager");
    let other_payloads = put_all(&other, 8, 64 * KIB);
    let pager = builder(&system.place).build().expect("a pager");
    let mut payloads = put_all(&pager, 32, 64 * KIB);
    shut_down(system).expect("both file systems can be shut down");

    let mut refusals = 0;
    for seed in 0..100 {
        let error = put(&pager, 64 * KIB, seed).err().expect("the file system has stopped");
        assert_eq!(error.code(), "EIO", "{error:?}");
        refusals += 1;
    }
    assert!(scratch_files(&system.place).len() <= 4, "refusals use up descriptors");
    let reads = read_all(&pager, &payloads);
    assert!(reads.only_refused_with("EIO") && reads.corrupt == 0, "{reads:?}");
    let taken = payloads.pop().expect("a payload");
    let failed = pager.take(taken.handle, &mut Vec::new()).expect_err("the file system has stopped");
    assert_eq!(failed.error().code(), "EIO");
    payloads.push(Payload { seed: taken.seed, handle: failed.into_handle() });
    refusals += reads.failed() + 1;

    assert_eq!(read_all(&other, &other_payloads).right, 8, "another pager does not notice");
    check_works(&other);
    free(&pager, payloads);
    drop(pager);
    system.unmount().expect("nobody holds the file system");
    system.mount("rw").expect("the file system recovers");
    let pager = builder(&system.place).build().expect("a pager");
    check_works(&pager);
    release(&pager, Vec::new(), &system.place);
    refusals
}

#[test]
fn a_file_system_that_stops_is_an_ordinary_error() {
    on_each("a_file_system_that_stops_is_an_ordinary_error", &["ext4", "xfs"], |system| {
        let rounds = short_or_long(2, 100);
        let refusals = (0..rounds).map(|_| stops(system)).sum();
        report("forced shutdown", system.kind, rounds, refusals, "all EIO, handles whole, works after a new mount");
    });
}

/// A page of a payload, by its place in the list.
type PageOf = (usize, usize);

/// Where the image holds each page of the payloads, all of which are on the device.
fn places_in_image(system: &FileSystem, payloads: &[Payload]) -> HashMap<PageOf, u64> {
    let wanted: HashMap<_, PageOf> = (0..)
        .zip(payloads)
        .flat_map(|(place, payload)| {
            (0..payload.handle.len().div_ceil(PAGE)).map(move |page| (mark(payload.seed, page), (place, page)))
        })
        .collect();
    let image = File::open(&system.image).expect("the image");
    let len_bytes = image.metadata().expect("the image").len();
    let mut found = HashMap::new();
    let mut block = vec![0; MIB];
    for start in (0..len_bytes).step_by(MIB) {
        let read = image.read_at(&mut block, start).expect("the image");
        for (page, bytes) in (0..).zip(block[..read].chunks_exact(PAGE)) {
            let mark = <[u8; 24]>::try_from(&bytes[..24]).expect("24 bytes");
            if let Some(&place) = wanted.get(&mark) {
                found.insert(place, start + page * u64_of(PAGE));
            }
        }
    }
    assert_eq!(found.len(), wanted.len(), "all pages are on the device");
    found
}

/// Flips a bit in each of the pages, reads each, and flips the bits back. Says how many reads failed with which code.
fn flips_are_found(
    system: &FileSystem,
    pager: &Pager,
    payloads: &[Payload],
    places: &HashMap<PageOf, u64>,
    round: usize,
) -> Reads {
    let flip_all = || {
        for (&(payload, page), &start) in places {
            let place = (payload * 7919 + page * 104_729 + round * 1_299_709) % (PAGE * 8);
            system.flip(start + u64_of(place / 8), u32::try_from(place % 8).expect("below 8"));
        }
        make_cold(&system.place);
    };
    flip_all();
    let mut reads = Reads::default();
    for &(payload, page) in places.keys() {
        let Payload { handle, .. } = &payloads[payload];
        let mut some = Vec::new();
        match pager.read_at(handle, page * PAGE + 9, 1, &mut some) {
            Ok(()) => reads.right += 1,
            Err(Error::Corrupt { byte_offset, .. }) => {
                assert_eq!(byte_offset, u64_of(page * PAGE));
                reads.corrupt += 1;
            }
            Err(error) => *reads.refused.entry(error.code()).or_default() += 1,
        }
    }
    flip_all();
    assert_eq!(read_all(pager, payloads).failed(), 0, "the bits are right again");
    reads
}

#[test]
fn every_bit_that_flips_below_the_file_system_is_found() {
    let test = "every_bit_that_flips_below_the_file_system_is_found";
    in_own_mounts(test, |root| {
        let kinds: [(_, _, &[&str]); 3] = [("ext4", 64, &["-b", "4096"]), ("xfs", 320, &[]), ("btrfs", 192, &[])];
        for (kind, size_mib, options) in kinds {
            let system = match FileSystem::with_options(kind, size_mib, root, options) {
                Ok(system) => system,
                Err(reason) => {
                    skip(&format!("{test} on {kind}"), &reason);
                    continue;
                }
            };
            let pager = builder(&system.place).build().expect("a pager");
            let payloads = put_all(&pager, short_or_long(32, 256), 64 * KIB);
            system.sync();
            let places = places_in_image(&system, &payloads);
            let (rounds, mut flips) = (short_or_long(1, 90), 0);
            for round in 0..rounds {
                let reads = flips_are_found(&system, &pager, &payloads, &places, round);
                assert_eq!(reads.right, 0, "{reads:?}");
                // btrfs finds them by its own checksums.
                let is_named = if kind == "btrfs" { reads.only_refused_with("EIO") } else { reads.refused.is_empty() };
                assert!(is_named, "{reads:?}");
                flips += reads.failed();
            }
            release(&pager, payloads, &system.place);
            check_works(&pager);
            report("flipped bits", kind, rounds, flips, "all found, all right when flipped back");
        }
    });
}

/// The second half of the device is gone, then there again, empty. Says how many payloads that cost.
fn is_cut_off(system: &FileSystem) -> usize {
    let image = File::options().write(true).open(&system.image).expect("the image");
    let len_bytes = image.metadata().expect("the image").len();
    let pager = builder(&system.place).build().expect("a pager");
    let count = usize::try_from(len_bytes).expect("a small image") / MIB * 6 / 10;
    let payloads = put_all(&pager, count, MIB);
    system.sync();
    image.set_len(len_bytes / 2).expect("a shorter image");
    make_cold(&system.place);
    let cut = read_all(&pager, &payloads);
    assert!(cut.right > 0 && cut.failed() > 0 && cut.only_refused_with("EIO"), "{cut:?}");
    image.set_len(len_bytes).expect("a longer image");
    make_cold(&system.place);
    let empty = read_all(&pager, &payloads);
    assert_eq!((empty.right, empty.corrupt), (cut.right, cut.failed()), "{cut:?}, then {empty:?}");
    release(&pager, payloads, &system.place);
    let works_again = works(&pager, system);
    assert!(works_again);
    empty.corrupt
}

#[test]
fn a_device_that_is_cut_off_costs_what_it_held() {
    let test = "a_device_that_is_cut_off_costs_what_it_held";
    in_own_mounts(test, |root| {
        for kind in ["ext4", "xfs"] {
            let (rounds, mut lost) = (short_or_long(1, 8), 0);
            for _ in 0..rounds {
                let system = match FileSystem::mounted(kind, root) {
                    Ok(system) => system,
                    Err(reason) => {
                        skip(&format!("{test} on {kind}"), &reason);
                        break;
                    }
                };
                lost += is_cut_off(&system);
                system.unmount().expect("nobody holds the file system");
                std::fs::remove_file(&system.image).expect("the image");
            }
            report("truncated device", kind, rounds, lost, "typed, the rest intact, works again");
        }
    });
}

/// The reason for which a directory was refused.
fn refusal(path: &Path) -> Error {
    match builder(path).build().expect_err("an unusable directory") {
        Error::ScratchDir { tried } if tried.len() == 1 && tried[0].path == path => tried[0].reason.clone(),
        error => panic!("{error:?}"),
    }
}

#[test]
fn a_read_only_file_system_is_refused_and_serves_when_it_is_writable() {
    on_each("a_read_only_file_system_is_refused_and_serves_when_it_is_writable", &["ext4", "ext2", "xfs", "btrfs"], |system| {
        let rounds = short_or_long(1, 50);
        for _ in 0..rounds {
            system.remount("ro").expect("nobody writes");
            assert_eq!(refusal(&system.place).code(), "EROFS");
            assert_eq!(refusal(&system.place.join("new")).code(), "EROFS");
            system.remount("rw").expect("a file system in order");
            check_works(&builder(&system.place).build().expect("a pager"));
        }
        report("read-only", system.kind, rounds, rounds * 2, "refused with EROFS, serves when writable");
    });
}

/// ext4 gives up writing while payloads are out, as it does by itself when it finds its metadata damaged. Says how many calls
/// it refused.
fn becomes_read_only(system: &FileSystem) -> usize {
    let pager = builder(&system.place).build().expect("a pager");
    let payloads = put_all(&pager, 32, 64 * KIB);
    system.sync();
    system.remount("abort").expect("an option of ext4");
    make_cold(&system.place);
    for seed in 0..100 {
        let error = put(&pager, 64 * KIB, seed).err().expect("nothing can be written");
        assert!(matches!(error.code(), "EROFS" | "EIO"), "{error:?}");
    }
    assert_eq!(read_all(&pager, &payloads).right, 32, "what is on the device can be read");
    release(&pager, payloads, &system.place);
    100
}

#[test]
fn a_file_system_that_becomes_read_only_keeps_what_is_out_readable() {
    let test = "a_file_system_that_becomes_read_only_keeps_what_is_out_readable";
    in_own_mounts(test, |root| {
        let (rounds, mut refusals) = (short_or_long(1, 50), 0);
        for _ in 0..rounds {
            let system = match FileSystem::mounted("ext4", root) {
                Ok(system) => system,
                Err(reason) => return skip(test, &reason),
            };
            refusals += becomes_read_only(&system);
            system.unmount().expect("nobody holds the file system");
            std::fs::remove_file(&system.image).expect("the image");
        }
        report("read-only while in use", "ext4", rounds, refusals, "typed, payloads readable");
    });
}

#[test]
fn a_file_system_without_unnamed_files_serves_by_names_that_are_gone_at_once() {
    let test = "a_file_system_without_unnamed_files_serves_by_names_that_are_gone_at_once";
    in_own_mounts(test, |root| {
        let fuse = match Fuse::mounted(root, &[]) {
            Ok(fuse) => fuse,
            Err(reason) => return skip(test, &reason),
        };
        let rounds = short_or_long(2, 50);
        for _ in 0..rounds {
            let pager = builder(&fuse.place).build().expect("a pager");
            let payloads: Vec<_> = (12..21).map(|power| put(&pager, 1 << power, power).expect("a pageout")).collect();
            // FUSE itself renames files that are removed while they are open, until they are closed.
            let is_own = |name: &String| !name.starts_with(".fuse_hidden");
            assert_eq!(names(&fuse.place).into_iter().filter(is_own).count(), 0, "while payloads are out");
            assert_eq!(read_all(&pager, &payloads).right, payloads.len());
            make_cold(&fuse.place);
            assert_eq!(read_all(&pager, &payloads).right, payloads.len());
            check_works(&pager);
            free(&pager, payloads);
            pager.trim().expect("a trim");
        }
        drop(std::fs::read_dir(&fuse.place).expect("a listing"));
        assert_eq!(names(&fuse.place), [""; 0], "after the pagers");
        report("no unnamed files", "fuse (bindfs)", rounds, 0, "works by the named fallback, no name left");
    });
}

#[test]
fn memory_file_systems_are_refused_by_name() {
    let test = "memory_file_systems_are_refused_by_name";
    in_own_mounts(test, |root| {
        for kind in ["ramfs", "hugetlbfs"] {
            let place = root.join(kind);
            std::fs::create_dir(&place).expect("a new directory");
            if let Err(reason) = run("mount", &["-t", kind, "none", text(&place)]) {
                skip(&format!("{test} on {kind}"), &reason);
                continue;
            }
            let error = Pager::builder().scratch_dir(&place).build().expect_err("a directory in memory");
            let Error::RamBacked { file_system, .. } = &error else { panic!("{error:?}") };
            assert_eq!((error.code(), file_system.as_str()), ("ERR_PAGEOUT_RAM_BACKED", kind));
            match kind {
                "ramfs" => check_works(&builder(&place).build().expect("it is allowed")),
                // It makes files and then takes no data.
                _ => assert_eq!(refusal(&place).code(), "EINVAL"),
            }
            assert_eq!(names(&place), [""; 0]);
            report("files in memory", kind, 1, 1, "refused with a code; allowed only where data can be written");
        }
    });
}
