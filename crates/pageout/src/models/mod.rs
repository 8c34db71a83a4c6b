//! What the models share: how they are run, and a device without a surprise.
//!
//! A model runs the code of this crate, not a copy, over loom's locks and atomics: every order in which its threads can meet
//! with up to a few preemptions, and every value that a weakly ordered load may give. `scripts/loom` runs them.

mod device;
mod explore;

pub(crate) use device::{FAILING, Pages};
pub(crate) use explore::explore;
