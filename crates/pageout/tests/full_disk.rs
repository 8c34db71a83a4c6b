//! Real file systems that are full: small ones, mounted where only the test sees them.
#![cfg(target_os = "linux")]

mod common;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use common::{KIB, MIB, assert_same, builder, elements, in_own_mounts, names, skip, succeeds, text, u64_of};
use pageout::{Handle, Pager};

/// Kinds of file systems, and the smallest size that each can well have, in MiB.
const KINDS: [(&str, usize); 5] = [("tmpfs", 32), ("ext4", 64), ("ext2", 64), ("xfs", 320), ("btrfs", 160)];

/// Mounts an empty file system of this kind below `root`; nothing where the machine cannot do that.
fn mounted(kind: &str, size_mib: usize, root: &Path) -> Option<PathBuf> {
    let (image, place) = (root.join(format!("{kind} image")), root.join(kind));
    std::fs::create_dir(&place).expect("a new directory");
    if kind == "tmpfs" {
        let size = format!("size={size_mib}m");
        return succeeds("mount", &["-t", "tmpfs", "-o", &size, "none", text(&place)]).then_some(place);
    }
    let file = std::fs::File::create(&image).expect("a new file");
    file.set_len(u64_of(size_mib * MIB)).expect("a sparse file");
    let made = succeeds(&format!("mkfs.{kind}"), &["-q", text(&image)]);
    (made && succeeds("mount", &["-o", "loop", text(&image), text(&place)])).then_some(place)
}

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

/// Fills a file system, frees, and fills it again with other lengths.
fn fill_and_free(place: &Path, size_mib: usize, is_portable: bool) {
    let builder = builder(place).capacity_bytes(1 << 40);
    let pager = if is_portable { builder.portable() } else { builder }.build().expect("a pager");
    let mut first = fill(&pager, MIB);
    assert!(first.len() >= size_mib / 2, "only {} MiB fit", first.len());
    let smaller = fill(&pager, 16 * KIB);
    check(&pager, &first);
    check(&pager, &smaller);
    drop(smaller);

    // A place that is freed serves at once, as often as one likes.
    for _ in 0..20 {
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
    assert_eq!(names(place).into_iter().filter(|name| name != "lost+found").count(), 0);
}

fn fills_and_frees(test: &str, kind: &str) {
    in_own_mounts(test, |root| {
        let (_, size_mib) = KINDS.into_iter().find(|(name, _)| *name == kind).expect("a known kind");
        let Some(place) = mounted(kind, size_mib, root) else { return skip(test, "it cannot be made and mounted") };
        for is_portable in [false, true] {
            fill_and_free(&place, size_mib, is_portable);
        }
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
