//! The exports that work off the JavaScript thread. JavaScript cannot reach their memory meanwhile: the TypeScript layer
//! passes buffers that it keeps private.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{AsyncTask, External, Float64Array, Result, Uint8Array, Uint32Array};
use napi_derive::napi;
use pageout::{BatchRead, read_batch};

use crate::exports::PagerRef;
use crate::numbers::pairs;
use crate::table::Payload;
use crate::task::{Job, spawn};

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
pub fn pageout_async(pager: &PagerRef, views: Vec<Uint8Array>, stop: &StopRef) -> AsyncTask<Job<pageout::Handle<u8>, f64>> {
    let (table, core) = (Arc::clone(pager), pager.shared().pager.clone());
    let (views, stop) = (Arc::new(views), Arc::clone(stop));
    let held = Arc::clone(&views);
    let work = move || {
        let chunks: Vec<&[u8]> = views.iter().map(AsRef::as_ref).collect();
        core.pageout_copy_unless(&chunks, &stop)
    };
    spawn(work, move |handle| {
        drop(held);
        table.insert(Payload::Stored(Arc::new(handle), None))
    })
}

/// Of several payloads: those that did not go out have none.
type Handles = Vec<Option<pageout::Handle<u8>>>;

/// As `pageoutAsync` for several payloads, each of which goes out or fails by itself: gives their tickets, -1 for those that
/// failed. The views of all of them stand one behind the other, `counts` of them for each.
#[napi(catch_unwind, ts_return_type = "Promise<number[]>")]
pub fn pageout_batch_async(pager: &PagerRef, views: Vec<Uint8Array>, counts: Uint32Array) -> AsyncTask<Job<Handles, Vec<f64>>> {
    let (table, core) = (Arc::clone(pager), pager.shared().pager.clone());
    let counts = counts.to_vec();
    let views = Arc::new(views);
    let held = Arc::clone(&views);
    let work = move || {
        let chunks: Vec<&[u8]> = views.iter().map(AsRef::as_ref).collect();
        let mut rest = &chunks[..];
        let next = |count: u32| {
            let (chunks, behind) = rest.split_at(rest.len().min(count as usize));
            rest = behind;
            core.pageout_copy(chunks).ok()
        };
        Ok(counts.into_iter().map(next).collect())
    };
    spawn(work, move |handles: Handles| {
        drop(held);
        let insert = |handle| table.insert(Payload::Stored(Arc::new(handle), None));
        handles.into_iter().map(|handle| handle.map_or(Ok(-1.0), insert)).collect()
    })
}

/// Reads for several payloads, each of which succeeds or fails by itself; gives the positions of those that failed. The
/// ranges of all of them stand one behind the other, `counts` of them for each, and each read has a target as `readAsync`.
/// Those with a 1 in `peeks` are no reads but the first halves of takes.
#[napi(catch_unwind, ts_return_type = "Promise<number[]>")]
pub fn read_batch_async(
    pager: &PagerRef,
    tickets: Float64Array,
    counts: Uint32Array,
    ranges: Float64Array,
    peeks: Uint8Array,
    targets: Vec<Uint8Array>,
) -> Result<AsyncTask<Job<Vec<u32>, Vec<u32>>>> {
    let handles = tickets.iter().map(|&ticket| pager.stored(ticket)).collect::<Result<Vec<_>>>()?;
    let ranges = pairs(&ranges)?;
    let kinds: Vec<(u32, bool)> = counts.iter().copied().zip(peeks.iter().map(|&peek| peek == 0)).collect();
    let targets = Arc::new(Mutex::new(targets));
    let held = Arc::clone(&targets);
    let work = move || {
        let mut targets = targets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = &ranges[..];
        let mut reads = Vec::new();
        for ((handle, target), (count, is_counted)) in handles.iter().zip(targets.iter_mut()).zip(kinds) {
            let (ranges, behind) = rest.split_at(rest.len().min(count as usize));
            rest = behind;
            // SAFETY: as in `fill`.
            let target = unsafe { target.as_mut() };
            reads.push(BatchRead { handle, ranges, target, is_counted });
        }
        read_batch(&mut reads)
    };
    let finish = move |failed| {
        drop(held);
        Ok(failed)
    };
    Ok(spawn(work, finish))
}

/// As `readMany`, off the JavaScript thread. The target is of a buffer that only the caller of this function knows.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn read_async(pager: &PagerRef, ticket: f64, ranges: Float64Array, target: Uint8Array) -> Result<AsyncTask<Job<(), ()>>> {
    let handle = pager.stored(ticket)?;
    let ranges = pairs(&ranges)?;
    Ok(fill(target, move |bytes| handle.pager().read_into(&handle, &ranges, bytes)))
}

/// Reads a whole payload off the JavaScript thread, as the first half of a take; `finishTake` is the other.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn peek_async(pager: &PagerRef, ticket: f64, target: Uint8Array) -> Result<AsyncTask<Job<(), ()>>> {
    let handle = pager.stored(ticket)?;
    Ok(fill(target, move |bytes| handle.pager().peek(&handle, bytes)))
}

/// A job that fills `target`.
fn fill(
    target: Uint8Array,
    read: impl FnOnce(&mut [u8]) -> std::result::Result<(), pageout::Error> + Send + 'static,
) -> AsyncTask<Job<(), ()>> {
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
        drop(held);
        Ok(())
    })
}
