//! The exports that work off the JavaScript thread. JavaScript cannot reach their memory meanwhile: the TypeScript layer
//! passes buffers that it keeps private.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{AsyncTask, External, Result, Uint8Array};
use napi_derive::napi;
use pageout::{BatchRead, Handle, read_batch};

use crate::error::internal;
use crate::exports::{NEVER, PagerRef};
use crate::numbers::{index, pairs};
use crate::table::{Payload, Table};
use crate::task::{Job, spawn};
use crate::view::Float64Array;

/// Stops what was started with it. The alias is the name that index.d.ts prints.
pub type StopRef = External<Arc<AtomicBool>>;

/// Something to stop a pageout with.
#[napi(catch_unwind, ts_return_type = "StopRef")]
pub fn make_stop() -> StopRef {
    External::new(Arc::default())
}

/// Stops pageouts; those that are done stay done.
#[napi(catch_unwind)]
pub fn stop(stop: &StopRef) {
    stop.store(true, Relaxed);
}

/// As `pageout`, off the JavaScript thread, and rejecting soon after it is stopped. The views are of buffers that only the
/// caller of this function knows.
#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn pageout_async(
    pager: &PagerRef,
    views: Vec<Uint8Array>,
    element_bytes: u32,
    stop: &StopRef,
) -> AsyncTask<Job<Handle<u8>, f64>> {
    let (table, core) = (Arc::clone(pager), pager.shared().pager.clone());
    let (views, stop) = (Arc::new(views), Arc::clone(stop));
    let held = Arc::clone(&views);
    let work = move || {
        let chunks: Vec<&[u8]> = views.iter().map(AsRef::as_ref).collect();
        core.pageout_copy_unless(&chunks, element_bytes as usize, &stop)
    };
    spawn(work, move |handle| {
        drop(held);
        table.insert(Payload::Stored(Arc::new(handle), None))
    })
}

/// Of several payloads: those that did not go out have none.
type Handles = Vec<Option<Handle<u8>>>;

/// As `pageoutAsync` for several payloads, each of which goes out or fails by itself: gives their tickets, -1 for those that
/// failed. The views of all of them stand one behind the other; `shapes` are for each how many, and the bytes of an element.
#[napi(catch_unwind, ts_return_type = "Promise<number[]>")]
pub fn pageout_batch_async(
    pager: &PagerRef,
    views: Vec<Uint8Array>,
    shapes: Float64Array,
) -> Result<AsyncTask<Job<Handles, Vec<f64>>>> {
    let (table, core) = (Arc::clone(pager), pager.shared().pager.clone());
    let shapes = pairs(&shapes)?;
    let views = Arc::new(views);
    let held = Arc::clone(&views);
    let work = move || {
        let chunks: Vec<&[u8]> = views.iter().map(AsRef::as_ref).collect();
        let mut rest = &chunks[..];
        let next = |(count, element_bytes): (usize, usize)| {
            let (chunks, behind) = rest.split_at(rest.len().min(count));
            rest = behind;
            core.pageout_copy_unless(chunks, element_bytes, &NEVER).ok()
        };
        Ok(shapes.into_iter().map(next).collect())
    };
    Ok(spawn(work, move |handles: Handles| {
        drop(held);
        let insert = |handle| table.insert(Payload::Stored(Arc::new(handle), None));
        handles.into_iter().map(|handle| handle.map_or(Ok(-1.0), insert)).collect()
    }))
}

/// One of several reads.
struct Read {
    handle: Arc<Handle<u8>>,
    /// Whether it is no half of a take.
    is_counted: bool,
    ranges: Vec<(usize, usize)>,
}

/// Reads for several payloads, each of which succeeds or fails by itself; gives the positions of those that failed. `reads` are for
/// each of them: its ticket, 1 where it is the first half of a take, how many ranges it has, and offset and length of each. Each
/// has a target as `readAsync`.
#[napi(catch_unwind, ts_return_type = "Promise<number[]>")]
pub fn read_batch_async(
    pager: &PagerRef,
    reads: Float64Array,
    targets: Vec<Uint8Array>,
) -> Result<AsyncTask<Job<Vec<u32>, Vec<u32>>>> {
    let reads = reads_of(pager, &reads)?;
    let targets = Arc::new(Mutex::new(targets));
    let held = Arc::clone(&targets);
    let work = move || {
        let mut targets = targets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::with_capacity(reads.len());
        for (Read { handle, is_counted, ranges }, target) in reads.iter().zip(targets.iter_mut()) {
            // SAFETY: as in `fill`.
            let target = unsafe { target.as_mut() };
            batch.push(BatchRead { handle, ranges, target, is_counted: *is_counted });
        }
        read_batch(&mut batch)
    };
    let finish = move |failed| {
        drop(held);
        Ok(failed)
    };
    Ok(spawn(work, finish))
}

fn reads_of(table: &Table, mut numbers: &[f64]) -> Result<Vec<Read>> {
    let mut reads = Vec::new();
    while let [ticket, peek, count, behind @ ..] = numbers {
        let (ranges, behind) = behind.split_at(behind.len().min(2 * index(*count)?));
        reads.push(Read { handle: table.stored(*ticket)?, is_counted: *peek == 0.0, ranges: pairs(ranges)? });
        numbers = behind;
    }
    Ok(reads)
}

/// As `readMany`, off the JavaScript thread. The target is of a buffer that only the caller of this function knows, and is what the
/// promise gives.
#[napi(catch_unwind, ts_return_type = "Promise<Uint8Array<ArrayBuffer>>")]
pub fn read_async(pager: &PagerRef, ticket: f64, ranges: Float64Array, target: Uint8Array) -> Result<AsyncTask<Filling>> {
    let handle = pager.stored(ticket)?;
    let ranges = pairs(&ranges)?;
    Ok(fill(target, move |bytes| handle.pager().read_into(&handle, &ranges, bytes)))
}

/// Reads a whole payload off the JavaScript thread, as the first half of a take; `finishTake` is the other.
#[napi(catch_unwind, ts_return_type = "Promise<Uint8Array<ArrayBuffer>>")]
pub fn peek_async(pager: &PagerRef, ticket: f64, target: Uint8Array) -> Result<AsyncTask<Filling>> {
    let handle = pager.stored(ticket)?;
    Ok(fill(target, move |bytes| handle.pager().peek(&handle, bytes)))
}

/// A job that fills an array, and gives it.
type Filling = Job<(), Uint8Array>;

/// A job that fills `target`.
fn fill(
    target: Uint8Array,
    read: impl FnOnce(&mut [u8]) -> std::result::Result<(), pageout::Error> + Send + 'static,
) -> AsyncTask<Filling> {
    // Both halves of the job hold it, because a JavaScript reference must be dropped on its own thread: the half that runs
    // there drops it last.
    let target = Arc::new(Mutex::new(target));
    let held = Arc::clone(&target);
    let work = move || {
        let mut target = target.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the buffer is private to this job until its promise is settled, and the array keeps it alive.
        read(unsafe { target.as_mut() })
    };
    spawn(work, move |()| {
        let target = Arc::into_inner(held).ok_or_else(|| internal("a job still holds its target"))?;
        Ok(target.into_inner().unwrap_or_else(PoisonError::into_inner))
    })
}
