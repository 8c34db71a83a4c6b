//! How many threads of JavaScript have jobs on libuv's threads, which all of them share.

use std::sync::LazyLock;

use napi::bindgen_prelude::External;
use napi_derive::napi;

use crate::lanes::{Lane, Lanes};

static LANES: LazyLock<Lanes> = LazyLock::new(Lanes::default);

/// One environment's lane, which is dropped with it, however it ends. The alias is the name that index.d.ts prints.
pub type LaneRef = External<Lane<&'static Lanes>>;

/// A lane for this environment.
#[napi(catch_unwind, ts_return_type = "LaneRef")]
pub fn open_lane() -> LaneRef {
    External::new(Lane::new(&LANES))
}

/// Says whether an environment has jobs, running or waiting.
#[napi(catch_unwind)]
pub fn set_busy(lane: &LaneRef, is_busy: bool) {
    lane.set_busy(is_busy);
}

/// Environments that have jobs.
#[napi(catch_unwind)]
pub fn busy_lanes() -> u32 {
    LANES.busy()
}
