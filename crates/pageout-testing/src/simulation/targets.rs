//! Fuzz targets: plain functions of bytes, which panic where a promise is broken.

use std::collections::TryReserveError;
use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use pageout::frames::{Corrupt, FRAME_BYTES, Workspace};
use pageout::{Backend, Error, Handle, Pager, PagerBuilder};

use super::plan::{Ground, Plan};
use super::world;
use crate::draws::Draws;
use crate::faulty::Disk;
use crate::{assert_same, check_works, elements, gather, names, scratch};

/// Lists of ranges, against a check that looks at each element.
pub fn ranges(data: &[u8]) {
    thread_local! {
        static PAGER: Pager = Disk::new().pager();
    }
    let mut draws = Draws::Bytes(data);
    let backend = draws.pick(&[Backend::File, Backend::Swap]);
    let whole = elements::<u16>(draws.index(10_000) * draws.index(2) + draws.index(20), 9);
    PAGER.with(|pager| {
        let handle = pager.pageout_with(backend, &mut [whole.clone()]).expect("a pageout without a fault");
        while !draws.is_used_up() {
            let ranges: Vec<_> = (0..draws.index(20)).map(|_| range(&mut draws, whole.len())).collect();
            check_ranges(pager, &handle, &whole, &ranges);
        }
    });
}

/// A range that is likely to be near the end of the payload, of the ones that fit, or of all numbers.
fn range(draws: &mut Draws<'_>, payload_len: usize) -> (usize, usize) {
    let mut number = |most: usize| match draws.below(8) {
        0 => usize::MAX - draws.index(3),
        1 => most.saturating_sub(draws.index(3)),
        2 => most + draws.index(3),
        3 => usize::try_from(draws.number()).expect("64 bits"),
        _ => draws.index(most + 1),
    };
    let offset = number(payload_len);
    (offset, number(payload_len.saturating_sub(offset).min(300)))
}

/// What must be said of ranges, by looking at each element.
fn naive_check(ranges: &[(usize, usize)], payload_len: usize) -> Result<(), Fault> {
    let end = |range: &(usize, usize)| u128::try_from(range.0).expect("wide") + u128::try_from(range.1).expect("wide");
    let is_past = |range: &&(usize, usize)| end(range) > u128::try_from(payload_len).expect("wide");
    if let Some(&first) = ranges.iter().find(is_past) {
        return Err(Fault::OutOfRange(first));
    }
    let mut marks = vec![false; payload_len];
    for position in ranges.iter().flat_map(|&(offset, len)| offset..offset + len) {
        if std::mem::replace(&mut marks[position], true) {
            return Err(Fault::Overlap);
        }
    }
    Ok(())
}

/// What is wrong with ranges.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// This range is the first that is past the end.
    OutOfRange((usize, usize)),
    Overlap,
}

fn fault_of(error: &Error, ranges: &[(usize, usize)], len: usize) -> Fault {
    match *error {
        Error::OutOfRange { offset, len: asked, payload_len, .. } if payload_len == len => Fault::OutOfRange((offset, asked)),
        Error::Overlap { first, second, .. } => {
            assert!(ranges.contains(&first) && ranges.contains(&second), "{error:?} of {ranges:?}");
            assert!(first.0 <= second.0 && second.0 < first.0 + first.1 && second.1 > 0, "{error:?}");
            Fault::Overlap
        }
        ref error => panic!("{error:?}"),
    }
}

fn check_ranges(pager: &Pager, handle: &Handle<u16>, whole: &[u16], ranges: &[(usize, usize)]) {
    let expected = naive_check(ranges, whole.len());
    let said = |outcome: Result<(), Error>| outcome.map_err(|error| fault_of(&error, ranges, whole.len()));
    let mut dst = vec![7; 2];
    assert_eq!(said(pager.read_at_many(handle, ranges, &mut dst)), expected, "{ranges:?} of {}", whole.len());
    assert_eq!(said(pager.prefetch(handle, ranges)), expected);
    assert_eq!(dst[..2], [7, 7]);
    if expected.is_ok() {
        let content = gather(whole, ranges);
        assert_same(&dst[2..], &content);
        let mut target = vec![0; content.len()];
        pager.read_into(handle, ranges, &mut target).expect("a read without a fault");
        assert_same(&target, &content);
    } else {
        assert_eq!(dst.len(), 2, "a refused read leaves the destination alone");
    }
}

