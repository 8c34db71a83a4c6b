//! What a payload of a memory budget costs beside its own bytes: as much as an allocator that counts is asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use pageout::{Handle, Pager};
use pageout_testing::{KIB, scratch};

/// The system's allocator, with a count of the bytes that it was asked for and has not got back.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static HELD_BYTES: AtomicI64 = AtomicI64::new(0);

fn count(bytes: usize, sign: i64) {
    HELD_BYTES.fetch_add(sign * i64::try_from(bytes).expect("less than a machine has"), Relaxed);
}

// SAFETY: all memory is the system allocator's, which keeps the promises.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the same promises to this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes, 1);
        count(layout.size(), -1);
        // SAFETY: as above.
        unsafe { System.realloc(start, layout, bytes) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: as above.
        unsafe { System.dealloc(start, layout) }
    }
}

/// The promise: bytes of bookkeeping for a payload, without its handle, which is the caller's, and without checksums.
const ENTRY_BYTES_MAX: i64 = 160;
/// What a pager has whatever it holds: lists of files, and bits for slots.
const PAGER_BYTES_MAX: i64 = 16 * 1024;
/// A payload of one page, whose only checksum is in its entry, in a vector that is longer.
const PAYLOAD_BYTES: usize = KIB;

/// Numbers of payloads: few, and one more than a list that doubles has room for.
const COUNTS: [usize; 2] = [1_000, 65_537];

struct Books {
    pager: Pager,
    handles: Vec<Handle<u8>>,
    before: i64,
}

impl Books {
    fn open(directory: &std::path::Path, count: usize, payloads_in_memory: usize) -> Self {
        let budget_bytes = (payloads_in_memory * 2 * PAYLOAD_BYTES) as u64;
        let builder = Pager::builder().scratch_dir(directory).allow_ram_backed(true);
        let pager = builder.resident_bytes(budget_bytes).build().expect("a pager");
        let handles = Vec::with_capacity(count);
        Self { pager, handles, before: HELD_BYTES.load(Relaxed) }
    }

    /// Fails where a payload has more than is promised.
    fn check(&self, state: &str) {
        let payload_bytes = i64::try_from(self.pager.stats().resident_bytes).expect("not so many");
        let count = i64::try_from(self.handles.len()).expect("not so many");
        let bytes = HELD_BYTES.load(Relaxed) - self.before - payload_bytes;
        assert!(bytes <= count * ENTRY_BYTES_MAX + PAGER_BYTES_MAX, "{count} payloads {state}: {} bytes each", bytes / count);
    }

    fn read_all(&self) {
        for handle in &self.handles {
            assert_eq!(handle.read(..).expect("a read"), [7; PAYLOAD_BYTES]);
        }
    }
}

/// All in one test: others would allocate meanwhile.
#[test]
fn a_payload_costs_no_more_than_is_promised_however_many_there_are() {
    let directory = scratch();
    for count in COUNTS {
        let mut books = Books::open(directory.path(), count, 2 * count);
        for _ in 0..count {
            let mut vec = Vec::with_capacity(PAYLOAD_BYTES + 1);
            vec.resize(PAYLOAD_BYTES, 7);
            books.handles.push(books.pager.pageout_vec(vec).expect("a pageout"));
        }
        assert_eq!(books.pager.stats().resident_bytes, (count * (PAYLOAD_BYTES + 1)) as u64);
        books.check("in memory, not written");

        let mut books = Books::open(directory.path(), count, count);
        for _ in 0..count {
            books.handles.push(books.pager.pageout_copy(&[&[7; PAYLOAD_BYTES]]).expect("a pageout"));
        }
        books.check("on disk");
        books.read_all();
        books.check("on disk and read there");
        for handle in &books.handles {
            assert_eq!(handle.borrow().expect("room")[..], [7; PAYLOAD_BYTES]);
        }
        assert_eq!(books.pager.stats().resident_bytes, (count * PAYLOAD_BYTES) as u64);
        books.check("in memory and on disk");
    }
}
