//! Random operations on a pager, compared step by step with a plain model: a list of payloads in vectors.
//!
//! A plan is one run: a pager with its options, a device, what goes wrong on it, and the steps. It is drawn from a seed or from
//! a fuzzer's bytes; the world does it, and panics where pager and model disagree. A plan that fails is shrunk to a shorter one that
//! fails in the same way. [`campaign::Campaign`] does many plans on several threads; [`soak::Soak`] has many threads on one pager.

pub mod campaign;
mod plan;
pub mod residents;
mod shrink;
mod side;
pub mod soak;
pub mod targets;
mod world;

pub use plan::Ground;
pub use world::Counts;
