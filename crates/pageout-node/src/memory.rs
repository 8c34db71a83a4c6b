//! Advice about memory that JavaScript holds.

use std::cell::RefCell;
use std::ops::Range;

use napi::Env;
use napi::bindgen_prelude::Result;
use napi_derive::napi;
use pageout::memory::FreedPages;

use crate::error::throw;
use crate::numbers::double;
use crate::view::ArrayBufferView;

/// Gives a view's memory back to the operating system now, and detaches its buffer. Only for memory
/// that pageout allocated and that nobody uses any more. False when the buffer could not be detached: then the collector frees it.
#[napi(catch_unwind)]
pub fn release(env: Env, mut view: ArrayBufferView) -> bool {
    // Detaching alone leaves most of it resident: the C library keeps freed memory below its own threshold.
    pageout::memory::discard_pages(view.unused());
    view.detach(env)
}

/// Detaches the buffer of a view, which frees its memory at once through whoever allocated it: V8 frees its own, and memory
/// that an addon lent goes to that addon's deleter. No byte is read, written or advised. Only for a private buffer that a
/// transfer made: Node 24 and later abort the process for one that was marked as untransferable. Returns false if it cannot be
/// detached; then the collector frees it.
#[napi(catch_unwind)]
pub fn detach(env: Env, view: ArrayBufferView) -> bool {
    view.detach(env)
}

/// As `detach`, and then gives the pages back to the operating system if the memory is the C library's now, which no longer counts as
/// freed. Returns false if the pages were not found; then `trimHeap` may find them.
#[napi(catch_unwind)]
pub fn detach_and_discard(env: Env, view: ArrayBufferView) -> bool {
    let addresses = addresses(&view);
    let is_discarded = view.detach(env) && pageout::memory::discard_freed(addresses.start, addresses.len());
    if is_discarded {
        FREED.with_borrow_mut(|freed| freed.remove(addresses));
    }
    is_discarded
}

thread_local! {
    /// What this thread of JavaScript freed and has not given back.
    static FREED: RefCell<FreedPages> = RefCell::default();
}

/// Counts a view's memory, which is about to be freed, and returns how many bytes of whole pages this thread has freed since the last
/// `trimHeap`. Memory that was freed, allocated again and freed again counts once.
#[napi(catch_unwind)]
pub fn count_freed(view: ArrayBufferView) -> f64 {
    FREED.with_borrow_mut(|freed| {
        freed.add(addresses(&view));
        double(freed.len_bytes() as u64)
    })
}

/// Counts a view's memory as in use again, and returns as `countFreed` does.
#[napi(catch_unwind)]
pub fn count_used(view: ArrayBufferView) -> f64 {
    FREED.with_borrow_mut(|freed| {
        freed.remove(addresses(&view));
        double(freed.len_bytes() as u64)
    })
}

fn addresses(view: &ArrayBufferView) -> Range<usize> {
    let start = view.bytes().as_ptr().addr();
    start..start + view.bytes().len()
}

/// Gives memory that was freed and lies idle in the C library back to the operating system. Takes about 0.05 ms for each MiB
/// that is given back, and walks all free blocks: 10 to 40 ms where 1 GiB lies free in small pieces. Threads that allocate
/// meanwhile may wait for it. Returns the processor time that it took, in microseconds.
#[napi(catch_unwind)]
pub fn trim_heap() -> f64 {
    let start = pageout::memory::thread_cpu_time();
    pageout::memory::give_heap_back();
    FREED.with_borrow_mut(FreedPages::clear);
    pageout::memory::thread_cpu_time().saturating_sub(start).as_secs_f64() * 1e6
}

/// Gives a view's memory back to the operating system now; the view stays, and is zero when it is read. Only for memory
/// that pageout allocated and that nobody uses any more.
#[napi(catch_unwind)]
pub fn discard_pages(mut view: ArrayBufferView) {
    pageout::memory::discard_pages(view.unused());
}

/// Asks for huge pages behind a view's memory, before it is filled. False where the system has none.
#[napi(catch_unwind)]
pub fn prefer_huge_pages(mut view: ArrayBufferView) -> bool {
    pageout::memory::prefer_huge_pages(view.unused())
}

/// Keeps every page that a view's memory touches out of core dumps.
#[napi(catch_unwind)]
pub fn exclude_from_core_dumps(env: Env, view: ArrayBufferView) -> Result<()> {
    pageout::memory::exclude_from_core_dumps(view.bytes()).map_err(|failure| throw(&env, &failure.into()))
}

/// Lets the whole pages of a view's memory into core dumps again.
#[napi(catch_unwind)]
pub fn include_in_core_dumps(view: ArrayBufferView) {
    pageout::memory::include_in_core_dumps(view.bytes());
}

/// Gives the whole pages of a view's memory back to the operating system and lets them into core dumps again. Its content is
/// lost. Only for memory that nobody uses any more.
#[napi(catch_unwind)]
pub fn discard_excluded(mut view: ArrayBufferView) {
    pageout::memory::discard_excluded(view.unused());
}

/// Says that a view's memory will not be used for a while, so that the operating system swaps it out first.
#[napi(catch_unwind)]
pub fn hint_cold(view: ArrayBufferView) {
    pageout::memory::hint_cold(view.bytes());
}

/// Says that a view's memory will be used soon.
#[napi(catch_unwind)]
pub fn hint_soon(view: ArrayBufferView) {
    pageout::memory::hint_soon(view.bytes());
}
