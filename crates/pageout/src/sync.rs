//! What threads share state by: the standard library's types, or in models (`--cfg loom`) loom's, which try every order of
//! events within a bound.
//!
//! What loom cannot hold stays with the standard library everywhere: statics, and [`UnsizedArc`]s.

/// Of trait objects and paths.
pub(crate) use std::sync::Arc as UnsizedArc;

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock,
    atomic::{AtomicBool, AtomicI32, AtomicU64},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicI32, AtomicU64},
};
#[cfg(loom)]
pub(crate) use once_lock::OnceLock;

/// A number that differs between the threads that run at the same time, as far as it can.
#[cfg(not(loom))]
pub(crate) fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// The same for the threads of a model, which begin anew each time it runs.
#[cfg(loom)]
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

#[cfg(loom)]
mod once_lock {
    use std::sync::atomic::Ordering::{Acquire, Release};

    use super::{AtomicBool, Mutex};

    /// The part of [`std::sync::OnceLock`] that is used here, which loom does not have: as weakly ordered as its contract
    /// allows.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        value: std::sync::OnceLock<T>,
        is_set: AtomicBool,
        turn: Mutex<()>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { value: std::sync::OnceLock::new(), is_set: AtomicBool::new(false), turn: Mutex::default() }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            if self.is_set.load(Acquire) { self.value.get() } else { None }
        }

        pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
            let _turn = self.turn.lock().expect("a model ends with its first panic");
            let value = self.value.get_or_init(init);
            self.is_set.store(true, Release);
            value
        }
    }
}
