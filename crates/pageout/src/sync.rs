//! What threads share state by: the standard library's types, or in models (`--cfg pageout_loom`) loom's, which try every order of
//! events within a bound.
//!
//! What loom cannot hold stays with the standard library everywhere: statics, and [`UnsizedArc`]s.

#[cfg(pageout_loom)]
mod once_lock;

use std::sync::PoisonError;

/// Of trait objects and paths.
pub(crate) use std::sync::Arc as UnsizedArc;

#[cfg(not(pageout_loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, RwLock,
    atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64},
};

#[cfg(pageout_loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard, RwLock,
    atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64},
};
#[cfg(pageout_loom)]
pub(crate) use once_lock::OnceLock;

/// Locks `mutex`. No code here panics while it holds a lock in a state worth refusing.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number that differs between the threads that run at the same time, as far as it can.
#[cfg(not(pageout_loom))]
pub(crate) fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// The same for the threads of a model, which begin anew each time it runs.
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
