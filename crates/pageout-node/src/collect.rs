//! Payloads that are collected from successive chunks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Result, Uint8Array};
use napi_derive::napi;
use pageout::{Collector, Handle};

use crate::error::throw;
use crate::exports::PagerRef;
use crate::table::{Payload, Table};
use crate::task::{Job, spawn};
use crate::view::ArrayBufferView;

/// Begins a payload of the file backend, of elements of `elementBytes` each, and gives the ticket it has until it is finished.
#[napi(catch_unwind)]
pub fn collect(pager: &PagerRef, element_bytes: u32) -> Result<f64> {
    let collector = pager.shared().pager.collector_of(element_bytes as usize);
    pager.insert(Payload::Collecting(Arc::new(Mutex::new(collector))))
}

/// Copies the bytes of a view to the end of a payload that is collected. On an error nothing of it was appended.
#[napi(catch_unwind)]
pub fn collect_append(env: Env, pager: &PagerRef, ticket: f64, view: ArrayBufferView) -> Result<()> {
    let collector = pager.collector(ticket)?;
    lock(&collector).append(view.bytes()).map_err(|error| throw(&env, &error))
}

/// As `collectAppend`, off the JavaScript thread. The view is of a buffer that only the caller of this function knows.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn collect_append_async(pager: &PagerRef, ticket: f64, view: Uint8Array) -> Result<AsyncTask<Job<(), ()>>> {
    let collector = pager.collector(ticket)?;
    let view = Arc::new(view);
    // A JavaScript reference must be dropped on its own thread: the half of the job that runs there drops it last.
    let held = Arc::clone(&view);
    let finish = move |()| {
        drop(held);
        Ok(())
    };
    Ok(spawn(move || lock(&collector).append(view.as_ref()), finish))
}

/// Ends collecting, and gives the ticket of the payload; the ticket of the collector stands for nothing then. On an error
/// it is as before.
#[napi(catch_unwind)]
pub fn collect_finish(env: Env, pager: &PagerRef, ticket: f64) -> Result<f64> {
    let collector = pager.collector(ticket)?;
    let handle = lock(&collector).finish().map_err(|error| throw(&env, &error))?;
    stored(pager, ticket, handle)
}

/// As `collectFinish`, off the JavaScript thread.
#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn collect_finish_async(pager: &PagerRef, ticket: f64) -> Result<AsyncTask<Job<Handle<u8>, f64>>> {
    let (table, collector) = (Arc::clone(pager), pager.collector(ticket)?);
    Ok(spawn(move || lock(&collector).finish(), move |handle| stored(&table, ticket, handle)))
}

fn stored(table: &Table, ticket: f64, handle: Handle<u8>) -> Result<f64> {
    table.free(ticket);
    table.insert(Payload::Stored(Arc::new(handle), None))
}

fn lock(collector: &Mutex<Collector<u8>>) -> MutexGuard<'_, Collector<u8>> {
    collector.lock().unwrap_or_else(PoisonError::into_inner)
}
