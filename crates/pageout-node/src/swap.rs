//! Work on the memory of the swap backend off the JavaScript thread. It is private meanwhile: the TypeScript layer neither frees it nor
//! gives it to a caller before the job has ended.

use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;

use crate::task::{Job, spawn};

/// Copies the bytes of all views, in order, over `target`, which has exactly their length.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn copy_async(views: Vec<Uint8Array>, target: Uint8Array) -> AsyncTask<Job<(), ()>> {
    // Both halves of the job hold them, because a JavaScript reference must be dropped on its own thread.
    let memory = Arc::new(Mutex::new((views, target)));
    let held = Arc::clone(&memory);
    let work = move || {
        let (views, target) = &mut *memory.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the buffer is private to this job until its promise is settled, and the array keeps it alive.
        let mut rest = unsafe { target.as_mut() };
        for view in views.iter() {
            let (front, behind) = rest.split_at_mut(rest.len().min(view.len()));
            front.copy_from_slice(&view[..front.len()]);
            rest = behind;
        }
        Ok(())
    };
    spawn(work, move |()| {
        drop(held);
        Ok(())
    })
}

/// Says that the memory of views will not be used for a while, so that the operating system swaps it out first.
#[napi(catch_unwind, ts_return_type = "Promise<void>")]
pub fn hint_cold_async(views: Vec<Uint8Array>) -> AsyncTask<Job<(), ()>> {
    let views = Arc::new(views);
    let held = Arc::clone(&views);
    let work = move || {
        views.iter().for_each(|view| pageout::memory::hint_cold(view));
        Ok(())
    };
    spawn(work, move |()| {
        drop(held);
        Ok(())
    })
}
