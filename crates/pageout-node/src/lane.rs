//! How many threads of JavaScript have jobs on libuv's threads, which all of them share.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use napi::bindgen_prelude::External;
use napi_derive::napi;

/// Lanes that are busy.
static BUSY: AtomicU32 = AtomicU32::new(0);

/// Whether one environment has jobs. Dropped with it, however it ends.
pub struct Lane {
    is_busy: AtomicBool,
}

impl Lane {
    fn set_busy(&self, is_busy: bool) {
        if self.is_busy.swap(is_busy, Relaxed) == is_busy {
            return;
        }
        if is_busy {
            BUSY.fetch_add(1, Relaxed);
        } else {
            BUSY.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.set_busy(false);
    }
}

/// One environment's lane. The alias is the name that index.d.ts prints.
pub type LaneRef = External<Lane>;

/// A lane for this environment.
#[napi(catch_unwind, ts_return_type = "LaneRef")]
pub fn open_lane() -> LaneRef {
    External::new(Lane { is_busy: AtomicBool::new(false) })
}

/// Says whether an environment has jobs, running or waiting.
#[napi(catch_unwind)]
pub fn set_busy(lane: &LaneRef, is_busy: bool) {
    lane.set_busy(is_busy);
}

/// Environments that have jobs.
#[napi(catch_unwind)]
pub fn busy_lanes() -> u32 {
    BUSY.load(Relaxed)
}
