//! How many of several lanes are busy.

use std::ops::Deref;
use std::sync::atomic::Ordering::Relaxed;

use crate::sync::{AtomicBool, AtomicU32};

/// Counts the lanes that are busy.
#[derive(Default)]
pub struct Lanes {
    busy: AtomicU32,
}

impl Lanes {
    pub fn busy(&self) -> u32 {
        self.busy.load(Relaxed)
    }
}

/// One of the lanes. A dropped lane is not busy.
pub struct Lane<L: Deref<Target = Lanes>> {
    lanes: L,
    is_busy: AtomicBool,
}

impl<L: Deref<Target = Lanes>> Lane<L> {
    pub fn new(lanes: L) -> Self {
        Self { lanes, is_busy: AtomicBool::new(false) }
    }

    pub fn set_busy(&self, is_busy: bool) {
        if self.is_busy.swap(is_busy, Relaxed) == is_busy {
            return;
        }
        if is_busy {
            self.lanes.busy.fetch_add(1, Relaxed);
        } else {
            self.lanes.busy.fetch_sub(1, Relaxed);
        }
    }
}

impl<L: Deref<Target = Lanes>> Drop for Lane<L> {
    fn drop(&mut self) {
        self.set_busy(false);
    }
}
