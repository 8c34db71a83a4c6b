//! The exports that do their work off the JavaScript thread. Their memory is out of JavaScript's reach meanwhile: the
//! TypeScript layer passes buffers that nobody else knows.

use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{AsyncTask, Float64Array, Result, Uint8Array};
use napi_derive::napi;

use crate::exports::PagerRef;
use crate::numbers::pairs;
use crate::table::Payload;
use crate::task::{Job, spawn};

/// As `pageout`, off the JavaScript thread. The views are of buffers that only the caller of this function knows.
#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn pageout_async(pager: &PagerRef, views: Vec<Uint8Array>) -> AsyncTask<Job<pageout::Handle<u8>, f64>> {
    let (table, core) = (Arc::clone(pager), pager.shared().pager.clone());
    let views = Arc::new(views);
    let held = Arc::clone(&views);
    let work = move || {
        let chunks: Vec<&[u8]> = views.iter().map(AsRef::as_ref).collect();
        core.pageout_copy(&chunks)
    };
    spawn(work, move |handle| {
        drop(held);
        table.insert(Payload::Stored(Arc::new(handle)))
    })
}

/// As `readMany`, off the JavaScript thread. The target is of a buffer that only the caller of this function knows.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn read_async(pager: &PagerRef, ticket: f64, ranges: Float64Array, target: Uint8Array) -> Result<AsyncTask<Job<(), ()>>> {
    let (handle, core) = (pager.stored(ticket)?, pager.shared().pager.clone());
    let ranges = pairs(&ranges)?;
    Ok(fill(target, move |bytes| core.read_into(&handle, &ranges, bytes)))
}

/// Reads a whole payload off the JavaScript thread, as the first half of a take; `finishTake` is the other.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn peek_async(pager: &PagerRef, ticket: f64, target: Uint8Array) -> Result<AsyncTask<Job<(), ()>>> {
    let (handle, core) = (pager.stored(ticket)?, pager.shared().pager.clone());
    Ok(fill(target, move |bytes| core.peek(&handle, bytes)))
}

/// A job that fills `target`.
fn fill(
    target: Uint8Array,
    read: impl FnOnce(&mut [u8]) -> std::result::Result<(), pageout::Error> + Send + 'static,
) -> AsyncTask<Job<(), ()>> {
    // Held by both halves of the job, because a JavaScript reference is to be dropped on its own thread: the half that
    // runs there drops it last.
    let target = Arc::new(Mutex::new(target));
    let held = Arc::clone(&target);
    let work = move || {
        let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the buffer is private to this job until its promise is settled, and the array keeps it alive.
        read(unsafe { target.as_mut() })
    };
    spawn(work, move |()| {
        drop(held);
        Ok(())
    })
}