/// Frames of compressed payloads: bytes as they are, which are no frame as a rule; and payloads of them, with damage.
pub fn frames(data: &[u8]) {
    thread_local! {
        static WORKSPACE: std::cell::RefCell<Workspace> = Workspace::new().expect("memory").into();
    }
    let mut draws = Draws::Bytes(data);
    let (len, copies, element_bytes) = (draws.index(FRAME_BYTES + 1), 1 + draws.index(200), 1 << draws.index(5));
    let damage: Vec<_> = (0..draws.index(4)).map(|_| (draws.index(1 << 16), draws.below(256).to_le_bytes()[0])).collect();
    let bytes = draws.rest();
    WORKSPACE.with_borrow_mut(|workspace| {
        for len in [len, bytes.len().min(FRAME_BYTES)] {
            check_decoded(workspace, bytes, len);
        }
        check_frames(workspace, &bytes.repeat(copies), element_bytes, &damage);
    });
}

/// Whatever is decoded is decoded the same again: nothing of the frame before is in it.
fn check_decoded(workspace: &mut Workspace, encoded: &[u8], len: usize) {
    let (mut frame, mut again) = (vec![0; len], vec![0xff; len]);
    let outcome = workspace.decode(encoded, &mut frame);
    assert_eq!(workspace.decode(encoded, &mut again), outcome);
    assert!(outcome == Err(Corrupt) || frame == again, "a part of the frame was not written");
}

fn check_frames(workspace: &mut Workspace, payload: &[u8], element_bytes: usize, damage: &[(usize, u8)]) {
    let (slices, len_bytes) = ([IoSlice::new(payload)], crate::u64_of(payload.len()));
    let Some(form) = workspace.choose(&slices, len_bytes, element_bytes) else { return };
    let mut encoded = Vec::new();
    let put = |frame: &[u8]| {
        encoded.push(frame.to_vec());
        Ok::<(), TryReserveError>(())
    };
    let layout = workspace.encode_all(&slices, len_bytes, form, put).expect("memory");
    assert!(layout.stored_bytes() <= len_bytes && layout.frames(&(0..len_bytes)).len() == encoded.len());
    for (frame, encoded) in payload.chunks(FRAME_BYTES).zip(&mut encoded) {
        let mut back = vec![0; frame.len()];
        assert_eq!(workspace.decode(encoded, &mut back), Ok(()));
        assert_same(&back, frame);
        for &(place, flip) in damage {
            let place = place % encoded.len();
            encoded[place] ^= flip;
        }
        check_decoded(workspace, encoded, frame.len());
    }
}

/// Sequences of operations on a device on which calls go wrong, against the model.
pub fn operations(data: &[u8]) {
    let plan = Plan::draw(Ground::Faulty, &mut Draws::Bytes(data), 4_000);
    world::run(&plan, Path::new("/scratch"));
}

/// Options of a pager: names of scratch directories, against the standard library; capacities; all of them at once.
pub fn options(data: &[u8]) {
    let mut draws = Draws::Bytes(data);
    let directory = scratch();
    let (base, twin) = (directory.path().join("a"), directory.path().join("b"));
    let capacity_bytes = capacity_bytes(&mut draws);
    let backend = draws.pick(&[Backend::File, Backend::Swap]);
    let (integrity, portable) = (draws.below(2) == 0, draws.below(2) == 0);
    let mut builder = Pager::builder().allow_ram_backed(true).integrity(integrity).backend(backend);
    if portable {
        builder = builder.portable();
    }
    if let Some(bytes) = capacity_bytes {
        builder = builder.capacity_bytes(bytes);
    }
    let name = relative(draws.rest());
    let expected = can_be_made(&twin.join(&name));
    match builder.scratch_dir(base.join(&name)).build() {
        Ok(pager) => {
            assert!(expected && capacity_bytes != Some(0), "{} cannot be made", name.display());
            check_pager(&pager, &base.join(&name), backend, capacity_bytes);
        }
        Err(Error::Option { name, .. }) => assert!(name == "capacity_bytes" && capacity_bytes == Some(0)),
        Err(error) => {
            assert!(!expected && matches!(error, Error::ScratchDir { .. }), "{}: {error:?}", name.display());
            assert!(error.to_string().contains("no usable scratch directory") && !error.is_usage_error());
        }
    }
}

