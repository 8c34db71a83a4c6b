//! How much memory the program has from its allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

/// Counts while somebody asks, which costs all others one look.
static IS_COUNTED: AtomicBool = AtomicBool::new(false);
static GROWN_BYTES: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counted = Counted;

struct Counted;

/// The bytes that the heap grew by while `work` was done, and its result. One at a time.
#[allow(clippy::cast_precision_loss, reason = "results have no more than four digits")]
pub(crate) fn heap_growth<R>(work: impl FnOnce() -> R) -> (f64, R) {
    GROWN_BYTES.store(0, Relaxed);
    IS_COUNTED.store(true, Relaxed);
    let result = work();
    IS_COUNTED.store(false, Relaxed);
    (GROWN_BYTES.load(Relaxed) as f64, result)
}

/// Memory is shorter than an `isize` can say.
fn count(bytes: usize, sign: i64) {
    if IS_COUNTED.load(Relaxed) {
        GROWN_BYTES.fetch_add(sign * i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
    }
}

// SAFETY: all of it is the system's allocator, to which every call is passed on as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of this function, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of this function, which is the same; the memory is the system's.
        unsafe { System.dealloc(memory, layout) };
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, len_bytes: usize) -> *mut u8 {
        count(len_bytes, 1);
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of this function, which is the same; the memory is the system's.
        unsafe { System.realloc(memory, layout, len_bytes) }
    }
}
