//! A cell that is written once, over loom.

use std::sync::atomic::Ordering::{Acquire, Release};

use super::{AtomicBool, Mutex};

/// The used part of [`std::sync::OnceLock`], which loom lacks, as weakly ordered as its contract allows.
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
