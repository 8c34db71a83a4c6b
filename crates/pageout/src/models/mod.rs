//! What the models share: how they are run, and a plain device.
//!
//! A model runs the code of this crate, not a copy, over loom's locks and atomics: every interleaving of its threads
//! with up to a few preemptions, and every value that a weakly ordered load may return. `scripts/loom` runs them.

mod device;
mod explore;

pub(crate) use device::{FAILING, Pages};
pub(crate) use explore::explore;
