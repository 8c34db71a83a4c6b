//! Synchronisation primitives: the standard library's, or in models (`--cfg pageout_loom`) loom's, which try every order of events
//! within a bound.
//!
//! Statics and [`UnsizedArc`]s are the standard library's in models too, since loom does not support them.

#[cfg(pageout_loom)]
mod once_lock;

use std::sync::PoisonError;

/// For trait objects and paths.
pub(crate) use std::sync::Arc as UnsizedArc;

#[cfg(not(pageout_loom))]
pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock,
    atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64},
};

#[cfg(pageout_loom)]
pub(crate) use loom::sync::{
    Arc, Condvar, Mutex, MutexGuard, RwLock,
    atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64},
};
#[cfg(pageout_loom)]
pub(crate) use once_lock::OnceLock;

/// Locks `mutex`. Poisoning is ignored: critical sections do not panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `mutex` guards, which nobody else can have.
pub(crate) fn unlocked<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until it is told, with the lock given up meanwhile.
pub(crate) fn wait<'a, T>(told: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    told.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

/// Lets other threads run.
pub(crate) fn yield_now() {
    #[cfg(not(pageout_loom))]
    std::thread::yield_now();
    #[cfg(pageout_loom)]
    loom::thread::yield_now();
}

/// A number that identifies this thread.
#[cfg(not(pageout_loom))]
pub(crate) fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// The same for the threads of a model, counted from 0 in each run.
#[cfg(pageout_loom)]
pub(crate) fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    loom::lazy_static! {
        static ref NEXT: AtomicUsize = AtomicUsize::new(0);
    }
    loom::thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}
