//! What the codec of compressed payloads allocates: its workspace and layouts, and nothing for a frame, damaged or not. What is left
//! of payloads in memory that is freed.

use std::alloc::{GlobalAlloc, System};
use std::cell::Cell;
use std::collections::TryReserveError;
use std::io::IoSlice;

use pageout::Compression;
use pageout::frames::{FRAME_BYTES, Layout, Workspace};
use pageout_testing::{MIB, builder, scratch, u64_of};

/// Stands in a payload again and again.
const MARK: u64 = 0x9e37_79b9_7f4a_7c15;

/// The system's allocator, with a count of the bytes that a thread has asked it for, and of marks in what it frees.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ASKED_BYTES: Cell<usize> = const { Cell::new(0) };
    /// Nothing where nobody counts.
    static FREED_MARKS: Cell<Option<usize>> = const { Cell::new(None) };
}

// SAFETY: all memory is the system allocator's, which keeps the promises. The other methods come to these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        ASKED_BYTES.set(ASKED_BYTES.get() + layout.size());
        // SAFETY: the caller keeps the same promises to this function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: std::alloc::Layout) {
        if let Some(marks) = FREED_MARKS.get() {
            // SAFETY: the memory is the caller's until it is freed below, and was initialised when it was allocated.
            let bytes = unsafe { std::slice::from_raw_parts(start, layout.size()) };
            let found = bytes.windows(8).filter(|window| **window == MARK.to_ne_bytes()).count();
            FREED_MARKS.set(Some(marks + found));
        }
        // SAFETY: as above.
        unsafe { System.dealloc(start, layout) }
    }
}

/// Bytes that `work` allocates on this thread.
fn asked_bytes<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = ASKED_BYTES.get();
    let result = work();
    (result, ASKED_BYTES.get() - before)
}

#[test]
fn frames_are_encoded_and_decoded_in_the_memory_of_the_workspace() {
    let (workspace, bytes) = asked_bytes(Workspace::new);
    let mut workspace = workspace.expect("memory");
    assert!(bytes <= 53 * 1024, "{bytes} bytes");

    let payload: Vec<u8> = (0..20_000u64).flat_map(|number| (number * number % 1000).to_le_bytes()).collect();
    let (slices, len_bytes) = ([IoSlice::new(&payload[..5]), IoSlice::new(&payload[5..])], 160_000);
    let (form, bytes) = asked_bytes(|| workspace.choose(&slices, len_bytes, 8));
    assert_eq!(bytes, 0);
    let form = form.expect("small numbers shrink");
    let mut stored = Vec::with_capacity(payload.len());
    let put = |frame: &[u8]| {
        stored.extend_from_slice(frame);
        Ok::<(), TryReserveError>(())
    };
    let (layout, bytes) = asked_bytes(|| workspace.encode_all(&slices, len_bytes, form, put));
    assert_eq!(bytes, 4 * payload.len().div_ceil(FRAME_BYTES) + 8, "four bytes a frame, and eight");

    let layout: Layout = layout.expect("memory");
    let mut back = vec![0; payload.len() - 9];
    let (decoded, bytes) = asked_bytes(|| workspace.decode_range(&layout, &stored, &(4..len_bytes - 5), &mut back));
    assert_eq!((decoded, bytes), (Ok(()), 0));
    assert!(back == payload[4..payload.len() - 5]);
    for place in (0..stored.len()).step_by(397) {
        stored[place] ^= 0x55;
        let (_, bytes) = asked_bytes(|| workspace.decode_range(&layout, &stored, &(4..len_bytes - 5), &mut back));
        assert_eq!(bytes, 0, "byte {place}");
        stored[place] ^= 0x55;
    }
}

#[test]
fn no_part_of_an_encrypted_payload_is_left_where_frames_were_read_to() {
    let directory = scratch();
    let pager = builder(directory.path()).encryption(true).compression(Compression::Lz4).build().expect("a pager");
    let records = (0..u64_of(3 * MIB / 64)).map(|record: u64| [MARK, record.wrapping_mul(MARK ^ 7), 0, 0, 0, 0, 0, 0]);
    let payload: Vec<u64> = records.flatten().collect();
    let handle = pager.pageout_copy(&[&payload[..]]).expect("a pageout");
    pager.trim().expect("a trim");
    let mut target = vec![0; payload.len()];
    FREED_MARKS.set(Some(0));
    handle.read_into(.., &mut target).expect("a read");
    pager.trim().expect("a trim");
    let marks = FREED_MARKS.take();
    assert!(target == payload && pager.stats().stored_bytes < pager.stats().payload_bytes);
    assert_eq!(marks, Some(0), "groups of frames are of different lengths");
}