fn capacity_bytes(draws: &mut Draws<'_>) -> Option<u64> {
    match draws.below(5) {
        0 => None,
        1 => Some(draws.below(3)),
        2 => Some(4095 + draws.below(3)),
        3 => Some(draws.number()),
        _ => Some(1 << 30),
    }
}

/// Whether the standard library can make a directory, whose path may end in a dot.
fn can_be_made(path: &Path) -> bool {
    std::path::absolute(path).is_ok_and(|path| std::fs::create_dir_all(path).is_ok())
}

/// A path below another one, whatever the bytes are.
fn relative(bytes: &[u8]) -> PathBuf {
    let components = Path::new(OsStr::from_bytes(bytes)).components();
    components.filter(|component| matches!(component, Component::Normal(_) | Component::CurDir)).collect()
}

fn check_pager(pager: &Pager, path: &Path, backend: Backend, capacity_bytes: Option<u64>) {
    let stats = pager.stats();
    assert_eq!(stats.scratch_dir.as_deref(), std::path::absolute(path).ok().as_deref());
    assert_eq!((pager.backend(), names(path)), (backend, Vec::<String>::new()));
    if let Some(bytes) = capacity_bytes {
        assert_eq!(stats.capacity_bytes, bytes);
    }
    let whole = elements::<u64>(700, 3);
    let mut chunks = [whole.clone()];
    match pager.pageout(&mut chunks) {
        Ok(handle) => {
            let mut back = Vec::new();
            pager.take(handle, &mut back).expect("a take without a fault");
            assert_same(&back, &whole);
        }
        Err(Error::Capacity(facts)) => {
            assert!(facts.requested_bytes > stats.capacity_bytes && facts.requested_bytes == 8192, "{facts:?}");
            assert_same(&chunks[0], &whole);
        }
        Err(error) => panic!("{error:?}"),
    }
    assert_eq!(names(path), Vec::<String>::new(), "no name is left");
}

/// Values of the variable that names a scratch directory, against the order of the default search. The process must have no
/// other thread that reads its environment.
pub fn environment(data: &[u8]) {
    let mut draws = Draws::Bytes(data);
    let directory = scratch();
    let fallback = directory.path().join("fallback");
    let form = draws.below(4);
    // A variable cannot hold a zero.
    let bytes: Vec<u8> = draws.rest().iter().copied().filter(|&byte| byte != 0).collect();
    let name = relative(&bytes);
    let value = match form {
        0 => PathBuf::new(),
        1 => directory.path().join("file").join(&name),
        _ => directory.path().join("a").join(&name),
    };
    std::fs::write(directory.path().join("file"), "no directory").expect("room");
    let twin = directory.path().join("b").join(&name);
    let is_usable = form > 1 && can_be_made(&twin);
    let temporary = std::env::temp_dir();
    set_variable("PAGEOUT_SCRATCH_DIR", &value);
    set_variable("TMPDIR", &fallback);
    let pager = PagerBuilder::default().allow_ram_backed(true).build().expect("nothing is opened yet");
    check_works(&pager);
    let expected = if is_usable { &value } else { &fallback };
    assert_eq!(pager.stats().scratch_dir.as_deref(), std::path::absolute(expected).ok().as_deref(), "{}", value.display());
    assert_eq!(names(expected), Vec::<String>::new(), "no name is left");
    set_variable("TMPDIR", &temporary);
}

fn set_variable(name: &str, value: &Path) {
    // SAFETY: callers of `environment` have no other thread that reads or changes the environment.
    unsafe { std::env::set_var(name, value) };
}
